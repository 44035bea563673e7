//! What moves a rollout: from step to step, or back to stable, and why.
//!
//! Pure: a [`Controller`] is told once a second what is known ([`Facts`]), and at any time what a
//! person wants ([`Order`]). It answers with [`Action`]s. Its [`State`] is all that has to be kept.
//!
//! | in phase | on | comes |
//! |---|---|---|
//! | `Idle`, `RolledBack`, `Aborted`, `Promoted` | start | `Running` before the first step, 0 % |
//! | `Idle` … | a change, with `start = "on_change"` | the same, but after the cooldown of a rollback |
//! | `Shadowing`, `Running`, `Holding`, `Waiting` | everything that raising asks for | the next step; after the last, `Promoted` |
//! | the same | doubt, a full canary, a closed window, … | `Holding`, which ends by itself |
//! | the same | the step's end, with `approve` | `Waiting`, until approved |
//! | the same | a step over its `max`, nothing proven | `Holding` for a person, `RolledBack`, or the next step, as `on.inconclusive` says |
//! | the same | pause | `Paused`, until resume |
//! | `Holding` for a person | resume | `Running`; the step has its whole time again |
//! | all of these, and `Paused` | the judge: worse | `RolledBack`, or `Holding` as `on.fail` says |
//! | all of these, and `Promoted` | the fuse | `RolledBack` |
//! | all of these, and `Promoted` | abort | `Aborted` |
//! | `Promoted`, for one hold | the judge: worse | `RolledBack` |
//!
//! What ends a rollout sends everybody to stable, at once. A freeze stops everything, even that:
//! it is for when going back would hurt too. The weight is never above that of the step, except
//! after a promotion. Time counts while a weight is in force and the rollout goes on by itself,
//! not by the calendar: neither a night in which the proxy is down nor a pause is part of a hold.

mod facts;
mod order;
mod phase;
mod ready;
mod window;

use gnomon_config::model::{OnFail, OnInconclusive, Rollout, Share, Stage};
use serde::{Deserialize, Serialize};

pub use facts::{Arms, Facts, Outcome};
pub use order::{Order, Refusal, Verb};
pub use phase::{Block, Cause, Phase};
pub use window::is_open;

use ready::{Asked, Next};

/// All of a rollout that has to outlive the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What it is doing.
    pub phase: Phase,
    /// Steps entered: 0 before the first, 1 in it.
    pub step: usize,
    /// What the canary is to get, in parts per 100,000.
    pub weight_parts: u32,
    /// When the phase began, in seconds since 1970.
    pub since: u64,
    /// When the step began.
    pub step_since: u64,
    /// When it was started.
    pub started: u64,
    /// Seconds of the step in which its weight was in force and nobody had stopped it.
    pub served: u64,
    /// Rises with every step and every change of the weight.
    pub epoch: u32,
    /// Rises with every start.
    pub generation: u32,
    /// Whether a person keeps everything as it is.
    pub frozen: bool,
    /// Whether a person has said yes to the next step.
    pub approved: bool,
    /// Whether a change waits for the end of the cooldown to start it.
    pub due: bool,
    /// Why it is in this phase.
    pub why: String,
    /// Who brought it there: a person, or "gnomon".
    pub by: String,
}

impl State {
    /// What the canary is to get.
    #[must_use]
    pub const fn weight(&self) -> Share {
        Share(self.weight_parts)
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The canary gets this share. Raised only after the event that follows is on disk.
    SetWeight(Share),
    /// The plan's tests are to be run; the answer goes to [`Controller::tested`].
    RunTests,
    /// `on.confirm` is to be asked; the answer goes to [`Controller::confirmed`].
    AskConfirm,
    /// Something has happened that belongs into the record.
    Tell(Event),
}

/// One line of the decision record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in seconds since 1970.
    pub at: u64,
    /// Of which start.
    pub generation: u32,
    /// The phase before.
    pub from: Phase,
    /// The phase after.
    pub to: Phase,
    /// Steps entered before.
    pub step_from: usize,
    /// Steps entered after.
    pub step: usize,
    /// The canary's share before, in parts per 100,000.
    pub weight_from: u32,
    /// The canary's share after.
    pub weight: u32,
    /// Why, in words.
    pub why: String,
    /// Who: a person, or "gnomon".
    pub by: String,
}

