//! What is promised, looked at each second.

use gnomon_config::model::{Share, UpstreamIx, VersionIx};
use gnomon_policy::{
    Availability, Decision, Luck, MintedId, Subject, Table,
    rollout::{Event, Outcome, Phase, State, is_open},
};

use super::{
    evidence::Evidence,
    knobs::Knobs,
    traffic::{CLIENT, Parsed},
    world::{CANARY, Log, World},
};

/// What has to be remembered to see whether it is so.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// Whether the canary may have no share until somebody says so.
    must_be_none: bool,
    /// People who come back, with where they went, as long as they are told apart.
    users: Vec<(Parsed, VersionIx)>,
    is_sticky: bool,
    /// Of the canary, at the last table.
    share: Share,
    /// When the step was entered, and by how many leaps of the clock it may be shorter.
    step_at: u64,
    leaps: u64,
    is_blown: bool,
    armed_for: u64,
}

impl Checks {
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn new(knobs: &Knobs, luck: &mut Luck) -> Self {
        let user = |number: usize| {
            let field = if knobs.sticky == "cookie" {
                let id = MintedId::mint(luck).text();
                format!("cookie: gnomon_shop={}\r\n", String::from_utf8_lossy(&id))
            } else {
                format!("x-user: u{number}\r\n")
            };
            (Parsed::new("GET", &field), VersionIx(0))
        };
        let is_sticky = knobs.sticky != "none";
        let users = if is_sticky { (0..USERS).map(user).collect() } else { Vec::new() };
        Self { users, is_sticky, ..Self::default() }
    }

    /// A person has given the canary a share, or lets a rollout do so.
    pub(super) fn ordered(&mut self) {
        self.must_be_none = false;
    }

    pub(super) fn jumped(&mut self) {
        self.leaps += 1;
    }

    /// Another table: shares, and who is where.
    pub(super) fn table(&mut self, now: u64, table: &Table, log: &mut Log) {
        let mut end = 0;
        for cut in table.layout(UpstreamIx(0)).cuts() {
            if cut.start != end || cut.end <= cut.start {
                log.wrong(now, "the line has a gap");
            }
            end = cut.end;
        }
        if end != Share::WHOLE.0 {
            log.wrong(now, &format!("the shares add up to {end}"));
        }
        let mut cuts = table.layout(UpstreamIx(0)).cuts().iter();
        let cut = cuts.find(|cut| cut.version == CANARY);
        let share = cut.map_or(Share::NONE, |cut| cut.share());
        if self.is_sticky {
            self.move_users(now, table, share, log);
        }
        self.share = share;
    }

    fn move_users(&mut self, now: u64, table: &Table, share: Share, log: &mut Log) {
        let available = Availability::of(table.config());
        let mut on_canary = 0_u32;
        for (parsed, was) in &mut self.users {
            let luck = &mut Luck::seeded(0);
            let decision = table.decide(&Subject::new(parsed.request(), CLIENT), &available, luck);
            let Decision::Forward(plan) = decision else {
                log.wrong(now, &format!("a user goes nowhere: {decision:?}"));
                return;
            };
            if *was == CANARY && share >= self.share && plan.version != CANARY {
                log.wrong(now, "a user is taken off the canary, though its share has not fallen");
            }
            if *was != CANARY && share <= self.share && plan.version == CANARY {
                log.wrong(now, "a user is put on the canary, though its share has not risen");
            }
            *was = plan.version;
            on_canary += u32::from(plan.version == CANARY);
        }
        // Six standard errors.
        let (count, chance) = (f64::from(u32::try_from(USERS).unwrap_or(0)), share.fraction());
        let most = 6.0 * (count * chance * (1.0 - chance)).sqrt() + 1.0;
        if (f64::from(on_canary) - count * chance).abs() > most {
            log.wrong(now, &format!("{on_canary} of {USERS} users are on the canary"));
        }
    }

    /// The judge says something else than before.
    pub(super) fn outcome(&self, now: u64, evidence: &Evidence, log: &mut Log) {
        let heard = evidence.heard.canary.min(evidence.heard.stable);
        let is_silent = heard + SILENT < now;
        if is_silent && matches!(evidence.outcome, Outcome::Worse(_) | Outcome::Proven(_)) {
            log.wrong(now, "silence is a verdict");
        }
    }

