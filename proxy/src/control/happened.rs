//! What happens, in words: what the journal has beside what people ask for.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use gnomon_policy::rollout::{Event, Phase};

use super::{
    Control,
    api::{Done, Refused, series::Entry},
    registry::EndpointKey,
    rollouts,
};
use crate::clock::{self, Moment};

/// Entries about endpoints: a hundred may fall at once and come back, and the journal has to have
/// room for everything else.
#[derive(Debug, Default)]
pub(super) struct Flood(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// When the present span began.
    since: Option<Moment>,
    /// Entries in it.
    told: usize,
    /// Those that were left out.
    left_out: usize,
}

impl Flood {
    /// Whether one more may be told now; and how many were left out of the span that has just ended.
    fn pass(&self, now: Moment, is_one: bool) -> (bool, usize) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = counted.since.is_none_or(|since| now.duration_since(since) >= SPAN);
        let mut left_out = 0;
        if is_over {
            left_out = counted.left_out;
            *counted = Counted { since: Some(now), ..Counted::default() };
        }
        if !is_one {
            return (false, left_out);
        }
        let passes = counted.told < AT_ONCE;
        *(if passes { &mut counted.told } else { &mut counted.left_out }) += 1;
        (passes, left_out)
    }
}

impl Control {
    /// An entry that nobody asked for.
    fn happened(&self, kind: &str, subject: Option<&str>, text: impl Into<String>) {
        self.journal.add(entry(kind, subject, text));
    }

    /// A rollout has moved.
    pub(super) fn rollout_happened(&self, name: &str, event: &Event) {
        let line = rollouts::describe(name, event);
        // The name stands beside it, and so does why.
        let text = line.strip_prefix(name).and_then(|it| it.strip_prefix(": ")).unwrap_or(&line);
        let why = Some(event.why.clone()).filter(|why| !why.is_empty());
        let text = match &why {
            Some(why) => text.strip_suffix(&format!(": {why}")).unwrap_or(text),
            None => text,
        };
        self.journal.add(Entry {
            by: if event.by == GNOMON { AUTO.to_owned() } else { event.by.clone() },
            reason: why,
            failed: matches!(event.to, Phase::RolledBack(_)),
            ..entry("rollout", Some(name), text)
        });
    }

    /// A split was changed by somebody.
    pub(super) fn split_happened(&self, upstream: &str, changes: &[String], by: &str) {
        let by = by.to_owned();
        self.journal.add(Entry { by, ..entry("split", Some(upstream), changes.join("; ")) });
    }

    /// A flag was changed by somebody.
    pub(super) fn flag_happened(&self, name: &str, changes: &[String], by: &str, reason: &str) {
        self.journal.add(Entry {
            by: by.to_owned(),
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
            ..entry("flag", Some(name), changes.join("; "))
        });
    }

    /// The source of flags says something else, or something wrong.
    pub(super) fn flags_happened(&self, source: &str, result: Result<&str, &str>) {
        let failed = result.is_err();
        let text = match result {
            Ok(changes) => format!("flags are taken over from {source}: {changes}"),
            Err(faults) => {
                format!("{source} is wrong, and what it said last stays: {faults}")
            }
        };
        self.journal.add(Entry { failed, ..entry("flag", None, text) });
    }

    /// The configuration was taken over, or was not.
    pub(super) fn reload_happened(&self, result: &Result<Done, Refused>, by: &str) {
        let text = match result {
            Ok(done) if done.changes.is_empty() => "reload: nothing has changed".to_owned(),
            Ok(done) => format!("reload: {}", few(&done.changes)),
            Err(refused) => {
                format!("reload refused, the old configuration stays: {}", refused.error)
            }
        };
        let (failed, by) = (result.is_err(), by.to_owned());
        self.journal.add(Entry { failed, by, ..entry("config", None, text) });
    }

    /// An endpoint was ejected for so many seconds, or is back.
    pub(super) fn ejection_happened(&self, endpoint: &EndpointKey, seconds: Option<f64>) {
        self.endpoint_happened(endpoint, seconds.is_some(), || match seconds {
            Some(seconds) => {
                format!("{endpoint} is ejected for {seconds:.1} s after failures in a row")
            }
            None => format!("{endpoint} is back after its ejection"),
        });
    }

    /// Checks have found an endpoint to be healthy again, or say why it is not.
    pub(super) fn health_happened(&self, endpoint: &EndpointKey, why: Option<&str>) {
        self.endpoint_happened(endpoint, why.is_some(), || match why {
            Some(why) => format!("{endpoint} is unhealthy: {why}"),
            None => format!("{endpoint} is healthy again"),
        });
    }

