//! A trial: two versions of an upstream, compared by the requests that were drawn for them.
//!
//! Cores write what became of each request into slots of their own, one slot for each second in
//! which requests were *assigned*; control reads a slot once all of its requests are done with.
//! Feeding the judge by completion instead would condemn whichever version fails faster. A
//! [`Fuse`] lets the cores cut a canary off by themselves.

pub mod flag;
pub mod fuse;
pub mod slots;

use std::{sync::Arc, time::Duration};

use gnomon_config::model::{Kpi, KpiSource, Name, Timing, VersionIx};
use gnomon_policy::{
    judge::cohort::{Class, KPI_LEVELS},
    pointer::{Found, Pointer},
};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

pub use flag::FlagTrial;
pub use fuse::Fuse;
pub use slots::{CoreEvidence, Ticket};

use crate::{
    cells::{Cell, VersionCells},
    clock::Moment,
};

/// One side of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The version under test.
    Canary,
    /// The one it is compared with.
    Stable,
}

/// What cores know of a trial: part of the snapshot.
#[derive(Debug)]
pub struct Trial {
    /// Tells it from every other of this process, as reloads come and go.
    pub number: u32,
    /// The rollout it belongs to.
    pub name: Name,
    /// The version it is compared with.
    pub stable: VersionIx,
    /// The version under test.
    pub canary: VersionIx,
    /// Rises whenever the split changes.
    pub epoch: u32,
    /// Which time of an exchange is judged.
    pub timing: Timing,
    /// Whether a user is observed, not a request, because users stay on their version.
    pub by_user: bool,
    /// Whether outcomes are told later, by the request's id.
    pub by_request: bool,
    /// Where in a JSON reply KPIs stand, each with its index in the configuration; empty if none do.
    pub pointers: Box<[(usize, Pointer)]>,
    /// What cuts the canary off.
    pub fuse: Fuse,
    /// What outlives snapshots.
    pub evidence: Arc<Evidence>,
    /// The canary's counters, one block per core.
    pub canary_cells: Vec<Arc<VersionCells>>,
}

/// What cores have seen in a trial, kept over snapshots.
#[derive(Debug)]
pub struct Evidence {
    /// One for each core, written by it alone.
    pub cores: Box<[CoreEvidence]>,
    /// What the cores have decided together.
    pub state: fuse::State,
    /// Second 0 of the slots.
    started: Moment,
}

impl Evidence {
    /// Nothing yet. `started` is second 0.
    #[must_use]
    pub fn new(cores: usize, started: Moment) -> Self {
        let cores = (0..cores).map(|_| CoreEvidence::default()).collect();
        Self { cores, state: fuse::State::default(), started }
    }

    /// The second that `moment` falls into.
    #[must_use]
    pub fn second(&self, moment: Moment) -> u32 {
        second(self.started, moment)
    }
}

/// The second since `started` that `moment` falls into.
pub(crate) fn second(started: Moment, moment: Moment) -> u32 {
    u32::try_from(moment.saturating_duration_since(started).as_secs()).unwrap_or(u32::MAX)
}

impl Trial {
    /// The side that a version is, if it is one.
    #[must_use]
    pub fn arm(&self, version: VersionIx) -> Option<Arm> {
        match version {
            _ if version == self.canary => Some(Arm::Canary),
            _ if version == self.stable => Some(Arm::Stable),
            _ => None,
        }
    }

    /// Whether in this second the draw alone decides where requests go: both versions have an
    /// endpoint (`has`), and the fuse spares nobody. To be asked for every request that was drawn. If
    /// only those that had to go elsewhere made their second void, the seconds left would be those in
    /// which nobody was drawn for that version: its share would look wrong, and the other one's
    /// failures would stand alone.
    #[must_use]
    pub fn is_fair(&self, second: u32, has: impl Fn(VersionIx) -> bool) -> bool {
        has(self.canary) && has(self.stable) && self.admit(second) == fuse::Admission::Admitted
    }
}

/// What became of a request, as far as it is evidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it went wrong, if it did. Never [`Class::Unfinished`].
    pub class: Option<Class>,
    /// Whether the reply was 4xx.
    pub refused: bool,
    /// How long it took, if it went well.
    pub time: Option<Duration>,
    /// Level of each KPI.
    pub kpis: Levels,
}

/// A level for each KPI of the configuration, or none.
pub type Levels = [Option<u8>; gnomon_config::model::KPIS_MAX];

