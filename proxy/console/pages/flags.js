// Who gets which feature: every flag with its rules in words, what it was given as, who changed it, and
// the buttons that change it.

import { html, useState } from "../vendor/htm-preact.js";
import { act, part } from "../api.js";
import { ago, clock, count, percent, span, time, weight, whole } from "../format.js";
import { useMay, usePoll } from "../store.js";
import { Confirm, Empty, Fault, Pager, Search, Section, State, Table, quoted } from "../ui.js";
import { Why } from "./why.js";

export default function Flags({ params: [name] }) {
  const found = usePoll("/v1/flags", 2);
  const [asked, ask] = useState(null);
  const mayAct = useMay("rollout");
  const flag = name && found.data?.flags.find((one) => one.name === name);
  const close = (changed) => {
    ask(null);
    if (changed) found.again();
  };
  return html`<div class="page">
    <div class="headline"><h1>Flags${name ? html` <span class="dim">${name}</span>` : ""}</h1>${name && html`<a href="#/flags">All flags</a>`}</div>
    <${Fault} error=${found.error} />
    ${found.data?.trouble && html`<p class="note bad">Changes can't be written, and a restart would forget them: ${found.data.trouble}</p>`}
    ${!found.data && !found.error && html`<p class="boot">Loading…</p>`}
    ${found.data && name && !flag && html`<${Fault} error=${{ message: `There is no flag ${name}.` }} />`}
    ${flag && html`<${One} flag=${flag} mayAct=${mayAct} ask=${ask} />`}
    ${found.data && !name && html`<${All} all=${found.data} />`}
    ${found.data && html`<${History} flag=${name} />`}
    ${asked && html`<${Order} ...${asked} onClose=${close} />`}
  </div>`;
}

function All({ all }) {
  const [filter, setFilter] = useState("");
  const wanted = filter.toLowerCase();
  const fitting = all.flags.filter((one) => `${one.name} ${one.owner ?? ""} ${one.description ?? ""}`.toLowerCase().includes(wanted));
  const rows = fitting.slice(0, ROWS_MAX);
  const columns = [
    { name: "state", title: "Now", cell: (one) => html`<${OnOff} flag=${one} />` },
    { name: "name", title: "Flag", head: true, cell: (one) => html`<a href=${`#/flags/${part(one.name)}`}>${one.name}</a>` },
    { name: "rules", title: "Rules", grow: true, cell: (one) => html`${one.rules.length
      ? one.rules.slice(0, 3).join("; ") + (one.rules.length > 3 ? `; ${one.rules.length - 3} more` : "") : html`<span class="dim">none</span>`}
      <span class="sub"> else ${one.default ?? "as in the code"}</span>` },
    { name: "told", title: "Exposures", cell: (one) => html`<${Exposures} flag=${one} />` },
    { name: "owner", title: "Owner", cell: (one) => one.owner || html`<span class="dim">nobody</span>` },
    { name: "expires", title: "Expires", cell: (one) => (one.expires ? until(one.expires) : html`<span class="dim">never</span>`) },
    { name: "remarks", title: "Remarks", grow: true, cell: (one) => html`<${Remarks} flag=${one} />` },
  ];
  return html`
    ${all.source && html`<${Source} source=${all.source} />`}
    <${Section} id="flags" title=${`${all.flags.length} ${all.flags.length === 1 ? "flag" : "flags"}`} wide
      aside=${html`<${Search} label="Filter by name, owner" value=${filter} onInput=${setFilter} />`}>
      ${all.flags.length === 0
        ? html`<${Empty}>A flag gives a feature to some users: <code>[flag.NAME]</code> in the configuration, or a file in flagd's format; <code>config/sample/flags.toml</code> has some.<//>`
        : rows.length ? html`<${Table} label="Flags" columns=${columns} rows=${rows} rowKey=${(one) => one.name} />` : html`<${Empty}>Nothing fits.<//>`}
      ${fitting.length > rows.length && html`<p class="empty">${whole(fitting.length - rows.length)} more: say more of it.</p>`}
      ${Object.entries(all.lost).map(([lost, change]) => html`<p class="empty" key=${lost}><code>${lost}</code> is in no file; what ${change.by} changed of it waits.</p>`)}
    <//>`;
}

const until = (at) => {
  const seconds = at - Date.now() / 1000;
  return seconds > 0 ? `in ${span(seconds)}` : html`<${State} tone="warn">${span(-seconds)} ago<//>`;
};

const OnOff = ({ flag }) => html`<${State} tone=${flag.enabled ? "good" : "bad"}>${flag.enabled ? "on" : "off"}<//>`;

