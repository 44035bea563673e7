//! What the users saw, written down: the demo's own witness beside the proxy's status.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{CANARY, STABLE};

/// What became of one request.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// This version replied; whether with a status of 500 or above is its own affair.
    Replied { version: usize, is_error: bool },
    /// No version replied: the proxy answered by itself, or broke the connection.
    Failed(String),
}

/// When something was, in terms of the change of weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Epoch {
    /// Before it.
    #[default]
    Before,
    /// Some cores may go by it already.
    Changing,
    /// All do.
    After,
}

/// All that the users saw.
#[derive(Debug)]
pub(super) struct Ledger {
    users: Vec<User>,
    /// By version.
    pub(super) seen: [Seen; 2],
    pub(super) epoch: Epoch,
    /// Users that went from the stable version to the canary when its weight rose.
    pub(super) moved: u64,
    /// Users that changed their version in any other way.
    pub(super) flipped: u64,
    /// Requests that the proxy failed.
    pub(super) failed: u64,
    /// What happened to the first of them.
    pub(super) first_failure: Option<String>,
}

/// One user, as far as known.
#[derive(Clone, Copy, Debug, Default)]
struct User {
    version: Option<usize>,
    /// When the last request was begun.
    begun: Epoch,
}

/// What was seen of one version.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// Microseconds, whatever the status.
    latency: Histogram<u32>,
}

impl Seen {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("the bounds are sound");
        Self { requests: 0, errors: 0, latency }
    }

    /// A quantile in seconds, if anything was seen.
    pub(super) fn quantile(&self, quantile: f64) -> Option<f64> {
        let micros = self.latency.value_at_quantile(quantile);
        let duration = Duration::from_micros(micros);
        (!self.latency.is_empty()).then_some(duration.as_secs_f64())
    }
}

impl Ledger {
    pub(super) fn new(users: usize) -> Self {
        Self {
            users: vec![User::default(); users],
            seen: [Seen::new(), Seen::new()],
            epoch: Epoch::Before,
            moved: 0,
            flipped: 0,
            failed: 0,
            first_failure: None,
        }
    }

    /// Notes what became of a request of `user`, begun in `begun`, after `took`.
    pub(super) fn note(&mut self, user: usize, begun: Epoch, took: Duration, outcome: Outcome) {
        match outcome {
            Outcome::Failed(why) => {
                self.failed += 1;
                self.first_failure.get_or_insert(why);
            }
            Outcome::Replied { version, is_error } => {
                let seen = &mut self.seen[version];
                seen.requests += 1;
                seen.errors += u64::from(is_error);
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                seen.latency.saturating_record(micros.max(1));
                self.place(user, begun, version);
            }
        }
    }

    /// A weight that rises moves users on to the canary, each at most once; nothing moves any back.
    fn place(&mut self, user: usize, begun: Epoch, version: usize) {
        let now = self.epoch;
        let known = &mut self.users[user];
        let before = std::mem::replace(known, User { version: Some(version), begun });
        let Some(old) = before.version.filter(|old| *old != version) else { return };
        let may_move = before.begun < Epoch::After && now > Epoch::Before;
        if (old, version) == (STABLE, CANARY) && may_move {
            self.moved += 1;
        } else {
            self.flipped += 1;
        }
    }

    /// How many users are on each version, of those who have asked in the present epoch.
    pub(super) fn placed(&self) -> [u64; 2] {
        let mut placed = [0, 0];
        for user in self.users.iter().filter(|user| user.begun == self.epoch) {
            if let Some(version) = user.version {
                placed[version] += 1;
            }
        }
        placed
    }

    /// Every user's present version.
    pub(super) fn on(&self) -> [u64; 2] {
        let mut on = [0, 0];
        for version in self.users.iter().filter_map(|user| user.version) {
            on[version] += 1;
        }
        on
    }
}

/// A minute: no request of the demo is waited for as long.
const MICROS_MAX: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(ledger: &mut Ledger, begun: Epoch, version: usize) {
        let outcome = Outcome::Replied { version, is_error: false };
        ledger.note(0, begun, Duration::from_millis(1), outcome);
    }

    #[test]
    fn whoever_changes_without_reason_has_flipped() {
        let mut ledger = Ledger::new(1);
        reply(&mut ledger, Epoch::Before, STABLE);
        reply(&mut ledger, Epoch::Before, CANARY);
        assert_eq!((ledger.flipped, ledger.moved), (1, 0));
        reply(&mut ledger, Epoch::Before, STABLE);
        assert_eq!((ledger.flipped, ledger.moved), (2, 0));
    }

    #[test]
    fn a_weight_that_rises_moves_users_on_once_and_never_back() {
        let mut ledger = Ledger::new(1);
        reply(&mut ledger, Epoch::Before, STABLE);
        ledger.epoch = Epoch::Changing;
        reply(&mut ledger, Epoch::Before, CANARY);
        assert_eq!((ledger.flipped, ledger.moved), (0, 1));
        ledger.epoch = Epoch::After;
        reply(&mut ledger, Epoch::After, STABLE);
        assert_eq!((ledger.flipped, ledger.moved), (1, 1));
        reply(&mut ledger, Epoch::After, CANARY);
        assert_eq!((ledger.flipped, ledger.moved), (2, 1), "the change is long over");
    }

    #[test]
    fn only_who_has_asked_since_the_change_is_counted_for_its_share() {
        let mut ledger = Ledger::new(2);
        reply(&mut ledger, Epoch::Before, CANARY);
        assert_eq!(ledger.placed(), [0, 1]);
        ledger.epoch = Epoch::After;
        assert_eq!((ledger.placed(), ledger.on()), ([0, 0], [0, 1]));
    }
}