/// A request of a trial whose version keeps its users, or whose outcome is told later, or of a trial
/// of a flag: what control has to know of the user or the request itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// The trial's number.
    pub trial: u32,
    /// Epoch of the split that assigned it.
    pub epoch: u32,
    /// Second in which it was assigned.
    pub second: u32,
    /// Where it was sent.
    pub arm: Arm,
    /// Hash of the user's key; 0 without one.
    pub unit: u64,
    /// Hash of the request's id; 0 if nobody will ask.
    pub request: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Chance of the one variant, for a flag; 0 for versions, where the split says it.
    #[serde(default)]
    pub weight: f64,
}

/// Sightings that a core may have waiting: control takes them every 100 ms.
pub const SIGHTINGS: usize = 8192;

/// The level of a KPI whose value a reply tells as `text`: a finite number, cut to `[0, max]`.
#[must_use]
pub fn level(kpi: &Kpi, text: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let value = match text {
        "true" if kpi.is_binary => 1.0,
        "false" if kpi.is_binary => 0.0,
        _ => text.parse::<f64>().ok().filter(|value| value.is_finite())?,
    };
    Some(level_of(kpi, value))
}

/// The level of a value.
#[must_use]
pub fn level_of(kpi: &Kpi, value: f64) -> u8 {
    let top = f64::from(KPI_LEVELS - 1);
    if kpi.is_binary {
        return if value > 0.0 { KPI_LEVELS - 1 } else { 0 };
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 32")]
    let level = ((value / kpi.max).clamp(0.0, 1.0) * top).round() as u8;
    level
}

/// The level of a KPI at whose place in a JSON reply this stands, if it says one. What is there or
/// not is not there if it is null, false, nothing or empty.
#[must_use]
pub fn level_found(kpi: &Kpi, found: Found) -> Option<u8> {
    let value = match found {
        Found::Number(value) => value,
        Found::Count(count) => f64::from(count),
        Found::Bool(is_so) if kpi.is_binary => f64::from(u8::from(is_so)),
        Found::Text(length) if kpi.is_binary => f64::from(length),
        Found::Null if kpi.is_binary => 0.0,
        Found::Bool(_) | Found::Text(_) | Found::Null => return None,
    };
    Some(level_of(kpi, value))
}

/// The field of the reply that tells a KPI, in lower case.
#[must_use]
pub fn header(kpi: &Kpi) -> Option<&str> {
    match &kpi.source {
        KpiSource::Header(name) => Some(name),
        KpiSource::Json(_) | KpiSource::Late(_) => None,
    }
}

/// A hash of a request's id, as [`Sighting::request`] has it. Never 0.
#[must_use]
pub fn id_hash(id: &[u8]) -> u64 {
    // Nobody profits from ids that share a hash: no key is needed.
    SipHasher13::new().hash(id).max(1)
}

/// A counter of 32 bits with one writer.
#[derive(Debug, Default)]
pub(crate) struct Small(std::sync::atomic::AtomicU32);

impl Small {
    pub(crate) fn add(&self, amount: u32) {
        self.set(self.read().wrapping_add(amount));
    }

    pub(crate) fn sub(&self, amount: u32) {
        self.set(self.read().wrapping_sub(amount));
    }

    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u32 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Sum over the cores of one of a version's counters.
pub(crate) fn sum(cells: &[Arc<VersionCells>], cell: impl Fn(&VersionCells) -> &Cell) -> u64 {
    cells.iter().map(|cells| cell(cells).read()).sum()
}

#[cfg(test)]
mod tests {
    use gnomon_config::model::{Direction, UpstreamIx};

    use super::*;

    fn kpi(max: Option<f64>) -> Kpi {
        Kpi {
            name: "orders".into(),
            upstream: UpstreamIx(0),
            source: KpiSource::Json("/total".into()),
            max: max.unwrap_or(1.0),
            is_binary: max.is_none(),
            worse: Direction::Lower,
        }
    }

    #[test]
    fn what_stands_in_a_reply_has_a_level() {
        let (amount, binary) = (kpi(Some(64.0)), kpi(None));
        let table = [
            (Found::Number(32.0), Some(16), Some(32)),
            (Found::Number(1e9), Some(32), Some(32)),
            (Found::Number(-1.0), Some(0), Some(0)),
            (Found::Count(2), Some(1), Some(32)),
            (Found::Count(0), Some(0), Some(0)),
            (Found::Bool(true), None, Some(32)),
            (Found::Bool(false), None, Some(0)),
            (Found::Text(5), None, Some(32)),
            (Found::Text(0), None, Some(0)),
            (Found::Null, None, Some(0)),
        ];
        for (found, of_amount, of_binary) in table {
            let levels = (level_found(&amount, found), level_found(&binary, found));
            assert_eq!(levels, (of_amount, of_binary), "{found:?}");
        }
    }
}
