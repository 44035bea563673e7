// Every core by itself, as the mean hides the one that is slow; and what is fullest.

import { html, useEffect, useMemo, useRef } from "../vendor/htm-preact.js";
import { clock, count, num, percent, time, whole, words } from "../format.js";
import { state, usePoll, useStore } from "../store.js";
import { Bar, Empty, Fault, Section, State, Table } from "../ui.js";

export default function Cores() {
  const beat = useStore((it) => it.beat);
  const { data, error } = usePoll("/v1/status", 1);
  if (!data) return error ? html`<${Fault} error=${error} />` : html`<p class="boot">Loading…</p>`;
  return html`<div class="page"><h1 class="hidden">Cores</h1>
    <${Fault} error=${error} />
    <${Heat} beat=${beat} cores=${data.cores} />
    <${Each} cores=${data.cores} busy=${beat?.cores ?? []} />
    <div class="columns">
      <${Fullest} components=${data.saturation.components} />
      <${Strain} overload=${data.overload} status=${data} />
    </div></div>`;
}

// How busy, by time

function Heat({ beat, cores }) {
  const data = useMemo(() => ({
    times: state.hour.times(), busy: state.hour.common((it) => it.cores),
  }), [beat]);
  const { times, busy } = data;
  if (!times.length) return null;
  const shown = cores.slice(0, ROWS_MAX);
  const from = times[0];
  const to = times.at(-1);
  return html`<${Section} id="heat" title="Busy by time" aside=${html`<span class="heat-scale"><span>idle</span><i aria-hidden="true"></i><span>all of its time</span></span>`}>
    <div class="heat live" tabindex="0" role="region" aria-label="Busy share of each core over time">
      ${shown.map(({ core }) => {
        const values = busy.map((all) => all?.[core] ?? null);
        const seen = values.filter((value) => value !== null);
        const most = Math.max(0, ...seen);
        return html`<div class="heat-row" key=${core}><span>core ${core}</span>
          <${Strip} times=${times} values=${values} label=${`Core ${core}: now ${percent(values.at(-1))}, at most ${percent(most)} since ${clock(from * 1000)}`} />
          <span class="number">${percent(values.at(-1))}</span></div>`;
      })}
      <div class="heat-row dim"><span></span><span class="ends"><span>${clock(from * 1000)}</span><span>${clock(to * 1000)}</span></span><span></span></div>
    </div>
    ${cores.length > ROWS_MAX && html`<p class="says dim">The first ${ROWS_MAX} of ${cores.length} cores.</p>`}
  <//>`;
}

const ROWS_MAX = 64;
const PLACES = 360;

/** One row of the map: each place shows the busiest second of its time. */
function Strip({ times, values, label }) {
  const canvas = useRef();
  useEffect(() => {
    const draw = () => {
      const pen = canvas.current.getContext("2d");
      const colour = getComputedStyle(document.documentElement).getPropertyValue("--heat").trim();
      pen.clearRect(0, 0, PLACES, 1);
      const from = times[0];
      const wide = Math.max(1, times.at(-1) - from);
      const most = new Array(PLACES).fill(null);
      const place = (at) => Math.min(PLACES - 1, Math.floor(((at - from) / wide) * PLACES));
      values.forEach((value, nth) => {
        if (value === null) return;
        // A mean of ten seconds covers all of them.
        const end = nth + 1 < times.length ? place(times[nth + 1]) : place(times[nth]);
        for (let at = place(times[nth]); at <= end; at += 1) most[at] = Math.max(most[at] ?? 0, value);
      });
      most.forEach((value, at) => {
        if (value === null) return;
        pen.fillStyle = `rgb(${colour} / ${0.06 + 0.94 * Math.min(1, value)})`;
        pen.fillRect(at, 0, 1, 1);
      });
    };
    draw();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("themechange", draw);
    scheme.addEventListener("change", draw);
    return () => {
      removeEventListener("themechange", draw);
      scheme.removeEventListener("change", draw);
    };
  }, [times, values]);
  return html`<canvas ref=${canvas} width=${PLACES} height="1" role="img" aria-label=${label}></canvas>`;
}

// Each core

