//! Those who look at exchanges as they end (`gnomon tap`): who they are, and what reaches them.
//!
//! The log thread shows each record to those whose filter it passes. It never waits: who reads too
//! slowly loses lines, and is told how many. Nobody is shown more than control can send on without
//! being kept from its other work.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use gnomon_config::model::{AccessFormat, Filter};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use super::{
    Control,
    api::{Kind, Refused},
    format::Formatter,
};
use crate::access::Record;

/// Everybody who looks.
#[derive(Debug)]
pub(crate) struct Viewers {
    all: Mutex<Vec<Arc<Viewer>>>,
    /// Raised when somebody has come or gone.
    revision: AtomicU64,
    leaving: watch::Sender<bool>,
    /// Lines shown, and lines that found no room, of all so far.
    shown: AtomicU64,
    dropped: AtomicU64,
}

/// Somebody who looks.
#[derive(Debug)]
struct Viewer {
    filter: Filter,
    lines: mpsc::Sender<Bytes>,
    /// Lines that found no room.
    dropped: AtomicU64,
}

impl Default for Viewers {
    fn default() -> Self {
        Self {
            all: Mutex::default(),
            revision: AtomicU64::new(0),
            leaving: watch::Sender::new(false),
            shown: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }
}

impl Viewers {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all().len()
    }

    /// Lines shown so far, and those that found no room.
    pub(crate) fn lines(&self) -> (u64, u64) {
        (self.shown.load(Relaxed), self.dropped.load(Relaxed))
    }

    /// Another process serves from now on: there is nothing more to see here.
    pub(crate) fn leave(&self) {
        self.leaving.send_replace(true);
    }

    fn admit(&self, filter: Filter) -> Option<(Arc<Viewer>, mpsc::Receiver<Bytes>)> {
        let mut all = self.all();
        if all.len() >= VIEWERS_MAX {
            return None;
        }
        let (lines, shown) = mpsc::channel(LINES_MAX);
        let viewer = Arc::new(Viewer { filter, lines, dropped: AtomicU64::new(0) });
        all.push(viewer.clone());
        self.revision.fetch_add(1, Relaxed);
        Some((viewer, shown))
    }

    fn dismiss(&self, viewer: &Arc<Viewer>) {
        self.all().retain(|known| !Arc::ptr_eq(known, viewer));
        self.revision.fetch_add(1, Relaxed);
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Viewer>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log thread's side.
pub(super) struct Show<'a> {
    viewers: &'a Viewers,
    revision: u64,
    all: Vec<Arc<Viewer>>,
    formatter: Formatter,
    line: Vec<u8>,
}

impl<'a> Show<'a> {
    pub(super) fn new(viewers: &'a Viewers) -> Self {
        let formatter = Formatter::new(AccessFormat::Json, &[], &[]);
        Self { viewers, revision: 0, all: Vec::new(), formatter, line: Vec::new() }
    }

    /// What the configuration has redacted in the access log is redacted here.
    pub(super) fn redact(&mut self, names: &[Arc<str>]) {
        self.formatter = Formatter::new(AccessFormat::Json, names, &[]);
    }

    /// Looks who is there.
    pub(super) fn follow(&mut self) {
        let revision = self.viewers.revision.load(Relaxed);
        if revision != self.revision {
            self.revision = revision;
            self.all.clone_from(&*self.viewers.all());
        }
    }

    /// Shows `record` to those who want it and have room for it.
    pub(super) fn show(&mut self, record: &Record<'_>) {
        let mut line = None;
        for viewer in self.all.iter().filter(|viewer| viewer.filter.holds(&record.seen())) {
            match viewer.lines.try_reserve() {
                Ok(place) => {
                    let line = line.get_or_insert_with(|| {
                        self.line.clear();
                        self.formatter.write(record, &mut self.line);
                        Bytes::copy_from_slice(&self.line)
                    });
                    place.send(line.clone());
                    self.viewers.shown.fetch_add(1, Relaxed);
                }
                Err(mpsc::error::TrySendError::Full(())) => {
                    viewer.dropped.fetch_add(1, Relaxed);
                    self.viewers.dropped.fetch_add(1, Relaxed);
                }
                // Gone a moment ago.
                Err(mpsc::error::TrySendError::Closed(())) => {}
            }
        }
    }
}

/// A viewer's place, given back when dropped.
struct Seat {
    control: Arc<Control>,
    viewer: Arc<Viewer>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.control.logs.viewers.dismiss(&self.viewer);
        self.control.follow_viewers();
    }
}

