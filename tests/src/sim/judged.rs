//! The product's own judge at a simulated rollout: cohorts in, verdicts out.

use std::sync::LazyLock;

use gnomon_config::Options;
use gnomon_policy::judge::{
    Cohort, Judge, Rules, Tally, Verdict,
    bernoulli::Counts,
    cohort::Class,
    rules::{Proven, Signal},
};

use super::{
    WEIGHTS, errors,
    rules::Rule,
    slow_rules::SlowRule,
    times::{self, Histogram},
};

/// What a rollout is held to if its file says nothing of it.
pub static WHOLE: LazyLock<Rules> = LazyLock::new(|| {
    let text = "listen = '127.0.0.1:8080'\n\
                [upstream.shop]\n\
                versions.v1 = ['127.0.0.1:8081']\n\
                versions.v2 = ['127.0.0.1:8082']\n\
                [route.shop]\n\
                to = 'shop'\n\
                [rollout.shop]\n\
                from = 'shop@v1'\n\
                to = 'shop@v2'\n\
                steps = ['1% for 10m', '5% for 10m', '25% for 10m', '50% for 10m', '100%']\n";
    let loaded = gnomon_config::parse("default.toml", text, &Options::default());
    let config = loaded.expect("it is a configuration").config;
    Rules::of(&config.rollouts[0].gate, &config.kpis)
});

/// The same, but only its errors count, and from the first request on.
pub static ERRORS: LazyLock<Rules> = LazyLock::new(|| only(Signal::Errors, Proven::Errors));

/// The same, but only its times count, and from the first request on.
pub static LATENCY: LazyLock<Rules> =
    LazyLock::new(|| only(Signal::Latency, Proven::Slow { shift: 0 }));

fn only(signal: Signal, proven: Proven) -> Rules {
    let mut rules = WHOLE.clone();
    (rules.warmup, rules.min_requests) = (0, 0);
    rules.held.retain(|held| held.signal == signal);
    rules.proofs.retain(|proof| proof.of == proven);
    rules
}

/// A judge at one rollout.
#[derive(Debug)]
pub struct Judged {
    judge: Judge,
    epoch: u32,
    weight: f64,
}

impl Judged {
    /// That knows what was before the rollout.
    #[must_use]
    pub fn new(rules: &Rules, weights: &[f64], before: Tally) -> Self {
        let mut judge = Judge::new(rules.clone(), weights);
        judge.take(&Cohort { second: START, stable: before, ..Cohort::default() });
        Self { judge, epoch: 0, weight: 0.0 }
    }

    /// For errors alone, without proofs: they cost time, and only an advance needs them.
    #[must_use]
    pub fn of_errors(rules: &Rules, before: Counts) -> Self {
        let rules = Rules { proofs: Vec::new(), ..rules.clone() };
        Self::new(&rules, &WEIGHTS, of_counts(before))
    }

    /// The same for times.
    #[must_use]
    pub fn of_times(rules: &Rules, before: &Histogram) -> Self {
        let rules = Rules { proofs: Vec::new(), ..rules.clone() };
        Self::new(&rules, &WEIGHTS, of_histogram(before, 0))
    }

    /// Takes the requests up to a second of the rollout.
    pub fn take(&mut self, end: u64, weight: f64, canary: Tally, stable: Tally) {
        if weight.to_bits() != self.weight.to_bits() {
            (self.epoch, self.weight) = (self.epoch + 1, weight);
        }
        let second = START + end;
        self.judge.take(&Cohort { second, epoch: self.epoch, weight, canary, stable });
    }

    /// Takes errors alone.
    pub fn take_errors(&mut self, tick: &errors::Tick) {
        self.take(tick.end, tick.weight, of_counts(tick.canary), of_counts(tick.stable));
    }

    /// What it says of a step.
    #[must_use]
    pub fn verdict(&self, step: usize) -> Verdict {
        self.judge.verdict(step)
    }

    fn rolls_back(&self) -> bool {
        matches!(self.verdict(0), Verdict::Rollback { .. })
    }
}

impl Rule for Judged {
    fn sees(&mut self, tick: &errors::Tick) -> bool {
        self.take_errors(tick);
        self.rolls_back()
    }
}

impl SlowRule for Judged {
    fn sees(&mut self, tick: &times::Tick) -> bool {
        let canary = of_histogram(&tick.canary, tick.failed.0);
        let stable = of_histogram(&tick.stable, tick.failed.1);
        self.take(tick.end, tick.weight, canary, stable);
        self.rolls_back()
    }
}

/// The second in which rollouts begin.
const START: u64 = 1_800_000_000;

pub(super) fn of_counts(counts: Counts) -> Tally {
    let mut tally = Tally { assigned: counts.all, ..Tally::default() };
    tally.errors[Class::Status5xx as usize] = counts.bad;
    tally
}

fn of_histogram(times: &Histogram, failed: u64) -> Tally {
    let counts = times.counts().iter().enumerate().filter(|(_, count)| **count > 0);
    let cell = |(bucket, count): (usize, &u64)| {
        Some((u16::try_from(bucket).ok()?, u32::try_from(*count).ok()?))
    };
    let times_of = counts.filter_map(cell).collect();
    let counted = of_counts(Counts { bad: failed, all: times.all() + failed });
    Tally { times: times_of, ..counted }
}
