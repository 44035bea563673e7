//! `[rollout.NAME]` and `[kpi.NAME]`: how a canary grows, what it is held to, and when it is cut.

use std::{sync::Arc, time::Duration};

use super::{Name, Share, UpstreamIx, VersionIx};

/// How one version of an upstream takes over from another, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Its table's name.
    pub name: Name,
    /// The upstream of both versions.
    pub upstream: UpstreamIx,
    /// The version that is replaced: the upstream's stable one.
    pub from: VersionIx,
    /// The version that takes over.
    pub to: VersionIx,
    /// What begins it.
    pub start: Start,
    /// At least one; weights rise strictly, shadow steps come before all weights.
    pub steps: Vec<Step>,
    /// How long a step may take before [`On::inconclusive`] holds.
    pub max: Duration,
    /// How long after a rollback a start on change waits.
    pub cooldown: Duration,
    /// What the canary is held to.
    pub gate: Gate,
    /// What cuts it off without waiting for the judge.
    pub fuse: Fuse,
    /// What follows from a verdict.
    pub on: On,
    /// Requests sent to the canary alone, before the first weight and again at each step.
    pub tests: Vec<Probe>,
    /// When it may raise a weight; at any time if empty.
    pub windows: Vec<Window>,
}

/// What begins a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A person.
    Manual,
    /// A reload in which the endpoints of its `to` version are others than before.
    OnChange,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the canary gets.
    pub to: Stage,
    /// How long it stays at the least.
    pub hold: Duration,
    /// Whether a person has to say yes before the next step.
    pub approve: bool,
}

/// What the canary gets in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Copies of this share of stable's requests, by the shadow between the two; no users.
    Shadow(Share),
    /// This share of the users.
    Weight(Share),
}

/// What a canary is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// Requests of each version in a step before it may advance. A floor, not a test.
    pub min_requests: u64,
    /// One minus the chance of rolling a version back that is no worse than allowed: 1 − α.
    pub confidence: Share,
    /// First part of the canary's time that is no evidence: cold caches.
    pub warmup: Duration,
    /// Where users stay on their version: how long after the first request of a user what goes
    /// wrong counts. Whole seconds.
    pub horizon: Duration,
    /// Which time is judged.
    pub timing: Timing,
    /// Requests without a proper reply: connect, reset, timeout, 5xx, truncated, unfinished.
    pub error_rate: Limit,
    /// Requests that a deadline ended, apart.
    pub timeout_rate: Limit,
    /// The whole distribution: six quantiles from the median to 99.9 %.
    pub latency: Limit,
    /// Single quantiles (0.5 = median), each with its own limit.
    pub quantiles: Vec<(f64, Limit)>,
    /// Fullest component of the canary's, beyond which a step holds; none if absent.
    pub saturation_max: Option<Share>,
    /// Share of compared copies that really differ, beyond which a step holds; none if absent.
    pub diff_rate_max: Option<Share>,
    /// KPIs by their index in [`Config::kpis`](super::Config::kpis).
    pub kpis: Vec<(usize, Limit)>,
    /// Harm to all traffic that may go unseen when a step is left: errors, as a share of requests.
    pub risk_errors: f64,
    /// The same for requests slower than stable's 99 %.
    pub risk_latency: f64,
}

impl Default for Gate {
    /// As of a rollout that says nothing of it.
    fn default() -> Self {
        let worse = |ratio, points| Limit { worse_by: Some(Worse { ratio, points }), max: None };
        Self {
            min_requests: 100,
            confidence: Share(99_000),
            warmup: Duration::from_secs(30),
            horizon: Duration::from_secs(60),
            timing: Timing::Total,
            error_rate: worse(1.25, 0.0001),
            timeout_rate: worse(1.25, 0.0001),
            latency: worse(1.04, 0.0),
            quantiles: Vec::new(),
            saturation_max: None,
            diff_rate_max: None,
            kpis: Vec::new(),
            risk_errors: 0.0005,
            risk_latency: 0.005,
        }
    }
}

/// What one signal is held to. Both must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limit {
    /// How much worse than stable is allowed; `None`: not judged against stable.
    pub worse_by: Option<Worse>,
    /// Bound for the canary alone: a share for a rate, seconds for a latency.
    pub max: Option<f64>,
}

