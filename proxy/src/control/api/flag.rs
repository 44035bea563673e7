//! Feature flags in the admin API's JSON.

use std::{collections::BTreeMap, net::IpAddr};

use gnomon_flags::{ErrorCode, Override, Reason};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `GET /v1/flags`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flags {
    /// Those of the configuration first, in its order.
    pub flags: Vec<Flag>,
    /// Where others come from, if from anywhere.
    pub source: Option<Source>,
    /// What has been changed of flags that are nowhere now: without effect until they are.
    pub lost: BTreeMap<String, Override>,
    /// Why changes cannot be written now, if so: after a restart they would be gone.
    pub trouble: Option<String>,
}

/// Where flags come from beside the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The file's path, or the URL.
    pub what: String,
    /// Whether what it says now is in force.
    pub ok: bool,
    /// What is wrong with it, if it is not.
    pub faults: Vec<String>,
    /// When it was last read and right, in seconds since 1970; none if never.
    pub last_success: Option<u64>,
    /// When it was last asked, in seconds since 1970.
    pub last_asked: Option<u64>,
    /// Whether what is in force was kept from an earlier process, and not read from it since.
    pub is_kept: bool,
    /// How many flags are in force from it.
    pub flags: usize,
}

/// All flags in a few numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Short {
    /// How many there are.
    pub flags: usize,
    /// Of how many somebody has changed something.
    pub changed: usize,
    /// Where others come from, if from anywhere.
    pub source: Option<Source>,
    /// Why changes cannot be written now, if so.
    pub trouble: Option<String>,
}

/// A flag, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flag {
    /// Its name.
    pub name: String,
    /// `boolean`, `string`, `number` or `json`.
    pub kind: String,
    /// What it can be.
    pub variants: Vec<Variant>,
    /// The variant for whom no rule holds; none if applications use what is in their code.
    pub default: Option<String>,
    /// Whether it is on at all.
    pub enabled: bool,
    /// Share of the rule that has one, in percent, if there is one such rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Its rules in words, in order.
    pub rules: Vec<String>,
    /// `config`, or what it comes from.
    pub source: String,
    /// Whether requests are asked about it: a route matches on it, origins are told, or it is judged.
    pub watched: bool,
    /// Who to ask about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// From when on it should be gone, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// What somebody has changed, who, when and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Override>,
    /// What is other than in its file, one line each.
    pub drift: Vec<String>,
    /// When somebody was last given a variant, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_evaluated: Option<u64>,
    /// How often, by variant, since counting began; empty if nobody counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exposures: BTreeMap<String, u64>,
    /// Since when everybody is given the same, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_since: Option<u64>,
    /// Why it may be taken out of code and file.
    pub remarks: Vec<Remark>,
}

/// What a flag can be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// Why a flag may be taken out of code and file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// What sort of remark it is.
    pub kind: RemarkKind,
    /// In words.
    pub text: String,
}

/// What sort of remark it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemarkKind {
    /// Nobody has asked for it, for as long as `flags.stale`.
    Unused,
    /// Everybody has been given the same, for as long as `flags.stale`.
    Same,
    /// It should be gone by now.
    Expired,
}

impl RemarkKind {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Unused, Self::Same, Self::Expired];

    /// As the metric's label says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Same => "same",
            Self::Expired => "expired",
        }
    }
}

/// `POST /v1/flags/NAME/set`; `…/kill`, `…/revive` and `…/reset` take `reason` and `by` alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeAsked {
    /// Whether it is on at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The variant for whom no rule holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Share of its one rule that has one, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Why.
    pub reason: String,
    /// Who, in words; the peer is known besides.
    pub by: String,
}

/// One line of the record of flags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Rises.
    #[serde(default)]
    pub id: u64,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Which flag; empty if it concerns the source as a whole.
    pub flag: String,
    /// `set`, `kill`, `revive`, `reset`, `file` or `source`.
    pub what: String,
    /// What has changed, one line each.
    pub changes: Vec<String>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Hash of the configuration that was in force.
    pub config: String,
}

/// Which part of the record is wanted.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistoryAsked {
    /// Of this flag alone.
    pub flag: Option<String>,
    /// Lines left out at the beginning.
    pub offset: usize,
    /// Lines at most, up to 1000.
    pub limit: usize,
}

impl Default for HistoryAsked {
    fn default() -> Self {
        Self { flag: None, offset: 0, limit: 50 }
    }
}

/// `POST /v1/flags/why`: a request, or what an application would say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WhyAsked {
    /// Only this flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// The request's method; GET unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Its URL, or path and query; `/` unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its fields, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The client's address; 127.0.0.1 unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// Claims, as if a token that says so had been verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Map<String, Value>>,
    /// What tells the user apart: put where the configuration looks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What an application would say instead of all this; attributes by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
    /// At this time, in seconds since 1970; now unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// What flags come to, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The groups that hold.
    pub groups: Vec<String>,
    /// All that was asked about.
    pub flags: Vec<Explained>,
}

/// What a flag comes to, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// Its name.
    pub name: String,
    /// The variant; none if applications use what is in their code.
    pub variant: Option<String>,
    /// Its value.
    pub value: Option<Value>,
    /// In OpenFeature's words.
    pub reason: Reason,
    /// What went wrong, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCode>,
    /// The rule that decided, from 1, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// What was looked at, in order, one line each.
    pub steps: Vec<String>,
    /// Whether something is at work that somebody has changed.
    pub overridden: bool,
}
