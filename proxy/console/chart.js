// Lines over time: uPlot with our colours, bands, marks, and words for who can't see it.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact.js";
import { clock } from "./format.js";
import { Table } from "./ui.js";

let loading;

/** uPlot, fetched when the first chart is drawn. */
function library() {
  loading ??= new Promise((loaded, failed) => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "console/vendor/uplot.css" });
    const script = Object.assign(document.createElement("script"), { src: "console/vendor/uplot.js", onload: loaded, onerror: failed });
    document.head.append(style, script);
  });
  return loading;
}

/**
 * A chart. `times` are in seconds; `lines` are `{ label, tone, values, dash, steps }`, `bands`
 * `{ tone, low, high }`, `marks` `{ at, glyph, tone }`. `top` bounds the scale, `log` makes it
 * logarithmic, `format` writes a value. `summary` says in words what is to be seen.
 */
export function Chart({ label, times, lines, bands = [], marks = [], height = 180, log, top, floor, format, summary, from, to, sync = "time" }) {
  const box = useRef();
  const plot = useRef(null);
  const [at, setAt] = useState(null);
  const live = useRef({});
  Object.assign(live.current, { marks, top, floor, from, to, format, lines, bands, setAt });
  const shape = useMemo(
    () => `${lines.map((line) => [line.label, line.tone, line.dash, line.steps, line.width].join()).join(";")}|${bands.map((band) => band.tone).join()}|${log}|${height}`,
    [lines, bands, log, height],
  );
  const data = useMemo(() => columns(times, lines, bands, log), [times, lines, bands, log]);

  live.current.data = data;

  useEffect(() => {
    const draw = () => {
      if (!window.uPlot) return;
      plot.current?.destroy();
      const { data } = live.current;
      plot.current = new window.uPlot(options({ box: box.current, live, log, height, sync }), data, box.current);
    };
    let gone = false;
    library().then(() => gone || draw(), () => {});
    const sized = new ResizeObserver(() => {
      const width = Math.floor(box.current.clientWidth);
      if (plot.current && width > 0 && width !== plot.current.width) plot.current.setSize({ width, height });
    });
    sized.observe(box.current);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("themechange", draw);
    scheme.addEventListener("change", draw);
    return () => {
      gone = true;
      sized.disconnect();
      removeEventListener("themechange", draw);
      scheme.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(data);
  }, [data, from, to, top, floor]);

  const [open, setOpen] = useState(false);
  const place = at === null || at >= times.length ? times.length - 1 : at;
  return html`<figure class="chart-frame" aria-label=${label}>
    <div class="chart" ref=${box} style=${{ height: `${height}px` }} aria-hidden="true"></div>
    <figcaption class="chart-tip"><${Tip} lines=${lines} bands=${bands} times=${times} place=${place} format=${format} hovered=${at !== null} />
      <button type="button" class="plain as-table" aria-expanded=${open ? "true" : "false"} onClick=${() => setOpen(!open)}>Table<span class="hidden"> of: ${label}</span></button></figcaption>
    ${summary && html`<p class="hidden">${summary}</p>`}
    ${open && html`<${Values} label=${label} times=${times} lines=${lines} format=${format} />`}
  </figure>`;
}

function Tip({ lines, bands, times, place, format, hovered }) {
  if (place < 0) return html`<span class="dim">Nothing yet.</span>`;
  const shown = lines.filter((line) => !line.quiet);
  return html`<span class="when">${hovered ? clock(times[place] * 1000) : "now"}</span>
    ${shown.map((line) => {
      const band = bands.find((one) => one.of === line.label);
      const range = band && known(band.low[place]) && known(band.high[place])
        ? html` <span class="dim">${format(band.low[place])}–${format(band.high[place])}</span>`
        : null;
      return html`<span class="key" key=${line.label}><span class="stroke ${line.tone} ${line.dash ? "dashed" : ""} ${line.faint ? "faint" : ""}" aria-hidden="true"></span>${line.short ?? line.label}${" "}<b>${format(line.values[place])}</b>${range}</span>`;
    })}`;
}

/** A dozen of the values, for those who read rather than look. */
function Values({ label, times, lines, format }) {
  const rows = [];
  const step = Math.max(1, Math.ceil(times.length / 12));
  for (let place = times.length - 1; place >= 0; place -= step) rows.push(place);
  const columns = [
    { name: "time", title: "Time", head: true, cell: (place) => clock(times[place] * 1000) },
    ...lines.map((line) => ({ name: line.label, number: true, cell: (place) => format(line.values[place]) })),
  ];
  return html`<${Table} label="${label}, as a table" columns=${columns} rows=${rows} rowKey=${(place) => times[place]} />`;
}

const known = (value) => value !== null && value !== undefined;

function columns(times, lines, bands, log) {
  // Nothing can be drawn at or below zero on a logarithmic scale.
  const clean = (values) => (log ? values.map((value) => (value > 0 ? value : null)) : values);
  return [times, ...lines.map((line) => clean(line.values)), ...bands.flatMap((band) => [clean(band.high), clean(band.low)])];
}

function options({ box, live, log, height, sync }) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const { lines, bands } = live.current;
  const font = `11px ${style.getPropertyValue("--text")}`;
  const axis = {
    stroke: colour("ink-3"), font, ticks: { show: false }, border: { show: false },
    grid: { stroke: colour("rule"), width: 1 },
  };
  const step = window.uPlot.paths.stepped({ align: 1 });
  return {
    width: Math.max(120, Math.floor(box.clientWidth)),
    height,
    padding: [12, 12, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, sync: { key: sync, setSeries: false }, points: { size: 6 }, y: false },
    scales: {
      x: { time: true, range: (plot, low, high) => [live.current.from ?? low, live.current.to ?? high] },
      y: { distr: log ? 3 : 1, range: (plot, low, high) => (log ? wide(low, high) : [live.current.floor ?? 0, live.current.top ?? room(high)]) },
    },
    axes: [
      { ...axis, size: 24, gap: 4, space: 72, values: (plot, splits, which, space, step) => splits.map((at) => hours(at, step)) },
      {
        ...axis, gap: 4, size: (plot, values) => 12 + Math.max(24, ...(values ?? []).map((value) => value.length * 6)), space: 32,
        values: (plot, splits) => splits.map((value) => (value === null ? "" : live.current.format(value))),
        ...(log ? { splits: (plot, which, low, high) => decades(low, high), filter: (plot, splits) => splits } : {}),
      },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: line.faint ? faded(colour(line.tone)) : colour(line.tone),
        width: line.width ?? 1.75,
        dash: line.dash,
        points: { show: false },
        spanGaps: false,
        ...(line.steps ? { paths: step } : {}),
        ...(line.fill ? { fill: faded(colour(line.tone), 0.14) } : {}),
      })),
      ...bands.flatMap(() => [EDGE, EDGE]),
    ],
    bands: bands.map((band, nth) => ({
      series: [lines.length + 1 + nth * 2, lines.length + 2 + nth * 2],
      fill: band.tone === "canary" ? hatch(colour("canary")) : faded(colour(band.tone), 0.16),
    })),
    hooks: {
      setCursor: [(plot) => live.current.setAt(plot.cursor.left >= 0 && plot.cursor.idx !== null ? plot.cursor.idx : null)],
      draw: [(plot) => drawMarks(plot, live.current.marks, colour, font)],
    },
  };
}

