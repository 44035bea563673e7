//! What is known of the proxy: everything that a pane shows comes from here.

use std::collections::BTreeMap;

use gnomon_shadow::finding::Finding;

use super::past::{Past, minute, slower};
use crate::control::api::{
    Golden, Page, Shadow, Status,
    rollout::{Forecast, Record, Rollouts},
    series::{Beat, Entry, History, Role, Whoami, Window},
};

/// What one look at the proxy found. What was not asked for, or what this proxy does not know, is absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) status: Option<Box<Status>>,
    pub(super) golden: Vec<Golden>,
    pub(super) rollouts: Rollouts,
    pub(super) records: Option<BTreeMap<String, Vec<Record>>>,
    pub(super) forecasts: Option<BTreeMap<String, Forecast>>,
    pub(super) shadows: Vec<Shadow>,
    pub(super) findings: Option<BTreeMap<String, Page<Finding>>>,
    pub(super) journal: Option<Vec<Entry>>,
    pub(super) who: Option<Whoami>,
}

/// Something that became known.
#[derive(Debug)]
pub(super) enum News {
    /// The proxy answered.
    Look(Box<Look>),
    /// It did not, for this reason.
    Silent(String),
    /// What it knows of the last hour.
    Past(History),
    /// What it tells each second.
    Beat(Beat),
    /// What it tells when something has happened.
    Entry(Entry),
    /// What an order did, or why it did nothing.
    Done(Result<String, String>),
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub(super) status: Option<Box<Status>>,
    pub(super) golden: Vec<Golden>,
    pub(super) rollouts: Rollouts,
    pub(super) records: BTreeMap<String, Vec<Record>>,
    pub(super) forecasts: BTreeMap<String, Forecast>,
    pub(super) shadows: Vec<Shadow>,
    pub(super) findings: BTreeMap<String, Page<Finding>>,
    /// Newest first.
    pub(super) journal: Vec<Entry>,
    /// Who we are to the proxy; unknown at first.
    pub(super) who: Option<Whoami>,
    pub(super) past: Past,
    /// When the proxy last answered, in milliseconds since 1970.
    pub(super) heard: u64,
    /// Why it does not answer now, if it does not.
    pub(super) silence: Option<String>,
    /// Now, likewise.
    pub(super) now: u64,
    /// Milliseconds between two looks.
    pub(super) interval: u64,
}

/// Entries that are kept.
const JOURNAL_MAX: usize = 500;

impl Picture {
    /// Learns something at `now`, in milliseconds since 1970.
    pub(super) fn learn(&mut self, news: News, now: u64) {
        self.now = now;
        match news {
            News::Look(look) => self.look(*look),
            News::Silent(why) => self.silence = Some(why),
            News::Past(history) => self.past.recall(history),
            News::Beat(beat) => self.past.tell(beat),
            News::Entry(entry) => self.note(entry),
            News::Done(_) => {}
        }
    }

    fn look(&mut self, look: Look) {
        let Look { status, golden, rollouts, records, forecasts, shadows, .. } = look;
        self.heard = self.now;
        self.silence = None;
        if let Some(status) = status {
            self.past.look(&status, &golden, self.now);
            self.status = Some(status);
        }
        self.golden = golden;
        self.rollouts = rollouts;
        self.shadows = shadows;
        if let Some(records) = records {
            self.records = records;
        }
        if let Some(forecasts) = forecasts {
            self.forecasts = forecasts;
        }
        if let Some(findings) = look.findings {
            self.findings = findings;
        }
        if let Some(who) = look.who {
            self.who = Some(who);
        }
        match look.journal {
            Some(journal) => self.journal = journal,
            None if self.journal.iter().all(|entry| entry.id == 0) => self.journal = self.told(),
            None => {}
        }
        self.journal.truncate(JOURNAL_MAX);
    }

