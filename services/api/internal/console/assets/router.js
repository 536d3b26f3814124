// What is shown is named by the path, and how by the fragment: /console/orders#status=failed. What stands behind # stays in the
// browser, so no log of a proxy holds the e-mail address that somebody searches for.
import { useEffect, useState } from './lib/preact.js';

const root = '/console';

export function here() {
  const [page = '', id = ''] = location.pathname.slice(root.length + 1).split('/');
  return { page, id, params: Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
}

export function href(path, params = {}) {
  const text = new URLSearchParams(Object.entries(params).filter(([, value]) => value)).toString();
  return `${root}/${path}${text && '#' + text}`;
}

export function go(path, params, replace = false) {
  history[replace ? 'replaceState' : 'pushState'](null, '', href(path, params));
  dispatchEvent(new Event('moved'));
}

// useRoute is where we are, now and after each move.
export function useRoute() {
  const [route, set] = useState(here());
  useEffect(() => {
    const moved = () => set(here());
    const names = ['moved', 'popstate', 'hashchange'];
    names.forEach((name) => addEventListener(name, moved));
    return () => names.forEach((name) => removeEventListener(name, moved));
  }, []);
  return route;
}

// Links of the console do not load the page anew.
export function catchLinks() {
  document.addEventListener('click', (event) => {
    const link = event.target.closest?.('a[href]');
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || link.target || link.download) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || !(url.pathname + '/').startsWith(root + '/')) return;
    event.preventDefault();
    history.pushState(null, '', url.pathname + url.hash);
    dispatchEvent(new Event('moved'));
    scrollTo(0, 0);
  });
}
