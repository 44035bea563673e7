//! The admin API's JSON, shared by server, command line and tests.

mod cores;
pub mod flag;
pub mod flag_compare;
mod golden;
mod listener;
mod process;
pub mod rollout;
pub mod routes;
pub mod series;

use std::{collections::BTreeMap, fmt, sync::Arc};

use gnomon_shadow::{
    accounting::Accounting,
    bundle::Bundle,
    finding::{Finding, Mark, MarkKind},
    report::PathReport,
};
use serde::{Deserialize, Serialize};

pub use super::{saturation::Saturation, strain::Overload};
pub use cores::CoreStatus;
pub use golden::{Arms, Golden, RouteFailures};
pub use listener::{CertificateStatus, ListenerStatus};
pub use process::{AuditStatus, Succession};

/// Field that a POST over TCP must carry, which no web page can add to a request of its own.
pub const ACTION_FIELD: &str = "x-gnomon";

/// What an action did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Always true; an action that failed answers with [`Refused`].
    pub ok: bool,
    /// What is different now, one line each; empty if nothing is.
    pub changes: Vec<String>,
    /// What the caller should know beside.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Generation of the snapshot that holds the changes.
    pub generation: u64,
    /// Milliseconds until the last core that answered used it.
    pub acknowledged_ms: f64,
    /// Cores that did not use it within two seconds.
    pub cores_missing: Vec<usize>,
}

/// Why an action was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// What is wrong.
    pub error: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What sort of refusal this is.
    pub kind: Kind,
}

impl Refused {
    /// A refusal without advice.
    #[must_use]
    pub fn new(kind: Kind, error: impl Into<String>) -> Self {
        Self { error: error.into(), help: None, kind }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  help: {help}"))
    }
}

impl std::error::Error for Refused {}

/// What sort of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request makes no sense: 400.
    Request,
    /// Not allowed: 403.
    Forbidden,
    /// What is named does not exist: 404.
    Unknown,
    /// Not in the present state: 409.
    State,
    /// The configuration is wrong: 422, exit code 78.
    Config,
    /// The machine would not do it: 500.
    Machine,
    /// Too many ask at once: 503.
    Busy,
}

impl Kind {
    /// The status of an answer that refuses so.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Request => 400,
            Self::Forbidden => 403,
            Self::Unknown => 404,
            Self::State => 409,
            Self::Config => 422,
            Self::Machine => 500,
            Self::Busy => 503,
        }
    }
}

/// What a reload would change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// One line each; empty if a reload would do nothing.
    pub changes: Vec<String>,
    /// Those that need a restart.
    pub restart: Vec<String>,
    /// What people have changed of flags beside the files; a reload leaves it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
}

/// Weights to set, in percent by version. Canaries left out keep theirs, stable takes the rest.
pub type Weights = BTreeMap<String, f64>;

/// What is to be recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Only this route's exchanges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Only this upstream's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Share of them, as in `10%`; all if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// Exchanges at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Time at most, as in `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// Names a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The version's name.
    pub version: String,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Our own version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Who was before it, and who comes after it.
    #[serde(default)]
    pub succession: Succession,
    /// Since the start.
    pub uptime_seconds: f64,
    /// What the process as a whole is doing.
    pub phase: Stage,
    /// Whether `/readyz` is green.
    pub ready: bool,
    /// Whether `/livez` is green.
    pub live: bool,
    /// Generation of the newest snapshot.
    pub generation: u64,
    /// What is configured.
    pub config: ConfigStatus,
    /// Where clients connect.
    pub listeners: Vec<ListenerStatus>,
    /// One for each core.
    pub cores: Vec<CoreStatus>,
    /// In the order of the configuration.
    pub upstreams: Vec<UpstreamStatus>,
    /// The access log.
    pub access_log: LogStatus,
    /// The audit log.
    #[serde(default)]
    pub audit: AuditStatus,
    /// Copies for the shadow.
    pub shadow: ShadowStatus,
    /// How full everything is.
    #[serde(default)]
    pub saturation: Saturation,
    /// How hard the process is pressed.
    #[serde(default)]
    pub overload: Overload,
    /// Who gets which feature.
    #[serde(default)]
    pub flags: flag::Short,
}

