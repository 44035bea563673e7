//! What all cores hold clients to together, and how hard the process is pressed.
//!
//! The one place that several cores write: words of tables of fixed size, without locks. Without
//! limits nobody comes here but to read the level, which control alone writes.

use std::{net::IpAddr, sync::OnceLock};

use gnomon_policy::{
    limit::{Admission, Buckets, Crowd, Seat, Secret},
    strain::Level,
};

use crate::{
    cells::Cell,
    clock::{self, Moment, nanos},
};

/// What cores and control share of limits.
#[derive(Debug)]
pub struct Guard {
    secret: Secret,
    begun: Moment,
    buckets: OnceLock<Buckets>,
    crowd: OnceLock<Crowd>,
    /// The number of the level of strain; control is its only writer.
    strain: Cell,
}

impl Guard {
    /// One whose tables are keyed by this, and made when they are first asked for.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self {
            secret,
            begun: clock::now(),
            buckets: OnceLock::new(),
            crowd: OnceLock::new(),
            strain: Cell::default(),
        }
    }

    /// How hard the process is pressed: one load.
    #[must_use]
    pub fn strain(&self) -> Level {
        Level::of(self.strain.read())
    }

    /// Says how hard the process is pressed; only control may.
    pub(crate) fn set_strain(&self, level: Level) {
        self.strain.set(level.number());
    }

    /// Everybody's buckets.
    pub(crate) fn buckets(&self) -> &Buckets {
        self.buckets.get_or_init(|| Buckets::new(self.secret))
    }

    /// A moment as the buckets count time.
    pub(crate) fn nanos(&self, moment: Moment) -> u64 {
        nanos(moment.saturating_duration_since(self.begun))
    }

    /// Counts one more connection of `client`, which may have `most`.
    pub(crate) fn enter(&self, client: IpAddr, most: u32) -> Admission {
        self.crowd.get_or_init(|| Crowd::new(self.secret)).enter(client, most)
    }

    /// A connection that was counted has ended.
    pub(crate) fn leave(&self, seat: &Seat) {
        if let Some(crowd) = self.crowd.get() {
            crowd.leave(seat);
        }
    }
}
