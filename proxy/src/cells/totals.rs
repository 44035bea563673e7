//! What a block of cells has counted, by name, so that another process can count on.
//!
//! Gauges are not among it: what is open now is open in one process alone. Names are a wire format
//! between versions of this program: one that is not known is passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Cell, CoreCells, EndpointCells, HANDSHAKE_FAILURES, JWT_CHECKS, VersionCells,
    flags::FlagCells,
    routes::{FAILURES, RouteCells, Time},
};

/// Histograms that not every block has room for.
const FAILED: &str = "failure_latency";
const TIMES: &str = "times";

/// Sums of blocks of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    /// Those that are not 0, by name.
    pub(crate) counts: BTreeMap<String, u64>,
    /// Histograms that are not empty, by name: each cell that is not 0, by its place.
    pub(crate) times: BTreeMap<String, Vec<(usize, u64)>>,
}

/// What [`CoreCells::handshake_failures`] are called, in their order.
const HANDSHAKES: [&str; HANDSHAKE_FAILURES.len()] = [
    "handshake_timeout",
    "handshake_gone",
    "handshake_garbage",
    "handshake_version",
    "handshake_incompatible",
    "handshake_name",
    "handshake_certificate",
    "handshake_alert",
    "handshake_misbehaved",
    "handshake_internal",
];

/// What [`CoreCells::jwt_checks`] are called, in their order.
const CHECKS: [&str; JWT_CHECKS.len()] = ["jwt_ok", "jwt_bad", "jwt_expired", "jwt_refused"];

/// A block of cells whose counts have names.
pub(crate) trait Block {
    /// Its counters.
    fn counts(&self) -> Vec<(&'static str, &Cell)>;

    /// Its histograms: those that have counted something, or all if room is to be made for them.
    fn times(&self, _make: bool) -> Vec<(&'static str, Vec<&Cell>)> {
        Vec::new()
    }
}

impl Totals {
    /// Sums over all these blocks.
    pub(crate) fn of<'b, B: Block + 'b>(blocks: impl IntoIterator<Item = &'b B>) -> Self {
        let mut totals = Self::default();
        for block in blocks {
            totals.add(block);
        }
        totals
    }

    fn add(&mut self, block: &impl Block) {
        for (name, cell) in block.counts() {
            self.count(name, cell.read());
        }
        for (name, cells) in block.times(false) {
            for (place, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.read() > 0) {
                let all = self.times.entry(name.to_owned()).or_default();
                match all.binary_search_by_key(&place, |(known, _)| *known) {
                    Ok(at) => all[at].1 += cell.read(),
                    Err(at) => all.insert(at, (place, cell.read())),
                }
            }
        }
    }

    /// Adds what others have counted.
    pub(crate) fn merge(&mut self, more: &Self) {
        for (name, count) in &more.counts {
            self.count(name, *count);
        }
        for (name, times) in &more.times {
            let all = self.times.entry(name.clone()).or_default();
            for (place, count) in times {
                match all.binary_search_by_key(place, |(known, _)| *known) {
                    Ok(at) => all[at].1 += count,
                    Err(at) => all.insert(at, (*place, *count)),
                }
            }
        }
    }

    /// Counts something on.
    pub(crate) fn count(&mut self, name: &str, amount: u64) {
        if amount > 0 {
            *self.counts.entry(name.to_owned()).or_default() += amount;
        }
    }

