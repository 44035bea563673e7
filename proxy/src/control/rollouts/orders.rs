//! What people say to rollouts.

use std::sync::Arc;

use gnomon_policy::rollout::{Arms, Facts, Order, Outcome, Refusal, Verb};

use super::{Entry, Rollouts, facts::Seen};
use crate::{
    clock,
    control::{
        Control,
        api::{
            Done, Kind, Refused,
            rollout::{Line, LineAsked, OrderAsked},
        },
        splits,
    },
};

impl Control {
    /// Does what a person says to a rollout, and waits until it is on the disk and on every core.
    pub(crate) async fn order_rollout(
        self: &Arc<Self>,
        name: &str,
        verb: Verb,
        asked: &OrderAsked,
        peer: &str,
    ) -> Result<Done, Refused> {
        let now = clock::steady().as_secs();
        let order = Order { verb, by: signed(&asked.by, peer), reason: asked.reason.clone() };
        let (lines, keeper, number) = {
            let mut rollouts = self.rollouts();
            let (line, report) = (rollouts.line.clone(), self.shadow.report());
            let saturation = self.saturation();
            let seen = Seen { line: line.as_ref(), shadows: &report, saturation: &saturation };
            let entry = rollouts.entry(name)?;
            if verb == Verb::Start {
                self.may_start(entry)?;
            }
            let facts = entry.look(&mut self.state(), &seen, now);
            let plan = entry.plan.clone();
            let ordered = entry.controller.order(&plan, now, &facts, &order);
            let actions = ordered.map_err(|refusal| explain(name, &refusal))?;
            let lines = self.carry_out(&mut rollouts, &plan.name, actions);
            let number = rollouts.entry(name)?.number;
            (lines, rollouts.keeper.clone(), number)
        };
        let mut generation = self.follow_rollouts();
        let mut warnings = Vec::new();
        if !lines.is_empty() {
            keeper.flush().await;
            generation = self.follow_rollouts().or(generation);
            if !keeper.has(number) {
                let why = keeper.trouble().unwrap_or_default();
                warnings.push(format!("not on the disk yet, and no weight is raised: {why}"));
            }
        }
        let waited = match generation {
            Some(generation) => self.acknowledged(generation).await,
            None => Default::default(),
        };
        let (acknowledged_ms, cores_missing) = waited;
        let generation = self.state().generation;
        Ok(Done { ok: true, changes: lines, warnings, generation, acknowledged_ms, cores_missing })
    }

    /// Stops the line, or lets it go on.
    pub(crate) async fn stop_line(&self, asked: &LineAsked, peer: &str) -> Result<Done, Refused> {
        let (keeper, number, changes) = {
            let mut rollouts = self.rollouts();
            if rollouts.line.is_some() == asked.on {
                return Ok(Done { ok: true, ..Done::default() });
            }
            let by = signed(&asked.by, peer);
            let since = clock::steady().as_secs();
            let line = asked.on.then(|| Line { reason: asked.reason.clone(), by, since });
            rollouts.line.clone_from(&line);
            let number = rollouts.keeper.keep(|batch| batch.line = Some(line));
            let change = if asked.on {
                format!("the line is stopped: no rollout raises a weight: {}", asked.reason)
            } else {
                "the line goes on".to_owned()
            };
            (rollouts.keeper.clone(), number, vec![change])
        };
        keeper.flush().await;
        let why = || format!("not on the disk yet: {}", keeper.trouble().unwrap_or_default());
        let warnings = if keeper.has(number) { Vec::new() } else { vec![why()] };
        let generation = self.state().generation;
        Ok(Done { ok: true, changes, warnings, generation, ..Done::default() })
    }

    /// Whether a verb about a split may be obeyed. To send everybody back, the rollout itself has
    /// to be aborted: that is its name.
    pub(crate) fn rollout_in_the_way(
        &self,
        upstream: &str,
        verb: &splits::Verb,
    ) -> Result<Option<String>, Refused> {
        let rollouts = self.rollouts();
        let config = self.state().config.clone();
        let Some(owner) = rollouts.owner(upstream, &config) else { return Ok(None) };
        let name = &owner.plan.name;
        let help = match verb {
            splits::Verb::Rollback => return Ok(Some(name.to_string())),
            splits::Verb::Freeze => format!("gnomon rollout freeze {name}"),
            splits::Verb::Resume => format!("gnomon rollout resume {name}"),
            splits::Verb::Weight(_) | splits::Verb::Drain(_) => {
                format!("gnomon rollout promote {name}, or abort {name}")
            }
        };
        let error =
            format!("`rollout.{name}` owns the split of `{upstream}` while it is under way");
        Err(Refused::new(Kind::State, error).help(help))
    }

    fn may_start(&self, entry: &Entry) -> Result<(), Refused> {
        let state = self.state();
        let upstream = state.config.upstreams.get(usize::from(entry.plan.upstream.0));
        let frozen = upstream.is_some_and(|upstream| {
            state.splits.get(&upstream.name).is_some_and(|split| split.frozen)
        });
        match upstream {
            Some(upstream) if frozen => {
                let error = format!("the split of `{}` is frozen", upstream.name);
                Err(Refused::new(Kind::State, error)
                    .help(format!("gnomon resume {}", upstream.name)))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Rollouts {
    pub(super) fn entry(&mut self, name: &str) -> Result<&mut Entry, Refused> {
        if !self.entries.contains_key(name) {
            return Err(self.no_rollout(name));
        }
        let unknown = || Refused::new(Kind::Unknown, format!("there is no rollout `{name}`"));
        self.entries.get_mut(name).ok_or_else(unknown)
    }

    pub(super) fn no_rollout(&self, name: &str) -> Refused {
        let names: Vec<&str> = self.entries.keys().map(|name| &**name).collect();
        let help = if names.is_empty() {
            "there are none: see config/sample/rollout.toml".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        };
        Refused::new(Kind::Unknown, format!("there is no rollout `{name}`")).help(help)
    }
}

/// Who, in words, and whom the kernel saw.
pub(in crate::control) fn signed(by: &str, peer: &str) -> String {
    if by.is_empty() { peer.to_owned() } else { format!("{by} ({peer})") }
}

fn explain(name: &str, refusal: &Refusal) -> Refused {
    let help = match refusal {
        Refusal::Frozen => format!("gnomon rollout resume {name}"),
        Refusal::Rests(_) => format!("gnomon rollout start {name}"),
        Refusal::Stopped(_) => format!("gnomon rollout resume {name}, or abort {name}"),
        Refusal::StopLine(_) => "gnomon rollout stop-the-line off".to_owned(),
        Refusal::NoEndpoint => "see `gnomon status`".to_owned(),
    };
    Refused::new(Kind::State, format!("rollout `{name}`: {refusal}")).help(help)
}

/// Facts of a rollout that nobody has looked at yet.
pub(super) fn unseen() -> Facts {
    Facts {
        outcome: Outcome::Open("nothing is known yet".to_owned()),
        fuse: None,
        healthy: Arms::default(),
        saturation: Arms::default(),
        diff_rate: None,
        requests: Arms::default(),
        stop_line: None,
        in_force: gnomon_config::model::Share::NONE,
        wall: clock::wall().as_secs(),
    }
}
