import { html, useEffect, useRef, useState } from './lib/preact.js';
import { get, signIn } from './api.js';
import { Notice } from './notice.js';
import { texts } from './texts.js';

// SignIn takes a token, and says in a sentence why it is refused.
export function SignIn({ error, enter }) {
  const [state, set] = useState({ error });
  const field = useRef();
  useEffect(() => {
    document.title = `${texts.signIn.title} – ERP Connector`;
    field.current.focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    set({ busy: true });
    try {
      await signIn(field.current.value.trim());
    } catch (problem) {
      set({ error: problem.status === 401 ? texts.signIn.refused : problem.message });
      return;
    }
    get('/me').then(enter, (problem) => set({ error: problem.status === 401 ? texts.signIn.noCookie : problem.message }));
  };
  return html`<header class="top"><span class="brand">ERP Connector</span></header>
    <main><form class="card signin" onSubmit=${submit}>
      <h1>${texts.signIn.title}</h1>
      <p class="faint">${texts.signIn.lead}</p>
      ${state.error && html`<${Notice} bad>${state.error}</${Notice}>`}
      <input name="username" autocomplete="username" value="ERP Connector" readonly hidden />
      <div class="field">
        <label for="token">${texts.signIn.token}</label>
        <input id="token" ref=${field} type="password" autocomplete="current-password" required spellcheck="false" aria-describedby="token-hint" />
        <p class="hint" id="token-hint">${texts.signIn.hint}</p>
      </div>
      <button class="main" disabled=${state.busy}>${state.busy ? texts.signIn.checking : texts.signIn.button}</button>
    </form></main>`;
}
