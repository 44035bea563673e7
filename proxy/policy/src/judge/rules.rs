//! What a canary is held to, as signals with limits and weights.

use gnomon_config::model::{Direction, Gate, Kpi, Limit, Worse};
use serde::{Deserialize, Serialize};

use super::{
    bernoulli::{Boundary, Side},
    cohort::Class,
    margin::{bucket_of, edge, shift},
};

/// What a canary is held to, and how sure the judge has to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Chance that a canary that is no worse than allowed is ever rolled back: evidence of 1/α does.
    pub alpha: f64,
    /// Evidence that a step is held at.
    pub hold: f64,
    /// Chance that a step is left although the canary is as bad as the step's margin: 1/β is needed.
    pub beta: f64,
    /// Seconds of the canary's time that are no evidence.
    pub warmup: u64,
    /// Requests of each version in a step before it may advance.
    pub min_requests: u64,
    /// What is judged, with weights that sum up to about 1.
    pub held: Vec<Held>,
    /// What has to be proven before a step is left.
    pub proofs: Vec<Proof>,
}

/// One signal and its limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// What is looked at.
    pub signal: Signal,
    /// As in reports: `errors`, `latency`, `latency_p95`, a KPI's name.
    pub name: String,
    /// What is allowed.
    pub allowed: Allowed,
    /// Share of the evidence.
    pub weight: f64,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Requests without a proper reply.
    Errors,
    /// Those of one class.
    Class(Class),
    /// The whole distribution of times.
    Latency,
    /// One quantile of it.
    Quantile(f64),
    /// Whether requests have a KPI: its index, and which way is worse.
    Conversion(usize, Worsening),
    /// The mean of a KPI.
    Amount(usize, Worsening),
}

/// Which way a KPI gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worsening {
    /// Less of it.
    Lower,
    /// More of it.
    Higher,
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// `ratio * stable + points`. Of a time: `ratio` times as slow; of a KPI that gets worse by
    /// falling: `(2 - ratio) * stable - points`.
    Against(Boundary),
    /// For the canary alone: a share of requests, or seconds.
    AtMost(f64),
}

/// What has to be proven: that no more than so much harm to all traffic goes unseen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Errors, or requests slower than stable's 99 %.
    pub of: Proven,
    /// Δ: share of all requests.
    pub risk: f64,
}

/// What a proof is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proven {
    /// Requests that went wrong.
    Errors,
    /// Requests slower than stable's 99 %, with a canary's threshold so many buckets above.
    Slow {
        /// Buckets.
        shift: u16,
    },
}

impl Proven {
    /// As in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Slow { .. } => "p99 exceedance",
        }
    }
}

/// Quantiles of the whole distribution, and their shares of its evidence.
pub const QUANTILES: [(f64, f64); 6] = [
    (0.5, 1.0 / 7.0),
    (0.75, 1.0 / 7.0),
    (0.9, 1.0 / 7.0),
    (0.95, 1.0 / 7.0),
    (0.99, 2.0 / 7.0),
    (0.999, 1.0 / 7.0),
];

/// The quantile that is shown and proven.
pub const TAIL: f64 = 0.99;

/// Most points that a step's margin asks to exclude: more would be proof of nothing.
pub const LARGEST_MARGIN: f64 = 0.5;

impl Rules {
    /// Those of a gate; `kpis` are those of the configuration, which the gate's indices are into.
    #[must_use]
    pub fn of(gate: &Gate, kpis: &[Kpi]) -> Self {
        let mut held = rates(gate);
        held.extend(latencies(gate));
        held.extend(outcomes(gate, kpis));
        Self {
            alpha: (1.0 - gate.confidence.fraction()).max(1e-9),
            hold: 10.0,
            beta: 0.05,
            warmup: gate.warmup.as_secs(),
            min_requests: gate.min_requests,
            held,
            proofs: proofs(gate),
        }
    }

