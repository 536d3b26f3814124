// What happens, as it happens. The filter stands in the address, so a link follows the same.
import { html, useEffect, useRef, useState } from './lib/preact.js';
import { get } from './api.js';
import { useKeys, useLoad } from './hooks.js';
import { Notice } from './notice.js';
import { step } from './order_table.js';
import { go, href, useRoute } from './router.js';
import { who } from './session.js';
import { Menu } from './shell.js';
import { Badge, tones } from './status.js';
import { follow } from './stream.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.live;
const kept = 500; // rows, so that a page that stays open does not grow
const drawPause = 100; // milliseconds: many events are drawn at once
const filters = ['source', 'order', 'type', 'status'];

export function Live() {
  const { params } = useRoute();
  const filter = Object.fromEntries(filters.map((name) => [name, params[name]]));
  const change = (changed) => go('live', { ...params, ...changed });
  const { rows, waiting, state, problem, missed, paused, pause } = useStream(filter);
  const counts = useLoad((signal) => get('/syncs/counts', {}, { signal }), []);
  useKeys({ p: () => pause(!paused), j: () => step(1), k: () => step(-1) });
  const on = filters.some((name) => params[name]);
  return html`
    <div class="head"><div><h1>${words.title}</h1><p class="faint">${words.lead(kept)}</p></div>
      <div class="row"><${State} state=${state} paused=${paused} />
        <button class=${paused ? 'main' : ''} id="pause" onClick=${() => pause(!paused)}>${paused ? words.resume(waiting) : words.pause} <kbd>p</kbd></button></div></div>
    <div class="bar">
      <${Order} value=${params.order || ''} change=${(order) => change({ order })} />
      ${!who().source && html`<${Shop} value=${params.source || ''} shops=${counts.data?.by_source} change=${(source) => change({ source })} />`}
      <${Some} name=${words.type} all=${words.types} value=${params.type} change=${(type) => change({ type })} id="types" />
      <${Some} name=${words.status} all=${words.statuses} value=${params.status} change=${(status) => change({ status })} id="statuses" />
      ${on && html`<button class="plain" onClick=${() => go('live')}>${words.clear}</button>`}
    </div>
    ${problem && html`<${Notice} bad>${problem}</${Notice}>`}
    ${missed && html`<${Notice}>${missed}</${Notice}>`}
    ${rows.length ? html`<${Rows} rows=${rows} />` : !problem && html`<${Notice}>${on ? words.noneOfThese : words.none}</${Notice}>`}`;
}

// useStream follows the stream while somebody looks: a page in the background holds none, and takes up where it was.
function useStream(filter) {
  const key = JSON.stringify(filter);
  const data = useRef();
  const timer = useRef();
  const [, draw] = useState(0);
  const set = (changed) => {
    Object.assign(data.current, changed);
    timer.current ??= setTimeout(() => { timer.current = undefined; draw((n) => n + 1); }, drawPause);
  };
  if (data.current?.key !== key) data.current = { key, rows: [], held: [], waiting: 0, state: 'connecting', paused: data.current?.paused };
  useEffect(() => {
    let abort;
    const start = () => { abort = new AbortController(); follow(filter, data.current.last, abort.signal, handlers(data.current, set)); };
    const seen = () => { abort?.abort(); if (!document.hidden) start(); };
    seen();
    document.addEventListener('visibilitychange', seen);
    return () => { abort?.abort(); document.removeEventListener('visibilitychange', seen); };
  }, [key]);
  const pause = (paused) => {
    const { rows, held } = data.current;
    set(paused ? { paused } : { paused, rows: [...held, ...rows].slice(0, kept), held: [], waiting: 0 });
  };
  return { ...data.current, pause };
}

