//! What the other version would have answered: copies of requests, replayed and compared.
//!
//! The promise to the request path: never block it, never retry, never be waited for. A core
//! reserves a place in its lane before it copies anything; if there is none, it counts a drop and
//! copies nothing. The shadow thread polls the lanes; a bell wakes it only after it has slept. If it
//! dies, lanes fill, reservations fail, and clients see nothing at all.

pub mod accounting;
pub mod bundle;
pub mod capture;
pub mod compare;
pub mod counts;
pub mod difference;
pub mod endpoint;
pub mod evidence;
pub mod exchange;
pub mod finding;
pub mod lanes;
pub mod ledger;
mod numbers;
mod outgoing;
mod pair;
mod place;
mod plain;
mod pool;
mod primitives;
pub mod recheck;
pub mod recorder;
pub mod recording;
pub mod redact;
mod replay;
pub mod report;
pub mod run;
mod serve;
pub mod span;
pub mod store;
pub mod tally;
pub mod terms;
mod text;

use std::time::{Duration, Instant};

/// Who is asked what time it is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Now, monotonic.
    pub now: fn() -> Instant,
    /// Now, since the Unix epoch.
    pub wall: fn() -> Duration,
}
