//! What an evaluation comes to, in OpenFeature's words.

use serde::{Deserialize, Serialize};

/// What an evaluation came to: a variant, or none, and why.
///
/// Without a variant, an application uses the value that it has in its code, and no condition of a
/// route on the flag holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Index of the variant in [`Flag::variants`](crate::Flag::variants).
    pub variant: Option<u8>,
    /// Why.
    pub reason: Reason,
    /// What went wrong, if it did.
    pub error: Option<ErrorCode>,
}

impl Resolution {
    /// This variant.
    #[must_use]
    pub const fn of(variant: u8, reason: Reason) -> Self {
        Self { variant: Some(variant), reason, error: None }
    }

    /// No variant, and nothing wrong.
    #[must_use]
    pub const fn nothing(reason: Reason) -> Self {
        Self { variant: None, reason, error: None }
    }

    /// No variant, because of this.
    #[must_use]
    pub const fn failed(error: ErrorCode) -> Self {
        Self { variant: None, reason: Reason::Error, error: Some(error) }
    }
}

/// Why a variant was chosen (OpenFeature specification, "resolution reason").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// The flag has no rules: everybody gets the same.
    Static,
    /// No rule holds.
    Default,
    /// A rule holds that draws nothing.
    TargetingMatch,
    /// A draw decided.
    Split,
    /// The flag is off.
    Disabled,
    /// Something went wrong.
    Error,
}

/// What went wrong (OpenFeature specification, "error code").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// There is no such flag.
    FlagNotFound,
    /// What was asked, or the flag's rule, cannot be read.
    ParseError,
    /// The flag draws, and nobody said for whom.
    TargetingKeyMissing,
    /// The context is no table of values.
    InvalidContext,
    /// Anything else.
    General,
}
