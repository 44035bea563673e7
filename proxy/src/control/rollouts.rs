//! Rollouts: what is known of each, looked at once a second, and what follows from it.
//!
//! A weight reaches the cores by [`Control::follow_rollouts`] alone: lowered at once, raised only
//! when the record of the transition is on the disk. After a crash nobody gets more than that.

pub(crate) mod evidence;
mod facts;
pub(crate) mod hooks;
pub(super) mod jury;
mod left;
mod orders;
mod probes;
mod rejudge;
mod reload;
mod shown;
pub(crate) mod store;

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use gnomon_config::{
    Config,
    model::{self, Name, Share, VersionIx},
};
use gnomon_policy::rollout::{Action, Controller, Event, Facts, Phase};
use tokio::time::MissedTickBehavior;

pub(super) use self::orders::signed;
use self::{evidence::Evidence, facts::Seen, store::Kept};
use super::{
    Control,
    api::rollout::{Line, Record},
    state::State,
};
use crate::{clock, heritage::left::RolloutLeft};

/// What has rollouts written.
type Keeper = super::keeper::Keeper<store::Store>;

/// All rollouts of the configuration.
#[derive(Debug)]
pub(crate) struct Rollouts {
    entries: BTreeMap<Name, Entry>,
    line: Option<Line>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) hooks: hooks::Desk,
    /// Positions of rollouts that the configuration does not have now.
    absent: BTreeMap<String, Kept>,
    config_hash: String,
    /// Whether the file has been read.
    is_read: bool,
    /// Transitions since the start: whose, to which phase, and who brought them about.
    transitions: BTreeMap<(String, String, String), u64>,
    /// What an earlier process left; each rollout asks once.
    before: BTreeMap<String, RolloutLeft>,
    /// Whether another process has the pen, or is about to.
    is_resting: bool,
}

/// One rollout.
#[derive(Debug)]
struct Entry {
    plan: Arc<model::Rollout>,
    ends: (String, String),
    /// The canary's endpoints, as the file writes them.
    endpoints: Vec<String>,
    controller: Controller,
    evidence: Evidence,
    /// What was known at the last look.
    facts: Option<Facts>,
    /// Number of the newest position that was handed to the keeper.
    number: u64,
    /// Whether the split is not yet as the controller says.
    is_pending: bool,
    /// Whether the last try to change the split was refused, so that it is told once.
    is_refused: bool,
    /// Copies compared when the step began.
    copies: u64,
    /// When evidence was last handed to the keeper.
    kept_at: u64,
}

impl Rollouts {
    /// As the file in the state's folder says. Blocks; opens nothing where there is no rollout.
    pub(crate) fn open(config: &Config, now: u64) -> Self {
        let mut rollouts = Self {
            entries: BTreeMap::new(),
            line: None,
            keeper: Arc::new(Keeper::new(config.state.dir.join(FILE))),
            hooks: hooks::Desk::default(),
            absent: BTreeMap::new(),
            config_hash: String::new(),
            is_read: false,
            transitions: BTreeMap::new(),
            before: BTreeMap::new(),
            is_resting: false,
        };
        let saved = if config.rollouts.is_empty() {
            None
        } else {
            Some(store::load(rollouts.keeper.path(), now))
        };
        let remarks = rollouts.take_config(config, saved, now);
        for remark in remarks {
            tracing::info!(remark, "rollouts");
        }
        rollouts
    }

    /// Gives every rollout its recorded weight, before the cores start.
    pub(crate) fn restore(&mut self, state: &mut State) {
        for entry in self.entries.values_mut() {
            entry.follow(&self.keeper, state);
        }
    }

    /// The rollout that owns an upstream's split now.
    fn owner(&self, upstream: &str, config: &Config) -> Option<&Entry> {
        let mut entries = self.entries.values();
        entries.find(|entry| {
            let place = usize::from(entry.plan.upstream.0);
            config.upstreams.get(place).is_some_and(|it| *it.name == *upstream)
                && entry.controller.owns_split(&entry.plan)
        })
    }
}

impl Entry {
    fn new(plan: &model::Rollout, config: &Config, controller: Controller) -> Self {
        let rules = Evidence::new(plan, &config.kpis);
        Self {
            plan: Arc::new(plan.clone()),
            ends: ends(config, plan),
            endpoints: endpoints(config, plan),
            evidence: rules,
            is_pending: controller.state().phase != Phase::Idle,
            controller,
            facts: None,
            number: 0,
            is_refused: false,
            copies: 0,
            kept_at: 0,
        }
    }

