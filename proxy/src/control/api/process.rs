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
