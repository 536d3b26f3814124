// What is wrong, the most frequent first, and sending it all again once the cause is mended.
import { html, useState } from './lib/preact.js';
import { get } from './api.js';
import { useLoad, useTimer } from './hooks.js';
import { Jobs } from './jobs.js';
import { Failure, Notice, say } from './notice.js';
import { resendAll, resendOne } from './resend.js';
import { href, useRoute } from './router.js';
import { may } from './session.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.failures;
const interval = 5000;

export function Failures() {
  const { params } = useRoute();
  const status = params.all ? '' : 'failed';
  const { data, error, reload } = useLoad((signal) => get('/syncs/errors', { status, source: params.source, limit: 500 }, { signal }), [status, params.source]);
  const [turn, setTurn] = useState(0);
  useTimer(reload, interval);

  const done = () => { setTurn((n) => n + 1); reload(); };
  const resend = (how, group) => how(group, params.source, done).catch((problem) => say(problem.message, true));
  const tab = (all, name) => html`<a href=${href('failures', { all })} aria-current=${(params.all || '') === all ? 'true' : undefined}>${name}</a>`;
  return html`
    <div class="head"><h1>${words.title}</h1></div>
    <nav class="tabs" aria-label=${words.which}>${tab('', words.failed)}${tab('yes', words.andRetries)}</nav>
    <${Failure} error=${error} />
    <${Jobs} turn=${turn} moved=${reload} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${data && (data.errors.length ? html`<${Groups} groups=${data.errors} status=${status} resend=${resend} />` : html`<${Notice} good>${words.none}</${Notice}>`)}`;
}

// columnsOf are those of the table. What the ERP's answers do not say has none.
const columnsOf = (groups) => ['error', 'erp_code', 'field', 'orders', 'first', 'last', 'todo'].filter((name) => !['erp_code', 'field'].includes(name) || groups.some((g) => g[name]));

function Groups({ groups, status, resend }) {
  const columns = columnsOf(groups);
  const said = (g, name) => columns.includes(name) && html`<td data-label=${words.columns[name]}>${g[name] ? html`<code>${g[name]}</code>` : html`<span class="none">–</span>`}</td>`;
  return html`<div class="card table kinds"><table>
    <caption class="hidden">${words.title}</caption>
    <thead><tr>${columns.map((name) => html`<th scope="col" class=${name === 'orders' ? 'number' : ''}>${words.columns[name]}</th>`)}</tr></thead>
    <tbody>${groups.map((g) => html`<tr key=${g.error_group}>
      <td data-label=${words.columns.error}><div><strong>${g.error}</strong><div class="faint">${[g.http_status && texts.order.http(g.http_status), g.error_code].filter(Boolean).join(' · ')}</div></div></td>
      ${said(g, 'erp_code')}${said(g, 'field')}
      <td class="number" data-label=${words.columns.orders}>${g.syncs.toLocaleString()}</td>
      <td data-label=${words.columns.first}><${Time} at=${g.first_seen} /></td>
      <td data-label=${words.columns.last}><${Time} at=${g.last_seen} /></td>
      <td class="wide" data-label=${words.columns.todo}><${Actions} group=${g} status=${status} resend=${resend} /></td></tr>`)}</tbody>
  </table></div>`;
}

function Actions({ group, status, resend }) {
  const canResend = status === 'failed' && may('resync');
  return html`<div class="row">
    <a class="button" href=${href('orders', { error_group: group.error_group, status })}>${words.orders}</a>
    ${canResend && group.syncs > 1 && html`<button onClick=${() => resend(resendOne, group)}>${words.one}</button>`}
    ${canResend && html`<button onClick=${() => resend(group.syncs > 1 ? resendAll : resendOne, group)}>${words.all(group.syncs)}</button>`}
  </div>`;
}
