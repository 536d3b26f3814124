// One run of an audit or a verification: what it came to in a sentence, what was counted, and what was found.
import { html } from './lib/preact.js';
import { get } from './api.js';
import { useLoad } from './hooks.js';
import { Failure } from './notice.js';
import { href } from './router.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.audit;
const alive = ['outbox', 'held', 'requested', 'parked', 'due', 'set_aside'];

export const toneOf = (run) => (run.state === 'failed' ? 'warn' : run.state !== 'done' ? '' : run.clean ? 'good' : 'bad');

// sayRun is what a run came to.
export function sayRun(run) {
  if (run.state === 'failed' || run.state === 'cancelled') return run.error;
  if (run.state !== 'done') return words.states[run.state];
  const c = run.counts;
  if (run.kind === 'verify') return words.verified(run.found, c.rows, c.timeline);
  return words.audited(run.found, c.accepted, c.success + c.failed, alive.reduce((sum, name) => sum + c[name], 0), c.not_requested, c.broken);
}

// sayWho says who has asked for a run, and how.
export const sayWho = (run) => (run.made_by === 'command' ? words.byCommand(run.asked_by, run.kind) : words.by(run.asked_by));

// AuditRun shows a run by its number; findings alone where the rest stands above.
export function AuditRun({ id, findingsOnly }) {
  const { data: run, error } = useLoad((signal) => get('/audits/' + id, {}, { signal }), [id]);
  if (error) return html`<${Failure} error=${error} />`;
  if (!run) return html`<p class="faint">${texts.loading}</p>`;
  return html`<section class="card" data-run=${id}>
    <h2>${words.run(words.kinds[run.kind].name, run.audit_id)}</h2>
    ${!findingsOnly && html`<${Facts} run=${run} />`}
    ${run.findings.length > 0 && html`<${Findings} run=${run} />`}
  </section>`;
}

function Facts({ run }) {
  const fact = (name, value) => value && html`<div><dt>${words.facts[name]}</dt><dd>${value}</dd></div>`;
  const time = (name) => fact(name, run[name] && html`<${Time} at=${run[name]} whole />`);
  const counts = Object.entries(words.counts[run.kind]).filter(([name]) => run.counts?.[name] !== undefined);
  return html`<div class="notice said ${toneOf(run)}">${sayRun(run)}</div>
    <dl class="facts">
      ${fact('asked_by', run.asked_by)}${fact('made_by', run.made_by === 'command' && words.command(run.kind))}${fact('reason', run.reason)}${time('started_at')}${time('ended_at')}${time('from')}${time('to_time')}${fact('source', run.source)}
      ${counts.map(([name, text]) => html`<div><dt>${text}</dt><dd>${run.counts[name].toLocaleString()}</dd></div>`)}
    </dl>`;
}

function Findings({ run }) {
  const columns = words.findingColumns;
  return html`<h3>${words.findings(run.found, run.findings.length)}</h3>
    <div class="table"><table>
      <caption class="hidden">${words.findingsOf}</caption>
      <thead><tr>${columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${run.findings.map((f, i) => html`<tr key=${i}>
        <td data-label=${columns[0]}><${OrderLink} f=${f} /></td>
        <td data-label=${columns[1]}><span><span class="mono">${f.kind}</span>${f.where && html`<br /><span class="faint">${f.where}</span>`}</span></td>
        <td data-label=${columns[2]}><span>${f.means}</span></td>
      </tr>`)}</tbody>
    </table></div>`;
}

// OrderLink leads to the order, if the table has it: not to one whose row is missing.
function OrderLink({ f }) {
  const name = f.order_increment_id || (f.sync_id && words.sync(f.sync_id));
  if (!name) return html`<span class="none">–</span>`;
  const shop = f.source && f.source !== 'default' && html` <span class="faint">${f.source}</span>`;
  if (f.kind === 'row_only_in_log') return html`<span>${name}${shop}</span>`;
  return html`<span><a href=${f.sync_id ? href('orders/' + f.sync_id) : href('orders', { order: f.order_increment_id, source: f.source })}>${name}</a>${shop}</span>`;
}
