//! All that is left to chance in a run, from its seed.

use gnomon_policy::Luck;

/// A stream of draws.
pub(super) struct Draw(Luck);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(Luck::seeded(seed))
    }

    /// 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.draw()
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a hundred.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// A length: mostly short, now and then longer than any buffer.
    pub(super) fn length(&mut self) -> usize {
        let most = self.pick(&[0, 40, 900, 5_000, 40_000, 300_000]);
        self.between(0, most) as usize
    }

    /// `0..count` in any order.
    pub(super) fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last as u64 + 1) as usize);
        }
        order
    }
}
