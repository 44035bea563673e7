//! What cuts a canary off within a request, without waiting for the judge.
//!
//! A canary that fails hard has used up its budget of bad answers long before there is anything to
//! compare statistically. The cores themselves notice: whoever counts a bad answer adds up what all
//! cores have seen within the window, and compares with stable in the same window, so that an outage
//! of both blames nobody. Nothing is added up while the canary answers well.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use gnomon_config::model;
use serde::{Deserialize, Serialize};

use super::{Trial, slots::Sum};

/// What blows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuse {
    /// Bad answers within the window; 0: it never blows.
    pub budget: u64,
    /// How far back is counted, in seconds.
    pub window: u32,
    /// How many times as often as stable the canary must fail.
    pub factor: u64,
}

impl Fuse {
    /// As configured.
    #[must_use]
    pub fn new(fuse: &model::Fuse) -> Self {
        Self {
            budget: fuse.budget.into(),
            window: u32::try_from(fuse.window.as_secs()).unwrap_or(u32::MAX).max(1),
            factor: fuse.factor.into(),
        }
    }
}

/// What the cores have decided together. Written only where a canary fails.
#[derive(Debug, Default)]
pub struct State {
    /// Whether it may blow: while a rollout is under way that a person has not frozen.
    armed: AtomicBool,
    /// Bad answers of the canary since the split changed.
    spent: AtomicU64,
    /// Whether what is left of the budget matters yet.
    wary: AtomicBool,
    cut: AtomicBool,
    /// What the cores saw when they cut it: bad and all answers of the canary, then of stable.
    seen: [AtomicU64; 4],
    /// How often stable fails, in parts of a million, as control knows it from before.
    usual: AtomicU32,
}

/// What the cores of an earlier process had decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StateLeft {
    armed: bool,
    spent: u64,
    wary: bool,
    cut: bool,
    seen: [u64; 4],
    usual: u32,
}

/// What a fuse saw when it blew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blown {
    /// Bad answers of the canary.
    pub canary_bad: u64,
    /// All its answers.
    pub canary: u64,
    /// Bad answers of stable.
    pub stable_bad: u64,
    /// All its answers.
    pub stable: u64,
}

impl State {
    /// What was seen when it blew, if it has.
    #[must_use]
    pub fn blown(&self) -> Option<Blown> {
        let [canary_bad, canary, stable_bad, stable] = &self.seen;
        self.cut.load(Relaxed).then(|| Blown {
            canary_bad: canary_bad.load(Relaxed),
            canary: canary.load(Relaxed),
            stable_bad: stable_bad.load(Relaxed),
            stable: stable.load(Relaxed),
        })
    }

    /// What another process needs to go on.
    pub(crate) fn leave(&self) -> StateLeft {
        StateLeft {
            armed: self.armed.load(Relaxed),
            spent: self.spent.load(Relaxed),
            wary: self.wary.load(Relaxed),
            cut: self.cut.load(Relaxed),
            seen: self.seen.each_ref().map(|cell| cell.load(Relaxed)),
            usual: self.usual.load(Relaxed),
        }
    }

    /// Goes on with what another process left.
    pub(crate) fn inherit(&self, left: &StateLeft) {
        self.armed.store(left.armed, Relaxed);
        self.spent.store(left.spent, Relaxed);
        self.wary.store(left.wary, Relaxed);
        self.seen.iter().zip(left.seen).for_each(|(cell, value)| cell.store(value, Relaxed));
        self.usual.store(left.usual, Relaxed);
        self.cut.store(left.cut, Relaxed);
    }

    /// Says whether it may blow.
    pub fn arm(&self, armed: bool) {
        self.armed.store(armed, Relaxed);
        if !armed {
            self.mend();
        }
    }

    /// Mends it: a new split begins with a new budget.
    pub fn mend(&self) {
        self.spent.store(0, Relaxed);
        self.wary.store(false, Relaxed);
        self.cut.store(false, Relaxed);
    }

    /// Says how often stable usually fails, for when it has no traffic to compare with.
    pub fn set_usual(&self, rate: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        self.usual.store((rate.clamp(0.0, 1.0) * 1e6) as u32, Relaxed);
    }
}

/// Whether a request that was drawn for the canary may go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admitted,
    /// Not while so many are under way: each could be one more bad answer, beyond the budget.
    Spared,
    /// Nobody may any more.
    Cut,
}

