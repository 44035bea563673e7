//! One run: the seconds, and what holds the parts together as control does.

use std::sync::Arc;

use e2e::sim::draw::Draws;
use gnomon::trial::{Evidence as Cells, Fuse, Trial};
use gnomon_config::{
    Config,
    model::{Rollout, Share, StickyMode, UpstreamIx, VersionIx},
};
use gnomon_policy::{
    Luck, SplitState, Table,
    rollout::{Action, Arms, Cause, Controller, Facts, Phase},
};

use super::{
    checks::{Checks, EventTerms},
    evidence::{EPOCH, Evidence},
    keeper::{Keeper, Kept},
    knobs::Knobs,
    origins::Origins,
    traffic::{Terms, Traffic},
};

/// What has happened, and what is wrong with it.
#[derive(Debug, Default)]
pub(in super::super) struct Log {
    pub(in super::super) trace: Vec<String>,
    pub(in super::super) wrong: Vec<String>,
}

impl Log {
    pub(super) fn say(&mut self, now: u64, text: &str) {
        self.trace.push(format!("{now:>6} {text}"));
    }

    pub(super) fn wrong(&mut self, now: u64, text: &str) {
        self.say(now, &format!("WRONG: {text}"));
        self.wrong.push(format!("at {now}: {text}"));
    }
}

/// How much of what was simulated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Seen {
    pub(in super::super) seconds: u64,
    pub(in super::super) requests: u64,
    pub(in super::super) retries: u64,
    pub(in super::super) spared: u64,
    pub(in super::super) starts: u64,
    pub(in super::super) promoted: u64,
    pub(in super::super) worse: u64,
    pub(in super::super) invalid: u64,
    pub(in super::super) blown: u64,
    pub(in super::super) rolled_back: [u64; 4],
    pub(in super::super) aborted: u64,
    pub(in super::super) orders: u64,
    pub(in super::super) reloads: u64,
    pub(in super::super) refused_reloads: u64,
    pub(in super::super) jumps: u64,
    pub(in super::super) kills: u64,
    pub(in super::super) silences: u64,
    /// Judges that have seen a canary which behaves like stable, and those that found it worse.
    pub(in super::super) alike_starts: u64,
    pub(in super::super) alike_worse: u64,
}

impl Seen {
    fn all(&mut self) -> Vec<&mut u64> {
        let [judge, fuse, tests, inconclusive] = &mut self.rolled_back;
        vec![
            &mut self.seconds,
            &mut self.requests,
            &mut self.retries,
            &mut self.spared,
            &mut self.starts,
            &mut self.promoted,
            &mut self.worse,
            &mut self.invalid,
            &mut self.blown,
            judge,
            fuse,
            tests,
            inconclusive,
            &mut self.aborted,
            &mut self.orders,
            &mut self.reloads,
            &mut self.refused_reloads,
            &mut self.jumps,
            &mut self.kills,
            &mut self.silences,
            &mut self.alike_starts,
            &mut self.alike_worse,
        ]
    }

    pub(in super::super) fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        for (sum, one) in self.all().into_iter().zip(other.all()) {
            *sum += *one;
        }
    }

    /// Whether all of it happened, but what may be rare.
    pub(in super::super) fn has_all(&self) -> bool {
        let [judge, fuse, ..] = self.rolled_back;
        let rolled_back = [judge, fuse, 1, 1];
        let mut rare =
            Self { invalid: 1, alike_worse: 1, refused_reloads: 1, rolled_back, ..self.clone() };
        rare.all().into_iter().all(|count| *count > 0)
    }
}

/// What came of a run.
#[derive(Debug)]
pub(in super::super) struct Report {
    pub(in super::super) trace: Vec<String>,
    pub(in super::super) wrong: Vec<String>,
    pub(in super::super) seen: Seen,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) draws: Draws,
    /// Seconds since the run began, which only rise.
    pub(in super::super) now: u64,
    /// By how much the clock on the wall is wrong.
    pub(super) offset: i64,
    pub(super) alike: bool,
    pub(super) log: Log,
    pub(in super::super) seen: Seen,
    pub(super) knobs: Knobs,
    pub(super) config: Arc<Config>,
    pub(super) split: SplitState,
    pub(super) table: Table,
    pub(super) trial: Arc<Trial>,
    pub(super) origins: Origins,
    pub(super) traffic: Traffic,
    pub(super) controller: Controller,
    pub(super) evidence: Evidence,
    pub(super) keeper: Keeper,
    pub(super) facts: Facts,
    pub(super) stop_line: bool,
    pub(super) checks: Checks,
    /// When tests will have said what.
    tests: Option<(u64, u32, bool)>,
    /// Number of the newest position.
    number: u64,
    /// Whether the split is not yet as the controller says.
    is_pending: bool,
    kept_at: u64,
    base_rate: f64,
    silent_until: u64,
}

