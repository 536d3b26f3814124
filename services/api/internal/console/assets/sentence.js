// What is happening with an order, in a sentence.
import { html } from './lib/preact.js';
import { useNow } from './hooks.js';
import { tones } from './status.js';
import { texts } from './texts.js';
import { parse, span } from './time.js';

const words = texts.order.say;

function reasonOf({ http_status: status, last_error: error }) {
  if (!error) return words.unknown;
  return status ? words.answered(status, error) : error;
}

export function sentenceOf(sync, now) {
  const { status, attempts, max_attempts: max } = sync;
  const due = parse(sync.next_attempt_at);
  switch (status) {
    case 'success': return words.success(sync.erp_reference);
    case 'failed': return attempts ? words.failed(attempts, max, reasonOf(sync)) : words.failedEarly(sync.last_error || words.unknown);
    case 'pending': return words.held;
    case 'in_progress': return words.inFlight(attempts || 1, max);
    default:
      if (due > now) return words.waits(attempts + 1, max, span(due - now), reasonOf(sync));
      return sync.waits_for ? words.kept(sync.waits_for) : words.queued(attempts + 1, max);
  }
}

export function Sentence({ sync }) {
  const now = useNow();
  return html`<div class="notice said ${tones[sync.status] || ''}" data-sentence>${sentenceOf(sync, now)}</div>`;
}
