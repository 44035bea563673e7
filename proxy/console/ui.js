// Small parts that every page is made of.

import { h, html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { toast } from "./store.js";

/** States are told by a glyph and a word; colour only helps. */
export const GLYPHS = { good: "●", wait: "◐", warn: "▲", bad: "✕", rest: "○", done: "✓", note: "◆" };

/** A state: `<${State} tone="good">pass<//>`. */
export const State = ({ tone, children, title }) => html`
  <span class="state ${tone}" title=${title}><span class="glyph" aria-hidden="true">${GLYPHS[tone]}</span> ${children}</span>`;

/** A version's name with the mark of its arm: a full line for stable, a broken one for the canary. */
export const Version = ({ name, arm }) => html`
  <span class="version ${arm ?? ""}"><span class="swatch" aria-hidden="true"></span>${name}</span>`;

/** A part of a page with a heading. `aside` stands at the heading's end. */
export const Section = ({ title, aside, children, id, wide }) => html`
  <section class="section ${wide ? "wide" : ""}" aria-labelledby=${id}>
    <header><h2 id=${id}>${title}</h2>${aside && html`<div class="aside">${aside}</div>`}</header>
    ${children}
  </section>`;

/** What stands where there is nothing yet, with what would bring something. */
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

/** What went wrong with a question. */
export const Fault = ({ error }) => error && html`
  <p class="fault" role="alert"><span class="glyph" aria-hidden="true">✕</span> ${error.message}${
    error.help && html` <span class="help">${error.help}</span>`}</p>`;

/**
 * A table. `columns` are `{ name, title, cell(row), number, hint, grow }`; rows scroll sideways in
 * their own box where the screen is narrow.
 */
export function Table({ label, columns, rows, rowKey, rowClass, children }) {
  const head = columns.map((column) => html`
    <th scope="col" key=${column.name} class=${column.number ? "number" : ""} title=${column.hint}>${column.title ?? column.name}</th>`);
  const body = rows.map((row, nth) => html`
    <tr key=${rowKey ? rowKey(row) : nth} class=${rowClass ? rowClass(row) : ""}>
      ${columns.map((column) => {
        const content = column.cell(row, nth);
        const name = [column.number && "number", column.grow && "grow"].filter(Boolean).join(" ");
        return column.head
          ? html`<th scope="row" key=${column.name} class=${name}>${content}</th>`
          : html`<td key=${column.name} class=${name}>${content}</td>`;
      })}
    </tr>`);
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${label}>
      <table><caption class="hidden">${label}</caption>
        <thead><tr>${head}</tr></thead><tbody>${body}</tbody>${children}</table>
    </div>`;
}

/** A field that narrows a list down. `/` puts the cursor there. */
export const Search = ({ label, value, onInput }) => html`
  <label class="search"><span class="hidden">${label}</span>
    <input type="search" placeholder=${label} value=${value} data-search
      onInput=${(event) => onInput(event.target.value)} /></label>`;

/** Back and forth in a long list. */
export function Pager({ offset, limit, total, onMove, back = "Newer", forth = "Older" }) {
  if (total <= limit) return null;
  const last = Math.min(offset + limit, total);
  return html`<nav class="pager" aria-label="Pages of the list">
    <button type="button" disabled=${offset === 0} onClick=${() => onMove(Math.max(0, offset - limit))}>${back}</button>
    <span>${offset + 1}–${last} of ${total}</span>
    <button type="button" disabled=${last >= total} onClick=${() => onMove(offset + limit)}>${forth}</button>
  </nav>`;
}

/** One of a few. `choices` are `[value, text]`. */
export const Choice = ({ label, choices, value, onChange }) => html`
  <div class="choice" role="group" aria-label=${label}>
    ${choices.map(([one, text]) => html`<button type="button" key=${one} aria-pressed=${one === value ? "true" : "false"}
      onClick=${() => onChange(one)}>${text}</button>`)}
  </div>`;

/** A command that does the same in a shell, to be copied. */
export function Command({ children }) {
  const text = [].concat(children).join("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast("note", "Copied.");
    } catch {
      toast("bad", "The browser does not allow copying here.");
    }
  };
  return html`<p class="command"><code>${text}</code>
    <button type="button" class="plain" onClick=${copy} aria-label="Copy the command">Copy</button></p>`;
}

/** A native dialog that is open while it is drawn. */
export function Dialog({ title, onClose, children, tone }) {
  const box = useRef();
  useEffect(() => {
    const shown = box.current;
    shown.showModal();
    // Closed, it gives the focus back to where it was.
    return () => shown.close();
  }, []);
  return html`<dialog ref=${box} class=${tone} aria-labelledby="dialog-title"
      onCancel=${(event) => { event.preventDefault(); onClose(); }}
      onClick=${(event) => event.target === box.current && onClose()}>
    <div class="inside"><h2 id="dialog-title">${title}</h2>${children}</div></dialog>`;
}

/**
 * Asks before something is done. `what` says exactly what will happen, `send({ reason, by })` does it
 * and answers with what was changed, `cli(reason)` is the same as a command.
 */
export function Confirm({ title, what, verb, tone = "", send, cli, onClose, reasonNeeded = true, children }) {
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const act = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const done = await send({ reason: reason.trim() });
      const lines = done?.changes ?? [];
      toast("good", lines.length ? lines.join("; ") : "Nothing had to be changed.");
      (done?.warnings ?? []).forEach((warning) => toast("note", warning));
      onClose(true);
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} tone=${tone} onClose=${() => busy || onClose(false)}>
    <form onSubmit=${act}>
      <div class="what">${what}</div>
      ${children}
      ${reasonNeeded && html`<label class="field"><span>Reason <small>goes into the record</small></span>
        <input name="reason" required maxlength="500" autocomplete="off" value=${reason}
          onInput=${(event) => setReason(event.target.value)} /></label>`}
      <${Fault} error=${error} />
      <div class="buttons">
        <button type="submit" class="main ${tone}" disabled=${busy || (reasonNeeded && !reason.trim())}>${verb}</button>
        <button type="button" onClick=${() => onClose(false)}>Cancel</button>
      </div>
      ${cli && html`<${Command}>${cli(reason.trim())}<//>`}
    </form><//>`;
}

/** Text as a shell takes it. */
export const quoted = (text) => /^[\w@.,:/=+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** A share as a bar with a number beside it. */
export const Bar = ({ share, tone = "", label }) => html`
  <span class="bar ${tone}" role="img" aria-label=${label}><span style=${{ width: `${Math.min(100, Math.max(0, share * 100))}%` }}></span></span>`;

/** A line of the last minutes, without axes: what is beside it says the value. */
export function Spark({ values, tone = "", height = 20, width = 96, top }) {
  const most = Math.max(top ?? 0, ...values.filter((value) => value !== null), 1e-12);
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  let path = "";
  let pen = "M";
  values.forEach((value, nth) => {
    if (value === null) {
      pen = "M";
      return;
    }
    path += `${pen}${(nth * step).toFixed(1)} ${(height - 1.5 - (value / most) * (height - 3)).toFixed(1)}`;
    pen = "L";
  });
  return h("svg", { class: `spark ${tone}`, width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    h("path", { d: path, fill: "none" }));
}
