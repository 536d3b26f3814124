// The settings: what each means, what is allowed, who has changed it, and a change with its reason.
import { html, useState } from './lib/preact.js';
import { get, send } from './api.js';
import { useLoad } from './hooks.js';
import { Failure, Notice, say } from './notice.js';
import { ask, reasonField, tell } from './question.js';
import { may } from './session.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.settings;
const path = '/settings';

export function Settings() {
  const { data, error, reload } = useLoad((signal) => send('GET', path, undefined, { signal }), []);
  const [find, setFind] = useState('');
  const [onlyChanged, setOnlyChanged] = useState(false);
  const matches = (s) => (s.name + ' ' + s.meaning).toLowerCase().includes(find.toLowerCase()) && (!onlyChanged || s.changed_by);
  const found = data?.answer.settings.filter(matches) || [];
  return html`
    <div class="head"><div><h1>${words.title}</h1><p class="faint">${words.lead}</p></div></div>
    <div class="bar">
      <div class="search"><label class="hidden" for="find">${words.find}</label>
        <input id="find" type="search" value=${find} onInput=${(e) => setFind(e.target.value)} placeholder=${words.find} autocomplete="off" /></div>
      <label class="check"><input type="checkbox" checked=${onlyChanged} onChange=${(e) => setOnlyChanged(e.target.checked)} /> ${words.onlyChanged}</label>
    </div>
    <${Failure} error=${error} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${data && (found.length ? html`<section class="card">${found.map((s) => html`<${Setting} key=${s.name} setting=${s} etag=${data.etag} reload=${reload} />`)}</section>`
      : html`<${Notice}>${words.none}</${Notice}>`)}`;
}

const shown = (value) => (Array.isArray(value) ? value.join(', ') : String(value)) || '""';

// valueOf makes of a text what the setting's type is in JSON.
function valueOf(type, text) {
  switch (type) {
    case 'boolean': return text === 'true';
    case 'integer':
    case 'number': return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
    case 'statuses': return text.split(/[\s,]+/).filter(Boolean).map(Number);
    default: return text.trim();
  }
}

// markCode shows what stands between backticks as code.
const markCode = (text) => text.split('`').map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));

function Setting({ setting: s, etag, reload }) {
  const change = async () => {
    const field = s.type === 'boolean' ? { options: { true: 'true', false: 'false' } } : {};
    const reset = s.changed_by ? [{ name: 'reset', label: `${words.reset}: ${shown(s.default)}`, type: 'check' }] : [];
    const done = await ask({
      title: words.title1(s.name), text: s.meaning.replaceAll('`', ''), button: words.do,
      fields: [{ name: 'value', label: words.value, hint: words.allowed(s.allowed.replaceAll('`', '')), value: Array.isArray(s.value) ? s.value.join(',') : String(s.value), ...field }, ...reset, reasonField],
      run: (f) => send('PUT', path, { [s.name]: f.reset ? null : valueOf(s.type, f.value), reason: f.reason }, { headers: { 'If-Match': etag } }),
    });
    if (!done) return;
    say(words.done(s.name));
    reload();
  };
  const mayChange = s.name !== 'erp_base_url' || may('erp_address');
  return html`<div class="setting">
    <div>
      <h2>${s.name}</h2>
      <div><span class="value">${shown(s.value)}</span>
        ${s.changed_by && html` <span class="faint">${words.changed(s.changed_by)} <${Time} at=${s.changed_at} whole />; ${words.default} <span class="mono">${shown(s.default)}</span></span>`}</div>
      <div class="faint">${markCode(s.meaning)}</div>
      <div class="faint">${markCode(words.allowed(s.allowed))}</div>
      ${s.unused && html`<${Notice} bad>${s.unused}</${Notice}>`}
    </div>
    <div class="row">${s.changed_by && html`<button class="plain" onClick=${() => history(s.name)}>${words.history}<span class="hidden"> ${s.name}</span></button>`}
      ${mayChange && html`<button onClick=${change}>${words.edit}<span class="hidden"> ${s.name}</span></button>`}</div>
  </div>`;
}

async function history(name) {
  try {
    const { changes } = await get(path + '/history', { name });
    const value = (v) => (v === null ? words.environment : shown(v));
    tell(words.historyOf(name), changes.length ? html`<ul>${changes.map((c) => html`<li><${Time} at=${c.changed_at} whole /> ${c.changed_by}: ${' '}
      <code>${value(c.before)}</code> → <code>${value(c.after)}</code> ${c.reason && html`<span class="faint">${c.reason}</span>`}</li>`)}</ul>` : html`<p>${words.noHistory}</p>`);
  } catch (error) {
    say(error.message, true);
  }
}
