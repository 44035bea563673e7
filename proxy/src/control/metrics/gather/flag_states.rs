//! What is told of flags: whether they are on, as their files say, and of use.

use super::super::{super::state::State, catalogue as c, text::Page};
use crate::{clock, control::api::flag::RemarkKind};

pub(super) fn flag_states(page: &mut Page, state: &State) {
    let set = state.flags.set();
    if let Some(source) = state.flags.tell_source() {
        page.family(&c::FLAGS_SOURCE_OK).add(&[], source.ok);
        // One that was never right has no time.
        if let Some(at) = source.last_success {
            page.family(&c::FLAGS_SOURCE_TIME).add(&[], at);
        }
    }
    if set.flags().is_empty() {
        return;
    }
    let mut series = page.family(&c::FLAG_ENABLED);
    for flag in set.flags() {
        series.add(&[&flag.name], flag.enabled);
    }
    let mut series = page.family(&c::FLAG_OVERRIDDEN);
    for flag in set.flags() {
        series.add(&[&flag.name], state.flags.is_changed(&flag.name));
    }
    let now = clock::wall().as_secs();
    let mut counts = RemarkKind::ALL.map(|kind| (kind, 0_u64));
    for remark in set.flags().iter().flat_map(|flag| state.tell_flag(flag, now).remarks) {
        let counted = counts.iter_mut().filter(|(kind, _)| *kind == remark.kind);
        counted.for_each(|(_, count)| *count += 1);
    }
    let mut series = page.family(&c::FLAGS_STALE);
    for (kind, count) in counts {
        series.add(&[kind.name()], count);
    }
}
