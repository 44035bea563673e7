// What has happened: who did what, and what the proxy did by itself. New entries come by themselves.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { get, part } from "../api.js";
import { clock, stamp } from "../format.js";
import { useStore } from "../store.js";
import { Choice, Empty, Fault, Pager, Search, Section, State } from "../ui.js";

const KINDS = [
  ["", "All"], ["action", "Actions"], ["rollout", "Rollouts"], ["split", "Splits"], ["flag", "Flags"],
  ["config", "Configuration"], ["health", "Health"], ["core", "Cores"], ["process", "Process"],
];
const PAGE = 100;

export default function Events() {
  const live = useStore((it) => it.entries);
  const link = useStore((it) => it.link);
  const [kind, setKind] = useState("");
  const [sought, setSought] = useState("");
  const [offset, setOffset] = useState(0);
  const [known, set] = useState({ items: [], total: 0, error: null, newest: null });
  // Once, and again after a gap in the stream; between, the stream brings what is new.
  useEffect(() => {
    if (link !== "live") return undefined;
    const gone = new AbortController();
    get("/v1/journal?limit=1000", gone.signal).then(
      ({ items, total }) => set({ items, total, error: null, newest: items[0]?.id ?? 0 }),
      (error) => gone.signal.aborted || set((was) => ({ ...was, error })),
    );
    return () => gone.abort();
  }, [link]);
  const newest = known.newest;
  const fresh = newest === null ? [] : live.filter((entry) => entry.id > newest);
  const all = [...fresh, ...known.items];
  const wanted = sought.trim().toLowerCase();
  const hits = all.filter((entry) => (!kind || entry.kind === kind)
    && (!wanted || `${entry.subject ?? ""} ${entry.text} ${entry.by} ${entry.reason ?? ""}`.toLowerCase().includes(wanted)));
  const at = offset < hits.length ? offset : 0;
  const there = new Set(all.map((entry) => entry.kind));
  const choices = KINDS.filter(([one]) => !one || one === kind || there.has(one));
  const choose = (one) => {
    setKind(one);
    setOffset(0);
  };
  const tools = html`<${Search} label="Search events" value=${sought} onInput=${(text) => { setSought(text); setOffset(0); }} />
    <${Choice} label="Kind" choices=${choices} value=${kind} onChange=${choose} />`;
  return html`<div class="page"><h1 class="hidden">Events and audit</h1>
    <${Section} id="events" title="Events and audit" aside=${tools}>
      <${Fault} error=${known.error} />
      ${newest === null && !known.error && html`<p class="boot">Loading…</p>`}
      ${newest !== null && !all.length && html`<${Empty}>Nothing has happened since the start.<//>`}
      ${all.length > 0 && !hits.length && html`<${Empty}>Nothing of that kind.<//>`}
      <ol class="events" aria-live=${at === 0 ? "polite" : "off"} aria-relevant="additions">${hits.slice(at, at + PAGE).map((entry) => html`<${Entry} key=${entry.id} entry=${entry} fresh=${entry.id > newest} />`)}</ol>
      <${Pager} offset=${at} limit=${PAGE} total=${hits.length} onMove=${setOffset} />
    <//>
    <p class="dim small">The newest entries, as the proxy has them in memory. Decisions of rollouts are kept on disk besides, and every action goes into the log under <code>gnomon::audit</code>.</p>
  </div>`;
}

/** Where more is said of what an entry is about. */
const link = ({ kind, subject }) => (kind === "rollout" && subject ? `#/rollout/${part(subject)}` : null);

function Entry({ entry, fresh }) {
  const { at, kind, subject, text, by, reason, failed } = entry;
  const to = link(entry);
  return html`<li class="${failed ? "failed" : ""} ${fresh ? "fresh" : ""}">
    <time datetime=${new Date(at).toISOString()} title=${stamp(at)}>${clock(at)}</time>
    <span class="tag">${kind}</span>
    <span class="text">${failed && html`<${State} tone="bad">failed<//> `}${subject && html`${to ? html`<a class="strong" href=${to}>${subject}</a>` : html`<b>${subject}</b>`}${" "}`}${text}${reason && html` <span class="dim">— ${reason}</span>`}</span>
    <span class="by">${by === "auto" ? html`<span class="dim">by itself</span>` : by}</span></li>`;
}
