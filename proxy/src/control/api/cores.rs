//! What the status says of a core.

use serde::{Deserialize, Serialize};

/// One core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in `cells`")]
pub struct CoreStatus {
    pub core: usize,
    /// How it asks the kernel for IO, and where it runs.
    pub driver: String,
    /// Whether its heartbeat stands still.
    pub stuck: bool,
    pub ready: bool,
    pub stopped: bool,
    pub heartbeat: u64,
    pub generation: u64,
    pub connections: u64,
    pub accepted: u64,
    pub accept_failures: u64,
    pub accept_pauses: u64,
    #[serde(default)]
    pub client_refusals: u64,
    #[serde(default)]
    pub strain_connections: u64,
    #[serde(default)]
    pub strain_requests: u64,
    #[serde(default)]
    pub rate_refusals: u64,
    #[serde(default)]
    pub rates_forgotten: u64,
    #[serde(default)]
    pub slow_uploads: u64,
    #[serde(default)]
    pub slow_readers: u64,
    pub requests: u64,
    pub rejects: u64,
    pub unrouted: u64,
    pub panics: u64,
    pub retries: u64,
    pub dials: u64,
    pub origin_connections: u64,
    pub queued: u64,
    pub log_drops: u64,
    pub buffers: u64,
}
