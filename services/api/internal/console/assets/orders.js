// The list of orders. What it shows stands in the address, so a link shows the same to others.
import { html, useEffect, useRef, useState } from './lib/preact.js';
import { resync } from './actions.js';
import { get } from './api.js';
import { csvOf, save } from './csv.js';
import { Chips } from './filters.js';
import { useKept, useKeys, useLoad, useTimer } from './hooks.js';
import { Failure, Notice } from './notice.js';
import { OrderTable, columnsOf, defaultColumns, step } from './order_table.js';
import { go, href, useRoute } from './router.js';
import { findPage } from './search.js';
import { may } from './session.js';
import { Menu } from './shell.js';
import { texts } from './texts.js';

const words = texts.orders;
const countsInterval = 5000;

export function Orders() {
  const { params } = useRoute();
  const key = JSON.stringify(params);
  const list = useLoad((signal) => findPage(params, signal), [key]);
  const counts = useLoad((signal) => get('/syncs/counts', { source: params.source }, { signal }), [params.source]);
  const [columns, setColumns] = useKept('columns', defaultColumns);
  const [busy, setBusy] = useState(false);
  const change = (changed, replace) => go('orders', { ...params, ...changed }, replace);

  useTimer(counts.reload, countsInterval);
  const counted = JSON.stringify(counts.data);
  const seen = useRef();
  useEffect(() => { // something has changed: the first page is read again, unless somebody reads further down
    if (seen.current && seen.current !== counted && !list.data?.grown) list.reload();
    seen.current = counted;
  }, [counted]);

  const more = async () => {
    setBusy(true);
    const next = await findPage({ ...params, ...list.data.by, cursor: list.data.next }).catch((error) => ({ syncs: [], next: list.data.next, error }));
    list.set({ ...list.data, ...next, by: list.data.by, syncs: [...list.data.syncs, ...next.syncs], grown: true });
    setBusy(false);
  };
  const focused = () => list.data?.syncs.find((s) => String(s.sync_id) === document.activeElement?.dataset?.sync);
  useKeys({
    '/': () => document.getElementById('search').focus(),
    j: () => step(1),
    k: () => step(-1),
    r: () => focused() && may('resync') && resync(focused(), counts.reload),
  });
  const syncs = list.data?.syncs || [];
  return html`
    <div class="head"><h1>${words.title}</h1>
      <div class="row faint keys">${words.keys.map(([k, what]) => html`<span><kbd>${k}</kbd> ${what}</span>`)}</div></div>
    <${Tabs} params=${params} counts=${counts.data} />
    ${counts.data?.note && html`<${Notice}>${words.counting}</${Notice}>`}
    <div class="bar">
      <${Search} value=${params.q || ''} change=${(q) => change({ q }, true)} />
      <${Sort} value=${params.sort || ''} change=${(sort) => change({ sort })} />
      <${Columns} chosen=${columns} choose=${setColumns} />
      <button onClick=${() => save('orders.csv', csvOf(syncs, columnsOf(columns)))} disabled=${!syncs.length}>${words.csv}</button>
    </div>
    <${Chips} params=${params} by=${list.data?.by} shops=${counts.data?.by_source || []} change=${change} />
    <${Failure} error=${list.error || list.data?.error || counts.error} />
    ${list.data && (syncs.length
      ? html`<${OrderTable} syncs=${syncs} columns=${columnsOf(columns)} />`
      : html`<${Notice}>${counts.data?.total === 0 ? words.noneAtAll : list.data.next ? words.noneYet : words.none}</${Notice}>`)}
    <div class="after" aria-live="polite">
      <span class="faint">${list.data ? words.shown(syncs.length) : !list.error && texts.loading}${list.data && !list.data.next && syncs.length > 0 ? ' · ' + words.noMore : ''}</span>
      ${list.data?.next && html`<button onClick=${more} disabled=${busy}>${busy ? words.looking : texts.more}</button>`}
    </div>`;
}

function Tabs({ params, counts }) {
  const tab = (status, name, n) => html`<a href=${href('orders', { ...params, status })} aria-current=${(params.status || '') === status ? 'true' : undefined}>
    ${name} <b>${n === undefined ? '' : n.toLocaleString()}</b></a>`;
  const of = (status) => (counts ? counts.by_status[status] || 0 : undefined);
  return html`<nav class="tabs" aria-label=${words.filters.status}>
    ${tab('', words.all, counts?.total)}
    ${['failed', 'queued', 'in_progress', 'pending', 'success'].map((s) => tab(s, texts.statuses[s], of(s)))}
  </nav>`;
}

const typingPause = 200; // milliseconds

function Search({ value, change }) {
  const [text, set] = useState(value);
  const timer = useRef();
  const sent = useRef(value);
  useEffect(() => { // somebody else has changed it, like a click on a chip; our own change comes back later than the next letter
    if (value !== sent.current) set(value);
    sent.current = value;
  }, [value]);
  const typed = (event) => {
    const now = event.target.value;
    set(now);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => { sent.current = now.trim(); change(sent.current); }, typingPause);
  };
  const pressed = (event) => {
    if (event.key === 'Escape') event.target.blur();
    if (event.key === 'Enter' || event.key === 'ArrowDown') step(1);
  };
  return html`<div class="search" role="search">
    <label class="hidden" for="search">${words.search}</label>
    <input id="search" type="search" value=${text} onInput=${typed} onKeyDown=${pressed} placeholder=${words.searchHint} autocomplete="off" spellcheck="false" />
    ${!text && html`<kbd aria-hidden="true">/</kbd>`}
  </div>`;
}

function Sort({ value, change }) {
  return html`<label class="hidden" for="sort">${words.sort}</label>
    <select id="sort" value=${value} onChange=${(e) => change(e.target.value)}>
      ${Object.entries(words.sorts).map(([sort, name]) => html`<option value=${sort}>${name}</option>`)}
    </select>`;
}

function Columns({ chosen, choose }) {
  const toggle = (name) => choose(chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name]);
  return html`<${Menu} name=${words.columns}>
    ${Object.entries(words.fields).map(([name, label]) => html`<label class="check">
      <input type="checkbox" checked=${chosen.includes(name)} disabled=${name === 'order_increment_id'} onChange=${() => toggle(name)} /> ${label}</label>`)}
    <p class="hint">${words.columnsKept}</p>
    <button class="plain" onClick=${() => choose(defaultColumns)}>${words.usual}</button>
  </${Menu}>`;
}
