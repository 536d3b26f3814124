// Times are shown in the reader's zone, with UTC on hover.
import { html } from './lib/preact.js';
import { texts } from './texts.js';

// parse reads what the API writes: RFC 3339, or the module's 2024-01-15 10:00:00, which is UTC.
export function parse(text) {
  return text && new Date(text.includes('T') ? text : text.replace(' ', 'T') + 'Z');
}

const two = (n) => String(n).padStart(2, '0');
const day = (d) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
const clock = (d) => `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;

// local is the time of day alone, when it is of today.
export function local(text, whole) {
  const d = parse(text);
  if (!d) return '';
  return !whole && day(d) === day(new Date()) ? clock(d) : `${day(d)} ${clock(d)}`;
}

export function Time({ at, whole }) {
  if (!at) return html`<span class="none">–</span>`;
  return html`<time datetime=${parse(at).toISOString()} title=${parse(at).toISOString().replace('T', ' ').replace('.000Z', 'Z') + ' (UTC)'}>${local(at, whole)}</time>`;
}

// span is a length of time in its two largest units: 6 min 12 s.
export function span(ms) {
  const units = texts.units;
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ${units.ms}`;
  const s = Math.round(ms / 1000);
  const parts = [[Math.floor(s / 86400), units.d], [Math.floor(s / 3600) % 24, units.h], [Math.floor(s / 60) % 60, units.min], [s % 60, units.s]];
  const first = parts.findIndex(([n]) => n > 0);
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(' ');
}

export const ago = (text, now) => texts.ago(span(Math.max(0, now - parse(text))));