/// What the process as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Serving.
    Serving,
    /// About to stop: unready, but accepting still.
    Leaving,
    /// Finishing what is under way.
    Draining,
    /// Over.
    Closing,
}

/// What is configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The main file.
    pub path: Option<String>,
    /// The same for two hosts that believe the same.
    pub hash: String,
    /// How the last reload went, if there was one.
    pub last_reload: Option<ReloadStatus>,
}

/// How a reload went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// Whether it was taken over.
    pub ok: bool,
    /// When, in seconds since the Unix epoch.
    pub time_seconds: f64,
    /// What changed, or what was wrong.
    pub detail: Vec<String>,
}

/// An upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Whether verbs are refused until `resume`.
    pub frozen: bool,
    /// Whether the split is another than the file's.
    pub overridden: bool,
    /// In the order of the configuration.
    pub versions: Vec<VersionStatus>,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// Its name.
    pub name: String,
    /// `stable` or `canary`.
    pub arm: Arm,
    /// Share of the traffic now, in percent.
    pub share: f64,
    /// Share of the traffic by the file, in percent.
    pub configured_share: f64,
    /// Whether it takes no new users.
    pub draining: bool,
    /// Whether any endpoint may be used.
    pub available: bool,
    /// Assigned by coin or sticky hash.
    pub assigned: u64,
    /// Forced by a route.
    pub pinned: u64,
    /// Came from another version that had no endpoint.
    pub fallback: u64,
    /// Had to go elsewhere.
    pub displaced: u64,
    /// Exchanges under way.
    pub in_flight: u64,
    /// Replies by class: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub classes: [u64; 5],
    /// Exchanges without a whole reply, by reason.
    pub failures: Failures,
    /// Exchanges that the client gave up.
    pub client_gone: u64,
    /// Body bytes from clients to origins.
    pub request_bytes: u64,
    /// Body bytes from origins to clients.
    pub response_bytes: u64,
    /// Time of exchanges with a status below 500, since the start.
    pub latency: Quantiles,
    /// Time of the others.
    pub failure_latency: Quantiles,
    /// Where it runs.
    pub endpoints: Vec<EndpointStatus>,
}

/// Which side of a split a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// Takes the rest.
    Stable,
    /// Takes its share.
    Canary,
}

/// Exchanges without a whole reply, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// No connection.
    pub connect: u64,
    /// The connection ended before the reply did.
    pub reset: u64,
    /// A deadline passed.
    pub timeout: u64,
    /// The reply's content ended early.
    #[serde(default)]
    pub truncated: u64,
    /// The reply was malformed.
    pub protocol: u64,
}

/// Quantiles of a latency; absent if nothing was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Quantiles {
    pub count: u64,
    pub p50_seconds: Option<f64>,
    pub p90_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    pub max_seconds: Option<f64>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Where it is.
    pub address: String,
    /// Whether it may be used.
    pub available: bool,
    /// Why it may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// Exchanges begun.
    pub requests: u64,
    /// Exchanges under way.
    pub in_flight: u64,
    /// Idle connections.
    pub idle: u64,
}

/// The access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Lines written.
    pub lines: u64,
    /// Lines dropped because a ring was full.
    pub drops: u64,
    /// Times that the file or stream refused.
    pub failures: u64,
}

/// Copies for the shadow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShadowStatus {
    /// Copies taken from the lanes.
    pub taken: u64,
    /// Times that its thread had to be begun anew.
    pub restarts: u64,
    /// Whether exchanges are being recorded.
    #[serde(default)]
    pub recording: bool,
    /// What keeps the findings.
    pub store: StoreStatus,
}

/// How what shadows learn is written down. Whatever happens to it, shadows work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Whether it is written down at all; none before there is a shadow.
    pub keeps: Option<bool>,
    /// Whether it cannot be written now: nothing was since the last error.
    pub trouble: bool,
    /// Transactions.
    pub writes: u64,
    /// Seconds in which nothing could be written.
    pub failures: u64,
    /// Changes that are not written yet.
    pub pending: u64,
    /// When something was last written, in seconds since the Unix epoch.
    pub last_write_seconds: Option<f64>,
    /// What went wrong last; it stays after things are well again.
    pub last_error: Option<StoreError>,
}

