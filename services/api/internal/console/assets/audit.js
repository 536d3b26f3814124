// Whether all that was accepted is still there, and the table is what the log says: the newest answers, what was found, and asking anew.
import { html } from './lib/preact.js';
import { get, post } from './api.js';
import { AuditRun, sayRun, sayWho, toneOf } from './audit_run.js';
import { useLoad, useNow, useTimer } from './hooks.js';
import { Failure, say } from './notice.js';
import { ask } from './question.js';
import { href, useRoute } from './router.js';
import { may } from './session.js';
import { texts } from './texts.js';
import { Time, ago, parse, span } from './time.js';

const words = texts.audit;
const kinds = ['audit', 'verify'];
const interval = 1000;
const rareInterval = 10000; // a run may begin that nobody has asked for here
const page = 20;
const mostAtOnce = 500;

const isOpen = (run) => !run.ended_at;
const hasTold = (run) => run.state === 'done' || run.state === 'failed';

export function Audit() {
  const { params } = useRoute();
  const { data, error, reload, set } = useLoad(async (signal) => {
    const limit = Math.min(mostAtOnce, Math.max(page, data?.audits.length || 0));
    const [all, ...newest] = await Promise.all([{ limit }, ...kinds.map((kind) => ({ kind, limit: page }))].map((query) => get('/audits', query, { signal })));
    return { ...all, newest: newest.map(({ audits }) => audits.find(hasTold)) };
  }, []);
  useTimer(reload, rareInterval);
  const more = async () => {
    const next = await get('/audits', { limit: page, cursor: data.next });
    set({ ...data, audits: [...data.audits, ...next.audits], next: next.next });
  };
  const open = data?.audits.filter(isOpen) || [];
  return html`
    <div class="head"><div><h1>${words.title}</h1><p class="faint">${words.lead}</p></div></div>
    <${Failure} error=${error} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${open.map((run) => html`<${Open} key=${run.audit_id} run=${run} ended=${reload} />`)}
    ${data && html`
      <div class="two">${kinds.map((kind, i) => html`<${Newest} kind=${kind} run=${data.newest[i]} busy=${open.some((run) => run.made_by === 'scheduler')} reload=${reload} />`)}</div>
      ${params.run ? html`<${AuditRun} key=${params.run} id=${params.run} />`
      : data.newest.filter((run) => run?.found > 0).map((run) => html`<${AuditRun} key=${run.audit_id} id=${run.audit_id} findingsOnly />`)}
      <${History} runs=${data.audits} chosen=${params.run} />
      ${data.next && html`<button onClick=${more}>${texts.more}</button>`}`}`;
}

// Newest is the newest answer of a kind, and the button that asks for another one: the scheduler makes one at a time.
function Newest({ kind, run, busy, reload }) {
  const now = useNow();
  const q = words.kinds[kind];
  const start = async () => {
    const given = ({ from, to_time, source, reason }) => Object.fromEntries(Object.entries({ from, to_time, source, reason }).filter(([, value]) => value));
    const fields = [...(kind === 'audit' ? words.range : []), { name: 'reason', label: words.reason, hint: texts.reasonHint }];
    if (!await ask({ title: q.ask, text: `${q.costs}\n${words.goesOn}`, button: q.do, fields, run: (values) => post('/audits', { kind, ...given(values) }) })) return;
    say(words.asked(q.name));
    reload();
  };
  return html`<section class="card" data-kind=${kind}>
    <div class="head"><h2>${q.name}</h2><button class="main" disabled=${busy} onClick=${start}>${q.button}</button></div>
    <p class="faint">${q.means}</p>
    ${run ? html`<div class="notice said ${toneOf(run)}">${sayRun(run)}</div>
      <p class="faint">${sayWho(run)} ${words.ended} <${Time} at=${run.ended_at} whole />, ${ago(run.ended_at, now)}.</p>`
    : html`<div class="notice">${words.never}</div>`}
    ${kind === 'audit' && may('config') && html`<${ByItself} />`}
  </section>`;
}

// ByItself says whether audits are made that nobody asks for. A setting decides that, so only who may see settings is told.
function ByItself() {
  const { data } = useLoad(async (signal) => (await get('/settings', {}, { signal })).settings.find((s) => s.name === 'audit_interval'), []);
  if (!data) return null;
  return html`<p class="faint">${data.value === '0s' ? words.notByItself : words.byItself(data.value)} <a href=${href('settings')}>audit_interval</a></p>`;
}

// Open is the run that is under way, read anew each second.
function Open({ run, ended }) {
  const { data = run, reload } = useLoad((signal) => get('/audits/' + run.audit_id, {}, { signal }).then((read) => {
    if (!isOpen(read)) ended();
    return read;
  }), []);
  useTimer(reload, interval);
  const cancel = async () => {
    const q = words.cancel;
    if (await ask({ title: q.title, text: q.ask, button: q.do, danger: true, run: () => post(`/audits/${run.audit_id}/cancel`, {}) })) ended();
  };
  const { done, of } = data.progress;
  return html`<section class="card" aria-live="polite">
    <div class="head"><h2>${words.kinds[run.kind].name} <span class="badge info">${words.states[data.state]}</span></h2><button onClick=${cancel}>${words.cancel.button}</button></div>
    <progress max=${of || 1} value=${of ? done : undefined} aria-label=${words.progress}></progress>
    <p>${of ? words.far(done, of) : words.begins} ${data.begun > 1 && words.again(data.begun)}</p>
    <p class="faint">${sayWho(run)} ${words.began} <${Time} at=${run.asked_at} />${run.reason && `: ${run.reason}`}</p>
  </section>`;
}

function History({ runs, chosen }) {
  if (!runs.length) return null;
  const columns = words.columns;
  return html`<section class="card table"><table>
    <caption class="hidden">${words.history}</caption>
    <thead><tr>${columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
    <tbody>${runs.map((run) => html`<tr key=${run.audit_id}>
      <td data-label=${columns[0]}><${Time} at=${run.asked_at} whole /></td>
      <td data-label=${columns[1]}><a href=${href('audit', { run: run.audit_id })} aria-current=${chosen === String(run.audit_id) ? 'true' : undefined}>${words.run(words.kinds[run.kind].name, run.audit_id)}</a></td>
      <td data-label=${columns[2]}><span>${sayRun(run)}</span></td>
      <td data-label=${columns[3]}><span>${run.asked_by}${run.made_by === 'command' && html`<br /><span class="faint">${words.command(run.kind)}</span>`}
        ${run.reason && html`<br /><span class="faint">${run.reason}</span>`}</span></td>
      <td data-label=${columns[4]}><${Took} run=${run} /></td>
    </tr>`)}</tbody>
  </table></section>`;
}

// Took is how long a run took, which is known to the second.
function Took({ run }) {
  if (!run.started_at || !run.ended_at) return html`<span class="none">–</span>`;
  const took = parse(run.ended_at) - parse(run.started_at);
  return html`<span>${took < 1000 ? words.inNoTime : span(took)}</span>`;
}
