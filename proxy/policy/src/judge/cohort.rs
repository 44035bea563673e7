//! What the judge is fed: one second's requests, by the version they were assigned to.

use serde::{Deserialize, Serialize};

/// Requests (or users) assigned within one second under one split.
///
/// Only first attempts that a coin or a hash assigned are in it. A request belongs to the second
/// in which it was assigned, however long it took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cohort {
    /// Seconds since the Unix epoch.
    pub second: u64,
    /// Rises whenever the split changes.
    pub epoch: u32,
    /// Probability that one of these went to the canary rather than to stable, as really used.
    pub weight: f64,
    /// What became of those sent to the canary.
    pub canary: Tally,
    /// What became of those sent to stable.
    pub stable: Tally,
}

/// What became of the requests of one version in one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// All of them.
    pub assigned: u64,
    /// Those that went wrong, by [`Class`]; a request is in one class at most.
    pub errors: [u64; CLASSES],
    /// Replies 4xx: watched, never judged.
    pub refused: u64,
    /// Times of those that went well, as (bucket, count), buckets rising.
    pub times: Vec<(u16, u32)>,
    /// Values of each KPI as (level of [`KPI_LEVELS`], count), levels rising; requests without a
    /// value are in none.
    pub kpis: Vec<Vec<(u8, u32)>>,
}

/// How a request went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// No connection to the origin.
    Connect,
    /// The connection ended before a reply, or the reply was malformed.
    Reset,
    /// A deadline passed.
    Timeout,
    /// A reply 5xx.
    Status5xx,
    /// The reply's content ended early.
    Truncated,
    /// No reply when the cohort was counted.
    Unfinished,
}

/// How many [`Class`]es there are.
pub const CLASSES: usize = 6;

impl Class {
    /// All of them, in the order of [`Tally::errors`].
    pub const ALL: [Self; CLASSES] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::Status5xx,
        Self::Truncated,
        Self::Unfinished,
    ];

    /// As in records and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status5xx => "5xx",
            Self::Truncated => "truncated",
            Self::Unfinished => "unfinished",
        }
    }
}

impl Tally {
    /// Those that went wrong, of any class.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.iter().sum()
    }

    /// Those that went well and took longer than the upper edge of `bucket`.
    #[must_use]
    pub fn slower(&self, bucket: u16) -> u64 {
        let beyond = self.times.iter().filter(|(at, _)| *at > bucket);
        beyond.map(|(_, count)| u64::from(*count)).sum()
    }
}

/// Levels that a KPI's value is rounded to, from nothing to its maximum.
pub const KPI_LEVELS: u8 = 33;

/// Buckets of a time: number `i` ends at `2^((i - BUCKET_OF_ONE_MS) / 16)` ms, included (F20).
pub const BUCKETS: usize = 368;

/// The bucket that ends at one millisecond. The first ends at 1/64 ms, the last at 123 s.
pub const BUCKET_OF_ONE_MS: u16 = 96;

/// The bucket that a time falls into: the first whose upper edge is not below it.
#[must_use]
pub fn bucket(nanos: u64) -> u16 {
    if nanos <= FLOOR_NANOS {
        return 0;
    }
    // Everything from here to the end of time is in the last bucket; no shift below overflows.
    let nanos = nanos.min(1 << 38);
    let octave = ((nanos - 1) / FLOOR_NANOS).ilog2();
    let within = ((nanos << EDGE_BITS) >> octave) / FLOOR_NANOS;
    let step = EDGES.partition_point(|edge| *edge < within);
    let index = octave as usize * EDGES.len() + step;
    u16::try_from(index.min(BUCKETS - 1)).unwrap_or(0)
}

/// Upper edge of a bucket, in seconds.
#[must_use]
pub fn upper_edge(bucket: u16) -> f64 {
    ((f64::from(bucket) - f64::from(BUCKET_OF_ONE_MS)) / 16.0).exp2() / 1000.0
}

/// Upper edge of the first bucket: 1/64 ms.
const FLOOR_NANOS: u64 = 15_625;
const EDGE_BITS: u32 = 24;
/// `2^(i/16)` for i = 0 to 15, in units of `2^-EDGE_BITS`.
const EDGES: [u64; 16] = [
    16_777_216, 17_520_007, 18_295_684, 19_105_703, 19_951_585, 20_834_917, 21_757_357, 22_720_638,
    23_726_566, 24_777_031, 25_874_004, 27_019_544, 28_215_802, 29_465_022, 30_769_550, 32_131_834,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_within_its_bucket() {
        for exponent in 0..2_000 {
            let nanos = 10_000.0 * 1.009_f64.powi(exponent);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
            let nanos = nanos as u64;
            let index = bucket(nanos);
            let seconds = nanos as f64 / 1e9;
            if usize::from(index) < BUCKETS - 1 {
                assert!(seconds <= upper_edge(index) * (1.0 + 1e-6), "{nanos} in {index}");
            }
            if index > 0 {
                assert!(seconds > upper_edge(index - 1) * (1.0 - 1e-6), "{nanos} in {index}");
            }
        }
        assert_eq!((bucket(0), bucket(1_000_000)), (0, BUCKET_OF_ONE_MS));
        assert_eq!(usize::from(bucket(u64::MAX)), BUCKETS - 1);
    }

    #[test]
    fn slower_counts_what_is_beyond() {
        let tally = Tally { times: vec![(3, 2), (7, 5), (9, 1)], ..Tally::default() };
        assert_eq!(
            (tally.slower(2), tally.slower(3), tally.slower(8), tally.slower(9)),
            (8, 6, 1, 0)
        );
    }
}