pub(super) const CANARY: VersionIx = VersionIx(1);

pub(in super::super) fn run(seed: u64) -> Report {
    let mut world = World::new(seed);
    // Now and then a long day.
    let seconds = if seed % 10 == 9 { 10_800 } else { 900 + 600 * world.draws.below(3) };
    while world.now < seconds && world.log.wrong.len() < 3 {
        world.second();
        world.now += 1;
    }
    let World { log, mut seen, traffic, now, .. } = world;
    seen.seconds = now;
    [seen.requests, seen.retries, seen.spared] = traffic.counts;
    Report { trace: log.trace, wrong: log.wrong, seen }
}

fn trial_of(config: &Config, epoch: u32, evidence: Arc<Cells>) -> Arc<Trial> {
    let plan = &config.rollouts[0];
    Arc::new(Trial {
        number: 1,
        name: plan.name.clone(),
        stable: plan.from,
        canary: plan.to,
        epoch,
        timing: plan.gate.timing,
        by_user: config.upstreams[0].sticky.mode != StickyMode::None,
        by_request: false,
        pointers: Box::default(),
        fuse: Fuse::new(&plan.fuse),
        evidence,
        canary_cells: Vec::new(),
    })
}

fn cells() -> Arc<Cells> {
    Arc::new(Cells::new(2, gnomon::clock::now()))
}

impl World {
    fn new(seed: u64) -> Self {
        let mut draws = Draws::seeded(seed);
        let alike = seed.is_multiple_of(3);
        let knobs = Knobs::drawn(&mut draws);
        let config = knobs.config();
        let split = SplitState::of(&config.upstreams[0]);
        let table = Table::compile(config.clone(), std::slice::from_ref(&split)).expect("a table");
        let mut origins = Origins::new(alike, &mut draws);
        origins.follow(&config);
        let evidence = Evidence::new(&config.rollouts[0], 0);
        let mut log = Log::default();
        log.say(0, &format!("seed {seed}, alike: {alike}, {knobs:?}"));
        let facts = Facts {
            outcome: evidence.outcome.clone(),
            fuse: None,
            healthy: Arms { canary: 1, stable: 1 },
            saturation: Arms::default(),
            diff_rate: None,
            requests: Arms::default(),
            stop_line: None,
            in_force: Share::NONE,
            wall: 0,
        };
        let mut world = Self {
            base_rate: draws.between(3.0, 9.0),
            now: 1,
            offset: 0,
            alike,
            log,
            seen: Seen::default(),
            trial: trial_of(&config, 1, cells()),
            traffic: Traffic::new(seed, &table),
            checks: Checks::new(&knobs, &mut Luck::seeded(seed)),
            origins,
            knobs,
            config,
            split,
            table,
            controller: Controller::default(),
            evidence,
            keeper: Keeper::default(),
            facts,
            stop_line: false,
            tests: None,
            number: 0,
            is_pending: false,
            kept_at: 0,
            silent_until: 0,
            draws,
        };
        world.cut();
        world
    }

    pub(super) fn plan(&self) -> Rollout {
        self.config.rollouts[0].clone()
    }

    /// The time of day, as the process sees it.
    pub(super) fn wall(&self) -> u64 {
        (EPOCH + self.now).saturating_add_signed(self.offset)
    }

    /// What the canary gets.
    pub(super) fn share(&self) -> Share {
        self.split.shares[usize::from(CANARY.0)]
    }

    fn second(&mut self) {
        self.origins.live(self.now, &mut self.draws, &mut self.log);
        self.origins.look(self.now, &self.config, &mut self.draws, &mut self.log);
        self.act();
        let count = self.arrivals();
        let terms = Terms {
            now: self.now,
            table: &self.table,
            trial: &self.trial,
            origins: &mut self.origins,
            draws: &mut self.draws,
            log: &mut self.log,
        };
        self.traffic.pass(count, terms);
        self.keeper.turn(self.now);
        self.look();
        self.check();
    }

