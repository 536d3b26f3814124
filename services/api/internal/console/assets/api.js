// The public API, and nothing else. The browser adds the cookie of the session.
import { texts } from './texts.js';

export const base = '/rest/V1/erpconnector';

// Problem is an answer that is no success; its message is the API's own sentence.
export class Problem extends Error {
  constructor(status, body) {
    super([body.detail || body.message || `HTTP ${status}`, ...(body.errors || []).map(describe)].join('\n'));
    this.status = status;
    this.code = body.code;
    this.body = body;
  }
}

const describe = (e) => `${(e.parameter || e.pointer || '').replace(/^\//, '')} ${e.detail}`.trim();

// whenUnknown is called when the session has ended.
let whenUnknown = () => {};
export const onUnknown = (f) => { whenUnknown = f; };

// reach sends a request. It throws a Problem when there is no answer.
async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, { code: 'unreachable', detail: texts.unreachable });
  }
}

// send asks the API. date is the server's time. It throws a Problem, also when there is no answer.
export async function send(method, path, body, { headers = {}, signal, read = JSON.parse } = {}) {
  const response = await reach(base + path, {
    method, signal, headers: { ...headers, ...(body && { 'Content-Type': 'application/json' }) }, body: body && JSON.stringify(body),
  });
  const answer = await response.text().then((text) => read(text)).catch(() => ({}));
  if (response.status === 401) {
    whenUnknown();
    throw new Problem(401, { code: answer.code, detail: texts.signIn.endedHere });
  }
  if (!response.ok) throw new Problem(response.status, answer);
  return { answer, etag: response.headers.get('ETag'), date: new Date(response.headers.get('Date') || Date.now()) };
}

// openStream gives the body of an answer that does not end.
export async function openStream(path, params, { headers, signal }) {
  const response = await reach(base + path + queryOf(params), { headers, signal });
  if (response.status === 401) whenUnknown();
  if (!response.ok) throw await problemOf(response);
  return response.body;
}

// get asks with parameters; those that are empty are left out.
export async function get(path, params = {}, options = {}) {
  return (await send('GET', path + queryOf(params), undefined, options)).answer;
}

export const post = async (path, body) => (await send('POST', path, body)).answer;

export function queryOf(params) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== '' && value !== null);
  return given.length ? '?' + new URLSearchParams(given) : '';
}

// exact reads JSON and keeps the digits of its numbers, where the browser can: an amount of 1.10 stays 1.10 when it is sent again.
export const exact = (text) => JSON.parse(text, (_, value, at) => (typeof value === 'number' && JSON.rawJSON && at ? JSON.rawJSON(at.source) : value));

// textOf is the text of bytes; what is no UTF-8 in them shows as �.
export const textOf = (base64) => new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));

// problemOf is what an answer outside of send says.
const problemOf = async (response) => new Problem(response.status, await response.json().catch(() => ({})));

// ways are the ways to sign in beside a token.
export async function ways() {
  const response = await reach('/console/session/ways');
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

// signIn trades a token for a cookie.
export async function signIn(token) {
  const response = await reach('/console/session', { method: 'POST', headers: { Authorization: 'Bearer ' + token } });
  if (!response.ok) throw await problemOf(response);
}

// logIn begins a session of a user, as every client of the API does. The problem says in wait how many seconds the next one has to wait.
export async function logIn(username, password) {
  const response = await reach('/rest/V1/integration/admin/token', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ username, password }),
  });
  if (!response.ok) throw Object.assign(await problemOf(response), { wait: response.headers.get('Retry-After') });
  return signIn(await response.json());
}

// signOut takes the cookie away in any case; it throws when the session could not be ended too.
export async function signOut() {
  localStorage.removeItem(signedIn);
  const response = await reach('/console/session', { method: 'DELETE' });
  if (!response.ok) throw await problemOf(response);
}

// The cookie cannot be read, so this says whether it is worth asking who it stands for. It changes with each sign-in, and other tabs hear of it.
const signedIn = 'signed-in';
export const hasSignedIn = () => localStorage.getItem(signedIn) !== null;
export const noteSignIn = () => localStorage.setItem(signedIn, String(Date.now()));

// onOtherTab calls f when somebody signs in or out in another tab.
export function onOtherTab(f) {
  addEventListener('storage', (event) => { if (event.key === signedIn) f(event.newValue !== null); });
}
