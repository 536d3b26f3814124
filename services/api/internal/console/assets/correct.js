// Correcting an order: edit it, see the difference, publish it as an event of the shop, and send it again where it has failed or waits.
import { html, useEffect, useMemo, useRef, useState } from './lib/preact.js';
import { exact, get, post, send } from './api.js';
import { Diff, diffOf } from './diff.js';
import { Failure, say } from './notice.js';
import { openDialog } from './question.js';
import { may, who } from './session.js';
import { texts } from './texts.js';

const words = texts.correct;
const rights = ['publish', 'manage'];

// missing are the rights that a correction needs and the token lacks.
export const missing = () => rights.filter((name) => !may(name));

// stateOf is how a correction finds the order: by it is said, and done, what follows.
const stateOf = (sync) => (sync.status === 'queued' && sync.next_attempt_at ? 'waits' : sync.status);
const sendsIn = ['failed', 'waits'];

// correct reads the order as it is known now, and opens the editor.
export async function correct(sync, done) {
  try {
    const { answer, date } = await send('GET', `/syncs/${sync.sync_id}/order`, undefined, { read: exact });
    if (await openDialog(Editor, { sync, known: answer, at: later(date, answer.known_at) })) done();
  } catch (error) {
    say(error.message, true);
  }
}

// later is the time of a correction: that of the connector, which has read the order, or the newest known of the order if that is later.
// So a correction counts, and one that is sent after the shop has changed the order does not undo the change.
const later = (date, known) => (known && new Date(known) >= date ? known : date.toISOString().replace('.000Z', 'Z'));

// eventOf is the event of a correction. A time of change that nobody has edited becomes that of the correction.
export function eventOf(order, { sync, known, at, id }) {
  const stamped = order.updated_at && order.updated_at === known.order.updated_at ? { ...order, updated_at: at } : order;
  return { event_id: id, type: 'order.updated', source: sync.source, occurred_at: at, corrected_by: who().name, order: stamped };
}

// A repeated try has the id of the first one, so that it is one event. An edited order is another event.
const newID = () => 'console-' + [...crypto.getRandomValues(new Uint8Array(12))].map((n) => n.toString(16).padStart(2, '0')).join('');

function read(text, sync) {
  try {
    const order = exact(text);
    if (!order || typeof order !== 'object' || Array.isArray(order)) return { wrong: words.noObject };
    if (order.order_increment_id !== sync.order_increment_id) return { wrong: words.otherOrder(sync.order_increment_id) };
    return { order };
  } catch (error) {
    return { wrong: words.noJSON(error.message) };
  }
}

function Editor({ sync, known, at, close }) {
  const before = useMemo(() => JSON.stringify(known.order, null, 2), []);
  const [text, setText] = useState(before);
  const [state, set] = useState({});
  const dialog = useRef();
  useEffect(() => dialog.current.showModal(), []);
  const { order, wrong, event, lines } = useMemo(() => {
    const got = read(text, sync);
    if (got.wrong || JSON.stringify(got.order, null, 2) === before) return got;
    const made = eventOf(got.order, { sync, known, at, id: newID() });
    return { ...got, event: made, lines: diffOf(before, JSON.stringify(made.order, null, 2)) };
  }, [text]);
  const kind = stateOf(sync);
  const submit = async (e) => {
    e.preventDefault();
    set({ busy: true });
    try {
      const { text: sentence, warned } = await publish(event, sync, sendsIn.includes(kind));
      say(sentence, warned);
      close(true);
    } catch (error) {
      set({ error });
    }
  };
  const leave = (e) => { e.preventDefault(); if (!lines && !wrong) close(); };
  return html`<dialog class="wide" ref=${dialog} aria-labelledby="correct" onCancel=${leave} onClose=${() => close()}>
    <form onSubmit=${submit}>
      <h2 id="correct">${words.title(sync.order_increment_id)}</h2>
      <p data-will>${words.will[kind]}</p>
      <p class="faint">${words.later}</p>
      <div class="halves">
        <div class="field">
          <label for="corrected">${words.order}</label>
          <textarea id="corrected" rows="20" spellcheck="false" autofocus aria-invalid=${Boolean(wrong)} aria-describedby="corrected-hint" value=${text}
            onInput=${(e) => setText(e.target.value)}></textarea>
          <p class=${wrong ? 'wrong' : 'hint'} id="corrected-hint" role="status">${wrong || words.hint}</p>
        </div>
        <div><h3>${texts.diff.title}</h3>
          ${lines ? html`<${Diff} lines=${lines} />` : html`<p class="faint">${order ? words.same : words.notYet}</p>`}
          ${event && event.order !== order && html`<p class="hint">${words.stamped}</p>`}</div>
      </div>
      <${Failure} error=${state.error} />
      <div class="row">
        <button type="button" onClick=${() => close()}>${texts.cancel}</button>
        <button class="main" disabled=${!event || state.busy}>${sendsIn.includes(kind) ? words.doSend : words.do}</button>
      </div>
    </form>
  </dialog>`;
}

// publish publishes the correction, sends the order again if that was said, and gives a sentence about what has become of it. A sentence
// with warnings stays until it is closed.
async function publish(event, sync, sends) {
  const order = sync.order_increment_id;
  const result = await post('/events', event);
  if (result.older) throw new Error(words.older);
  const warnings = (result.warnings || []).map((text) => '\n⚠ ' + text);
  const told = (sentence) => ({ text: sentence + warnings.join(''), warned: warnings.length > 0 });
  if (!sends) return told(words.published(order));
  if (result.status === 'success') return told(words.succeeded(order));
  try {
    const sent = await post('/resync-order?wait=0', { orderIncrementId: order, source: sync.source });
    return told(sent.generation > sync.generation ? words.sent(order) : words.underWay(order));
  } catch (error) {
    throw new Error(words.notSent(error.message));
  }
}
