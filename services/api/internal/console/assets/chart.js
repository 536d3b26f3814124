// A chart over time, drawn by uPlot. Lines differ by their dashes too, not by colour alone.
import { html, useEffect, useRef } from './lib/preact.js';
import { texts } from './texts.js';

const height = 190;
const strokes = [{ colour: '--first' }, { colour: '--second', dash: [7, 4] }, { colour: '--third', dash: [2, 3] }];

let loaded;

// library loads uPlot when the first chart is drawn.
function library() {
  loaded ||= new Promise((resolve, reject) => {
    const add = (name, more) => document.head.append(Object.assign(document.createElement(name), more));
    add('link', { rel: 'stylesheet', href: new URL('lib/uplot.css', import.meta.url).href });
    add('script', { src: new URL('lib/uplot.js', import.meta.url).href, onload: resolve, onerror: reject });
  });
  return loaded;
}

// colourIn is what a colour of the style sheet is in the theme of the moment; a canvas does not know its names.
function colourIn(place, name) {
  place.style.color = `var(${name})`;
  const { color } = getComputedStyle(place);
  place.style.color = '';
  return color;
}

const clock = (d) => `${String(d.getHours()).padStart(2, '0')}:${String(d.getMinutes()).padStart(2, '0')}`;
const date = (d) => d.toLocaleDateString(undefined, { day: 'numeric', month: 'short' });

// ticks name the day at midnight, and the time otherwise.
const ticks = (_, times) => times.map((t) => { const d = new Date(t * 1000); return clock(d) === '00:00' ? date(d) : clock(d); });
const moment = (_, t) => { const d = new Date(t * 1000); return t ? `${date(d)} ${clock(d)}` : '–'; };

function draw(place, { times, series, format, top }) {
  const colour = (name) => colourIn(place, name);
  const axis = { stroke: colour('--axis'), grid: { stroke: colour('--grid'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
  const shown = (_, value) => (value === null || value === undefined ? '–' : format(value));
  return new uPlot({
    width: place.clientWidth, height, legend: { live: true }, cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { range: (u) => [u.data[0][0], u.data[0].at(-1)] }, y: { range: (_, low, high) => [0, top || (high > 0 ? high * 1.15 : 1)] } },
    axes: [{ ...axis, values: ticks, space: 60 }, { ...axis, values: (_, values) => values.map(format), size: 64, space: 34 }],
    series: [{ label: texts.overview.time, value: moment }, ...series.map((s, i) => ({
      label: s.label, stroke: colour(strokes[i].colour), dash: strokes[i].dash, width: 2, value: shown, points: { show: (u, n) => hasLone(u.data[n]), size: 5 },
    }))],
  }, columnsOf(times, series), place);
}

// hasLone reports whether a value has no neighbour: no line would show it.
const hasLone = (values) => values.some((v, i) => v !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null);
const columnsOf = (times, series) => [times, ...series.map((s) => s.values)];

// Chart draws lines: times are in seconds, a value may be null. says is the chart in a sentence.
export function Chart({ title, hint, says, ...what }) {
  const place = useRef();
  const plot = useRef();
  const latest = useRef(what);
  latest.current = what;
  const again = () => {
    plot.current?.destroy();
    plot.current = place.current && window.uPlot && draw(place.current, latest.current);
  };
  useEffect(() => {
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: place.current.clientWidth, height }));
    const theme = new MutationObserver(again);
    library().then(() => {
      if (!place.current) return;
      again();
      watch.observe(place.current);
      theme.observe(document.documentElement, { attributeFilter: ['data-theme'] });
      dark.addEventListener('change', again);
    });
    return () => {
      watch.disconnect();
      theme.disconnect();
      dark.removeEventListener('change', again);
      plot.current?.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(columnsOf(what.times, what.series)), [what.turn]);
  return html`<section class="card chart"><h2>${title}</h2>
    <div class="plot" ref=${place} role="img" aria-label=${says}></div>
    ${hint && html`<p class="hint">${hint}</p>`}</section>`;
}
