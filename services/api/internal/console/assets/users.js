// Users: who may sign in with a name and a password.
import { html } from './lib/preact.js';
import { get, post } from './api.js';
import { useLoad } from './hooks.js';
import { Failure, Notice, say } from './notice.js';
import { ask } from './question.js';
import { go, href } from './router.js';
import { newPassword, showOnce } from './secret.js';
import { longName, shortName } from './session.js';
import { texts } from './texts.js';
import { Time } from './time.js';
import { rightsField } from './tokens.js';

const words = texts.users;

export function Users() {
  const { data, error } = useLoad((signal) => get('/users', {}, { signal }), []);
  return html`
    <div class="head"><div><h1>${words.title}</h1><p class="faint">${words.lead}</p></div>
      <button class="main" onClick=${make}>${words.make.button}</button></div>
    <${Failure} error=${error} />
    ${!data && !error && html`<p class="faint">${texts.loading}</p>`}
    ${data && (data.users.length ? html`<div class="card table"><table>
      <caption class="hidden">${words.title}</caption>
      <thead><tr>${words.columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${data.users.map((u) => html`<${Row} key=${u.user_id} user=${u} />`)}</tbody>
    </table></div>` : html`<${Notice}>${words.none}</${Notice}>`)}`;
}

function Row({ user: u }) {
  const cells = [
    html`<a href=${href('users/' + u.user_id)}><strong>${u.name}</strong></a>`, html`<${Access} user=${u} />`, u.resources.map(shortName).join(', '),
    u.source || texts.tokens.allShops, html`<span><${Time} at=${u.created_at} />, ${u.created_by}</span>`,
  ];
  return html`<tr>${cells.map((cell, i) => html`<td data-label=${words.columns[i]}><span>${cell}</span></td>`)}</tr>`;
}

export const Access = ({ user }) => html`<span class="badge ${user.disabled_at ? 'bad' : 'good'}">${user.disabled_at ? words.disabled : words.mayLogIn}</span>`;

// passwordField takes a password; without one we make it.
export const passwordField = { name: 'password', label: words.password, hint: words.passwordHint, type: 'password' };

async function make() {
  const q = words.make;
  let given;
  const user = await ask({
    title: q.title, text: q.ask, button: q.do,
    fields: [
      { name: 'name', label: words.name, hint: words.nameHint, required: true }, rightsField([]),
      { name: 'source', label: texts.tokens.shop, hint: texts.tokens.shopHint }, passwordField,
    ],
    run: ({ name, source, password }, form) => {
      given = password || newPassword();
      return post('/users', { name, password: given, resources: form.getAll('resources').map(longName), ...(source && { source }) }).then((made) => ({ ...made, own: password !== '' }));
    },
  });
  if (!user) return;
  if (!user.own) await showOnce(words.passwordOf(user.name), words.once, given);
  say(words.made(user.name));
  go('users/' + user.user_id);
}
