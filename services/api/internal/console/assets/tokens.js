// Tokens: who has one, what it may do; make one, revoke one.
import { html, useState } from './lib/preact.js';
import { get, post, send } from './api.js';
import { useLoad } from './hooks.js';
import { Failure, say } from './notice.js';
import { ask } from './question.js';
import { showOnce } from './secret.js';
import { longName, shortName, who } from './session.js';
import { texts } from './texts.js';
import { parse, Time } from './time.js';

const words = texts.tokens;
const dayLength = 86400000; // milliseconds

export function Tokens() {
  const [all, setAll] = useState(false);
  const { data, error, reload } = useLoad((signal) => get('/tokens', { all }, { signal }), [all]);
  return html`
    <div class="head"><div><h1>${words.title}</h1><p class="faint">${words.lead}</p></div>
      <button class="main" onClick=${() => make(reload)}>${words.create}</button></div>
    <div class="bar"><label class="check"><input type="checkbox" checked=${all} onChange=${(e) => setAll(e.target.checked)} /> ${words.all}</label></div>
    <${Failure} error=${error} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${data?.tokens.length > 0 && html`<${TokenTable} title=${words.title} tokens=${data.tokens} reload=${reload} />`}`;
}

export function TokenTable({ title, tokens, reload }) {
  return html`<div class="card table"><table>
    <caption class="hidden">${title}</caption>
    <thead><tr>${words.columns.map((name) => (name ? html`<th scope="col">${name}</th>` : html`<td></td>`))}</tr></thead>
    <tbody>${tokens.map((t) => html`<${Token} key=${t.token_id} token=${t} reload=${reload} />`)}</tbody>
  </table></div>`;
}

function Token({ token: t, reload }) {
  const cells = [
    html`<strong>${t.name}</strong>`, html`<span class="mono">${t.hint}</span>`, t.resources.map(shortName).join(', '), t.source || words.allShops,
    html`<span><${Time} at=${t.created_at} />, ${t.created_by}</span>`, t.last_used_at ? html`<${Time} at=${t.last_used_at} />` : words.never,
    t.revoked_at ? html`<span>${words.revoked} <${Time} at=${t.revoked_at} />, ${t.revoked_by}</span>` : t.expires_at ? html`<${Time} at=${t.expires_at} whole />` : words.never,
  ];
  const ended = t.revoked_at || (t.expires_at && parse(t.expires_at) < Date.now());
  return html`<tr>${cells.map((cell, i) => html`<td data-label=${words.columns[i]}><span>${cell}</span></td>`)}
    <td class="wide">${!ended && html`<button class="danger" onClick=${() => revoke(t, reload)}>${words.revoke.button}<span class="hidden"> ${t.name}</span></button>`}</td></tr>`;
}

async function revoke(token, reload) {
  const q = words.revoke;
  if (!await ask({ title: q.title, text: q.ask(token.name), button: q.do, danger: true, run: () => send('DELETE', '/tokens/' + token.token_id) })) return;
  say(q.done(token.name));
  reload();
}

// rightsField chooses of what the reader may do: nobody gives away more. held is what somebody has already.
export function rightsField(held) {
  const all = [...new Set([...who().resources.map(shortName), ...held])];
  return { name: 'resources', label: words.may, options: Object.fromEntries(all.map((name) => [name, `${name}: ${words.meanings[name]}`])), many: true, value: held };
}

async function make(reload) {
  const made = await ask({
    title: words.title1, text: words.ask, button: words.do,
    fields: [
      { name: 'name', label: words.name, hint: words.nameHint, required: true }, rightsField([]),
      { name: 'source', label: words.shop, hint: words.shopHint }, { name: 'days', label: words.ends, options: words.terms, value: '90' },
    ],
    run: ({ name, source, days }, form) => post('/tokens', {
      name, resources: form.getAll('resources').map(longName), ...(source && { source }),
      ...(days && { expires_at: new Date(Date.now() + days * dayLength).toISOString() }),
    }),
  });
  if (!made) return;
  reload();
  await showOnce(words.made(made.name), words.once, made.token);
}
