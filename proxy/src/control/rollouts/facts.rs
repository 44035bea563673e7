//! What is known of a rollout at one look.

use std::sync::Arc;

use gnomon_config::model::{Rollout, UpstreamIx, VersionIx};
use gnomon_policy::rollout::{Arms, Facts};
use gnomon_shadow::report::{Report, ShadowReport};

use super::Entry;
use crate::{
    clock,
    control::{
        Control,
        api::rollout::Line,
        registry::{EndpointKey, VersionKey},
        saturation::{OfVersion, Saturation},
        state::State,
    },
    trial::fuse::Blown,
};

/// What concerns all rollouts at one look.
pub(super) struct Seen<'a> {
    pub(super) line: Option<&'a Line>,
    pub(super) shadows: &'a Report,
    pub(super) saturation: &'a Saturation,
}

impl Entry {
    /// Takes in what has come since the last look.
    pub(super) fn look(&mut self, state: &mut State, seen: &Seen<'_>, now: u64) -> Facts {
        let plan = &self.plan;
        let position = self.controller.state();
        let cohorts = state.trials.collect(&plan.name, clock::now());
        let late = state.trials.collect_late(&plan.name, clock::now());
        self.evidence.take_late(position, &late);
        let fuse = state.trials.blown(&plan.name).map(|blown| words(blown, plan));
        self.evidence.take(position, cohorts, fuse, now);
        self.evidence.judge(plan, position, now);
        let shadow = shadow_of(state, plan).and_then(|name| find(seen.shadows, &name));
        let copies = self.controller.shadow(plan).is_some();
        let compared = shadow.as_ref().map_or(0, |shadow| shadow.totals.compared);
        let requests = if copies {
            Arms { canary: compared.saturating_sub(self.copies), stable: u64::MAX }
        } else {
            self.evidence.requests()
        };
        Facts {
            outcome: self.evidence.outcome(),
            fuse: self.evidence.fuse(),
            healthy: Arms {
                canary: healthy(state, plan.upstream, plan.to),
                stable: healthy(state, plan.upstream, plan.from),
            },
            saturation: Arms {
                canary: full(seen.saturation, &self.ends.1),
                stable: full(seen.saturation, &self.ends.0),
            },
            diff_rate: shadow.as_deref().and_then(really_different),
            requests,
            stop_line: seen.line.map(|line| format!("{} ({})", line.reason, line.by)),
            in_force: state.share(plan.upstream, plan.to),
            wall: clock::wall().as_secs(),
        }
    }
}

impl Control {
    /// Copies that were compared between a rollout's versions so far.
    pub(super) fn compared(&self, plan: &Rollout) -> u64 {
        let name = shadow_of(&self.state(), plan);
        let shadow = name.and_then(|name| find(&self.shadow.report(), &name));
        shadow.map_or(0, |shadow| shadow.totals.compared)
    }
}

/// What the cores saw when they cut a canary off, for people.
fn words(blown: Blown, plan: &Rollout) -> String {
    let Blown { canary_bad, canary, stable_bad, stable } = blown;
    let (window, budget) = (plan.fuse.window.as_secs(), plan.fuse.budget);
    format!(
        "the fuse has cut the canary off: {canary_bad} of its {canary} answers were bad within \
         {window} s, {stable_bad} of stable's {stable}; {budget} are allowed"
    )
}

/// The endpoints of a version that may be used.
fn available(state: &State, upstream: UpstreamIx, version: VersionIx) -> Vec<EndpointKey> {
    let upstream = state.config.upstreams.get(usize::from(upstream.0));
    let version = upstream.and_then(|it| it.versions.get(usize::from(version.0)));
    let (Some(upstream), Some(version)) = (upstream, version) else { return Vec::new() };
    let of = VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
    let endpoints = state.endpoints(version).into_iter();
    let keys = endpoints.map(|(address, _)| EndpointKey { version: of.clone(), address });
    keys.filter(|key| state.registry.is_available(key)).collect()
}

fn healthy(state: &State, upstream: UpstreamIx, version: VersionIx) -> u32 {
    u32::try_from(available(state, upstream, version).len()).unwrap_or(u32::MAX)
}

/// How full what leads to a version is; `None` in the first second.
fn full(saturation: &Saturation, end: &str) -> Option<f64> {
    let (upstream, version) = end.split_once('@')?;
    let mut all = saturation.versions.iter();
    all.find(|it| it.upstream == upstream && it.version == version).map(OfVersion::ratio)
}

/// The name of the shadow between a rollout's versions.
fn shadow_of(state: &State, plan: &Rollout) -> Option<Arc<str>> {
    let between = |shadow: &&gnomon_config::model::Shadow| {
        let (upstream, from) = shadow.from;
        shadow.to == (plan.upstream, plan.to)
            && upstream == plan.upstream
            && from.is_none_or(|from| from == plan.from)
    };
    state.config.shadows.iter().find(between).map(|shadow| shadow.name.clone())
}

fn find(report: &Report, name: &str) -> Option<Arc<ShadowReport>> {
    report.shadows.iter().find(|shadow| *shadow.name == *name).cloned()
}

/// Share of the compared copies whose difference is no noise: of the endpoints with evidence of a
/// difference, what is beyond the primary's difference from itself.
fn really_different(shadow: &ShadowReport) -> Option<f64> {
    let compared = shadow.totals.compared;
    if compared == 0 {
        return None;
    }
    let flagged = shadow.endpoints.iter().filter(|endpoint| endpoint.flagged);
    let real = flagged.map(|endpoint| {
        let excess = endpoint.rates.shadow() - endpoint.rates.noise();
        excess.max(0.0) * endpoint.compared as f64
    });
    // A sum of nothing is -0.
    Some((real.sum::<f64>() / compared as f64).max(0.0))
}
