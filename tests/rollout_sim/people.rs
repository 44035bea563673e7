//! What people do: orders, weights, other files, other clocks, and worse.

use gnomon_config::model::{Share, Start, VersionIx};
use gnomon_policy::{
    SplitState,
    rollout::{Order, Phase, Verb},
};

use super::world::{CANARY, World};

impl World {
    /// What they do in this second.
    pub(super) fn act(&mut self) {
        if self.now == 20 || self.draws.happens(0.0008) {
            self.order(Verb::Start);
        }
        if self.draws.happens(0.002) {
            self.say();
        }
        if self.stop_line && self.draws.happens(0.005) {
            self.stop_line = false;
        }
        if self.draws.happens(0.0006) {
            self.reload();
        }
        if self.draws.happens(0.0003) {
            self.jump();
        }
        if self.draws.happens(0.0005) {
            self.keeper.full_until = self.now + 5 + self.draws.below(100);
            self.log.say(self.now, &format!("the disk is full until {}", self.keeper.full_until));
        }
        if self.draws.happens(0.0004) {
            self.kill();
        }
    }

    fn say(&mut self) {
        let step = self.controller.state().step;
        let held = self.controller.state().phase.needs_person() || self.controller.state().frozen;
        let verb = match self.draws.below(if held { 22 } else { 14 }) {
            0 | 1 => Verb::Pause,
            2 | 3 => Verb::Approve,
            4 => Verb::Promote(Some(step)),
            5 => Verb::Promote(None),
            6 => Verb::PromoteFull,
            7 => Verb::Abort,
            8 => Verb::Freeze,
            9 => return self.weigh(),
            10 => {
                self.stop_line = true;
                return self.log.say(self.now, "the line is stopped");
            }
            11 => return self.drain(),
            12 | 13 => Verb::Resume,
            14..18 => Verb::Approve,
            _ => Verb::Resume,
        };
        self.order(verb);
    }

    fn order(&mut self, verb: Verb) {
        let others = self.split.shares.get(2).is_some_and(|share| *share > Share::NONE);
        if self.split.frozen || (verb == Verb::Start && others) {
            return;
        }
        self.seen.orders += 1;
        self.facts.in_force = self.share();
        self.facts.stop_line = self.stop_line.then(|| "stopped".to_owned());
        let (plan, wall) = (self.plan(), self.wall());
        let order = Order { verb, by: "ann".to_owned(), reason: String::new() };
        let (before, facts) = (self.controller.state().clone(), self.facts.clone());
        let ordered = self.controller.order(&plan, wall, &facts, &order);
        self.log.say(self.now, &format!("ann says {verb:?}"));
        let actions = match ordered {
            Ok(actions) => actions,
            Err(refusal) => {
                if *self.controller.state() != before {
                    self.log.wrong(self.now, "a refused order has changed something");
                }
                return self.log.say(self.now, &format!("refused: {refusal}"));
            }
        };
        if verb == Verb::Start && self.controller.state().generation != before.generation {
            self.seen.starts += 1;
        }
        if verb == Verb::Abort && self.controller.state().weight() > Share::NONE {
            self.log.wrong(self.now, "aborted, and the canary keeps a share");
        }
        self.carry_out(actions, true);
        self.again(&order);
        self.follow();
    }

    /// Said twice, an order does nothing the second time; only a promotion that names no step goes on.
    fn again(&mut self, order: &Order) {
        if matches!(order.verb, Verb::Promote(None) | Verb::Resume) {
            return;
        }
        let mut other = self.controller.clone();
        let again = other.order(&self.plan(), self.wall(), &self.facts, order);
        if again.is_ok_and(|actions| !actions.is_empty()) {
            self.log.wrong(self.now, &format!("{:?}, said twice, is done twice", order.verb));
        }
    }

