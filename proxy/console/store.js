// What the console knows: who we are, the last hour of every version, what happens now. Fed by one
// stream; pages look at it with `useStore` and ask for what is theirs alone with `usePoll`.

import { useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { Refused, events, get, token, whenAsked } from "./api.js";
import { Hour } from "./hour.js";

export const state = {
  /** `connecting`, `live`, `stale`, `offline` or `signin`. */
  link: "connecting",
  /** Why it is not live, in words. */
  trouble: "",
  /** `/v1/whoami`, once it is known. */
  me: null,
  /** The newest beat. */
  beat: null,
  /** The last hour, by version. */
  hour: new Hour(),
  /** What has happened since the page was opened, newest first. */
  entries: [],
  /** Messages at the edge of the screen. */
  toasts: [],
};

const watchers = new Set();

/** Changes some of the state and tells whoever looks at it. */
export function update(change) {
  Object.assign(state, change);
  for (const watcher of watchers) watcher();
}

/** What `pick` takes of the state; draws anew when it is another. */
export function useStore(pick) {
  const [, redraw] = useState(0);
  const latest = useRef();
  latest.current = { pick, value: pick(state) };
  useEffect(() => {
    const look = () => {
      const { pick, value } = latest.current;
      if (!Object.is(pick(state), value)) redraw((count) => count + 1);
    };
    watchers.add(look);
    look();
    return () => watchers.delete(look);
  }, []);
  return latest.current.value;
}

const ROLES = ["read", "rollout", "config", "admin"];

/** Whether the person may do what needs `role`. Before that is known, nothing may be done. */
export const useMay = (role) =>
  useStore((it) => ROLES.indexOf(it.me?.role ?? "") >= ROLES.indexOf(role));

/**
 * What `GET path` says, asked again every `seconds` while the page can be seen, and at once by
 * `again`. A page that takes long to answer is asked less often. No path, no question.
 */
export function usePoll(path, seconds = 2) {
  const [found, set] = useState({ path: null, data: null, error: null });
  const kick = useRef(() => {});
  useEffect(() => {
    if (!path) return undefined;
    const gone = new AbortController();
    let timer = 0;
    const ask = async () => {
      clearTimeout(timer);
      if (document.hidden) {
        timer = setTimeout(ask, 1000);
        return;
      }
      const begun = performance.now();
      try {
        const data = await get(path, gone.signal);
        set({ path, data, error: null });
      } catch (error) {
        if (gone.signal.aborted) return;
        set((was) => ({ path, data: was.path === path ? was.data : null, error }));
      }
      const took = performance.now() - begun;
      if (!gone.signal.aborted) timer = setTimeout(ask, Math.max(seconds * 1000, took * PATIENCE));
    };
    kick.current = ask;
    ask();
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
  }, [path, seconds]);
  const current = found.path === path ? found : { data: null, error: null };
  return { data: current.data, error: current.error, again: () => kick.current() };
}

/** Says something at the edge of the screen; `good`, `bad` or `note`. */
export function toast(tone, text) {
  const id = ++toasts;
  update({ toasts: [...state.toasts.slice(1 - TOASTS_MAX), { id, tone, text }] });
  setTimeout(() => dismiss(id), tone === "bad" ? 15_000 : 7_000);
}

export const dismiss = (id) =>
  update({ toasts: state.toasts.filter((one) => one.id !== id) });

let toasts = 0;
let lastBeat = 0;
let wake = () => {};

/** Follows the proxy for as long as the page is open. */
export async function follow() {
  whenAsked((why) => update({ link: "signin", trouble: why ?? "" }));
  setInterval(watchSilence, 500);
  for (let failures = 0; ; failures += 1) {
    try {
      await once(() => { failures = 0; });
    } catch (error) {
      if (state.link === "signin") {
        await new Promise((woken) => { wake = woken; });
        failures = 0;
        continue;
      }
      const refused = error instanceof Refused;
      update({ link: refused ? "stale" : "offline", trouble: error.message });
    }
    await pause(Math.min(10_000, 500 * 2 ** failures) * (0.75 + Math.random() / 2));
  }
}

/** The token of the sign-in form. */
export function signIn(secret) {
  token.set(secret);
  update({ link: "connecting", trouble: "" });
  wake();
}

async function once(well) {
  const me = await whoami();
  update({ me, trouble: "" });
  const stream = new AbortController();
  const early = [];
  let filled = false;
  const take = (name, data) => {
    well();
    if (name === "beat") {
      if (!filled) early.push(data);
      onBeat(data, filled);
    }
    if (name === "entry") onEntry(data);
  };
  const streaming = events("/v1/events", stream.signal, state.entries[0]?.id, take);
  // What comes while the past is read is put behind it.
  streaming.catch(() => {});
  try {
    state.hour.fill(await get("/v1/history"));
    filled = true;
    early.forEach((beat) => state.hour.push(beat));
    const { newest } = state.hour;
    if (newest) onBeat({ ...newest }, false);
    await streaming;
  } finally {
    stream.abort();
  }
}

async function whoami() {
  try {
    return await get("/v1/whoami");
  } catch (error) {
    if (error instanceof Refused && error.status === 404) {
      return { name: "", role: "admin", host: "", version: "" };
    }
    throw error;
  }
}

function onBeat(beat, isNew = true) {
  lastBeat = performance.now();
  if (isNew) state.hour.push(beat);
  update({ beat, link: "live", trouble: "" });
}

function onEntry(entry) {
  if (state.entries.some((one) => one.id === entry.id)) return;
  update({ entries: [entry, ...state.entries].slice(0, ENTRIES_MAX) });
}

function watchSilence() {
  if (state.link === "live" && performance.now() - lastBeat > SILENCE) {
    update({ link: "stale", trouble: "no news from the proxy" });
  }
}

const pause = (millis) => new Promise((over) => setTimeout(over, millis));

/** Beats come each second. */
const SILENCE = 3500;
const TOASTS_MAX = 4;
const ENTRIES_MAX = 500;
/** A page that takes a second to answer is asked every twenty. */
const PATIENCE = 20;
