//! How everything goes, second by second: what the cores have counted, as consoles draw it.
//!
//! Once a second the cells of all versions are added up, beside the control thread. What comes of it
//! is kept for an hour and told to whoever listens. Cores are only read, never asked.

mod asked;
mod book;
mod kept;
mod left;
mod stream;
mod track;
mod window;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, watch},
    time::MissedTickBehavior,
};

pub(crate) use self::{asked::HistoryAsked, left::SeriesLeft};
use self::{book::Book, stream::STREAMS_MAX, track::Tracks};
use super::{
    Control,
    api::{Refused, series::RolloutBeat},
    registry::VersionKey,
};
use crate::clock;

/// What consoles are told of.
#[derive(Debug)]
pub(crate) struct Series {
    tracks: Mutex<Tracks>,
    book: Mutex<Book>,
    /// The newest beat as an event, made only while somebody listens.
    told: watch::Sender<Bytes>,
    /// Streams that may be open.
    places: Arc<Semaphore>,
    /// Histories that may be written at once.
    histories: Arc<Semaphore>,
}

/// A rollout as a beat needs it.
#[derive(Clone, Debug)]
pub(crate) struct Rolling {
    pub(crate) beat: RolloutBeat,
    /// Which step it is in, as long as it owns the split.
    pub(crate) step: Option<StepId>,
    /// The versions that it moves.
    pub(crate) ends: [VersionKey; 2],
}

/// Which step of which start of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StepId {
    pub(crate) rollout: String,
    pub(crate) generation: u32,
    pub(crate) step: usize,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            tracks: Mutex::default(),
            book: Mutex::default(),
            told: watch::Sender::default(),
            places: Arc::new(Semaphore::new(STREAMS_MAX)),
            histories: Arc::new(Semaphore::new(HISTORIES_MAX)),
        }
    }
}

impl Series {
    fn tracks(&self) -> MutexGuard<'_, Tracks> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Looks once a second, for ever.
    pub(super) async fn beat_for_ever(self: Arc<Self>) {
        let mut beats = tokio::time::interval(EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once: from there on it is counted.
        beats.tick().await;
        loop {
            beats.tick().await;
            let control = self.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || control.beat()).await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// One look at everything, which is kept and told.
    pub(crate) fn beat(&self) {
        let rollouts = self.rolling();
        let saturation = self.saturation();
        let hottest = saturation.hottest();
        let mut tracks = self.series.tracks();
        tracks.follow(&self.state());
        let mut kept = tracks.look(&rollouts, clock::now());
        drop(tracks);
        kept.at = u64::try_from(clock::steady().as_millis()).unwrap_or(u64::MAX);
        kept.connections = self.connections();
        kept.cores = saturation.cores.iter().map(|share| window::single(*share)).collect();
        if let Some(hottest) = hottest {
            kept.saturation = window::single(hottest.ratio);
            kept.fullest = format!("{}: {}", hottest.name, hottest.which).into();
        }
        let kept = Arc::new(kept);
        self.series.book().push(kept.clone());
        self.series.tell(&kept);
        self.settle_flood();
    }

    /// Begins to count from here on, and goes on where the process before has left off.
    pub(super) fn begin_series(&self) {
        if let Some(left) = self.succession.take_series() {
            self.inherit_series(left);
        }
        let mut tracks = self.series.tracks();
        tracks.follow(&self.state());
        tracks.look(&[], clock::now());
    }

    /// The last hour, as JSON.
    pub(crate) async fn history(&self, asked: HistoryAsked) -> Result<Vec<u8>, Refused> {
        let wanted = asked.wanted()?;
        // Never closed: there is a place in the end.
        let place = self.series.histories.clone().acquire_owned().await.ok();
        let all = self.series.book().since(asked.since);
        let written = tokio::task::spawn_blocking(move || {
            let _place = place;
            book::write(&all, &wanted)
        });
        match written.await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(asked::unwritten(&error.to_string())),
            Err(error) => Err(asked::unwritten(&error.to_string())),
        }
    }
}

/// Between two beats.
const EVERY: Duration = Duration::from_secs(1);
/// Histories that are written at once, of some megabytes each; others wait their turn.
const HISTORIES_MAX: usize = 2;

#[cfg(test)]
mod tests;
