// Where requests go: routes, upstreams and versions as a graph and as a table, and what would become of
// a request.

import { html, useMemo, useState } from "../vendor/htm-preact.js";
import { get, part } from "../api.js";
import { num, weight, whole } from "../format.js";
import { usePoll, useStore } from "../store.js";
import { Command, Empty, Fault, Pager, Section, State, Table, Version, quoted } from "../ui.js";
import { fields } from "./why.js";

export default function Routes() {
  const [offset, move] = useState(0);
  const { data, error } = usePoll(`/v1/routes?offset=${offset}&limit=${LIMIT}`, 5);
  const golden = usePoll("/v1/golden", 5).data;
  const versions = useStore((it) => it.beat)?.versions;
  const rates = useMemo(() => ratesOf(golden ?? []), [golden]);
  return html`<div class="page"><h1>Routes</h1>
    <${Question} />
    <${Fault} error=${error} />
    ${!data && !error && html`<p class="boot">Loading…</p>`}
    ${data && html`<${Section} id="routes" title=${`${whole(data.total)} ${data.total === 1 ? "route" : "routes"}`}>
      ${data.total === 0 && html`<${Empty}>No route is configured: every request gets 404.<//>`}
      ${data.items.length > 0 && data.items.length <= GRAPH_MAX && html`<${Graph} routes=${data.items} versions=${versions ?? []} rates=${rates} />`}
      ${data.items.length > 0 && html`<${List} routes=${data.items} rates=${rates} versions=${versions ?? []} />`}
      <${Pager} offset=${offset} limit=${LIMIT} total=${data.total} onMove=${move} back="Back" forth="More" /><//>`}
  </div>`;
}

/** Requests a second by `route`, and by `route upstream version`. */
function ratesOf(golden) {
  const rates = new Map();
  const add = (key, rate) => rates.set(key, (rates.get(key) ?? 0) + rate);
  for (const one of golden) {
    add(one.route, one.rate);
    add(`${one.route} ${one.upstream} ${one.version}`, one.rate);
  }
  return rates;
}

const answered = (route) => (route.action === "redirect" ? `${route.status} to ${route.to}` : `answers ${route.status}`);

function List({ routes, rates, versions }) {
  const columns = [
    { name: "name", title: "Route", head: true, cell: (one) => html`${one.name}${one.priority ? html` <span class="sub">priority ${one.priority}</span>` : ""}` },
    { name: "matches", title: "Takes", grow: true, cell: (one) => one.matches.join(", ") || html`<span class="dim">any request</span>` },
    { name: "to", title: "To", cell: (one) => (one.action === "forward"
      ? html`${one.upstream}${one.version ? html`@<strong>${one.version}</strong>` : ""}` : answered(one)) },
    { name: "versions", title: "Versions", cell: (one) => (one.action === "forward" && !one.version ? html`<${Shares} of=${one.upstream} versions=${versions} />` : "") },
    { name: "rate", title: "Requests/s", number: true, cell: (one) => num(rates.get(one.name) ?? 0) },
  ];
  return html`<${Table} label="Routes" columns=${columns} rows=${routes} rowKey=${(one) => one.name} />`;
}

function Shares({ of, versions }) {
  const own = versions.filter((one) => one.upstream === of);
  return own.map((one, nth) => html`${nth ? " · " : ""}<span key=${one.version} class="nowrap"><${Version} name=${one.version} arm=${one.arm} /> ${weight(one.share)}</span>`);
}

/** Three columns: routes, upstreams, versions; a line is as thick as it has requests. */
function Graph({ routes, versions, rates }) {
  const { nodes, lines, height } = useMemo(() => layout(routes, versions, rates), [routes, versions, rates]);
  return html`<div class="scroll graph" tabindex="0" role="region" aria-label="Routes, upstreams and versions; the table below says the same">
    <svg viewBox=${`0 0 ${WIDTH} ${height}`} width=${WIDTH} height=${height} aria-hidden="true">
      ${lines.map((line) => html`<path key=${line.key} class=${`edge ${line.arm ?? ""}`} d=${curve(line)} stroke-width=${line.thick} />`)}
      ${nodes.map((node) => html`<g key=${node.key} class=${`node ${node.kind} ${node.arm ?? ""}`} transform=${`translate(${node.x} ${node.y})`}>
        <rect width=${NODE} height="32" rx="2" /><text x="10" y="14">${cut(node.name, 26)}</text>
        <text x="10" y="26" class="sub">${cut(node.sub, 34)}</text></g>`)}
    </svg></div>`;
}

function layout(routes, versions, rates) {
  const forwards = routes.filter((one) => one.action === "forward");
  const upstreams = [...new Set(forwards.map((one) => one.upstream))];
  const ends = versions.filter((one) => upstreams.includes(one.upstream)).slice(0, GRAPH_MAX);
  const height = Math.max(routes.length, upstreams.length, ends.length) * STEP + 8;
  const place = (nth, of) => Math.round(((nth + 0.5) * (height - 8)) / of - 12);
  const most = Math.max(1e-9, ...rates.values());
  const thick = (rate) => (rate ? 1 + 7 * Math.sqrt(rate / most) : 1);
  const nodes = [
    ...routes.map((one, nth) => ({ key: `r ${one.name}`, kind: "route", x: 0, y: place(nth, routes.length), name: one.name,
      sub: one.action === "forward" ? one.matches.join(", ") || "any request" : answered(one) })),
    ...upstreams.map((name, nth) => ({ key: `u ${name}`, kind: "upstream", x: (WIDTH - NODE) / 2, y: place(nth, upstreams.length), name, sub: "upstream" })),
    ...ends.map((one, nth) => ({ key: `v ${one.upstream} ${one.version}`, kind: "version", arm: one.arm, x: WIDTH - NODE, y: place(nth, ends.length),
      name: `${one.upstream}@${one.version}`, sub: `${weight(one.share)} · ${num(one.rate)}/s` })),
  ];
  const at = new Map(nodes.map((node) => [node.key, node]));
  const line = (from, to, rate, arm) => at.get(from) && at.get(to) && { key: `${from} ${to}`, from: at.get(from), to: at.get(to), thick: thick(rate), arm };
  const lines = [
    ...forwards.map((one) => (one.version
      ? line(`r ${one.name}`, `v ${one.upstream} ${one.version}`, rates.get(one.name), "pinned")
      : line(`r ${one.name}`, `u ${one.upstream}`, rates.get(one.name)))),
    ...ends.map((one) => line(`u ${one.upstream}`, `v ${one.upstream} ${one.version}`, one.rate, one.arm)),
  ].filter(Boolean);
  return { nodes, lines, height };
}

const curve = ({ from, to }) => {
  const [x, y, u, v] = [from.x + NODE, from.y + 16, to.x, to.y + 16];
  const half = (u - x) / 2;
  return `M${x} ${y}C${x + half} ${y} ${u - half} ${v} ${u} ${v}`;
};

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** What would become of a request: the same answer as that of `gnomon route --explain`. */
function Question() {
  const [asked, set] = useState({ method: "GET", url: "", client: "", headers: "" });
  const [found, setFound] = useState({});
  const put = (name) => (event) => set({ ...asked, [name]: event.target.value });
  const ask = async (event) => {
    event.preventDefault();
    const { method, url, client, headers } = asked;
    const said = fields(headers).map(([name, value]) => `&header=${part(`${name}: ${value}`)}`).join("");
    const question = `/v1/route?method=${method}&url=${part(url)}${client ? `&client=${part(client)}` : ""}${said}`;
    try {
      setFound({ answer: await get(question) });
    } catch (error) {
      setFound({ error });
    }
  };
  const cli = ["gnomon route", asked.method, quoted(asked.url || "http://HOST/PATH"), ...fields(asked.headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    asked.client && `--client ${quoted(asked.client)}`, "--explain"].filter(Boolean).join(" ");
  return html`<${Section} id="question" title="What would become of a request?">
    <form class="body question" onSubmit=${ask}>
      <label class="field"><span>Method</span><select value=${asked.method} onChange=${put("method")}>${METHODS.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>
      <label class="field far"><span>URL</span><input required placeholder="http://shop.example.com/cart" autocomplete="off" spellcheck="false" value=${asked.url} onInput=${put("url")} /></label>
      <label class="field"><span>Client</span><input placeholder="127.0.0.1" autocomplete="off" value=${asked.client} onInput=${put("client")} /></label>
      <label class="field wide"><span>Fields <small>one a line, as <code>cookie: uid=7</code></small></span>
        <textarea rows="2" spellcheck="false" value=${asked.headers} onInput=${put("headers")}></textarea></label>
      <div class="buttons"><button type="submit" class="main">Ask</button></div>
    </form>
    <${Fault} error=${found.error} />
    ${found.answer && html`<div class="body answer" aria-live="polite"><${Answer} ...${found.answer} /><${Command}>${cli}<//></div>`}
  <//>`;
}

const OUTCOMES = {
  forward: ["good", "forwarded"], redirect: ["note", "redirected"], respond: ["note", "answered from here"],
  unavailable: ["bad", "no endpoint is available: 503"], no_route: ["bad", "no route takes it: 404"],
};

function Answer({ decision, text }) {
  const [tone, said] = OUTCOMES[decision.decision] ?? ["rest", decision.decision];
  const columns = [
    { name: "route", title: "Route", head: true, cell: (one) => one.route },
    { name: "won", title: "", cell: (one) => html`<${State} tone=${one.won ? "done" : "rest"}>${one.won ? "takes it" : "does not"}<//>` },
    { name: "why", title: "Why", grow: true, cell: (one) => one.why },
  ];
  return html`<p><${State} tone=${tone}>${said}<//>${decision.route && html` by <strong>${decision.route}</strong>`}
      ${decision.version && html` to <strong>${decision.upstream}@${decision.version}</strong>`}
      ${decision.status && decision.decision !== "unavailable" && decision.decision !== "no_route" ? html` with ${decision.status}` : ""}
      ${decision.probability_percent !== undefined && html` <span class="dim">${decision.assignment}, chance ${weight(decision.probability_percent)}</span>`}</p>
    ${decision.candidates?.length > 0 && html`<${Table} label="Routes that were looked at" columns=${columns} rows=${decision.candidates.slice(0, LIMIT)} rowKey=${(one) => one.route} />`}
    <details open><summary>As <code>gnomon route --explain</code> says it</summary><pre tabindex="0">${text}</pre></details>`;
}

const LIMIT = 50;
/** More routes or versions are no picture. */
const GRAPH_MAX = 24;
const WIDTH = 900;
const NODE = 220;
const STEP = 44;
