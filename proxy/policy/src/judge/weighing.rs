//! [`Judge`]: all that is known of one rollout.

use serde::{Deserialize, Serialize};

use super::{
    bernoulli::{Block, Boundary, Side, Wealth},
    cohort::{BUCKETS, Cohort, Tally},
    event::Event,
    events::{self, Ratio},
    gauge::{Both, Gauge},
    margin::graduated,
    merge::{closed, weighted_mean},
    part::{counts, evidence},
    past::{Faded, HALF_LIFE, Thresholds, Times, left},
    rules::{LARGEST_MARGIN, Proof, Proven, QUANTILES, Rules, Signal, TAIL},
    verdict::{Missing, Verdict, Why},
    watch::Watch,
};

/// Weighs the cohorts of one rollout, in the order of their seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    version: Version,
    rules: Rules,
    second: Option<u64>,
    epoch: Option<u32>,
    /// The canary's first second.
    began: Option<u64>,
    /// The last second in which each version got requests.
    seen: Both<Option<u64>>,
    clock: Option<Clock>,
    times: Times,
    gauges: Vec<Gauge>,
    proofs: Vec<Margins>,
    router: Ratio,
    watches: Vec<Watch>,
    pub(super) here: Both<Here>,
}

/// Of the state that is written down. Another is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Version;

const VERSION: u32 = 1;

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        if version == VERSION { Ok(Self) } else { Err(format!("evidence of version {version}")) }
    }
}

impl From<Version> for u32 {
    fn from(_: Version) -> Self {
        VERSION
    }
}

/// When the next guess is taken and the next gambler begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Clock {
    guess: u64,
    restart: u64,
}

/// Seconds between guesses.
const GUESS: u64 = 30;
/// Seconds between restarts.
const RESTART: u64 = 60;
/// A version without a request for so many seconds has no traffic.
const QUIET: u64 = 120;
/// Evidence against the router that makes all other evidence void.
const MISROUTED: f64 = 1000.0;

/// One version in this step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Here {
    pub(super) assigned: u64,
    pub(super) times: Vec<u64>,
}

impl Here {
    fn add(&mut self, tally: &Tally) {
        self.assigned += tally.assigned;
        self.times.resize(BUCKETS, 0);
        for (bucket, count) in &tally.times {
            if let Some(cell) = self.times.get_mut(usize::from(*bucket)) {
                *cell += u64::from(*count);
            }
        }
    }
}

/// The proofs of one kind, for the exits of all steps at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Margins {
    of: Proven,
    past: Faded,
    level: i32,
    steps: Vec<Wealth>,
}

impl Margins {
    fn new(proof: Proof, steps: &[f64]) -> Self {
        let wealth = |points: f64| {
            let boundary = Boundary { ratio: 1.0, points: points.min(LARGEST_MARGIN) };
            Wealth::new(boundary, Side::NotWorse)
        };
        let steps = graduated(proof.risk, steps).into_iter().map(wealth).collect();
        let past = match proof.of {
            Proven::Errors => Faded { bad: 0.0, all: 100.0 },
            Proven::Slow { .. } => Faded { bad: 1.0, all: 100.0 },
        };
        Self { of: proof.of, past, level: past.level(), steps }
    }

    const fn event(&self) -> Event {
        match self.of {
            Proven::Errors => Event::Failed,
            Proven::Slow { shift } => Event::Slow { quantile: TAIL, shift },
        }
    }

    fn take(&mut self, cohort: &Cohort, thresholds: &Thresholds) {
        if let Some((canary, stable)) = counts(self.event(), cohort, thresholds) {
            let block = Block { weight: cohort.weight, level: self.level, canary, stable };
            self.steps.iter_mut().for_each(|wealth| wealth.take(&block));
        }
    }

    /// The name, and margin and evidence at the exit of a step.
    pub(super) fn at(&self, step: usize) -> (&'static str, f64, f64) {
        let last = self.steps.len().saturating_sub(1);
        let (margin, e) = self.steps.get(step.min(last)).map_or((0.0, 0.0), |wealth| {
            (wealth.claim().boundary().points, evidence(wealth.log_e()))
        });
        (self.of.name(), margin, e)
    }
}

impl Judge {
    /// For a canary that gets these weights, one after the other. Weights of shadow steps are not
    /// among them.
    #[must_use]
    pub fn new(rules: Rules, steps: &[f64]) -> Self {
        let gauges = rules.held.iter().map(Gauge::new).collect();
        let proofs = rules.proofs.iter().map(|proof| Margins::new(*proof, steps)).collect();
        let watches = vec![
            Watch::new(Event::Failed, Faded::default()),
            Watch::new(
                Event::Slow { quantile: TAIL, shift: 0 },
                Faded { bad: 1.0 - TAIL, all: 1.0 },
            ),
        ];
        Self {
            version: Version,
            rules,
            second: None,
            epoch: None,
            began: None,
            seen: Both::default(),
            clock: None,
            times: Times::default(),
            gauges,
            proofs,
            router: Ratio::new(1.0),
            watches,
            here: Both::default(),
        }
    }

