// What a person should look at, the worst first. Nothing is judged here that the proxy judges itself.

import { part } from "../api.js";
import { ago, percent, span, words } from "../format.js";
import { phaseOf } from "./phase.js";

const ORDER = ["bad", "warn", "wait", "note"];

/** `{ tone, what, text, to, link }` for each thing that is wrong. */
export function wrongs({ beat, status, rollouts }) {
  const found = [...ofProcess(status), ...ofFullness(beat, status), ...ofRollouts(rollouts), ...ofUpstreams(status), ...ofVersions(beat)];
  return found.sort((a, b) => ORDER.indexOf(a.tone) - ORDER.indexOf(b.tone));
}

function* ofProcess(status) {
  if (!status) return;
  if (status.phase !== "serving") yield { tone: "bad", what: words(status.phase), text: "The process is about to end." };
  else if (!status.ready) yield { tone: "bad", what: "not ready", text: "/readyz is not green; /readyz?verbose says why." };
  for (const core of status.cores) {
    if (core.stuck) yield { tone: "bad", what: "stuck", text: `Core ${core.core} does not turn any more.`, to: "#/cores", link: "Cores" };
    if (core.panics) yield { tone: "warn", what: "panics", text: `Core ${core.core} has had ${core.panics}; the log says where.`, to: "#/cores", link: "Cores" };
  }
  const reload = status.config.last_reload;
  if (reload && !reload.ok) yield { tone: "warn", what: "reload failed", text: `${ago(reload.time_seconds)}: ${reload.detail[0] ?? ""}. The configuration before is in force.` };
  if (status.shadow.store.trouble) yield { tone: "warn", what: "not written", text: `Findings cannot be kept: ${status.shadow.store.last_error?.what ?? ""}` };
  const soon = Date.now() / 1000 + 14 * 86_400;
  for (const listener of status.listeners) {
    for (const certificate of listener.certificates ?? []) {
      if (certificate.not_after > soon) continue;
      const left = certificate.not_after - Date.now() / 1000;
      const text = `${certificate.names[0] ?? certificate.subject} on listener ${listener.name}: ${left > 0 ? `in force for ${span(left)} more` : "not in force any more"}.`;
      yield { tone: left > 3 * 86_400 ? "warn" : "bad", what: "certificate", text };
    }
  }
}

function* ofFullness(beat, status) {
  const { overload } = status ?? {};
  if (overload && overload.level !== "calm") yield { tone: "bad", what: overload.level, text: `The proxy is short of ${overload.by ?? "room"} and refuses what is new.`, to: "#/cores", link: "Cores" };
  if (beat.saturation >= 0.8) yield { tone: beat.saturation >= 0.95 ? "bad" : "warn", what: "full", text: `${beat.fullest}: ${percent(beat.saturation)}.`, to: "#/cores", link: "Cores" };
}

function* ofRollouts(all) {
  if (!all) return;
  if (all.line) yield { tone: "warn", what: "line stopped", text: `by ${all.line.by}, ${ago(all.line.since)}: ${all.line.reason}.` };
  if (all.trouble) yield { tone: "bad", what: "not written", text: `No rollout raises a weight: ${all.trouble}.` };
  for (const { name, state, steps } of all.rollouts) {
    const { name: phase, reason } = phaseOf(state.phase);
    const go = { to: `#/rollout/${part(name)}`, link: "Look" };
    if (phase === "rolled_back" && Date.now() / 1000 - state.since < 86_400) yield { tone: "bad", what: "rolled back", text: `Rollout ${name}, ${ago(state.since)}, by the ${reason}.`, ...go };
    else if (phase === "waiting") yield { tone: "wait", what: "approval", text: `Rollout ${name} waits for a person after ${steps[state.step - 1]?.what ?? "its step"}.`, ...go };
    else if (phase === "holding") yield { tone: "warn", what: "holding", text: `Rollout ${name}: ${words(reason)}. ${state.why}`, ...go };
    if (state.frozen) yield { tone: "warn", what: "frozen", text: `Rollout ${name}: not even a rollback happens.`, ...go };
  }
}

function* ofUpstreams(status) {
  for (const upstream of status?.upstreams ?? []) {
    for (const version of upstream.versions) {
      const out = version.endpoints.filter((one) => !one.available);
      const name = `${upstream.name}@${version.name}`;
      const why = out[0] ? `${out[0].address}: ${out[0].out ?? "out"}${out.length > 1 ? `, and ${out.length - 1} more` : ""}` : "";
      if (!version.available) yield { tone: "bad", what: "no endpoint", text: `${name} cannot be used. ${why}` };
      else if (out.length) yield { tone: "warn", what: "endpoints out", text: `${name}: ${out.length} of ${version.endpoints.length} — ${why}` };
    }
  }
}

/** What fails for sure: the lower end of the band counts, so that three requests alarm nobody. */
function* ofVersions(beat) {
  for (const { upstream, version, minute } of beat.versions) {
    if (minute.requests && minute.error_band[0] >= 0.05) yield { tone: "bad", what: "errors", text: `${upstream}@${version} fails ${percent(minute.error_rate)} of its requests.` };
  }
}
