import { html, render, useEffect, useErrorBoundary, useState } from './lib/preact.js';
import { get, hasSignedIn, onUnknown } from './api.js';
import { catchLinks, useRoute } from './router.js';
import { may, mayAll, setWho } from './session.js';
import { Alerts } from './alerts.js';
import { Audit } from './audit.js';
import { DeadLetters } from './dead_letters.js';
import { Failures } from './failures.js';
import { Live } from './live.js';
import { Notice } from './notice.js';
import { Order } from './order.js';
import { Orders } from './orders.js';
import { Overview } from './overview.js';
import { Quarantine } from './quarantine.js';
import { Settings } from './settings.js';
import { Shell } from './shell.js';
import { SignIn } from './signin.js';
import { texts } from './texts.js';
import { Tokens } from './tokens.js';
import { User } from './user.js';
import { Users } from './users.js';

// The pages, in the order of the menu. One that the token cannot use is not offered.
const pages = {
  overview: { show: () => html`<${Overview} />`, offered: () => may('view_status') },
  orders: { show: ({ id }) => (id ? html`<${Order} key=${id} id=${id} />` : html`<${Orders} />`), offered: () => may('view_status') },
  failures: { show: () => html`<${Failures} />`, offered: () => may('view_status') },
  live: { show: () => html`<${Live} />`, offered: () => may('view_status') },
  quarantine: { show: () => html`<${Quarantine} />`, offered: () => may('view_status') },
  'dead-letters': { show: () => html`<${DeadLetters} />`, offered: () => mayAll('manage') },
  alerts: { show: () => html`<${Alerts} />`, offered: () => mayAll('view_status') },
  audit: { show: () => html`<${Audit} />`, offered: () => mayAll('manage') },
  settings: { show: () => html`<${Settings} />`, offered: () => mayAll('config') },
  tokens: { show: () => html`<${Tokens} />`, offered: () => mayAll('tokens') },
  users: { show: ({ id }) => (id ? html`<${User} key=${id} id=${id} />` : html`<${Users} />`), offered: () => mayAll('tokens') },
};

function Page({ route }) {
  const [error] = useErrorBoundary();
  const offered = Object.keys(pages).filter((name) => pages[name].offered());
  const name = route.page || offered[0];
  useEffect(() => { document.title = `${texts.shell.pages[name] || texts.nothingHere} – ERP Connector`; }, [name]);
  if (error) {
    console.error(error);
    return html`<h1>${texts.shell.pages[name]}</h1><${Notice} bad>${texts.wrong}</${Notice}>`;
  }
  return pages[name] ? pages[name].show(route) : html`<h1>${texts.nothingHere}</h1>`;
}

function App() {
  const route = useRoute();
  const [state, set] = useState({});
  const enter = () => get('/me').then(
    (me) => { setWho(me); set({ me }); },
    (error) => set({ out: true, error: error.status === 401 ? undefined : error.message }),
  );
  useEffect(() => {
    if (hasSignedIn()) enter();
    else set({ out: true });
    onUnknown(() => set((s) => (s.me ? { out: true, error: texts.signIn.ended } : s)));
  }, []);
  if (state.out) return html`<${SignIn} error=${state.error} enter=${enter} />`;
  if (!state.me) return html`<header class="top"><span class="brand">ERP Connector</span></header>`;
  const offered = Object.keys(pages).filter((name) => pages[name].offered());
  return html`<${Shell} me=${state.me} route=${route} offered=${offered} leave=${() => set({ out: true })}>
    <${Page} key=${route.page} route=${route} />
  </${Shell}>`;
}

catchLinks();
const app = document.getElementById('app');
app.textContent = '';
render(html`<${App} />`, app);
