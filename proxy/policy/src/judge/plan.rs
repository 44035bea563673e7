//! How long each step of a rollout will take, before it begins, and what to do about it.

use serde::{Deserialize, Serialize};

use super::{
    bernoulli::{Boundary, Side},
    forecast::{Assumption, POWER_80, seconds},
    margin::{graduated, shift},
    past::Times,
    rules::{Allowed, LARGEST_MARGIN, Proven, QUANTILES, Rules, Signal, TAIL},
};

/// What stable usually does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// Share of requests that go wrong.
    pub errors: f64,
    /// Times of those that go well.
    pub times: Times,
}

/// How long a step will take to be sure, with a chance of 80 %. `None`: longer than thirty years,
/// or it is not judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepForecast {
    /// The canary's share.
    pub weight: f64,
    /// Seconds until errors are found that are so many times as frequent.
    pub errors: Vec<Detection>,
    /// Seconds until a p99 is found that is so many times as long.
    pub latency: Vec<Detection>,
    /// Seconds in this step until a canary as good as stable may leave it: its hold at least.
    pub proof: Option<f64>,
    /// What would be faster, if a figure is beyond an hour.
    pub advice: Vec<Advice>,
}

/// A regression, and how long it goes unseen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// How many times as bad.
    pub factor: f64,
    /// Until then.
    pub seconds: Option<f64>,
}

/// What makes a step faster.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Advice {
    /// Send copies of all requests to the canary first: all of the rate, and no harm.
    Mirror,
    /// A larger share for the canary.
    Larger {
        /// The share.
        weight: f64,
        /// Seconds until three times the errors are found.
        triple: Option<f64>,
        /// Seconds until this step's margins are proven.
        proof: Option<f64>,
    },
    /// A larger allowance for harm.
    Wider {
        /// Share of all requests that may fail unseen.
        risk_errors: f64,
        /// Seconds until this step's margins are proven.
        proof: Option<f64>,
    },
}

/// Errors that are looked for: so many times stable's.
const FACTORS: [f64; 3] = [1.5, 3.0, 10.0];
/// Times that are looked for.
const SLOWER: [f64; 2] = [1.1, 1.2];
/// Beyond an hour, something else is proposed.
const LONG: f64 = 3600.0;

/// Per step of (weight, seconds that it takes at the least), at a rate of requests a second to
/// both versions.
#[must_use]
pub fn plan(rules: &Rules, steps: &[(f64, f64)], rate: f64, usual: &Usual) -> Vec<StepForecast> {
    let asked = Asked { rules, rate, usual };
    let weights: Vec<f64> = steps.iter().map(|(weight, _)| *weight).collect();
    let mut behind: Vec<(f64, f64)> = Vec::new();
    let mut forecasts = Vec::new();
    for (index, (weight, hold)) in steps.iter().enumerate() {
        let next = weights.get(index + 1).copied().unwrap_or(1.0);
        let forecast = asked.step(&behind, (*weight, *hold), next);
        behind.push((*weight, forecast.proof.unwrap_or(*hold).max(*hold)));
        forecasts.push(forecast);
    }
    forecasts
}

struct Asked<'a> {
    rules: &'a Rules,
    rate: f64,
    usual: &'a Usual,
}

