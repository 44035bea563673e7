// One screen, no clicks: what is wrong first, rollouts under way, every upstream with its versions
// side by side.

import { html, useEffect, useMemo, useState } from "../vendor/htm-preact.js";
import { get, part } from "../api.js";
import { ago, count, num, percent, span, time, weight, words } from "../format.js";
import { state, usePoll, useStore } from "../store.js";
import { Bar, Choice, Empty, Fault, Pager, Search, Section, Spark, State, Version } from "../ui.js";
import { key } from "../hour.js";
import { Phase, phaseOf } from "./phase.js";
import { wrongs } from "./wrongs.js";

export default function Overview() {
  const beat = useStore((it) => it.beat);
  const status = usePoll("/v1/status", 3);
  const rollouts = usePoll("/v1/rollouts", 2);
  const now = status.data;
  const groups = useMemo(() => group(beat, now), [beat, now]);
  if (!beat) return html`<p class="boot">Waiting for the first second…</p>`;
  const found = wrongs({ beat, status: now, rollouts: rollouts.data });
  return html`<div class="page"><h1 class="hidden">Overview</h1>
    <${Fault} error=${!now && status.error} />
    <${Facts} beat=${beat} status=${now} />
    <${Wrongs} found=${found} known=${Boolean(now)} />
    <${Lines} rollouts=${rollouts.data?.rollouts ?? []} />
    <${Upstreams} groups=${groups} left=${beat.left_out} />
  </div>`;
}

// The proxy as a whole

function Facts({ beat, status }) {
  const sum = (pick) => beat.versions.reduce((all, one) => all + pick(one), 0);
  const rate = sum((one) => one.rate);
  const errors = sum((one) => one.errors);
  const rates = useMemo(() => thin(state.hour.common((it) => it.rate)), [beat]);
  const hot = thin(state.hour.common((it) => it.saturation));
  const facts = [
    ["Traffic", html`${num(rate)}<small> requests/s</small>`, html`<${Spark} values=${rates} width=${64} />`],
    ["Errors", html`${percent(rate ? errors / rate : 0)}`, html`<small>${num(errors)} a second</small>`],
    ["Saturation", html`${percent(beat.saturation)}`, html`<${Spark} values=${hot} top=${1} width=${64} /><small title="the fullest component">${beat.fullest}</small>`],
    ["Connections", count(beat.connections), html`<small>of clients</small>`],
    ["Cores", html`<span class="cores">${beat.cores.slice(0, CORES_SHOWN).map((busy, nth) => html`<span key=${nth} class=${busy >= 0.9 ? "hot" : ""} title="core ${nth}: ${percent(busy)}"><i style=${{ height: `${Math.max(4, busy * 100)}%` }}></i></span>`)}</span>`,
      html`<small>${beat.cores.length === 1 ? "one core" : `${beat.cores.length} cores`}${beat.cores.length ? `, hottest ${percent(Math.max(...beat.cores))}` : ""}</small>`],
    ...(status ? [["Process", html`${words(status.phase)}`, html`<small>up ${span(status.uptime_seconds)}, configuration ${status.generation}</small>`]] : []),
  ];
  return html`<dl class="facts live">${facts.map(([name, value, more]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd><dd class="more">${more}</dd></div>`)}</dl>`;
}

const CORES_SHOWN = 64;

/** About so many of them, evenly: a small line needs no more. */
function thin(values, most = 60) {
  const step = Math.ceil(values.length / most);
  return step <= 1 ? values : values.filter((value, nth) => (values.length - 1 - nth) % step === 0);
}

function Wrongs({ found, known }) {
  if (!found.length) return known && html`<p class="well"><${State} tone="good">Nothing is wrong.<//></p>`;
  return html`<${Section} id="wrong" title="Needs attention" aside=${html`<span>${found.length}</span>`}>
    <ul class="wrongs">${found.slice(0, 12).map((one) => html`<li key=${one.text}><${State} tone=${one.tone}>${one.what}<//>
      <span>${one.text}${one.to && html` <a href=${one.to}>${one.link}</a>`}</span></li>`)}</ul>
    ${found.length > 12 && html`<p class="says dim">and ${found.length - 12} more</p>`}<//>`;
}

// Rollouts

