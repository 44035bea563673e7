//! Changes, told to applications as they happen: server-sent events that say `refetchEvaluation`.
//!
//! A stream tells which edition of the flags there is, never what is in it: whoever reads slowly
//! misses editions in between, and nothing is kept for anybody.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use gnomon_config::model::flag::{Portion, Rule};
use gnomon_flags::FlagSet;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use super::{Desk, Ending};
use crate::clock;

/// What the flags are: what they say, and which of their dates have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edition {
    /// The same for the same edition, on whatever host.
    pub(super) tag: String,
    /// When this process first saw it, in seconds since 1970.
    pub(super) since: u64,
}

impl Edition {
    pub(super) fn of(set: &FlagSet) -> Self {
        let now = clock::wall().as_secs();
        let passed = dates(set).filter(|date| *date <= now).count();
        Self { tag: format!("{:016x}-{passed}", set.revision), since: now }
    }

    /// How it is told.
    fn event(&self) -> Bytes {
        let Self { tag, since } = self;
        let data = serde_json::json!({
            "type": "refetchEvaluation",
            "etag": tag,
            "lastModified": since,
        });
        Bytes::from(format!("id: {tag}\ndata: {data}\n\n"))
    }
}

/// When what users get changes by itself, in seconds since 1970. A ramp begins and ends; of what it
/// does in between, nobody is told.
fn dates(set: &FlagSet) -> impl Iterator<Item = u64> {
    let of_rule = |rule: &Rule| match rule.portion {
        Some(Portion::Ramp { start, end, .. }) => [Some(start), Some(end)],
        Some(Portion::Fixed(_)) | None => [None, None],
    };
    let flags = set.terms().own.iter();
    let all = flags.flat_map(move |flag| {
        [flag.start, flag.end].into_iter().chain(flag.rules.iter().flat_map(of_rule))
    });
    all.flatten()
}

impl Desk {
    /// The edition that there is now; streams are told of it if they do not know it.
    pub(super) fn look(&self) -> Edition {
        let now = Edition::of(&self.snapshot().flags);
        self.edition.send_if_modified(|known| {
            let is_new = known.tag != now.tag;
            if is_new {
                known.clone_from(&now);
            }
            is_new
        });
        self.edition.borrow().clone()
    }

    /// Looks as the cores do, as long as anybody listens.
    pub(super) async fn watch_for_ever(self: Arc<Self>) {
        loop {
            if self.edition.receiver_count() == 0 {
                self.listened.notified().await;
            }
            self.look();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A stream for whoever has `seen` an edition, or none.
    pub(super) fn stream(
        self: &Arc<Self>,
        seen: Option<String>,
        place: OwnedSemaphorePermit,
    ) -> Response {
        let (lines, body) = mpsc::channel(1);
        let editions = self.edition.subscribe();
        self.listened.notify_one();
        let desk = self.clone();
        self.runtime.spawn(async move {
            desk.tell(seen.as_deref(), editions, &lines).await;
            drop(place);
        });
        let body = Body::from_stream(ReceiverStream::new(body).map(Ok::<_, std::io::Error>));
        let fields =
            [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
        (fields, body).into_response()
    }

    /// Tells of changes until nobody listens any more, or too slowly, or this process ends.
    async fn tell(
        &self,
        seen: Option<&str>,
        mut editions: watch::Receiver<Edition>,
        lines: &mpsc::Sender<Bytes>,
    ) {
        let mut seen = seen.map(str::to_owned);
        let mut next = Some(Bytes::from(format!("retry: {RETRY_MILLIS}\n\n")));
        loop {
            if let Some(line) = next.take() {
                let sent = tokio::time::timeout(PATIENCE, lines.send(line)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            let edition = editions.borrow_and_update().clone();
            let is_new = seen.as_ref().is_some_and(|seen| *seen != edition.tag);
            next = is_new.then(|| edition.event());
            seen = Some(edition.tag);
            if is_new {
                continue;
            }
            tokio::select! {
                () = self.reached(Ending::Leaving) => return,
                () = lines.closed() => return,
                changed = editions.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(KEEP_ALIVE) => next = Some(Bytes::from_static(b":\n\n")),
            }
        }
    }
}

/// Between two looks at the snapshot.
const LOOK: Duration = Duration::from_millis(50);
/// Between two signs of life, where nothing changes.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long somebody may take to read what was sent.
const PATIENCE: Duration = Duration::from_secs(30);
/// After how long to come again.
const RETRY_MILLIS: u64 = 1000;
