// Sentences for the reader: in the page, and for some seconds in its corner.
import { html, useEffect, useState } from './lib/preact.js';
import { texts } from './texts.js';

export function Notice({ bad, good, children }) {
  return html`<div class="notice ${bad ? 'bad' : good ? 'good' : ''}" role=${bad ? 'alert' : 'status'}>${children}</div>`;
}

export const Failure = ({ error }) => (error ? html`<${Notice} bad>${error.message}</${Notice}>` : null);

const shownFor = 8000; // milliseconds; what went wrong stays until it is closed
let add = () => {};

// say shows a sentence in the corner.
export const say = (text, bad = false) => add({ text, bad });

export function Toasts() {
  const [all, set] = useState([]);
  const drop = (one) => set((list) => list.filter((other) => other !== one));
  useEffect(() => {
    add = (one) => {
      set((list) => [...list.slice(-3), one]);
      if (!one.bad) setTimeout(() => drop(one), shownFor);
    };
  }, []);
  return html`<section class="toasts" aria-live="polite" aria-label=${texts.shell.notices}>
    ${all.map((one) => html`<div class="notice ${one.bad ? 'bad' : 'good'}"><span>${one.text}</span>
      <button class="plain" aria-label=${texts.close} onClick=${() => drop(one)}>✕</button></div>`)}
  </section>`;
}
