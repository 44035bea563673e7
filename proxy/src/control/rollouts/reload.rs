//! What a reload, or a start, makes of rollouts.
//!
//! While a rollout runs, its steps, gates and tests may change, but neither its versions nor the
//! file's own split of its upstream, and its table may not go: such a reload is refused as a whole.

use std::sync::Arc;

use gnomon_config::{
    Config,
    model::{self, Start},
};
use gnomon_policy::rollout::{Action, Controller, State as Position};

use super::{Entry, Rollouts, endpoints, ends, store::Saved};
use crate::control::{
    Control,
    api::{Kind, Refused},
    splits,
};

impl Rollouts {
    /// Whether `new` may take the place of `old` now.
    pub(crate) fn check(&self, old: &Config, new: &Config) -> Result<(), Refused> {
        for (name, entry) in &self.entries {
            if !entry.controller.owns_split(&entry.plan) {
                continue;
            }
            let running = |what: &str| {
                let error = format!("{what} while `rollout.{name}` is under way");
                Refused::new(Kind::Config, error).help(format!(
                    "`gnomon rollout abort {name}` first, or `promote {name} --full`"
                ))
            };
            let Some(plan) = new.rollouts.iter().find(|plan| plan.name == *name) else {
                return Err(running(&format!("`rollout.{name}` cannot go")));
            };
            if ends(new, plan) != entry.ends {
                return Err(running(&format!("`rollout.{name}.from` and `.to` cannot change")));
            }
            let upstream = |config: &Config, plan: &model::Rollout| {
                config.upstreams.get(usize::from(plan.upstream.0)).cloned()
            };
            let (before, after) = (upstream(old, &entry.plan), upstream(new, plan));
            if let (Some(before), Some(after)) = (before, after)
                && splits::words(&before) != splits::words(&after)
            {
                let what = format!("`upstream.{}.split` cannot change", after.name);
                return Err(running(&what));
            }
        }
        Ok(())
    }

    /// Whether the file has to be read before `new` is taken over.
    pub(crate) fn wants_file(&self, new: &Config) -> bool {
        !self.is_read && !new.rollouts.is_empty()
    }

    /// Takes a configuration over. `saved` is what the file says, the first time that it was read.
    /// Gives back what is to be said beside.
    pub(crate) fn take_config(
        &mut self,
        config: &Config,
        saved: Option<Saved>,
        now: u64,
    ) -> Vec<String> {
        let mut remarks = Vec::new();
        self.config_hash = crate::control::status::hash(config);
        let mut saved = saved.inspect(|_| self.is_read = true).unwrap_or_default();
        self.line = self.line.take().or_else(|| saved.line.take());
        if let Some(line) = &self.line {
            remarks.push(format!("the line is stopped: {} ({})", line.reason, line.by));
        }
        let mut before = std::mem::take(&mut self.entries);
        for plan in &config.rollouts {
            let known = before.remove(&plan.name);
            let entry = match known {
                Some(entry) if entry.ends == ends(config, plan) => {
                    self.carry(entry, plan, config, now, &mut remarks)
                }
                known => {
                    let absent = self.absent.remove(&*plan.name).map(|kept| (kept, None));
                    let known = known.map(|entry| (entry.kept(), None));
                    let saved_kept = || saved.rollouts.remove(&*plan.name);
                    let kept = known.or_else(saved_kept).or(absent);
                    let left = self.before.remove(&*plan.name);
                    let kept = left.as_ref().map(|left| (left.kept.clone(), None)).or(kept);
                    let mut entry =
                        resume(plan, config, kept, saved.lost.as_deref(), now, &mut remarks);
                    if let Some(left) = left.filter(|left| left.kept.ends == entry.ends) {
                        entry.inherit(&left, &mut remarks);
                    }
                    entry
                }
            };
            self.entries.insert(plan.name.clone(), entry);
        }
        let gone = before.into_iter().map(|(name, entry)| (name.to_string(), entry.kept()));
        self.absent.extend(gone);
        self.absent.extend(saved.rollouts.into_iter().map(|(name, (kept, _))| (name, kept)));
        remarks
    }

    /// The same rollout under a newer plan.
    fn carry(
        &self,
        mut entry: Entry,
        plan: &model::Rollout,
        config: &Config,
        now: u64,
        remarks: &mut Vec<String>,
    ) -> Entry {
        let name = &plan.name;
        let is_active = entry.controller.state().phase.is_active();
        let endpoints = endpoints(config, plan);
        if entry.endpoints != endpoints {
            if is_active {
                remarks
                    .push(format!("rollout.{name} is under way with other endpoints than before"));
            } else if plan.start == Start::OnChange {
                entry.controller.changed();
                remarks.push(format!("rollout.{name} starts: its canary has changed"));
            }
            entry.endpoints = endpoints;
        }
        let actions = entry.controller.follow(plan, now);
        if entry.evidence.follow(plan, &config.kpis) && is_active {
            remarks.push(format!("rollout.{name} is judged by other rules, from nothing"));
        }
        entry.plan = Arc::new(plan.clone());
        for action in actions {
            match action {
                Action::SetWeight(_) => {
                    entry.is_pending = true;
                    entry.evidence.step(entry.controller.state());
                }
                Action::Tell(event) => {
                    remarks.push(super::describe(name, &event));
                    let record = entry.record(event, &self.config_hash);
                    entry.keep(&self.keeper, Some(record));
                }
                Action::RunTests | Action::AskConfirm => {}
            }
        }
        entry.keep(&self.keeper, None);
        entry
    }
}

/// A rollout as it was when it was last seen, if that is known and still the same.
fn resume(
    plan: &model::Rollout,
    config: &Config,
    kept: Option<(super::Kept, Option<super::store::Evidence>)>,
    lost: Option<&str>,
    now: u64,
    remarks: &mut Vec<String>,
) -> Entry {
    let name = &plan.name;
    if let Some(why) = lost {
        remarks.push(format!("rollout.{name}: history lost: {why}"));
        let why = format!("history lost: {why}");
        return Entry::new(plan, config, Controller::lost(now, &why));
    }
    let Some((kept, judge)) = kept else {
        return Entry::new(plan, config, Controller::default());
    };
    if kept.ends != ends(config, plan) {
        if kept.state.phase.is_active() {
            remarks.push(format!("rollout.{name} is another than before: it begins anew"));
        }
        let state = Position { generation: kept.state.generation, ..Position::default() };
        return Entry::new(plan, config, Controller::new(state));
    }
    let mut controller = Controller::new(kept.state.clone());
    // What the file says now may be less than what it said.
    let _ = controller.follow(plan, now);
    if kept.endpoints != endpoints(config, plan) && plan.start == Start::OnChange {
        controller.changed();
    }
    let mut entry = Entry::new(plan, config, controller);
    if let Some(why) = entry.evidence.restore(&kept, judge.as_ref())
        && kept.state.phase.is_active()
    {
        remarks.push(format!("rollout.{name} is judged anew, from nothing: {why}"));
    }
    entry.copies = kept.copies;
    entry
}

impl Control {
    /// Reads the file of rollouts, if the new configuration is the first to have any.
    pub(crate) async fn read_rollouts(&self, new: &Config) -> Option<Saved> {
        let path = {
            let rollouts = self.rollouts();
            rollouts.wants_file(new).then(|| rollouts.keeper.path().to_owned())?
        };
        let now = crate::clock::steady().as_secs();
        let read = tokio::task::spawn_blocking(move || super::store::load(&path, now));
        match read.await {
            Ok(saved) => Some(saved),
            Err(error) => Some(Saved { lost: Some(error.to_string()), ..Saved::default() }),
        }
    }
}
