// A rollout as it goes: the weight, both versions with their bands, every verdict with its rule and
// what is missing, and what a person may do.

import { html, useMemo, useState } from "../vendor/htm-preact.js";
import { act, part } from "../api.js";
import { Chart } from "../chart.js";
import { ago, clock, count, num, percent, span, time, weight, whole, words } from "../format.js";
import { state, useMay, usePoll, useStore } from "../store.js";
import { Choice, Command, Confirm, Empty, Fault, GLYPHS, Section, State, Table, Version, quoted } from "../ui.js";
import { Phase, TONES, phaseOf } from "./phase.js";
import { Missing, Verdicts, limitOf } from "./verdicts.js";

const isActive = (name) => ["shadowing", "running", "holding", "waiting", "paused"].includes(name);
const needsPerson = ({ name, reason }) =>
  name === "paused" || (name === "holding" && ["unproven", "worse", "lost"].includes(reason));

const split = (end) => {
  const [upstream, version] = end.split("@");
  return { upstream, version };
};

export default function Rollouts({ params }) {
  const { data, error, again } = usePoll("/v1/rollouts", 1);
  if (!data) return error ? html`<${Fault} error=${error} />` : html`<p class="boot">Loading…</p>`;
  const all = data.rollouts;
  if (!all.length) {
    return html`<div class="page"><h1>Rollouts</h1><${Section} id="none" title="No rollout">
      <${Empty}>None is configured. A table <code>[rollout.NAME]</code> with <code>from</code>, <code>to</code> and <code>steps</code> makes one;${" "}
        <code>gnomon rollout plan</code> says beforehand how long it would take.<//><//></div>`;
  }
  const chosen = all.find((one) => one.name === params[0])
    ?? all.find((one) => isActive(phaseOf(one.state.phase).name)) ?? all[0];
  const unknown = params[0] && chosen.name !== params[0];
  return html`<div class="page">
    ${all.length > 1 && html`<${Others} all=${all} chosen=${chosen.name} />`}
    ${unknown && html`<p class="note warn">There is no rollout ${params[0]}; this is ${chosen.name}.</p>`}
    ${data.trouble && html`<p class="note bad">Nothing can be written, and no weight is raised: ${data.trouble}</p>`}
    <${One} key=${chosen.name} rollout=${chosen} again=${again} />
  </div>`;
}

const Others = ({ all, chosen }) => html`<nav class="tabs" aria-label="Rollouts">${all.slice(0, TABS_MAX).map((one) => html`
  <a key=${one.name} href="#/rollout/${part(one.name)}" aria-current=${one.name === chosen ? "page" : undefined}>
    <span class="glyph ${TONES[phaseOf(one.state.phase).name]}" aria-hidden="true">${GLYPHS[TONES[phaseOf(one.state.phase).name]]}</span>
    ${one.name} <span class="dim">${weight(one.in_force)}</span></a>`)}</nav>`;

const TABS_MAX = 60;

function One({ rollout, again }) {
  const path = `/v1/rollouts/${part(rollout.name)}`;
  const history = usePoll(`${path}/history?limit=200`, 2);
  const plan = usePoll(`${path}/plan`, 5);
  const records = history.data?.items ?? [];
  const done = () => {
    again();
    history.again();
  };
  return html`
    <${Head} rollout=${rollout} again=${done} />
    <${Notes} rollout=${rollout} />
    <${Weights} rollout=${rollout} records=${records} />
    <${Signals} rollout=${rollout} records=${records} />
    <${Judge} rollout=${rollout} plan=${plan.data} />
    <div class="columns three">
      <${Traffic} rollout=${rollout} records=${records} />
      <${Capacity} rollout=${rollout} />
      <${Plan} rollout=${rollout} plan=${plan.data} error=${plan.error} />
    </div>
    <${Record} records=${records} total=${history.data?.total} error=${history.error} />`;
}

