//! JSONLogic, as flagd's targeting rules are written in it.

/// A rule, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression(serde_json::Value);