const EDGE = { stroke: "transparent", width: 0, points: { show: false } };

function hours(at, step) {
  const text = new Date(at * 1000).toLocaleTimeString("en-GB");
  return step < 60 ? text : text.slice(0, 5);
}

const room = (high) => (high > 0 ? high * 1.15 : 1);

/** The bounds of a logarithmic scale: never less than half a decade. */
function wide(low, high) {
  if (!(low > 0) || !(high > 0)) return [0.001, 1];
  const [bottom, top] = [low / 1.15, high * 1.15];
  const grow = Math.max(1, Math.sqrt(3.2 / (top / bottom)));
  return [bottom / grow, top * grow];
}

/** 1, 2, 5, 10 … between the bounds. */
function decades(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const digit of high / low > 300 ? [1] : [1, 2, 5]) {
      const value = Number((digit * 10 ** power).toPrecision(1));
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found;
}

function faded(colour, share = 0.5) {
  const [red, green, blue] = [1, 3, 5].map((from) => parseInt(colour.slice(from, from + 2), 16));
  return `rgb(${red} ${green} ${blue} / ${share})`;
}

/** Slanted lines: the canary's band is known from stable's without any colour. */
function hatch(colour) {
  const scale = devicePixelRatio || 1;
  const size = Math.round(6 * scale);
  const canvas = document.createElement("canvas");
  canvas.width = size;
  canvas.height = size;
  const pen = canvas.getContext("2d");
  pen.fillStyle = faded(colour, 0.1);
  pen.fillRect(0, 0, size, size);
  pen.strokeStyle = faded(colour, 0.45);
  pen.lineWidth = scale;
  pen.beginPath();
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift - 1, size + 1);
    pen.lineTo(shift + size + 1, -1);
  }
  pen.stroke();
  return pen.createPattern(canvas, "repeat");
}

function drawMarks(plot, marks, colour, font) {
  const { ctx: pen, bbox: box } = plot;
  const scale = devicePixelRatio || 1;
  pen.save();
  pen.font = font.replace("11px", `${11 * scale}px`);
  pen.textAlign = "center";
  let last = -Infinity;
  for (const { at, glyph, tone } of marks) {
    const x = plot.valToPos(at, "x", true);
    if (x < box.left || x > box.left + box.width) continue;
    pen.strokeStyle = faded(colour(tone), 0.55);
    pen.setLineDash([2 * scale, 3 * scale]);
    pen.lineWidth = scale;
    pen.beginPath();
    pen.moveTo(x, box.top);
    pen.lineTo(x, box.top + box.height);
    pen.stroke();
    if (x - last < 10 * scale) continue;
    last = x;
    pen.fillStyle = colour(tone);
    pen.fillText(glyph, x, box.top - 2 * scale);
  }
  pen.restore();
}
