// Numbers as people read them. Units are kept beside their number by a narrow space that never breaks.

const THIN = "\u202f";
const NONE = "–";

const fixed = (value, digits) => value.toLocaleString("en-US", {
  minimumFractionDigits: digits, maximumFractionDigits: digits,
}).replaceAll(",", THIN);

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

/** With about three digits that say something: 0.031, 2.1, 25, 12 800. */
export function num(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 100) return fixed(value, 0);
  if (size >= 10) return Number.isInteger(value) ? fixed(value, 0) : fixed(value, 1);
  if (size >= 1) return Number.isInteger(value) ? fixed(value, 0) : fixed(value, 2);
  return String(Number(value.toPrecision(2)));
}

/** A count in few places: 980, 12.4 k, 3.10 M. */
export function count(value) {
  if (!known(value)) return NONE;
  if (value < 10_000) return fixed(value, 0);
  if (value < 1e6) return `${fixed(value / 1e3, value < 1e5 ? 1 : 0)}${THIN}k`;
  return `${fixed(value / 1e6, value < 1e7 ? 2 : 1)}${THIN}M`;
}

/** Every digit of a count. */
export const whole = (value) => known(value) ? fixed(value, 0) : NONE;

/** A share of 0 to 1. */
export function percent(share) {
  if (!known(share)) return NONE;
  const value = share * 100;
  const size = Math.abs(value);
  if (size === 0) return `0${THIN}%`;
  if (size < 0.005) return `<0.01${THIN}%`;
  const digits = size < 1 ? 2 : size < 10 ? 1 : size < 99.95 ? 1 : 0;
  return `${fixed(value, digits)}${THIN}%`;
}

/** A weight, which is in percent already: 5 %, 12.5 %. */
export const weight = (value) =>
  known(value) ? `${Number(value.toFixed(3))}${THIN}%` : NONE;

/** A difference of two shares. */
export function points(share) {
  if (!known(share)) return NONE;
  const value = share * 100;
  return `${sign(value)}${fixed(Math.abs(value), Math.abs(value) < 10 ? 2 : 1)}${THIN}pp`;
}

/** A relative difference: 1.081 is +8.1 %. */
export function relative(ratio) {
  if (!known(ratio)) return NONE;
  if (ratio >= 10) return `×${THIN}${num(ratio)}`;
  const value = (ratio - 1) * 100;
  return `${sign(value)}${fixed(Math.abs(value), Math.abs(value) < 10 ? 1 : 0)}${THIN}%`;
}

const sign = (value) => (value < 0 ? "−" : "+");

/** A time in seconds: 410 µs, 44.1 ms, 1.20 s. */
export function time(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds === 0) return `0${THIN}ms`;
  if (seconds < 0.001) return `${fixed(seconds * 1e6, 0)}${THIN}µs`;
  const millis = seconds * 1e3;
  if (millis < 1000) return `${fixed(millis, millis < 10 ? 2 : millis < 100 ? 1 : 0)}${THIN}ms`;
  return `${fixed(seconds, seconds < 10 ? 2 : 1)}${THIN}s`;
}

/** How long something takes: 37 m, 1 h 05 m, 3 d 4 h. */
export function span(seconds) {
  if (!known(seconds)) return NONE;
  const all = Math.max(0, Math.round(seconds));
  if (all < 60) return `${all}${THIN}s`;
  const two = (value) => String(value).padStart(2, "0");
  if (all < 3600) {
    const rest = all % 60;
    return rest && all < 600
      ? `${Math.floor(all / 60)}${THIN}m${THIN}${two(rest)}${THIN}s`
      : `${Math.floor(all / 60)}${THIN}m`;
  }
  if (all < 86_400) return `${Math.floor(all / 3600)}${THIN}h${THIN}${two(Math.floor(all % 3600 / 60))}${THIN}m`;
  if (all > 3.2e8) return "decades";
  return `${Math.floor(all / 86_400)}${THIN}d${THIN}${Math.floor(all % 86_400 / 3600)}${THIN}h`;
}

/** How long ago, for seconds since 1970. */
export const ago = (at, now = Date.now() / 1000) => (at ? `${span(now - at)} ago` : "never");

/** The time of the day here, for milliseconds since 1970; with the date if it is another day. */
export function clock(millis) {
  const at = new Date(millis);
  const time = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date().toDateString()
    ? time
    : `${at.toLocaleDateString("en-CA")} ${time}`;
}

/** In full and in UTC, as in logs. */
export const stamp = (millis) => new Date(millis).toISOString().replace(".000", "");

/** Evidence: 1,234 to 1. */
export const odds = (e) => {
  if (!known(e)) return NONE;
  if (e >= 1e6) return `>10⁶${THIN}:${THIN}1`;
  return `${num(e)}${THIN}:${THIN}1`;
};

/** `both_degraded` is "both degraded". */
export const words = (name) => String(name).replaceAll("_", " ");
