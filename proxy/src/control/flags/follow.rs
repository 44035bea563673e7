//! Follows the source of flags, and how flags are used.

use std::{sync::Arc, time::Duration};

use gnomon_config::Config;

use super::{Fresh, Heard, Keeper, hygiene::Look as Used, source};
use crate::{
    clock,
    control::{
        Control,
        api::{Kind, Refused},
    },
};

impl Control {
    /// Looks at the source whenever it is time, for ever.
    pub(crate) async fn follow_flags_for_ever(self: Arc<Self>) {
        let mut last = clock::now();
        let mut used = clock::now();
        loop {
            let poll = self.state().config.flags.poll;
            let poll = if poll.is_zero() { POLL } else { poll };
            // Another configuration may want it sooner.
            tokio::time::sleep(poll.saturating_sub(last.elapsed()).clamp(LEAST, MOST)).await;
            if self.succession.in_the_way().is_some() {
                // Another process has the pen.
                continue;
            }
            if last.elapsed() >= poll {
                self.look_at_flag_source().await;
                last = clock::now();
            }
            if used.elapsed() >= LOOK {
                self.note_use(clock::wall().as_secs());
                used = clock::now();
            }
        }
    }

    /// Writes what is changed of flags, for ever.
    pub(crate) async fn keep_flags_for_ever(self: Arc<Self>) {
        let keeper: Arc<Keeper> = self.state().flags.keeper();
        loop {
            keeper.turn().await;
        }
    }

    /// Writes the last of it.
    pub(crate) async fn end_flags(&self) {
        if self.succession.heir().is_some() {
            return;
        }
        self.note_use(clock::wall().as_secs());
        let keeper = self.state().flags.keeper();
        keeper.flush().await;
    }

    /// Looks at the source, and takes over what is new. What has changed, one line each, and what is
    /// wrong with it.
    pub(crate) async fn look_at_flag_source(&self) -> (Vec<String>, Vec<String>) {
        let _turn = self.looking.lock().await;
        let (source, mark) = {
            let state = self.state();
            let Some(source) = state.config.flags.source.clone() else { return Default::default() };
            (source, state.flags.following.mark.clone())
        };
        let look = source::look(&source, &mark).await;
        let heard = {
            let mut state = self.state();
            let config = state.config.clone();
            if config.flags.source.as_ref() != Some(&source) {
                // A reload has come in between.
                return Default::default();
            }
            let heard = state.flags.hear(&config, look, clock::wall().as_secs());
            if matches!(heard, Heard::Taken(_)) {
                state.publish(&self.shared.publisher);
            }
            heard
        };
        let source = source::name(&source);
        match heard {
            Heard::Nothing => Default::default(),
            Heard::Well => {
                tracing::info!(source, "the source of flags is right again");
                Default::default()
            }
            Heard::Taken(lines) => {
                let changes = shortened(&lines);
                tracing::info!(source, changes, "flags are taken over from their source");
                self.flags_happened(&source, Ok(&changes));
                (lines, Vec::new())
            }
            Heard::Refused(faults) => {
                let faults_ = shortened(&faults);
                self.flags_happened(&source, Err(&faults_));
                tracing::error!(
                    source,
                    faults = faults_,
                    "the source of flags is wrong; what it said last stays"
                );
                (Vec::new(), faults)
            }
        }
    }

    /// Reads a source that is new with a configuration; it has to be right.
    pub(crate) async fn read_flags(
        &self,
        old: &Config,
        new: &Config,
    ) -> Result<Option<Fresh>, Refused> {
        let Some(wanted) = &new.flags.source else { return Ok(None) };
        if old.flags.source.as_ref() == Some(wanted) {
            return Ok(None);
        }
        let name = source::name(wanted);
        match source::look(wanted, &source::Mark::default()).await {
            source::Look::New(mark, content) => Ok(Some((mark, content))),
            source::Look::Same(_) => Ok(None),
            source::Look::Bad(_, faults) => {
                let error = format!("`flags.source` {name}: {}", faults.join("\n"));
                Err(Refused::new(Kind::Config, error)
                    .help("a source that is new must be right; the old configuration stays"))
            }
        }
    }

    /// Notes which flags are used, and which give everybody the same.
    pub(crate) fn note_use(&self, now: u64) {
        let mut state = self.state();
        let set = state.flags.set();
        for flag in set.flags() {
            let same = state.flags.same(flag, now);
            let count = state.exposures(&flag.name).map(|counts| counts.values().sum());
            state.flags.log.look(Used { name: &flag.name, same, count }, now);
        }
        let seen = state.flags.log.take_unwritten();
        if !seen.is_empty() {
            state.flags.keeper.keep(|batch| batch.seen.extend(seen));
        }
    }
}

/// The first lines of many.
fn shortened(lines: &[String]) -> String {
    let shown: Vec<&str> = lines.iter().map(String::as_str).take(LINES).collect();
    match lines.len().saturating_sub(LINES) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// Between two looks at the source, unless the configuration says how long.
const POLL: Duration = Duration::from_secs(10);
/// Between two looks at the clock.
const LEAST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_secs(1);
/// Between two looks at how flags are used: as exact as their dates are.
const LOOK: Duration = Duration::from_secs(10);
/// Lines that the log tells of one change.
const LINES: usize = 20;
