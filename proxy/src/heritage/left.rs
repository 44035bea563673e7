//! What is left: everything that a process knows and no file says.

use std::collections::BTreeMap;

use gnomon_flags::Overrides;
use serde::{Deserialize, Serialize};

use crate::{
    cells::totals::Totals,
    control::{
        api::{ReloadStatus, rollout::Line},
        flag_compare::ComparisonLeft,
        flags::hygiene::Seen,
        rollouts::{evidence::JudgeLeft, store::Kept},
        series::SeriesLeft,
        trials::left::{TrialsLeft, TrialsNews},
    },
};

/// All that a process leaves when it lays down the pen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Left {
    /// Its version.
    pub(crate) version: String,
    /// Its number.
    pub(crate) pid: u32,
    /// How many processes have handed over before it, and itself.
    pub(crate) succession: u64,
    /// How the split of each upstream is now, if it is not as its file says.
    pub(crate) splits: BTreeMap<String, SplitLeft>,
    /// Endpoints that are out.
    pub(crate) out: Vec<OutLeft>,
    pub(crate) counts: CountsLeft,
    pub(crate) rollouts: RolloutsLeft,
    pub(crate) trials: TrialsLeft,
    /// By the flag's name.
    pub(crate) comparisons: BTreeMap<String, ComparisonLeft>,
    /// The last reload.
    pub(crate) last_reload: Option<ReloadStatus>,
    /// What people have changed of flags, and how these are used.
    pub(crate) flags: FlagsLeft,
    /// The last hour, for consoles.
    pub(crate) series: SeriesLeft,
    /// What TLS tickets are sealed under.
    pub(crate) tickets: Vec<u8>,
}

/// What a process has still done after it laid down the pen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct News {
    /// What has changed, as it is now.
    pub(crate) counts: CountsLeft,
    pub(crate) trials: TrialsNews,
}

/// How a split is, by the names of versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SplitLeft {
    /// What the file said: stable, and every share that is not nothing.
    pub(crate) stable: String,
    pub(crate) configured: BTreeMap<String, u32>,
    /// What holds now.
    pub(crate) shares: BTreeMap<String, u32>,
    pub(crate) draining: Vec<String>,
    pub(crate) frozen: bool,
}

/// An endpoint that may not be used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OutLeft {
    pub(crate) upstream: String,
    pub(crate) version: String,
    /// As a person writes it.
    pub(crate) address: String,
    /// Why its checks failed, if they do.
    pub(crate) unhealthy: Option<String>,
    /// For how much longer it is ejected, in milliseconds.
    pub(crate) ejected_ms: Option<u64>,
}

/// Everything that is counted, by name. What is not named has not changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CountsLeft {
    /// By core.
    pub(crate) cores: Vec<Totals>,
    /// By upstream and version.
    pub(crate) versions: Vec<((String, String), Totals)>,
    /// By upstream, version and address.
    pub(crate) endpoints: Vec<((String, String, String), Totals)>,
    /// By route, upstream and version.
    pub(crate) routes: Vec<((String, String, String), Totals)>,
    /// By flag and variant.
    pub(crate) flags: Vec<((String, String), Totals)>,
    /// Reloads, lines of the log, and the like.
    pub(crate) own: Totals,
}

/// Where rollouts are, and what their judges know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RolloutsLeft {
    /// By name.
    pub(crate) known: BTreeMap<String, RolloutLeft>,
    /// Those that the configuration did not have.
    pub(crate) absent: BTreeMap<String, Kept>,
    pub(crate) line: Option<Line>,
    /// Whether the file was read: what is not among these is nowhere.
    pub(crate) is_read: bool,
    /// Transitions: whose, to which phase, who brought them about, and how many.
    pub(crate) transitions: Vec<((String, String, String), u64)>,
}

/// Flags, beside what files say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FlagsLeft {
    /// What people have changed.
    pub(crate) overrides: Overrides,
    /// When each was last of use, by name.
    pub(crate) seen: BTreeMap<String, Seen>,
}

/// One rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RolloutLeft {
    pub(crate) kept: Kept,
    pub(crate) judge: JudgeLeft,
}
