// Whether calls go out to the ERP, how many, and stopping them by hand.
import { html } from './lib/preact.js';
import { post } from './api.js';
import { say } from './notice.js';
import { ask, reasonField } from './question.js';
import { mayAll } from './session.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.erp;
const tone = { closed: 'good', closing: 'warn', probing: 'warn', open: 'bad' };

export function ErpCard({ erp, reload }) {
  const change = async (path, q) => {
    const answer = await ask({ title: q.title, text: q.ask, button: q.do, danger: path === 'open', fields: [reasonField], run: ({ reason }) => post('/erp/' + path, { reason }) });
    if (!answer) return;
    say(answer.waits_for ? words.each(answer.waits_for) : words.allOut);
    reload();
  };
  const fact = (name, value) => value !== undefined && value !== null && html`<div><dt>${words.facts[name]}</dt><dd>${value}</dd></div>`;
  const time = (name) => fact(name, erp[name] && html`<${Time} at=${erp[name]} />`);
  return html`<section class="card">
    <div class="head"><h2>${words.title} <span class="badge ${erp.processes ? tone[erp.state] : 'warn'}">${erp.processes ? words.states[erp.state] : words.nobody}</span></h2>
      ${mayAll('manage') && (erp.state === 'closed'
        ? html`<button class="danger" onClick=${() => change('open', words.open)}>${words.open.button}</button>`
        : html`<button class="main" onClick=${() => change('close', words.close)}>${words.close.button}</button>`)}</div>
    ${erp.waits_for && html`<p>${words.each(erp.waits_for)}</p>`}
    <dl class="facts">
      ${fact('in_flight', words.ofAtMost(erp.in_flight, erp.limit, erp.max_in_flight))}
      ${fact('rate', erp.rate ? words.aSecond(Number(erp.rate.toPrecision(3))) : words.noLimit)}
      ${fact('processes', erp.processes)}
      ${time('stopped_since')}${time('next_probe_at')}${time('held_until')}${time('window_until')}
      ${erp.last_probe && fact('last_probe', html`${erp.last_probe.verdict}: ${erp.last_probe.said} (<${Time} at=${erp.last_probe.at} />)`)}
    </dl>
    ${erp.history.length > 0 && html`<details><summary>${words.history}</summary><ul>${erp.history.slice(0, 15).map((h) => html`<li key=${h.id}>
      <${Time} at=${h.at} whole /> ${words.states[h.from] || h.from} → ${words.states[h.to] || h.to}, ${h.by}: ${h.why}</li>`)}</ul></details>`}
  </section>`;
}
