//! What people have changed while running, beside what files say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What people have changed, by the flag's name. What names no flag, or does not fit it, is without
/// effect, but not lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Overrides(pub BTreeMap<String, Override>);

/// What has been changed of one flag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Override {
    /// Whether the flag is on at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Name of the variant for whom no rule holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Share of its one rule that has one, in parts per 100,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<u32>,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, in seconds since 1970.
    pub at: u64,
}