// handlers add what comes to the rows, or hold it back while they are paused.
function handlers(at, set) {
  return {
    begun: () => set({ state: 'live', problem: undefined }),
    ended: (problem) => set({ state: 'away', problem: problem?.message || at.problem || words.cut }),
    events: (events, last) => {
      const told = events.filter((e) => e.name === 'gap' || e.name === 'cut');
      const facts = events.filter((e) => !told.includes(e)).map((e) => ({ ...e.data, key: e.id })).reverse();
      at.last = last;
      for (const { name, data } of told) at[name === 'gap' ? 'missed' : 'problem'] = words[name + 's'][data.reason] || data.detail;
      if (at.paused) set({ held: [...facts, ...at.held].slice(0, kept), waiting: at.waiting + facts.length });
      else if (facts.length || told.length) set({ rows: [...facts, ...at.rows].slice(0, kept) });
    },
  };
}

function State({ state, paused }) {
  const shown = paused && state === 'live' ? 'paused' : state;
  return html`<span class="badge ${{ live: 'good', paused: 'warn', away: 'bad' }[shown] || ''}" role="status">${words.states[shown]}</span>`;
}

function Rows({ rows }) {
  const label = (i) => words.columns[i];
  return html`<div class="card table"><table class="live">
    <caption class="hidden">${words.title}</caption>
    <thead><tr>${words.columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
    <tbody>${rows.map((f) => html`<tr key=${f.key}>
      <td data-label=${label(0)}><${Time} at=${f.occurred_at} /></td>
      <td data-label=${label(1)}><a href=${href('orders/' + f.sync_id)} data-sync=${f.sync_id}>${f.order_increment_id}</a></td>
      <td data-label=${label(2)}>${f.source}</td>
      <td data-label=${label(3)}><span class="happened ${tones[f.status] || ''}">${words.types[f.type.replace('vendor_erp_sync_', '')] || f.type}</span></td>
      <td data-label=${label(4)}><${Badge} status=${f.status} /></td>
      <td data-label=${label(5)}>${words.attempt(f.attempts, f.max_attempts)}</td>
      <td class="error" data-label=${label(6)}><${Says} fact=${f} /></td>
    </tr>`)}</tbody>
  </table></div>`;
}

// Says is what the fact adds, in a few words.
function Says({ fact: f }) {
  const parts = [f.http_status && texts.order.http(f.http_status), f.error, f.cause, f.status === 'success' && f.erp_reference,
    f.next_attempt_at && html`${words.next} <${Time} at=${f.next_attempt_at} />`].filter(Boolean);
  return parts.length ? html`<span>${parts.map((part, i) => html`${i > 0 && ' · '}${part}`)}</span>` : html`<span class="none">–</span>`;
}

function Order({ value, change }) {
  const submit = (event) => { event.preventDefault(); change(event.target.elements.order.value.trim()); };
  return html`<form class="search" role="search" onSubmit=${submit}>
    <label class="hidden" for="order">${words.order}</label>
    <input id="order" name="order" type="search" value=${value} onSearch=${(e) => !e.target.value && change('')} placeholder=${words.orderHint} autocomplete="off" spellcheck="false" />
  </form>`;
}

function Shop({ value, shops, change }) {
  const names = [...new Set([value, ...(shops || []).map((s) => s.source)])].filter(Boolean);
  return html`<label class="hidden" for="shop">${words.shop}</label>
    <select id="shop" value=${value} onChange=${(e) => change(e.target.value)}>
      <option value="">${words.allShops}</option>
      ${names.map((name) => html`<option value=${name}>${name}</option>`)}
    </select>`;
}

// Some chooses any number; none is all.
function Some({ name, all, value, change, id }) {
  const chosen = value ? value.split(',') : [];
  const toggle = (one) => change((chosen.includes(one) ? chosen.filter((other) => other !== one) : [...chosen, one]).join(','));
  const shown = chosen.length ? chosen.map((one) => all[one] || one).join(', ') : words.any;
  return html`<${Menu} name=${`${name}: ${shown}`} id=${id}>
    ${Object.entries(all).map(([one, label]) => html`<label class="check">
      <input type="checkbox" checked=${chosen.includes(one)} onChange=${() => toggle(one)} /> ${label}</label>`)}
  </${Menu}>`;
}
