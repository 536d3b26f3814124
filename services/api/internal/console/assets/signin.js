// Signing in: by a name and a password, at an identity provider, or with a token. Only what there is is offered.
import { html, useEffect, useRef, useState } from './lib/preact.js';
import { logIn, noteSignIn, signIn, ways } from './api.js';
import { useLoad } from './hooks.js';
import { Failure, Notice } from './notice.js';
import { texts } from './texts.js';

const words = texts.signIn;
const placeKept = 'signing-in-at';

// SignIn says in a sentence why somebody is not let in. The address stays, so who comes in is where the session has ended.
export function SignIn({ error, enter }) {
  const [state, set] = useState({ error });
  const { data, error: unknown } = useLoad(ways, []);
  const card = useRef();
  useEffect(() => { document.title = `${words.title} – ERP Connector`; }, []);
  useEffect(() => set({ error }), [error]);
  useEffect(() => card.current.querySelector('button, input:not([hidden])')?.focus(), [data, unknown]);
  // run lets somebody in by sign, and else shows the sentence of say.
  const run = async (sign, say) => {
    set({ busy: true });
    try {
      await sign();
    } catch (problem) {
      set({ error: say(problem) });
      return;
    }
    const problem = await enter();
    if (problem) set({ error: problem.status === 401 ? words.noCookie : problem.message });
    else noteSignIn();
  };
  const token = html`<${TokenForm} run=${run} busy=${state.busy} first=${!data?.password && !data?.provider} />`;
  return html`<header class="top"><span class="brand">ERP Connector</span></header>
    <main><div class="card signin" ref=${card}>
      <h1>${words.title}</h1>
      ${state.error && html`<${Notice} bad>${state.error}</${Notice}>`}
      <${Failure} error=${unknown} />
      ${data?.provider && html`<button class="main" onClick=${atProvider}>${words.at(data.provider)}</button>`}
      ${data?.provider && data.password && html`<p class="or">${words.or}</p>`}
      ${data?.password && html`<${PasswordForm} run=${run} busy=${state.busy} first=${!data.provider} />`}
      ${data && (data.password || data.provider ? html`<details><summary class="button">${words.withToken}</summary>${token}</details>` : token)}
      ${unknown && token}
    </div></main>`;
}

function PasswordForm({ run, busy, first }) {
  const submit = (event) => {
    event.preventDefault();
    const { username, password } = Object.fromEntries(new FormData(event.target));
    run(() => logIn(username, password), refusal);
  };
  return html`<form onSubmit=${submit}>
    <div class="field"><label for="username">${words.name}</label>
      <input id="username" name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required /></div>
    <div class="field"><label for="password">${words.password}</label>
      <input id="password" name="password" type="password" autocomplete="current-password" required /></div>
    <button class=${first ? 'main' : ''} disabled=${busy}>${busy ? words.checking : words.button}</button>
  </form>`;
}

// refusal is why a name and a password are not taken.
function refusal(problem) {
  if (problem.status === 401) return words.wrongPassword;
  return problem.status === 429 && problem.wait ? words.limited(problem.wait) : problem.message;
}

function TokenForm({ run, busy, first }) {
  const submit = (event) => {
    event.preventDefault();
    const { token } = Object.fromEntries(new FormData(event.target));
    run(() => signIn(token.trim()), (problem) => (problem.status === 401 ? words.refused : problem.message));
  };
  return html`<form onSubmit=${submit}>
    <p class="faint">${words.lead}</p>
    ${first && html`<input name="username" autocomplete="username" value="ERP Connector" readonly hidden />`}
    <div class="field">
      <label for="token">${words.token}</label>
      <input id="token" name="token" type="password" autocomplete=${first ? 'current-password' : 'off'} required spellcheck="false" aria-describedby="token-hint" />
      <p class="hint" id="token-hint">${words.hint}</p>
    </div>
    <button class=${first ? 'main' : ''} disabled=${busy}>${busy ? words.checking : words.button}</button>
  </form>`;
}

// atProvider leaves for the identity provider. This tab keeps where it was; the provider and our server are not told.
function atProvider() {
  sessionStorage.setItem(placeKept, location.pathname + location.hash);
  location.assign('/console/session/begin');
}

// comeBack is how a sign-in at the provider has ended, if this page is opened at its end. The address becomes the one where it began.
export function comeBack() {
  const how = new URLSearchParams(location.hash.slice(1)).get('signin');
  if (!how) return undefined;
  history.replaceState(null, '', sessionStorage.getItem(placeKept) || '/console');
  sessionStorage.removeItem(placeKept);
  return how;
}
