//! The judge: is the canary worse than stable, and may that be said already?
//!
//! It is fed [`Cohort`]s, the requests of one second by the version they were *assigned* to, with
//! the probability the router really used. The claim to refute is "a bad answer is no more likely
//! to have been sent to the canary than that probability, adjusted for the margin, says". What
//! befalls both versions alike cancels, whatever the traffic, and the evidence may be looked at
//! after every request (Ville's inequality). Pure: time is a cohort's second.

pub mod bernoulli;
pub mod cohort;
pub mod concentration;
mod event;
pub mod events;
pub mod fixed;
pub mod forecast;
mod gauge;
pub mod kpi;
pub mod margin;
pub mod merge;
pub mod numbers;
pub mod paired;
mod part;
mod past;
pub mod plan;
pub mod range;
pub mod report;
pub mod rules;
pub mod verdict;
mod watch;
mod weighing;
pub mod words;

pub use cohort::{Cohort, Tally};
pub use gauge::Both;
pub use past::Times;
pub use plan::plan;
pub use report::Report;
pub use rules::Rules;
pub use verdict::{Missing, Verdict, Why};
pub use weighing::Judge;
pub use words::{Occasion, variants, words};

#[cfg(test)]
mod tests;
