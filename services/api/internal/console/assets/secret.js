// What is shown once: a token, a password, what signs alerts.
import { html } from './lib/preact.js';
import { say } from './notice.js';
import { tell } from './question.js';
import { texts } from './texts.js';

const words = texts.secret;

// showOnce shows a secret until it is closed. The promise ends with that.
export function showOnce(title, text, secret) {
  const copy = () => navigator.clipboard.writeText(secret).then(() => say(words.copied), (error) => say(error.message, true));
  return tell(title, html`<p>${text}</p><p class="secret" id="secret">${secret}</p>${navigator.clipboard && html`<button onClick=${copy}>${words.copy}</button>`}`);
}

const bytes = (n) => crypto.getRandomValues(new Uint8Array(n));

// newPassword has 130 random bits, in letters and digits that nobody takes for one another.
export const newPassword = () => Array.from(bytes(26), (b) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[b % 32]).join('');

// newSigningSecret is one of Standard Webhooks.
export const newSigningSecret = () => 'whsec_' + btoa(String.fromCharCode(...bytes(32)));
