// Where replies differ: endpoints, and below each its fields as a tree, with how often a field differs
// in the shadow against how often it differs between two answers of the primary.

import { html, useMemo, useState } from "../vendor/htm-preact.js";
import { count, num, percent, whole } from "../format.js";
import { Empty, Fault, Search, Section, State } from "../ui.js";
import { Verdict, evidence, rateOf } from "./shadow.js";

export function Tree({ paths, endpoints, total, mayAct, ask, onPath }) {
  const [filter, setFilter] = useState("");
  const [noise, setNoise] = useState(true);
  const page = paths.data?.paths;
  const groups = useMemo(() => grouped(page?.items ?? [], filter.toLowerCase(), noise), [page, filter, noise]);
  const aside = html`
    <label class="check"><input type="checkbox" checked=${noise} onChange=${(event) => setNoise(event.target.checked)} /> with noise</label>
    <${Search} label="Filter fields" value=${filter} onInput=${setFilter} />`;
  return html`<${Section} id="fields" title="Fields" aside=${aside}>
    <${Fault} error=${paths.error} />
    ${page && groups.length === 0 && html`<${Empty}>${total.compared && !filter
      ? `No field differs in ${whole(total.compared)} pairs.` : filter ? "Nothing fits." : "Nothing has been compared yet."}<//>`}
    ${groups.map(({ endpoint, rows }) => html`<${Endpoint} key=${endpoint} rows=${rows} name=${endpoint}
      known=${endpoints?.items.find((one) => one.endpoint === endpoint)} ...${{ mayAct, ask, onPath }} />`)}
    ${page && page.total > page.items.length && html`<p class="empty">${whole(page.total - page.items.length)} more fields differ less often.</p>`}
  <//>`;
}

function Endpoint({ name, rows, known, mayAct, ask, onPath }) {
  const slow = known?.slower && known.pace.timed
    ? html`<${State} tone="warn">slower in ${percent(known.pace.slower / known.pace.timed)} of ${count(known.pace.timed)}<//>` : "";
  return html`<div class="scroll fields" tabindex="0" role="region" aria-label=${`Fields of ${name}`}><table>
    <caption><code>${name}</code> <span class="dim">${known ? `${count(known.compared)} pairs` : ""}</span> ${slow}</caption>
    <thead><tr><th scope="col">Field</th><th scope="col">Verdict</th>
      <th scope="col"><span class="strip shadow"></span>differs · <span class="strip noise"></span>noise</th>
      <th scope="col" class="number" title="share of the compared pairs in which the field differs">Differs</th>
      <th scope="col" class="number" title="share in which two answers of the primary differ">Noise</th>
      <th scope="col" class="number" title="how many times as often as noise">Relative</th>
      <th scope="col" class="number">Evidence</th>
      ${mayAct && html`<th scope="col"><span class="hidden">Action</span></th>`}</tr></thead>
    <tbody>${rows.map((row) => html`<${Field} key=${row.key} row=${row} ...${{ mayAct, ask, onPath }} />`)}</tbody>
  </table></div>`;
}

function Field({ row, mayAct, ask, onPath }) {
  const { report, depth, label, path } = row;
  const indent = { paddingLeft: `${12 + depth * 16}px` };
  if (!report) {
    return html`<tr class="branch"><th scope="row" style=${indent}><code>${label}</code></th><td colspan=${mayAct ? 7 : 6}></td></tr>`;
  }
  const { shadow, noise } = rateOf(report.rates);
  const pins = (verb) => ask({ verb, path });
  const isHidden = report.verdict === "noise" || report.verdict === "ignored";
  return html`<tr class=${report.verdict}>
    <th scope="row" style=${indent}><button type="button" class="path" title="Show its findings" onClick=${() => onPath(path)}><code>${label}</code></button>${
      report.aspect && html` <span class="sub">${report.aspect === "structure" ? "there or not" : report.aspect}</span>`}</th>
    <td><${Verdict} verdict=${report.verdict} /></td>
    <td><${Pairs} shadow=${shadow} noise=${noise} /></td>
    <td class="number">${percent(shadow)}</td>
    <td class="number">${noise === null ? "?" : percent(noise)}</td>
    <td class="number">${relative(shadow, noise)}</td>
    <td class="number">${evidence(report.log_e)}</td>
    ${mayAct && html`<td class="acts">
      ${!isHidden && html`<button type="button" class="small" aria-haspopup="dialog" aria-label=${`Mark ${path} as noise`} onClick=${() => pins("noise")}>Noise…</button>
        <button type="button" class="small" aria-haspopup="dialog" aria-label=${`Ignore ${path}`} onClick=${() => pins("ignore")}>Ignore…</button>`}
      <button type="button" class="small" aria-haspopup="dialog" aria-label=${`Learn ${path} anew`} onClick=${() => pins("forget")}>Anew…</button></td>`}
  </tr>`;
}

/** How often a field differs beside how often it does so anyhow. */
function Pairs({ shadow, noise }) {
  const width = (share) => ({ width: share ? `max(2px, ${share * 100}%)` : "0" });
  return html`<span class="pairs" aria-hidden="true">
    <span class="shadow" style=${width(shadow)}></span><span class="noise" style=${width(noise)}></span></span>`;
}

function relative(shadow, noise) {
  if (!shadow) return "–";
  if (noise === null) return "?";
  return noise === 0 ? "never noise" : `×\u202f${num(shadow / noise)}`;
}

/** Endpoints, each with the rows of its tree; those with the worst verdict first. */
export function grouped(paths, filter, noise) {
  const groups = new Map();
  for (const path of paths) {
    if (!noise && (path.verdict === "noise" || path.verdict === "ignored")) continue;
    if (filter && !`${path.endpoint} ${path.path}`.toLowerCase().includes(filter)) continue;
    if (!groups.has(path.endpoint)) groups.set(path.endpoint, []);
    groups.get(path.endpoint).push(path);
  }
  const rank = (reports) => Math.min(...reports.map((one) => RANKS.indexOf(one.verdict)));
  return [...groups].map(([endpoint, reports]) => ({ endpoint, rank: rank(reports), rows: tree(reports) }))
    .sort((a, b) => a.rank - b.rank || a.endpoint.localeCompare(b.endpoint));
}

/** The rows of a tree: a field that is alone below another stands in one row with it. */
function tree(reports) {
  const root = { children: new Map(), reports: [], path: "" };
  for (const report of reports) {
    let node = root;
    for (const step of steps(report.path)) {
      if (!node.children.has(step)) node.children.set(step, { children: new Map(), reports: [], path: node.path + step });
      node = node.children.get(step);
    }
    node.reports.push(report);
  }
  const rows = [];
  root.children.forEach((node, step) => flatten(rows, node, step, 0));
  return rows;
}

function flatten(rows, node, label, depth) {
  if (node.reports.length === 0 && node.children.size === 1) {
    const [[step, child]] = node.children;
    flatten(rows, child, label + step, depth);
    return;
  }
  const row = { label, depth, path: node.path };
  if (node.reports.length === 0) rows.push({ ...row, key: node.path });
  for (const report of node.reports) rows.push({ ...row, key: `${node.path} ${report.aspect ?? ""}`, report });
  node.children.forEach((child, step) => flatten(rows, child, step, depth + 1));
}

/** `$.items[*]['a b']` as `$`, `.items`, `[*]`, `['a b']`; `header.x-y` as `header`, `.x-y`. */
export const steps = (path) => path.match(/\['(?:[^'\\]|\\.)*'\]|\[[^\]]*\]|\.?[^.[]+|./g) ?? [];

const RANKS = ["real", "undecided", "noise", "ignored"];
