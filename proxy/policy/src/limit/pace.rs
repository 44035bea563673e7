//! Whether a body moves too slowly for its client to be waited for any longer.

use std::time::Duration;

/// How a body has moved so far, one way.
///
/// Only time that we waited for the client counts: an origin that writes a line a minute is no
/// fault of who listens to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    waited: Duration,
    moved: u64,
}

impl Pace {
    /// Waiting that is forgiven: connections stall, and a first window is small.
    pub const GRACE: Duration = Duration::from_secs(20);

    /// So many bytes have moved, after so much waiting for the client.
    pub fn note(&mut self, waited: Duration, moved: u64) {
        self.waited += waited;
        self.moved += moved;
    }

    /// Whether there has been so much waiting that the pace may be judged: until then, it need not
    /// be asked what the kernel holds.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.waited >= Self::GRACE
    }

    /// Whether less than `rate` bytes moved for each second of waiting, not counting `held`, which
    /// the kernel has taken and the client has not; 0 is no bound.
    #[must_use]
    pub fn is_below(&self, rate: u64, held: u64) -> bool {
        let moved = u128::from(self.moved.saturating_sub(held)) * 1000;
        self.is_late() && moved < u128::from(rate) * self.waited.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a body of which `bytes` move after each `millis` of waiting: when it is cut,
    /// in seconds of waiting, within an hour.
    fn cut(bytes: u64, millis: u64, rate: u64) -> Option<u64> {
        let mut pace = Pace::default();
        (1..=3_600_000 / millis).find_map(|turn| {
            pace.note(Duration::from_millis(millis), bytes);
            pace.is_below(rate, 0).then_some(turn * millis / 1000)
        })
    }

    #[test]
    fn who_is_slower_than_the_rate_is_cut_after_the_grace() {
        assert_eq!(cut(239, 1000, 240), Some(20));
        assert_eq!(cut(240, 1000, 240), None);
        assert_eq!(cut(1, 50, 240), Some(20));
        assert_eq!(cut(12, 50, 240), None);
        assert_eq!(cut(1, 29_000, 240), Some(29));
        assert_eq!(cut(0, 1000, 0), None, "no bound");
    }

    #[test]
    fn time_that_nobody_waited_does_not_count() {
        let mut pace = Pace::default();
        for _ in 0..10_000 {
            pace.note(Duration::ZERO, 1);
        }
        assert!(!pace.is_late() && !pace.is_below(1 << 30, 0));
        pace.note(Pace::GRACE, 0);
        assert!(pace.is_late() && !pace.is_below(500, 0) && pace.is_below(501, 0));
    }

    #[test]
    fn what_the_kernel_holds_has_not_moved() {
        let mut pace = Pace::default();
        pace.note(Duration::from_secs(25), 4_000_000);
        assert!(!pace.is_below(240, 0));
        assert!(pace.is_below(240, 3_999_000));
        assert!(pace.is_below(240, u64::MAX));
    }
}