function Each({ cores, busy }) {
  const before = useRef({ at: 0, requests: [] });
  const rates = useMemo(() => {
    const now = performance.now() / 1000;
    const was = before.current;
    before.current = { at: now, requests: cores.map((one) => one.requests) };
    return cores.map((one, nth) => (was.at && was.requests[nth] !== undefined ? (one.requests - was.requests[nth]) / Math.max(0.2, now - was.at) : null));
  }, [cores]);
  const most = Math.max(...busy, 0);
  const standing = (core) => {
    if (core.stuck) return html`<${State} tone="bad">stuck<//>`;
    if (core.stopped) return html`<${State} tone="rest">stopped<//>`;
    if (!core.ready) return html`<${State} tone="wait">starting<//>`;
    if (busy[core.core] >= 0.9) return html`<${State} tone="warn">hot<//>`;
    return html`<${State} tone="good">turning<//>`;
  };
  const columns = [
    { name: "core", title: "Core", head: true, cell: (it) => it.core },
    { name: "state", title: "State", cell: standing },
    { name: "busy", title: "Busy", number: true, cell: (it) => html`<${Bar} share=${busy[it.core] ?? 0} tone=${busy[it.core] >= 0.9 ? "bad" : ""} label="busy" /> <span class="share ${busy[it.core] === most && cores.length > 1 ? "strong" : ""}">${percent(busy[it.core])}</span>` },
    { name: "rate", title: "Requests/s", number: true, cell: (it, nth) => num(rates[nth]) },
    { name: "requests", title: "Requests", number: true, cell: (it) => count(it.requests) },
    { name: "connections", title: "Clients", hint: "Connections of clients", number: true, cell: (it) => whole(it.connections) },
    { name: "origins", title: "Origins", hint: "Connections to origins", number: true, cell: (it) => whole(it.origin_connections) },
    { name: "queued", title: "Queued", hint: "Requests that wait for a connection", number: true, cell: (it) => whole(it.queued) },
    { name: "retries", title: "Retries", number: true, cell: (it) => count(it.retries) },
    { name: "rejects", title: "Rejects", hint: "Requests that were malformed", number: true, cell: (it) => count(it.rejects) },
    { name: "panics", title: "Panics", number: true, cell: (it) => (it.panics ? html`<${State} tone="bad">${it.panics}<//>` : 0) },
    { name: "driver", title: "Driver", cell: (it) => it.driver },
  ];
  return html`<${Section} id="each" title="Each core">
    ${cores.length ? html`<${Table} label="Cores" columns=${columns} rows=${cores} rowKey=${(it) => it.core} />` : html`<${Empty}>No core has started.<//>`}<//>`;
}

// How full

function Fullest({ components }) {
  const rows = [...components].sort((a, b) => b.ratio - a.ratio);
  const columns = [
    { name: "name", title: "Component", head: true, cell: (it) => words(it.name) },
    { name: "bar", title: html`<span class="hidden">Bar</span>`, cell: (it) => html`<${Bar} share=${it.ratio} tone=${tone(it.ratio)} label=${`${words(it.name)} ${percent(it.ratio)}`} />` },
    { name: "ratio", title: "Full", number: true, cell: (it) => percent(it.ratio) },
    { name: "which", title: "The fullest one", cell: (it) => it.which },
  ];
  return html`<${Section} id="fullest" title="Fullest components">
    ${rows.length ? html`<${Table} label="How full everything is" columns=${columns} rows=${rows} rowKey=${(it) => it.name} />` : html`<${Empty}>The first second is not over.<//>`}<//>`;
}

const tone = (ratio) => (ratio >= 0.95 ? "bad" : ratio >= 0.8 ? "warn" : "");

function Strain({ overload, status }) {
  const rows = [
    ["Level", html`<${State} tone=${overload.level === "calm" ? "good" : "bad"}>${overload.level}${overload.by ? ` (${overload.by})` : ""}<//>`],
    ["Memory", html`<${Bar} share=${overload.memory} tone=${tone(overload.memory)} label="memory" /> ${percent(overload.memory)} <span class="dim">of ${num(overload.memory_max / 2 ** 20)} MiB</span>`],
    ["Open files", html`<${Bar} share=${overload.files} tone=${tone(overload.files)} label="files" /> ${percent(overload.files)}`],
    ["Slowest turn of a core", time(overload.turn_seconds)],
    ["Changes of level", whole(overload.changes)],
    ["Access log", html`${count(status.access_log?.lines)} lines, ${whole(status.access_log?.drops)} dropped`],
  ];
  const columns = [
    { name: "what", title: html`<span class="hidden">What</span>`, head: true, cell: ([what]) => what },
    { name: "value", title: "Now", cell: ([, value]) => value },
  ];
  return html`<${Section} id="strain" title="Strain"><${Table} label="How hard the process is pressed" columns=${columns} rows=${rows} rowKey=${([what]) => what} /><//>`;
}