    /// Takes the requests of a second; the seconds may never fall.
    ///
    /// A cohort of weight 0 tells of stable's past alone.
    pub fn take(&mut self, cohort: &Cohort) {
        self.pass(cohort.second);
        self.begin_epoch(cohort.epoch);
        // Frozen before the cohort is looked at.
        let thresholds = Thresholds::of(&self.times, &self.quantiles());
        if self.is_evidence(cohort) {
            self.tick(cohort.second);
            self.weigh(cohort, &thresholds);
        }
        self.learn(cohort, &thresholds);
    }

    fn quantiles(&self) -> Vec<f64> {
        let own = self.rules.held.iter().filter_map(|held| match held.signal {
            Signal::Quantile(quantile) => Some(quantile),
            Signal::Errors
            | Signal::Class(_)
            | Signal::Latency
            | Signal::Conversion(..)
            | Signal::Amount(..) => None,
        });
        QUANTILES.iter().map(|(quantile, _)| *quantile).chain(own).collect()
    }

    /// Lets the past fade until this second.
    fn pass(&mut self, second: u64) {
        let seconds = second.saturating_sub(self.second.unwrap_or(second));
        self.second = Some(second.max(self.second.unwrap_or(second)));
        if seconds == 0 {
            return;
        }
        self.times.fade(left(seconds, HALF_LIFE));
        self.gauges.iter_mut().flat_map(Gauge::parts_mut).for_each(|part| part.fade(seconds));
        self.watches.iter_mut().for_each(|watch| watch.fade(seconds));
        for margins in &mut self.proofs {
            margins.past.fade(left(seconds, HALF_LIFE));
        }
    }

    fn begin_epoch(&mut self, epoch: u32) {
        if self.epoch.replace(epoch) != Some(epoch) {
            self.here = Both::default();
            self.gauges.iter_mut().for_each(Gauge::begin_step);
        }
    }

    /// Whether a coin was thrown, and the canary is warm. Never looks at how the coin fell, but to
    /// find the beginning of the warm-up.
    fn is_evidence(&mut self, cohort: &Cohort) -> bool {
        if cohort.weight <= 0.0 || cohort.weight >= 1.0 {
            return false;
        }
        if self.began.is_none() && (self.rules.warmup == 0 || cohort.canary.assigned > 0) {
            self.began = Some(cohort.second);
        }
        self.began.is_some_and(|began| cohort.second >= began + self.rules.warmup)
    }

    /// Guesses and restarts when it is time.
    fn tick(&mut self, second: u64) {
        let clock = self.clock.unwrap_or(Clock { guess: second, restart: second + RESTART });
        if second >= clock.guess {
            self.gauges.iter_mut().flat_map(Gauge::parts_mut).for_each(super::part::Part::guess);
            for margins in &mut self.proofs {
                margins.level = margins.past.level();
            }
        }
        if second >= clock.restart {
            self.gauges.iter_mut().flat_map(Gauge::parts_mut).for_each(super::part::Part::restart);
        }
        self.clock = Some(Clock {
            guess: later(clock.guess, second, GUESS),
            restart: later(clock.restart, second, RESTART),
        });
    }

    fn weigh(&mut self, cohort: &Cohort, thresholds: &Thresholds) {
        let (canary, stable) = (cohort.canary.assigned, cohort.stable.assigned);
        let all = canary + stable;
        self.router.take(events::Epoch { weight: cohort.weight, canary, all });
        for gauge in &mut self.gauges {
            gauge.show(cohort, thresholds);
            gauge.parts_mut().for_each(|part| part.take(cohort, thresholds));
        }
        for margins in &mut self.proofs {
            margins.take(cohort, thresholds);
        }
        self.here.canary.add(&cohort.canary);
        self.here.stable.add(&cohort.stable);
    }

    fn learn(&mut self, cohort: &Cohort, thresholds: &Thresholds) {
        for (seen, tally) in
            [(&mut self.seen.canary, &cohort.canary), (&mut self.seen.stable, &cohort.stable)]
        {
            if tally.assigned > 0 {
                *seen = Some(cohort.second);
            }
        }
        for watch in &mut self.watches {
            if let Some((canary, stable)) = counts(watch.event(), cohort, thresholds) {
                watch.take(canary, stable);
            }
        }
        for part in self.gauges.iter_mut().flat_map(Gauge::parts_mut) {
            part.learn(&cohort.stable, thresholds);
        }
        for margins in &mut self.proofs {
            let stable =
                margins.event().count(&cohort.stable, super::event::Arm::Stable, thresholds);
            margins.past.add(stable.unwrap_or_default());
        }
        self.times.add(&cohort.stable);
    }

