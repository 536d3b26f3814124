// How it goes: what waits and since when, whether the ERP takes calls, and each shop.
import { html } from './lib/preact.js';
import { get } from './api.js';
import { Chart, keep } from './chart.js';
import { ErpCard } from './erp.js';
import { useLoad, useNow, useTimer } from './hooks.js';
import { Failure, Notice } from './notice.js';
import { href } from './router.js';
import { who } from './session.js';
import { tones } from './status.js';
import { texts } from './texts.js';
import { ago } from './time.js';

const words = texts.overview;
const interval = 3000;
const waiting = ['pending', 'queued'];

async function read(signal) {
  const counts = await get('/syncs/counts', {}, { signal });
  const erp = who().source ? undefined : await get('/erp', {}, { signal });
  const oldest = await Promise.all(waiting.map(async (status) => {
    if (!counts.by_status[status]) return undefined;
    const page = await get('/syncs', { status, sort: 'created_at', limit: 1, fields: 'sync_id,created_at' }, { signal });
    return page.syncs[0];
  }));
  keep(counts.by_status);
  return { counts, erp, oldest: Object.fromEntries(waiting.map((status, i) => [status, oldest[i]])) };
}

export function Overview() {
  const { data, error, reload } = useLoad(read, []);
  useTimer(reload, interval);
  if (!data) return error ? html`<${Failure} error=${error} />` : html`<p class="faint">${texts.loading}</p>`;
  const { counts, erp, oldest } = data;
  return html`
    <div class="head"><h1>${words.title}</h1></div>
    <${Failure} error=${error} />
    ${counts.note && html`<${Notice}>${texts.orders.counting}</${Notice}>`}
    <div class="tiles">
      ${['failed', 'pending', 'queued', 'in_progress', 'success'].map((status) => html`<${Tile} status=${status} n=${counts.by_status[status] || 0} oldest=${oldest[status]} />`)}
    </div>
    <div class="two">
      ${erp && html`<${ErpCard} erp=${erp} reload=${reload} />`}
      <section class="card"><h2>${words.chart}</h2><${Chart} turn=${counts} /><p class="hint">${words.chartHint}</p></section>
    </div>
    <${Shops} shops=${counts.by_source} />`;
}

function Tile({ status, n, oldest }) {
  const now = useNow();
  return html`<a class="tile ${n ? tones[status] : ''}" href=${href('orders', { status, sort: oldest && 'created_at' })}>
    ${texts.statuses[status]}<b>${n.toLocaleString()}</b>
    <span class="faint">${oldest ? words.oldest(ago(oldest.created_at.replace(' ', 'T') + 'Z', now)) : words.tiles[status]}</span></a>`;
}

function Shops({ shops }) {
  const columns = ['failed', 'pending', 'queued', 'in_progress', 'success'];
  if (!shops.length) return null;
  return html`<section class="card table"><table>
    <caption class="hidden">${words.shops}</caption>
    <thead><tr><th scope="col">${words.shop}</th><th scope="col" class="number">${words.total}</th>
      ${columns.map((status) => html`<th scope="col" class="number">${texts.statuses[status]}</th>`)}</tr></thead>
    <tbody>${shops.map((s) => html`<tr key=${s.source}>
      <td data-label=${words.shop}><a href=${href('orders', { source: s.source })}>${s.source}</a></td>
      <td class="number" data-label=${words.total}>${s.total.toLocaleString()}</td>
      ${columns.map((status) => html`<td class="number" data-label=${texts.statuses[status]}>
        ${s.by_status[status] ? html`<a href=${href('orders', { source: s.source, status })}>${s.by_status[status].toLocaleString()}</a>` : '0'}</td>`)}
    </tr>`)}</tbody>
  </table></section>`;
}
