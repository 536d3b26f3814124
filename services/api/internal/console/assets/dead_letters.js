// Records that nobody could read: look at one, send it back, or discard it.
import { html } from './lib/preact.js';
import { resync } from './actions.js';
import { get, post, textOf } from './api.js';
import { useLoad } from './hooks.js';
import { Failure, Notice, say } from './notice.js';
import { ask, reasonField, tell } from './question.js';
import { href, useRoute } from './router.js';
import { may } from './session.js';
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
    ${data && (data.dead_letters.length ? html`<${Letters} letters=${data.dead_letters} reload=${reload} />` : html`<${Notice} good=${state === 'open'}>${words.none[state]}</${Notice}>`)}
    ${data?.next && html`<button onClick=${more}>${texts.more}</button>`}`;
}

function Letters({ letters, reload }) {
  return html`<div class="card table"><table>
    <caption class="hidden">${words.title}</caption>
    <thead><tr>${words.columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
    <tbody>${letters.map((l) => html`<tr key=${l.id}>
      <td data-label=${words.columns[0]}><${Time} at=${l.written_at} /></td>
      <td data-label=${words.columns[1]}><div>${l.reason}<div class="faint">${words.by(l.written_by)} ${l.stopped_generation ? words.stopped : words.wentOn}${l.redrives > 0 && ` ${words.cameBack(l.redrives)}`}</div>
        ${l.decision && html`<div class="faint">${words.decided(l.decided_by, l.decision)}</div>`}</div></td>
      <td data-label=${words.columns[2]}>${l.order_increment_id ? html`<a href=${href('orders', { order: l.order_increment_id, source: l.source })}>${l.order_increment_id}</a>` : html`<span class="none">–</span>`}</td>
      <td data-label=${words.columns[3]}><span class="mono" title=${l.topic}>${l.topic.replace('vendor_erp_sync_', '')}/${l.partition}/${l.offset}</span></td>
      <td class="wide"><${Decide} letter=${l} reload=${reload} /></td>
    </tr>`)}</tbody>
  </table></div>`;
}

// Record is what Kafka holds of it: the value as text, whatever it is.
function Record({ record }) {
  const value = record.value === undefined ? textOf(record.value_base64 || '') : JSON.stringify(record.value, null, 2);
  const table = (name, rows) => html`<h3>${name}</h3><dl class="pairs">${rows.map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>`)}</dl>`;
  return html`<p>${record.reason}</p>
    ${table(words.columns[3], [[words.place, `${record.topic}/${record.partition}/${record.offset}`], [words.key, record.key || '–'], [words.bytes, record.bytes.toLocaleString()]])}
    ${table(words.headers, Object.entries(record.headers))}
    <h3>${words.value}</h3>
    <pre tabindex="0">${value}</pre>
    ${record.value === undefined && html`<p class="hint">${words.asBytes}</p>`}`;
}

function Decide({ letter, reload }) {
  const show = async () => {
    try {
      const record = await get('/dead-letters/' + letter.id);
      tell(words.record(letter.id), html`<${Record} record=${record} />`);
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
      ${letter.stopped_generation && may('resync') && html`<button class="main" onClick=${() => resync(letter, reload)}>${texts.actions.resync.button}</button>`}
      ${letter.stopped_generation && html`<button onClick=${() => decide('redrive', words.redrive, false, letter.redrives > 1 ? [{ name: 'force', label: words.redrive.force, type: 'check' }] : [])}>${words.redrive.button}</button>`}
      <button class="danger" onClick=${() => decide('discard', words.discard, true, [])}>${words.discard.button}</button>`}
  </div>`;
}
