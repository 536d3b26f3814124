// What is wrong, the most frequent first, and sending it all again once the cause is mended.
import { html, useEffect, useRef, useState } from './lib/preact.js';
import { get } from './api.js';
import { useLoad, useTimer } from './hooks.js';
import { Failure, Notice } from './notice.js';
import { ask } from './question.js';
import { resendGroup } from './resend.js';
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
  const [job, setJob] = useState();
  const stop = useRef(new AbortController());
  useTimer(reload, interval);
  useEffect(() => () => stop.current.abort(), []);

  const resend = async (group, most) => {
    const n = Math.min(most, group.syncs);
    if (!await ask({ title: words.ask(n), text: `${group.error}\n${words.askText}`, button: words.do(n), run: async () => {} })) return;
    stop.current = new AbortController();
    await resendGroup(group, n, stop.current.signal, (state) => setJob({ ...state, group }));
    reload();
  };
  const tab = (all, name) => html`<a href=${href('failures', { all })} aria-current=${(params.all || '') === all ? 'true' : undefined}>${name}</a>`;
  return html`
    <div class="head"><h1>${words.title}</h1></div>
    <nav class="tabs" aria-label=${words.which}>${tab('', words.failed)}${tab('yes', words.andRetries)}</nav>
    <${Failure} error=${error} />
    <${Job} job=${job} stop=${() => stop.current.abort()} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${data && (data.errors.length ? html`<${Groups} groups=${data.errors} status=${status} busy=${job?.running} resend=${resend} />` : html`<${Notice} good>${words.none}</${Notice}>`)}`;
}

function Groups({ groups, status, busy, resend }) {
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
        ${canResend && g.syncs > 1 && html`<button disabled=${busy} onClick=${() => resend(g, 1)}>${words.one}</button>`}
        ${canResend && html`<button disabled=${busy} onClick=${() => resend(g, Infinity)}>${words.all(g.syncs)}</button>`}
      </div></td></tr>`)}</tbody>
  </table></div>`;
}

function Job({ job, stop }) {
  if (!job) return null;
  const { done, total, refused, last, running } = job;
  return html`<section class="card" aria-live="polite">
    <h2>${running ? words.running(job.group.error) : words.ended}</h2>
    <progress max=${total} value=${done} aria-label=${words.progress}></progress>
    <p>${words.said(done, total, refused.length)} ${last && html`<a href=${href('orders/' + last.sync_id)}>${words.last(last.order_increment_id)}</a>`}</p>
    ${refused.slice(0, 5).map((text) => html`<${Notice} bad>${text}</${Notice}>`)}
    ${running && html`<button onClick=${stop}>${words.stop}</button> <span class="faint">${words.leaving}</span>`}
  </section>`;
}
