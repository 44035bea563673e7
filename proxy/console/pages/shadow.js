// What the version under test does differently: how much was compared, the tree of fields with their
// rates against the primary's own noise, the findings, and each pair side by side.

import { html, useState } from "../vendor/htm-preact.js";
import { act, get, part } from "../api.js";
import { ago, count, num, percent, whole, words } from "../format.js";
import { toast, useMay, usePoll } from "../store.js";
import { Confirm, Empty, Fault, Pager, Search, Section, State, Table, quoted } from "../ui.js";
import Pair from "./pair.js";
import { Balance } from "./balance.js";
import { Tree } from "./tree.js";

export default function Shadow({ params: [name, finding, example] }) {
  if (name && finding) return html`<${Pair} shadow=${name} id=${finding} example=${example} />`;
  return html`<${List} name=${name} />`;
}

function List({ name }) {
  const { data, error } = usePoll("/v1/shadows", 2);
  if (!data) return html`<div class="page"><h1>Shadow</h1>${error ? html`<${Fault} error=${error} />` : html`<p class="boot">Loading…</p>`}</div>`;
  const shadows = name ? data.filter((one) => one.name === name) : data;
  const only = shadows.length === 1 ? shadows[0] : null;
  return html`<div class="page">
    <div class="headline"><h1>Shadow${only ? html` <span class="dim">${only.name}</span>` : ""}</h1>
      ${name && data.length > 1 && html`<a href="#/shadow">All shadows</a>`}</div>
    <${Fault} error=${error} />
    ${data.length === 0 && html`<${Section} id="none" title="No shadow"><${Empty}>A shadow sends copies of requests
      to a version that nobody depends on yet, and compares its replies with those that users get. It begins with
      a <code>[shadow.NAME]</code> in the configuration; <code>config/sample/shadow.toml</code> has one.<//><//>`}
    ${data.length > 0 && !only && name && html`<${Fault} error=${{ message: `There is no shadow ${name}.` }} />`}
    ${!only && shadows.map((shadow) => html`<${Balance} key=${shadow.name} shadow=${shadow} link />`)}
    ${only && html`<${Balance} shadow=${only} /><${Detail} key=${only.name} shadow=${only} />`}
  </div>`;
}

function Detail({ shadow }) {
  const [asked, ask] = useState(null);
  const mayAct = useMay("rollout");
  const name = part(shadow.name);
  const [offset, move] = useState(0);
  const [all, setAll] = useState(false);
  const [filter, setFilter] = useState("");
  // Narrowing down needs all of them; there are a thousand at most.
  const range = filter ? `offset=0&limit=${FINDINGS_MAX}` : `offset=${offset}&limit=${LIMIT}`;
  const findings = usePoll(`/v1/shadows/${name}/findings?${range}&all=${all}`, 3);
  const noise = usePoll(`/v1/shadows/${name}/noise?all=true&limit=${PATHS_SHOWN}`, 3);
  const endpoints = usePoll(`/v1/shadows/${name}/endpoints?limit=${ENDPOINTS_SHOWN}`, 3);
  const done = () => {
    ask(null);
    findings.again();
    noise.again();
  };
  const common = { shadow: shadow.name, onClose: (changed) => (changed ? done() : ask(null)) };
  return html`
    <${Findings} shadow=${shadow} found=${findings} ...${{ offset, move, all, setAll, filter, setFilter }} />
    <${Tree} paths=${noise} endpoints=${endpoints.data} total=${shadow.accounting} mayAct=${mayAct} ask=${ask}
      onPath=${(path) => { setFilter(path); setAll(true); document.getElementById("findings")?.scrollIntoView(); }} />
    <${Marks} marks=${noise.data?.marks ?? []} mayAct=${mayAct} ask=${ask} />
    <${Export} shadow=${shadow} />
    ${asked && html`<${Order} ...${common} ...${asked} />`}`;
}

const TONES = { real: "bad", undecided: "wait", noise: "rest", ignored: "rest" };

/** What is thought of a finding. */
export const Verdict = ({ verdict, mark }) => html`
  <${State} tone=${TONES[verdict] ?? "rest"} title=${mark ? `pinned by ${mark.by}: ${mark.why}` : ""}>${verdict}${mark ? " (pinned)" : ""}<//>`;

const share = (part, whole) => (whole ? part / whole : null);

/** How often a path differs in the shadow, beside how often the primary differs from itself. */
export const rateOf = (rates) => ({
  shadow: share(rates.different, rates.compared), noise: share(rates.noisy, rates.asked),
});

/** How surely it is more than noise: natural logarithm of the evidence, as odds. */
export function evidence(logE) {
  if (logE < Math.log(1.5)) return "none";
  return logE > 13.8 ? ">10⁶ : 1" : `${num(Math.round(Math.exp(logE)))} : 1`;
}

function Findings({ shadow, found, offset, move, all, setAll, filter, setFilter }) {
  const { data, error } = found;
  const wanted = filter.toLowerCase();
  const fits = (one) => `${one.endpoint} ${one.path} ${one.kind} ${one.shape} ${one.id}`.toLowerCase().includes(wanted);
  const fitting = data ? data.items.filter((one) => !wanted || fits(one)) : [];
  const rows = fitting.slice(0, wanted ? ROWS_MAX : LIMIT);
  const columns = [
    { name: "verdict", title: "Verdict", cell: (one) => html`<${Verdict} verdict=${one.verdict} mark=${one.mark} />` },
    { name: "path", title: "Where", head: true, grow: true, cell: (one) => html`
      <a href=${`#/shadow/${part(shadow.name)}/${part(one.id)}`}><code>${one.path}</code></a>
      <span class="sub"> ${one.endpoint}</span>` },
    { name: "kind", title: "What", cell: (one) => html`${words(one.kind)} <span class="sub">${one.shape}</span>` },
    { name: "seen", title: "Seen", number: true, cell: (one) => count(one.count), hint: "pairs in which it was seen" },
    { name: "differs", title: "Differs", number: true, cell: (one) => percent(rateOf(one.rates).shadow),
      hint: "share of the compared pairs in which this path differs" },
    { name: "noise", title: "Noise", number: true, cell: (one) => percent(rateOf(one.rates).noise),
      hint: "share in which two answers of the primary differ here" },
    { name: "evidence", title: "Evidence", number: true, cell: (one) => evidence(one.log_e),
      hint: "that it differs by more than noise" },
    { name: "last", title: "Last", number: true, cell: (one) => ago(one.last_seen / 1000) },
  ];
  const aside = html`
    <label class="check"><input type="checkbox" checked=${all} onChange=${(event) => { setAll(event.target.checked); move(0); }} />
      with noise and ignored</label>
    <${Search} label="Filter by path, endpoint, kind" value=${filter} onInput=${setFilter} />`;
  return html`<${Section} id="findings" title="Findings" aside=${aside}>
    <${Fault} error=${error} />
    ${data && rows.length > 0 && html`<${Table} label="Findings" columns=${columns} rows=${rows}
      rowKey=${(one) => one.id} rowClass=${(one) => `finding ${one.verdict}`} />`}
    ${data && rows.length === 0 && html`<${Empty}>${empty(shadow, filter, all, data.total)}<//>`}
    ${wanted && fitting.length > rows.length && html`<p class="empty">${whole(fitting.length - rows.length)} more: say more of it.</p>`}
    ${data && !wanted && html`<${Pager} offset=${offset} limit=${LIMIT} total=${data.total} onMove=${move} back="Back" forth="More" />`}
  <//>`;
}

function empty({ accounting }, filter, all, total) {
  if (filter) return "Nothing fits.";
  if (accounting.compared === 0) return "Nothing has been compared yet.";
  if (all && total === 0) return `No difference in ${whole(accounting.compared)} pairs.`;
  return `No difference but noise in ${whole(accounting.compared)} pairs; tick “with noise” to see that.`;
}

function Marks({ marks, mayAct, ask }) {
  if (marks.length === 0) return null;
  const columns = [
    { name: "pattern", title: "Pattern", head: true, cell: (one) => html`<code>${one.pattern}</code>` },
    { name: "kind", title: "Pinned as", cell: (one) => one.kind },
    { name: "why", title: "Why", grow: true, cell: (one) => one.why || html`<span class="dim">nobody said</span>` },
    { name: "by", title: "By", cell: (one) => one.by },
    { name: "at", title: "When", number: true, cell: (one) => ago(one.at / 1000) },
  ];
  if (mayAct) {
    columns.push({ name: "act", title: html`<span class="hidden">Action</span>`, cell: (one) => html`
      <button type="button" class="small" aria-haspopup="dialog" onClick=${() => ask({ verb: "unmark", path: one.pattern })}>Unmark…</button>` });
  }
  return html`<${Section} id="marks" title="Pinned by people">
    <${Table} label="Pinned by people" columns=${columns} rows=${marks} rowKey=${(one) => one.pattern} /><//>`;
}

/** Puts a document into a file of the person's. */
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function Export({ shadow }) {
  const save = async () => {
    try {
      const report = await get(`/v1/shadows/${part(shadow.name)}`);
      download(`shadow-${shadow.name}.json`, JSON.stringify({ ...shadow, ...report }, null, 1));
    } catch (error) {
      toast("bad", error.message);
    }
  };
  return html`<p class="buttons"><button type="button" onClick=${save}>Download the report (JSON)</button></p>`;
}

const VERBS = {
  noise: {
    title: "Mark as noise", verb: "Mark as noise", kind: "noise",
    what: "Differences at this path mean nothing from now on: they are hidden, and no rate counts them.",
    cli: (name, path, why) => `gnomon shadow noise ${name} --pin ${path} --why ${why}`,
  },
  ignore: {
    title: "Ignore", verb: "Ignore", kind: "ignore",
    what: "Differences at this path may mean something, but not to us: they are hidden, and no rate counts them.",
    cli: (name, path, why) => `gnomon shadow ignore ${name} ${path} --why ${why}`,
  },
  unmark: {
    title: "Take the pin away", verb: "Unmark", kind: null,
    what: "What differs at this path is judged by its evidence again.",
    cli: (name, path) => `gnomon shadow noise ${name} --unpin ${path}`,
  },
  forget: {
    title: "Learn anew", verb: "Forget what was learnt",
    what: "All that was counted at this path is forgotten: differences, noise, evidence. Use it after a fix was deployed.",
    cli: (name, path) => `gnomon shadow noise ${name} --clear ${path}`,
  },
};

/** Asks before a path is marked, unmarked or learnt anew. */
export function Order({ shadow, verb, path, onClose }) {
  const [pattern, setPattern] = useState(path);
  const { title, verb: text, kind, what, cli } = VERBS[verb];
  const marks = verb === "noise" || verb === "ignore";
  const url = `/v1/shadows/${part(shadow)}`;
  const send = ({ reason }) => (verb === "forget"
    ? act(`${url}/forget`, { path: pattern })
    : act(`${url}/mark`, { pattern, kind, why: reason }));
  return html`<${Confirm} title=${title} verb=${text} what=${html`<p>${what}</p>`} send=${send} onClose=${onClose}
    reasonNeeded=${marks} cli=${(reason) => cli(quoted(shadow), quoted(pattern), quoted(reason))}>
    ${marks
      ? html`<label class="field"><span>Path or pattern <small><code>$..name</code> is that name anywhere</small></span>
        <input class="mono" required maxlength="1000" autocomplete="off" spellcheck="false" value=${pattern}
          onInput=${(event) => setPattern(event.target.value)} /></label>`
      : html`<p><code>${path}</code></p>`}
  <//>`;
}

/** Findings on a page; and of those that a filter finds. */
const LIMIT = 25;
const ROWS_MAX = 100;
/** As many as a shadow keeps. */
const FINDINGS_MAX = 1000;
const PATHS_SHOWN = 200;
const ENDPOINTS_SHOWN = 100;