function Head({ rollout, again }) {
  const { state: now, steps, from, to } = rollout;
  const step = steps[now.step - 1];
  const [old, next] = [split(from), split(to)];
  const { name } = phaseOf(now.phase);
  const holding = isActive(name) && step;
  const left = holding ? Math.max(0, step.hold_seconds - now.served) : 0;
  return html`<header class="rollout-head live">
    <div class="who"><h1><span class="of">${old.upstream}</span> <span class="stable">${old.version}</span>
      <span class="arrow" aria-label="to">▶</span> <span class="canary">${next.upstream === old.upstream ? next.version : to}</span></h1>
      <p class="where"><${Phase} phase=${now.phase} frozen=${now.frozen} />
        <span>${now.step ? `step ${now.step} of ${steps.length}` : `before step 1 of ${steps.length}`}</span>
        <span><b>${weight(rollout.in_force)}</b> of the users</span>
        ${holding && html`<span class="hold"><progress max=${Math.max(1, step.hold_seconds)} value=${Math.min(now.served, step.hold_seconds)} aria-label="Hold of this step"></progress>
          ${left > 0 ? `${span(now.served)} of ${span(step.hold_seconds)}` : `held ${span(now.served)}`}</span>`}
      </p></div>
    <${Actions} rollout=${rollout} again=${again} />
    <p class="why" role="status" aria-live="polite"><span class="dim">${now.by || "gnomon"}, ${ago(now.since)}:</span> ${now.why || "never started"}</p>
  </header>`;
}

function Notes({ rollout }) {
  const { line, saved, state: now } = rollout;
  return html`
    ${line && html`<p class="note warn"><b>The line is stopped</b> since ${ago(line.since)} by ${line.by}: ${line.reason}. No rollout raises a weight.</p>`}
    ${!saved && Date.now() / 1000 - now.since > UNSAVED && html`<p class="note warn">The last transition is not on the disk yet; no weight is raised until it is.</p>`}
    ${now.frozen && html`<p class="note warn"><b>Frozen.</b> Everything stays as it is; not even a rollback happens until somebody resumes it.</p>`}`;
}

/** Seconds that writing takes at the most, where all is well. */
const UNSAVED = 3;

// What a person may do

function Actions({ rollout, again }) {
  const may = useMay("rollout");
  const [open, setOpen] = useState(null);
  const { state: now, steps, name } = rollout;
  const phase = phaseOf(now.phase);
  const active = isActive(phase.name);
  const command = html`<${Command}>${`gnomon rollout status ${quoted(name)}`}<//>`;
  if (!may) return html`<div class="actions">${command}</div>`;
  const step = steps[now.step - 1];
  const offered = [
    active && !now.frozen && step?.approve && !now.approved && "approve",
    active && !now.frozen && phase.reason !== "lost" && "promote",
    (now.frozen || (active && needsPerson(phase))) && "resume",
    active && !now.frozen && phase.name !== "paused" && "pause",
    !now.frozen && (active || phase.name === "promoted") && "abort",
    !now.frozen && ["idle", "rolled_back", "aborted"].includes(phase.name) && "start",
  ].filter(Boolean);
  const close = (done) => {
    setOpen(null);
    if (done) again();
  };
  return html`<div class="actions">
    ${offered.map((verb) => html`<button type="button" key=${verb} class=${verb === "abort" ? "bad" : ""} aria-haspopup="dialog"
      onClick=${() => setOpen(verb)}>${LABELS[verb]}</button>`)}
    ${open && html`<${Ask} verb=${open} rollout=${rollout} onClose=${close} />`}
  </div>`;
}

const LABELS = { approve: "Approve", promote: "Promote", resume: "Resume", pause: "Pause", abort: "Abort", start: "Start" };

function Ask({ verb, rollout, onClose }) {
  const [full, setFull] = useState(false);
  const { name, state: now, steps } = rollout;
  const next = steps[now.step];
  const send = ({ reason }) => act(`/v1/rollouts/${part(name)}/${verb}`, {
    reason, by: "console", ...(verb === "promote" ? (full ? { full } : { step: now.step }) : {}),
  });
  const flag = verb === "promote" && full ? " --full" : "";
  const cli = (reason) => `gnomon rollout ${verb} ${quoted(name)}${flag} --reason ${reason ? quoted(reason) : "'…'"}`;
  return html`<${Confirm} title="${LABELS[verb]} ${name}" verb=${LABELS[verb]} tone=${verb === "abort" ? "bad" : ""}
      what=${consequences(verb, rollout, full)} send=${send} cli=${cli} onClose=${onClose}>
    ${verb === "promote" && next && html`<${Choice} label="How far" value=${full} onChange=${setFull}
      choices=${[[false, `Next step: ${next.what}`], [true, "All the way: 100 %"]]} />`}
  <//>`;
}

