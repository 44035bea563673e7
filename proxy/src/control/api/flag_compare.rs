//! `GET /v1/flags/NAME/compare`: the variants of a flag side by side.

use gnomon_policy::judge::Report;
use serde::{Deserialize, Serialize};

/// What became of those who had each variant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlagCompare {
    /// The flag.
    pub flag: String,
    /// Its variants, in order of declaration.
    pub variants: Vec<VariantCounts>,
    /// How it is judged, if it is.
    pub judged: Option<FlagJudged>,
}

/// What has been counted of a variant: since its comparison began, or all if it is not judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VariantCounts {
    /// The variant.
    pub variant: String,
    /// Requests of the router for which it made a difference.
    pub exposures: u64,
    /// Times that an application was told it.
    pub asked: u64,
    /// Of those requests, the ones that went well.
    pub ok: u64,
    /// … that failed: a status of 500 and above, or no whole reply.
    pub errors: u64,
    /// … that the client ended.
    pub client: u64,
    /// Failures as a share of the requests that ended.
    pub error_rate: f64,
    /// The median of their time, in seconds.
    pub p50_seconds: Option<f64>,
    /// What one of a hundred is slower than, in seconds.
    pub p99_seconds: Option<f64>,
}

/// A variant against the default, by the users that were drawn for either.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlagJudged {
    /// Whose requests count.
    pub upstream: String,
    /// The variant under test.
    pub variant: String,
    /// The one that it is compared with.
    pub default: String,
    /// Since when its rules are as they are, in seconds since 1970.
    pub since: u64,
    /// Rises whenever they change.
    pub epoch: u32,
    /// For so many seconds after a user's first request counts what goes wrong; then it is judged.
    pub horizon_seconds: u64,
    /// Whether as many users have each variant as should.
    pub ratio: SampleRatio,
    /// Outcomes that found no room on their way to the judge.
    pub lost: u64,
    /// `worse`, `doubt`, `blind`, `no_users`, `not_proven` or `no_worse`.
    pub verdict: String,
    /// The same in words, with why, and what is missing.
    pub words: String,
    /// What the judge knows: users, times, signals with their ranges, proofs; `canary` is the variant.
    pub report: Option<Report>,
}

/// Users by variant, and what the rules say of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampleRatio {
    /// Users who were judged with the variant.
    pub variant: u64,
    /// With the default.
    pub default: u64,
    /// Share of the variant that the rules say, 0 to 1.
    pub expected: f64,
    /// Share that was counted.
    pub counted: f64,
    /// How many times as many have the variant as should, at the least, with 95 % at all times.
    pub low: Option<f64>,
    /// At the most.
    pub high: Option<f64>,
    /// Evidence that it is another share.
    pub e: f64,
    /// Whether that is certain: then nothing else means anything.
    pub is_broken: bool,
}
