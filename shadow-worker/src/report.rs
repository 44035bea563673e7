//! What is known of all shadows at one time, to be read by whoever wants.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    difference::Aspect,
    evidence::{Pace, Rates},
    finding::{Example, Finding, Mark, Verdict},
    tally::{Pairs, Tally},
};

/// What is known of all shadows. Never changes; the next one takes its place.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// When it was made, in milliseconds since 1970.
    pub at: u64,
    /// Higher if anything was recorded since the last.
    pub revision: u64,
    /// By name.
    pub shadows: Vec<Arc<ShadowReport>>,
}

/// What is known of one shadow.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShadowReport {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Over all endpoints.
    pub totals: Totals,
    /// Chance of a second request behind the counts of `alone` and `asked` pairs.
    pub share: f64,
    /// By key.
    pub endpoints: Vec<EndpointReport>,
    /// All paths that were compared, by endpoint, name and aspect. Those with noise are what was
    /// learnt.
    pub paths: Vec<PathReport>,
    /// Real ones first, then by how often they were seen.
    pub findings: Vec<Arc<Finding>>,
    /// Verdicts that somebody pinned.
    pub marks: Vec<Arc<Mark>>,
    /// Examples of the findings, oldest first. Shown one by one.
    #[serde(skip)]
    pub examples: Vec<Arc<Example>>,
}

/// Counts of one shadow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Pairs of replies.
    pub compared: u64,
    /// Of them, those with a difference that nobody marked.
    pub different: u64,
    /// Of them, those that could not be compared in full, by why.
    pub uncomparable: BTreeMap<Box<str>, u64>,
    /// Pairs of endpoints that are not told apart, because there are too many.
    pub endpoints_over: u64,
    /// Differences at paths that are not counted: because there are too many, or a secret is in
    /// the path itself.
    pub paths_over: u64,
    /// Differences that belong to no finding, because there are too many.
    pub findings_over: u64,
    /// Examples that had to make room.
    pub examples_over: u64,
}

/// What is known of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointReport {
    /// Method and path without identifiers.
    pub endpoint: Arc<str>,
    /// Pairs of replies.
    pub compared: u64,
    /// Of them, those with a difference that nobody marked.
    pub different: u64,
    /// Of them, those that could not be compared in full.
    pub uncomparable: u64,
    /// How often any path differs.
    pub rates: Rates,
    /// Natural logarithm of the evidence that any path differs by more than noise.
    pub log_e: f64,
    /// Whether it is enough, all endpoints considered.
    pub flagged: bool,
    /// Whether the shadow is slower.
    pub pace: Pace,
    /// Natural logarithm of the evidence that it is.
    pub pace_log_e: f64,
    /// Whether it is enough, all paths considered.
    pub slower: bool,
    /// The pairs that count, by how the second request was decided.
    pub pairs: Pairs,
    /// Those in which any path differs.
    pub any: Tally,
    /// Higher whenever something was counted.
    pub revision: u64,
}

/// What is known of one path of an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathReport {
    /// The endpoint.
    pub endpoint: Arc<str>,
    /// The path.
    pub path: Arc<str>,
    /// Which of the two questions about it. Whether it is there at all has a report of its own,
    /// once it was seen to differ.
    #[serde(default, skip_serializing_if = "Aspect::is_value")]
    pub aspect: Aspect,
    /// How often it differs.
    pub rates: Rates,
    /// Natural logarithm of the evidence that it differs by more than noise.
    pub log_e: f64,
    /// What a rule without a notion of chance would say.
    pub plain_rule: bool,
    /// What is thought of it.
    pub verdict: Verdict,
    /// Pairs in which it differs.
    pub tally: Tally,
    /// Higher whenever it differed again, or its verdict changed.
    pub revision: u64,
}
