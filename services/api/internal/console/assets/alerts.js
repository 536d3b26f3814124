// Alerts: what is wrong now, what was, and who is told.
import { html } from './lib/preact.js';
import { get } from './api.js';
import { Destinations } from './destinations.js';
import { useLoad, useTimer } from './hooks.js';
import { Failure, Notice } from './notice.js';
import { href, useRoute } from './router.js';
import { mayAll } from './session.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.alerts;
const interval = 10000; // milliseconds; the alerter looks as often

export function Alerts() {
  const { params } = useRoute();
  const shown = params.show || 'open';
  const tabs = Object.keys(words.tabs).filter((tab) => tab !== 'destinations' || mayAll('config'));
  return html`
    <div class="head"><div><h1>${words.title}</h1><p class="faint">${words.lead}</p></div></div>
    <nav class="tabs" aria-label=${words.which}>${tabs.map((tab) => html`
      <a href=${href('alerts', { show: tab })} aria-current=${shown === tab ? 'true' : undefined}>${words.tabs[tab]}</a>`)}</nav>
    ${shown === 'destinations' ? html`<${Destinations} />` : html`<${List} key=${shown} state=${shown} kind=${params.alert} />`}`;
}

function List({ state, kind }) {
  const { data, error, reload, set } = useLoad((signal) => get('/alerts', { state, alert: kind }, { signal }), [state, kind]);
  useTimer(() => data?.grown || reload(), interval);
  const more = async () => {
    const next = await get('/alerts', { state, alert: kind, cursor: data.next });
    set({ alerts: [...data.alerts, ...next.alerts], next: next.next, grown: true });
  };
  return html`
    ${mayAll('config') && html`<${Nobody} />`}
    <${Failure} error=${error} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${data && (data.alerts.length ? html`<${Table} alerts=${data.alerts} past=${state !== 'open'} />` : html`<${Notice} good=${state === 'open'}>${words.none[state]}</${Notice}>`)}
    ${data?.next && html`<button onClick=${more}>${texts.more}</button>`}`;
}

// Nobody says that no alert goes anywhere.
function Nobody() {
  const { data } = useLoad((signal) => get('/alerts/destinations', {}, { signal }), []);
  if (!data || data.destinations.some((d) => d.enabled)) return null;
  return html`<${Notice} bad>${words.nobody} <a href=${href('alerts', { show: 'destinations' })}>${words.addOne}</a></${Notice}>`;
}

function Table({ alerts, past }) {
  const columns = words.columns.filter((name, i) => past || i !== 2);
  return html`<div class="card table"><table>
    <caption class="hidden">${words.title}</caption>
    <thead><tr>${columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
    <tbody>${alerts.map((a) => html`<tr key=${a.alert_id}>
      <td data-label=${words.columns[0]}><${Time} at=${a.opened_at} /></td>
      <td data-label=${words.columns[1]}><div><strong>${words.kinds[a.alert] || a.alert}</strong><div>${a.text}</div></div></td>
      ${past && html`<td data-label=${words.columns[2]}><${Time} at=${a.resolved_at} /></td>`}
      <td data-label=${words.columns[3]}><${Told} deliveries=${a.deliveries} /></td>
      <td class="wide"><${Look} alert=${a} /></td>
    </tr>`)}</tbody>
  </table></div>`;
}

// Told is what became of the newest notice at each destination.
function Told({ deliveries }) {
  const newest = deliveries.filter((d, i) => deliveries.findIndex((other) => other.destination === d.destination) === i);
  if (!newest.length) return html`<span class="none">–</span>`;
  return html`<div>${newest.map((d) => html`<div>${d.destination}: <span class=${d.state === 'failed' ? 'badtext' : ''}>${words.deliveries[d.state]}</span>
    ${d.state !== 'delivered' && d.attempts > 0 && html`<span class="faint"> ${words.attempts(d.attempts)}${d.http_status && `, ${texts.order.http(d.http_status)}`}${d.said && `: ${d.said}`}</span>`}</div>`)}</div>`;
}

// places are the pages that show what an alert is about.
const places = {
  orders_failed: (a) => href('orders', { status: 'failed', error_group: /^\d+$/.test(a.subject) ? a.subject : '' }),
  breaker: () => href('overview'),
  backlog: () => href('orders', { status: 'queued,in_progress', sort: 'created_at' }),
  quarantine: () => href('quarantine'),
  dead_letters: () => (mayAll('manage') ? href('dead-letters') : ''),
  audit: () => (mayAll('manage') ? href('audit') : ''),
};

function Look({ alert }) {
  const place = places[alert.alert]?.(alert);
  return place && html`<a class="button" href=${place}>${words.look}<span class="hidden"> ${words.at(alert.alert_id)}</span></a>`;
}
