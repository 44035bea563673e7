//! Outcomes that are told after the reply: which request they are about, and what they come to.
//!
//! Requests are remembered by a hash of their id, as many as there is room for, the oldest out
//! first. What is told is counted in the second in which the request was assigned (or its user first
//! seen), and that second is given to the judge when it is as old as reports may be: whoever is
//! silent until then has told that nothing happened.

mod book;

use std::collections::{BTreeMap, HashMap, VecDeque};

use gnomon_config::model::{KPIS_MAX, Kpi, Name};

use serde::{Deserialize, Serialize};

use crate::trial::{self, Arm, Sighting};

pub(super) use book::{Book, LateKpi};

/// The requests of all trials that may be told of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Late {
    /// By what [`key`] makes of its id and of its book: it may be in several.
    requests: HashMap<u64, Seen>,
    /// As they came.
    order: VecDeque<u64>,
    keys: Keys,
    /// By the KPI's name.
    counts: BTreeMap<Name, Counts>,
    /// Requests of a book that were forgotten before their time.
    forgotten: BTreeMap<u32, u64>,
    most: usize,
}

/// A request that may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Hash of its user's key; 0 if requests are counted, not users.
    unit: u64,
    book: u32,
    epoch: u32,
    second: u32,
    /// The second after which it is not remembered.
    until: u32,
    /// What it was told of each of the book's KPIs, as [`mark`] makes it; 0 if nothing.
    told: [u32; KPIS_MAX],
    arm: Arm,
}

/// What was told under which idempotency key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Keys {
    /// The request, the place of the KPI in its book, and the second after which it is forgotten.
    known: HashMap<u64, (u64, usize, u32)>,
    /// As they came.
    order: VecDeque<u64>,
}

/// What became of reports about a KPI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// Counted.
    pub(crate) reported: u64,
    /// Said once more.
    pub(crate) duplicate: u64,
    /// Said once more, but otherwise.
    pub(crate) refused: u64,
    /// After their time.
    pub(crate) late: u64,
    /// About no request of a trial that is remembered.
    pub(crate) unknown: u64,
}

/// What became of one report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It counts.
    Counted,
    /// It was said before, and counts once.
    Duplicate,
    /// It came after its time.
    Late,
    /// No request of a trial that is remembered has this id.
    Unknown,
    /// Of this request and KPI another value was told.
    OtherValue,
    /// Under this key another request or KPI was told of.
    OtherKey,
}

impl Told {
    /// How much it says, where a report concerns several books.
    const fn says(&self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Late => 1,
            Self::Duplicate => 2,
            Self::OtherKey => 3,
            Self::OtherValue => 4,
            Self::Counted => 5,
        }
    }
}

/// What somebody says about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    /// The request's id.
    pub(crate) request: &'a [u8],
    /// What it is about.
    pub(crate) kpi: &'a Kpi,
    /// How much of it.
    pub(crate) value: f64,
    /// What makes it the same report when it is said again.
    pub(crate) key: Option<&'a [u8]>,
}

/// What is left of all that.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LateLeft {
    /// As they came.
    requests: Vec<(u64, Seen)>,
    keys: Keys,
    counts: BTreeMap<String, Counts>,
    forgotten: BTreeMap<u32, u64>,
}

impl Late {
    /// What another process needs to go on.
    pub(super) fn leave(&self) -> LateLeft {
        let seen = |request: &u64| Some((*request, *self.requests.get(request)?));
        LateLeft {
            requests: self.order.iter().filter_map(seen).collect(),
            keys: self.keys.clone(),
            counts: self.counts.iter().map(|(name, it)| (name.to_string(), *it)).collect(),
            forgotten: self.forgotten.clone(),
        }
    }

    /// Goes on with what another process left.
    pub(super) fn inherit(left: LateLeft) -> Self {
        let counts = left.counts.into_iter();
        Self {
            order: left.requests.iter().map(|(request, _)| *request).collect(),
            requests: left.requests.into_iter().collect(),
            keys: left.keys,
            counts: counts.map(|(name, it)| (name.into(), it)).collect(),
            forgotten: left.forgotten,
            most: REQUESTS_MAX,
        }
    }

    pub(super) fn new(most: usize) -> Self {
        Self {
            requests: HashMap::new(),
            order: VecDeque::new(),
            keys: Keys::default(),
            counts: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            most,
        }
    }

    /// Remembers a request. `weight` is its cohort's.
    pub(super) fn see(&mut self, book: &mut Book, sighting: &Sighting, weight: f64) {
        let Sighting { epoch, second, arm, request, .. } = *sighting;
        let is_named = request != 0;
        let request = key(request, book);
        // Who was believed may have used an id twice: the first request is meant.
        if !is_named || self.requests.contains_key(&request) || !book.assign(sighting, weight) {
            return;
        }
        let unit = if book.is_by_user() { sighting.unit } else { 0 };
        let until = second.saturating_add(book.memory());
        let (book, told) = (book.number(), [0; KPIS_MAX]);
        self.requests.insert(request, Seen { unit, book, epoch, second, until, told, arm });
        self.order.push_back(request);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
            && let Some(seen) = self.requests.remove(&oldest)
        {
            *self.forgotten.entry(seen.book).or_default() += 1;
        }
    }

