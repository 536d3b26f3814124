import { html } from './lib/preact.js';
import { href } from './router.js';
import { Badge } from './status.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.orders;
const times = ['created_at', 'updated_at', 'last_attempt_at', 'next_attempt_at'];
const numbers = ['sync_id', 'order_id', 'attempts', 'generation', 'http_status'];

export const defaultColumns = ['order_increment_id', 'source', 'status', 'attempts', 'last_error', 'erp_reference', 'updated_at'];

// columnsOf are the chosen columns in their order.
export const columnsOf = (chosen) => ['order_increment_id', ...Object.keys(words.fields).filter((name) => name !== 'order_increment_id' && chosen.includes(name))];

export function OrderTable({ syncs, columns }) {
  return html`<div class="card table"><table class="orders">
    <caption class="hidden">${words.title}</caption>
    <thead><tr>${columns.map((name) => html`<th scope="col" class=${numbers.includes(name) ? 'number' : ''}>${words.fields[name]}</th>`)}</tr></thead>
    <tbody>${syncs.map((s) => html`<tr key=${s.sync_id}>${columns.map((name) => html`<${Cell} name=${name} sync=${s} />`)}</tr>`)}</tbody>
  </table></div>`;
}

function Cell({ name, sync }) {
  const kind = name === 'last_error' ? 'error' : numbers.includes(name) ? 'number' : '';
  return html`<td class=${kind} data-label=${words.fields[name]}><${Value} name=${name} sync=${sync} /></td>`;
}

function Value({ name, sync }) {
  const value = sync[name];
  if (name === 'order_increment_id') {
    return html`<a href=${href('orders/' + sync.sync_id)} data-sync=${sync.sync_id} aria-label=${words.open(value)}><strong>${value}</strong></a>`;
  }
  if (name === 'status') return html`<${Badge} status=${value} />`;
  if (name === 'attempts') return `${value}/${sync.max_attempts}`;
  if (times.includes(name)) return html`<${Time} at=${value} />`;
  return value === null || value === '' ? html`<span class="none">–</span>` : html`<span title=${name === 'last_error' ? value : undefined}>${value}</span>`;
}

// step moves the focus by so many rows; from elsewhere to the first.
export function step(by) {
  const links = [...document.querySelectorAll('a[data-sync]')];
  const at = links.indexOf(document.activeElement);
  (links[at < 0 ? 0 : at + by] || document.activeElement).focus();
}
