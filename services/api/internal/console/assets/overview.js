// How it goes: what came in and went out, what waits and since when, whether the ERP takes calls, and each shop.
import { html } from './lib/preact.js';
import { get } from './api.js';
import { Backlog } from './backlog.js';
import { ErpCard } from './erp.js';
import { Charts, Figures, Numbers } from './flow.js';
import { useLoad, useTimer } from './hooks.js';
import { Failure, Notice } from './notice.js';
import { go, href, useRoute } from './router.js';
import { who } from './session.js';
import { texts } from './texts.js';

const words = texts.overview;
const interval = 5000;

async function read(range, source, signal) {
  const [flow, counts, erp] = await Promise.all([
    get('/syncs/overview', { range, source }, { signal }), get('/syncs/counts', {}, { signal }), who().source ? undefined : get('/erp', {}, { signal }),
  ]);
  return { flow, counts, erp };
}

// What is chosen stands in the address: /console/overview#range=week&source=outlet.
export function Overview() {
  const { params } = useRoute();
  const { range = 'hour', source } = params;
  const { data, error, reload } = useLoad((signal) => read(range, source, signal), [range, source]);
  useTimer(reload, interval);
  if (!data) return error ? html`<${Failure} error=${error} />` : html`<p class="faint">${texts.loading}</p>`;
  const { flow, counts, erp } = data;
  const isNew = !counts.total && !flow.total.accepted && flow.backlog.every((b) => !b.orders);
  return html`
    <div class="head"><h1>${words.title}</h1><${Shop} shops=${counts.by_source} params=${params} /></div>
    <${Ranges} params=${params} />
    <${Failure} error=${error} />
    ${counts.note && html`<${Notice}>${texts.orders.counting}</${Notice}>`}
    ${isNew ? html`<${Notice}>${words.empty}</${Notice}>` : html`<${Figures} total=${flow.total} range=${flow.range} />
      <${Charts} data=${flow} /><${Numbers} points=${flow.points} />`}
    <div class="two"><${Backlog} backlog=${flow.backlog} source=${source} />${erp && html`<${ErpCard} erp=${erp} reload=${reload} />`}</div>
    <${Shops} shops=${counts.by_source} />`;
}

function Ranges({ params }) {
  const chosen = params.range || 'hour';
  return html`<nav class="tabs" aria-label=${words.range}>${Object.entries(words.ranges).map(([name, text]) => html`
    <a href=${href('overview', { ...params, range: name === 'hour' ? '' : name })} aria-current=${chosen === name ? 'true' : undefined}>${text}</a>`)}</nav>`;
}

function Shop({ shops, params }) {
  if (who().source || (shops.length < 2 && !params.source)) return null;
  const names = [...new Set([...shops.map((s) => s.source), ...(params.source ? [params.source] : [])])];
  return html`<div class="row"><label for="shop">${words.shop}</label>
    <select id="shop" value=${params.source || ''} onChange=${(e) => go('overview', { ...params, source: e.target.value })}>
      <option value="">${words.allShops}</option>${names.map((name) => html`<option value=${name}>${name}</option>`)}
    </select></div>`;
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
