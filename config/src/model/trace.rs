//! Traces: who begins them, and who is told.

use std::{sync::Arc, time::Duration};

use super::{Secret, Share};

/// What becomes of traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Whether a request that brings no trace that we believe begins one.
    pub start: bool,
    /// Share of the traces begun here that are sampled.
    pub sample: Share,
    /// Whether trusted peers are told by `Server-Timing` where the time went.
    pub server_timing: bool,
    /// Who gets the spans of sampled traces, if anybody does.
    pub otlp: Option<Otlp>,
}

/// A collector that spans are sent to, over OTLP/HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Where to, the path of traces included.
    pub endpoint: Arc<str>,
    /// Fields to send along: names in lower case, and values that may be secrets.
    pub headers: Vec<(Arc<str>, Secret)>,
    /// Share of the sampled traces that are sent, by the trace's id.
    pub sample: Share,
    /// To send a batch.
    pub timeout: Duration,
    /// Spans that may wait; what is beyond is dropped and counted.
    pub queue: u32,
    /// Whether batches are compressed.
    pub gzip: bool,
    /// What we are called: `service.name`.
    pub service: Arc<str>,
    /// Whether spans have `user_agent.original`.
    pub user_agent: bool,
    /// Whether spans have `url.query`, redacted as in the access log.
    pub query: bool,
}
