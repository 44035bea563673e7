//! How everything goes, second by second: what consoles draw.

use serde::{Deserialize, Serialize};

use super::Arm;

/// `GET /v1/history`: the last hour, oldest first; the newest two minutes by the second, the rest in
/// means of ten.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Seconds between two beats of the older part.
    pub coarse_seconds: u64,
    /// What was seen.
    pub beats: Vec<Beat>,
}

/// What was seen in one second; also the event `beat` of `GET /v1/events`, once a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// When it ended, in milliseconds since 1970.
    pub at: u64,
    /// How full the fullest component is, 0 to 1.
    pub saturation: f64,
    /// Which component that is, in words.
    pub fullest: String,
    /// Share of its time that each core was busy, 0 to 1, by number.
    pub cores: Vec<f64>,
    /// Connections of clients.
    pub connections: u64,
    /// Each version, in the order of the configuration.
    pub versions: Vec<VersionBeat>,
    /// Each rollout, by name.
    pub rollouts: Vec<RolloutBeat>,
    /// Versions beyond the bound that are left out of `versions`.
    #[serde(default)]
    pub left_out: usize,
}

/// One version in one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VersionBeat {
    /// Its upstream.
    pub upstream: String,
    /// Its name.
    pub version: String,
    /// `stable` or `canary`.
    pub arm: Option<Arm>,
    /// Share of the users it is to get, in percent.
    pub share: f64,
    /// Requests a second.
    pub rate: f64,
    /// Replies 5xx and exchanges without a whole reply a second.
    pub errors: f64,
    /// Exchanges under way.
    pub in_flight: u64,
    /// Of the last minute.
    pub minute: Window,
    /// Since the rollout's present step began; of the versions of an active rollout only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Window>,
}

/// The signals of one version over some time, with what they may really be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Requests.
    pub requests: u64,
    /// Share of failures, 0 to 1.
    pub error_rate: f64,
    /// Between which shares it lies with 95 %, whenever one looks (`judge::range::rate`).
    pub error_band: (f64, f64),
    /// Seconds that half of the good requests took less than.
    pub p50: Option<f64>,
    /// The same of 95 in a hundred.
    pub p95: Option<f64>,
    /// The same of 99 in a hundred.
    pub p99: Option<f64>,
    /// Between which times the 99th percentile lies with 95 %, whenever one looks
    /// (`judge::range::quantile`); no bound where there are too few requests.
    pub p99_band: (Option<f64>, Option<f64>),
}

/// One rollout in one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RolloutBeat {
    /// Its name.
    pub name: String,
    /// As in `GET /v1/rollouts`.
    pub phase: String,
    /// From 1; 0 before the first.
    pub step: usize,
    /// What the canary gets, in percent.
    pub in_force: f64,
}

/// `GET /v1/route`: what would become of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Routed<D> {
    /// As `gnomon route --json` has it.
    pub decision: D,
    /// As `gnomon route --explain` tells it: the outcome in a line, an empty line, the reasons.
    pub text: String,
}

/// Something that happened: an item of `GET /v1/journal`, newest first, and the event `entry` of
/// `GET /v1/events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Rises.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// `action` (somebody asked for it), `rollout`, `split`, `flag`, `config`, `health`, `core`,
    /// `process`.
    pub kind: String,
    /// Of what: a rollout's, an upstream's or a flag's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// In words.
    pub text: String,
    /// Who brought it about; `auto` for the proxy itself.
    pub by: String,
    /// Why, where somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it was refused or failed.
    #[serde(default)]
    pub failed: bool,
}

/// What somebody may do, each with all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    #[default]
    Read,
    /// Move rollouts, splits and flags, mark noise.
    Rollout,
    /// Reload, record, open logs anew.
    Config,
    /// Upgrade and stop.
    Admin,
}

impl Role {
    /// As it is written in the configuration and in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Rollout => "rollout",
            Self::Config => "config",
            Self::Admin => "admin",
        }
    }
}

/// `GET /v1/whoami`: who asks, as the proxy sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Whoami {
    /// As in the audit log.
    pub name: String,
    /// What is allowed; a proxy with `admin.read_only` allows nobody more than `read`.
    pub role: Role,
    /// The host's name.
    pub host: String,
    /// Our own version.
    pub version: String,
}
