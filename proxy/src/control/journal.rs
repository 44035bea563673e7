//! What has happened lately: the newest entries in memory, told to whoever listens.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast;

use super::api::{Page, series::Entry};
use crate::clock;

/// The newest [`ENTRIES_MAX`] entries.
#[derive(Debug)]
pub(crate) struct Journal {
    kept: Mutex<Kept>,
    told: broadcast::Sender<Entry>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Of the newest; 0 before the first.
    last: u64,
    /// Oldest first.
    entries: VecDeque<Entry>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { kept: Mutex::default(), told: broadcast::Sender::new(UNHEARD_MAX) }
    }
}

impl Journal {
    /// Keeps an entry and tells it. Its number is given here, and its time where it has none.
    pub(crate) fn add(&self, mut entry: Entry) {
        if entry.at == 0 {
            entry.at = u64::try_from(clock::wall().as_millis()).unwrap_or(u64::MAX);
        }
        let mut kept = self.kept();
        kept.last += 1;
        entry.id = kept.last;
        if kept.entries.len() == ENTRIES_MAX {
            kept.entries.pop_front();
        }
        kept.entries.push_back(entry.clone());
        // Told before anybody else can add one, so that numbers rise for listeners too. Nobody may
        // be listening.
        let _ = self.told.send(entry);
    }

    /// Begins with what another process has kept, newest first; numbers go on from there.
    pub(crate) fn inherit(&self, entries: Vec<Entry>) {
        let mut kept = self.kept();
        kept.last = kept.last.max(entries.first().map_or(0, |entry| entry.id));
        kept.entries = entries.into_iter().take(ENTRIES_MAX).rev().collect();
    }

    /// A part of it, newest first.
    pub(crate) fn list(&self, offset: usize, limit: usize) -> Page<Entry> {
        let kept = self.kept();
        let items = kept.entries.iter().rev().skip(offset).take(limit).cloned().collect();
        Page { total: kept.entries.len(), offset, items }
    }

    /// Every entry from now on. Who is slow misses some, and learns how many.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Entry> {
        self.told.subscribe()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entries that are kept: days of a quiet proxy, under a megabyte.
const ENTRIES_MAX: usize = 1000;
/// Entries that a listener may be behind.
const UNHEARD_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry { kind: "action".to_owned(), text: text.to_owned(), ..Entry::default() }
    }

    #[test]
    fn the_newest_come_first_and_the_oldest_go() {
        let journal = Journal::default();
        let mut heard = journal.subscribe();
        for number in 0..ENTRIES_MAX + 2 {
            journal.add(entry(&number.to_string()));
        }
        let page = journal.list(1, 2);
        let texts: Vec<&str> = page.items.iter().map(|it| it.text.as_str()).collect();
        assert_eq!((page.total, page.offset, texts), (ENTRIES_MAX, 1, vec!["1000", "999"]));
        assert_eq!(page.items[0].id, 1001);
        assert!(page.items[0].at > 0, "it has a time");
        assert_eq!(journal.list(ENTRIES_MAX - 1, 5).items[0].text, "2");
        assert!(journal.list(ENTRIES_MAX, 5).items.is_empty());
        assert!(matches!(heard.try_recv(), Err(broadcast::error::TryRecvError::Lagged(_))));
        assert_eq!(heard.try_recv().unwrap().text, "938");
    }
}
