//! What the judge says.

use serde::{Deserialize, Serialize};

/// What the evidence so far says of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// The canary is worse than allowed.
    Rollback {
        /// Signals that say so by themselves; the loudest one if only all of them together do.
        culprits: Vec<String>,
    },
    /// Nothing may be said, or nothing good: no weight is raised.
    Hold {
        /// For what reason.
        why: Why,
    },
    /// The canary is no worse than the step's margins.
    Advance,
    /// Neither is shown yet.
    NotProven {
        /// What is missing for an advance; never empty.
        missing: Vec<Missing>,
    },
}

/// Why a step is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Why {
    /// The router does not send the canary the share it claims to: nothing that was counted means
    /// anything.
    Invalid,
    /// There is evidence against the canary, but not enough.
    Suspicious,
    /// Stable breaks its own level: something befell both, and nobody is blamed.
    BothDegraded {
        /// What got worse.
        signal: String,
        /// The canary's present share.
        canary: f64,
        /// Stable's.
        stable: f64,
        /// Stable's usual share; `None` of a bound, which is told instead.
        #[serde(default)]
        usual: Option<f64>,
    },
    /// One of the versions gets no requests.
    NoTraffic,
}

/// What is missing for an advance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Missing {
    /// The canary is still cold.
    Warmup {
        /// For so many seconds.
        seconds: u64,
    },
    /// Requests of the canary or of stable in this step.
    Requests {
        /// So many are there.
        have: u64,
        /// So many are needed.
        need: u64,
    },
    /// Evidence that a signal is no worse than the step's margin.
    Proof {
        /// Which one.
        signal: String,
        /// Harm in points that is to be excluded.
        margin: f64,
        /// The evidence so far.
        e: f64,
        /// As much is needed.
        need: f64,
    },
}