    fn arrivals(&mut self) -> u64 {
        if self.now >= self.silent_until && self.draws.happens(0.0003) {
            self.silent_until = self.now + 30 + self.draws.below(400);
            self.seen.silences += 1;
            self.log.say(self.now, &format!("nobody comes until {}", self.silent_until));
        }
        if self.now < self.silent_until {
            return 0;
        }
        self.draws.poisson(self.base_rate)
    }

    /// As control looks at a rollout, once a second.
    fn look(&mut self) {
        let (plan, state) = (self.plan(), self.controller.state().clone());
        let before = self.evidence.outcome.clone();
        let was_fresh = self.evidence.is_fresh();
        self.evidence.collect(&self.trial, &state, self.now, &mut self.log);
        self.seen.alike_starts += u64::from(self.alike && was_fresh && !self.evidence.is_fresh());
        let second = u32::try_from(self.now).expect("hours");
        self.trial.look_again(second);
        let blown = self.trial.evidence.state.blown();
        let was_blown = self.evidence.fuse.is_some();
        self.evidence.fuse =
            blown.map(|blown| format!("{blown:?}")).or_else(|| self.evidence.fuse.take());
        if self.evidence.fuse.is_some() && !was_blown {
            self.seen.blown += 1;
        }
        if state.phase.is_active() || self.controller.is_watching(&plan) {
            self.evidence.judge(&plan, &state, self.alike, &mut self.seen);
        }
        let is_new =
            std::mem::discriminant(&before) != std::mem::discriminant(&self.evidence.outcome);
        if is_new {
            self.log.say(self.now, &format!("the judge: {:?}", self.evidence.outcome));
            self.checks.outcome(self.now, &self.evidence, &mut self.log);
        }
        self.facts = Facts {
            outcome: self.evidence.outcome.clone(),
            fuse: self.evidence.fuse.clone(),
            healthy: Arms { canary: self.origins.usable(1), stable: self.origins.usable(0) },
            requests: self.evidence.requests,
            stop_line: self.stop_line.then(|| "stopped".to_owned()),
            in_force: self.share(),
            wall: self.wall(),
            ..self.facts.clone()
        };
        self.hear_tests();
        let wall = self.wall();
        let actions = self.controller.tick(&plan, wall, &self.facts);
        self.carry_out(actions, false);
        if wall.abs_diff(self.kept_at) >= KEEP_EVERY {
            self.kept_at = wall;
            self.keep();
        }
        self.follow();
    }

    fn hear_tests(&mut self) {
        let Some((due, epoch, passes)) = self.tests else { return };
        if due <= self.now {
            self.tests = None;
            let result = if passes { Ok(()) } else { Err("a test failed".to_owned()) };
            self.controller.tested(epoch, self.wall(), result);
        }
    }

    /// Does what a controller asks for.
    pub(super) fn carry_out(&mut self, actions: Vec<Action>, by_person: bool) {
        for action in actions {
            match action {
                Action::SetWeight(_) => {
                    self.is_pending = true;
                    self.evidence.step(self.controller.state(), self.now);
                }
                Action::RunTests => {
                    let passes = self.draws.happens(0.6);
                    let late = self.draws.happens(0.03);
                    let due = self.now + if late { 900 } else { 1 + self.draws.below(20) };
                    self.tests = Some((due, self.controller.state().epoch, passes));
                }
                Action::AskConfirm => self.log.wrong(self.now, "nobody is to be asked"),
                Action::Tell(event) => {
                    let name = format!("{:?} {:?}", event.to, event.why);
                    let text = format!(
                        "step {}, {} → {}: {name}",
                        event.step, event.weight_from, event.weight
                    );
                    self.log.say(self.now, &text);
                    self.count(event.from, event.to);
                    let terms = EventTerms::of(self, &event);
                    for wrong in self.checks.event(self.now, &event, by_person, &terms) {
                        self.log.wrong(self.now, wrong);
                    }
                    self.keep();
                }
            }
        }
    }

