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

function Groups({ groups, status, resend }) {
  const canResend = status === 'failed' && may('resync');
  return html`<div class="card table"><table>
    <caption class="hidden">${words.title}</caption>
    <thead><tr>${words.columns.map((name, i) => html`<th scope="col" class=${i === 1 ? 'number' : ''}>${name}</th>`)}</tr></thead>
    <tbody>${groups.map((g) => html`<tr key=${g.error_group}>
      <td data-label=${words.columns[0]}><div><strong>${g.error}</strong><div class="faint">${[g.http_status && texts.order.http(g.http_status), g.error_code].filter(Boolean).join(' · ')}</div></div></td>
      <td class="number" data-label=${words.columns[1]}>${g.syncs.toLocaleString()}</td>
      <td data-label=${words.columns[2]}><${Time} at=${g.first_seen} /></td>
      <td data-label=${words.columns[3]}><${Time} at=${g.last_seen} /></td>
      <td class="wide" data-label=${words.columns[4]}><div class="row">
        <a class="button" href=${href('orders', { error_group: g.error_group, status })}>${words.orders}</a>
        ${canResend && g.syncs > 1 && html`<button onClick=${() => resend(resendOne, g)}>${words.one}</button>`}
        ${canResend && html`<button onClick=${() => resend(g.syncs > 1 ? resendAll : resendOne, g)}>${words.all(g.syncs)}</button>`}
      </div></td></tr>`)}</tbody>
  </table></div>`;
}
