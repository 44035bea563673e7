// One finding: what is known of it, and one of its pairs, side by side.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { part, text } from "../api.js";
import { ago, clock, count, percent, stamp, whole, words } from "../format.js";
import { toast, useMay, usePoll } from "../store.js";
import { Choice, Command, Empty, Fault, Section, Version, quoted } from "../ui.js";
import { Order, Verdict, download, evidence, rateOf } from "./shadow.js";
import { fieldRows, folded, middle, parse, rows, textRows } from "./sides.js";

export default function Pair({ shadow, id, example }) {
  const found = usePoll(`/v1/findings/${part(id)}`, 3);
  const [asked, ask] = useState(null);
  const mayAct = useMay("rollout");
  const finding = found.data?.finding;
  const back = html`<a href=${`#/shadow/${part(shadow)}`}>All findings of ${shadow}</a>`;
  if (!finding) {
    return html`<div class="page"><div class="headline"><h1>Finding</h1>${back}</div>
      ${found.error ? html`<${Fault} error=${found.error} />` : html`<p class="boot">Loading…</p>`}</div>`;
  }
  const close = (changed) => {
    ask(null);
    if (changed) found.again();
  };
  const press = (verb, label) => html`<button type="button" aria-haspopup="dialog" onClick=${() => ask({ verb, path: verb === "unmark" ? finding.mark.pattern : finding.path })}>${label}</button>`;
  return html`<div class="page">
    <div class="headline"><h1><code>${finding.path}</code> <span class="dim">${finding.endpoint}</span></h1>${back}</div>
    <${Section} id="finding" title="Finding" aside=${html`<span class="mono">${finding.id}</span>`}>
      <div class="body"><${Known} finding=${finding} />
        ${mayAct && html`<div class="buttons">
          ${finding.mark ? press("unmark", "Unmark…") : html`${press("noise", "Mark as noise…")}${press("ignore", "Ignore…")}`}
          ${press("forget", "Learn anew…")}</div>`}</div>
    <//>
    <${Example} key=${example ?? "newest"} shadow=${shadow} finding=${finding} wanted=${example} onGone=${found.again} />
    ${asked && html`<${Order} shadow=${shadow} ...${asked} onClose=${close} />`}
  </div>`;
}

function Known({ finding }) {
  const { shadow, noise } = rateOf(finding.rates);
  const { compared, different, asked, noisy } = finding.rates;
  return html`
    <dl class="figures">
      <div><dt>Verdict</dt><dd><${Verdict} verdict=${finding.verdict} mark=${finding.mark} /></dd></div>
      <div><dt>What</dt><dd>${words(finding.kind)} <span class="dim">${finding.shape}</span></dd></div>
      <div><dt>Differs</dt><dd>${percent(shadow)} <span class="dim">${count(different)} of ${count(compared)}</span></dd></div>
      <div><dt>Noise</dt><dd>${noise === null ? "?" : percent(noise)} <span class="dim">${count(noisy)} of ${count(asked)}</span></dd></div>
      <div><dt>Evidence</dt><dd>${evidence(finding.log_e)}</dd></div>
      <div><dt>Seen</dt><dd>${whole(finding.count)} <span class="dim">first ${ago(finding.first_seen / 1000)}</span></dd></div>
      <div><dt>Last</dt><dd>${ago(finding.last_seen / 1000)}</dd></div>
    </dl>
    ${finding.mark && html`<p class="note">Pinned as ${finding.mark.kind} by ${finding.mark.by}${finding.mark.why ? `: ${finding.mark.why}` : ""}</p>`}`;
}

