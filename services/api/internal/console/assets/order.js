// One order: what is happening, what happened, and what can be done.
import { html, useEffect, useState } from './lib/preact.js';
import { Actions, resync } from './actions.js';
import { base, get } from './api.js';
import { missing } from './correct.js';
import { useKeys, useLoad, useTimer } from './hooks.js';
import { Failure, Notice } from './notice.js';
import { indented } from './json.js';
import { href } from './router.js';
import { Sentence } from './sentence.js';
import { may } from './session.js';
import { Badge } from './status.js';
import { texts } from './texts.js';
import { Time } from './time.js';
import { Timeline } from './timeline.js';

const words = texts.order;
const liveInterval = 1000;
const quietInterval = 10000;
const underWay = ['queued', 'in_progress'];

// Without payload and response: the log notes who has seen those, so they are read when somebody asks for them.
const members = 'sync_id,order_id,order_increment_id,source,status,attempts,max_attempts,last_attempt_at,next_attempt_at,erp_reference,last_error,' +
  'created_at,updated_at,idempotency_key,generation,http_status,error_code,error_group';

const statusPath = (sync) => `/sync-status/${encodeURIComponent(sync.order_increment_id)}?source=${encodeURIComponent(sync.source)}`;

// readTimeline takes the pages together. An order has some tens of facts; with very many, those of the first pages are shown.
async function readTimeline(id, signal) {
  const timeline = await get(`/syncs/${id}/events`, { limit: 500 }, { signal });
  for (let page = timeline, n = 1; page.next && n < 10; n++) {
    page = await get(`/syncs/${id}/events`, { limit: 500, cursor: page.next }, { signal });
    timeline.events.push(...page.events);
  }
  return timeline;
}

// read takes the status of the order from where a command is seen at once; the list may be some milliseconds behind.
async function read(id, signal) {
  const sync = await get('/syncs/' + id, { fields: members }, { signal });
  const [status, timeline] = await Promise.all([get(statusPath(sync), {}, { signal }), readTimeline(id, signal)]);
  return { sync: { ...sync, ...status }, timeline };
}

export function Order({ id }) {
  const { data, error, reload } = useLoad((signal) => read(id, signal), [id]);
  const sync = data?.sync;
  const live = sync && underWay.includes(sync.status);
  useTimer(reload, live ? liveInterval : quietInterval);
  useKeys({ r: () => sync?.status === 'failed' && may('resync') && resync(sync, reload) });
  useEffect(() => { if (sync) document.title = `${words.title(sync.order_increment_id)} – ERP Connector`; }, [sync?.order_increment_id]);
  if (!sync) return error ? html`<${Failure} error=${error} />` : html`<p class="faint">${texts.loading}</p>`;
  return html`
    <div class="head"><div>
      <a href=${href('orders')}>← ${words.back}</a>
      <h1>${words.title(sync.order_increment_id)} <${Badge} status=${sync.status} /></h1>
    </div><${Actions} sync=${sync} done=${reload} /></div>
    <${Failure} error=${error} />
    <${Sentence} sync=${sync} events=${data.timeline.events} />
    ${live && html`<p class="faint">${words.live}</p>`}
    ${missing().length > 0 && html`<p class="faint" data-missing>${texts.correct.missing(missing().map((name) => `${name} (${texts.tokens.meanings[name]})`))}</p>`}
    <section class="card"><h2>${words.facts}</h2><${Facts} sync=${sync} /></section>
    <section class="card"><h2>${words.timeline}</h2><${Timeline} timeline=${data.timeline} sync=${sync} /></section>
    <${Contents} id=${id} />
    <p class="faint">${words.raw}: ${' '}
      <a href="${base}/syncs/${id}?fields=${members}" target="_blank">${words.rawSync}</a>, ${' '}
      <a href="${base}${statusPath(sync)}" target="_blank">${words.rawStatus}</a>, ${' '}
      <a href="${base}/syncs/${id}/events" target="_blank">${words.rawEvents}</a></p>`;
}

function Facts({ sync }) {
  const fact = (name, value) => html`<div><dt>${texts.orders.fields[name]}</dt><dd>${value ?? html`<span class="none">–</span>`}</dd></div>`;
  return html`<dl class="facts">
    ${fact('source', sync.source)}
    ${fact('attempts', `${sync.attempts}/${sync.max_attempts}`)}
    ${fact('erp_reference', sync.erp_reference)}
    ${fact('order_id', sync.order_id)}
    ${['created_at', 'last_attempt_at', 'next_attempt_at', 'updated_at'].map((name) => fact(name, html`<${Time} at=${sync[name]} whole />`))}
    ${fact('error_code', sync.error_code)}
    ${fact('generation', sync.generation)}
    ${fact('idempotency_key', html`<span class="mono">${sync.idempotency_key}</span>`)}
  </dl>`;
}

function Contents({ id }) {
  const [state, set] = useState({});
  if (!may('manage')) return html`<${Notice}>${words.withheld}</${Notice}>`;
  const load = () => get('/syncs/' + id).then((data) => set({ data }), (error) => set({ error }));
  const part = (title, text) => html`<h3>${title}</h3>${text ? html`<pre tabindex="0">${indented(text)}</pre>` : html`<p class="faint">${words.notSentYet}</p>`}`;
  return html`<section class="card"><h2>${words.sent}</h2>
    <${Failure} error=${state.error} />
    ${state.data ? html`${part(words.payload, state.data.payload)}${part(words.response, state.data.response)}`
    : html`<button onClick=${load}>${words.show}</button><p class="hint">${words.showHint}</p>`}
  </section>`;
}
