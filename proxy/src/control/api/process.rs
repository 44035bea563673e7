//! Which process answers.

use serde::{Deserialize, Serialize};

/// Who was before a process, and who comes after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// How many processes have handed over, one after the other, up to this one.
    pub number: u64,
    /// The process before, while it finishes what it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u32>,
    /// The process that serves now, if it is no longer this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heir: Option<u32>,
}

/// The audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// Its file; without one, deeds are in our own log alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Lines written.
    pub lines: u64,
    /// Lines that could not be written.
    pub lost: u64,
    /// Why, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}
