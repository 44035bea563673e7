//! Seconds in which something other than the draw decided where requests went: evidence of neither
//! version.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::trial::Evidence;

/// Such seconds, each with the epoch of the split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::control) struct Voids {
    known: BTreeSet<(u32, u32)>,
    /// The first second that was not searched for such.
    looked: u32,
}

impl Voids {
    /// None, up to `now`.
    pub(super) fn new(now: u32) -> Self {
        Self { known: BTreeSet::new(), looked: now }
    }

    /// Asks the cores for what has come.
    pub(super) fn look(&mut self, evidence: &Evidence, now: u32) {
        // A core is done with a second soon after it, and has it for a minute at least.
        for second in self.looked.max(now.saturating_sub(60))..now.saturating_sub(1) {
            for core in &evidence.cores {
                self.known.extend(core.voids(second).map(|epoch| (second, epoch)));
            }
            self.looked = second + 1;
        }
    }

    pub(super) fn has(&self, second: u32, epoch: u32) -> bool {
        self.known.contains(&(second, epoch))
    }

    /// Forgets what came before `oldest`.
    pub(super) fn forget(&mut self, oldest: u32) {
        while self.known.first().is_some_and(|(second, _)| *second < oldest) {
            self.known.pop_first();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