/// An allowance against stable: `ratio * stable + points`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worse {
    /// 1.25 for "25%".
    pub ratio: f64,
    /// 0.002 for "0.2pp".
    pub points: f64,
}

/// Which time of an exchange is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Until the reply's first byte.
    FirstByte,
    /// Until its last.
    Total,
}

/// A budget of bad answers, spent on the data cores themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuse {
    /// Bad canary answers within the window that cut it off; 0: no fuse.
    pub budget: u32,
    /// How far back is counted, in whole seconds.
    pub window: Duration,
    /// How many times as often as stable it must fail.
    pub factor: u32,
}

/// What follows from a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct On {
    /// When the canary is found worse.
    pub fail: OnFail,
    /// When a step has taken [`Rollout::max`] and nothing is proven.
    pub inconclusive: OnInconclusive,
    /// Told of every transition.
    pub webhook: Option<Arc<str>>,
    /// Asked before every raise of a weight: 2xx is yes.
    pub confirm: Option<Arc<str>>,
    /// How long a webhook may take.
    pub timeout: Duration,
    /// How often a webhook is tried again.
    pub retries: u32,
}

/// When the canary is found worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFail {
    /// Everybody to stable.
    Rollback,
    /// Stay, and call a person.
    Hold,
}

/// When a step is over time and nothing is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInconclusive {
    /// Stay, and call a person.
    Hold,
    /// Everybody to stable.
    Rollback,
    /// The next step, labelled "not proven".
    Advance,
}

/// A scripted request to the canary with what must come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it is called in the record.
    pub name: Arc<str>,
    /// In upper case.
    pub method: Arc<str>,
    /// Path and query.
    pub path: Arc<str>,
    /// The `Host` field; the upstream's rule if absent.
    pub host: Option<Arc<str>>,
    /// More fields.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Content, if any.
    pub body: Option<Arc<str>>,
    /// Statuses that pass, as inclusive ranges.
    pub status: Vec<(u16, u16)>,
    /// Text that the reply's content must hold, if set.
    pub contains: Option<Arc<str>>,
    /// How long it may take.
    pub timeout: Duration,
}

/// When a weight may be raised: these days, between these times of the day, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Monday first.
    pub days: [bool; 7],
    /// Minutes after midnight, included.
    pub from: u16,
    /// Minutes after midnight, excluded; at most 1,440 and after `from`.
    pub to: u16,
}

/// A business outcome of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Kpi {
    /// Its table's name.
    pub name: Name,
    /// The upstream whose requests have it.
    pub upstream: UpstreamIx,
    /// Where it comes from.
    pub source: KpiSource,
    /// The largest value; values above count as this. 1 with `is_binary`.
    pub max: f64,
    /// Whether it is there or not, rather than an amount.
    pub is_binary: bool,
    /// Which way is worse.
    pub worse: Direction,
}

/// Where an outcome comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum KpiSource {
    /// A field of the reply, in lower case, taken out before the client sees it.
    Header(Arc<str>),
    /// A place in a JSON reply, as a JSON pointer (RFC 6901).
    Json(Arc<str>),
    /// `POST /v1/kpi` with the request's id, this long after it at the latest.
    Late(Duration),
}

/// Which way a KPI gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Less of it: orders.
    Lower,
    /// More of it: complaints.
    Higher,
}

/// `[metrics]`: the exposition for Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Where it is served, besides `GET /metrics` of the admin API; nowhere else if absent.
    pub listen: Option<std::net::SocketAddr>,
    /// Its path.
    pub path: Arc<str>,
    /// Upper bounds of the latency buckets, rising.
    pub buckets: Vec<Duration>,
    /// Whether OpenMetrics text carries exemplars.
    pub exemplars: bool,
    /// Series at most; what is beyond is left out and counted.
    pub max_series: u32,
}

impl Default for Metrics {
    /// As a configuration that says nothing of it.
    fn default() -> Self {
        let millis = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];
        let mut buckets: Vec<Duration> = millis.map(Duration::from_millis).into();
        buckets[1] = Duration::from_micros(2500);
        Self { listen: None, path: "/metrics".into(), buckets, exemplars: true, max_series: 50_000 }
    }
}
