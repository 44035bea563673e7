//! The record on the disk, which may be slow or full, and what a weight waits for.

use std::collections::VecDeque;

use e2e::sim::draw::Draws;
use gnomon_policy::{
    judge::Judge,
    rollout::{Arms, State},
};

/// All that is written of a rollout.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// The position, as JSON.
    pub(super) state: String,
    pub(super) requests: Arms<u64>,
    pub(super) judge: Option<(u32, Judge)>,
}

/// The way to the disk.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    last: u64,
    written: u64,
    waiting: VecDeque<(u64, u64, Kept)>,
    /// What a later process finds.
    pub(super) disk: Kept,
    /// Until when nothing can be written.
    pub(super) full_until: u64,
}

impl Keeper {
    /// Hands a position over; gives back its number.
    pub(super) fn keep(&mut self, now: u64, kept: Kept, draws: &mut Draws) -> u64 {
        self.last += 1;
        let slow = if draws.happens(0.1) { draws.below(8) } else { 0 };
        self.waiting.push_back((self.last, now + slow, kept));
        self.last
    }

    /// Writes what is due, in order.
    pub(super) fn turn(&mut self, now: u64) {
        while now >= self.full_until {
            let Some((number, _, kept)) = self.waiting.pop_front_if(|(_, due, _)| *due <= now)
            else {
                return;
            };
            let judge = kept.judge.or_else(|| self.disk.judge.take());
            (self.written, self.disk) = (number, Kept { judge, ..kept });
        }
    }

    /// Whether this, and all before it, is on the disk.
    pub(super) fn has(&self, number: u64) -> bool {
        self.written >= number
    }

    /// What is not on the disk is gone.
    pub(super) fn kill(&mut self) {
        self.waiting.clear();
        (self.last, self.written) = (0, 0);
    }

    /// The position on the disk.
    pub(super) fn state(&self) -> State {
        if self.disk.state.is_empty() {
            return State::default();
        }
        serde_json::from_str(&self.disk.state).expect("it was written")
    }

    /// Whether something is not on the disk yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }
}