    fn endpoint_happened(
        &self,
        endpoint: &EndpointKey,
        failed: bool,
        text: impl FnOnce() -> String,
    ) {
        if self.flood_passes(true) {
            let upstream = &*endpoint.version.upstream;
            self.journal.add(Entry { failed, ..entry("health", Some(upstream), text()) });
        }
    }

    /// Tells how many endpoints nothing was said of, once that is over.
    pub(super) fn settle_flood(&self) {
        self.flood_passes(false);
    }

    fn flood_passes(&self, is_one: bool) -> bool {
        let (passes, left_out) = self.flood.pass(clock::now(), is_one);
        if left_out > 0 {
            let text = format!("{left_out} more changes of endpoints are in the log alone");
            self.happened("health", None, text);
        }
        passes
    }

    /// A core stands still, or moves again.
    pub(super) fn core_happened(&self, core: usize, is_stuck: bool) {
        let text = if is_stuck {
            format!("core {core} stands still: its heartbeat is over 5 s old")
        } else {
            format!("core {core} moves again")
        };
        self.journal.add(Entry { failed: is_stuck, ..entry("core", None, text) });
    }

    /// The process is pressed more, or less.
    pub(super) fn strain_happened(&self, words: &str, is_worse: bool) {
        let how = if is_worse { "pressed" } else { "less pressed" };
        let text = format!("{how}: {words}");
        self.journal.add(Entry { failed: is_worse, ..entry("process", None, text) });
    }

    /// The process has begun to serve.
    pub(super) fn start_happened(&self) {
        let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
        let text = match self.succession.before() {
            Some(before) => format!("gnomon {version} serves as {pid}, in the place of {before}"),
            None => format!("gnomon {version} serves as {pid}"),
        };
        self.happened("process", None, text);
    }

    /// The process is told to stop.
    pub(super) fn stop_happened(&self, how: &str) {
        self.happened("process", None, how);
    }

    /// The process before has ended.
    pub(super) fn farewell_happened(&self, pid: u32, cut: Option<u64>) {
        let text = match cut {
            Some(0) => format!("process {pid}, which was before this one, has finished"),
            Some(cut) => {
                format!(
                    "process {pid}, which was before this one, has finished; {cut} connections were cut"
                )
            }
            None => format!("process {pid}, which was before this one, has ended without a word"),
        };
        self.journal.add(Entry { failed: cut.is_none(), ..entry("process", None, text) });
    }

    /// An upgrade has come to nothing.
    pub(super) fn upgrade_happened(&self, refused: &Refused, by: &str) {
        let text = format!("upgrade refused, this process goes on: {}", refused.error);
        let by = by.to_owned();
        self.journal.add(Entry { failed: true, by, ..entry("process", None, text) });
    }
}

fn entry(kind: &str, subject: Option<&str>, text: impl Into<String>) -> Entry {
    Entry {
        kind: kind.to_owned(),
        subject: subject.map(str::to_owned),
        text: cut(text.into()),
        by: AUTO.to_owned(),
        ..Entry::default()
    }
}

/// The first of them, and how many more there are.
fn few(changes: &[String]) -> String {
    let shown = changes.iter().take(CHANGES_SHOWN).cloned().collect::<Vec<_>>().join("; ");
    match changes.len().saturating_sub(CHANGES_SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// No longer than an entry may be.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// The proxy itself, as rollouts call it, and as the journal does.
const GNOMON: &str = "gnomon";
const AUTO: &str = "auto";
/// Changes of a reload that are told; `gnomon status` tells all.
const CHANGES_SHOWN: usize = 8;
/// Of the text of an entry: a thousand entries stay in a few megabytes.
const TEXT_BYTES_MAX: usize = 2000;
/// Entries about endpoints in a span of time.
const AT_ONCE: usize = 20;
const SPAN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_off_and_counted() {
        let (flood, begun) = (Flood::default(), clock::now());
        let passed = (0..AT_ONCE + 5).filter(|_| flood.pass(begun, true).0).count();
        assert_eq!(passed, AT_ONCE);
        assert_eq!(flood.pass(begun + SPAN / 2, false), (false, 0));
        assert_eq!(flood.pass(begun + SPAN, false), (false, 5));
        assert_eq!(flood.pass(begun + SPAN, true), (true, 0));
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        assert_eq!(cut("short".to_owned()), "short");
        let long = cut("ö".repeat(TEXT_BYTES_MAX));
        assert!(long.len() <= TEXT_BYTES_MAX + 3 && long.ends_with('…'));
        let changes: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        assert!(few(&changes).ends_with("7; and 2 more"));
    }
}