function Example({ shadow, finding, wanted, onGone }) {
  // What was newest when the page was opened: a pair that changes under the eyes can't be read.
  const [id, set] = useState(wanted ?? finding.examples.at(-1));
  const { data, error } = usePoll(id ? `/v1/examples/${part(id)}` : null, SECONDS);
  const ids = finding.examples;
  const nth = ids.indexOf(id);
  // Where much differs, a new example takes its place before it is asked for: then the newest is meant.
  const tries = useRef(0);
  const isReplaced = !wanted && !data && error?.status === 404 && tries.current < TRIES;
  useEffect(() => {
    if (!isReplaced) return;
    tries.current += 1;
    if (ids.at(-1) === id) onGone();
    else set(ids.at(-1));
  }, [isReplaced, id, finding]);
  const step = (by) => html`<button type="button" disabled=${!ids[(nth < 0 ? ids.length : nth) + by]}
    onClick=${() => set(ids[(nth < 0 ? ids.length : nth) + by])}>${by < 0 ? "Older" : "Newer"}</button>`;
  const aside = ids.length > 1 && html`<span>example ${nth < 0 ? "?" : nth + 1} of ${ids.length}</span>${step(-1)}${step(1)}`;
  return html`<${Section} id="pair" title="One pair, redacted" aside=${aside}>
    ${!isReplaced && html`<${Fault} error=${error} />`}
    ${!id && html`<${Empty}>No example of it is kept.<//>`}
    ${id && !data && (isReplaced || !error) && html`<p class="boot">Loading…</p>`}
    ${data && html`<${Sides} bundle=${data} path=${finding.path} shadow=${shadow} />
      <${Handed} bundle=${data} id=${id} shadow=${shadow} />`}
  <//>`;
}

function Sides({ bundle, path, shadow }) {
  const [whole, setWhole] = useState(false);
  const verdicts = useVerdicts(shadow, bundle.endpoint);
  const parts = useMemo(() => partsOf(bundle), [bundle]);
  const [here, there] = bundle.versions.split(" ");
  const toneOf = (row) => {
    if (row.state === "same") return "same";
    if (row.path === path) return "this";
    const unequal = bundle.differences.some((one) => one.path === row.path || row.path.startsWith(`${one.path}[`) || row.path.startsWith(`${one.path}.`));
    if (!unequal) return "beside";
    const verdict = verdicts.get(row.path);
    return verdict === "noise" || verdict === "ignored" ? "noise" : "other";
  };
  const choices = [[false, "What differs"], [true, "All of it"]];
  return html`
    <div class="asked"><code>${bundle.request.method} ${bundle.request.target}</code>
      <span class="dim">${clock(bundle.at)}</span>
      <${Choice} label="How much is shown" choices=${choices} value=${whole} onChange=${setWhole} /></div>
    <table class="sides"><caption class="hidden">The two replies side by side</caption>
      <thead><tr><th scope="col"><span class="hidden">What</span></th>
        <th scope="col"><${Version} name=${here} arm="stable" /></th><th scope="col"><${Version} name=${there} arm="canary" /></th></tr></thead>
      ${parts.map(({ name, all, note }) => html`<tbody key=${name}>
        <tr class="head"><th scope="rowgroup" colspan="3">${name}${note && html` <span class="dim">${note}</span>`}</th></tr>
        ${(whole ? all.slice(0, LINES_MAX) : folded(all)).map((row, nth) => html`<${Row} key=${nth} row=${row} tone=${row.fold ? "" : toneOf(row)} onMore=${() => setWhole(true)} />`)}
      </tbody>`)}
    </table>
    <p class="key-line small">${Object.entries(SIGNS).map(([tone, [glyph, said]]) => html`
      <span key=${tone}><span class="sign ${tone}" aria-hidden="true">${glyph}</span>${said}</span>`)}</p>`;
}

const SIGNS = { this: ["◆", "this finding"], other: ["▲", "another difference"], noise: ["~", "noise"], beside: ["·", "not compared"] };

function Row({ row, tone, onMore }) {
  if (row.fold) {
    return html`<tr class="fold"><td></td><td colspan="2"><button type="button" class="plain" onClick=${onMore}>${row.fold} equal lines</button></td></tr>`;
  }
  const [glyph, said] = SIGNS[tone] ?? [];
  const indent = { paddingLeft: `${8 + Math.min(row.depth, 12) * 14}px` };
  const marks = tone !== "same" && row.left !== null && row.right !== null ? middle(row.left, row.right) : null;
  const side = (line, from, to) => html`<td style=${indent} class=${line === null ? "none" : ""}>${line !== null && html`<code>${
    marks && to > from ? html`${line.slice(0, from)}<mark>${line.slice(from, to)}</mark>${line.slice(to)}` : line}</code>`}</td>`;
  return html`<tr class=${tone}>
    <td class="sign ${tone}">${glyph && html`<span aria-hidden="true">${glyph}</span><span class="hidden">${said}</span>`}</td>
    ${side(row.left, marks?.[0], marks?.[1])}${side(row.right, marks?.[0], marks?.[2])}</tr>`;
}

