//! Rollouts in the admin API's JSON.

use std::collections::BTreeMap;

use gnomon_policy::{
    judge::plan::StepForecast,
    rollout::{Arms, Event, State},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One rollout, as configured and as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its name.
    pub name: String,
    /// The version that is replaced, as in `shop@v1`.
    pub from: String,
    /// The version that takes over.
    pub to: String,
    /// Where it is.
    pub state: State,
    /// The plan, in order.
    pub steps: Vec<Step>,
    /// What the canary gets now, in percent.
    pub in_force: f64,
    /// Whether nobody else may change the split.
    pub owns_split: bool,
    /// Whether the data cores may cut the canary off by themselves.
    pub armed: bool,
    /// Whether all that has happened is on the disk.
    pub saved: bool,
    /// Requests in this step that are evidence; in a step of shadows, the canary's are compared
    /// copies.
    pub requests: Arms<u64>,
    /// Endpoints that may be used.
    pub healthy: Arms<u32>,
    /// The fullest component, 0 to 1, where it is measured.
    pub saturation: Arms<Option<f64>>,
    /// Share of the compared copies that really differ.
    pub diff_rate: Option<f64>,
    /// What the judge says, in words.
    pub verdict: String,
    /// What the judge knows: counts, intervals, e-values.
    pub report: Value,
    /// Who stops the line, if somebody does.
    pub line: Option<Line>,
}

/// A step of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `25%`, or `shadow 5%`.
    pub what: String,
    /// Share of the users, in percent.
    pub weight: f64,
    /// How long it stays at the least.
    pub hold_seconds: u64,
    /// Whether a person has to say yes before the next one.
    pub approve: bool,
}

/// A stop of the line: no rollout raises a weight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// Transitions that were told to webhooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Delivered.
    pub sent: u64,
    /// Given up.
    pub failed: u64,
    /// Left out because too many waited.
    pub dropped: u64,
    /// Waiting now.
    pub waiting: u64,
}

/// `GET /v1/rollouts`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rollouts {
    /// By name.
    pub rollouts: Vec<Rollout>,
    /// Who stops the line, if somebody does.
    pub line: Option<Line>,
    /// Why nothing can be written now, if so: no weight is raised then.
    pub trouble: Option<String>,
    /// What webhooks were told.
    pub hooks: Hooks,
}

/// What is asked of the line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineAsked {
    /// Whether it stops.
    pub on: bool,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who, in words; the peer is known besides.
    #[serde(default)]
    pub by: String,
}

/// What goes with an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderAsked {
    /// Why.
    pub reason: String,
    /// Who, in words; the peer is known besides.
    pub by: String,
    /// `promote`: to 100 % at once.
    pub full: bool,
    /// `promote`: only out of this step, counted from 1.
    pub step: Option<usize>,
}

/// One line of the decision record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Rises.
    #[serde(default)]
    pub id: u64,
    /// Whose.
    pub rollout: String,
    /// What happened, when, who and why.
    pub event: Event,
    /// What the judge knew: counts, intervals, e-values, rules.
    pub report: Value,
    /// Hash of the configuration that was in force.
    pub config: String,
}

/// `GET /v1/rollouts/NAME/plan`: how long it will take at the present traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The rollout.
    pub name: String,
    /// Whether users are counted, not requests, because they stay on their version.
    pub by_user: bool,
    /// Requests (or new users) of both versions a second, over the last minute.
    pub rate: f64,
    /// How often stable fails, as a share.
    pub errors: f64,
    /// The plan.
    pub plan: Vec<Step>,
    /// What is expected of each of its steps that compares both versions.
    pub steps: Vec<StepForecast>,
}

/// What is asked of a second judgement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RejudgeAsked {
    /// Limits of the gate that are other: keys as below `[rollout.NAME.gate]`.
    pub gate: BTreeMap<String, String>,
    /// Of which start; the newest if none.
    pub generation: Option<u32>,
}

/// What would have been under other rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rejudged {
    /// Of which start.
    pub generation: u32,
    /// What was other.
    pub gate: BTreeMap<String, String>,
    /// Seconds of evidence that are kept.
    pub cohorts: u64,
    /// The first of them, in seconds since 1970.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// Whenever the judge would have changed its mind.
    pub turns: Vec<Turn>,
    /// What really happened.
    pub recorded: Vec<Event>,
    /// What the judge would know at the end.
    pub report: Value,
}

/// A change of the judge's mind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// When, in seconds since 1970.
    pub at: u64,
    /// In which step, counted from 1.
    pub step: usize,
    /// `advance`, `not_proven`, `hold` or `rollback`.
    pub verdict: String,
    /// In words.
    pub words: String,
}

/// Why a rollout is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// How it is now.
    pub now: Rollout,
    /// The newest transitions, newest first.
    pub last: Vec<Record>,
}