/** Exactly what will happen. */
function consequences(verb, rollout, full) {
  const { from, to, in_force: share, state: now, steps, requests } = rollout;
  const [old, canary] = [split(from).version, split(to).version];
  const step = steps[now.step - 1];
  const next = steps[now.step];
  const evidence = html`${count(requests.canary)} requests of ${canary} and ${count(requests.stable)} of ${old} in this step`;
  switch (verb) {
    case "abort": return html`<p><b>All users go to ${old} now</b>, within a second. Requests that are under way end where they are.</p>
      <p>${canary} gets nothing (${weight(share)} so far) until somebody starts the rollout again.</p>`;
    case "pause": return html`<p><b>${canary} stays at ${weight(share)}.</b> The hold stands still and no further step is taken until somebody resumes.</p>
      <p>The judge and the fuse still watch: a ${canary} that is worse is rolled back.</p>`;
    case "resume": return now.frozen
      ? html`<p><b>The freeze ends.</b> The judge and the fuse may act again at once, a rollback that was withheld too.</p>`
      : html`<p><b>The rollout goes on</b> at ${weight(share)}${step ? `, in step ${now.step} of ${steps.length}` : ""}.
        ${needsPerson(phaseOf(now.phase)) && phaseOf(now.phase).name === "holding" ? " The step has its whole time again." : ""}</p>`;
    case "approve": return html`<p><b>Yes to the step after ${step?.what}</b>${next ? `, which is ${next.what}` : ": the takeover"}.</p>
      <p>It is taken as soon as the hold is over and the judge has its proof; nothing is skipped.</p>`;
    case "start": return html`<p><b>The rollout begins at step 1: ${steps[0]?.what}</b> for ${span(steps[0]?.hold_seconds)} at the least.</p>
      <p>Evidence is gathered anew; what was seen before does not count.</p>`;
    default: return html`<p>${full || !next
      ? html`<b>${canary} gets all users now</b> (${weight(share)} so far).`
      : next.weight > 0 ? html`<b>${canary} gets ${next.what} of the users now</b> (${weight(share)} so far).` : html`<b>The step ${next.what} begins now.</b>`}
      ${" "}Neither the rest of the hold${step ? ` (${span(now.served)} of ${span(step.hold_seconds)})` : ""} nor the judge is waited for.</p>
      <p>So far: ${evidence}. The judge says: ${rollout.verdict || "nothing yet"}</p>`;
  }
}

// Weight

function Weights({ rollout, records }) {
  const { steps, state: now } = rollout;
  const beat = useStore((it) => it.beat);
  const data = useMemo(() => timeline(rollout, records), [rollout, records, beat]);
  const { name } = phaseOf(now.phase);
  const over = name === "promoted";
  const ended = name === "rolled_back" || name === "aborted";
  return html`<${Section} id="weight" title="Weight" aside=${rollout.armed ? html`<${State} tone="good" title="The cores cut the canary off by themselves when it breaks">fuse armed<//>` : html`<${State} tone="rest">fuse not armed<//>`}>
    <div class="scroll" tabindex="0" role="region" aria-label="Steps of the plan"><ol class="ladder">${steps.map((step, nth) => {
      const place = nth + 1;
      const at = over || place < now.step ? "past" : place === now.step ? (ended ? "ended" : "now") : "next";
      const glyph = { past: "✓", now: "▶", next: "", ended: "✕" }[at];
      return html`<li key=${nth} class=${at} aria-current=${at === "now" ? "step" : undefined} style=${{ "--weight": `${step.weight}%` }}>
        <span class="what">${glyph && html`<span aria-hidden="true">${glyph} </span>`}${step.what}</span>
        <span class="dim">${span(step.hold_seconds)}${step.approve ? " · ⏸ approval" : ""}</span></li>`;
    })}</ol></div>
    ${data.times.length > 1
      ? html`<${Chart} label="Weight of the canary over time" ...${data} height=${96} top=${100} format=${weight} sync="rollout"
        summary=${`The canary gets ${weight(rollout.in_force)} of the users.`} />`
      : html`<${Empty}>The weight will be drawn from the start on.<//>`}
  <//>`;
}

/** From when on the charts are drawn: the start, and a little before. */
function window_(rollout) {
  const to = (state.beat?.at ?? Date.now()) / 1000;
  const started = rollout.state.started;
  const oldest = to - 3600;
  const from = started ? Math.max(oldest, started - 20) : to - 900;
  return { from: Math.min(from, to - 60), to };
}

