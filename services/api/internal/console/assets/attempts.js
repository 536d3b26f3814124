// The attempts of an order: each call to the ERP with its answer, put together from the facts of the timeline.
import { parse } from './time.js';

export const sent = 'vendor_erp_sync_before_send';
export const answered = 'vendor_erp_sync_after_send';

// attemptOf is the number of the attempt that a fact is of: a fact counts those that were answered before it.
export const attemptOf = (fact) => (fact.type === sent ? fact.attempts + 1 : fact.attempts);

// itemsOf are the facts in their order, with those of an attempt as one item at the place of its first. A call that a crash has repeated
// was sent twice.
export function itemsOf(events) {
  const attempts = new Map();
  const items = [];
  for (const fact of events) {
    if (fact.type !== sent && fact.type !== answered) {
      items.push({ fact });
      continue;
    }
    const name = `${fact.generation}/${attemptOf(fact)}`;
    if (!attempts.has(name)) {
      attempts.set(name, { attempt: attemptOf(fact), generation: fact.generation, calls: [] });
      items.push(attempts.get(name));
    }
    const item = attempts.get(name);
    if (fact.type === sent) item.calls.push(fact);
    else item.answer = fact;
  }
  return items;
}

// latencyOf is the time from the last sending to the answer, in milliseconds; undefined when one of them is not known.
export function latencyOf({ calls, answer }) {
  return answer && calls.length ? parse(answer.occurred_at) - parse(calls.at(-1).occurred_at) : undefined;
}
