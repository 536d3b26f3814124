// What happened to an order, the newest first: each request, call, answer and end, and its place in the log.
import { html } from './lib/preact.js';
import { Badge, tones } from './status.js';
import { texts } from './texts.js';
import { parse, span, Time } from './time.js';

const words = texts.order;
const sent = 'vendor_erp_sync_before_send';
const answered = 'vendor_erp_sync_after_send';

export function Timeline({ timeline, sync }) {
  const { events, kept_from: keptFrom } = timeline;
  if (!events.length) return html`<p class="faint">${words.noFacts}</p>`;
  return html`
    <ol class="timeline" reversed>${[...events].reverse().map((e) => html`<${Fact} key=${e.topic + e.partition + '/' + e.offset} fact=${e} all=${events} sync=${sync} />`)}</ol>
    ${keptFrom && html`<p class="faint">${words.keptFrom} <${Time} at=${keptFrom} whole /></p>`}`;
}

function Fact({ fact, all, sync }) {
  return html`<li class=${toneOf(fact)}>
    <div class="row"><span class="what">${words.events[fact.type] || fact.type}</span>
      ${attemptOf(fact) > 0 && html`<span class="faint">${words.attempt(attemptOf(fact), sync.max_attempts)}</span>`}
      ${sync.generation > 1 && html`<span class="faint">${words.generation(fact.generation)}</span>`}
      ${fact.type === 'vendor_erp_sync_callback' && html`<${Badge} status=${fact.status} />`}
      <span class="faint"><${Time} at=${fact.occurred_at} whole /></span></div>
    <${Answer} fact=${fact} took=${latencyOf(fact, all)} />
    ${fact.cause && html`<div class="faint">${fact.cause}</div>`}
    ${(fact.warnings || []).map((text) => html`<div>⚠ ${text}</div>`)}
    ${(fact.not_sent || []).map((text) => html`<div class="faint">${words.notSent(text)}</div>`)}
    <div class="place" title=${words.place}>${fact.topic}/${fact.partition}/${fact.offset}</div>
  </li>`;
}

function Answer({ fact, took }) {
  const parts = [fact.http_status && words.http(fact.http_status), fact.error_code, took >= 0 && words.took(span(took))].filter(Boolean);
  if (fact.type === answered && !fact.http_status) parts.unshift(words.noAnswer);
  return html`${parts.length > 0 && html`<div>${parts.join(' · ')}</div>`}${fact.error && html`<div class="answer">${fact.error}</div>`}`;
}

function toneOf(fact) {
  if (fact.type === answered) return fact.error ? 'warn' : 'good';
  if (fact.type === sent) return 'info';
  return fact.type.endsWith('requested') ? '' : tones[fact.status];
}

// attemptOf is the number of the attempt: a fact counts those that were answered before it.
const attemptOf = (fact) => (fact.type === sent ? fact.attempts + 1 : fact.attempts);

// latencyOf is the time from the sending to the answer, in milliseconds.
function latencyOf(fact, all) {
  if (fact.type !== answered) return undefined;
  const call = all.find((e) => e.type === sent && e.generation === fact.generation && attemptOf(e) === fact.attempts);
  return call && parse(fact.occurred_at) - parse(call.occurred_at);
}