impl Asked<'_> {
    fn step(&self, behind: &[(f64, f64)], step: (f64, f64), next: f64) -> StepForecast {
        let (weight, hold) = step;
        let errors = FACTORS.map(|factor| self.errors(weight, factor)).into();
        let latency = SLOWER.map(|factor| self.latency(weight, factor)).into();
        let proof = self.proof(behind, weight, next, 1.0).map(|seconds| seconds.max(hold));
        let mut forecast = StepForecast { weight, errors, latency, proof, advice: Vec::new() };
        if forecast.is_long() {
            forecast.advice = self.advice(behind, weight, next);
        }
        forecast
    }

    fn advice(&self, behind: &[(f64, f64)], weight: f64, next: f64) -> Vec<Advice> {
        let larger = [0.25, 0.5].into_iter().filter(|larger| *larger > weight);
        let larger = larger.map(|weight| Advice::Larger {
            weight,
            triple: self.errors(weight, 3.0).seconds,
            proof: self.proof(behind, weight, next.max(weight), 1.0),
        });
        let risk = self.rules.proofs.iter().find(|proof| proof.of == Proven::Errors);
        let wider = risk.map(|proof| Advice::Wider {
            risk_errors: proof.risk * WIDER,
            proof: self.proof(behind, weight, next, WIDER),
        });
        std::iter::once(Advice::Mirror).chain(larger).chain(wider).collect()
    }

    fn errors(&self, weight: f64, factor: f64) -> Detection {
        let stable = self.usual.errors.max(1e-7);
        let seconds = self.boundary(Signal::Errors).and_then(|boundary| {
            let canary = (stable * factor).min(0.95);
            let share = self.rules.share(Signal::Errors);
            self.regression(weight, (stable, canary), boundary, share)
        });
        Detection { factor, seconds }
    }

    /// As found by the quantiles of which the whole distribution's evidence is made: the first.
    fn latency(&self, weight: f64, factor: f64) -> Detection {
        let seconds = self.boundary(Signal::Latency).and_then(|boundary| {
            let allowed = i32::from(shift(boundary.ratio - 1.0, Side::Worse));
            let share = self.rules.share(Signal::Latency);
            let found = QUANTILES.iter().filter_map(|(quantile, own)| {
                let chances = self.tail(*quantile, allowed, factor)?;
                self.regression(weight, chances, Boundary::EQUAL, share * own)
            });
            found.min_by(f64::total_cmp)
        });
        Detection { factor, seconds }
    }

    /// Shares of stable and of a canary that takes `factor` times as long that are beyond a
    /// quantile, the canary's threshold `allowed` buckets above.
    fn tail(&self, quantile: f64, allowed: i32, factor: f64) -> Option<(f64, f64)> {
        let bucket = i32::from(self.usual.times.threshold(quantile)?);
        let well = 1.0 - self.usual.errors;
        #[expect(clippy::cast_possible_truncation, reason = "a few buckets")]
        let slower = (16.0 * factor.log2()).round() as i32;
        let beyond = |bucket| well * self.usual.times.beyond(bucket);
        let (stable, canary) = (beyond(bucket), beyond(bucket + allowed - slower));
        (stable > 0.0).then_some((stable, canary))
    }

    fn boundary(&self, signal: Signal) -> Option<Boundary> {
        self.rules.held.iter().find_map(|held| match held.allowed {
            Allowed::Against(boundary) if held.signal == signal => Some(boundary),
            Allowed::Against(_) | Allowed::AtMost(_) => None,
        })
    }

    /// The mean of all evidence has to be enough, of which this signal's is but a share.
    fn regression(
        &self,
        weight: f64,
        (stable, canary): (f64, f64),
        boundary: Boundary,
        share: f64,
    ) -> Option<f64> {
        let assumed = Assumption {
            rate: self.rate,
            stable,
            canary,
            boundary,
            side: Side::Worse,
            alpha: self.rules.alpha * share,
            luck: POWER_80,
            stake: 0.5,
        };
        // Where the canary is within what is allowed, there is nothing to find.
        (canary > boundary.at(stable)).then(|| seconds(&[(weight, 0.0)], &assumed)).flatten()
    }

    /// Seconds in a step until all its margins, times `wider`, are excluded; what was seen in the
    /// steps behind counts.
    fn proof(&self, behind: &[(f64, f64)], weight: f64, next: f64, wider: f64) -> Option<f64> {
        let spent: f64 = behind.iter().map(|(_, seconds)| seconds).sum();
        let mut steps = behind.to_vec();
        steps.push((weight, 0.0));
        let mut longest = 0.0_f64;
        for proof in &self.rules.proofs {
            let margin = graduated(proof.risk * wider, &[weight, next])[0].min(LARGEST_MARGIN);
            let stable = match proof.of {
                Proven::Errors => self.usual.errors.max(1e-7),
                Proven::Slow { .. } => 1.0 - TAIL,
            };
            let assumed = Assumption {
                rate: self.rate,
                stable,
                canary: stable,
                boundary: Boundary { ratio: 1.0, points: margin },
                side: Side::NotWorse,
                alpha: self.rules.beta,
                luck: POWER_80,
                stake: 1.0,
            };
            longest = longest.max(seconds(&steps, &assumed)? - spent);
        }
        Some(longest)
    }
}

/// How many times as wide a margin is proposed.
const WIDER: f64 = 4.0;

impl StepForecast {
    /// Whether a proof, or three times the errors, take more than an hour.
    #[must_use]
    pub fn is_long(&self) -> bool {
        let triple = self.errors.iter().find(|found| found.factor.to_bits() == 3.0_f64.to_bits());
        let is_long = |seconds: Option<f64>| seconds.is_none_or(|seconds| seconds > LONG);
        is_long(self.proof) || triple.is_some_and(|found| is_long(found.seconds))
    }
}