    /// Takes a report, about a request of some of these books.
    pub(super) fn report<'b>(
        &mut self,
        books: impl Iterator<Item = &'b mut Book>,
        report: &Report<'_>,
        now: u32,
    ) -> Told {
        let told = books.map(|book| self.place(book, report, now));
        let told = told.max_by_key(Told::says).unwrap_or(Told::Unknown);
        let name = &report.kpi.name;
        if !self.counts.contains_key(name) {
            self.counts.insert(name.clone(), Counts::default());
        }
        if let Some(counts) = self.counts.get_mut(name) {
            *match told {
                Told::Counted => &mut counts.reported,
                Told::Duplicate => &mut counts.duplicate,
                Told::Late => &mut counts.late,
                Told::Unknown => &mut counts.unknown,
                Told::OtherValue | Told::OtherKey => &mut counts.refused,
            } += 1;
        }
        told
    }

    fn place(&mut self, book: &mut Book, report: &Report<'_>, now: u32) -> Told {
        let request = trial::id_hash(report.request);
        let seen = self.requests.get_mut(&key(request, book));
        let Some((seen, place)) = seen.zip(book.place(&report.kpi.name)) else {
            return Told::Unknown;
        };
        let key = report.key.map(trial::id_hash);
        let before = key.and_then(|key| self.keys.known.get(&key));
        if before.is_some_and(|before| (before.0, before.1) != (request, place)) {
            return Told::OtherKey;
        }
        let mark = mark(report.value);
        match seen.told[place] {
            0 => {}
            known if known == mark => return Told::Duplicate,
            _ => return Told::OtherValue,
        }
        let level = trial::level_of(report.kpi, report.value);
        let told = book.tell(seen, place, level, now);
        if told == Told::Counted {
            seen.told[place] = mark;
            if let Some(key) = key {
                self.keys.add(key, (request, place, seen.until), self.most);
            }
        }
        told
    }

    /// Forgets what had its time.
    pub(super) fn expire(&mut self, now: u32) {
        while let Some(oldest) = self.order.front() {
            if self.requests.get(oldest).is_some_and(|seen| seen.until >= now) {
                break;
            }
            self.requests.remove(oldest);
            self.order.pop_front();
        }
        self.keys.expire(now);
        if self.requests.is_empty() && self.requests.capacity() > 0 {
            // The last trial with such KPIs is over: all the room goes back.
            (self.requests, self.order) = (HashMap::new(), VecDeque::new());
        }
    }

    /// Only these KPIs and books are there still.
    pub(super) fn keep(&mut self, kpis: &[Kpi], is_book: impl Fn(u32) -> bool) {
        self.counts.retain(|name, _| kpis.iter().any(|kpi| kpi.name == *name));
        self.forgotten.retain(|book, _| is_book(*book));
    }

    pub(super) fn counts(&self, kpi: &str) -> Counts {
        self.counts.get(kpi).copied().unwrap_or_default()
    }

    /// Requests of a book that were forgotten before their time, because too many others came.
    pub(super) fn forgotten(&self, book: u32) -> u64 {
        self.forgotten.get(&book).copied().unwrap_or(0)
    }

    /// Requests and keys that are remembered.
    #[cfg(test)]
    fn sizes(&self) -> (usize, usize) {
        assert_eq!(self.requests.len(), self.order.len());
        assert_eq!(self.keys.known.len(), self.keys.order.len());
        (self.requests.len(), self.keys.known.len())
    }
}

impl Keys {
    fn add(&mut self, key: u64, what: (u64, usize, u32), most: usize) {
        if self.known.insert(key, what).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn expire(&mut self, now: u32) {
        while let Some(oldest) = self.order.front() {
            if self.known.get(oldest).is_some_and(|(_, _, until)| *until >= now) {
                return;
            }
            self.known.remove(oldest);
            self.order.pop_front();
        }
        if self.known.capacity() > 0 {
            *self = Self::default();
        }
    }
}

/// What a request of a book goes by.
fn key(request: u64, book: &Book) -> u64 {
    // Odd, so that no two books share a key of a request.
    request ^ u64::from(book.number()).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A value in 32 bits, by which it is known again; never 0.
fn mark(value: f64) -> u32 {
    // Zero has two signs and is one amount.
    let hash = trial::id_hash(&(value + 0.0).to_bits().to_le_bytes());
    u32::try_from(hash >> 32).unwrap_or(0).max(1)
}

/// Requests that are remembered over all trials; some 70 bytes each.
pub(super) const REQUESTS_MAX: usize = 900_000;

#[cfg(test)]
mod tests;
