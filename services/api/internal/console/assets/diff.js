// The difference between two texts, line by line.
import { html } from './lib/preact.js';
import { texts } from './texts.js';

const words = texts.diff;
const most = 500; // lines that differ; with more the texts are shown as two different ones
const around = 3; // lines shown before and after what differs

// diffOf gives each line with how it came about: ' ' it stands in both, '-' in a only, '+' in b only.
// It is Myers' way: the shortest list of changes, found in steps of one change each. What both begin and end with is set aside first.
export function diffOf(a, b) {
  const x = a.split('\n');
  const y = b.split('\n');
  let head = 0;
  while (head < x.length && head < y.length && x[head] === y[head]) head++;
  let tail = 0;
  while (tail < x.length - head && tail < y.length - head && x[x.length - 1 - tail] === y[y.length - 1 - tail]) tail++;
  const same = (line) => ({ sign: ' ', line });
  return [
    ...x.slice(0, head).map(same),
    ...changes(x.slice(head, x.length - tail), y.slice(head, y.length - tail)),
    ...x.slice(x.length - tail).map(same),
  ];
}

function changes(x, y) {
  const trace = reach(x, y);
  if (!trace) return [...x.map((line) => ({ sign: '-', line })), ...y.map((line) => ({ sign: '+', line }))];
  const out = [];
  let i = x.length;
  let j = y.length;
  for (let d = trace.length - 1; d >= 0; d--) {
    const k = i - j;
    const before = trace[d];
    const added = k === -d || (k !== d && (before.get(k - 1) ?? -1) < (before.get(k + 1) ?? -1));
    const from = d === 0 ? 0 : before.get(added ? k + 1 : k - 1);
    const start = d === 0 ? 0 : added ? from : from + 1;
    while (i > start) { out.push({ sign: ' ', line: x[--i] }); j--; }
    if (d > 0 && added) out.push({ sign: '+', line: y[--j] });
    if (d > 0 && !added) out.push({ sign: '-', line: x[--i] });
  }
  return out.reverse();
}

// reach gives, for each number of changes, how far into x each diagonal got with one change fewer; undefined when there are too many.
function reach(x, y) {
  const trace = [];
  const far = new Map([[1, 0]]);
  for (let d = 0; d <= most; d++) {
    trace.push(new Map(far));
    for (let k = -d; k <= d; k += 2) {
      let i = k === -d || (k !== d && (far.get(k - 1) ?? -1) < (far.get(k + 1) ?? -1)) ? far.get(k + 1) : far.get(k - 1) + 1;
      while (i < x.length && i - k < y.length && x[i] === y[i - k]) i++;
      far.set(k, i);
      if (i >= x.length && i - k >= y.length) return trace;
    }
  }
  return undefined;
}

// partsOf leaves out the lines that are far from any difference, and says how many.
function partsOf(lines) {
  const near = new Set();
  lines.forEach(({ sign }, at) => { if (sign !== ' ') for (let n = at - around; n <= at + around; n++) near.add(n); });
  const out = [];
  lines.forEach((line, at) => {
    if (near.has(at)) out.push(line);
    else if (out.at(-1)?.left) out.at(-1).left++;
    else out.push({ left: 1 });
  });
  return out;
}

export function Diff({ lines }) {
  const count = (sign) => lines.filter((l) => l.sign === sign).length;
  return html`<p class="hint" role="status">${words.says(count('-'), count('+'))}</p>
    <div class="diff" tabindex="0" role="region" aria-label=${words.title}>${partsOf(lines).map(({ sign, line, left }) => {
    if (left) return html`<div class="left">${words.left(left)}</div>`;
    const tag = { '-': 'del', '+': 'ins', ' ': 'div' }[sign];
    return html`<${tag}><span class="sign" aria-hidden="true">${sign === '-' ? '−' : sign}</span>${sign !== ' ' && html`<span class="hidden">${words.signs[sign]} </span>`}${line}</${tag}>`;
  })}</div>`;
}
