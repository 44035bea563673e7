// What a rollout is doing, in a word with a mark.

import { html } from "../vendor/htm-preact.js";
import { words } from "../format.js";
import { State } from "../ui.js";

export const TONES = {
  idle: "rest", shadowing: "good", running: "good", holding: "warn", waiting: "warn", paused: "warn",
  promoted: "done", rolled_back: "bad", aborted: "bad",
};

/** A phase is a word, or a word with a reason. */
export function phaseOf(phase) {
  if (typeof phase === "string") return { name: phase, reason: "" };
  const [[name, reason]] = Object.entries(phase ?? { idle: "" });
  return { name, reason };
}

export function Phase({ phase, frozen }) {
  const { name, reason } = phaseOf(phase);
  return html`<${State} tone=${TONES[name] ?? "rest"}>${words(name)}${reason && ` (${words(reason)})`}${frozen ? " · frozen" : ""}<//>`;
}
