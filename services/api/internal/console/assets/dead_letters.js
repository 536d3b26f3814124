// Records that nobody could read: look at one, send it back, or discard it.
import { html } from './lib/preact.js';
import { get, post } from './api.js';
import { useLoad } from './hooks.js';
import { Failure, Notice, say } from './notice.js';
import { ask, reasonField, tell } from './question.js';
import { href, useRoute } from './router.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.deadLetters;

export function DeadLetters() {
  const { params } = useRoute();
  const state = params.state || 'open';
  const { data, error, reload, set } = useLoad((signal) => get('/dead-letters', { state }, { signal }), [state]);
  const more = async () => {
    const next = await get('/dead-letters', { state, cursor: data.next });
    set({ dead_letters: [...data.dead_letters, ...next.dead_letters], next: next.next });
  };
  return html`
    <div class="head"><div><h1>${words.title}</h1><p class="faint">${words.lead}</p></div></div>
    <nav class="tabs" aria-label=${words.which}>${Object.entries(words.states).map(([name, text]) => html`
      <a href=${href('dead-letters', { state: name })} aria-current=${state === name ? 'true' : undefined}>${text}</a>`)}</nav>
    <${Failure} error=${error} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${data && (data.dead_letters.length ? html`<${Letters} letters=${data.dead_letters} reload=${reload} />` : html`<${Notice}>${words.none}</${Notice}>`)}
    ${data?.next && html`<button onClick=${more}>${texts.more}</button>`}`;
}

function Letters({ letters, reload }) {
  return html`<div class="card table"><table>
    <caption class="hidden">${words.title}</caption>
    <thead><tr>${words.columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
    <tbody>${letters.map((l) => html`<tr key=${l.id}>
      <td data-label=${words.columns[0]}><${Time} at=${l.written_at} /></td>
      <td data-label=${words.columns[1]}><span>${l.reason}${l.decision && html`<br /><span class="faint">${words.decided(l.decided_by, l.decision)}</span>`}</span></td>
      <td data-label=${words.columns[2]}>${l.order_increment_id ? html`<a href=${href('orders', { order: l.order_increment_id, source: l.source })}>${l.order_increment_id}</a>` : '–'}</td>
      <td data-label=${words.columns[3]}><span class="mono">${l.topic}/${l.partition}/${l.offset}</span></td>
      <td class="wide"><${Decide} letter=${l} reload=${reload} /></td>
    </tr>`)}</tbody>
  </table></div>`;
}

function Decide({ letter, reload }) {
  const show = async () => {
    try {
      const record = await get('/dead-letters/' + letter.id);
      tell(words.record(letter.id), html`<pre tabindex="0">${JSON.stringify(record, null, 2)}</pre>`);
    } catch (error) {
      say(error.message, true);
    }
  };
  const decide = async (path, q, danger, fields) => {
    const answer = await ask({
      title: q.title, text: `${letter.reason}\n${q.ask}`, button: q.do, danger, fields: [reasonField, ...fields],
      run: ({ reason, force }) => post(`/dead-letters/${letter.id}/${path}`, { reason, ...(force && { force: true }) }),
    });
    if (!answer) return;
    say(words.done(letter.id, words.states[answer.state]));
    reload();
  };
  return html`<div class="row">
    <button onClick=${show}>${words.show}</button>
    ${letter.state === 'open' && html`
      <button onClick=${() => decide('redrive', words.redrive, false, letter.redrives > 1 ? [{ name: 'force', label: words.redrive.force, type: 'check' }] : [])}>${words.redrive.button}</button>
      <button class="danger" onClick=${() => decide('discard', words.discard, true, [])}>${words.discard.button}</button>`}
  </div>`;
}
