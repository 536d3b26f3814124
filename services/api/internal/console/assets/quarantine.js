// Events that were refused: why, the event with what is wrong in it, correct it, send it again, discard it.
import { html } from './lib/preact.js';
import { exact, get, post, textOf } from './api.js';
import { useLoad } from './hooks.js';
import { Failure, Notice, say } from './notice.js';
import { ask, reasonField } from './question.js';
import { href, useRoute } from './router.js';
import { may } from './session.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.quarantine;

export function Quarantine() {
  const { params } = useRoute();
  const state = params.state || 'open';
  const { data, error, reload, set } = useLoad((signal) => get('/quarantine', { state }, { signal }), [state]);
  const more = async () => {
    const next = await get('/quarantine', { state, cursor: data.next });
    set({ entries: [...data.entries, ...next.entries], next: next.next });
  };
  return html`
    <div class="head"><div><h1>${words.title}</h1><p class="faint">${words.lead}</p></div></div>
    <nav class="tabs" aria-label=${words.which}>${Object.entries(words.states).map(([name, text]) => html`
      <a href=${href('quarantine', { state: name })} aria-current=${state === name ? 'true' : undefined}>${text}</a>`)}</nav>
    <${Failure} error=${error} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${data && (data.entries.length ? html`<${Entries} entries=${data.entries} reload=${reload} />` : html`<${Notice} good>${words.none}</${Notice}>`)}
    ${data?.next && html`<button onClick=${more}>${texts.more}</button>`}`;
}

// placeOf finds in the text of an event what a pointer (RFC 6901) names, or what is there of it: from and to.
export function placeOf(event, pointer) {
  const text = JSON.stringify(event, null, 2);
  const names = pointer.split('/').slice(1).map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
  const mark = '\u0000here'; // no event holds it
  const marked = (value, [name, ...rest]) => (value === null || typeof value !== 'object' || name === undefined || !Object.hasOwn(value, name) ? mark
    : Object.assign(Array.isArray(value) ? [] : {}, value, { [name]: marked(value[name], rest) }));
  const changed = JSON.stringify(marked(event, names), null, 2);
  const quoted = JSON.stringify(mark);
  const from = changed.indexOf(quoted);
  return [from, from + text.length - changed.length + quoted.length];
}

const wrong = (entry) => (entry.errors || []).map((e) => `${(e.pointer || '').replace(/^\//, '')} ${e.detail}`.trim());

function Entries({ entries, reload }) {
  return html`<div class="card table"><table>
    <caption class="hidden">${words.title}</caption>
    <thead><tr>${words.columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
    <tbody>${entries.map((e) => html`<tr key=${e.id}>
      <td data-label=${words.columns[0]}><${Time} at=${e.last_refused_at} /></td>
      <td data-label=${words.columns[1]}><div><strong>${words.codes[e.code] || e.code}</strong>
        ${wrong(e).slice(0, 3).map((text) => html`<div>${text}</div>`)}
        <div class="faint">${words.came(e.door, e.tries)}${e.discarded_by && ` ${words.discardedBy(e.discarded_by, e.discard_reason)}`}</div></div></td>
      <td data-label=${words.columns[2]}>${e.order_increment_id ? html`<a href=${href('orders', { order: e.order_increment_id, source: e.source })}>${e.order_increment_id}</a>` : html`<span class="none">–</span>`}</td>
      <td data-label=${words.columns[3]}>${e.source}</td>
      <td class="wide"><${Decide} entry=${e} reload=${reload} /></td>
    </tr>`)}</tbody>
  </table></div>`;
}

function Decide({ entry, reload }) {
  if (!may('manage')) return null;
  const told = (result) => { say(words.sent(entry.id, words.results[result.result] || result.result)); reload(); };
  const send = async () => {
    const answer = await ask({ title: words.send.title, text: words.send.ask, button: words.send.do, run: () => post(`/quarantine/${entry.id}/send`, {}) });
    if (answer) told(answer);
  };
  const correct = async () => {
    try {
      const { event, event_base64: bytes } = await get('/quarantine/' + entry.id, {}, { read: exact });
      const answer = await ask({
        title: words.correct.title, text: wrong(entry).join('\n'), button: words.correct.do, large: true,
        fields: [{
          name: 'event', label: words.correct.event, type: 'area', value: event ? JSON.stringify(event, null, 2) : textOf(bytes), required: true,
          mark: event && entry.errors?.[0]?.pointer ? placeOf(event, entry.errors[0].pointer) : undefined,
        }],
        run: ({ event: text }) => post(`/quarantine/${entry.id}/send`, { event: exact(text) }),
      });
      if (answer) told(answer);
    } catch (error) {
      say(error.message, true);
    }
  };
  const discard = async () => {
    const answer = await ask({
      title: words.discard.title, text: words.discard.ask, button: words.discard.do, danger: true, fields: [reasonField],
      run: ({ reason }) => post(`/quarantine/${entry.id}/discard`, { reason }),
    });
    if (!answer) return;
    say(words.sent(entry.id, words.states.discarded));
    reload();
  };
  return html`<div class="row">
    <button onClick=${correct}>${words.correct.button}</button>
    <button onClick=${send}>${words.send.button}</button>
    ${entry.state === 'open' && html`<button class="danger" onClick=${discard}>${words.discard.button}</button>`}
  </div>`;
}
