//! What was seen, second by second: the lines on the panes, and rates out of counts.

use std::collections::{BTreeMap, VecDeque};

use crate::control::api::{
    Golden, Status, VersionStatus,
    series::{Beat, History, VersionBeat, Window},
};

/// The newest beats, and how fast counts rise.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    beats: VecDeque<Beat>,
    /// The last look, which the next is held against.
    before: Option<Status>,
    /// Requests a second of each core, by number.
    pub(super) cores: BTreeMap<usize, f64>,
    /// Requests a second of each endpoint: upstream, version, address.
    pub(super) endpoints: BTreeMap<(String, String, String), f64>,
    /// When the proxy last told a beat by itself, in milliseconds since 1970.
    told: u64,
}

/// Beats that are kept: a quarter of an hour by the second, more than the widest line shows.
const BEATS_MAX: usize = 900;

/// Milliseconds between two beats at most, where they are told by the second.
const PACE: u64 = 1_500;

/// Milliseconds after which a proxy that told beats is taken to have stopped doing so.
const TOLD_WITHIN: u64 = 5_000;

impl Past {
    pub(super) fn last(&self) -> Option<&Beat> {
        self.beats.back()
    }

    /// One number of each beat, oldest first.
    pub(super) fn line(&self, of: impl Fn(&Beat) -> f64) -> Vec<f64> {
        self.beats.iter().map(of).collect()
    }

    /// One number of one version, oldest first; unknown where it was not there.
    pub(super) fn of_version(
        &self,
        upstream: &str,
        version: &str,
        of: impl Fn(&VersionBeat) -> f64,
    ) -> Vec<f64> {
        let is_it = |it: &&VersionBeat| it.upstream == upstream && it.version == version;
        self.line(|beat| beat.versions.iter().find(is_it).map_or(f64::NAN, &of))
    }

    /// What the proxy knows of the time before we came. Its older part is in means of ten seconds, and a
    /// line has one pace.
    pub(super) fn recall(&mut self, history: History) {
        let mut beats: Vec<Beat> = Vec::new();
        for beat in history.beats.into_iter().rev() {
            let is_near = beats.last().is_none_or(|newer| newer.at.saturating_sub(beat.at) <= PACE);
            if !is_near || beats.len() == BEATS_MAX {
                break;
            }
            beats.push(beat);
        }
        let Some(newest) = beats.first().map(|beat| beat.at) else { return };
        self.told = newest;
        self.beats = beats.into_iter().rev().collect();
    }

    /// What the proxy tells by itself.
    pub(super) fn tell(&mut self, beat: Beat) {
        if self.told >= beat.at {
            return;
        }
        self.told = beat.at;
        self.push(beat);
    }

    /// What one look more tells, held against the one before.
    pub(super) fn look(&mut self, status: &Status, golden: &[Golden], at: u64) {
        let before = self.before.replace(status.clone());
        let Some(before) = before.filter(|before| before.pid == status.pid) else { return };
        let seconds = status.uptime_seconds - before.uptime_seconds;
        if seconds <= 0.0 {
            return;
        }
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        self.cores.clear();
        for (now, then) in status.cores.iter().zip(&before.cores) {
            self.cores.insert(now.core, rate(now.requests, then.requests));
        }
        let counts = endpoints(&before);
        let now = endpoints(status);
        self.endpoints = now
            .into_iter()
            .map(|(key, now)| {
                let then = counts.get(&key).copied().unwrap_or(now);
                (key, rate(now, then))
            })
            .collect();
        if self.told + TOLD_WITHIN < at {
            let beat = self.beat(status, &before, golden, at);
            self.push(beat);
        }
    }

    fn push(&mut self, beat: Beat) {
        if self.beats.len() == BEATS_MAX {
            self.beats.pop_front();
        }
        self.beats.push_back(beat);
    }

    /// A beat of our own, of a proxy that tells none.
    fn beat(&self, status: &Status, before: &Status, golden: &[Golden], at: u64) -> Beat {
        let seconds = status.uptime_seconds - before.uptime_seconds;
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        let mut versions = Vec::new();
        for upstream in &status.upstreams {
            let old = before.upstreams.iter().find(|old| old.name == upstream.name);
            for version in &upstream.versions {
                let old = old.and_then(|it| it.versions.iter().find(|it| it.name == version.name));
                let (requests, errors) = old.map_or((0.0, 0.0), |old| {
                    (rate(asked(version), asked(old)), rate(failed(version), failed(old)))
                });
                versions.push(VersionBeat {
                    upstream: upstream.name.clone(),
                    version: version.name.clone(),
                    arm: Some(version.arm),
                    share: version.share,
                    rate: requests,
                    errors,
                    in_flight: version.in_flight,
                    minute: minute(golden, &upstream.name, &version.name),
                    step: None,
                });
            }
        }
        let hottest = status.saturation.hottest();
        Beat {
            at,
            saturation: hottest.map_or(f64::NAN, |it| it.ratio),
            fullest: hottest.map_or_else(String::new, |it| it.which.clone()),
            connections: status.cores.iter().map(|core| core.connections).sum(),
            versions,
            ..Beat::default()
        }
    }
}

/// The last minute of a version on all its routes together. Of quantiles the slowest route's: that of all
/// together is no larger.
pub(super) fn minute(golden: &[Golden], upstream: &str, version: &str) -> Window {
    let mut window = Window::default();
    let mut failed = 0.0;
    for one in golden.iter().filter(|it| it.upstream == upstream && it.version == version) {
        let requests = one.arms.drawn + one.arms.pinned + one.arms.fallback;
        window.requests += requests;
        failed += one.error_rate * requests as f64;
        window.p50 = slower(window.p50, one.latency.p50_seconds);
        window.p99 = slower(window.p99, one.latency.p99_seconds);
    }
    if window.requests > 0 {
        window.error_rate = failed / window.requests as f64;
    }
    window
}

/// The larger of two times, if there is any.
pub(super) fn slower(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

const fn asked(version: &VersionStatus) -> u64 {
    version.assigned + version.pinned + version.fallback
}

/// Replies 5xx, among which are those given for the origin, and replies cut short.
const fn failed(version: &VersionStatus) -> u64 {
    version.classes[4] + version.failures.truncated
}

fn endpoints(status: &Status) -> BTreeMap<(String, String, String), u64> {
    let mut counts = BTreeMap::new();
    for upstream in &status.upstreams {
        for version in &upstream.versions {
            for endpoint in &version.endpoints {
                let key = (upstream.name.clone(), version.name.clone(), endpoint.address.clone());
                counts.insert(key, endpoint.requests);
            }
        }
    }
    counts
}
