// The judge's report as a table: each signal with its difference, its interval, its rule, its evidence.

import { html } from "../vendor/htm-preact.js";
import { num, odds, percent, points, relative, span, time, words } from "../format.js";
import { State, Table } from "../ui.js";

/** What the judge rolls back for, as a function of stable's share; none if errors have no such limit. */
export function limitOf(report) {
  const errors = report?.signals?.find((one) => one.name === "errors");
  if (!errors) return null;
  const { against, at_most: most } = errors.allowed;
  return against ? (share) => against.ratio * share + against.points : () => most;
}

const rate = ({ bad, all }) => (all ? bad / all : null);
const isTime = (signal) => signal === "latency" || typeof signal?.quantile === "number";
const isAmount = (signal) => Array.isArray(signal?.amount);
/** A KPI of which less is worse. */
const falls = (signal) => [signal?.conversion, signal?.amount].some((of) => of?.[1] === "lower");

const PROOF_OF = { errors: "errors", latency: "p99 exceedance" };

export function Verdicts({ report, from, to, label = "Verdicts by signal" }) {
  const rows = report.signals.map((signal) => ({
    signal, proof: report.proofs.find((one) => one.name === PROOF_OF[signal.name] && signal.allowed.against), report,
  }));
  // Classes of errors that nobody has met say nothing of their own.
  const shown = rows.filter(({ signal }) => !isQuiet(signal));
  const columns = [
    { name: "state", title: "State", cell: (row) => html`<${Standing} ...${row} />` },
    { name: "signal", title: "Signal", head: true, cell: ({ signal }) => title(signal) },
    { name: "values", title: `${from} → ${to}`, cell: (row) => values(row) },
    { name: "difference", title: "Difference", hint: "With the range of the ratio to stable, 95 %, valid at every moment", cell: (row) => difference(row) },
    { name: "rule", title: "Allowed", cell: (row) => allowed(row) },
    { name: "harm", title: html`Harm <span class="sub">of ${num(Math.round(report.rule))} : 1</span>`, number: true, hint: "Evidence that the limit is broken; as much rolls back", cell: ({ signal }) => evidence(signal.e, report.rule, "bad") },
    { name: "proof", title: html`No harm <span class="sub">of ${num(Math.round(report.proofs[0]?.need ?? 20))} : 1</span>`, number: true, hint: "Proof that it is no worse than the step's margin; as much is needed for the next step", cell: ({ proof }) => (proof ? evidence(proof.e, proof.need, "good") : html`<span class="dim">–</span>`) },
  ];
  const quiet = rows.length - shown.length;
  return html`<${Table} label=${label} columns=${columns} rows=${shown} rowKey=${({ signal }) => `${signal.name}${signal.allowed.at_most ?? ""}`} />
    ${quiet > 0 && html`<p class="says dim">No event so far: ${rows.filter(({ signal }) => isQuiet(signal)).map(({ signal }) => words(signal.name)).join(", ")}.</p>`}`;
}

const isQuiet = ({ signal, here, overall }) =>
  signal?.class !== undefined && !here.canary.bad && !here.stable.bad && !overall.canary.bad && !overall.stable.bad;

function Standing({ signal, proof }) {
  if (signal.is_culprit) return html`<${State} tone="bad">fail<//>`;
  if (signal.e >= DOUBT) return html`<${State} tone="warn">doubt<//>`;
  if (!signal.overall.canary.all) return html`<${State} tone="rest">no data<//>`;
  if (proof && proof.e < proof.need) return html`<${State} tone="wait">not sure<//>`;
  return proof ? html`<${State} tone="good">pass<//>` : html`<${State} tone="good" title="No sign of harm; none has to be excluded">no harm<//>`;
}

const title = ({ name, quantile, signal }) => html`${words(name)}${isTime(signal) && quantile
  ? html`<br /><span class="sub">beyond the usual p${String(quantile * 100).replace(".", "")}</span>` : ""}`;

/** Of this step; of the whole rollout where a step has nothing yet. */
const counts = (signal) => (signal.here.canary.all || signal.here.stable.all ? signal.here : signal.overall);

function values({ signal, report }) {
  const { canary, stable } = counts(signal);
  const [a, b] = [rate(stable), rate(canary)];
  const shares = html`${percent(a)} → <b>${percent(b)}</b> <span class="sub">${num(canary.bad)} of ${num(canary.all)}</span>`;
  if (signal.name !== "latency" || !report.times.canary.p50) return shares;
  const { times } = report;
  return html`${shares}<br /><span class="sub">p50</span> ${time(times.stable.p50)} → <b>${time(times.canary.p50)}</b><br />
    <span class="sub">p99</span> ${time(times.stable.p99)} → <b>${time(times.canary.p99)}</b>`;
}