/** What is thought of the fields of this endpoint. */
function useVerdicts(shadow, endpoint) {
  const { data } = usePoll(`/v1/shadows/${part(shadow)}/noise?all=true&limit=1000`, 30);
  return useMemo(() => new Map((data?.paths.items ?? [])
    .filter((one) => one.endpoint === endpoint).map((one) => [one.path, one.verdict])), [data, endpoint]);
}

function partsOf({ primary, shadow }) {
  const state = primary.status === shadow.status ? "same" : "changed";
  const status = { left: String(primary.status), right: String(shadow.status), depth: 0, path: "status", state };
  return [
    { name: "Status", all: [status] },
    { name: "Fields", all: fieldRows(primary.fields, shadow.fields) },
    { name: "Content", ...contents(primary.body, shadow.body) },
  ].filter(({ all, note }) => all.length > 0 || note);
}

function contents(left, right) {
  const kept = (body) => body.encoding === "text" && !body.cut;
  const notes = [left.redacted || right.redacted ? "redacted" : "", left.cut || right.cut ? "only the beginning was kept" : ""];
  const note = notes.filter(Boolean).join(", ");
  const [here, there] = kept(left) && kept(right) ? [parse(left.data ?? ""), parse(right.data ?? "")] : [];
  if (here && there) return { all: rows(here, there), note };
  if (left.data || right.data) return { all: textRows(left.data ?? "", right.data ?? ""), note };
  if (!left.length && !right.length) return { all: [], note: "" };
  const line = (body) => `${body.length} bytes, not kept${body.hash ? `, ${body.hash}` : ""}`;
  const state = left.hash === right.hash && left.length === right.length ? "same" : "changed";
  return { all: [{ left: line(left), right: line(right), depth: 0, path: "body", state }], note };
}

/** What can be handed on. */
function Handed({ bundle, id, shadow }) {
  const status = usePoll("/v1/status", SECONDS).data;
  const save = async () => {
    try {
      download(`${id}.json`, await text(`/v1/examples/${part(id)}`));
    } catch (error) {
      toast("bad", error.message);
    }
  };
  const [, there] = bundle.versions.split(" ");
  const [upstream, version] = there.split("@");
  const versions = status?.upstreams.find((one) => one.name === upstream)?.versions;
  const address = versions?.find((one) => one.name === version)?.endpoints[0]?.address ?? "HOST:PORT";
  return html`<div class="body handed">
    <h3>Ask again</h3>
    <p class="small">Compared ${stamp(bundle.at)} under configuration <code>${bundle.config}</code>. What was redacted is left out.</p>
    <${Command}>${curl(bundle.request, address)}<//>
    <${Command}>${`gnomon shadow replay ${quoted(id)}.json --to ${address}`}<//>
    <div class="buttons"><button type="button" onClick=${save}>Download this pair (JSON)</button></div>
    <p class="small">The same in a shell: <code>gnomon shadow export ${id} --to ${id}.json</code></p>
  </div>`;
}

/** The request as a command: without what was taken out, and without what belongs to a connection. */
export function curl(request, address) {
  const OWN = ["connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "te"];
  const words = ["curl", "-si"];
  if (request.method === "HEAD") words.push("-I");
  else if (request.method !== "GET") words.push("-X", request.method);
  for (const field of request.fields) {
    if (!field.redacted && !OWN.includes(field.name.toLowerCase())) words.push("-H", `${field.name}: ${field.value}`);
  }
  if (request.body.data && request.body.encoding === "text") words.push("--data-raw", request.body.data);
  words.push("--path-as-is", `http://${address}${request.target}`);
  return words.map(quoted).join(" ");
}

/** What never changes is not asked for again for an hour. */
const SECONDS = 3600;
// How often another example is looked for.
const TRIES = 10;
const LINES_MAX = 2000;
