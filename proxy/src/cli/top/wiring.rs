//! What the screen and the snapshot begin with.

use super::{TopArguments, glyph::Glyphs, pane::Pane, tone::Tints, view::View};
use crate::{cli::Console, environment};

/// How to look, by arguments, environment and terminal.
pub(super) fn view(arguments: &TopArguments, console: Console, is_read_only: bool) -> View {
    let glyphs = Glyphs::of(arguments.glyphs, environment::variable);
    let said = |name| environment::variable(name).unwrap_or_default();
    let tints = Tints::of(console.colour(), &said("TERM"), &said("COLORTERM"));
    View::new(arguments.pane.unwrap_or(Pane::Overview), is_read_only, glyphs, tints)
}

/// Now, in milliseconds since 1970.
pub(super) fn now() -> u64 {
    u64::try_from(crate::clock::wall().as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds of the interval.
pub(super) fn millis(arguments: &TopArguments) -> u64 {
    u64::try_from(arguments.interval.as_millis()).unwrap_or(u64::MAX)
}
