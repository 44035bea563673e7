//! What a verdict rests on, in numbers.

use serde::{Deserialize, Serialize};

use super::{
    bernoulli::Counts,
    cohort::upper_edge,
    events::{Range, range},
    gauge::{Both, Gauge, Seen},
    numbers::real,
    rules::{Allowed, Signal},
    verdict::Verdict,
    weighing::{Here, Judge},
};

/// All that may be shown of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The step, from 0.
    pub step: usize,
    /// What follows.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Evidence of all signals together that the canary is worse than allowed.
    pub mean_e: f64,
    /// As much rolls back.
    pub rule: f64,
    /// Evidence that the router does not send the canary the share it claims to.
    pub router_e: f64,
    /// Requests in this step.
    pub assigned: Both<u64>,
    /// Times of this step's requests that went well.
    pub times: Both<Quantiles>,
    /// Each signal.
    pub signals: Vec<SignalReport>,
    /// What has to be proven before the step is left.
    pub proofs: Vec<ProofReport>,
}

/// Quantiles of a time, in seconds; `None` without requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub p50: Option<f64>,
    /// What one of a hundred is slower than.
    pub p99: Option<f64>,
}

/// One signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalReport {
    /// Its name.
    pub name: String,
    /// What it looks at.
    pub signal: Signal,
    /// What is allowed.
    pub allowed: Allowed,
    /// Share of the evidence.
    pub weight: f64,
    /// The quantile of stable's past whose excess is counted below: of the whole distribution the
    /// one that says most; `None` of what is no time.
    pub quantile: Option<f64>,
    /// Bad events and requests in this step; of an amount, its sum and the most it could be.
    pub here: Both<Counts>,
    /// The same since the canary began.
    pub overall: Both<Counts>,
    /// How many times stable's rate the canary's is, with 95 %, at all times; `None` of an amount.
    pub ratio: Option<Range>,
    /// Evidence that the limit is broken.
    pub e: f64,
    /// Whether a rollback is due to it.
    pub is_culprit: bool,
}

/// One proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProofReport {
    /// Its name.
    pub name: String,
    /// Harm in points that is to be excluded.
    pub margin: f64,
    /// Evidence that it is.
    pub e: f64,
    /// As much is needed.
    pub need: f64,
}

/// How sure a range is.
const RANGE_ALPHA: f64 = 0.05;

impl Judge {
    /// What the verdict of a step rests on.
    #[must_use]
    pub fn report(&self, step: usize) -> Report {
        let verdict = self.verdict(step);
        let culprits: &[String] = match &verdict {
            Verdict::Rollback { culprits } => culprits,
            Verdict::Hold { .. } | Verdict::Advance | Verdict::NotProven { .. } => &[],
        };
        let signals = self.gauges().iter().map(|gauge| signal(gauge, culprits)).collect();
        let need = 1.0 / self.rules().beta;
        let proof = |(name, margin, e): (&str, f64, f64)| ProofReport {
            name: name.to_owned(),
            margin,
            e,
            need,
        };
        Report {
            step,
            mean_e: self.mean_e(),
            rule: 1.0 / self.rules().alpha,
            router_e: self.router_e(),
            assigned: self.assigned(),
            times: Both {
                canary: quantiles(&self.here.canary),
                stable: quantiles(&self.here.stable),
            },
            signals,
            proofs: self.proofs().iter().map(|margins| proof(margins.at(step))).collect(),
            verdict,
        }
    }
}

fn signal(gauge: &Gauge, culprits: &[String]) -> SignalReport {
    let (held, seen) = (gauge.held(), gauge.loudest());
    let is_mean = matches!(held.signal, Signal::Amount(..));
    SignalReport {
        name: held.name.clone(),
        signal: held.signal,
        allowed: held.allowed,
        weight: held.weight,
        quantile: seen.and_then(Seen::quantile),
        here: seen.map_or_else(Both::default, |seen| seen.here),
        overall: seen.map_or_else(Both::default, |seen| seen.overall),
        ratio: seen.filter(|_| !is_mean).map(|seen| range(&seen.epochs, RANGE_ALPHA)),
        e: gauge.e(),
        is_culprit: culprits.contains(&held.name),
    }
}

fn quantiles(here: &Here) -> Quantiles {
    let all = here.times.iter().sum::<u64>();
    let at = |quantile: f64| {
        let mut below = 0;
        let bucket = here.times.iter().position(|count| {
            below += count;
            below > 0 && real(below) >= quantile * real(all)
        })?;
        u16::try_from(bucket).ok().map(upper_edge)
    };
    Quantiles { p50: at(0.5), p99: at(0.99) }
}
