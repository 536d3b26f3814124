// What is happening with an order, in a sentence.
import { html } from './lib/preact.js';
import { sent } from './attempts.js';
import { useNow } from './hooks.js';
import { tones } from './status.js';
import { texts } from './texts.js';
import { parse, span } from './time.js';

const words = texts.order.say;
const callback = 'vendor_erp_sync_callback';

function reasonOf({ http_status: status, last_error: error }) {
  if (!error) return words.unknown;
  return status ? words.answered(status, error) : error;
}

// decisionOf is the callback or the decision of a person that has ended the order; undefined when an attempt has. The fact of the highest
// version counts, as for the status itself.
function decisionOf(sync, events) {
  const last = events.reduce((a, b) => (a && a.version > b.version ? a : b), undefined);
  return last?.type === callback && last.status === sync.status ? last.cause : undefined;
}

// endOf says how an order has ended.
function endOf(sync, events) {
  const { status, attempts, max_attempts: max } = sync;
  const decision = decisionOf(sync, events);
  if (status === 'success') return words.success(sync.erp_reference, decision);
  if (decision) return words.decided(decision, attempts);
  return attempts ? words.failed(attempts, max, reasonOf(sync)) : words.failedEarly(sync.last_error || words.unknown);
}

export function sentenceOf(sync, events, now) {
  const { status, attempts, max_attempts: max } = sync;
  const due = parse(sync.next_attempt_at);
  const next = Math.min(attempts + 1, max);
  switch (status) {
    case 'success':
    case 'failed': return endOf(sync, events);
    case 'pending': return words.held;
    case 'in_progress': return words.inFlight(next, max, sinceOf(sync, events, now));
    default:
      if (due > now) return words.waits(next, max, span(due - now), reasonOf(sync));
      return sync.waits_for ? words.kept(sync.waits_for) : words.queued(next, max);
  }
}

// sinceOf is how long the call is under way; undefined when its fact is not there yet.
function sinceOf(sync, events, now) {
  const call = events.findLast((e) => e.type === sent && e.generation === sync.generation && e.attempts === sync.attempts);
  return call && span(Math.max(0, Math.floor((now - parse(call.occurred_at)) / 1000)) * 1000);
}

export function Sentence({ sync, events }) {
  const now = useNow();
  return html`<div class="notice said ${tones[sync.status] || ''}" data-sentence>${sentenceOf(sync, events, now)}</div>`;
}