function Source({ source }) {
  const said = `${source.flags} ${source.flags === 1 ? "flag" : "flags"}, read ${source.last_success ? ago(source.last_success) : "never"}`;
  return html`<div class=${`note ${source.ok ? "" : "bad"}`}><code>${source.what}</code>: ${said}
    ${!source.ok && html`<ul>${source.faults.slice(0, 10).map((fault) => html`<li key=${fault}>${fault}</li>`)}</ul>`}</div>`;
}

/** How often each variant was given, and which share that is. */
function Exposures({ flag }) {
  const told = flag.exposures ?? {};
  const all = Object.values(told).reduce((sum, one) => sum + one, 0);
  if (!all) return html`<span class="dim">${flag.watched ? "none" : "not counted"}</span>`;
  const order = flag.variants.map((one) => one.name).filter((name) => told[name]);
  return html`<span class="exposures"><span class="stack thin" aria-hidden="true">${order.map((name, nth) => html`
    <span key=${name} class=${`v${nth % 4}`} style=${{ flexGrow: told[name] / all }}></span>`)}</span>
    ${order.map((name) => `${name} ${percent(told[name] / all)}`).join(" · ")} <span class="dim">of ${count(all)}</span></span>`;
}

function Remarks({ flag }) {
  return html`${flag.remarks.map((one) => html`<span class="line" key=${one.kind}><${State} tone="warn">stale<//> <span class="dim">${one.text}</span></span>`)}
    ${flag.drift.map((line) => html`<span class="line" key=${line}><${State} tone="note">changed<//> <span class="dim">${line}</span></span>`)}`;
}

function One({ flag, mayAct, ask }) {
  const press = (verb, label, tone = "") => html`<button type="button" class=${tone} aria-haspopup="dialog" onClick=${() => ask({ verb, flag })}>${label}</button>`;
  const actions = mayAct && html`<div class="buttons">
    ${flag.enabled ? press("kill", "Kill…", "bad") : press("revive", "Revive…")}
    ${flag.percent !== undefined && press("percent", "Set share…")}
    ${press("default", "Set default…")}
    ${flag.drift.length > 0 && press("reset", "Reset…")}</div>`;
  const row = (title, content) => content && html`<div><dt>${title}</dt><dd>${content}</dd></div>`;
  return html`
    <${Section} id="flag" title=${html`<${OnOff} flag=${flag} />`} aside=${html`<span>${flag.kind}</span><span>from ${flag.source}</span>`}>
      <div class="body">
        ${flag.description && html`<p>${flag.description}</p>`}
        <dl class="rows">
          ${row("Rules", flag.rules.length ? html`<ol>${flag.rules.map((rule, nth) => html`<li key=${nth}>${rule}</li>`)}</ol>` : "none")}
          ${row("Else", flag.default ?? "what is in the code of applications")}
          ${flag.percent !== undefined && row("Share", weight(flag.percent))}
          ${row("Exposures", html`<${Exposures} flag=${flag} />`)}
          ${row("Owner", flag.owner)}
          ${row("Expires", flag.expires && until(flag.expires))}
          ${row("Asked for", flag.last_evaluated ? ago(flag.last_evaluated) : "not since it is known")}
          ${flag.same_since && row("The same", `for everybody, since ${ago(flag.same_since)}`)}
          ${(flag.remarks.length > 0 || flag.drift.length > 0) && row("Remarks", html`<${Remarks} flag=${flag} />`)}
          ${flag.changed && row("Changed", `by ${flag.changed.by}, ${ago(flag.changed.at)}${flag.changed.reason ? `: ${flag.changed.reason}` : ""}`)}
        </dl>${actions}
      </div><//>
    <${Compare} flag=${flag} />
    <${Why} flag=${flag.name} />`;
}

const VERDICTS = {
  worse: "bad", doubt: "warn", blind: "warn", no_users: "rest", not_proven: "wait", no_worse: "good",
};

/** What became of those who had each variant. */
function Compare({ flag }) {
  const { data, error } = usePoll(`/v1/flags/${part(flag.name)}/compare`, 3);
  const value = (name) => JSON.stringify(flag.variants.find((one) => one.name === name)?.value);
  const columns = [
    { name: "variant", title: "Variant", head: true, cell: (one) => html`${one.variant} <span class="sub mono">${value(one.variant)}</span>` },
    { name: "exposures", title: "Requests", number: true, cell: (one) => count(one.exposures), hint: "for which it made a difference" },
    { name: "asked", title: "Told to applications", number: true, cell: (one) => count(one.asked) },
    { name: "errors", title: "Errors", number: true, cell: (one) => percent(one.exposures ? one.error_rate : null) },
    { name: "p50", title: "p50", number: true, cell: (one) => time(one.p50_seconds) },
    { name: "p99", title: "p99", number: true, cell: (one) => time(one.p99_seconds) },
  ];
  const judged = data?.judged;
  return html`<${Section} id="variants" title="Variants side by side">
    <${Fault} error=${error} />
    ${data && html`<${Table} label="Variants" columns=${columns} rows=${data.variants} rowKey=${(one) => one.variant} />`}
    ${judged && html`<div class="body"><p><${State} tone=${VERDICTS[judged.verdict] ?? "rest"}>${judged.variant} against ${judged.default}<//></p>
      <p>${judged.words}</p>
      <p class="small">${whole(judged.ratio.variant)} users with ${judged.variant} and ${whole(judged.ratio.default)} with ${judged.default} judged, of ${judged.upstream}, since ${ago(judged.since)}; the rules say ${percent(judged.ratio.expected)}, counted ${percent(judged.ratio.counted)}.</p></div>`}
    ${data && !judged && html`<p class="empty">Counted, not judged: <code>judge = "UPSTREAM"</code> in the flag's table has its users compared.</p>`}
  <//>`;
}