    /// A weight by hand, which a rollout that owns the split refuses.
    fn weigh(&mut self) {
        if self.controller.owns_split(&self.plan()) || self.split.frozen {
            return;
        }
        let third = self.split.shares.len() > 2 && self.knobs.start == "manual";
        let version = if third && self.draws.happens(0.5) { VersionIx(2) } else { CANARY };
        let share = [0, 1_000, 10_000, 40_000][usize::try_from(self.draws.below(4)).expect("four")];
        self.checks.ordered();
        self.give(version, Share(share));
    }

    fn drain(&mut self) {
        if self.controller.owns_split(&self.plan()) {
            return;
        }
        let upstream = &self.config.upstreams[0];
        if self.split.drain(upstream, CANARY).is_ok() {
            self.log.say(self.now, "v2 drains");
            self.cut();
        }
    }

    /// Another file, unless what it changes may not change now.
    fn reload(&mut self) {
        let mut knobs = self.knobs.clone();
        let owns = self.controller.owns_split(&self.plan());
        if !self.stays_whole(owns) {
            return;
        }
        knobs.edit(&mut self.draws);
        let (config, old) = (knobs.config(), self.config.clone());
        self.seen.reloads += 1;
        if owns && config.upstreams[0].versions.len() != old.upstreams[0].versions.len() {
            self.seen.refused_reloads += 1;
            self.log.say(self.now, "a reload with other versions is refused: it is under way");
            return;
        }
        self.log.say(self.now, &format!("reload: {knobs:?}"));
        let (plan, new) = (self.plan(), config.rollouts[0].clone());
        let endpoints = |config: &gnomon_config::Config| {
            config.upstreams[0].versions[usize::from(CANARY.0)].endpoints.clone()
        };
        let moved = endpoints(&config) != endpoints(&old);
        let is_active = self.controller.state().phase.is_active();
        self.config = config;
        if config_of_split(&self.split, &self.config) != self.split {
            self.split = config_of_split(&self.split, &self.config);
        }
        if moved && !is_active && new.start == Start::OnChange {
            self.controller.changed();
            self.log.say(self.now, "a start on change is due");
        }
        let before = self.controller.state().weight();
        let actions = self.controller.follow(&new, self.wall());
        if self.controller.state().weight() > before {
            self.log.wrong(self.now, "another file has raised the weight");
        }
        self.evidence.follow(&plan, &new);
        self.knobs = knobs;
        self.origins.follow(&self.config);
        self.traffic.follow(&{
            let splits = std::slice::from_ref(&self.split);
            gnomon_policy::Table::compile(self.config.clone(), splits).expect("a table")
        });
        self.cut();
        self.carry_out(actions, true);
        self.keep();
        self.follow();
    }

    /// A file that takes a version with a share away begins with the split of the file, which the
    /// simulation leaves to the tests of reloads.
    fn stays_whole(&self, owns: bool) -> bool {
        let third = self.split.shares.get(2).is_some_and(|share| *share > Share::NONE);
        owns || !third
    }

    fn jump(&mut self) {
        let seconds = [5, 90, 3_600, 86_400][usize::try_from(self.draws.below(4)).expect("four")];
        let sign = if self.draws.happens(0.5) { 1 } else { -1 };
        self.offset += sign * seconds;
        self.seen.jumps += 1;
        self.checks.jumped();
        self.log.say(self.now, &format!("the clock jumps by {} s", sign * seconds));
    }

    fn kill(&mut self) {
        self.seen.kills += 1;
        let lost = self.keeper.is_behind();
        self.log.say(self.now, &format!("killed; not on the disk: {lost}"));
        self.restart();
        self.log.say(self.now, &format!("up again: {:?}", self.controller.state().phase));
        if !lost && self.controller.state().phase == Phase::Idle && self.number_of_starts() > 0 {
            self.log.wrong(self.now, "what was on the disk is forgotten");
        }
    }

    fn number_of_starts(&self) -> u32 {
        self.keeper.state().generation
    }
}

/// What a split becomes under another file that has more or fewer versions.
fn config_of_split(split: &SplitState, config: &gnomon_config::Config) -> SplitState {
    let versions = config.upstreams[0].versions.len();
    let mut split = split.clone();
    split.shares.resize(versions, Share::NONE);
    split.draining.resize(versions, false);
    split
}
