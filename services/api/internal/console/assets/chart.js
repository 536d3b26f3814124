// What this browser has seen since the console was opened. The API keeps no history of counts, so there is none before.
import { html, useEffect, useRef } from './lib/preact.js';
import { texts } from './texts.js';

const words = texts.overview;
const most = 1200; // readings: an hour
const height = 220;
const leastSpan = 300; // seconds
const readings = [];

// keep adds a reading of the counts by status.
export function keep(counts) {
  const of = (status) => counts[status] || 0;
  readings.push([Date.now() / 1000, of('pending') + of('queued') + of('in_progress'), of('failed')]);
  if (readings.length > most) readings.shift();
}

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

const columnsOf = () => [0, 1, 2].map((i) => readings.map((r) => r[i]));

// colourIn is what a colour of the style sheet is in the theme of the moment; a canvas does not know its names.
function colourIn(place, name) {
  place.style.color = `var(${name})`;
  const { color } = getComputedStyle(place);
  place.style.color = '';
  return color;
}

function spanOf() {
  const to = readings.at(-1)?.[0] || Date.now() / 1000;
  return [Math.min(readings[0]?.[0] ?? to, to - leastSpan), to];
}

function draw(place) {
  const colour = (name) => colourIn(place, name);
  const axis = { stroke: colour('--axis'), grid: { stroke: colour('--grid'), width: 1 }, ticks: { show: false } };
  const whole = (_, values) => values.map((v) => (Number.isInteger(v) ? v.toLocaleString() : ''));
  return new uPlot({
    width: place.clientWidth, height, legend: { live: true },
    scales: { x: { range: spanOf }, y: { range: (_, low, high) => [0, Math.max(4, high * 1.1)] } },
    axes: [{ ...axis, values: '{HH}:{mm}:{ss}' }, { ...axis, values: whole }],
    series: [{ value: '{HH}:{mm}:{ss}' }, { label: words.backlog, stroke: colour('--first'), width: 2 }, { label: texts.statuses.failed, stroke: colour('--second'), width: 2, dash: [6, 3] }],
  }, columnsOf(), place);
}

// Chart draws anew with each turn.
export function Chart({ turn }) {
  const place = useRef();
  const plot = useRef();
  useEffect(() => {
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: place.current.clientWidth, height }));
    const again = () => {
      plot.current?.destroy();
      if (place.current) plot.current = draw(place.current);
    };
    const theme = new MutationObserver(again);
    library().then(() => {
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
  useEffect(() => plot.current?.setData(columnsOf()), [turn]);
  const [, backlog, failed] = readings.at(-1) || [0, 0, 0];
  return html`<div class="plot" ref=${place} role="img" aria-label=${words.chartSays(backlog, failed)}></div>`;
}
