//! What a person may say to a rollout.
//!
//! Said twice, an order does nothing the second time.

use std::fmt;

use gnomon_config::model::{Rollout, Share, Stage};
use serde::{Deserialize, Serialize};

use super::{Action, Block, Controller, Facts, Phase, Position, State, weight_of};

/// An order: what, who and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub verb: Verb,
    /// Who.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

/// What a person may want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Begin at the first step.
    Start,
    /// Stay where it is. A rollback stays armed.
    Pause,
    /// Go on, and end a freeze.
    Resume,
    /// Yes to the next step.
    Approve,
    /// Into the next step without waiting for time or proof; only out of this step, if it is said.
    Promote(Option<usize>),
    /// To 100 % at once.
    PromoteFull,
    /// Everybody to stable, at once.
    Abort,
    /// Keep everything as it is; not even a rollback happens.
    Freeze,
}

impl Verb {
    /// As in a URL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::Promote(_) => "promote",
            Self::PromoteFull => "promote --full",
            Self::Abort => "abort",
            Self::Freeze => "freeze",
        }
    }
}

/// Why an order was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is frozen; `resume` first.
    Frozen,
    /// It is not under way, but in this phase.
    Rests(Phase),
    /// It needs a person to resume it first, or to abort it.
    Stopped(Phase),
    /// Somebody has stopped the line.
    StopLine(String),
    /// The canary has no healthy endpoint.
    NoEndpoint,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frozen => f.write_str("it is frozen: resume first"),
            Self::Rests(phase) => write!(f, "it is not under way: {}", phase.name()),
            Self::Stopped(phase) => write!(f, "it is {}: resume or abort it", phase.name()),
            Self::StopLine(why) => write!(f, "the line is stopped: {why}"),
            Self::NoEndpoint => f.write_str("the canary has no healthy endpoint"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Controller {
    /// Does what a person says. No action means that it is so already.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub fn order(
        &mut self,
        plan: &Rollout,
        now: u64,
        facts: &Facts,
        order: &Order,
    ) -> Result<Vec<Action>, Refusal> {
        if self.state.frozen && !matches!(order.verb, Verb::Freeze | Verb::Resume) {
            return Err(Refusal::Frozen);
        }
        match order.verb {
            Verb::Start => self.start(now, order),
            Verb::Pause => self.pause(now, order),
            Verb::Resume => self.resume(plan, now, order),
            Verb::Approve => self.approve(plan, now, order),
            Verb::Promote(step) => self.promote(plan, now, facts, step, order),
            Verb::PromoteFull => self.promote_full(plan, now, facts, order),
            Verb::Abort => self.abort(now, order),
            Verb::Freeze => self.freeze(now, order),
        }
    }

    fn start(&mut self, now: u64, order: &Order) -> Result<Vec<Action>, Refusal> {
        match self.state.phase {
            Phase::Holding(Block::Lost)
            | Phase::Idle
            | Phase::Promoted
            | Phase::RolledBack(_)
            | Phase::Aborted => Ok(self.begin(now, &reason(order, "started"), &order.by)),
            Phase::Shadowing
            | Phase::Running
            | Phase::Holding(_)
            | Phase::Waiting
            | Phase::Paused => Ok(Vec::new()),
        }
    }

    fn pause(&mut self, now: u64, order: &Order) -> Result<Vec<Action>, Refusal> {
        let phase = self.state.phase;
        if phase == Phase::Paused {
            return Ok(Vec::new());
        }
        if !phase.is_active() {
            return Err(Refusal::Rests(phase));
        }
        Ok(self.put(now, Phase::Paused, &reason(order, "paused"), &order.by))
    }

    fn resume(&mut self, plan: &Rollout, now: u64, order: &Order) -> Result<Vec<Action>, Refusal> {
        if self.state.frozen {
            self.state.frozen = false;
            self.withheld = None;
            let event = self.event(now, self.position(), &reason(order, "not frozen"), &order.by);
            return Ok(vec![Action::Tell(event)]);
        }
        let phase = self.state.phase;
        if !phase.is_active() {
            return Err(Refusal::Rests(phase));
        }
        if phase == Phase::Holding(Block::Lost) {
            return Ok(self.begin(now, &reason(order, "resumed"), &order.by));
        }
        if !phase.needs_person() || phase == Phase::Waiting {
            return Ok(Vec::new());
        }
        if phase != Phase::Paused {
            // It has its whole time again.
            self.state.served = 0;
        }
        let phase = self.moving(plan);
        Ok(self.put(now, phase, &reason(order, "resumed"), &order.by))
    }

    fn approve(&mut self, plan: &Rollout, now: u64, order: &Order) -> Result<Vec<Action>, Refusal> {
        let State { phase, step, approved, .. } = self.state;
        if !phase.is_active() {
            return Err(Refusal::Rests(phase));
        }
        let step = step.checked_sub(1).and_then(|step| plan.steps.get(step));
        if approved || !step.is_some_and(|step| step.approve) {
            return Ok(Vec::new());
        }
        self.state.approved = true;
        let phase = if phase == Phase::Waiting { self.moving(plan) } else { phase };
        Ok(self.put(now, phase, &reason(order, "approved"), &order.by))
    }

    fn promote(
        &mut self,
        plan: &Rollout,
        now: u64,
        facts: &Facts,
        step: Option<usize>,
        order: &Order,
    ) -> Result<Vec<Action>, Refusal> {
        let phase = self.state.phase;
        if phase == Phase::Promoted || step.is_some_and(|step| step != self.state.step) {
            return Ok(Vec::new());
        }
        if !phase.is_active() {
            return Err(Refusal::Rests(phase));
        }
        if phase == Phase::Holding(Block::Lost) {
            return Err(Refusal::Stopped(phase));
        }
        let next = plan.steps.get(self.state.step).map(|step| step.to);
        if !matches!(next, Some(Stage::Shadow(_))) {
            self.may_raise(next.map_or(Share::WHOLE, weight_of), facts)?;
        }
        let why = reason(order, "promoted by hand, not proven");
        Ok(self.advance(plan, now, &why, &order.by))
    }

    fn promote_full(
        &mut self,
        plan: &Rollout,
        now: u64,
        facts: &Facts,
        order: &Order,
    ) -> Result<Vec<Action>, Refusal> {
        let phase = self.state.phase;
        if phase == Phase::Promoted {
            return Ok(Vec::new());
        }
        if !phase.is_active() {
            return Err(Refusal::Rests(phase));
        }
        self.may_raise(Share::WHOLE, facts)?;
        let why = reason(order, "promoted to 100 % by hand, not proven");
        let to = self.promoted(plan);
        Ok(self.move_to(now, to, &why, &order.by))
    }

    /// What even a person's word does not pass.
    fn may_raise(&self, wanted: Share, facts: &Facts) -> Result<(), Refusal> {
        if wanted <= self.state.weight() {
            return Ok(());
        }
        if facts.healthy.canary == 0 {
            return Err(Refusal::NoEndpoint);
        }
        facts.stop_line.clone().map_or(Ok(()), |why| Err(Refusal::StopLine(why)))
    }

    fn abort(&mut self, now: u64, order: &Order) -> Result<Vec<Action>, Refusal> {
        if self.state.phase == Phase::Idle {
            return Err(Refusal::Rests(Phase::Idle));
        }
        // Nothing that a change left behind starts it again.
        self.state.due = false;
        if matches!(self.state.phase, Phase::Aborted | Phase::RolledBack(_)) {
            return Ok(Vec::new());
        }
        let to = Position { phase: Phase::Aborted, weight: Share::NONE, ..self.position() };
        Ok(self.move_to(now, to, &reason(order, "aborted"), &order.by))
    }

    fn freeze(&mut self, now: u64, order: &Order) -> Result<Vec<Action>, Refusal> {
        let phase = self.state.phase;
        if self.state.frozen {
            return Ok(Vec::new());
        }
        if !phase.is_active() && phase != Phase::Promoted {
            return Err(Refusal::Rests(phase));
        }
        self.state.frozen = true;
        let event = self.event(now, self.position(), &reason(order, "frozen"), &order.by);
        Ok(vec![Action::Tell(event)])
    }

    /// Another phase of the same step, by a person.
    fn put(&mut self, now: u64, phase: Phase, why: &str, by: &str) -> Vec<Action> {
        self.move_to(now, Position { phase, ..self.position() }, why, by)
    }
}

/// What was done, and why if that was said.
fn reason(order: &Order, done: &str) -> String {
    if order.reason.is_empty() { done.to_owned() } else { format!("{done}: {}", order.reason) }
}
