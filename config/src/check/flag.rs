//! `[flags]`, `[group.*]` and `[flag.*]`: who gets which feature.

use crate::{
    model::Flags,
    read::{Reader, Scope},
};

/// All of it.
pub(super) fn all(_: &mut Reader<'_, '_>, _: &Scope<'_>) -> Flags {
    Flags::default()
}
