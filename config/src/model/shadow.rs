//! `[shadow.NAME]`: whose requests are copied, to whom, and how the two replies are compared.

use std::{sync::Arc, time::Duration};

use super::{Edits, HostRule, Key, Match, Name, Rewrite, Share, UpstreamIx, VersionIx};
use crate::json_path::JsonPath;

/// Copies of requests for a version under test.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    /// Its table's name.
    pub name: Name,
    /// Whose requests are copied: an upstream's, or those of one of its versions.
    pub from: (UpstreamIx, Option<VersionIx>),
    /// Who gets the copies.
    pub to: (UpstreamIx, VersionIx),
    /// Share of the eligible requests that are copied.
    pub sample: Share,
    /// What picks them: the same users always, or a coin.
    pub by: Option<Key>,
    /// What their positions depend on, if they are to be those of a split or a flag.
    pub salt: Option<Arc<str>>,
    /// What a request must look like. Methods are never empty.
    pub matches: Match,
    /// Whether requests that a route forces to `from` (`upstream@version`) are copied too.
    pub forced: bool,
    /// Share of the copies of safe requests that also go to the primary's version once more.
    pub noise: Noise,
    /// How long a replayed exchange may take.
    pub timeout: Duration,
    /// Copies under way at once, per core; beyond it they are dropped, never queued.
    pub in_flight: u32,
    /// No copies while the core is busier than this.
    pub shed_at: Share,
    /// Field that is put on every copy, in lower case; its value is the shadow's name.
    pub mark: Arc<str>,
    /// Largest request body that is copied, in bytes.
    pub body_max: u64,
    /// What the `Host` field of a copy says.
    pub host: HostRule,
    /// Fields that carry credentials, in lower case, taken out of every copy.
    pub without: Vec<Arc<str>>,
    /// Edits of the copies alone.
    pub edits: Edits,
    /// Change of the copies' target, in the place of the route's.
    pub rewrite: Rewrite,
    /// How replies are compared.
    pub compare: Compare,
    /// What is made unreadable before anything is stored or shown.
    pub redact: Redact,
    /// What is kept of the differences.
    pub keep: Keep,
}

/// How often a copy also goes to the primary's version, to learn what differs between two of its
/// own answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Never: any lasting difference is the shadow's.
    Off,
    /// Each of the first thousand requests of an endpoint, then this share.
    Learn(Share),
}

/// How two replies are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare {
    /// Whether the status is.
    pub status: bool,
    /// Fields that are, in lower case.
    pub headers: Vec<Arc<str>>,
    /// As what the body is.
    pub body: BodyMode,
    /// Largest body compared by its content, in bytes; above, length and hash are.
    pub max: u64,
    /// Where differences in a JSON body do not count.
    pub ignore: Vec<JsonPath>,
    /// Largest difference of two numbers, relative to the larger, that does not count.
    pub tolerance: f64,
    /// How arrays at these places are compared; elsewhere in order. The first that fits holds.
    pub arrays: Vec<(JsonPath, ArrayRule)>,
    /// Whether the time to the first byte is.
    pub latency: bool,
}

impl Default for Compare {
    /// As a shadow that says nothing of it.
    fn default() -> Self {
        Self {
            status: true,
            headers: vec!["content-type".into()],
            body: BodyMode::Auto,
            max: 256 << 10,
            ignore: Vec::new(),
            tolerance: 0.0,
            arrays: Vec::new(),
            latency: true,
        }
    }
}

/// As what a body is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// As the content type says.
    Auto,
    /// As JSON.
    Json,
    /// As lines of text.
    Text,
    /// By length and hash.
    Bytes,
    /// Not at all.
    None,
}

/// How two arrays are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArrayRule {
    /// Item by item.
    Ordered,
    /// In any order, each item as often.
    Set,
    /// Objects with the same value of this field with each other.
    By(Arc<str>),
}

/// What is made unreadable before anything is stored or shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Redact {
    /// Fields, in lower case.
    pub headers: Vec<Arc<str>>,
    /// Query parameters.
    pub query: Vec<Arc<str>>,
    /// Places in JSON bodies, of requests and of replies.
    pub json: Vec<JsonPath>,
    /// What takes their place.
    pub style: RedactStyle,
}

impl Default for Redact {
    /// As a shadow that says nothing of it.
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
        let paths = ["$..password", "$..token"];
        Self {
            headers: texts(&["authorization", "cookie", "set-cookie", "proxy-authorization"]),
            query: texts(&["token", "password"]),
            json: paths.iter().filter_map(|path| JsonPath::parse(path).ok()).collect(),
            style: RedactStyle::Hash,
        }
    }
}

/// What takes the place of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedactStyle {
    /// A keyed hash, so that equal secrets are seen to be equal.
    Hash,
    /// Nothing: the field is not there.
    Drop,
    /// Asterisks.
    Mask,
}

/// What is kept of the differences.
#[derive(Clone, Debug, PartialEq)]
pub struct Keep {
    /// Examples of each finding.
    pub samples: u32,
    /// How long a finding is kept after it was last seen.
    pub age: Duration,
    /// All that is kept for this shadow, in bytes.
    pub size: u64,
}
