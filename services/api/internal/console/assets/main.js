import { html, render, useEffect, useErrorBoundary, useState } from './lib/preact.js';
import { get, hasSignedIn, noteSignIn, onOtherTab, onUnknown } from './api.js';
import { catchLinks, useRoute } from './router.js';
import { may, mayAll, setWho } from './session.js';
import { Alerts } from './alerts.js';
import { Audit } from './audit.js';
import { DeadLetters } from './dead_letters.js';
import { Failures } from './failures.js';
import { Live } from './live.js';
import { Notice, say } from './notice.js';
import { Order } from './order.js';
import { Orders } from './orders.js';
import { Overview } from './overview.js';
import { Quarantine } from './quarantine.js';
import { Settings } from './settings.js';
import { Shell } from './shell.js';
import { comeBack, SignIn } from './signin.js';
import { texts } from './texts.js';
import { local, parse } from './time.js';
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
  useEffect(() => { document.title = `${texts.shell.pages[name] || (name ? texts.nothingHere : texts.nothingOffered.title)} – ERP Connector`; }, [name]);
  if (error) {
    console.error(error);
    return html`<h1>${texts.shell.pages[name]}</h1><${Notice} bad>${texts.wrong}</${Notice}>`;
  }
  if (!name) return html`<h1>${texts.nothingOffered.title}</h1><${Notice}>${texts.nothingOffered.text}</${Notice}>`;
  return pages[name] ? pages[name].show(route) : html`<h1>${texts.nothingHere}</h1>`;
}

const warnBefore = 120000; // milliseconds
const longestTimer = 2 ** 31 - 1;

// useWarning says in time that the session ends: what somebody is writing would be in vain.
function useWarning(end) {
  useEffect(() => {
    const left = end ? parse(end) - Date.now() - warnBefore : -1;
    if (left < 0 || left > longestTimer) return undefined;
    const timer = setTimeout(() => say(texts.signIn.ends(local(end)), true), left);
    return () => clearTimeout(timer);
  }, [end]);
}

function App({ back }) {
  const route = useRoute();
  const [state, set] = useState({});
  const leave = (error) => set({ out: true, error });
  // enter asks who has signed in. It gives the problem if that is nobody.
  const enter = async () => {
    try {
      const me = await get('/me');
      setWho(me);
      set({ me });
      return undefined;
    } catch (problem) {
      return problem;
    }
  };
  const begin = async (refused) => {
    const problem = await enter();
    if (problem) leave(problem.status === 401 ? refused : problem.message);
    else if (refused) noteSignIn();
  };
  useEffect(() => {
    if (back === 'done') begin(texts.signIn.noCookie);
    else if (back) leave(texts.signIn.back[back] || texts.signIn.back.refused);
    else if (hasSignedIn()) begin();
    else leave();
    onUnknown(() => set((s) => (s.me ? { out: true, error: texts.signIn.ended } : s)));
    onOtherTab((signedIn) => (signedIn ? begin() : leave()));
  }, []);
  useWarning(state.me?.expires_at);
  if (state.out) return html`<${SignIn} error=${state.error} enter=${enter} />`;
  if (!state.me) return html`<header class="top"><span class="brand">ERP Connector</span></header>`;
  const offered = Object.keys(pages).filter((name) => pages[name].offered());
  return html`<${Shell} key=${state.me.name} me=${state.me} route=${route} offered=${offered} leave=${leave}>
    <${Page} key=${route.page} route=${route} />
  </${Shell}>`;
}

const back = comeBack();
catchLinks();
const app = document.getElementById('app');
app.textContent = '';
render(html`<${App} back=${back} />`, app);