/// What went wrong with the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreError {
    /// When, in seconds since the Unix epoch.
    pub time_seconds: f64,
    /// What.
    pub what: String,
}

/// One shadow, as configured and as counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// Its name.
    pub name: String,
    /// Whose requests are copied.
    pub from: String,
    /// Who gets the copies.
    pub to: String,
    /// Share of the eligible requests that are copied, in percent.
    pub sample: f64,
    /// What became of the requests.
    pub accounting: Accounting,
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageAsked {
    /// Items left out at the beginning.
    pub offset: usize,
    /// Items at most, up to 1000.
    pub limit: usize,
    /// Whether what is settled is shown too.
    pub all: bool,
}

impl Default for PageAsked {
    fn default() -> Self {
        Self { offset: 0, limit: 50, all: false }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// Items in the whole list.
    pub total: usize,
    /// Items left out at the beginning.
    pub offset: usize,
    /// This part.
    pub items: Vec<T>,
}

/// What a shadow has learnt of its primary's noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoisePage {
    /// Paths at which two answers of the primary's version differ, the most often first.
    pub paths: Page<PathReport>,
    /// What somebody has pinned.
    pub marks: Vec<Mark>,
}

/// A finding with its newest example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingDetail {
    /// Whose it is.
    pub shadow: String,
    /// The finding.
    pub finding: Arc<Finding>,
    /// A repro bundle.
    pub example: Option<Bundle>,
}

/// A pinned verdict, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkAsked {
    /// A pattern such as `$..updated_at`, or a path as a finding has it.
    pub pattern: String,
    /// Which verdict; none takes the pin away.
    pub kind: Option<MarkKind>,
    /// Why.
    #[serde(default)]
    pub why: String,
}

/// What is to be learnt anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForgetAsked {
    /// The path; everything if none.
    pub path: Option<String>,
}

/// An outcome that is told after the reply: `POST /v1/kpi` takes one or a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KpiReport {
    /// The request's `x-request-id`.
    pub request: String,
    /// The KPI's name.
    pub kpi: String,
    /// How much of it.
    pub value: KpiValue,
    /// What makes it the same report when it is said again; the request and the KPI if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A KPI's value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number, true or false")]
pub enum KpiValue {
    /// An amount.
    Amount(f64),
    /// Whether it is there: 1 or 0.
    Is(bool),
}

/// What became of reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KpiAnswer {
    /// Reports that count.
    pub counted: usize,
    /// Reports that had been made before, and count once.
    pub duplicate: usize,
    /// Reports that contradict earlier ones.
    pub refused: usize,
    /// Reports after their time.
    pub late: usize,
    /// Reports about no request of a trial that is remembered.
    pub unknown: usize,
    /// What became of each, in the order of the reports.
    pub outcomes: Vec<KpiOutcome>,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KpiOutcome {
    /// It counts.
    Counted,
    /// It was made before, and counts once.
    Duplicate,
    /// It contradicts an earlier one.
    Refused,
    /// It came after its time.
    Late,
    /// No request of a trial that is remembered has this id.
    Unknown,
}

/// A KPI, and what was told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KpiStatus {
    /// Its name.
    pub name: String,
    /// The upstream whose requests have it.
    pub upstream: String,
    /// Where it comes from, as the configuration says it.
    pub from: String,
    /// Requests of present trials whose reply told it.
    pub told: u64,
    /// Late reports that count.
    pub reported: u64,
    /// Late reports that had been made before.
    pub duplicate: u64,
    /// Late reports that contradicted earlier ones.
    pub refused: u64,
    /// Reports that came after their time.
    pub late: u64,
    /// Reports about no request of a trial that was remembered.
    pub unknown: u64,
    /// Requests that were forgotten before their time, since too many others came.
    pub forgotten: u64,
}

/// One condition of `/readyz` or `/livez`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What there is to say about it.
    pub detail: String,
}