function timeline(rollout, records) {
  const { from, to } = window_(rollout);
  const events = [...records].reverse().map((record) => record.event);
  const points = [];
  const before = events.filter((event) => event.at <= from).at(-1);
  points.push([from, (before ? before.weight : events[0]?.weight_from ?? rollout.state.weight_parts) / 1000]);
  for (const event of events) {
    if (event.at <= from || event.at > to) continue;
    points.push([event.at, event.weight_from / 1000], [event.at + 0.001, event.weight / 1000]);
  }
  points.push([to, rollout.state.weight_parts / 1000]);
  return {
    times: points.map(([at]) => at),
    lines: [{ label: "weight", tone: "canary", values: points.map(([, value]) => value), fill: true, width: 2 }],
    marks: marksOf(events),
    from, to,
  };
}

/** Transitions worth a mark: of the weight, and of phases that a person should know of. */
function marksOf(events) {
  return events.flatMap((event) => {
    const to = phaseOf(event.to);
    if (event.weight > event.weight_from) return [{ at: event.at, glyph: "▲", tone: "good" }];
    if (event.weight < event.weight_from) return [{ at: event.at, glyph: "▼", tone: "bad" }];
    if (to.name === "paused" || to.name === "waiting") return [{ at: event.at, glyph: "⏸", tone: "warn" }];
    if (to.name === "promoted") return [{ at: event.at, glyph: "✓", tone: "good" }];
    return [];
  });
}

// Both versions

function Signals({ rollout, records }) {
  const beat = useStore((it) => it.beat);
  const limit = limitOf(rollout.report);
  const charts = useMemo(() => signals(rollout, records, limit), [rollout.from, rollout.to, rollout.state.started, records, beat]);
  const { errors, latency } = charts;
  const [old, canary] = [split(rollout.from).version, split(rollout.to).version];
  const key = html`<${Key} old=${old} canary=${canary} />`;
  return html`<div class="columns live">
    <${Section} id="errors" title="Error rate" aside=${html`${key}${limit && html`<span class="key"><span class="stroke bad dashed" aria-hidden="true"></span>limit</span>`}<span class="dim">last minute, 95 % band</span>`}>
      ${errors.times.length > 1 ? html`<${Chart} label="Error rate of both versions" ...${errors} height=${172} format=${percent} sync="rollout"
        summary=${`Over the last minute ${old} failed ${percent(last(errors.lines[0].values))}, ${canary} ${percent(last(errors.lines[1].values))}.`} />` : html`<${Empty}>No second has passed yet.<//>`}
    <//>
    <${Section} id="latency" title="Latency" aside=${html`${key}<span class="dim">p99 with 95 % band, p95, p50; log scale</span>`}>
      ${latency.times.length > 1 ? html`<${Chart} label="Latency of both versions" ...${latency} log height=${172} format=${time} sync="rollout"
        summary=${`The 99th percentile is ${time(last(latency.lines[0].values))} for ${old} and ${time(last(latency.lines[3].values))} for ${canary}.`} />` : html`<${Empty}>No second has passed yet.<//>`}
    <//>
  </div>`;
}

const Key = ({ old, canary }) => html`<${Version} name=${old} arm="stable" /><${Version} name=${canary} arm="canary" />`;

const last = (values) => values.findLast((value) => value !== null);

function Traffic({ rollout, records }) {
  const beat = useStore((it) => it.beat);
  const chart = useMemo(() => rates(rollout, records), [rollout.from, rollout.to, rollout.state.started, records, beat]);
  const [old, canary] = chart.lines.map((line) => line.label);
  return html`<${Section} id="traffic" title="Traffic" aside=${html`<${Key} old=${old} canary=${canary} /><span class="dim">requests/s</span>`}>
    ${chart.times.length > 1 ? html`<${Chart} label="Requests a second of both versions" ...${chart} height=${148} format=${num} sync="rollout"
      summary=${`${old} gets ${num(last(chart.lines[0].values))} requests a second, ${canary} ${num(last(chart.lines[1].values))}.`} />` : html`<${Empty}>No second has passed yet.<//>`}
  <//>`;
}

