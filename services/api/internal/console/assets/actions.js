// What can be done with an order. Each asks first, and says what will happen.
import { html } from './lib/preact.js';
import { post } from './api.js';
import { correct, missing } from './correct.js';
import { say } from './notice.js';
import { ask, reasonField } from './question.js';
import { may } from './session.js';
import { texts } from './texts.js';

const words = texts.actions;

// act asks, sends the command, and says what came of it.
async function act(sync, name, path, more, done) {
  const q = words[name];
  const answer = await ask({
    title: q.title, text: `${words.of(sync.order_increment_id, sync.source)}\n${q.ask}`, button: q.do, ...more,
    run: ({ reason, erpReference }) => post(path + '?wait=0', {
      orderIncrementId: sync.order_increment_id, source: sync.source, ...(more.body || {}), ...(reason && { reason }), ...(erpReference && { erpReference }),
    }),
  });
  if (!answer) return;
  say(words.done(sync.order_increment_id, texts.statuses[answer.status] || answer.status));
  done();
}

export const resync = (sync, done) => act(sync, 'resync', '/resync-order', {}, done);
const newKey = (sync, done) => act(sync, 'newKey', '/resync-order', { danger: true, fields: [reasonField], body: { newKey: true } }, done);
const sendNow = (sync, done) => act(sync, 'sendNow', '/send-order-now', { fields: [reasonField] }, done);
const cancel = (sync, done) => act(sync, 'cancel', '/cancel-order', { danger: true, fields: [reasonField] }, done);
const settle = (sync, done) => act(sync, 'settle', '/settle-order', {
  fields: [{ name: 'erpReference', label: words.settle.reference }, reasonField],
}, done);

// Actions are the buttons of what is possible in the order's state. The API has the last word.
export function Actions({ sync, done }) {
  const waits = sync.status === 'queued' && sync.next_attempt_at;
  const button = (name, run, kind = '') => html`<button class=${kind} data-action=${name} onClick=${() => run(sync, done)}>${words[name].button}</button>`;
  return html`<div class="row">
    ${may('resync') && sync.status === 'failed' && button('resync', resync, 'main')}
    ${may('manage') && (waits || sync.status === 'pending') && button('sendNow', sendNow, 'main')}
    ${!missing().length && button('correct', correct)}
    ${may('manage') && sync.status !== 'success' && button('settle', settle)}
    ${may('manage') && (waits || sync.status === 'pending') && button('cancel', cancel, 'danger')}
    ${may('resync') && ['success', 'failed'].includes(sync.status) && button('newKey', newKey)}
  </div>`;
}