function History({ flag }) {
  const [offset, move] = useState(0);
  const of = flag ? `flag=${part(flag)}&` : "";
  const { data, error } = usePoll(`/v1/flag-history?${of}offset=${offset}&limit=${LIMIT}`, 3);
  const columns = [
    { name: "at", title: "When", cell: (one) => clock(one.at * 1000) },
    { name: "flag", title: "Flag", cell: (one) => one.flag || "source" },
    { name: "what", title: "What", grow: true, cell: (one) => one.changes.join("; ") || one.what },
    { name: "by", title: "By", cell: (one) => one.by },
    { name: "why", title: "Why", grow: true, cell: (one) => one.reason || html`<span class="dim">nobody said</span>` },
  ];
  return html`<${Section} id="history" title="What was changed">
    <${Fault} error=${error} />
    ${data && (data.items.length
      ? html`<${Table} label="What was changed" columns=${columns} rows=${data.items} rowKey=${(one) => one.id} />
        <${Pager} offset=${offset} limit=${LIMIT} total=${data.total} onMove=${move} />`
      : html`<${Empty}>Nothing was changed since the flags are known.<//>`)}
  <//>`;
}

const VERBS = {
  kill: { title: "Kill", verb: "Kill", tone: "bad", what: (flag) => `Everybody gets ${flag.default ?? "what is in the code of applications"} from now on, whatever the rules say.` },
  revive: { title: "Revive", verb: "Revive", what: () => "Its rules decide again." },
  reset: { title: "Reset", verb: "Reset", what: () => "What people have changed of it is taken back: it is as its file says." },
  percent: { title: "Set the share", verb: "Set", what: (flag) => `Now ${weight(flag.percent)} of those its rule is for. More moves nobody back.` },
  default: { title: "Set the default", verb: "Set", what: (flag) => `Now ${flag.default ?? "what is in the code"}: what those get for whom no rule holds.` },
};

function Order({ verb, flag, onClose }) {
  const [value, setValue] = useState(String(verb === "percent" ? flag.percent : flag.default ?? flag.variants[0]?.name ?? ""));
  const { title, verb: text, tone, what } = VERBS[verb];
  const sets = verb === "percent" || verb === "default";
  const body = () => (sets ? { [verb]: verb === "percent" ? Number(value) : value } : {});
  const send = ({ reason }) => act(`/v1/flags/${part(flag.name)}/${sets ? "set" : verb}`, { ...body(), reason });
  const cli = (reason) => ["gnomon flag", sets ? "set" : verb, quoted(flag.name), sets ? `--${verb} ${quoted(value)}` : "", "--reason", quoted(reason)].filter(Boolean).join(" ");
  const set = (event) => setValue(event.target.value);
  return html`<${Confirm} title=${`${title}: ${flag.name}`} verb=${text} tone=${tone} what=${html`<p>${what(flag)}</p>`} send=${send} cli=${cli} onClose=${onClose}>
    ${verb === "percent" && html`<label class="field"><span>Percent</span><input type="number" required min="0" max="100" step="any" value=${value} onInput=${set} /></label>`}
    ${verb === "default" && html`<label class="field"><span>Variant</span><select value=${value} onChange=${set}>
      ${flag.variants.map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}</select></label>`}
  <//>`;
}

const LIMIT = 20;
const ROWS_MAX = 200;
