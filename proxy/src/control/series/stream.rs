//! Beats and entries of the journal, told as they happen: server-sent events.
//!
//! Nothing is kept for anybody: who reads slowly misses beats, and learns of all entries that the
//! journal still has. Beats are written once for all.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{broadcast, broadcast::error::RecvError, mpsc, watch};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use super::{Series, kept::Kept};
use crate::control::{
    Control,
    api::{Kind, Refused, series::Entry},
    journal::Journal,
    stop::Stop,
};

impl Series {
    /// Tells whoever listens.
    pub(super) fn tell(&self, kept: &Kept) {
        if self.told.receiver_count() == 0 {
            return;
        }
        if let Some(event) = event("beat", None, &kept.beat(|_| true)) {
            self.told.send_replace(event);
        }
    }

    /// Streams that are open now.
    #[cfg(test)]
    pub(super) fn streams(&self) -> usize {
        STREAMS_MAX - self.places.available_permits()
    }
}

/// An event as it is sent.
fn event(name: &str, id: Option<u64>, data: &impl Serialize) -> Option<Bytes> {
    let mut text = format!("event: {name}\n").into_bytes();
    if let Some(id) = id {
        text.extend(format!("id: {id}\n").bytes());
    }
    text.extend_from_slice(b"data: ");
    // Names and numbers alone: it can be written, and JSON has no line ends.
    serde_json::to_writer(&mut text, data).ok()?;
    text.extend_from_slice(b"\n\n");
    Some(text.into())
}

impl Control {
    /// A stream of what happens from now on; of entries, of all after `seen`, if that is given.
    pub(crate) fn events(self: &Arc<Self>, seen: Option<u64>) -> Result<Response, Refused> {
        if self.is_leaving() {
            return Err(
                Refused::new(Kind::State, "this process ends").help("ask again in a second")
            );
        }
        let place = self.series.places.clone().try_acquire_owned().map_err(|_| full())?;
        let (lines, body) = mpsc::channel(1);
        let control = self.clone();
        let told = Told::new(self, seen);
        tokio::spawn(async move {
            let _place = place;
            // A stop ends streams wherever they are: connections must not keep the process.
            tokio::select! {
                () = control.left() => {}
                () = told.tell(&control.journal, &lines) => {}
            }
        });
        let body = Body::from_stream(ReceiverStream::new(body).map(Ok::<_, std::io::Error>));
        let fields =
            [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
        Ok((fields, body).into_response())
    }

    fn is_leaving(&self) -> bool {
        self.is_stopping() || self.succession.heir().is_some()
    }

    /// Waits until this process is to end, or another serves.
    async fn left(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives in `self`. After an upgrade a stop follows within a moment.
        let _ = stop.wait_for(|stop| *stop > Stop::No).await;
    }
}

/// What one stream has told, and has still to tell.
struct Told {
    beats: watch::Receiver<Bytes>,
    entries: broadcast::Receiver<Entry>,
    /// The newest entry that was told.
    last: u64,
    /// Told next, before anything else.
    next: VecDeque<Bytes>,
}

impl Told {
    fn new(control: &Control, seen: Option<u64>) -> Self {
        let mut beats = control.series.told.subscribe();
        beats.mark_unchanged();
        let mut told = Self {
            beats,
            entries: control.journal.subscribe(),
            last: u64::MAX,
            next: VecDeque::from([Bytes::from(format!("retry: {RETRY_MILLIS}\n\n"))]),
        };
        match seen {
            Some(seen) => {
                told.last = seen;
                told.catch_up(&control.journal);
            }
            None => {
                let newest = control.journal.list(0, 1).items;
                told.last = newest.first().map_or(0, |entry| entry.id);
            }
        }
        told
    }

    /// Until nobody listens any more, or too slowly.
    async fn tell(mut self, journal: &Journal, lines: &mpsc::Sender<Bytes>) {
        loop {
            while let Some(line) = self.next.pop_front() {
                let sent = tokio::time::timeout(PATIENCE, lines.send(line)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            tokio::select! {
                () = lines.closed() => return,
                heard = self.entries.recv() => match heard {
                    Ok(entry) => self.tell_next(&entry),
                    Err(RecvError::Lagged(_)) => self.catch_up(journal),
                    Err(RecvError::Closed) => return,
                },
                changed = self.beats.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let beat = self.beats.borrow_and_update().clone();
                    self.next.push_back(beat);
                }
                () = tokio::time::sleep(KEEP_ALIVE) => {
                    self.next.push_back(Bytes::from_static(b":\n\n"));
                }
            }
        }
    }

    /// Everything that the journal has and that was not told; it is bounded.
    fn catch_up(&mut self, journal: &Journal) {
        let all = journal.list(0, usize::MAX).items;
        let newest = all.first().map_or(0, |entry| entry.id);
        // A number beyond the newest is another process's, and says nothing here.
        self.last = self.last.min(newest);
        all.iter().rev().for_each(|entry| self.tell_next(entry));
    }

    fn tell_next(&mut self, entry: &Entry) {
        if entry.id > self.last {
            self.last = entry.id;
            self.next.extend(event("entry", Some(entry.id), entry));
        }
    }
}

fn full() -> Refused {
    let error = format!("{STREAMS_MAX} streams of events are open, as many as there may be");
    Refused::new(Kind::Busy, error).help("close a console, or read /v1/history now and then")
}

/// Streams at once: half of the connections that the admin API has.
pub(super) const STREAMS_MAX: usize = 32;
/// Between two signs of life, where nothing happens; beats come each second.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long somebody may take to read what was sent.
const PATIENCE: Duration = Duration::from_secs(30);
/// After how long to come again.
const RETRY_MILLIS: u64 = 1000;
