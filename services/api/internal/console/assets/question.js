// A question before something is done: what will happen, a reason where one is kept, and the answer of the API if it refuses.
import { html, render, useEffect, useRef, useState } from './lib/preact.js';
import { Failure } from './notice.js';
import { texts } from './texts.js';

// ask opens the question. run gets the values of the fields by name; when it throws, the question stays, with what the API said.
// The promise gives what run gave, or undefined when the question was closed.
export const ask = (question) => openDialog(Question, question);

// tell shows something until it is closed.
export const tell = (title, content) => openDialog(Told, { title, content });

// openDialog opens a component that shows a dialog, and ends it with close.
export function openDialog(Dialog, more) {
  const place = document.body.appendChild(document.createElement('div'));
  const before = document.activeElement;
  return new Promise((resolve) => {
    const close = (result) => {
      render(null, place);
      place.remove();
      before?.focus?.();
      resolve(result);
    };
    render(html`<${Dialog} ...${more} close=${close} />`, place);
  });
}

function Question({ title, text, button, danger, large, fields = [], run, close }) {
  const [state, set] = useState({});
  const dialog = useRef();
  useEffect(() => dialog.current.showModal(), []);
  const submit = async (event) => {
    event.preventDefault();
    set({ busy: true });
    const form = new FormData(event.target);
    try {
      close(await run(Object.fromEntries(form), form) ?? true);
    } catch (error) {
      set({ error });
    }
  };
  return html`<dialog class=${large ? 'large' : ''} ref=${dialog} aria-labelledby="question" onCancel=${(e) => { e.preventDefault(); close(); }}>
    <form onSubmit=${submit}>
      <h2 id="question">${title}</h2>
      <p>${text}</p>
      ${fields.map((f) => html`<${Field} ...${f} />`)}
      <${Failure} error=${state.error} />
      <div class="row">
        <button type="button" onClick=${() => close()}>${texts.cancel}</button>
        <button class=${danger ? 'danger' : 'main'} disabled=${state.busy} autofocus=${!fields.length}>${button}</button>
      </div>
    </form>
  </dialog>`;
}

function Told({ title, content, close }) {
  const dialog = useRef();
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog class="large" ref=${dialog} aria-labelledby="question" onCancel=${(e) => { e.preventDefault(); close(); }}>
    <h2 id="question">${title}</h2>
    ${content}
    <div class="row"><button class="main" onClick=${() => close()}>${texts.close}</button></div>
  </dialog>`;
}

// Field is one of a question. options are values with their names, of which one is chosen; with many, any number of them,
// and value are those that are chosen to begin with. mark is what of a text is selected at first, from and to.
function Field({ name, label, hint, required, value, type, options, many, mark }) {
  const id = 'field-' + name;
  const area = useRef();
  useEffect(() => { // the reader begins where something is wrong
    if (!mark) return;
    const line = area.current.scrollHeight / area.current.value.split('\n').length;
    area.current.focus();
    area.current.setSelectionRange(...mark);
    area.current.scrollTop = line * (area.current.value.slice(0, mark[0]).split('\n').length - 4);
  }, []);
  const more = { id, name, required, 'aria-describedby': hint && id + '-hint' };
  if (type === 'check') return html`<label class="check"><input type="checkbox" name=${name} /> ${label}</label>`;
  if (many) {
    return html`<fieldset class="field"><legend>${label}</legend>${Object.entries(options).map(([o, text]) => html`
      <label class="check"><input type="checkbox" name=${name} value=${o} defaultChecked=${value?.includes(o)} /><span>${text}</span></label>`)}
      ${hint && html`<p class="hint">${hint}</p>`}</fieldset>`;
  }
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${options ? html`<select ...${more} value=${value}>${Object.entries(options).map(([o, text]) => html`<option value=${o}>${text}</option>`)}</select>`
    : type === 'area' ? html`<textarea ...${more} ref=${area} rows="18" spellcheck="false">${value}</textarea>`
    : html`<input ...${more} type=${type || 'text'} value=${value} autocomplete=${type === 'password' ? 'new-password' : 'off'} />`}
    ${hint && html`<p class="hint" id=${id + '-hint'}>${hint}</p>`}
  </div>`;
}

// reasonField is for what needs a reason.
export const reasonField = { name: 'reason', label: texts.reason, hint: texts.reasonHint, required: true };
