//! What the other version would have answered: copies of requests, replayed and compared.
//!
//! The promise to the request path: never block it, never retry, never be waited for. A core
//! reserves a place in its lane before it copies anything; if there is none, it counts a drop and
//! copies nothing. The shadow thread polls the lanes; nobody wakes it. If it dies, lanes fill,
//! reservations fail, and clients see nothing at all.

pub mod bundle;
pub mod compare;
pub mod difference;
pub mod endpoint;
pub mod evidence;
pub mod exchange;
pub mod finding;
pub mod lanes;
pub mod ledger;
mod place;
pub mod redact;
pub mod report;
pub mod run;
pub mod store;
pub mod tally;
mod text;