    /// A transition.
    pub(super) fn event(
        &mut self,
        now: u64,
        event: &Event,
        by_person: bool,
        terms: &EventTerms,
    ) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        let rises = event.weight > event.weight_from;
        let is_end = matches!(event.to, Phase::RolledBack(_) | Phase::Aborted);
        if is_end && event.weight != 0 {
            wrong.push("after an end the canary keeps a share");
        }
        if is_end {
            self.must_be_none = true;
        } else if event.to.is_active() && !event.from.is_active() {
            self.must_be_none = false;
        }
        if rises {
            wrong.extend(self.rise(now, event, by_person, terms));
        }
        if event.step != event.step_from || event.weight != event.weight_from {
            (self.step_at, self.leaps) = (now, 0);
        }
        wrong
    }

    fn rise(
        &self,
        now: u64,
        event: &Event,
        by_person: bool,
        terms: &EventTerms,
    ) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        let is_next = event.step == event.step_from + 1;
        if !event.from.is_active() || !(is_next || event.to == Phase::Promoted) {
            wrong.push("a weight rises in no allowed way");
        }
        if terms.is_frozen || terms.is_stopped || terms.no_endpoint || !terms.is_open {
            wrong.push("a weight rises though something is in the way");
        }
        if by_person {
            return wrong;
        }
        if !is_next && event.step_from != terms.steps {
            wrong.push("a step is left out");
        }
        if event.step_from > 0 && !terms.is_proven && !event.why.starts_with("advanced") {
            wrong.push("a weight rises without proof");
        }
        if matches!(event.from, Phase::Paused)
            || event.from.needs_person() && event.from != Phase::Waiting
        {
            wrong.push("a weight rises though a person has stopped it");
        }
        if now - self.step_at + LEAP * (self.leaps + 1) < terms.hold {
            wrong.push("a step is shorter than its hold");
        }
        wrong
    }

    /// Another process has read the record.
    pub(super) fn restored(&mut self, now: u64, kept: &State, state: &State, log: &mut Log) {
        let same = |state: &State| (state.phase, state.step, state.weight_parts, state.generation);
        if state.weight() > kept.weight()
            || (state.epoch == kept.epoch && same(kept) != same(state))
        {
            log.wrong(now, "it does not go on where it was");
        }
        self.must_be_none = matches!(state.phase, Phase::RolledBack(_) | Phase::Aborted);
        (self.is_blown, self.armed_for) = (false, 0);
        self.step_at = self.step_at.min(now.saturating_sub(kept.served));
        if state.step != kept.step || state.weight() != kept.weight() {
            self.step_at = now;
        }
    }

    /// What holds in every second.
    pub(super) fn second(&mut self, world: &mut World) {
        let (now, share) = (world.now, world.share());
        let sum: u64 = world.split.shares.iter().map(|share| u64::from(share.0)).sum();
        if sum != u64::from(Share::WHOLE.0) {
            world.log.wrong(now, &format!("the shares add up to {sum}"));
        }
        let plan = world.plan();
        if world.controller.owns_split(&plan) {
            if share > world.keeper.state().weight() {
                world.log.wrong(now, "the canary gets more than was written down");
            }
            if share > world.controller.state().weight() {
                world.log.wrong(now, "the canary gets more than the rollout says");
            }
        }
        if self.must_be_none && share > Share::NONE {
            world.log.wrong(now, "sent back, and the canary has a share");
        }
        self.fuse(world);
    }

    fn fuse(&mut self, world: &mut World) {
        let (now, trial) = (world.now, world.trial.clone());
        let armed = world.controller.is_armed(&world.plan());
        let is_new = self.share != world.share();
        self.armed_for = if armed && !is_new { self.armed_for + 1 } else { 0 };
        let (window, budget) = (trial.fuse.window, trial.fuse.budget);
        let since = u32::try_from(now).expect("hours").saturating_sub(window - 1);
        let [canary, stable] = world.traffic.recent(since, trial.epoch);
        let blown = trial.evidence.state.blown();
        let is_fresh = blown.is_some() && !self.is_blown;
        self.is_blown = blown.is_some();
        let Some(blown) = blown else {
            // By counts of our own: all of stable's well and known, and the canary far beyond.
            let is_well =
                stable.resolved >= 20 && stable.bad == 0 && stable.assigned == stable.resolved;
            let is_worse = canary.bad * (stable.resolved + 1) > trial.fuse.factor * canary.resolved;
            let over = budget > 0 && canary.bad >= budget;
            if armed && self.armed_for > 2 && over && is_well && is_worse {
                world.log.wrong(now, "the fuse's budget is spent, and it does not blow");
            }
            return;
        };
        if !is_fresh {
            return;
        }
        if blown.canary_bad < budget || budget == 0 {
            world.log.wrong(now, "the fuse blows before its budget is spent");
        }
        let is_plain = canary.bad == canary.resolved && canary.late == 0 && stable.bad == 0;
        if is_plain
            && self.armed_for > u64::from(window)
            && stable.late == 0
            && blown.canary_bad > budget
        {
            world.log.wrong(now, "the canary has given more bad answers than the fuse allows");
        }
    }
}

/// What a transition is looked at with.
#[derive(Debug)]
pub(super) struct EventTerms {
    is_frozen: bool,
    is_stopped: bool,
    no_endpoint: bool,
    is_open: bool,
    is_proven: bool,
    steps: usize,
    hold: u64,
}

impl EventTerms {
    pub(super) fn of(world: &World, event: &Event) -> Self {
        let plan = world.plan();
        let hold = event.step_from.checked_sub(1).and_then(|step| plan.steps.get(step));
        let whole = event.weight_from == Share::WHOLE.0;
        Self {
            is_frozen: world.controller.state().frozen,
            is_stopped: world.facts.stop_line.is_some(),
            no_endpoint: world.facts.healthy.canary == 0,
            is_open: is_open(&plan.windows, world.wall()),
            is_proven: whole || matches!(world.facts.outcome, Outcome::Proven(_)),
            steps: plan.steps.len(),
            hold: hold.map_or(0, |step| step.hold.as_secs()),
        }
    }
}

/// People who come back.
const USERS: usize = 150;
/// Seconds of a step that one leap of the clock may spare it.
const LEAP: u64 = 5;
/// Seconds after which nothing that was heard can still be weighed: a request is waited for for a
/// minute, and what has come is weighed by the minute.
const SILENT: u64 = 180;
