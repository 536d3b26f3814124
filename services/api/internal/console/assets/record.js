// The record of a fact: its place in the log, and what was sent or answered when somebody asks for it.
import { html, useState } from './lib/preact.js';
import { base, get } from './api.js';
import { indented } from './json.js';
import { Failure } from './notice.js';
import { may } from './session.js';
import { texts } from './texts.js';

const words = texts.order;

const pathOf = (fact, sync) => `/syncs/${sync.sync_id}/events/${fact.topic}/${fact.partition}/${fact.offset}`;

// Place is where the record stands. Who may see what was sent can open it as JSON.
export function Place({ fact, sync }) {
  const text = `${fact.topic}/${fact.partition}/${fact.offset}`;
  return html`<span class="place" title=${words.place}>${may('manage')
    ? html`<a href="${base}${pathOf(fact, sync)}" target="_blank" aria-label=${words.rawRecord(text)}>${text}</a>` : text}</span>`;
}

// Record is a line with a name and a place, and a button that shows the content below.
export function Record({ fact, sync, name, button }) {
  const [state, set] = useState({});
  const show = () => (state.value ? set({}) : get(pathOf(fact, sync)).then(({ value }) => set({ value }), (error) => set({ error })));
  return html`<div class="record">
    <span class="name">${name}</span><${Place} fact=${fact} sync=${sync} />
    ${may('manage') && html`<button class="small" aria-expanded=${Boolean(state.value)} onClick=${show}>${state.value ? words.hide : button}</button>`}
  </div>
  <${Failure} error=${state.error} />
  ${state.value && html`<${Content} value=${state.value} />`}`;
}

// Content is the payload of a request, or an answer with its status and headers.
function Content({ value }) {
  const { payload, response } = value;
  if (!response) return html`<pre tabindex="0">${payload ? indented(payload) : words.noAnswer}</pre>`;
  const headers = Object.entries(response.headers || {}).map(([name, text]) => `${name}: ${text}`);
  return html`<pre tabindex="0">${[words.http(String(response.status)), ...headers, '', response.body ? indented(response.body) : words.emptyBody,
    response.truncated ? '\n' + words.truncated : ''].join('\n').trim()}</pre>`;
}