impl Trial {
    /// Whether the canary may be asked in this second: one load, unless it has begun to fail.
    #[must_use]
    pub fn admit(&self, second: u32) -> Admission {
        let state = &self.evidence.state;
        if !state.wary.load(Relaxed) {
            return Admission::Admitted;
        }
        if state.cut.load(Relaxed) {
            return Admission::Cut;
        }
        // One that is over at the origin is counted as bad when its client has been told.
        let (canary, _) = self.recent(second);
        let untold = canary.assigned.saturating_sub(canary.resolved);
        let under_way = super::sum(&self.canary_cells, |cells| &cells.in_flight).max(untold);
        let left = self.fuse.budget.saturating_sub(canary.bad);
        if under_way < left { Admission::Admitted } else { Admission::Spared }
    }

    /// The canary has given a bad answer, in this second. Says whether that has cut it off.
    pub fn spend(&self, second: u32) -> bool {
        let spent = self.evidence.state.spent.fetch_add(1, Relaxed) + 1;
        spent >= self.fuse.budget.div_ceil(WARY_AT) && self.look(second, true)
    }

    /// Looks again, so that a canary that has recovered is trusted anew: for control, once a second.
    pub fn look_again(&self, second: u32) -> bool {
        self.look(second, false)
    }

    /// Adds up what all cores have seen within the window, and draws the conclusion. While answers
    /// are bad nobody lets go: an instant in which stable looks as bad must not open the door.
    fn look(&self, second: u32, is_bad: bool) -> bool {
        let state = &self.evidence.state;
        if self.fuse.budget == 0 || state.cut.load(Relaxed) || !state.armed.load(Relaxed) {
            return false;
        }
        let spent = state.spent.load(Relaxed);
        let (canary, stable) = self.recent(second);
        let is_worse = is_worse(canary, stable, self.fuse.factor, state.usual.load(Relaxed));
        let is_wary = is_worse && canary.bad >= self.fuse.budget.div_ceil(WARY_AT);
        let is_cut = is_wary && canary.bad >= self.fuse.budget;
        if is_cut {
            let seen = [canary.bad, canary.resolved, stable.bad, stable.resolved];
            for (cell, value) in state.seen.iter().zip(seen) {
                cell.store(value, Relaxed);
            }
        }
        // Whoever has looked for long knows nothing of what was spent meanwhile.
        if is_wary || (!is_bad && state.spent.load(Relaxed) == spent) {
            state.wary.store(is_wary, Relaxed);
        }
        is_cut && !state.cut.swap(true, Relaxed)
    }

    /// What all cores have seen of both within the window.
    fn recent(&self, second: u32) -> (Sum, Sum) {
        let (mut canary, mut stable) = (Sum::default(), Sum::default());
        let since = second.saturating_sub(self.fuse.window - 1);
        for core in &self.evidence.cores {
            core.add_recent(self.epoch, since, &mut canary, &mut stable);
        }
        (canary, stable)
    }
}

/// Whether the canary fails more than `factor` times as often as stable does. What stable has left
/// unanswered, beyond what the canary has, counts as bad: in an outage of both, one may hang and
/// the other fail at once. With hardly any answer of stable's, what is usual stands in for it.
fn is_worse(canary: Sum, stable: Sum, factor: u64, usual: u32) -> bool {
    let expected = (canary.silent * stable.assigned).checked_div(canary.assigned).unwrap_or(0);
    let hanging = stable.silent.saturating_sub(expected);
    let (mut bad, mut all) = (stable.bad + hanging + 1, stable.resolved + hanging + 1);
    if all < STABLE_MIN {
        (bad, all) = (u64::from(usual.max(USUAL_MIN)), 1_000_000);
    }
    u128::from(canary.bad) * u128::from(all)
        > u128::from(factor) * u128::from(bad) * u128::from(canary.resolved.max(1))
}

