// Two replies line by line, side by side. Pure: the tests ask it without a browser.

/** Text that stands for a JSON value: numbers as they were written, as 14.50 is not 14.5 to everybody. */
class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  space() {
    while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at += 1;
  }

  eat(letter) {
    this.space();
    if (this.text[this.at] !== letter) return false;
    this.at += 1;
    return true;
  }

  need(letter) {
    if (!this.eat(letter)) throw new SyntaxError(`no ${letter} at ${this.at}`);
  }

  token(pattern) {
    this.space();
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) throw new SyntaxError(`nothing known at ${this.at}`);
    this.at = pattern.lastIndex;
    return found[0];
  }

  value(depth) {
    if (depth > DEPTH_MAX) throw new SyntaxError("too deep");
    if (this.eat("{")) return this.object(depth);
    if (this.eat("[")) return this.array(depth);
    return { raw: this.token(SCALAR) };
  }

  object(depth) {
    const fields = new Map();
    if (this.eat("}")) return { fields };
    do {
      const name = JSON.parse(this.token(STRING));
      this.need(":");
      fields.set(name, this.value(depth + 1));
    } while (this.eat(","));
    this.need("}");
    return { fields };
  }

  array(depth) {
    const items = [];
    if (this.eat("]")) return { items };
    do items.push(this.value(depth + 1)); while (this.eat(","));
    this.need("]");
    return { items };
  }
}