    /// What the evidence of a signal against stable is multiplied with in the mean of all.
    #[must_use]
    pub fn share(&self, signal: Signal) -> f64 {
        let all: f64 = self.held.iter().map(|held| held.weight).sum();
        let is_own =
            |held: &&Held| held.signal == signal && matches!(held.allowed, Allowed::Against(_));
        let own = self.held.iter().filter(is_own);
        own.map(|held| held.weight).sum::<f64>() / all.max(f64::MIN_POSITIVE)
    }
}

fn proofs(gate: &Gate) -> Vec<Proof> {
    let mut proofs = vec![Proof { of: Proven::Errors, risk: gate.risk_errors }];
    if let Some(worse) = gate.latency.worse_by {
        let shift = shift(worse.ratio - 1.0, Side::NotWorse);
        proofs.push(Proof { of: Proven::Slow { shift }, risk: gate.risk_latency });
    }
    proofs
}

/// Both limits of a signal: as one of each, which share the weight.
fn both(signal: Signal, name: &str, limit: &Limit, weight: f64) -> Vec<Held> {
    let against = limit.worse_by.map(|worse| Allowed::Against(boundary(worse)));
    let most = limit.max.map(Allowed::AtMost);
    let all = against.into_iter().chain(most);
    let share = if limit.worse_by.is_some() && limit.max.is_some() { 0.5 } else { 1.0 };
    let one = |allowed| Held { signal, name: name.to_owned(), allowed, weight: weight * share };
    all.map(one).collect()
}

const fn boundary(worse: Worse) -> Boundary {
    Boundary { ratio: worse.ratio, points: worse.points }
}

fn rates(gate: &Gate) -> Vec<Held> {
    let mut held = both(Signal::Errors, "errors", &gate.error_rate, 0.3);
    let timeouts = Signal::Class(Class::Timeout);
    held.extend(both(timeouts, "timeouts", &gate.timeout_rate, 0.1));
    if let Some(worse) = gate.error_rate.worse_by {
        let others = Class::ALL.into_iter().filter(|class| *class != Class::Timeout);
        held.extend(others.map(|class| Held {
            signal: Signal::Class(class),
            name: class.name().to_owned(),
            allowed: Allowed::Against(boundary(worse)),
            weight: 0.1 / 5.0,
        }));
    }
    held
}

fn latencies(gate: &Gate) -> Vec<Held> {
    let mut held = both(Signal::Latency, "latency", &gate.latency, 1.0);
    for (quantile, limit) in &gate.quantiles {
        let name = format!("latency_{}", quantile_name(*quantile));
        held.extend(both(Signal::Quantile(*quantile), &name, limit, 1.0));
    }
    shared(held, 0.35)
}

fn outcomes(gate: &Gate, kpis: &[Kpi]) -> Vec<Held> {
    let one = |(index, limit): &(usize, Limit)| {
        let kpi = kpis.get(*index)?;
        let worse = match kpi.worse {
            Direction::Lower => Worsening::Lower,
            Direction::Higher => Worsening::Higher,
        };
        let signal = if kpi.is_binary {
            Signal::Conversion(*index, worse)
        } else {
            Signal::Amount(*index, worse)
        };
        let allowed = Allowed::Against(boundary(limit.worse_by?));
        Some(Held { signal, name: kpi.name.to_string(), allowed, weight: 1.0 })
    };
    shared(gate.kpis.iter().filter_map(one).collect(), 0.1)
}

/// Divides a weight among these, in the ratio of their own.
fn shared(mut held: Vec<Held>, weight: f64) -> Vec<Held> {
    let all: f64 = held.iter().map(|held| held.weight).sum();
    for held in &mut held {
        held.weight *= weight / all;
    }
    held
}

/// 0.999 is `p999`, as in the configuration.
pub(super) fn quantile_name(quantile: f64) -> String {
    let digits = format!("{quantile}");
    let digits = digits.trim_start_matches("0.");
    format!("p{digits:0<2}")
}

/// The bucket that ends at or above so many seconds.
pub(super) fn bucket_at(seconds: f64) -> u16 {
    bucket_of(edge(seconds))
}
