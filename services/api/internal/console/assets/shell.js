// What is around each page: the menu, the theme, who is signed in.
import { html, useEffect, useRef, useState } from './lib/preact.js';
import { signOut } from './api.js';
import { Toasts } from './notice.js';
import { href } from './router.js';
import { shortName } from './session.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.shell;

// What is done once in a while stands apart from what is done all day.
const managing = ['alerts', 'audit', 'settings', 'tokens', 'users'];

export function Shell({ me, route, offered, leave, children }) {
  const main = useRef();
  const first = useRef(true);
  const [open, setOpen] = useState(false);
  useEffect(() => { // who moves by keyboard or hears the page begins at its top
    if (!first.current) main.current.focus({ preventScroll: true });
    first.current = false;
    setOpen(false);
  }, [route.page, route.id]);
  const page = route.page || offered[0];
  return html`
    <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current.focus(); }}>${words.skip}</a>
    <header class="top">
      <button class="opener" aria-label=${words.open} aria-expanded=${open} aria-controls="menu" onClick=${() => setOpen(!open)}>☰</button>
      <a class="brand" href=${href('')}>ERP Connector</a>
      <div class="tools"><${Theme} /><${Who} me=${me} leave=${leave} /></div>
    </header>
    <div class="frame">
      <nav id="menu" class=${open ? 'open' : ''} aria-label=${words.menu} onKeyDown=${(e) => e.key === 'Escape' && setOpen(false)}>
        <${Group} name=${words.work} pages=${offered.filter((name) => !managing.includes(name))} page=${page} />
        <${Group} name=${words.manage} pages=${offered.filter((name) => managing.includes(name))} page=${page} />
      </nav>
      <main id="main" tabindex="-1" ref=${main}>${children}</main>
    </div>
    <${Toasts} />`;
}

function Group({ name, pages, page }) {
  return pages.length > 0 && html`<p>${name}</p>
    <ul>${pages.map((p) => html`<li><a href=${href(p)} aria-current=${page === p ? 'page' : undefined}>${words.pages[p]}</a></li>`)}</ul>`;
}

function Theme() {
  const [chosen, set] = useState(localStorage.getItem('theme') || '');
  const choose = (theme) => {
    set(theme);
    localStorage.setItem('theme', theme);
    document.documentElement.dataset.theme = theme;
  };
  return html`<label class="hidden" for="theme">${words.theme}</label>
    <select id="theme" value=${chosen} onChange=${(e) => choose(e.target.value)}>
      ${Object.entries(words.themes).map(([theme, name]) => html`<option value=${theme}>${name}</option>`)}
    </select>`;
}

function Who({ me, leave }) {
  const out = () => signOut().then(() => leave(), (problem) => leave(problem.message));
  return html`<${Menu} name=${me.name}>
    <p><strong>${me.name}</strong><br /><span class="faint">${me.source ? words.shop(me.source) : words.allShops}, ${' '}
      ${me.expires_at ? html`${words.until} <${Time} at=${me.expires_at} whole />` : words.noEnd}</span></p>
    <p>${words.may} ${me.resources.map(shortName).join(', ')}</p>
    <button onClick=${out}>${words.signOut}</button>
  </${Menu}>`;
}

// Menu opens below its button, and closes by Escape and by a click elsewhere.
export function Menu({ name, children, id }) {
  const menu = useRef();
  useEffect(() => {
    const close = (event) => {
      if (!menu.current.open) return;
      if (event.type === 'keydown' ? event.key !== 'Escape' : menu.current.contains(event.target)) return;
      menu.current.open = false;
      if (event.type === 'keydown') menu.current.firstElementChild.focus();
    };
    ['keydown', 'click'].forEach((kind) => addEventListener(kind, close));
    return () => ['keydown', 'click'].forEach((kind) => removeEventListener(kind, close));
  }, []);
  return html`<details class="menu" ref=${menu} id=${id}><summary class="button">${name}</summary><div>${children}</div></details>`;
}