    /// One of the counts.
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Makes a block say just this. Only its one writer may.
    pub(crate) fn put(&self, block: &impl Block) {
        for (name, cell) in block.counts() {
            cell.set(self.get(name));
        }
        let is_timed = [FAILED, TIMES].iter().any(|name| self.times.contains_key(*name));
        for (name, cells) in block.times(is_timed) {
            for (place, count) in self.times.get(name).into_iter().flatten() {
                if let Some(cell) = cells.get(*place) {
                    cell.set(*count);
                }
            }
        }
    }
}

impl Block for CoreCells {
    fn counts(&self) -> Vec<(&'static str, &Cell)> {
        let [untrusted, malformed, timeout, gone] = &self.prefaces;
        let [full, resumed] = &self.handshakes;
        let mut counts = vec![
            ("handshakes_full", full),
            ("handshakes_resumed", resumed),
            ("handshakes_refused", &self.handshakes_refused),
            ("origin_handshakes_failed", &self.origin_handshakes_failed),
            ("preface_untrusted", untrusted),
            ("preface_malformed", malformed),
            ("preface_timeout", timeout),
            ("preface_gone", gone),
            ("client_refusals", &self.client_refusals),
            ("strain_connections", &self.strain_connections),
            ("strain_requests", &self.strain_requests),
            ("rate_refusals", &self.rate_refusals),
            ("rates_forgotten", &self.rates_forgotten),
            ("slow_uploads", &self.slow_uploads),
            ("slow_readers", &self.slow_readers),
            ("accepted", &self.accepted),
            ("accept_failures", &self.accept_failures),
            ("accept_pauses", &self.accept_pauses),
            ("requests", &self.requests),
            ("rejects", &self.rejects),
            ("unrouted", &self.unrouted),
            ("panics", &self.panics),
            ("retries", &self.retries),
            ("dials", &self.dials),
            ("queued", &self.queued),
            ("log_drops", &self.log_drops),
            ("view_drops", &self.view_drops),
            ("span_drops", &self.span_drops),
            ("busy_nanos", &self.busy_nanos),
            ("wait_nanos", &self.wait_nanos),
            ("stalls", &self.stalls),
        ];
        counts.extend(HANDSHAKES.into_iter().zip(&self.handshake_failures));
        counts.extend(CHECKS.into_iter().zip(&self.jwt_checks));
        counts
    }
}

impl Block for VersionCells {
    fn counts(&self) -> Vec<(&'static str, &Cell)> {
        let [c1, c2, c3, c4, c5] = &self.classes;
        let [connects, resets] = &self.retries;
        vec![
            ("assigned", &self.assigned),
            ("pinned", &self.pinned),
            ("fallback", &self.fallback),
            ("displaced", &self.displaced),
            ("1xx", c1),
            ("2xx", c2),
            ("3xx", c3),
            ("4xx", c4),
            ("5xx", c5),
            ("unanswered", &self.unanswered),
            ("retries_connect", connects),
            ("retries_reset", resets),
            ("connect_failures", &self.connect_failures),
            ("resets", &self.resets),
            ("truncated", &self.truncated),
            ("timeouts", &self.timeouts),
            ("protocol_failures", &self.protocol_failures),
            ("client_gone", &self.client_gone),
            ("request_bytes", &self.request_bytes),
            ("response_bytes", &self.response_bytes),
        ]
    }

    fn times(&self, _make: bool) -> Vec<(&'static str, Vec<&Cell>)> {
        vec![
            ("latency", self.latency.cells().iter().collect()),
            (FAILED, self.failure_latency.cells().iter().collect()),
        ]
    }
}

impl Block for EndpointCells {
    fn counts(&self) -> Vec<(&'static str, &Cell)> {
        vec![("requests", &self.requests)]
    }
}

impl Block for RouteCells {
    fn counts(&self) -> Vec<(&'static str, &Cell)> {
        let arms = ["drawn", "pinned", "fallback"].into_iter().zip(&self.arms);
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(&self.classes);
        let failures = FAILURES.into_iter().zip(&self.failures);
        let sums = [
            ("retried", &self.retried),
            ("latency_micros", self.times.sum_cell(Time::Whole)),
            ("failure_latency_micros", self.times.sum_cell(Time::Failed)),
            ("first_byte_micros", self.times.sum_cell(Time::FirstByte)),
        ];
        arms.chain(classes).chain(failures).chain(sums).collect()
    }

    fn times(&self, make: bool) -> Vec<(&'static str, Vec<&Cell>)> {
        vec![
            ("latency", self.times.cells(Time::Whole, make)),
            (FAILED, self.times.cells(Time::Failed, make)),
            ("first_byte", self.times.cells(Time::FirstByte, make)),
        ]
    }
}

impl Block for FlagCells {
    fn counts(&self) -> Vec<(&'static str, &Cell)> {
        let [ok, error, client] = &self.requests;
        vec![
            ("exposures", &self.exposures),
            ("asked", &self.asked),
            ("ok", ok),
            ("error", error),
            ("client", client),
            ("micros", &self.micros),
        ]
    }

    fn times(&self, make: bool) -> Vec<(&'static str, Vec<&Cell>)> {
        vec![(TIMES, Self::times(self, make))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_blocks_have_counted_is_put_into_another() {
        let (one, two, after) =
            (VersionCells::default(), VersionCells::default(), VersionCells::default());
        for (block, amount) in [(&one, 3), (&two, 4)] {
            block.counts().iter().for_each(|(_, cell)| cell.add(amount));
            block.latency.record(5_000_000);
        }
        two.failure_latency.record(1);
        two.in_flight.set(9);
        let totals = Totals::of([&one, &two]);
        let text = serde_json::to_string(&totals).unwrap();
        serde_json::from_str::<Totals>(&text).unwrap().put(&after);
        assert_eq!((after.classes[4].read(), after.in_flight.read()), (7, 0));
        assert_eq!(Totals::of([&after]), totals);
        assert_eq!(totals.times["latency"].iter().map(|(_, count)| count).sum::<u64>(), 2);
    }

    #[test]
    fn every_name_is_used_once() {
        fn names(block: &impl Block) -> usize {
            let mut names: Vec<_> = block.counts().iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), block.counts().len());
            names.len()
        }
        assert_eq!(names(&CoreCells::default()), 45);
        assert_eq!(names(&VersionCells::default()), 20);
        assert_eq!(names(&RouteCells::default()), 17);
        assert_eq!(names(&FlagCells::default()), 6);
    }
}