/// Moves one rollout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Controller {
    state: State,
    tests: Asked,
    tests_failed: u32,
    confirm: Asked,
    /// The last look, in seconds since 1970; 0 before the first.
    last: u64,
    /// What a freeze has kept from happening, so that it is told once.
    withheld: Option<Cause>,
}

impl Controller {
    /// Goes on where `state` was.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self { state, ..Self::default() }
    }

    /// Begins held at 0 %, because what it was doing is not known any more.
    #[must_use]
    pub fn lost(now: u64, why: &str) -> Self {
        let mut state = State { since: now, started: now, step_since: now, ..State::default() };
        state.phase = Phase::Holding(Block::Lost);
        (state.why, state.by) = (why.to_owned(), ITSELF.to_owned());
        Self::new(state)
    }

    /// What has to be kept.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Whether nobody else may change the split: while it is under way, and for one hold after a
    /// promotion.
    #[must_use]
    pub fn owns_split(&self, plan: &Rollout) -> bool {
        self.state.phase.is_active() || self.is_watching(plan)
    }

    /// Whether the data cores may cut the canary off by themselves.
    #[must_use]
    pub fn is_armed(&self, plan: &Rollout) -> bool {
        !self.state.frozen && self.state.weight_parts > 0 && self.owns_split(plan)
    }

    /// Whether a promotion is young enough to be taken back by itself.
    #[must_use]
    pub fn is_watching(&self, plan: &Rollout) -> bool {
        let hold = plan.steps.last().map_or(0, |step| step.hold.as_secs());
        self.state.phase == Phase::Promoted && self.state.served < hold.max(WATCH_MIN)
    }

    /// Share of stable's requests that is to be copied now, if this is a step of shadows.
    #[must_use]
    pub fn shadow(&self, plan: &Rollout) -> Option<Share> {
        let step = self.state.step.checked_sub(1).and_then(|step| plan.steps.get(step))?;
        match step.to {
            Stage::Shadow(share) if self.state.phase.is_active() => Some(share),
            Stage::Shadow(_) | Stage::Weight(_) => None,
        }
    }

    /// Takes the present facts in. To be called once a second, whatever happens.
    pub fn tick(&mut self, plan: &Rollout, now: u64, facts: &Facts) -> Vec<Action> {
        self.pass_time(now, facts);
        if self.state.frozen {
            return self.withhold(now, facts);
        }
        match self.state.phase {
            Phase::Idle | Phase::RolledBack(_) | Phase::Aborted => self.start_if_due(plan, now),
            Phase::Promoted => {
                let watch = self.is_watching(plan).then(|| self.alarm(facts)).flatten();
                let Some((cause, why)) = watch else { return self.start_if_due(plan, now) };
                self.roll_back(now, cause, &why)
            }
            Phase::Shadowing
            | Phase::Running
            | Phase::Holding(_)
            | Phase::Waiting
            | Phase::Paused => self.look(plan, now, facts),
        }
    }

    /// A version has other endpoints than before: starts, if that is what starts it, now or after
    /// the cooldown.
    pub fn changed(&mut self) {
        self.state.due = !self.state.phase.is_active();
    }

    /// Takes another plan over. Where a step's weight is now another, the rollout is in the last
    /// step that is not above its present weight; it never rises by this.
    pub fn follow(&mut self, plan: &Rollout, now: u64) -> Vec<Action> {
        if !self.state.phase.is_active() || self.state.step == 0 {
            return Vec::new();
        }
        let present = self.state.weight();
        let known = plan.steps.get(self.state.step - 1).map(|step| weight_of(step.to));
        if known == Some(present) {
            return Vec::new();
        }
        let fits = |step: &gnomon_config::model::Step| weight_of(step.to) <= present;
        let step = plan.steps.iter().rposition(fits).map_or(1, |place| place + 1);
        let weight = plan.steps.get(step - 1).map_or(Share::NONE, |step| weight_of(step.to));
        let to = Position { step, weight: weight.min(present), ..self.position() };
        self.move_to(now, to, "the plan has changed", ITSELF)
    }

    /// What the tests that were asked for in `epoch` have come to.
    pub fn tested(&mut self, epoch: u32, now: u64, result: Result<(), String>) {
        if epoch == self.state.epoch && matches!(self.tests, Asked::Open(_)) {
            self.tests_failed = if result.is_ok() { 0 } else { self.tests_failed + 1 };
            self.tests = Asked::of(now, result);
        }
    }

    /// What `on.confirm` has said to the question of `epoch`.
    pub fn confirmed(&mut self, epoch: u32, now: u64, result: Result<(), String>) {
        if epoch == self.state.epoch && matches!(self.confirm, Asked::Open(_)) {
            self.confirm = Asked::of(now, result);
        }
    }

    /// Time counts only while the weight is in force and nobody has stopped the rollout.
    fn pass_time(&mut self, now: u64, facts: &Facts) {
        let passed = if self.last == 0 { 0 } else { now.saturating_sub(self.last).min(LEAP_MAX) };
        self.last = now;
        let counts = match self.state.phase {
            Phase::Shadowing | Phase::Running | Phase::Promoted => true,
            Phase::Holding(block) => !block.needs_person(),
            Phase::Idle
            | Phase::Waiting
            | Phase::Paused
            | Phase::RolledBack(_)
            | Phase::Aborted => false,
        };
        if counts && facts.in_force == self.state.weight() {
            self.state.served += passed;
        }
    }

    /// Why everybody has to go back to stable, if so.
    fn alarm(&self, facts: &Facts) -> Option<(Cause, String)> {
        if let Some(why) = &facts.fuse {
            return Some((Cause::Fuse, why.clone()));
        }
        let Outcome::Worse(why) = &facts.outcome else { return None };
        (self.state.weight_parts > 0).then(|| (Cause::Judge, why.clone()))
    }

    /// Tells, once, what a freeze keeps from happening.
    fn withhold(&mut self, now: u64, facts: &Facts) -> Vec<Action> {
        let alarm = self.alarm(facts);
        let cause = alarm.as_ref().map(|(cause, _)| *cause);
        if cause == self.withheld {
            return Vec::new();
        }
        self.withheld = cause;
        let Some((cause, why)) = alarm else { return Vec::new() };
        let why = format!("frozen: not rolled back, though {} says: {why}", cause.name());
        vec![Action::Tell(self.event(now, self.position(), &why, ITSELF))]
    }

    fn start_if_due(&mut self, plan: &Rollout, now: u64) -> Vec<Action> {
        let rests = matches!(self.state.phase, Phase::RolledBack(_))
            && now < self.state.since.saturating_add(plan.cooldown.as_secs());
        if !self.state.due || rests {
            return Vec::new();
        }
        self.begin(now, "the canary's endpoints have changed", ITSELF)
    }

    fn begin(&mut self, now: u64, why: &str, by: &str) -> Vec<Action> {
        self.state.due = false;
        self.state.generation += 1;
        self.state.started = now;
        let to = Position { phase: Phase::Running, step: 0, weight: Share::NONE };
        let mut actions = self.move_to(now, to, why, by);
        if actions.len() == 1 {
            // At 0 % and before the first step already, but all the same it is a new run.
            self.renew(now);
            actions.insert(0, Action::SetWeight(Share::NONE));
        }
        actions
    }

    fn look(&mut self, plan: &Rollout, now: u64, facts: &Facts) -> Vec<Action> {
        match self.alarm(facts) {
            Some((Cause::Judge, why)) if plan.on.fail == OnFail::Hold => {
                if self.state.phase == Phase::Paused {
                    return Vec::new();
                }
                return self.hold(now, Block::Worse, &why);
            }
            Some((cause, why)) => return self.roll_back(now, cause, &why),
            None => {}
        }
        // One who waits looks on: the yes may have come, or doubt.
        if self.state.phase.needs_person() && self.state.phase != Phase::Waiting {
            return Vec::new();
        }
        match self.next(plan, now, facts) {
            Next::Stay(why) => {
                let phase = self.moving(plan);
                self.rest(now, phase, &why)
            }
            Next::Hold(block, why) => self.hold(now, block, &why),
            Next::Wait(why) => self.rest(now, Phase::Waiting, &why),
            Next::Test => {
                self.tests = Asked::Open(now);
                vec![Action::RunTests]
            }
            Next::Ask => {
                self.confirm = Asked::Open(now);
                vec![Action::AskConfirm]
            }
            Next::Pending => Vec::new(),
            Next::Broken(why) => match plan.on.fail {
                OnFail::Rollback => self.roll_back(now, Cause::Tests, &why),
                OnFail::Hold => self.hold(now, Block::Worse, &why),
            },
            Next::OverTime(why) => match plan.on.inconclusive {
                OnInconclusive::Rollback => self.roll_back(now, Cause::Inconclusive, &why),
                OnInconclusive::Hold | OnInconclusive::Advance => {
                    self.hold(now, Block::Unproven, &why)
                }
            },
            Next::Go(why) => self.advance(plan, now, &why, ITSELF),
        }
    }

    /// The next step, or the end.
    fn advance(&mut self, plan: &Rollout, now: u64, why: &str, by: &str) -> Vec<Action> {
        let to = match plan.steps.get(self.state.step) {
            Some(step) => Position {
                phase: moving_in(step.to),
                step: self.state.step + 1,
                weight: weight_of(step.to),
            },
            None => self.promoted(plan),
        };
        self.move_to(now, to, why, by)
    }

    fn promoted(&self, plan: &Rollout) -> Position {
        Position { phase: Phase::Promoted, step: plan.steps.len(), weight: Share::WHOLE }
    }

    fn roll_back(&mut self, now: u64, cause: Cause, why: &str) -> Vec<Action> {
        let to =
            Position { phase: Phase::RolledBack(cause), weight: Share::NONE, ..self.position() };
        self.move_to(now, to, why, ITSELF)
    }

    fn hold(&mut self, now: u64, block: Block, why: &str) -> Vec<Action> {
        self.rest(now, Phase::Holding(block), why)
    }

    /// Stays in its step, in this phase.
    fn rest(&mut self, now: u64, phase: Phase, why: &str) -> Vec<Action> {
        if phase == self.state.phase {
            // The same with newer figures is no event.
            why.clone_into(&mut self.state.why);
            return Vec::new();
        }
        self.move_to(now, Position { phase, ..self.position() }, why, ITSELF)
    }

    /// The phase in which it goes on by itself.
    fn moving(&self, plan: &Rollout) -> Phase {
        let step = self.state.step.checked_sub(1).and_then(|step| plan.steps.get(step));
        step.map_or(Phase::Running, |step| moving_in(step.to))
    }

    fn position(&self) -> Position {
        let State { phase, step, .. } = self.state;
        Position { phase, step, weight: self.state.weight() }
    }

    fn event(&self, at: u64, to: Position, why: &str, by: &str) -> Event {
        Event {
            at,
            generation: self.state.generation,
            from: self.state.phase,
            to: to.phase,
            step_from: self.state.step,
            step: to.step,
            weight_from: self.state.weight_parts,
            weight: to.weight.0,
            why: why.to_owned(),
            by: by.to_owned(),
        }
    }

    /// What belongs to a step begins anew.
    fn renew(&mut self, now: u64) {
        self.state.epoch = self.state.epoch.wrapping_add(1);
        (self.tests, self.confirm, self.tests_failed) = (Asked::No, Asked::No, 0);
        (self.state.step_since, self.state.served) = (now, 0);
        self.state.approved = false;
    }

    /// The one way in which anything changes.
    fn move_to(&mut self, now: u64, to: Position, why: &str, by: &str) -> Vec<Action> {
        let event = self.event(now, to, why, by);
        let mut actions = Vec::new();
        let is_other_step = to.step != self.state.step || to.phase == Phase::Promoted;
        if is_other_step || to.weight != self.state.weight() {
            actions.push(Action::SetWeight(to.weight));
            self.renew(now);
        }
        if to.phase != self.state.phase {
            self.state.since = now;
        }
        (self.state.phase, self.state.step, self.state.weight_parts) =
            (to.phase, to.step, to.weight.0);
        (self.state.why, self.state.by) = (why.to_owned(), by.to_owned());
        actions.push(Action::Tell(event));
        actions
    }
}

/// Where a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    phase: Phase,
    step: usize,
    weight: Share,
}

/// What users get of a stage.
#[must_use]
pub const fn weight_of(stage: Stage) -> Share {
    match stage {
        Stage::Shadow(_) => Share::NONE,
        Stage::Weight(weight) => weight,
    }
}

const fn moving_in(stage: Stage) -> Phase {
    match stage {
        Stage::Shadow(_) => Phase::Shadowing,
        Stage::Weight(_) => Phase::Running,
    }
}

/// Who moves a rollout when no person does.
pub const ITSELF: &str = "gnomon";
/// Seconds that a promotion is watched at the least.
const WATCH_MIN: u64 = 60;
/// Seconds that one look may add to a step: a process that was stopped has not served meanwhile.
const LEAP_MAX: u64 = 5;

#[cfg(test)]
mod tests;