    fn count(&mut self, from: Phase, to: Phase) {
        match to {
            Phase::RolledBack(cause) if from != to => {
                let place = match cause {
                    Cause::Judge => 0,
                    Cause::Fuse => 1,
                    Cause::Tests => 2,
                    Cause::Inconclusive => 3,
                };
                self.seen.rolled_back[place] += 1;
            }
            Phase::Aborted if from != to => self.seen.aborted += 1,
            Phase::Promoted if from != to => self.seen.promoted += 1,
            Phase::Idle
            | Phase::Shadowing
            | Phase::Running
            | Phase::Holding(_)
            | Phase::Waiting
            | Phase::Paused
            | Phase::Promoted
            | Phase::RolledBack(_)
            | Phase::Aborted => {}
        }
    }

    /// Hands the position over to be written.
    pub(super) fn keep(&mut self) {
        let state = self.controller.state();
        let judge = self.evidence.written().map(|judge| (state.generation, judge));
        let state = serde_json::to_string(state).expect("it can be written");
        let kept = Kept { state, requests: self.evidence.requests, judge };
        self.number = self.keeper.keep(self.now, kept, &mut self.draws);
    }

    /// Brings the split to what the controller says, as far as that is on the disk.
    pub(super) fn follow(&mut self) {
        let plan = self.plan();
        let owns = self.controller.owns_split(&plan);
        if self.is_pending || owns {
            let (wanted, present) = (self.controller.state().weight(), self.share());
            let target = if self.keeper.has(self.number) { wanted } else { wanted.min(present) };
            self.is_pending = target != wanted;
            if target != present {
                self.give(CANARY, target);
            }
        }
        self.trial.evidence.state.arm(self.controller.is_armed(&plan));
    }

    /// Gives a version a share and stable the rest.
    pub(super) fn give(&mut self, version: VersionIx, share: Share) {
        let upstream = &self.config.upstreams[0];
        match self.split.set_weights(upstream, &[(version, share)]) {
            Ok(()) => self.split.draining[usize::from(version.0)] = false,
            Err(refusal) => return self.log.say(self.now, &format!("refused: {refusal}")),
        }
        self.log.say(self.now, &format!("v{} gets {}", version.0 + 1, share.0));
        self.cut();
    }

    /// Another split or another file: another table, and a trial of its own.
    pub(super) fn cut(&mut self) {
        let splits = std::slice::from_ref(&self.split);
        self.table = Table::compile(self.config.clone(), splits).expect("a table");
        let of = |version| {
            let mut cuts = self.table.layout(UpstreamIx(0)).cuts().iter();
            cuts.find(|cut| cut.version == version).map_or(0, |cut| cut.end - cut.start)
        };
        let (canary, stable) = (of(CANARY), of(VersionIx(0)));
        let weight = if canary == 0 { 0.0 } else { f64::from(canary) / f64::from(canary + stable) };
        let epoch = self.trial.epoch + 1;
        self.trial = trial_of(&self.config, epoch, self.trial.evidence.clone());
        self.trial.evidence.state.mend();
        self.evidence.begin(&self.trial, weight);
        self.checks.table(self.now, &self.table, &mut self.log);
    }

    /// Another process, which knows no more than what is on the disk.
    pub(super) fn restart(&mut self) {
        self.keeper.kill();
        let (state, plan) = (self.keeper.state(), self.plan());
        self.controller = Controller::new(state.clone());
        let _ = self.controller.follow(&plan, self.wall());
        self.checks.restored(self.now, &state, self.controller.state(), &mut self.log);
        self.split = SplitState::of(&self.config.upstreams[0]);
        self.trial = trial_of(&self.config, self.trial.epoch + 1, cells());
        self.evidence = Evidence::new(&plan, self.now);
        let judge = self.keeper.disk.judge.as_ref();
        let judge = judge.filter(|(generation, _)| *generation == state.generation);
        self.evidence.restore(self.keeper.disk.requests, judge.map(|(_, judge)| judge));
        self.is_pending = state.phase != Phase::Idle;
        (self.number, self.tests) = (0, None);
        self.origins.forget();
        self.cut();
        self.traffic.begin(self.draws.below(1 << 40), &self.table);
        self.follow();
    }

    fn check(&mut self) {
        let mut checks = std::mem::replace(&mut self.checks, Checks::none());
        checks.second(self);
        self.checks = checks;
    }
}

/// Seconds between two writings of evidence.
const KEEP_EVERY: u64 = 10;