/// From a quarter of the budget on, no more requests are let through than could be spent.
const WARY_AT: u64 = 4;
/// Below so many answers, stable says nothing of itself.
const STABLE_MIN: u64 = 20;
/// One in a hundred is taken as usual where nothing is known.
const USUAL_MIN: u32 = 10_000;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use gnomon_config::model::{Timing, VersionIx};
    use gnomon_policy::judge::cohort::Class;

    use super::*;
    use crate::{
        clock,
        trial::{Arm, Evidence, Outcome},
    };

    fn trial() -> Trial {
        let trial = Trial {
            number: 1,
            name: "shop".into(),
            stable: VersionIx(0),
            canary: VersionIx(1),
            epoch: 1,
            timing: Timing::Total,
            by_user: false,
            by_request: false,
            pointers: Box::default(),
            fuse: Fuse { budget: 20, window: 10, factor: 4 },
            evidence: Arc::new(Evidence::new(2, clock::now())),
            canary_cells: vec![Arc::default(), Arc::default()],
        };
        trial.evidence.state.arm(true);
        trial
    }

    #[test]
    fn it_blows_only_while_it_is_armed() {
        let trial = trial();
        trial.evidence.state.arm(false);
        for _ in 0..100 {
            answer(&trial, 0, 3, Arm::Stable, false);
            answer(&trial, 0, 3, Arm::Canary, true);
        }
        assert_eq!((trial.admit(3), trial.evidence.state.blown()), (Admission::Admitted, None));
    }

    #[test]
    fn without_a_budget_it_never_blows() {
        let trial = Trial { fuse: Fuse { budget: 0, window: 10, factor: 4 }, ..trial() };
        for _ in 0..100 {
            answer(&trial, 0, 3, Arm::Stable, false);
            answer(&trial, 0, 3, Arm::Canary, true);
        }
        assert!(!trial.look_again(3));
        assert_eq!((trial.admit(3), trial.evidence.state.blown()), (Admission::Admitted, None));
    }

    fn answer(trial: &Trial, core: usize, second: u32, arm: Arm, bad: bool) -> bool {
        let core = &trial.evidence.cores[core];
        let ticket = core.assign(second, 1, arm);
        let class = bad.then_some(Class::Status5xx);
        let time = (!bad).then_some(Duration::from_millis(1));
        core.resolve(ticket, &Outcome { class, refused: false, time, kpis: [None; 4] });
        bad && arm == Arm::Canary && trial.spend(second)
    }

    #[test]
    fn a_canary_that_fails_is_cut_at_its_budget_by_any_core() {
        let trial = trial();
        for number in 0..100 {
            answer(&trial, number % 2, 3, Arm::Stable, false);
        }
        let cut: Vec<bool> =
            (0..20).map(|number| answer(&trial, number % 2, 3, Arm::Canary, true)).collect();
        assert_eq!(cut.iter().position(|cut| *cut), Some(19));
        assert_eq!(trial.admit(3), Admission::Cut);
        let blown = Blown { canary_bad: 20, canary: 20, stable_bad: 0, stable: 100 };
        assert_eq!(trial.evidence.state.blown(), Some(blown));
        trial.evidence.state.mend();
        assert_eq!(trial.admit(3), Admission::Admitted);
    }

    #[test]
    fn no_more_are_under_way_than_the_budget_has_left() {
        let trial = trial();
        for _ in 0..100 {
            answer(&trial, 0, 3, Arm::Stable, false);
        }
        for _ in 0..12 {
            answer(&trial, 0, 3, Arm::Canary, true);
        }
        trial.canary_cells[0].in_flight.set(4);
        trial.canary_cells[1].in_flight.set(3);
        assert_eq!(trial.admit(3), Admission::Admitted);
        trial.canary_cells[1].in_flight.set(4);
        assert_eq!(trial.admit(3), Admission::Spared);
        for core in &trial.canary_cells {
            core.in_flight.set(0);
        }
        // Over at the origin, but not told yet.
        for _ in 0..8 {
            trial.evidence.cores[0].assign(3, 1, Arm::Canary);
        }
        assert_eq!(trial.admit(3), Admission::Spared);
        // Ten seconds later that is forgotten.
        assert!(!trial.look_again(13));
        assert_eq!(trial.admit(13), Admission::Admitted);
    }

    #[test]
    fn an_outage_of_both_blames_nobody() {
        let failing = trial();
        for _ in 0..100 {
            answer(&failing, 0, 3, Arm::Stable, true);
            answer(&failing, 1, 3, Arm::Canary, true);
        }
        assert_eq!(failing.evidence.state.blown(), None);
        let hanging = trial();
        for _ in 0..100 {
            hanging.evidence.cores[0].assign(3, 1, Arm::Stable);
            answer(&hanging, 1, 3, Arm::Canary, true);
        }
        assert_eq!(hanging.evidence.state.blown(), None);
    }

    #[test]
    fn without_stable_traffic_what_is_usual_counts() {
        let trial = trial();
        trial.evidence.state.set_usual(0.02);
        let bad = |number: u64| number.is_multiple_of(20);
        assert!((0..1000).all(|number| !answer(&trial, 0, 3, Arm::Canary, bad(number))));
        assert!((0..1000).any(|_| answer(&trial, 0, 4, Arm::Canary, true)));
    }
}
