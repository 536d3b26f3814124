// The filters that are on, each as a chip, and a form that adds one.
import { html, useRef, useState } from './lib/preact.js';
import { Menu } from './shell.js';
import { texts } from './texts.js';

const words = texts.orders;
const onTabs = ['status'];

export function Chips({ params, by, shops, change }) {
  const on = Object.entries(params).filter(([name, value]) => words.filters[name] && value && !(onTabs.includes(name) && texts.statuses[value]));
  const shown = (name, value) => (name === 'status' ? value.split(',').map((s) => texts.statuses[s] || s).join(', ') : value);
  const guessed = Object.entries(by || {});
  return html`<div class="bar">
    <${Add} shops=${shops} change=${change} />
    ${guessed.map(([name, value]) => html`<${Chip} label=${`${words.filters[name]}: ${value}`} remove=${() => change({ q: '' })} />`)}
    ${on.map(([name, value]) => html`<${Chip} label=${`${words.filters[name]}: ${shown(name, value)}`} remove=${() => change({ [name]: '' })} />`)}
    ${on.length + guessed.length > 1 && html`<button class="plain" onClick=${() => change({ q: '', ...Object.fromEntries(on.map(([name]) => [name, ''])) })}>${words.clear}</button>`}
  </div>`;
}

const Chip = ({ label, remove }) => html`<span class="chip"><span>${label}</span><button aria-label=${texts.remove(label)} onClick=${remove}>✕</button></span>`;

function Add({ shops, change }) {
  const [name, choose] = useState('source');
  const field = useRef();
  const hint = name.endsWith('since') || name.endsWith('until') ? words.filterHints.time : words.filterHints[name];
  const known = { source: shops.map((s) => s.source), status: Object.keys(texts.live.statuses) }[name] || [];
  const submit = (event) => {
    event.preventDefault();
    const value = field.current.value.trim();
    field.current.value = '';
    event.target.closest('details').open = false;
    if (value) change({ [name]: value });
  };
  return html`<${Menu} name=${'+ ' + words.addFilter} id="add-filter"><form onSubmit=${submit}>
    <div class="field"><label for="filter">${words.addFilter}</label>
      <select id="filter" value=${name} onChange=${(e) => { choose(e.target.value); field.current.focus(); }}>
        ${Object.entries(words.filters).map(([n, label]) => html`<option value=${n}>${label}</option>`)}
      </select></div>
    <div class="field"><label for="filter-value">${words.filters[name]}</label>
      <input id="filter-value" ref=${field} autocomplete="off" spellcheck="false" list="filter-known" aria-describedby="filter-hint" />
      <datalist id="filter-known">${known.map((value) => html`<option value=${value} />`)}</datalist>
      <p class="hint" id="filter-hint">${hint}</p></div>
    <button class="main">${words.apply}</button>
  </form></${Menu}>`;
}
