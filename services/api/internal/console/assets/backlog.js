// What waits, by stage, in the order of the flow.
import { html } from './lib/preact.js';
import { useNow } from './hooks.js';
import { href } from './router.js';
import { texts } from './texts.js';
import { ago } from './time.js';

const words = texts.overview;
const filters = { held: { status: 'pending' }, queued: { status: 'queued' }, in_flight: { status: 'in_progress' }, retry: { status: 'queued', attempts_from: '1' }, failed: { status: 'failed' } };
const tones = { held: 'warn', outbox: 'info', queued: 'info', in_flight: 'info', retry: 'warn', failed: 'bad' };

export function Backlog({ backlog, source }) {
  const now = useNow();
  return html`<section class="card backlog"><h2>${words.backlog}</h2><table>
    <thead><tr>${words.backlogColumns.map((name, i) => html`<th scope="col" class=${i ? 'number' : ''}>${name}</th>`)}</tr></thead>
    <tbody>${backlog.map((b) => html`<tr key=${b.stage}>
      <th scope="row"><span class="badge ${b.orders ? tones[b.stage] : ''}">${words.stages[b.stage]}</span> <span class="faint">${words.stageHints[b.stage]}</span>
        ${b.stage === 'failed' && b.orders > 0 && html` <a href=${href('failures', { source })}>${words.why}</a>`}</th>
      <td class="number">${count(b, source)}</td>
      <td class="number">${b.oldest ? html`<time datetime=${b.oldest.replace(' ', 'T') + 'Z'} title=${b.oldest + ' (UTC)'}>${ago(b.oldest, now)}</time>` : html`<span class="none">–</span>`}</td>
    </tr>`)}</tbody></table></section>`;
}

function count({ stage, orders, at_least: more }, source) {
  const text = more ? words.atLeast(orders) : orders.toLocaleString();
  return orders && filters[stage] ? html`<a href=${href('orders', { ...filters[stage], source })}>${text}</a>` : text;
}