function difference({ signal, report }) {
  const { ratio } = signal;
  const { canary: ours, stable: theirs } = counts(signal);
  const [a, b] = [rate(theirs), rate(ours)];
  const gap = a === null || b === null ? "–" : points(b - a);
  const range = ratio && (ratio.low !== null || ratio.high !== null || ratio.likely !== null)
    ? html` <span class="sub">×</span>${ratio.likely === null ? "–" : num(ratio.likely)} <span class="sub">[${num(ratio.low ?? 0)}, ${ratio.high === null ? "any" : num(ratio.high)}]</span>` : "";
  if (signal.name !== "latency" || !report.times.canary.p50) return html`${gap}${range}`;
  const { canary, stable } = report.times;
  const of = (name) => (canary[name] && stable[name] ? relative(canary[name] / stable[name]) : "–");
  return html`${gap}${range}<br /><span class="sub">p50</span> ${of("p50")}<br /><span class="sub">p99</span> ${of("p99")}`;
}

function allowed({ signal }) {
  const { against, at_most: most } = signal.allowed;
  if (!against) {
    if (signal.signal === "latency") return html`p99.9 ≤ ${time(most)}`;
    return isTime(signal.signal) ? html`p${num(signal.signal.quantile * 100)} ≤ ${time(most)}` : html`≤ ${percent(most)}`;
  }
  if (isTime(signal.signal)) return html`≤ ${percent(against.ratio - 1)} slower`;
  const less = falls(signal.signal);
  const factor = less ? 2 - against.ratio : against.ratio;
  const more = against.points > 0 ? ` ${less ? "−" : "+"} ${points(against.points).slice(1)}` : "";
  const stable = rate(counts(signal).stable);
  const bound = stable === null || isAmount(signal.signal) ? null : factor * stable + (less ? -1 : 1) * against.points;
  return html`${less ? "≥" : "≤"} ${num(factor)} × stable${more}${bound === null ? "" : html`<br /><span class="sub">= ${percent(bound)}</span>`}`;
}

/** How far evidence has come, on a scale of odds. */
function evidence(e, need, tone) {
  const share = Math.min(1, Math.max(0, Math.log(Math.max(e, 1e-9)) / Math.log(need)));
  return html`<span class="evidence"><span>${odds(e)}</span>
    <span class="bar ${tone}" aria-hidden="true"><span style=${{ width: `${share * 100}%` }}></span></span></span>`;
}

/** What is missing for the next step, in words, and about how long it takes. */
export function Missing({ report, rollout, plan }) {
  const lacks = (report.missing ?? []).map((one) => lacking(one, rollout, plan));
  const step = rollout.steps[rollout.state.step - 1];
  const left = step ? step.hold_seconds - rollout.state.served : 0;
  if (["shadowing", "running", "holding"].includes(Object.keys(typeof rollout.state.phase === "string" ? { [rollout.state.phase]: 1 } : rollout.state.phase)[0]) && left > 0) {
    lacks.push(`${span(left)} of the hold`);
  }
  if (!lacks.length) return null;
  return html`<div class="missing"><h3>Missing for the next step</h3><ul>${lacks.map((one) => html`<li key=${one}>${one}</li>`)}</ul></div>`;
}

function lacking(one, rollout, plan) {
  if (one.kind === "warmup") return `the canary is cold for another ${span(one.seconds)}`;
  if (one.kind === "requests") return `${num(one.have)} of ${num(one.need)} requests to each version`;
  const verb = one.signal === "errors" ? "are" : "is";
  return `proof that ${one.signal} ${verb} not worse by ${points(one.margin).slice(1)}: ${odds(one.e)}, ${odds(one.need)} is needed${about(one, rollout, plan)}`;
}

/** Evidence grows by a factor in each second: what is left of the forecast, by its logarithm. */
function about({ e, need }, rollout, plan) {
  const step = plan?.steps.find((one) => Math.abs(one.weight * 100 - rollout.in_force) < 0.001);
  if (!step) return "";
  if (step.proof === null) return " (at this traffic, never)";
  const left = step.proof * (1 - Math.max(0, Math.log(Math.max(e, 1e-9))) / Math.log(need));
  return left > 0 ? ` (about ${span(left)} at this traffic)` : "";
}

/** Evidence at which a step is held. */
const DOUBT = 10;
