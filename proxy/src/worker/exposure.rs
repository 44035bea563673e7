//! What a request has to say of the flags that made a difference for it.
//!
//! Each counts for the variant that its user has. Where a flag is judged, every request to its upstream
//! is exposed, since whoever answers it may have asked for the flag as well. If a draw decided between
//! the two variants, it is evidence by what its first attempt came to, as in a trial of versions.

use gnomon_config::model::UpstreamIx;
use gnomon_flags::Evaluation;
use gnomon_wire::Request;

use super::{Worker, evidence, flags::Flagged, record::Entry, view::View};
use crate::{
    clock::nanos,
    failure::Side,
    trial::{Arm, Sighting},
};

/// A flag whose draw decided what the user has.
pub(super) struct Drawn {
    /// Index in the snapshot's trials of flags.
    trial: usize,
    arm: Arm,
    unit: u64,
    weight: f64,
}

/// Exposes a request to the flags that are judged by its upstream, and notes how they were drawn.
pub(super) fn draw(view: &View, evaluation: &Evaluation<'_>, upstream: UpstreamIx) -> Vec<Drawn> {
    // Without any, nothing is allocated.
    let trials = view.snapshot.flag_trials.iter().enumerate();
    let drawn = trials.filter(|(_, trial)| trial.upstream == upstream).filter_map(|(at, trial)| {
        let variant = evaluation.expose(trial.place).variant?;
        let arm = trial.arm(variant)?;
        let draw = evaluation.draw(trial.place, trial.pair)?;
        Some(Drawn { trial: at, arm, unit: draw.unit, weight: draw.weight })
    });
    drawn.collect()
}

impl Worker {
    /// Counts how a request ended for each flag that made a difference.
    pub(super) fn count_flags(&self, view: &View, flagged: &Flagged, entry: &Entry) {
        let book = &view.snapshot.flag_book;
        let watched = view.snapshot.flags.watched();
        for (place, resolution) in &flagged.exposed {
            let flag = watched.get(*place).copied().zip(resolution.variant);
            let cells = flag.and_then(|(flag, variant)| book.cells(self.index, flag, variant));
            if let Some(cells) = cells {
                cells.exposures.add(1);
                cells.requests[outcome(entry)].add(1);
                if entry.status() != 0 {
                    cells.record(nanos(entry.age()));
                }
            }
        }
    }

    /// Tells control what became of a request that is evidence for flags.
    pub(super) fn testify_for_flags(&self, view: &View, request: Request<'_>, entry: &mut Entry) {
        let Some(flagged) = &mut entry.flags else { return };
        let drawn = std::mem::take(&mut flagged.drawn);
        for it in drawn {
            let Some(trial) = view.snapshot.flag_trials.get(it.trial) else { continue };
            let sighting = Sighting {
                trial: trial.number,
                epoch: trial.epoch,
                second: trial.second(entry.begun()),
                arm: it.arm,
                unit: it.unit,
                request: if trial.by_request { entry.id_hash(request) } else { 0 },
                outcome: evidence::outcome(entry, trial.timing),
                weight: it.weight,
            };
            if self.sightings.borrow_mut().push(sighting).is_err()
                && let Some(lost) = trial.lost.get(self.index)
            {
                lost.add(1);
            }
        }
    }
}

/// Index in [`OUTCOMES`](crate::cells::flags::OUTCOMES).
fn outcome(entry: &Entry) -> usize {
    match entry.failure() {
        Some(failure) if failure.side == Side::Client && entry.status() < 500 => 2,
        Some(failure) if failure.side != Side::Client => 1,
        _ if entry.status() >= 500 => 1,
        _ => 0,
    }
}