function rates(rollout, records) {
  const { from, to } = window_(rollout);
  const since = from * 1000;
  const line = (end, tone, dash) => ({ label: split(end).version, tone, dash, values: state.hour.column(end, "rate", since) });
  return {
    times: state.hour.times(since), marks: marksOf([...records].reverse().map((record) => record.event)), from, to,
    lines: [line(rollout.from, "stable"), line(rollout.to, "canary", [6, 3])],
  };
}

function signals(rollout, records, limit) {
  const { from, to } = window_(rollout);
  const { hour } = state;
  const since = from * 1000;
  const times = hour.times(since);
  const [old, canary] = [split(rollout.from).version, split(rollout.to).version];
  const of = (end) => (field) => hour.column(end, field, since);
  const [a, b] = [of(rollout.from), of(rollout.to)];
  const marks = marksOf([...records].reverse().map((record) => record.event));
  const line = (label, tone, values, more = {}) => ({ label, tone, values, dash: tone === "canary" ? [6, 3] : undefined, ...more });
  const [low, high] = [[a("error_low"), b("error_low")], [a("error_high"), b("error_high")]];
  const [stable, other] = [a("error_rate"), b("error_rate")];
  const limits = limit ? stable.map((share) => (share === null ? null : limit(share))) : null;
  const peak = Math.max(0.0005, ...[...stable, ...other, ...(limits ?? [])].filter((value) => value !== null));
  const common = { times, marks, from, to };
  return {
    errors: {
      ...common,
      // A band of the first seconds is all there could be; the scale is the lines'.
      top: peak * 1.6,
      lines: [line(old, "stable", stable), line(canary, "canary", other),
        ...(limits ? [{ label: "limit", tone: "bad", values: limits, dash: [2, 3], width: 1.25 }] : [])],
      bands: [{ of: old, tone: "stable", low: low[0], high: high[0] }, { of: canary, tone: "canary", low: low[1], high: high[1] }],
    },
    latency: {
      ...common,
      lines: [["p99", a, "stable"], ["p95", a, "stable"], ["p50", a, "stable"], ["p99", b, "canary"], ["p95", b, "canary"], ["p50", b, "canary"]]
        .map(([field, pick, tone]) => line(`${tone === "stable" ? old : canary} ${field}`, tone, pick(field), field === "p99" ? {} : { short: field, width: 1.1, faint: true, dash: tone === "canary" ? [3, 3] : undefined })),
      bands: [{ of: `${old} p99`, tone: "stable", low: a("p99_low"), high: a("p99_high") }, { of: `${canary} p99`, tone: "canary", low: b("p99_low"), high: b("p99_high") }],
    },
  };
}

function Capacity({ rollout }) {
  const beat = useStore((it) => it.beat);
  const { healthy, saturation, requests, diff_rate: differ } = rollout;
  const find = (end) => beat?.versions.find((one) => `${one.upstream}@${one.version}` === end);
  const row = (name, pick) => ({ name, stable: pick("stable", find(rollout.from)), canary: pick("canary", find(rollout.to)) });
  const rows = [
    row("Healthy endpoints", (arm) => whole(healthy[arm])),
    row("Fullest component", (arm) => percent(saturation[arm])),
    row("In flight", (arm, version) => whole(version?.in_flight)),
    row("Requests in this step", (arm) => whole(requests[arm])),
    row("p99 of this step", (arm, version) => time(version?.step?.p99)),
    ...(differ === null ? [] : [row("Copies that differ", (arm) => arm === "canary"
      ? html`<a href="#/shadow">${percent(Math.abs(differ))}</a>` : "")]),
  ];
  const columns = [
    { name: "what", title: html`<span class="hidden">What</span>`, cell: (it) => it.name, head: true },
    { name: "stable", title: split(rollout.from).version, cell: (it) => it.stable, number: true },
    { name: "canary", title: split(rollout.to).version, cell: (it) => it.canary, number: true },
  ];
  return html`<${Section} id="capacity" title="Capacity">
    <${Table} label="Capacity of both versions" columns=${columns} rows=${rows} rowKey=${(it) => it.name} /><//>`;
}

// Verdicts

function Judge({ rollout, plan }) {
  const { report, verdict, from, to } = rollout;
  return html`<${Section} id="verdicts" title="Verdicts" aside=${html`<span>evidence is valid at every moment, however often one looks</span>`}>
    <p class="says" role="status" aria-live="polite">${verdict || "The judge has nothing to say yet."}</p>
    ${report?.signals?.length
      ? html`<${Verdicts} report=${report} from=${split(from).version} to=${split(to).version} />
        <${Missing} report=${report} rollout=${rollout} plan=${plan} />`
      : html`<${Empty}>The judge compares once both versions have users.<//>`}
  <//>`;
}

