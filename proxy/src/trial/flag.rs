//! Two variants of a flag, compared by the requests of the users that were drawn for them.
//!
//! A flag is drawn by a user's key, so a user is what is observed: there is no slot for each second, as
//! a core has of versions, and nothing to cut off. All goes to control as sightings.

use gnomon_config::model::{Name, Timing, UpstreamIx};
use gnomon_flags::{FlagIx, Pair};
use gnomon_policy::pointer::Pointer;

use super::Arm;
use crate::{cells::Cell, clock::Moment};

/// What cores know of a flag that is judged: part of the snapshot.
#[derive(Debug)]
pub struct FlagTrial {
    /// Tells it from every other of this process, those of versions included.
    pub number: u32,
    /// The flag's name.
    pub name: Name,
    /// The flag.
    pub flag: FlagIx,
    /// Its place among the watched.
    pub place: usize,
    /// Requests to this upstream count.
    pub upstream: UpstreamIx,
    /// What is compared.
    pub pair: Pair,
    /// Rises whenever the flag's rules change.
    pub epoch: u32,
    /// Which time of an exchange is judged.
    pub timing: Timing,
    /// Whether outcomes are told later, by the request's id.
    pub by_request: bool,
    /// Where in a JSON reply KPIs stand, each with its index in the configuration; empty if none do.
    pub pointers: Box<[(usize, Pointer)]>,
    /// Second 0.
    pub started: Moment,
    /// Sightings that found no room, one for each core, written by it alone.
    pub lost: std::sync::Arc<[Cell]>,
}

impl FlagTrial {
    /// The side that a variant is, if it is one.
    #[must_use]
    pub fn arm(&self, variant: u8) -> Option<Arm> {
        match variant {
            _ if variant == self.pair.variant => Some(Arm::Canary),
            _ if variant == self.pair.default => Some(Arm::Stable),
            _ => None,
        }
    }

    /// The second that `moment` falls into.
    #[must_use]
    pub fn second(&self, moment: Moment) -> u32 {
        super::second(self.started, moment)
    }
}