/** A JSON document as a tree of `{ fields }`, `{ items }` and `{ raw }`; null if it is none. */
export function parse(text) {
  try {
    const reader = new Reader(text);
    const tree = reader.value(0);
    reader.space();
    return reader.at === text.length ? tree : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** A field's place below `path`, as findings write it. */
export function below(path, name) {
  if (/^[\w$@:-]+$/.test(name)) return `${path}.${name}`;
  const inside = name.replace(/['\\]/g, "\\$&").replace(/[\u0000-\u001f\u007f-\u009f]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return `${path}['${inside}']`;
}

/**
 * The rows of two documents: `{ left, right, depth, path, state }` with `state` one of `same`, `changed`,
 * `missing` (only left has it) and `extra` (only right has it). A side that has no line says `null`.
 */
export function rows(left, right) {
  const out = [];
  both(out, left, right, { depth: 0, path: "$", label: "", end: "" });
  return out;
}

function both(out, left, right, at) {
  if (out.length > ROWS_MAX) return;
  if (left.fields && right.fields) {
    const names = [...left.fields.keys(), ...[...right.fields.keys()].filter((name) => !left.fields.has(name))];
    const pairs = names.map((name) =>
      [name, `${JSON.stringify(name)}: `, below(at.path, name), left.fields.get(name), right.fields.get(name)]);
    inside(out, at, "{}", pairs);
  } else if (left.items && right.items) {
    const longer = left.items.length > right.items.length ? left.items : right.items;
    const pairs = longer.map((_, nth) =>
      [nth, "", `${at.path}[*]`, left.items[nth], right.items[nth]]);
    inside(out, at, "[]", pairs);
  } else {
    const [here, there] = [lines(left, at), lines(right, at)];
    const same = left.raw !== undefined && left.raw === right.raw;
    for (let nth = 0; nth < Math.max(here.length, there.length); nth += 1) {
      const [one, other] = [here[nth], there[nth]];
      const { depth, path } = one ?? other;
      out.push({ left: one?.text ?? null, right: other?.text ?? null, depth, path, state: same ? "same" : "changed" });
    }
  }
}

function inside(out, at, [open, close], pairs) {
  const row = (text, end) =>
    out.push({ left: text + end, right: text + end, depth: at.depth, path: at.path, state: "same" });
  if (pairs.length === 0) {
    row(`${at.label}${open}${close}`, at.end);
    return;
  }
  row(at.label + open, "");
  pairs.forEach(([, label, path, left, right], nth) => {
    const place = { depth: at.depth + 1, path, label, end: nth + 1 < pairs.length ? "," : "" };
    if (left && right) both(out, left, right, place);
    else alone(out, left ?? right, place, left ? "missing" : "extra");
  });
  row(close, at.end);
}

function alone(out, tree, at, state) {
  for (const { text, depth, path } of lines(tree, at)) {
    if (out.length > ROWS_MAX) return;
    out.push({
      left: state === "missing" ? text : null, right: state === "extra" ? text : null, depth, path, state,
    });
  }
}

/** The lines of one document. */
function lines(tree, at, out = []) {
  const put = (text, depth = at.depth) => out.push({ text, depth, path: at.path });
  if (out.length > ROWS_MAX) return out;
  if (tree.raw !== undefined) {
    put(at.label + tree.raw + at.end);
    return out;
  }
  const [open, close] = tree.fields ? "{}" : "[]";
  const parts = tree.fields
    ? [...tree.fields].map(([name, value]) => [`${JSON.stringify(name)}: `, below(at.path, name), value])
    : tree.items.map((value) => ["", `${at.path}[*]`, value]);
  if (parts.length === 0) {
    put(at.label + open + close + at.end);
    return out;
  }
  put(at.label + open);
  parts.forEach(([label, path, value], nth) =>
    lines(value, { depth: at.depth + 1, path, label, end: nth + 1 < parts.length ? "," : "" }, out));
  put(close + at.end);
  return out;
}

/** The rows of two texts: the longest lines in common side by side, if they are not too long for that. */
export function textRows(left, right) {
  const [here, there] = [left.split("\n").slice(0, ROWS_MAX), right.split("\n").slice(0, ROWS_MAX)];
  const row = (one, other, state) =>
    ({ left: one ?? null, right: other ?? null, depth: 0, path: "body", state });
  if (here.length * there.length > WORK_MAX) {
    const longer = here.length > there.length ? here : there;
    return longer.map((_, nth) => row(here[nth], there[nth], here[nth] === there[nth] ? "same" : "changed"));
  }
  return paired(common(here, there).map(([one, other]) =>
    one === null ? row(null, there[other], "extra")
      : other === null ? row(here[one], null, "missing") : row(here[one], there[other], "same")));
}

/** Indices of both, in order; those in common together. */
function common(here, there) {
  const width = there.length + 1;
  const best = new Uint32Array((here.length + 1) * width);
  for (let one = here.length - 1; one >= 0; one -= 1) {
    for (let other = there.length - 1; other >= 0; other -= 1) {
      best[one * width + other] = here[one] === there[other]
        ? best[(one + 1) * width + other + 1] + 1
        : Math.max(best[(one + 1) * width + other], best[one * width + other + 1]);
    }
  }
  const out = [];
  let [one, other] = [0, 0];
  while (one < here.length || other < there.length) {
    if (one < here.length && other < there.length && here[one] === there[other]) {
      out.push([one++, other++]);
    } else if (other >= there.length
      || (one < here.length && best[(one + 1) * width + other] >= best[one * width + other + 1])) {
      out.push([one++, null]);
    } else {
      out.push([null, other++]);
    }
  }
  return out;
}

/** A line that is gone beside the one that came in its place. */
function paired(all) {
  const out = [];
  for (let at = 0; at < all.length;) {
    let end = at;
    while (end < all.length && all[end].state !== "same") end += 1;
    const gone = all.slice(at, end).filter((row) => row.state === "missing");
    const come = all.slice(at, end).filter((row) => row.state === "extra");
    for (let nth = 0; nth < Math.max(gone.length, come.length); nth += 1) {
      const [one, other] = [gone[nth], come[nth]];
      out.push(one && other ? { ...one, right: other.right, state: "changed" } : one ?? other);
    }
    if (end < all.length) out.push(all[end]);
    at = end + 1;
  }
  return out;
}

/** The fields of two heads, by name. */
export function fieldRows(left, right) {
  const of = (fields) => {
    const found = new Map();
    for (const field of fields) {
      const name = field.name.toLowerCase();
      const before = found.get(name);
      const value = before ? `${before.value}, ${field.value}` : field.value;
      found.set(name, { value, redacted: field.redacted || before?.redacted });
    }
    return found;
  };
  const [here, there] = [of(left), of(right)];
  return [...new Set([...here.keys(), ...there.keys()])].map((name) => {
    const [one, other] = [here.get(name), there.get(name)];
    const state = !other ? "missing" : !one ? "extra" : one.value === other.value ? "same" : "changed";
    const line = (field) => (field ? `${name}: ${field.value}` : null);
    return {
      left: line(one), right: line(other), depth: 0, path: `header.${name}`, state,
      redacted: Boolean(one?.redacted || other?.redacted),
    };
  });
}

/** Where two lines begin and end to differ: `[start, end of left, end of right]`. */
export function middle(left, right) {
  const most = Math.min(left.length, right.length);
  let start = 0;
  while (start < most && left[start] === right[start]) start += 1;
  let tail = 0;
  while (tail < most - start && left[left.length - 1 - tail] === right[right.length - 1 - tail]) tail += 1;
  return [start, left.length - tail, right.length - tail];
}

/** Runs of equal rows longer than this are folded, but for the context around what differs. */
export function folded(all, context = 3) {
  const keep = new Uint8Array(all.length);
  all.forEach((row, nth) => {
    if (row.state === "same") return;
    keep.fill(1, Math.max(0, nth - context), nth + context + 1);
  });
  const out = [];
  for (let at = 0; at < all.length; at += 1) {
    if (keep[at]) {
      out.push(all[at]);
      continue;
    }
    let end = at;
    while (end < all.length && !keep[end]) end += 1;
    if (end - at <= 2) out.push(...all.slice(at, end));
    else out.push({ fold: end - at, state: "fold" });
    at = end - 1;
  }
  return out;
}

/** Documents are not shown deeper, and not longer. */
const DEPTH_MAX = 128;
const ROWS_MAX = 2000;
/** Lines of one times lines of the other. */
const WORK_MAX = 250_000;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const SCALAR = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
