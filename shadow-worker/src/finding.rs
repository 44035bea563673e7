//! What is found: differences of one kind at one place, and what is thought of them.

use std::{hash::Hasher, sync::Arc};

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::evidence::Rates;

/// Differences of one path, kind and shape, at one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Hash of what follows up to `shape`: the same in every run.
    pub id: Arc<str>,
    /// Method and path without identifiers.
    pub endpoint: Arc<str>,
    /// Where in the reply.
    pub path: Arc<str>,
    /// In what way: the name of a kind.
    pub kind: Arc<str>,
    /// What it looks like apart from the values.
    pub shape: Arc<str>,
    /// Pairs in which it was seen.
    pub count: u64,
    /// When it was first seen, in milliseconds since 1970.
    pub first_seen: u64,
    /// When it was last seen, likewise.
    pub last_seen: u64,
    /// How often the path differs in this aspect: in any kind that bears on it.
    pub rates: Rates,
    /// Natural logarithm of the evidence that it does so by more than noise.
    pub log_e: f64,
    /// What a rule without a notion of chance would say of it.
    pub plain_rule: bool,
    /// What is thought of it.
    pub verdict: Verdict,
    /// Who pinned the verdict, and why.
    pub mark: Option<Arc<Mark>>,
    /// Ids of its examples, oldest first.
    pub examples: Vec<Arc<str>>,
    /// Higher whenever it was seen again, or its verdict changed.
    pub revision: u64,
}

/// What is thought of a finding. In order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The shadow differs by more than noise and chance.
    Real,
    /// Too little is known.
    Undecided,
    /// The primary differs from itself as well; or somebody said so.
    Noise,
    /// Somebody does not want to see it.
    Ignored,
}

impl Verdict {
    /// Its name, as stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Undecided => "undecided",
            Self::Noise => "noise",
            Self::Ignored => "ignored",
        }
    }
}

/// A verdict that somebody pinned to paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// To which: a pattern such as `$..updated_at`, or one path as it is.
    pub pattern: Box<str>,
    /// Which verdict.
    pub kind: MarkKind,
    /// Who did.
    pub by: Box<str>,
    /// Why.
    pub why: Box<str>,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// Which verdict a mark pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// The difference means nothing.
    Noise,
    /// It may mean something, but not to us.
    Ignore,
}

impl MarkKind {
    /// Its name, as stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Ignore => "ignore",
        }
    }

    pub(crate) const fn verdict(self) -> Verdict {
        match self {
            Self::Noise => Verdict::Noise,
            Self::Ignore => Verdict::Ignored,
        }
    }
}

/// An example of a finding: a bundle, redacted and written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its id.
    pub id: Arc<str>,
    /// The finding's.
    pub finding: Arc<str>,
    /// Higher than that of every older example of the shadow.
    pub nth: u64,
    /// When it was taken, in milliseconds since 1970.
    pub at: u64,
    /// The bundle.
    pub json: Box<str>,
}

/// The id of the finding with this key: twelve hexadecimal digits.
#[must_use]
pub fn id(key: [&str; 4]) -> String {
    let mut hasher = SipHasher24::new();
    for part in key {
        hasher.write(part.as_bytes());
        // A byte that is in no UTF-8 keeps the parts apart.
        hasher.write_u8(0xff);
    }
    format!("{:012x}", hasher.finish128().as_u128() & 0xffff_ffff_ffff)
}
