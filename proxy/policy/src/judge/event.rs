//! What counts as a bad event of a request.

use serde::{Deserialize, Serialize};

use super::{
    bernoulli::Counts,
    cohort::{BUCKETS, Class, KPI_LEVELS, Tally},
    past::Thresholds,
};

/// An event that a request has or has not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// It went wrong.
    Failed,
    /// It went wrong in this way.
    Class(Class),
    /// It went well, and slower than stable's quantile; the canary's threshold is so many buckets
    /// above stable's.
    Slow {
        /// 0.99 is the time that one of a hundred is slower than.
        quantile: f64,
        /// Buckets.
        shift: u16,
    },
    /// It went well, and slower than this bucket.
    Beyond {
        /// The bucket.
        bucket: u16,
    },
    /// It has a value above zero of the KPI of this index.
    Kept {
        /// Into the KPIs of the configuration.
        kpi: usize,
    },
    /// It has none.
    Lost {
        /// Into the KPIs of the configuration.
        kpi: usize,
    },
}

/// Which version's threshold applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    /// The new version.
    Canary,
    /// The version that it is compared with.
    Stable,
}

impl Event {
    /// How many of a tally have it; `None` where no threshold is known yet.
    #[must_use]
    pub(super) fn count(self, tally: &Tally, arm: Arm, thresholds: &Thresholds) -> Option<Counts> {
        let bad = match self {
            Self::Failed => tally.failed(),
            Self::Class(class) => tally.errors[class as usize],
            Self::Slow { quantile, shift } => {
                let shift = if arm == Arm::Canary { shift } else { 0 };
                let last = u16::try_from(BUCKETS - 1).unwrap_or(u16::MAX);
                tally.slower((thresholds.bucket(quantile)? + shift).min(last))
            }
            Self::Beyond { bucket } => tally.slower(bucket),
            Self::Kept { kpi } => kept(tally, kpi),
            Self::Lost { kpi } => tally.assigned.saturating_sub(kept(tally, kpi)),
        };
        Some(Counts { bad: bad.min(tally.assigned), all: tally.assigned })
    }
}

fn kept(tally: &Tally, kpi: usize) -> u64 {
    let levels = tally.kpis.get(kpi).into_iter().flatten();
    levels.filter(|(level, _)| *level > 0).map(|(_, count)| u64::from(*count)).sum()
}

/// The highest level of a value.
pub(super) const TOP_LEVEL: u8 = KPI_LEVELS - 1;

/// Values of a KPI by level, those without one as nothing: (share of the maximum, requests).
#[must_use]
pub(super) fn values(tally: &Tally, kpi: usize) -> Vec<(f64, u64)> {
    let levels = tally.kpis.get(kpi).into_iter().flatten();
    let mut values: Vec<(f64, u64)> = levels
        .map(|(level, count)| (f64::from(*level) / f64::from(TOP_LEVEL), u64::from(*count)))
        .collect();
    let valued = values.iter().map(|(_, count)| count).sum::<u64>();
    values.push((0.0, tally.assigned.saturating_sub(valued)));
    values
}

/// The sum of levels of a KPI, of the most that it could be: its mean as counts.
#[must_use]
pub(super) fn level_sum(tally: &Tally, kpi: usize) -> Counts {
    let levels = tally.kpis.get(kpi).into_iter().flatten();
    let bad = levels.map(|(level, count)| u64::from(*level) * u64::from(*count)).sum();
    Counts { bad, all: tally.assigned * u64::from(TOP_LEVEL) }
}
