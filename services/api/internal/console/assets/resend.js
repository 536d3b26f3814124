// Sending a kind of failure again: one order to try, or all by a bulk job, which goes on whether the page is open or not.
import { get, post } from './api.js';
import { say } from './notice.js';
import { ask } from './question.js';
import { texts } from './texts.js';

const words = texts.failures;

// resendOne sends the order that has waited longest.
export async function resendOne(group, source, done) {
  const page = await get('/syncs', { status: 'failed', error_group: group.error_group, source, sort: 'created_at', limit: 1, fields: 'order_increment_id,source' });
  const [sync] = page.syncs;
  if (!sync) return done();
  const answer = await ask({
    title: words.askOne(sync.order_increment_id), text: `${group.error}\n${words.askText}`, button: words.doOne,
    run: () => post('/resync-order?wait=0', { orderIncrementId: sync.order_increment_id, source: sync.source }),
  });
  if (answer) say(texts.actions.done(sync.order_increment_id, texts.statuses[answer.status] || answer.status));
  return done();
}

// resendAll shows what the connector foresees, and starts the job.
export async function resendAll(group, source, done) {
  const preview = await post('/bulk/resync', { filter: { status: 'failed', error_group: group.error_group, ...(source && { source }) } });
  const refused = preview.would_refuse.reduce((n, r) => n + r.orders, 0);
  const lines = [
    group.error,
    words.worth(preview.value.map((v) => `${v.grand_total} ${v.currency}`).join(', ')),
    preview.canary > 0 && words.canary(Math.min(preview.canary, preview.orders)),
    preview.takes_seconds && words.takes(preview.takes_seconds),
    refused > 0 && words.wouldRefuse(refused),
    words.askText,
  ];
  const job = await ask({
    title: words.ask(preview.orders, preview.at_least), text: lines.filter(Boolean).join('\n'), button: words.do(preview.orders),
    run: () => post('/bulk/jobs', { token: preview.token }),
  });
  if (job) done();
}
