// The last hour by version, in columns: what charts draw. The newest two minutes by the second, the
// rest in steps of ten; of 1,000 versions this takes about 20 MB.

const FIELDS = [
  "rate", "errors", "share", "in_flight", "error_rate", "error_low", "error_high",
  "p50", "p95", "p99", "p99_low", "p99_high", "requests",
];
const WIDTH = FIELDS.length;
const PLACE = Object.fromEntries(FIELDS.map((name, place) => [name, place]));
const FINE = 150;
const COARSE = 360;

/** A ring of rows that share their times. */
class Ring {
  constructor(size) {
    this.size = size;
    this.at = new Float64Array(size);
    this.length = 0;
    this.head = 0;
    this.rows = new Map();
    this.shared = new Array(size).fill(null);
  }

  push(beat) {
    const slot = this.head;
    this.head = (this.head + 1) % this.size;
    this.length = Math.min(this.length + 1, this.size);
    this.at[slot] = beat.at;
    // Of all versions together, only what has all of them says something.
    const rate = beat.left_out ? null : beat.versions.reduce((all, version) => all + version.rate, 0);
    this.shared[slot] = { rate, cores: beat.cores, saturation: beat.saturation };
    for (const version of beat.versions) put(this.row(key(version)), slot * WIDTH, version);
    if (this.rows.size > beat.versions.length) this.forget(slot, beat);
  }

  /** Of versions that are not told of any more, nothing is known in this slot. */
  forget(slot, beat) {
    const told = new Set(beat.versions.map(key));
    for (const [name, row] of this.rows) {
      if (!told.has(name)) row.fill(NaN, slot * WIDTH, (slot + 1) * WIDTH);
    }
  }

  /** The slot whose time is nearest, if it is not more than `apart` milliseconds away. */
  near(at, apart) {
    let found = null;
    for (const slot of this.slots()) {
      const far = Math.abs(this.at[slot] - at);
      if (far <= apart && (found === null || far < Math.abs(this.at[found] - at))) found = slot;
    }
    return found;
  }

  row(name) {
    let row = this.rows.get(name);
    if (!row) {
      row = new Float32Array(this.size * WIDTH).fill(NaN);
      this.rows.set(name, row);
    }
    return row;
  }

  /** The slots from the oldest to the newest, but for those after `before`. */
  *slots(before = Infinity) {
    for (let nth = 0; nth < this.length; nth += 1) {
      const slot = (this.head - this.length + nth + this.size) % this.size;
      if (this.at[slot] < before) yield slot;
    }
  }
}

function put(row, at, version) {
  // Of an active rollout, the step's own counts are what the judge goes by; the minute is steadier.
  const { minute } = version;
  row[at + PLACE.rate] = version.rate;
  row[at + PLACE.errors] = version.errors;
  row[at + PLACE.share] = version.share;
  row[at + PLACE.in_flight] = version.in_flight;
  row[at + PLACE.requests] = minute.requests;
  row[at + PLACE.error_rate] = minute.requests ? minute.error_rate : NaN;
  row[at + PLACE.error_low] = minute.requests ? minute.error_band[0] : NaN;
  row[at + PLACE.error_high] = minute.requests ? minute.error_band[1] : NaN;
  row[at + PLACE.p50] = minute.p50 ?? NaN;
  row[at + PLACE.p95] = minute.p95 ?? NaN;
  row[at + PLACE.p99] = minute.p99 ?? NaN;
  row[at + PLACE.p99_low] = minute.p99_band?.[0] ?? NaN;
  row[at + PLACE.p99_high] = minute.p99_band?.[1] ?? NaN;
}

/** As in `shop@v1`. */
export const key = (version) => `${version.upstream}@${version.version}`;

export class Hour {
  constructor() {
    this.clear();
  }

  clear() {
    this.fine = new Ring(FINE);
    this.coarse = new Ring(COARSE);
    this.lastCoarse = 0;
    this.newest = null;
    /** Versions whose past is known. */
    this.past = new Set();
    /** Whether that of others can be asked for. */
    this.whole = false;
  }

  /** Takes the place of all that was known, with the answer of `/v1/history`. */
  fill({ beats, coarse_seconds: coarse }) {
    this.clear();
    const newest = beats.at(-1)?.at ?? 0;
    for (const beat of beats) {
      if (newest - beat.at < FINE * 1000 - 20_000) this.fine.push(beat);
      if (beat.at - this.lastCoarse >= (coarse || 10) * 1000) this.keep(beat);
      this.newest = beat;
      for (const version of beat.versions) this.past.add(key(version));
    }
    this.whole = true;
  }

  /** One more second. */
  push(beat) {
    if (this.newest && beat.at <= this.newest.at) return;
    this.newest = beat;
    this.fine.push(beat);
    if (beat.at - this.lastCoarse >= COARSE_EVERY) this.keep(beat);
  }

  keep(beat) {
    this.coarse.push(beat);
    this.lastCoarse = beat.at;
  }

  /** Whether more is known of a version than this page has seen itself. */
  hasPast(name) {
    return this.past.has(name) || !this.whole;
  }

  /** Puts the past of a few versions beside what is known already. */
  add({ beats, coarse_seconds: coarse }) {
    for (const beat of beats) {
      for (const [ring, apart] of [[this.fine, 600], [this.coarse, (coarse || 10) * 600]]) {
        const slot = ring.near(beat.at, apart);
        if (slot === null) continue;
        for (const version of beat.versions) put(ring.row(key(version)), slot * WIDTH, version);
      }
      for (const version of beat.versions) this.past.add(key(version));
    }
  }

  /** When the finer part begins. */
  get edge() {
    const [first] = this.fine.slots();
    return first === undefined ? Infinity : this.fine.at[first];
  }

  /** The times since `since`, in seconds, oldest first. */
  times(since = 0) {
    return this.gather(since, (ring, slot) => ring.at[slot] / 1000);
  }

  /** One field of a version at these times; `null` where nothing is known. */
  column(name, field, since = 0) {
    const place = PLACE[field];
    const rows = new Map([[this.coarse, this.coarse.rows.get(name)], [this.fine, this.fine.rows.get(name)]]);
    return this.gather(since, (ring, slot) => {
      const value = rows.get(ring)?.[slot * WIDTH + place];
      return value === undefined || Number.isNaN(value) ? null : value;
    });
  }

  /** What is the same for all versions: cores, rollouts, saturation. */
  common(pick, since = 0) {
    return this.gather(since, (ring, slot) => pick(ring.shared[slot]));
  }

  gather(since, pick) {
    const found = [];
    for (const slot of this.coarse.slots(this.edge)) {
      if (this.coarse.at[slot] >= since) found.push(pick(this.coarse, slot));
    }
    for (const slot of this.fine.slots()) {
      if (this.fine.at[slot] >= since) found.push(pick(this.fine, slot));
    }
    return found;
  }
}

const COARSE_EVERY = 10_000;
