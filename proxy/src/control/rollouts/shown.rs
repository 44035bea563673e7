//! Rollouts for whoever asks.

use std::sync::Arc;

use gnomon_config::model::{Share, Stage};
use gnomon_policy::rollout::{Facts, Outcome, weight_of};

use super::{Entry, Rollouts, orders::unseen, store};
use crate::control::{
    Control,
    api::{
        Kind, Page, PageAsked, Refused,
        rollout::{self, Record, Step, Why},
        series::RolloutBeat,
    },
    registry::VersionKey,
    series::{Rolling, StepId},
};

impl Control {
    /// All rollouts.
    pub(crate) fn all_rollouts(&self) -> rollout::Rollouts {
        let rollouts = self.rollouts();
        let all = rollouts.entries.values();
        rollout::Rollouts {
            rollouts: all.map(|entry| rollouts.show(entry)).collect(),
            line: rollouts.line.clone(),
            trouble: rollouts.keeper.trouble(),
            hooks: rollouts.hooks.counts(),
        }
    }

    /// All rollouts, as a beat needs them.
    pub(crate) fn rolling(&self) -> Vec<Rolling> {
        let rollouts = self.rollouts();
        rollouts.entries.values().map(Entry::rolling).collect()
    }

    /// Transitions since the start: whose, to which phase, and who brought them about.
    pub(crate) fn transitions(&self) -> Vec<((String, String, String), u64)> {
        let rollouts = self.rollouts();
        rollouts.transitions.iter().map(|(key, count)| (key.clone(), *count)).collect()
    }

    /// One of them.
    pub(crate) fn rollout(&self, name: &str) -> Result<rollout::Rollout, Refused> {
        let rollouts = self.rollouts();
        let entry = rollouts.entries.get(name).ok_or_else(|| rollouts.no_rollout(name))?;
        Ok(rollouts.show(entry))
    }

    /// A page of its decision record, newest first.
    pub(crate) async fn rollout_history(
        self: &Arc<Self>,
        name: &str,
        asked: &PageAsked,
    ) -> Result<Page<Record>, Refused> {
        // The newest may not be on the disk yet.
        let keeper = self.rollouts().keeper.clone();
        self.rollout(name)?;
        keeper.flush().await;
        let (path, name) = (keeper.path().to_owned(), name.to_owned());
        let (offset, limit) = (asked.offset, asked.limit.clamp(1, PAGE_MAX));
        let read = move || store::history(&path, &name, offset, limit);
        let (total, items) = blocking(read).await?;
        Ok(Page { total, offset, items })
    }

    /// Why it is where it is.
    pub(crate) async fn rollout_why(self: &Arc<Self>, name: &str) -> Result<Why, Refused> {
        let asked = PageAsked { limit: 3, ..PageAsked::default() };
        let last = self.rollout_history(name, &asked).await?.items;
        Ok(Why { now: self.rollout(name)?, last })
    }
}

/// Reads the file aside.
pub(super) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, gnomon_shadow::store::Fault> + Send + 'static,
) -> Result<T, Refused> {
    let fault = |why: String| {
        Refused::new(Kind::Machine, format!("the record of rollouts cannot be read: {why}"))
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => Err(fault(error.to_string())),
        Err(error) => Err(fault(error.to_string())),
    }
}

impl Entry {
    fn rolling(&self) -> Rolling {
        let state = self.controller.state();
        let in_force = self.facts.as_ref().map_or_else(|| state.weight(), |facts| facts.in_force);
        let key = |end: &str| {
            let (upstream, version) = end.split_once('@').unwrap_or((end, ""));
            VersionKey { upstream: upstream.into(), version: version.into() }
        };
        let name = self.plan.name.to_string();
        Rolling {
            step: self.controller.owns_split(&self.plan).then(|| StepId {
                rollout: name.clone(),
                generation: state.generation,
                step: state.step,
            }),
            ends: [key(&self.ends.0), key(&self.ends.1)],
            beat: RolloutBeat {
                name,
                phase: state.phase.name().to_owned(),
                step: state.step,
                in_force: in_force.percent(),
            },
        }
    }
}

impl Rollouts {
    fn show(&self, entry: &Entry) -> rollout::Rollout {
        let unseen = unseen();
        let facts = entry.facts.as_ref().unwrap_or(&unseen);
        let Facts { outcome, healthy, saturation, diff_rate, in_force, .. } = facts;
        let (Outcome::Worse(verdict)
        | Outcome::Doubt(verdict)
        | Outcome::Open(verdict)
        | Outcome::Silent(verdict)
        | Outcome::Proven(verdict)) = outcome;
        let state = entry.controller.state().clone();
        rollout::Rollout {
            name: entry.plan.name.to_string(),
            from: entry.ends.0.clone(),
            to: entry.ends.1.clone(),
            steps: entry.plan.steps.iter().map(step).collect(),
            in_force: in_force.percent(),
            owns_split: entry.controller.owns_split(&entry.plan),
            armed: entry.controller.is_armed(&entry.plan),
            saved: self.keeper.has(entry.number),
            requests: facts.requests,
            healthy: *healthy,
            saturation: *saturation,
            diff_rate: *diff_rate,
            verdict: verdict.clone(),
            report: entry.evidence.report(),
            line: self.line.clone(),
            state,
        }
    }
}

pub(super) fn step(step: &gnomon_config::model::Step) -> Step {
    let percent = |share: Share| format!("{}%", share.percent());
    Step {
        what: match step.to {
            Stage::Shadow(share) => format!("shadow {}", percent(share)),
            Stage::Weight(share) => percent(share),
        },
        weight: weight_of(step.to).percent(),
        hold_seconds: step.hold.as_secs(),
        approve: step.approve,
    }
}

/// Items of a page at most.
const PAGE_MAX: usize = 1000;
