// Where alerts are told: make one, change it, try it, turn it off, delete it.
import { html } from './lib/preact.js';
import { get, post, send } from './api.js';
import { useLoad } from './hooks.js';
import { Failure, Notice, say } from './notice.js';
import { ask } from './question.js';
import { newSigningSecret, showOnce } from './secret.js';
import { may } from './session.js';
import { texts } from './texts.js';

const words = texts.destinations;
const path = '/alerts/destinations';

export function Destinations() {
  const { data, error, reload } = useLoad((signal) => get(path, {}, { signal }), []);
  const all = data?.destinations || [];
  return html`
    <div class="bar"><p class="faint lead">${may('erp_address') ? words.lead : words.noAddress}</p>
      ${may('erp_address') && html`<button class="main" onClick=${() => make(reload)}>${words.make.button}</button>`}</div>
    <${Failure} error=${error} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${data && !all.length && html`<${Notice}>${words.none}</${Notice}>`}
    ${all.length > 0 && html`<div class="card table"><table>
      <caption class="hidden">${words.title}</caption>
      <thead><tr>${words.columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${all.map((d) => html`<${Destination} key=${d.destination_id} destination=${d} reload=${reload} />`)}</tbody>
    </table></div>`}`;
}

const told = (alerts) => (alerts.length ? alerts.map((a) => texts.alerts.kinds[a] || a).join(', ') : words.allAlerts);

function Destination({ destination: d, reload }) {
  const turn = () => act(() => change(d, { enabled: !d.enabled }), words.turned(d.name, !d.enabled), reload);
  const hidden = html`<span class="hidden"> ${d.name}</span>`;
  return html`<tr>
    <td data-label=${words.columns[0]}><div><strong>${d.name}</strong>${!d.enabled && html` <span class="badge warn">${words.off}</span>`}</div></td>
    <td class="address" data-label=${words.columns[1]}><div>${words.kinds[d.kind]}<div class="faint">${d.address}</div></div></td>
    <td data-label=${words.columns[2]}><span>${told(d.alerts)}</span></td>
    <td class="wide"><div class="row">
      <button onClick=${() => tryOut(d)}>${words.tryOut}${hidden}</button>
      <button onClick=${() => edit(d, reload)}>${words.change.button}${hidden}</button>
      <button onClick=${turn}>${d.enabled ? words.turnOff : words.turnOn}${hidden}</button>
      <button class="danger" onClick=${() => remove(d, reload)}>${words.remove.button}${hidden}</button>
    </div></td></tr>`;
}

const change = (d, body) => send('PATCH', `${path}/${d.destination_id}`, body).then(({ answer }) => answer);

// act does what needs no question, and says what came of it.
async function act(run, done, reload) {
  try {
    await run();
    say(done);
    reload();
  } catch (error) {
    say(error.message, true);
  }
}

async function tryOut(d) {
  try {
    const result = await post(`${path}/${d.destination_id}/test`);
    say(words.tried(d.name, result), !result.delivered);
  } catch (error) {
    say(error.message, true);
  }
}

const alertsField = (value) => ({ name: 'alerts', label: words.alerts, hint: words.alertsHint, options: texts.alerts.kinds, many: true, value });

async function make(reload) {
  const q = words.make;
  const made = await ask({
    title: q.title, text: q.ask, button: q.do,
    fields: [
      { name: 'name', label: words.name, required: true }, { name: 'kind', label: words.kind, options: words.kinds, value: 'webhook' },
      { name: 'address', label: words.address, hint: words.addressHint, required: true }, alertsField([]),
    ],
    run: ({ name, kind, address }, form) => post(path, { name, kind, address: address.trim(), alerts: form.getAll('alerts') }),
  });
  if (!made) return;
  reload();
  if (made.secret) await showOnce(words.secretOf(made.name), words.once, made.secret);
  say(words.made(made.name));
}

async function edit(d, reload) {
  const q = words.change;
  let secret;
  const changed = await ask({
    title: q.title(d.name), text: q.ask, button: q.do,
    fields: [
      { name: 'name', label: words.name, value: d.name, required: true },
      ...(may('erp_address') ? [{ name: 'address', label: words.address, hint: words.keepAddress(d.address) }] : []),
      alertsField(d.alerts), ...(d.kind === 'webhook' ? [{ name: 'rotate', label: words.rotate, type: 'check' }] : []),
    ],
    run: ({ name, address, rotate }, form) => {
      secret = rotate && newSigningSecret();
      return change(d, { name, alerts: form.getAll('alerts'), ...(address?.trim() && { address: address.trim() }), ...(secret && { secret }) });
    },
  });
  if (!changed) return;
  reload();
  if (secret) await showOnce(words.secretOf(changed.name), words.once, secret);
  say(words.changed(changed.name));
}

async function remove(d, reload) {
  const q = words.remove;
  if (!await ask({ title: q.title(d.name), text: q.ask, button: q.do, danger: true, run: () => send('DELETE', `${path}/${d.destination_id}`) })) return;
  say(q.done(d.name));
  reload();
}