function Lines({ rollouts }) {
  const active = rollouts.filter((one) => !["idle"].includes(phaseOf(one.state.phase).name));
  if (!active.length) return null;
  return html`<${Section} id="rollouts" title="Rollouts">
    <ul class="lines">${active.slice(0, 20).map((one) => {
      const { state: now, steps } = one;
      const step = steps[now.step - 1];
      return html`<li key=${one.name}><a class="strong" href="#/rollout/${part(one.name)}">${one.name}</a>
        <span class="nowrap">${one.from} <span class="dim" aria-label="to">▶</span> ${one.to}</span>
        <${Phase} phase=${now.phase} frozen=${now.frozen} />
        <span class="nowrap">step ${now.step} of ${steps.length}${step ? ` (${step.what})` : ""}</span>
        <span class="nowrap"><${Bar} share=${one.in_force / 100} tone="canary" label="share of the canary" /> ${weight(one.in_force)}</span>
        <span class="dim text">${now.why}, ${ago(now.since)}</span></li>`;
    })}</ul><//>`;
}

// Upstreams

/** Versions by their upstream, with what the status knows of their endpoints. */
function group(beat, status) {
  const groups = new Map();
  const known = new Map((status?.upstreams ?? []).map((one) => [one.name, one]));
  const full = new Map((status?.saturation?.versions ?? []).map((one) => [key(one), Math.max(one.pool, one.queue)]));
  for (const version of beat?.versions ?? []) {
    const { upstream } = version;
    if (!groups.has(upstream)) groups.set(upstream, { name: upstream, versions: [], rate: 0, errors: 0, trouble: 0, frozen: known.get(upstream)?.frozen });
    const one = groups.get(upstream);
    const of = known.get(upstream)?.versions.find((it) => it.name === version.version);
    const endpoints = of?.endpoints ?? null;
    const out = endpoints ? endpoints.filter((it) => !it.available) : [];
    one.versions.push({ ...version, endpoints, out, full: full.get(key(version)), draining: of?.draining });
    one.rate += version.rate;
    one.errors += version.errors;
    one.trouble = Math.max(one.trouble, out.length ? 2 : 0, badness(version.minute));
  }
  return [...groups.values()];
}

/** How much an error rate asks to be looked at: what it is for sure counts. */
function badness(minute) {
  if (!minute.requests) return 0;
  return minute.error_band[0] >= 0.05 ? 3 : minute.error_band[0] >= 0.01 ? 1 : 0;
}

const ORDERS = {
  trouble: (a, b) => b.trouble - a.trouble || b.rate - a.rate,
  traffic: (a, b) => b.rate - a.rate,
  name: (a, b) => a.name.localeCompare(b.name),
};

const PAGE = 25;
/** Milliseconds for which an order holds. */
const KEPT = 20_000;

