//! What is told of rollouts: where each is, and what the judge knows.

use gnomon_policy::rollout::Phase;
use serde_json::Value;

use super::super::{super::Control, catalogue as c, text::Page};
use crate::control::api::rollout::Rollout;

/// Every phase that a rollout can be in, as [`Phase::name`] calls it.
const PHASES: [&str; 9] = [
    "idle",
    "shadowing",
    "running",
    "holding",
    "waiting",
    "paused",
    "promoted",
    "rolled_back",
    "aborted",
];

impl Control {
    pub(super) fn gather_rollouts(&self, page: &mut Page) {
        let all = self.all_rollouts().rollouts;
        let mut series = page.family(&c::ROLLOUT_STEP);
        for it in &all {
            series.add(&[&it.name], it.state.step as u64);
        }
        let mut series = page.family(&c::ROLLOUT_PHASE);
        for it in &all {
            for phase in PHASES {
                series.add(&[&it.name, phase], it.state.phase.name() == phase);
            }
        }
        let mut series = page.family(&c::ROLLOUT_WEIGHT);
        for it in &all {
            series.add(&[&it.name], it.in_force / 100.0);
        }
        let mut series = page.family(&c::ROLLOUT_REQUESTS);
        for it in &all {
            series.add(&[&it.name, "canary"], it.requests.canary);
            // In a step of shadows nobody counts stable's.
            let stable = it.requests.stable;
            series.add(&[&it.name, "stable"], if stable == u64::MAX { 0 } else { stable });
        }
        let mut series = page.family(&c::ROLLOUT_EVIDENCE);
        for it in &all {
            for (signal, e) in evidence(it) {
                series.add(&[&it.name, &signal], e);
            }
        }
        let mut series = page.family(&c::ROLLOUT_TRANSITIONS);
        for ((rollout, to, by), count) in self.transitions() {
            series.add(&[&rollout, &to, &by], count);
        }
    }
}

/// Who brought about a transition: a person, the fuse, or the rollout by itself.
pub(crate) fn agent(to: Phase, by: &str) -> &'static str {
    match (to.reason(), by) {
        ("fuse", _) => "guard",
        (_, "gnomon") => "auto",
        _ => "user",
    }
}

/// The evidence of all signals together, then of each.
fn evidence(it: &Rollout) -> Vec<(String, f64)> {
    let e = |value: &Value| value.as_f64().filter(|e| e.is_finite());
    let mean = e(&it.report["mean_e"]).map(|e| ("all".to_owned(), e));
    let signals = it.report["signals"].as_array().into_iter().flatten();
    // Both limits of a signal have its name: the louder one is told.
    let mut all: Vec<(String, f64)> = mean.into_iter().collect();
    for signal in signals {
        let (Some(name), Some(e)) = (signal["name"].as_str(), e(&signal["e"])) else { continue };
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = known.max(e),
            None => all.push((name.to_owned(), e)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use gnomon_policy::rollout::{Block, Cause};

    use super::*;

    #[test]
    fn every_phase_has_its_series() {
        let all = [
            Phase::Idle,
            Phase::Shadowing,
            Phase::Running,
            Phase::Holding(Block::Doubt),
            Phase::Waiting,
            Phase::Paused,
            Phase::Promoted,
            Phase::RolledBack(Cause::Judge),
            Phase::Aborted,
        ];
        assert_eq!(all.map(Phase::name), PHASES);
    }

    #[test]
    fn it_is_told_who_did_it() {
        assert_eq!(agent(Phase::RolledBack(Cause::Fuse), "gnomon"), "guard");
        assert_eq!(agent(Phase::RolledBack(Cause::Judge), "gnomon"), "auto");
        assert_eq!(agent(Phase::Paused, "ann"), "user");
    }
}
