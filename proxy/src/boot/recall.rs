//! What an earlier process knew: left by the one before, or written down.

use crate::{
    clock,
    control::{api::Refused, flags, rollouts::Rollouts, state::State},
    heritage::left::Left,
};

/// Rollouts as the process before left them, or as they were written down.
pub(super) fn open_rollouts(
    state: &mut State,
    left: Option<&mut Left>,
) -> Result<Rollouts, Refused> {
    let now = clock::steady().as_secs();
    let mut rollouts = match left {
        None => Rollouts::open(&state.config, now),
        Some(left) => {
            for remark in state.inherit(left)? {
                tracing::info!(remark, "splits");
            }
            Rollouts::inherit(&state.config, std::mem::take(&mut left.rollouts), now)
        }
    };
    rollouts.restore(state);
    Ok(rollouts)
}

/// Flags as the process before left them, or as they were written down, and as their source says.
pub(super) fn open_flags(state: &mut State, opened: flags::Opened, left: Option<&mut Left>) {
    let left = left.map(|left| std::mem::take(&mut left.flags));
    let config = state.config.clone();
    for remark in state.flags.open(&config, opened, left, clock::wall().as_secs()) {
        tracing::warn!(remark, "flags");
    }
}
