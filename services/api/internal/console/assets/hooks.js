// What several pages need of Preact.
import { useEffect, useRef, useState } from './lib/preact.js';

// useLoad loads anew whenever what it depends on changes. While it does, the older data stays.
export function useLoad(load, deps) {
  const [state, set] = useState({ loading: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    set((s) => ({ ...s, loading: true }));
    load(abort.signal).then(
      (data) => abort.signal.aborted || set({ data }),
      (error) => abort.signal.aborted || set((s) => ({ data: s.data, error })),
    );
    return () => abort.abort();
  }, [...deps, turn]);
  return { ...state, reload: () => setTurn((n) => n + 1), set: (data) => set({ data }) };
}

// useTimer calls f every so many milliseconds while somebody looks; 0: never.
export function useTimer(f, interval) {
  const latest = useRef(f);
  latest.current = f;
  useEffect(() => {
    if (!interval) return undefined;
    const timer = setInterval(() => document.hidden || latest.current(), interval);
    return () => clearInterval(timer);
  }, [interval]);
}

// useNow draws anew each second.
export function useNow() {
  const [now, set] = useState(Date.now());
  useTimer(() => set(Date.now()), 1000);
  return now;
}

// useKept is a value that this browser keeps.
export function useKept(name, initial) {
  const [value, set] = useState(() => JSON.parse(localStorage.getItem(name)) ?? initial);
  return [value, (next) => { localStorage.setItem(name, JSON.stringify(next)); set(next); }];
}

// useKeys runs what belongs to a key, unless somebody is typing or a question is open.
export function useKeys(keys) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const pressed = (event) => {
      const typing = event.target.closest?.('input, select, dialog[open]') || document.querySelector('dialog[open]');
      const run = latest.current[event.key];
      if (!run || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      run();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}
