//! What the users saw, written down: the demo's own witness beside the proxy's status.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{CANARY, STABLE};
use crate::clock::Moment;

/// What became of one request.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// This version replied; whether with a status of 500 or above is its own affair.
    Replied { version: usize, is_error: bool },
    /// No version replied: the proxy answered by itself, or broke the connection.
    Failed(String),
}

/// When a request was, and how long it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) epoch: Epoch,
    pub(super) begun: Moment,
    pub(super) took: Duration,
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
    /// What the canary's errors did.
    pub(super) harm: Harm,
    /// Since when nobody should meet the canary.
    pub(super) home: Option<Moment>,
    /// Requests that were begun later and met it.
    pub(super) strays: u64,
    /// Replies that showed a user what is not for users.
    pub(super) leaks: u64,
    /// Replies that the staff had, by version.
    pub(super) staff: [u64; 2],
}

/// Errors of the canary that users met, since the start or since it broke.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Harm {
    /// When it broke, if it has.
    pub(super) broke: Option<Moment>,
    pub(super) errors: u64,
    /// Users who met at least one.
    pub(super) users: u64,
    /// When the last request was sent that got one.
    pub(super) last: Option<Moment>,
}

/// One user, as far as known.
#[derive(Clone, Copy, Debug, Default)]
struct User {
    version: Option<usize>,
    /// When the last request was begun.
    begun: Epoch,
    /// Whether an error of the canary was among its replies.
    hurt: bool,
}

/// What was seen of one version.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// From the first reply's request to the last one's.
    pub(super) span: Option<(Moment, Moment)>,
    /// Microseconds, whatever the status.
    latency: Histogram<u32>,
}

impl Seen {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("the bounds are sound");
        Self { requests: 0, errors: 0, span: None, latency }
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
            harm: Harm::default(),
            home: None,
            strays: 0,
            leaks: 0,
            staff: [0, 0],
        }
    }

    /// The canary breaks now: what it does from here on is counted apart.
    pub(super) fn break_canary(&mut self, now: Moment) {
        self.harm = Harm { broke: Some(now), ..Harm::default() };
        self.users.iter_mut().for_each(|user| user.hurt = false);
    }

    /// Notes what became of a request of `user`.
    pub(super) fn note(&mut self, user: usize, ask: Ask, outcome: Outcome) {
        let Ask { epoch, begun, took } = ask;
        match outcome {
            Outcome::Failed(why) => {
                self.failed += 1;
                self.first_failure.get_or_insert(why);
            }
            Outcome::Replied { version, is_error } => {
                let seen = &mut self.seen[version];
                seen.requests += 1;
                seen.errors += u64::from(is_error);
                seen.span = Some((seen.span.map_or(begun, |(first, _)| first), begun));
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                seen.latency.saturating_record(micros.max(1));
                if version == CANARY {
                    self.strays += u64::from(self.home.is_some_and(|home| begun >= home));
                    if is_error {
                        self.harm.errors += 1;
                        self.harm.users += u64::from(!self.users[user].hurt);
                        self.harm.last = self.harm.last.max(Some(begun));
                        self.users[user].hurt = true;
                    }
                }
                self.place(user, epoch, version);
            }
        }
    }

    /// A weight that rises moves users on to the canary, each at most once; nothing moves any back.
    fn place(&mut self, user: usize, begun: Epoch, version: usize) {
        let now = self.epoch;
        let known = &mut self.users[user];
        let new = User { version: Some(version), begun, hurt: known.hurt };
        let before = std::mem::replace(known, new);
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
    use crate::clock;

    fn reply(ledger: &mut Ledger, epoch: Epoch, version: usize) {
        let ask = Ask { epoch, begun: clock::now(), took: Duration::from_millis(1) };
        ledger.note(0, ask, Outcome::Replied { version, is_error: false });
    }

    #[test]
    fn what_a_broken_canary_does_is_counted_by_request_and_by_user() {
        let mut ledger = Ledger::new(2);
        let fail = |ledger: &mut Ledger, user, begun| {
            let ask = Ask { epoch: Epoch::Before, begun, took: Duration::ZERO };
            ledger.note(user, ask, Outcome::Replied { version: CANARY, is_error: true });
        };
        let begun = clock::now();
        fail(&mut ledger, 0, begun);
        ledger.break_canary(begun);
        for user in [0, 0, 1] {
            fail(&mut ledger, user, begun);
        }
        assert_eq!((ledger.harm.errors, ledger.harm.users, ledger.strays), (3, 2, 0));
        ledger.home = Some(begun);
        fail(&mut ledger, 0, begun);
        assert_eq!((ledger.strays, ledger.seen[CANARY].errors), (1, 5));
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