impl Control {
    /// Shows somebody what ends from now on, a line of JSON for each exchange.
    pub(super) async fn view(
        self: &Arc<Self>,
        pairs: &[(String, String)],
    ) -> Result<Body, Refused> {
        let (filter, count) = asked(pairs)?;
        let Some((viewer, lines)) = self.logs.viewers.admit(filter) else {
            let error = format!("{VIEWERS_MAX} look already, which is as many as may");
            return Err(Refused::new(Kind::State, error).help("end one of them first"));
        };
        let seat = Seat { control: self.clone(), viewer };
        if let Some(generation) = self.follow_viewers() {
            self.acknowledged(generation).await;
        }
        let (chunks, body) = mpsc::channel(1);
        let leaving = self.logs.viewers.leaving.subscribe();
        tokio::spawn(async move {
            tell(&seat.viewer, lines, count, leaving, &chunks).await;
            drop(seat);
        });
        Ok(Body::from_stream(ReceiverStream::new(body).map(Ok::<_, std::io::Error>)))
    }

    /// Has the cores write everything down for as long as anybody looks; the generation by which
    /// they know, if that is new.
    fn follow_viewers(&self) -> Option<u64> {
        let viewed = self.logs.viewers.count() > 0;
        let mut state = self.state();
        if state.viewed == viewed {
            return None;
        }
        state.viewed = viewed;
        Some(state.publish(&self.shared.publisher))
    }
}

/// Which exchanges somebody asks for, and how many at most.
fn asked(pairs: &[(String, String)]) -> Result<(Filter, u64), Refused> {
    let refuse = |error: String| {
        let known = Filter::KEYS.join(", ");
        Refused::new(Kind::Request, error)
            .help(format!("say, for instance, ?status=5xx&min=250ms; there are {known} and count"))
    };
    if pairs.len() > CONDITIONS_MAX {
        return Err(refuse(format!("these are more than {CONDITIONS_MAX} conditions")));
    }
    let (mut filter, mut count) = (Filter::default(), u64::MAX);
    for (key, text) in pairs {
        if key == "count" {
            let parsed = text.parse().ok().filter(|count| *count > 0);
            count = parsed.ok_or_else(|| refuse(format!("`{text}` is no number of exchanges")))?;
            continue;
        }
        filter.add(key, text).map_err(|why| refuse(format!("{key}: {why}")))?;
    }
    Ok((filter, count))
}

/// Sends on what is shown, until that was all, nobody reads any more, or another process serves.
async fn tell(
    viewer: &Viewer,
    mut lines: mpsc::Receiver<Bytes>,
    mut left: u64,
    mut leaving: watch::Receiver<bool>,
    chunks: &mpsc::Sender<Bytes>,
) {
    let mut told = 0;
    let mut batch = Vec::new();
    loop {
        let is_over = tokio::select! {
            () = chunks.closed() => return,
            _ = leaving.wait_for(|leaving| *leaving) => true,
            _ = lines.recv_many(&mut batch, LINES_MAX) => false,
            // Somebody whose every line is lost is told so, too.
            () = tokio::time::sleep(SILENCE), if viewer.dropped.load(Relaxed) > told => false,
        };
        batch.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= batch.len() as u64;
        let mut chunk = batch.concat();
        batch.clear();
        let dropped = viewer.dropped.load(Relaxed);
        if dropped > told {
            told = dropped;
            chunk.extend_from_slice(format!("{}\n", json!({ "dropped": dropped })).as_bytes());
        }
        let end = if left == 0 { Some("count") } else { is_over.then_some("leaving") };
        if let Some(end) = end {
            chunk.extend_from_slice(format!("{}\n", json!({ "end": end })).as_bytes());
        }
        let sent = tokio::time::timeout(PATIENCE, chunks.send(chunk.into())).await;
        if end.is_some() || !matches!(sent, Ok(Ok(()))) {
            return;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Who may look at once: a few people, and a console or two.
const VIEWERS_MAX: usize = 8;
/// Lines that wait for one who looks; some hundred kilobytes.
const LINES_MAX: usize = 512;
/// Between two batches: with as many lines as may wait, 10,000 a second are shown, which nobody
/// reads, and which takes little of control's time.
const PACE: Duration = Duration::from_millis(50);
/// After how long those who get nothing hear of what they have lost.
const SILENCE: Duration = Duration::from_secs(1);
/// How long somebody may take to read what was sent.
const PATIENCE: Duration = Duration::from_secs(30);
/// Conditions that one may name.
const CONDITIONS_MAX: usize = 64;

#[cfg(test)]
mod tests;
