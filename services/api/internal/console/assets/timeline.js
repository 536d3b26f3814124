// What happened to an order, the newest first: each request, each attempt with its request and answer, each end, and its place in the log.
import { html } from './lib/preact.js';
import { answered, attemptOf, itemsOf, latencyOf } from './attempts.js';
import { Record, Place } from './record.js';
import { Badge, tones } from './status.js';
import { texts } from './texts.js';
import { span, Time } from './time.js';

const words = texts.order;

export function Timeline({ timeline, sync }) {
  const { events, kept_from: keptFrom } = timeline;
  if (!events.length) return html`<p class="faint">${words.noFacts}</p>`;
  return html`
    <ol class="timeline" reversed>${itemsOf(events).reverse().map((item) => (item.fact
    ? html`<${Fact} key=${placeOf(item.fact)} fact=${item.fact} sync=${sync} />`
    : html`<${Attempt} key=${placeOf(item.calls[0] || item.answer)} item=${item} sync=${sync} />`))}</ol>
    ${keptFrom && html`<p class="faint">${words.keptFrom} <${Time} at=${keptFrom} whole /></p>`}`;
}

const placeOf = (fact) => `${fact.topic}/${fact.partition}/${fact.offset}`;

function Attempt({ item, sync }) {
  const { attempt, generation, calls, answer } = item;
  const first = calls[0] || answer;
  const took = latencyOf(item);
  const parts = answer && [answer.http_status ? words.http(answer.http_status) : words.noAnswer, answer.error_code, took >= 0 && words.took(span(took))].filter(Boolean);
  return html`<li class=${!answer ? 'info' : answer.error ? 'warn' : 'good'} data-attempt=${attempt}>
    <${Head} what=${words.attemptTitle(attempt, sync.max_attempts, generation === sync.generation)} generation=${generation} sync=${sync} at=${first.occurred_at} />
    ${answer ? html`<div>${parts.join(' · ')}</div>` : html`<div class="faint">${words.notAnswered}</div>`}
    ${answer && html`<${Said} fact=${answer} />`}
    ${calls.map((call) => html`<${Record} key=${placeOf(call)} fact=${call} sync=${sync} name=${words.request} button=${words.showRequest} />`)}
    ${answer && html`<${Record} key=${placeOf(answer)} fact=${answer} sync=${sync} name=${words.answer} button=${words.showAnswer} />`}
  </li>`;
}

function Fact({ fact, sync }) {
  return html`<li class=${fact.type.endsWith('requested') ? '' : tones[fact.status]}>
    <${Head} what=${words.events[fact.type] || fact.type} generation=${fact.generation} sync=${sync} at=${fact.occurred_at}>
      ${fact.type === 'vendor_erp_sync_callback' && html`<${Badge} status=${fact.status} />`}
    </${Head}>
    <${Said} fact=${fact} />
    <div class="record"><${Place} fact=${fact} sync=${sync} /></div>
  </li>`;
}

function Head({ what, generation, sync, at, children }) {
  return html`<div class="row"><span class="what">${what}</span>
    ${sync.generation > 1 && html`<span class="faint">${words.generation(generation)}</span>`}
    ${children}<span class="faint"><${Time} at=${at} whole /></span></div>`;
}

// Said is what a fact tells: its error, what has brought it about, and remarks on the order. An attempt tells its code beside the answer.
function Said({ fact }) {
  const known = { answer: words.causes.answer, failure: words.causes.failure };
  return html`
    ${fact.error && html`<div class="answer">${fact.type === answered || !fact.error_code ? fact.error : `${fact.error_code} · ${fact.error}`}</div>`}
    ${fact.cause && html`<div class="faint">${known[fact.cause] || fact.cause}</div>`}
    ${(fact.warnings || []).map((text) => html`<div>⚠ ${text}</div>`)}
    ${(fact.not_sent || []).map((text) => html`<div class="faint">${words.notSent(text)}</div>`)}`;
}
