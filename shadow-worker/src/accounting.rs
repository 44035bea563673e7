//! The balance of a shadow: every request that could have been compared, and what became of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    counts::{Count, Counts, Dropped, Failed, TapCounts, Unpaired},
    difference::Uncomparable,
};

/// What became of the requests that a shadow could have had. Every one of them is in exactly one of
/// these places: beside the sample, dropped, under way, failed, unpaired, or compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accounting {
    /// Requests that the shadow's `from` and `match` fit.
    pub eligible: u64,
    /// Of these, those that the sample picked.
    pub sampled: u64,
    /// Of these, those that were copied.
    pub copied: u64,
    /// Those that were not, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Copies under way now.
    pub in_flight: u64,
    /// Copies sent to the shadow.
    pub sent: u64,
    /// Copies that the shadow did not answer, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Replies of the shadow without one of the primary to go with, by reason.
    pub unpaired: BTreeMap<String, u64>,
    /// Pairs compared, at least in part.
    pub compared: u64,
    /// Of these, those of which a part could not be, by reason.
    pub uncomparable: BTreeMap<String, u64>,
    /// Of these, those with any difference.
    pub different: u64,
    /// Requests sent to the primary's version once more, to learn its noise.
    pub again: u64,
    /// Of these, those that were not answered.
    pub again_failed: u64,
    /// Of those that were, those that differ from the primary's first answer: its noise.
    pub noisy: u64,
    /// Share of the eligible requests that were compared, 0 to 1. A rate of differences says
    /// nothing of the others.
    pub coverage: f64,
    /// Share of the compared pairs that differ, 0 to 1.
    pub difference_rate: f64,
}

impl Counts {
    /// The balance as of now.
    #[must_use]
    pub fn accounting(&self) -> Accounting {
        let taps = |cell: fn(&TapCounts) -> u64| self.taps.iter().map(cell).sum::<u64>();
        let replay = &self.replay;
        let copied = taps(|tap| tap.copied.read());
        let finished: u64 = self.finished.iter().map(Count::read).sum();
        let (eligible, compared) = (taps(|tap| tap.eligible.read()), replay.compared.read());
        let different = replay.different.read();
        let dropped = Dropped::ALL.map(|why| {
            let sum = self.taps.iter().map(|tap| tap.dropped[why as usize].read()).sum::<u64>();
            (why.name(), sum)
        });
        Accounting {
            eligible,
            sampled: taps(|tap| tap.sampled.read()),
            copied,
            dropped: reasons(dropped),
            in_flight: copied.saturating_sub(finished),
            sent: replay.sent.read(),
            failed: reasons(
                Failed::ALL.map(|why| (why.name(), replay.failed[why as usize].read())),
            ),
            unpaired: reasons(
                Unpaired::ALL.map(|why| (why.name(), replay.unpaired[why as usize].read())),
            ),
            compared,
            uncomparable: reasons(
                Uncomparable::ALL.map(|why| (why.name(), replay.uncomparable[why as usize].read())),
            ),
            different,
            again: replay.again.read(),
            again_failed: replay.again_failed.read(),
            noisy: replay.noisy.read(),
            coverage: ratio(compared, eligible),
            difference_rate: ratio(different, compared),
        }
    }
}

/// Only the reasons there were.
fn reasons<const N: usize>(all: [(&str, u64); N]) -> BTreeMap<String, u64> {
    all.into_iter().filter(|(_, count)| *count > 0).map(|(why, n)| (why.to_owned(), n)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
