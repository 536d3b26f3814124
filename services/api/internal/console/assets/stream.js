// The event stream. EventSource would do, but tells nobody why the API has refused it.
import { openStream } from './api.js';

const pause = 3000; // milliseconds until it comes again
const longPause = 30000; // the same, while the API has no room

// follow hands over what comes, and comes again after the last event when the stream is cut. It ends when it is aborted, and by a
// refusal that stays. on has: events([{ name, id, data }]), begun(), and ended(problem), where no problem is a cut without a word.
export async function follow(params, last, signal, on) {
  let id = last;
  const take = (events) => {
    id = events.at(-1)?.id || id;
    on.events(events.filter((e) => e.data), id);
  };
  while (!signal.aborted) {
    let problem;
    try {
      const body = await openStream('/events/stream', params, { signal, headers: id ? { 'Last-Event-ID': id } : {} });
      on.begun();
      await read(body, take);
    } catch (error) {
      problem = error.status === undefined ? undefined : error; // what has no status is the network, in the midst of the stream
    }
    if (signal.aborted) return;
    on.ended(problem);
    if (problem?.code === 'last_event_id_invalid') id = '';
    else if (problem && problem.status >= 400 && problem.status < 500 && problem.status !== 429) return;
    await wait(problem?.code === 'too_many_streams' ? longPause : pause, signal);
  }
}

async function read(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split('\n\n');
    text = parts.pop();
    if (parts.length) take(parts.map(eventOf));
  }
}

// eventOf reads one event. Each of ours has one line of data at most; a comment has none.
function eventOf(text) {
  const fields = {};
  for (const line of text.split('\n')) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    fields[name] = value;
  }
  return { name: fields.event, id: fields.id, data: fields.data && JSON.parse(fields.data) };
}

const wait = (time, signal) => new Promise((done) => {
  const timer = setTimeout(done, time);
  signal.addEventListener('abort', () => { clearTimeout(timer); done(); }, { once: true });
});
