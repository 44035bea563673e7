// The admin API: reads, actions, and the stream of events.

const TOKEN_KEY = "gnomon-token";

/** What a request was refused with. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error || `the proxy answered ${status}`);
    this.status = status;
    this.help = body?.help;
    this.kind = body?.kind;
  }
}

/** No answer at all: the proxy is down, or the way to it. */
export class Unreachable extends Error {
  constructor() {
    super("the proxy does not answer");
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN_KEY),
  set: (value) => value
    ? sessionStorage.setItem(TOKEN_KEY, value)
    : sessionStorage.removeItem(TOKEN_KEY),
};

let onSignIn = () => {};

/** Calls `then` whenever a token is asked for. */
export function whenAsked(then) {
  onSignIn = then;
}

async function call(path, init = {}) {
  const headers = { accept: "application/json", ...init.headers };
  const secret = token.get();
  if (secret) headers.authorization = `Bearer ${secret}`;
  let answer;
  try {
    answer = await fetch(path.replace(/^\//, ""), { ...init, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (answer.ok) return answer;
  let body = null;
  try {
    body = await answer.json();
  } catch {
    // Not of ours: the status has to do.
  }
  if (answer.status === 401) onSignIn(body?.error);
  throw new Refused(answer.status, body);
}

/** `get("/v1/status")`: what is there, parsed. */
export async function get(path, signal) {
  return (await call(path, { signal })).json();
}

/** The same as text. */
export async function text(path, signal) {
  return (await call(path, { signal })).text();
}

/** `act("/v1/rollouts/shop/abort", { reason, by })`: does something. */
export async function act(path, body = {}) {
  const headers = { "content-type": "application/json", "x-gnomon": "1" };
  return (await call(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

/** A part of a path. */
export const part = (name) => encodeURIComponent(name);

/**
 * Reads server-sent events until the stream ends or `signal` is given up; those after `last`, if that
 * is known. `EventSource` can't send a token, so this is by hand.
 */
export async function events(path, signal, last, take) {
  const headers = { accept: "text/event-stream", ...(last ? { "last-event-id": String(last) } : {}) };
  const answer = await call(path, { signal, headers });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest = (rest + value).replace(/\r\n?/g, "\n");
    if (rest.length > EVENT_MAX) throw new Error("an event has no end");
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) deliver(block, take);
  }
}

function deliver(block, take) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  if (data.length) take(name, JSON.parse(data.join("\n")));
}

// A beat of 1,000 versions has about half of it.
const EVENT_MAX = 4 << 20;
