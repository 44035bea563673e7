//! The only place that reads the environment.

/// The value of a variable, if it is set and is text.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