    fn note(&mut self, entry: Entry) {
        if self.journal.first().is_none_or(|newest| newest.id < entry.id) {
            self.journal.insert(0, entry);
            self.journal.truncate(JOURNAL_MAX);
        }
    }

    /// What the decision records tell, of a proxy without a journal. Newest first.
    fn told(&self) -> Vec<Entry> {
        let entry = |record: &Record| Entry {
            id: 0,
            at: record.event.at * 1000,
            kind: "rollout".to_owned(),
            subject: Some(record.rollout.clone()),
            text: crate::control::rollouts::describe(&record.rollout, &record.event),
            by: record.event.by.clone(),
            reason: None,
            failed: false,
        };
        let mut all: Vec<Entry> = self.records.values().flatten().map(entry).collect();
        all.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        all
    }

    /// Whether an answer is overdue, and since when the last one is, in seconds since 1970.
    pub(super) fn silent_since(&self) -> Option<u64> {
        let late = self.now.saturating_sub(self.heard) > self.interval * 2 + LATE_MILLIS;
        (self.silence.is_some() || late).then_some(self.heard / 1000)
    }

    /// Whether whoever looks may change anything. Not before the proxy has said so.
    pub(super) fn may_act(&self) -> bool {
        self.who.as_ref().is_some_and(|who| who.role >= Role::Rollout)
    }

    /// The last minute of a version: as the proxy tells it, else from its routes.
    pub(super) fn minute(&self, upstream: &str, version: &str) -> Window {
        minute(&self.golden, upstream, version)
    }

    /// Requests a second: of the last beat, else of the last minute.
    pub(super) fn rate(&self, upstream: &str, version: &str) -> f64 {
        let of = |beat: &Beat| {
            let mut all = beat.versions.iter();
            all.find(|it| it.upstream == upstream && it.version == version).map(|it| it.rate)
        };
        self.past.last().and_then(of).unwrap_or_else(|| {
            let of = self.golden.iter().filter(|it| it.upstream == upstream);
            of.filter(|it| it.version == version).map(|it| it.rate).sum()
        })
    }

    /// All versions together: requests a second, the share of failures, the median and the 99th
    /// percentile. Of the times the slowest version's, which that of all is not above.
    pub(super) fn all(&self) -> Sum {
        let mut sum = Sum { rate: self.past.last().map_or(0.0, rate), ..Sum::default() };
        if self.past.last().is_none() {
            sum.rate = self.golden.iter().map(|it| it.rate).sum();
        }
        let (mut requests, mut failed) = (0.0, 0.0);
        for one in &self.golden {
            let all = (one.arms.drawn + one.arms.pinned + one.arms.fallback) as f64;
            requests += all;
            failed += all * one.error_rate;
            sum.p50 = slower(sum.p50, one.latency.p50_seconds);
            sum.p99 = slower(sum.p99, one.latency.p99_seconds);
        }
        sum.errors = if requests > 0.0 { failed / requests } else { 0.0 };
        sum
    }
}

/// Milliseconds beyond two intervals until an answer is overdue.
const LATE_MILLIS: u64 = 2_000;

/// The golden signals of all versions together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) rate: f64,
    pub(super) errors: f64,
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// Requests a second in a beat.
pub(super) fn rate(beat: &Beat) -> f64 {
    beat.versions.iter().map(|version| version.rate).sum()
}

/// The share of a beat's requests that failed, of the last minute.
pub(super) fn errors(beat: &Beat) -> f64 {
    let requests: u64 = beat.versions.iter().map(|it| it.minute.requests).sum();
    let failed: f64 =
        beat.versions.iter().map(|it| it.minute.error_rate * it.minute.requests as f64).sum();
    if requests == 0 { f64::NAN } else { failed / requests as f64 }
}

/// The 99th percentile of the slowest version in a beat.
pub(super) fn p99(beat: &Beat) -> f64 {
    let all = beat.versions.iter().map(|it| it.minute.p99);
    all.fold(None, slower).unwrap_or(f64::NAN)
}
