// What came in and went out: figures, charts, and the same as a table.
import { html, useMemo, useState } from './lib/preact.js';
import { Chart } from './chart.js';
import { texts } from './texts.js';
import { parse, span, Time } from './time.js';

const words = texts.overview;
const rounded = (n) => Number(n.toPrecision(3)).toLocaleString();
const percent = (share) => `${Math.floor(share * 1000) / 10} %`; // 99.96 % are not all
const time = (ms) => (ms < 10 && !Number.isInteger(ms) ? '' : span(ms).replace(/^0 .*/, '0')); // no two marks of an axis read the same
const shown = (value, format) => (value === null ? '–' : format(value));

export function Figures({ total, range }) {
  const figure = (name, value, hint) => html`<div class="tile">${words.figures[name]}<b>${value}</b><span class="faint">${hint}</span></div>`;
  const rate = (n) => shown(n, (x) => words.aMinute(rounded(x)));
  return html`<div class="tiles figures" role="group" aria-label=${words.ranges[range]}>
    ${figure('in', total.accepted.toLocaleString(), rate(total.accepted_per_minute))}
    ${figure('out', total.succeeded.toLocaleString(), rate(total.succeeded_per_minute))}
    ${figure('rate', shown(total.success_rate, percent), total.failed ? words.failed(total.failed) : words.noneFailed)}
    ${figure('call', shown(total.call_ms.p95, span), words.calls(total.call_ms.count))}
    ${figure('order', shown(total.order_ms.p95, span), words.orders(total.order_ms.count))}
  </div>`;
}

export function Charts({ data }) {
  const { points, total } = data;
  const column = (label, of) => ({ label, values: points.map(of) });
  const latency = (name) => ['p50', 'p95', 'p99'].map((p) => column(p, (x) => x[name][p]));
  const charts = useMemo(() => ({
    flow: [column(words.figures.in, (p) => p.accepted_per_minute), column(words.figures.out, (p) => p.succeeded_per_minute)],
    rate: [column(words.figures.rate, (p) => p.success_rate)], call: latency('call_ms'), order: latency('order_ms'),
    times: points.map((p) => parse(p.from) / 1000),
  }), [data]);
  const chart = (name, format, top) => html`<${Chart} title=${words.charts[name]} hint=${words.hints[name]} says=${words.says[name](total, percent, span)}
    turn=${data} times=${charts.times} series=${charts[name]} format=${format} top=${top} />`;
  return html`<div class="charts">${chart('flow', rounded)}${chart('rate', percent, 1)}${chart('call', time)}${chart('order', time)}</div>`;
}

// Numbers are the points as a table, the newest first. It is made when somebody opens it.
export function Numbers({ points }) {
  const [open, set] = useState(false);
  const columns = [
    (p) => p.accepted.toLocaleString(), (p) => p.succeeded.toLocaleString(), (p) => p.failed.toLocaleString(), (p) => shown(p.success_rate, percent),
    ...['call_ms', 'order_ms'].flatMap((name) => ['p50', 'p95', 'p99'].map((q) => (p) => shown(p[name][q], span))),
  ];
  return html`<details class="card numbers" onToggle=${(e) => set(e.target.open)}><summary>${words.asTable}</summary>
    ${open && html`<div class="scroll" tabindex="0" role="region" aria-label=${words.asTable}><table>
      <thead><tr><th scope="col">${words.from}</th>${words.columns.map((name) => html`<th scope="col" class="number">${name}</th>`)}</tr></thead>
      <tbody>${points.toReversed().map((p) => html`<tr key=${p.from}><td><${Time} at=${p.from} /></td>${columns.map((of) => html`<td class="number">${of(p)}</td>`)}</tr>`)}</tbody>
    </table></div>`}</details>`;
}
