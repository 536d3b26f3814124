// Bulk jobs: those that are open, and those that ended a short while ago.
import { html } from './lib/preact.js';
import { base, get, post } from './api.js';
import { useLoad, useTimer } from './hooks.js';
import { Notice, say } from './notice.js';
import { may } from './session.js';
import { texts } from './texts.js';
import { Time } from './time.js';

const words = texts.jobs;
const interval = 1000;
const shownFor = 3600000; // after its end
const newest = 10;

const isOpen = (job) => !job.ended_at;
const isShown = (job) => isOpen(job) || Date.now() - Date.parse(job.ended_at) < shownFor;

// Jobs reads anew each second while one is open, and lets the page do so with it. turn changes when one was started.
export function Jobs({ turn, moved }) {
  const { data, reload } = useLoad((signal) => get('/bulk/jobs', { limit: newest }, { signal }).then((answer) => {
    if (answer.jobs.some(isShown)) moved();
    return answer.jobs.filter(isShown);
  }), [turn]);
  useTimer(reload, data?.some(isOpen) ? interval : 0);
  return html`${(data || []).map((job) => html`<${Job} key=${job.job_id} job=${job} reload=${reload} />`)}`;
}

function Job({ job, reload }) {
  const { selected, done, succeeded, failed, refused, sent } = job.orders;
  const change = (what) => () => post(`/bulk/jobs/${job.job_id}/${what}`, {}).then(reload, (problem) => say(problem.message, true));
  const mine = may(job.command === 'resync' ? 'resync' : 'manage') && isOpen(job);
  return html`<section class="card" aria-live="polite">
    <h2>${words.title(words.commands[job.command], job.job_id)} <span class="faint">${words.states[job.state]}</span></h2>
    <progress max=${selected || 1} value=${done} aria-label=${words.progress}></progress>
    <p>${words.said(done, selected)} ${words.parts(succeeded, failed, refused, sent)}</p>
    ${job.why && html`<${Notice} bad=${job.state === 'paused' && job.canary.state === 'failed'}>${job.why}</${Notice}>`}
    ${job.waits_for && html`<${Notice}>${words.waits(job.waits_for)}</${Notice}>`}
    <div class="row">
      ${mine && job.state !== 'paused' && html`<button onClick=${change('pause')}>${words.pause}</button>`}
      ${mine && job.state === 'paused' && html`<button class="main" onClick=${change('resume')}>${words.resume}</button>`}
      ${mine && html`<button onClick=${change('stop')}>${words.stop}</button>`}
      <a class="button" href="${base}/bulk/jobs/${job.job_id}/results" target="_blank">${words.results}</a>
      <span class="faint">${words.by(job.started_by)} <${Time} at=${job.started_at} /></span>
    </div>
  </section>`;
}