    /// Brings the split to what the controller says, as far as that is on the disk. Says whether
    /// it has changed.
    fn follow(&mut self, keeper: &Keeper, state: &mut State) -> bool {
        if !self.is_pending && !self.controller.owns_split(&self.plan) {
            return false;
        }
        let (upstream, to) = (self.plan.upstream, self.plan.to);
        let wanted = self.controller.state().weight();
        let present = state.share(upstream, to);
        let target = if keeper.has(self.number) { wanted } else { wanted.min(present) };
        if target == present {
            self.is_pending = target != wanted;
            self.is_refused = false;
            return false;
        }
        match state.set_share(upstream, to, target) {
            Ok(_) => {
                let (rollout, percent) = (&self.plan.name, target.percent());
                tracing::info!(%rollout, percent, "the canary's share is set");
                self.is_pending = target != wanted;
                self.is_refused = false;
                true
            }
            Err(refused) => {
                if !std::mem::replace(&mut self.is_refused, true) {
                    let rollout = &self.plan.name;
                    tracing::error!(%rollout, error = %refused, "the canary's share cannot be set");
                }
                false
            }
        }
    }

    /// Another step, or another start.
    fn step(&mut self, state: &mut State) {
        let position = self.controller.state();
        if position.step == 0 {
            state.trials.restart(&self.plan.name);
        }
        self.evidence.step(position);
    }

    fn kept(&self) -> Kept {
        Kept {
            state: self.controller.state().clone(),
            ends: self.ends.clone(),
            endpoints: self.endpoints.clone(),
            requests: self.evidence.requests(),
            copies: self.copies,
        }
    }

    fn record(&self, event: Event, config: &str) -> Record {
        let report = self.evidence.report();
        let (rollout, config) = (self.plan.name.to_string(), config.to_owned());
        Record { id: 0, rollout, report, config, event }
    }

    /// Hands the position over to be written.
    fn keep(&mut self, keeper: &Keeper, record: Option<Record>) {
        let (name, kept) = (self.plan.name.to_string(), self.kept());
        self.number = keeper.keep(|batch| {
            batch.kept.insert(name, kept);
            batch.records.extend(record);
        });
    }

    /// Hands over what the judge has learnt.
    fn keep_evidence(&mut self, keeper: &Keeper, now: u64) {
        self.kept_at = now;
        let generation = self.controller.state().generation;
        let Some(evidence) = self.evidence.take_unwritten(generation) else { return };
        let (name, kept) = (self.plan.name.to_string(), self.kept());
        keeper.keep(|batch| {
            batch.kept.insert(name.clone(), kept);
            batch.evidence.push((name, evidence));
        });
    }
}

