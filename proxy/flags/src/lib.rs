//! Feature flags, pure: the same set and the same context give the same answer, on every core and for
//! every application that asks.
//!
//! | who asks | what | where |
//! |---|---|---|
//! | control, at a reload or a change | what all sources and people together say | [`FlagSet`] |
//! | a worker, once a request and flag | which variant its user has | [`Evaluation`] |
//! | a worker, while writing the head | what origins are told of it | [`frozen`] |
//! | a person | the same, and why | [`FlagSet::explain`] |
//! | an application, over OFREP | the same | [`FlagSet::evaluate`] |
//!
//! Nothing here reads a clock, opens a file or keeps global state.

mod claimed;
pub mod context;
pub mod evaluation;
pub mod explain;
pub mod flagd;
pub mod frozen;
mod groups;
pub mod hasher;
pub mod logic;
pub mod overrides;
pub mod resolution;
mod rules;
pub mod set;

pub use context::{Context, JsonContext, RequestContext};
pub use evaluation::Evaluation;
pub use explain::{Explanation, RuleOutcome};
pub use hasher::{Hasher, position};
pub use overrides::{Override, Overrides};
pub use resolution::{ErrorCode, Reason, Resolution};
pub use rules::{Draw, Pair};
pub use set::{Flag, FlagIx, FlagSet};