    /// What the evidence says of a step, counted from 0 in the order given to [`Judge::new`].
    #[must_use]
    pub fn verdict(&self, step: usize) -> Verdict {
        if self.router_e() >= MISROUTED {
            return Verdict::Hold { why: Why::Invalid };
        }
        if self.mean(Gauge::guarded) >= 1.0 / self.rules.alpha {
            return Verdict::Rollback { culprits: self.culprits() };
        }
        if self.mean_e() >= self.rules.hold {
            return Verdict::Hold { why: Why::Suspicious };
        }
        if let Some(why) = self.degraded() {
            return Verdict::Hold { why };
        }
        if let Some(seconds) = self.cold() {
            return Verdict::NotProven { missing: vec![Missing::Warmup { seconds }] };
        }
        if self.is_quiet() {
            return Verdict::Hold { why: Why::NoTraffic };
        }
        match self.missing(step) {
            missing if missing.is_empty() => Verdict::Advance,
            missing => Verdict::NotProven { missing },
        }
    }

    fn mean(&self, of: fn(&Gauge) -> f64) -> f64 {
        weighted_mean(self.gauges.iter().map(|gauge| (of(gauge), gauge.held().weight)))
    }

    /// Evidence of all signals together that the canary is worse than allowed.
    #[must_use]
    pub fn mean_e(&self) -> f64 {
        self.mean(Gauge::e)
    }

    /// Evidence that the router does not send the canary the share it claims to.
    #[must_use]
    pub fn router_e(&self) -> f64 {
        evidence(self.router.log_other())
    }

    /// What refutes by itself after all were looked at; else the one that says most.
    pub(super) fn culprits(&self) -> Vec<String> {
        let all: Vec<f64> = self.gauges.iter().map(Gauge::guarded).collect();
        let adjusted = self.gauges.iter().zip(closed(&all));
        let is_loud = |(_, e): &(&Gauge, f64)| *e >= 1.0 / self.rules.alpha;
        let mut names: Vec<String> =
            adjusted.filter(is_loud).map(|(gauge, _)| gauge.held().name.clone()).collect();
        names.dedup();
        if names.is_empty() {
            let says = |gauge: &&Gauge| gauge.guarded() * gauge.held().weight;
            let loudest = self.gauges.iter().max_by(|a, b| says(a).total_cmp(&says(b)));
            names.extend(loudest.map(|gauge| gauge.held().name.clone()));
        }
        names
    }

    fn degraded(&self) -> Option<Why> {
        if let Some(watch) = self.watches.iter().find(|watch| watch.is_degraded()) {
            let (canary, stable) = watch.present();
            let signal = if watch.event() == Event::Failed { "errors" } else { "latency" };
            let (signal, usual) = (signal.to_owned(), Some(watch.usual()));
            return Some(Why::BothDegraded { signal, canary, stable, usual });
        }
        let gauge = self.gauges.iter().find(|gauge| gauge.shared() >= self.rules.hold)?;
        let Both { canary, stable } = gauge.loudest()?.overall;
        let signal = gauge.held().name.clone();
        let (canary, stable) = (canary.rate(), stable.rate());
        Some(Why::BothDegraded { signal, canary, stable, usual: None })
    }

    /// Seconds that the canary is still cold.
    fn cold(&self) -> Option<u64> {
        let warm = self.began? + self.rules.warmup;
        let passed = self.second?;
        (passed < warm).then(|| warm - passed)
    }

    fn is_quiet(&self) -> bool {
        let now = self.second.unwrap_or(0);
        let silent = |seen: Option<u64>| seen.is_none_or(|seen| seen + QUIET < now);
        let Both { canary, stable } = &self.here;
        canary.assigned == 0
            || stable.assigned == 0
            || silent(self.seen.canary)
            || silent(self.seen.stable)
    }

    fn missing(&self, step: usize) -> Vec<Missing> {
        let need = self.rules.min_requests;
        let have = self.here.canary.assigned.min(self.here.stable.assigned);
        let requests = (have < need).then_some(Missing::Requests { have, need });
        let need = 1.0 / self.rules.beta;
        let unproven = self.proofs.iter().filter_map(|margins| {
            let (signal, margin, e) = margins.at(step);
            let proof = Missing::Proof { signal: signal.to_owned(), margin, e, need };
            (e < need).then_some(proof)
        });
        requests.into_iter().chain(unproven).collect()
    }

    /// The canary's first second: the first with a share of the users, and a request of one.
    #[must_use]
    pub const fn began(&self) -> Option<u64> {
        self.began
    }

    /// What the canary is held to.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn gauges(&self) -> &[Gauge] {
        &self.gauges
    }

    pub(super) fn proofs(&self) -> &[Margins] {
        &self.proofs
    }

    /// What stable usually does, for a forecast.
    #[must_use]
    pub fn usual(&self) -> super::plan::Usual {
        super::plan::Usual {
            errors: self.watches.first().map_or(0.0, Watch::usual),
            times: self.times.clone(),
        }
    }

    /// Requests assigned in this step.
    #[must_use]
    pub const fn assigned(&self) -> Both<u64> {
        Both { canary: self.here.canary.assigned, stable: self.here.stable.assigned }
    }
}

/// The next time after `now` in the rhythm of `next`.
fn later(next: u64, now: u64, rhythm: u64) -> u64 {
    if now < next { next } else { next + (now - next) / rhythm * rhythm + rhythm }
}