// What is expected

function Plan({ rollout, plan, error }) {
  const found = (all, place) => (all[place] ? until(all[place].seconds) : "?");
  const columns = [
    { name: "weight", title: "Step", head: true, cell: (it) => percent(it.weight) },
    { name: "x15", title: "errors ×1.5", number: true, cell: (it) => found(it.errors, 0) },
    { name: "x3", title: "×3", number: true, cell: (it) => found(it.errors, 1) },
    { name: "x10", title: "×10", number: true, cell: (it) => found(it.errors, 2) },
    { name: "p10", title: "p99 +10 %", number: true, cell: (it) => found(it.latency, 0) },
    { name: "p20", title: "+20 %", number: true, cell: (it) => found(it.latency, 1) },
    { name: "proof", title: "proof", hint: "That it is not worse than the step's margin", number: true, cell: (it) => until(it.proof) },
  ];
  const advised = (plan?.steps ?? []).filter((step) => step.advice.length);
  return html`<${Section} id="forecast" title="Forecast" aside=${plan && plan.rate > 0 && html`<span>with a chance of 80 %</span>`}>
    <${Fault} error=${!plan && error} />
    ${plan && plan.rate <= 0 && html`<${Empty}>There is no traffic now: nothing can be proven.<//>`}
    ${plan && plan.rate > 0 && html`<p class="says">At ${num(plan.rate)} ${plan.by_user ? "new users" : "requests"} a second, of which ${split(rollout.from).version} fails ${percent(plan.errors)},
        harm of this size is found after:</p>
      <${Table} label="Forecast by step" columns=${columns} rows=${plan.steps} rowKey=${(it) => it.weight}
        rowClass=${(it) => (Math.abs(it.weight * 100 - rollout.in_force) < 0.001 ? "now" : "")} />
      ${advised.map((step) => html`<p class="says" key=${step.weight}>${percent(step.weight)} takes long. What would help: ${step.advice.map(advice).join("; ")}.</p>`)}`}
  <//>`;
}

const until = (seconds) => (seconds === null ? "decades" : span(seconds));

function advice(one) {
  if (one.do === "mirror") return "copies to the canary first, of all requests";
  if (one.do === "larger") return `${percent(one.weight)} instead (errors ×3 after ${until(one.triple)}, proof ${until(one.proof)})`;
  return `gate.risk.errors = "${num(one.risk_errors * 100)}pp" (proof ${until(one.proof)})`;
}

// The record

function Record({ records, total, error }) {
  const [all, setAll] = useState(false);
  const shown = all ? records : records.slice(0, 8);
  return html`<${Section} id="record" title="Decision record" aside=${total !== undefined && html`<span>${total} transitions</span>`}>
    <${Fault} error=${!records.length && error} />
    ${!records.length && !error && html`<${Empty}>Nothing has happened yet.<//>`}
    ${shown.length > 0 && html`<ol class="record">${shown.map(({ id, event, report }) => html`<${Transition} key=${id} event=${event} report=${report} />`)}</ol>`}
    ${records.length > 8 && html`<p class="says"><button type="button" onClick=${() => setAll(!all)}>${all ? "Only the newest" : `All ${records.length}`}</button></p>`}
  <//>`;
}

function Transition({ event, report }) {
  const [open, setOpen] = useState(false);
  const moved = event.weight !== event.weight_from;
  const to = weight(event.weight / 1000);
  return html`<li><time datetime=${new Date(event.at * 1000).toISOString()}>${clock(event.at * 1000)}</time>
    <${Phase} phase=${event.to} />
    <span class="nowrap">${moved ? html`${weight(event.weight_from / 1000)} → <b>${to}</b>` : to}</span>
    <span class="text">${event.why}</span>
    <span class="by dim">${event.by}</span>
    ${report?.signals?.length ? html`<button type="button" class="plain" aria-expanded=${open ? "true" : "false"} onClick=${() => setOpen(!open)}>Numbers</button>` : html`<span></span>`}
    ${open && html`<div class="numbers"><${Verdicts} report=${report} from="stable" to="canary" label=${`Numbers of ${clock(event.at * 1000)}`} /></div>`}</li>`;
}
