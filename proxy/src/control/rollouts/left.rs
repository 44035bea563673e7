//! Rollouts that go on in another process: one at a time holds the pen.
//!
//! Whoever rests neither looks at rollouts nor writes of them. Before it hands over, all that it was
//! about to write is on the disk, so that the other one has the file to itself.

use std::collections::BTreeMap;

use gnomon_config::Config;

use super::{Control, Entry, Rollouts};
use crate::{
    clock,
    control::api::{Kind, Refused},
    heritage::left::{RolloutLeft, RolloutsLeft},
};

impl Rollouts {
    /// Begins where another process stopped.
    pub(crate) fn inherit(config: &Config, left: RolloutsLeft, now: u64) -> Self {
        let mut rollouts = Self {
            entries: BTreeMap::new(),
            line: left.line,
            keeper: std::sync::Arc::new(super::Keeper::new(config.state.dir.join(super::FILE))),
            hooks: super::hooks::Desk::default(),
            absent: left.absent,
            config_hash: String::new(),
            is_read: left.is_read,
            transitions: left.transitions.into_iter().collect(),
            before: left.known,
            is_resting: false,
        };
        let saved =
            rollouts.wants_file(config).then(|| super::store::load(rollouts.keeper.path(), now));
        for remark in rollouts.take_config(config, saved, now) {
            tracing::info!(remark, "rollouts");
        }
        // What the new configuration has no more may come back with the next.
        let gone = std::mem::take(&mut rollouts.before).into_iter();
        rollouts.absent.extend(gone.map(|(name, left)| (name, left.kept)));
        rollouts
    }

    fn leave(&self) -> RolloutsLeft {
        let known = self.entries.iter().map(|(name, entry)| {
            let left = RolloutLeft { kept: entry.kept(), judge: entry.evidence.leave() };
            (name.to_string(), left)
        });
        RolloutsLeft {
            known: known.collect(),
            absent: self.absent.clone(),
            line: self.line.clone(),
            is_read: self.is_read,
            transitions: self.transitions.iter().map(|(key, n)| (key.clone(), *n)).collect(),
        }
    }
}

impl Entry {
    /// Goes on with what another process left.
    pub(super) fn inherit(&mut self, left: &RolloutLeft, remarks: &mut Vec<String>) {
        let is_active = left.kept.state.phase.is_active();
        if let Some(why) = self.evidence.inherit(&left.judge, left.kept.requests)
            && is_active
        {
            let name = &self.plan.name;
            remarks.push(format!("rollout.{name} is judged anew, from nothing: {why}"));
        }
    }
}

impl Control {
    /// Has everything written, and neither decides nor writes anything more.
    pub(crate) async fn rest_rollouts(&self) -> Result<RolloutsLeft, Refused> {
        let now = clock::steady().as_secs();
        let keeper = {
            let mut rollouts = self.rollouts();
            let Rollouts { entries, keeper, is_resting, .. } = &mut *rollouts;
            *is_resting = true;
            entries.values_mut().for_each(|entry| entry.keep_evidence(keeper, now));
            keeper.clone()
        };
        if !keeper.flush().await {
            let why = keeper.trouble().unwrap_or_default();
            return Err(Refused::new(
                Kind::Machine,
                format!("what rollouts have decided cannot be written: {why}"),
            ));
        }
        Ok(self.rollouts().leave())
    }

    /// Takes the pen back.
    pub(crate) fn wake_rollouts(&self) {
        self.rollouts().is_resting = false;
    }
}
