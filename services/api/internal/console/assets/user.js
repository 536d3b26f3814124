// One user: what they may do, their sessions, and what can be done about them.
import { html } from './lib/preact.js';
import { get, send } from './api.js';
import { useLoad } from './hooks.js';
import { Failure, Notice, say } from './notice.js';
import { ask } from './question.js';
import { go, href } from './router.js';
import { newPassword, showOnce } from './secret.js';
import { longName, shortName } from './session.js';
import { texts } from './texts.js';
import { Time } from './time.js';
import { rightsField, TokenTable } from './tokens.js';
import { Access, passwordField } from './users.js';

const words = texts.users;

export function User({ id }) {
  const { data, error, reload } = useLoad((signal) => Promise.all([get('/users', {}, { signal }), get('/tokens', { user: id }, { signal })]), [id]);
  const user = data?.[0].users.find((u) => String(u.user_id) === id);
  return html`
    <p><a href=${href('users')}>← ${words.title}</a></p>
    <${Failure} error=${error} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${data && !user && html`<h1>${words.title}</h1><${Notice} bad>${words.noSuch}</${Notice}>`}
    ${user && html`<div class="head"><div class="row"><h1>${user.name}</h1><${Access} user=${user} /></div><${Actions} user=${user} reload=${reload} /></div>
      <section class="card"><${Facts} user=${user} /></section>
      <h2>${words.sessions}</h2>
      ${data[1].tokens.length ? html`<${TokenTable} title=${words.sessions} tokens=${data[1].tokens} reload=${reload} />` : html`<${Notice}>${words.noSessions}</${Notice}>`}`}`;
}

function Facts({ user: u }) {
  const by = (at, who) => html`<${Time} at=${at} whole />, ${who}`;
  const facts = [[words.facts.may, u.resources.map(shortName).join(', ')], [words.facts.shop, u.source || texts.tokens.allShops], [words.facts.made, by(u.created_at, u.created_by)],
    u.changed_at && [words.facts.changed, by(u.changed_at, u.changed_by)], u.disabled_at && [words.facts.disabled, by(u.disabled_at, u.disabled_by)]].filter(Boolean);
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Actions({ user, reload }) {
  const change = (body) => send('PATCH', '/users/' + user.user_id, body);
  const act = async (q, run, fields = []) => {
    if (!await ask({ title: q.title(user.name), text: q.ask, button: q.do, danger: q.danger, fields, run })) return false;
    say(q.done(user.name));
    reload();
    return true;
  };
  const rights = () => act(words.rights, ({ source }, form) => change({ resources: form.getAll('resources').map(longName), source: source.trim() }),
    [rightsField(user.resources.map(shortName)), { name: 'source', label: texts.tokens.shop, hint: texts.tokens.shopHint, value: user.source || '' }]);
  const password = async () => {
    let made;
    const done = await act(words.newPassword, ({ password: own }) => { made = own ? '' : newPassword(); return change({ password: own || made }); }, [passwordField]);
    if (done && made) await showOnce(words.passwordOf(user.name), words.once, made);
  };
  const remove = async () => {
    if (await act(words.remove, () => send('DELETE', '/users/' + user.user_id))) go('users');
  };
  return html`<div class="row">
    <button onClick=${rights}>${words.rights.button}</button>
    <button onClick=${password}>${words.newPassword.button}</button>
    ${user.disabled_at ? html`<button class="main" onClick=${() => act(words.enable, () => change({ disabled: false }))}>${words.enable.button}</button>`
    : html`<button onClick=${() => act(words.disable, () => change({ disabled: true }))}>${words.disable.button}</button>`}
    <button class="danger" onClick=${remove}>${words.remove.button}</button>
  </div>`;
}
