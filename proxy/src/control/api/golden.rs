//! The golden signals, as `GET /v1/golden` tells them.

use serde::{Deserialize, Serialize};

use super::Quantiles;

/// The golden signals of one version on one route, over the latest seconds.
///
/// Saturation, the fourth, belongs to a version whatever the route: see `GET /v1/saturation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// The route.
    pub route: String,
    /// Its upstream.
    pub upstream: String,
    /// The version.
    pub version: String,
    /// How far back this looks; shorter after a start.
    pub seconds: f64,
    /// Requests a second.
    pub rate: f64,
    /// Requests by how the version came about.
    pub arms: Arms,
    /// Replies by class: 1xx (upgrades), 2xx, 3xx, 4xx, 5xx.
    pub classes: [u64; 5],
    /// Exchanges without a whole reply, by reason.
    pub failures: RouteFailures,
    /// Failures of all kinds and replies 5xx, as a share of the requests.
    pub error_rate: f64,
    /// Total time of exchanges with a status below 500.
    pub latency: Quantiles,
    /// Total time of the others.
    pub failure_latency: Quantiles,
    /// Time to the reply's first byte.
    pub first_byte: Quantiles,
}

/// Requests by how their version came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arms {
    /// By coin or sticky hash.
    pub drawn: u64,
    /// Forced by the route.
    pub pinned: u64,
    /// Moved here, as another version had no endpoint.
    pub fallback: u64,
    /// Of all these, those that took more than one attempt.
    pub retried: u64,
}

/// Exchanges without a whole reply, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in the metrics")]
pub struct RouteFailures {
    pub connect: u64,
    pub reset: u64,
    pub timeout: u64,
    pub truncated: u64,
    pub protocol: u64,
}