function Upstreams({ groups, left }) {
  const [sought, setSought] = useState("");
  const [order, setOrder] = useState("trouble");
  const [offset, setOffset] = useState(0);
  const many = groups.length > 8;
  // Rows that change places each second cannot be read: the order is kept for a while.
  const turn = Math.floor((state.beat?.at ?? 0) / KEPT);
  const troubles = groups.map((one) => one.trouble).join("");
  const ordered = useMemo(() => (many ? [...groups].sort(ORDERS[order]) : groups).map((one) => one.name), [order, many, turn, troubles]);
  const wanted = sought.trim().toLowerCase();
  const of = new Map(groups.map((one) => [one.name, one]));
  const shown = ordered.map((name) => of.get(name)).filter((one) => one && (!wanted || one.name.toLowerCase().includes(wanted)
    || one.versions.some((version) => version.version.toLowerCase().includes(wanted))));
  const at = offset < shown.length ? offset : 0;
  const page = shown.slice(at, at + PAGE);
  usePast(page);
  const tools = many && html`<${Search} label="Search upstreams" value=${sought} onInput=${(text) => { setSought(text); setOffset(0); }} />
    <${Choice} label="Order" value=${order} onChange=${setOrder} choices=${[["trouble", "Trouble first"], ["traffic", "Traffic"], ["name", "Name"]]} />`;
  return html`<${Section} id="upstreams" title="Upstreams" aside=${tools}>
    ${!groups.length && html`<${Empty}>None is configured. A table <code>[upstream.NAME]</code> with <code>versions</code> makes one.<//>`}
    ${groups.length > 0 && !page.length && html`<${Empty}>No upstream is called that.<//>`}
    ${page.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Upstreams and their versions">
      <table class="golden live"><caption class="hidden">Golden signals of every version, over the last minute, with lines of the last hour</caption>
        <thead><tr><th scope="col">Upstream</th><th scope="col">Version</th><th scope="col" class="number">Share</th>
          <th scope="col" class="number">Requests/s</th><th scope="col" class="hour"><span class="hidden">Requests in the last hour</span></th>
          <th scope="col" class="number">Errors</th><th scope="col" class="number" title="Between which shares it lies with 95 %, whenever one looks">95 % band</th>
          <th scope="col" class="number">p50</th><th scope="col" class="number">p95</th><th scope="col" class="number">p99</th><th scope="col" class="hour"><span class="hidden">p99 in the last hour</span></th>
          <th scope="col" class="number">In flight</th><th scope="col" class="number" title="How full the connections and queues to it are">Full</th><th scope="col">Endpoints</th></tr></thead>
        ${page.map((one) => html`<tbody key=${one.name}>${one.versions.map((version, nth) => html`<${Row} key=${version.version} upstream=${one} version=${version} first=${nth === 0} />`)}</tbody>`)}
      </table></div>`}
    <${Pager} offset=${at} limit=${PAGE} total=${shown.length} onMove=${setOffset} back="Before" forth="Next" />
    ${left > 0 && html`<p class="says dim">${left} versions are beyond the bound of the history; <code>gnomon golden</code> has them.</p>`}
  <//>`;
}

/** Of many versions, the past comes only for those that can be seen. */
function usePast(page) {
  const names = page.filter((one) => one.versions.some((version) => !state.hour.hasPast(key(version)))).map((one) => one.name).join(",");
  useEffect(() => {
    if (!names) return undefined;
    const gone = new AbortController();
    get(`/v1/history?versions=${encodeURIComponent(names)}`, gone.signal)
      .then((past) => state.hour.add(past), () => {});
    return () => gone.abort();
  }, [names]);
}

/** A line of the last hour: ten seconds make no difference to it, and many of them would. */
function Trend({ name, field, arm }) {
  const turn = Math.floor((state.beat?.at ?? 0) / 10_000);
  return useMemo(() => html`<${Spark} values=${thin(state.hour.column(name, field))} tone=${arm} />`,
    [name, field, arm, turn, state.hour.past.has(name)]);
}

function Row({ upstream, version, first }) {
  const { minute, arm, endpoints, out } = version;
  const name = key(version);
  const some = minute.requests > 0;
  const bad = badness(minute);
  const healthy = endpoints && (out.length === 0
    ? html`<${State} tone="good">${endpoints.length}<span class="hidden"> healthy</span><//>`
    : html`<${State} tone=${out.length === endpoints.length ? "bad" : "warn"} title=${out.map((one) => `${one.address}: ${one.out ?? "out"}`).join("\n")}>${endpoints.length - out.length} of ${endpoints.length}<//>`);
  return html`<tr>
    <th scope="row" class=${first ? "strong" : ""}>${first ? html`${upstream.name}${upstream.frozen ? html` <small>frozen</small>` : ""}` : html`<span class="hidden">${upstream.name}</span>`}</th>
    <td><${Version} name=${version.version} arm=${arm} />${version.draining ? html` <small>draining</small>` : ""}</td>
    <td class="number">${weight(version.share)}</td>
    <td class="number">${num(version.rate)}</td>
    <td class="hour"><${Trend} name=${name} field="rate" arm=${arm} /></td>
    <td class="number">${some ? (bad ? html`<${State} tone=${bad > 2 ? "bad" : "warn"}>${percent(minute.error_rate)}<//>` : percent(minute.error_rate)) : "–"}</td>
    <td class="number dim">${some ? html`${percent(minute.error_band[0])}${" "}to ${percent(minute.error_band[1])}` : "–"}</td>
    <td class="number">${time(minute.p50)}</td><td class="number">${time(minute.p95)}</td><td class="number">${time(minute.p99)}</td>
    <td class="hour"><${Trend} name=${name} field="p99" arm=${arm} /></td>
    <td class="number">${num(version.in_flight)}</td>
    <td class="number">${version.full === undefined ? "–" : percent(version.full)}</td>
    <td>${healthy ?? "–"}</td></tr>`;
}
