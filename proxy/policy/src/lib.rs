//! Decisions, pure: the same arguments give the same answer. Time and luck are arguments.
//!
//! | who asks | what | where |
//! |---|---|---|
//! | a worker, once a request | which route, version, arm | [`table`] |
//! | a worker, once a request | may its client ask so often | [`limit`] |
//! | a worker, once a connection | may its client have so many | [`limit`] |
//! | a worker, once an attempt | which endpoint | [`balance`] |
//! | a worker, once a request | who gets a copy of it | [`shadow`] |
//! | a worker, after a failure | may it be tried again, and by whom | [`retry`], [`Table::fallback`] |
//! | a worker, while writing the head | what the origin is asked for, where a redirect leads | [`rewrite`] |
//! | a worker, once a reply | which cell of the histogram | [`golden`] |
//! | a worker, as a reply flows by | what stands at a place in its JSON | [`pointer`](mod@pointer) |
//! | control, at its tick | which endpoint stays out | [`eject`], [`health`] |
//! | control, five times a second | how hard is the process pressed | [`strain`] |
//! | control, once a second | is a canary worse, may that be said already | [`judge`] |
//! | control, when an operator speaks | what the split becomes | [`split`] |
//! | control, once a second | whether a rollout goes on, holds or goes back | [`rollout`] |
//! | a person | why did this request go there | [`explain`] |
//!
//! Nothing here reads a clock, opens a socket or keeps global state, and nothing a request
//! passes through allocates. What cores share is a table that its owner hands to them ([`limit`]).

mod assign;
pub mod balance;
mod edits;
pub mod eject;
pub mod explain;
pub mod golden;
pub mod health;
mod index;
pub mod judge;
pub mod limit;
pub mod luck;
mod matcher;
pub mod plan;
pub mod pointer;
pub mod retry;
pub mod rewrite;
pub mod rollout;
pub mod shadow;
pub mod split;
pub mod sticky;
pub mod strain;
pub mod subject;
pub mod table;

pub use edits::BadEdit;
pub use luck::Luck;
pub use plan::{Assignment, MintedId, Plan, RouteIx};
pub use shadow::Targets;
pub use split::SplitState;
pub use subject::Subject;
pub use table::{Availability, Decision, Table};

#[cfg(test)]
mod testing;
