//! What a process leaves of its series to the one that takes its place: the last hour, what has been
//! counted so far, and what has happened.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    StepId,
    book::Book,
    kept::Kept,
    track::{Track, Tracks},
    window::Tally,
};
use crate::control::{
    Control,
    api::series::{Beat, Entry},
    registry::VersionKey,
};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SeriesLeft {
    /// Means, oldest first.
    coarse: Vec<Beat>,
    /// Seconds.
    fine: Vec<Beat>,
    tracks: Vec<TrackLeft>,
    /// Newest first.
    journal: Vec<Entry>,
}

/// What has been counted of a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TrackLeft {
    pub(super) upstream: String,
    pub(super) version: String,
    /// So far, when the present part of the minute was begun, and in the parts before.
    pub(super) read: Tally,
    pub(super) begun: Tally,
    pub(super) parts: VecDeque<Tally>,
    /// Before the step of a rollout.
    pub(super) step: Option<(StepId, Tally)>,
}

impl Control {
    /// What the process that comes after this one is to know.
    pub(crate) fn leave_series(&self) -> SeriesLeft {
        let (coarse, fine) = self.series.book().leave(ROWS_MAX);
        let told = |all: Vec<Arc<Kept>>| all.iter().map(|kept| kept.beat(|_| true)).collect();
        SeriesLeft {
            coarse: told(coarse),
            fine: told(fine),
            tracks: self.series.tracks().leave(),
            journal: self.journal.list(0, usize::MAX).items,
        }
    }

    /// Takes over what the process before has left.
    pub(super) fn inherit_series(&self, left: SeriesLeft) {
        *self.series.book() = Book::inherit(&left.coarse, &left.fine);
        self.series.tracks().inherit(left.tracks);
        self.journal.inherit(left.journal);
    }
}

impl Tracks {
    fn leave(&self) -> Vec<TrackLeft> {
        let all = self.tracks().map(|(key, track)| TrackLeft {
            upstream: key.upstream.to_string(),
            version: key.version.to_string(),
            ..track.leave()
        });
        all.collect()
    }

    fn inherit(&mut self, left: Vec<TrackLeft>) {
        for track in left {
            let key = VersionKey {
                upstream: (&*track.upstream).into(),
                version: (&*track.version).into(),
            };
            self.expect(key, Track::inherit(track));
        }
    }
}

/// Versions in all beats together that are left: the newest, of forty versions an hour. It is some six
/// megabytes.
const ROWS_MAX: usize = 20_000;