impl Control {
    /// All rollouts. Taken before the state where both are needed, and never held over an
    /// `.await`.
    pub(crate) fn rollouts(&self) -> MutexGuard<'_, Rollouts> {
        self.rollouts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all rollouts once a second, for ever.
    pub(crate) async fn roll_for_ever(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tick_rollouts(clock::steady().as_secs());
        }
    }

    /// Writes what rollouts do, for ever, and raises what waits for it.
    pub(crate) async fn keep_for_ever(self: Arc<Self>) {
        let keeper = self.rollouts().keeper.clone();
        loop {
            if keeper.turn().await {
                self.follow_rollouts();
            }
        }
    }

    /// Writes the last of it.
    pub(crate) async fn end_rollouts(&self) {
        let now = clock::steady().as_secs();
        let keeper = {
            let mut rollouts = self.rollouts();
            if rollouts.is_resting {
                return;
            }
            let Rollouts { entries, keeper, .. } = &mut *rollouts;
            entries.values_mut().for_each(|entry| entry.keep_evidence(keeper, now));
            keeper.clone()
        };
        keeper.flush().await;
    }

    /// One look at all rollouts, at `now` in seconds since 1970.
    pub(crate) fn tick_rollouts(self: &Arc<Self>, now: u64) {
        let (report, saturation) = (self.shadow.report(), self.saturation());
        {
            let mut rollouts = self.rollouts();
            if rollouts.is_resting {
                return;
            }
            let Rollouts { entries, line, keeper, .. } = &mut *rollouts;
            let seen = Seen { line: line.as_ref(), shadows: &report, saturation: &saturation };
            let mut acts = Vec::new();
            for (name, entry) in entries {
                let facts = entry.look(&mut self.state(), &seen, now);
                let actions = entry.controller.tick(&entry.plan, now, &facts);
                entry.facts = Some(facts);
                acts.push((name.clone(), actions));
                // A clock that was set back must not keep evidence from the disk for hours.
                if now.abs_diff(entry.kept_at) >= KEEP_EVERY {
                    entry.keep_evidence(keeper, now);
                }
            }
            for (name, actions) in acts {
                self.carry_out(&mut rollouts, &name, actions);
            }
        }
        self.follow_rollouts();
    }

    /// Does what a controller asks for; what happened, one line each.
    fn carry_out(
        self: &Arc<Self>,
        rollouts: &mut Rollouts,
        name: &Name,
        actions: Vec<Action>,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        for action in actions {
            let Some(entry) = rollouts.entries.get_mut(name) else { break };
            match action {
                Action::SetWeight(_) => {
                    entry.is_pending = true;
                    entry.copies = self.compared(&entry.plan);
                    entry.step(&mut self.state());
                }
                Action::RunTests => self.run_tests(entry),
                Action::AskConfirm => self.ask_confirm(entry),
                Action::Tell(event) => {
                    lines.push(describe(name, &event));
                    self.record(rollouts, name, event);
                }
            }
        }
        lines
    }

    /// Writes a transition into the record and tells whoever wants to know.
    fn record(&self, rollouts: &mut Rollouts, name: &Name, event: Event) {
        let by = super::metrics::agent(event.to, &event.by);
        let key = (name.to_string(), event.to.name().to_owned(), by.to_owned());
        *rollouts.transitions.entry(key).or_default() += 1;
        let Some(entry) = rollouts.entries.get_mut(name) else { return };
        let line = describe(name, &event);
        if matches!(event.to, Phase::RolledBack(_) | Phase::Aborted) {
            tracing::warn!(rollout = %name, "{line}");
        } else {
            tracing::info!(rollout = %name, "{line}");
        }
        self.rollout_happened(name, &event);
        let record = entry.record(event, &rollouts.config_hash);
        if let Some(url) = &entry.plan.on.webhook {
            rollouts.hooks.tell(url, &entry.plan.on, &record, &entry.ends, &line);
        }
        let at = record.event.at;
        entry.keep(&rollouts.keeper, Some(record));
        entry.keep_evidence(&rollouts.keeper, at);
    }

    /// Brings splits and shadows to what the controllers say, and has the cores follow.
    pub(crate) fn follow_rollouts(&self) -> Option<u64> {
        let mut rollouts = self.rollouts();
        let mut state = self.state();
        if rollouts.is_resting {
            return None;
        }
        let Rollouts { entries, keeper, .. } = &mut *rollouts;
        let mut changed = false;
        for entry in entries.values_mut() {
            changed |= entry.follow(keeper, &mut state);
            let share = entry.controller.shadow(&entry.plan);
            let ends = (entry.plan.upstream, entry.plan.from, entry.plan.to);
            if let Some(facts) = &mut entry.facts {
                // Whoever has just been obeyed sees it at once.
                facts.in_force = state.share(ends.0, ends.2);
            }
            changed |= state.sample_shadow(ends, share);
            state.trials.arm(&entry.plan.name, entry.controller.is_armed(&entry.plan));
        }
        changed.then(|| state.publish(&self.shared.publisher))
    }
}

/// Both ends of a rollout as the configuration spells them.
fn ends(config: &Config, plan: &model::Rollout) -> (String, String) {
    let Some(upstream) = config.upstreams.get(usize::from(plan.upstream.0)) else {
        return Default::default();
    };
    let end = |version: VersionIx| {
        let version = upstream.versions.get(usize::from(version.0));
        let version = version.map_or("?", |version| &*version.name);
        format!("{}@{version}", upstream.name)
    };
    (end(plan.from), end(plan.to))
}

/// The canary's endpoints as the file writes them.
fn endpoints(config: &Config, plan: &model::Rollout) -> Vec<String> {
    let upstream = config.upstreams.get(usize::from(plan.upstream.0));
    let version = upstream.and_then(|it| it.versions.get(usize::from(plan.to.0)));
    let endpoints = version.into_iter().flat_map(|version| &version.endpoints);
    endpoints.map(|endpoint| format!("{endpoint:?}")).collect()
}

/// A transition in one line.
pub(crate) fn describe(name: &str, event: &Event) -> String {
    let phase = |phase: Phase| match phase.reason() {
        "" => phase.name().to_owned(),
        reason => format!("{} ({reason})", phase.name()),
    };
    let percent = |parts: u32| Share(parts).percent();
    let Event { from, to, weight_from, weight, why, .. } = event;
    let phases =
        if from == to { phase(*to) } else { format!("{} → {}", phase(*from), phase(*to)) };
    let weights = if weight_from == weight {
        format!("{} %", percent(*weight))
    } else {
        format!("{} % → {} %", percent(*weight_from), percent(*weight))
    };
    format!("{name}: {phases}, {weights}: {why}")
}

/// The file's name in the state's folder.
const FILE: &str = "rollout.db";
/// Between two looks.
const TICK: Duration = Duration::from_secs(1);
/// Seconds between two writings of evidence.
const KEEP_EVERY: u64 = 10;

#[cfg(test)]
mod tests;
