//! Who is turned away before anything is done for them: connections, and requests.
//!
//! Without limits, and while nothing is short, a connection pays two looks here and a request as
//! many.

use std::{net::IpAddr, rc::Rc, time::Duration};

use gnomon_policy::{
    RouteIx,
    limit::{Admission, Rates, Seat, Taken},
    strain::Level,
};
use gnomon_wire::Request;

use super::{Worker, view::View};
use crate::{
    clock::Moment,
    failure::{Failure, Kind, Stage},
    patience::Ticks,
};

/// How long a silent client may stay while the process is pressed.
pub(super) const STRAINED_IDLE: Ticks = Ticks::of_seconds(5);

/// When a client that was shed may ask again: by then another process has been chosen, or this one
/// is better.
const SHED_WAIT: Duration = Duration::from_secs(1);

/// A connection that is admitted.
pub(super) struct Admitted {
    worker: Rc<Worker>,
    seat: Option<Seat>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            self.worker.shared.guard.leave(seat);
        }
    }
}

/// Whether a connection is taken at all. Who is not is closed at once: an answer would cost a
/// buffer, a task and a wait for the request, which is what whoever opens too many wants.
pub(super) fn connection(worker: &Rc<Worker>, client: Option<IpAddr>) -> Option<Admitted> {
    let guard = &worker.shared.guard;
    if guard.strain() >= Level::Closed {
        worker.cells.strain_connections.add(1);
        return None;
    }
    let most = worker.view.borrow().snapshot.config.limits.per_client;
    let seat = match client.filter(|_| most > 0).map(|client| guard.enter(client, most)) {
        None | Some(Admission::Uncounted) => None,
        Some(Admission::Counted(seat)) => Some(seat),
        Some(Admission::Full) => {
            worker.cells.client_refusals.add(1);
            return None;
        }
    };
    Some(Admitted { worker: Rc::clone(worker), seat })
}

/// Why a request is turned away.
#[derive(Clone, Copy)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// When it is worth asking again.
    pub(super) wait: Duration,
    /// Whether the connection may stay.
    pub(super) may_stay: bool,
}

/// Whether a request that was just read is turned away.
pub(super) fn request(
    worker: &Worker,
    view: &View,
    who: (Request<'_>, IpAddr),
    route: Option<RouteIx>,
    now: Moment,
) -> Option<Refusal> {
    if worker.shared.guard.strain() == Level::Shedding {
        worker.cells.strain_requests.add(1);
        let failure = Failure::proxy(Stage::Limit, Kind::Full);
        return Some(Refusal { failure, wait: SHED_WAIT, may_stay: false });
    }
    rated(worker, view.snapshot.rates.as_deref()?, who, route, now)
}

fn rated(
    worker: &Worker,
    rates: &Rates,
    who: (Request<'_>, IpAddr),
    route: Option<RouteIx>,
    now: Moment,
) -> Option<Refusal> {
    let guard = &worker.shared.guard;
    match rates.take(guard.buckets(), route, who, guard.nanos(now))? {
        Taken::Yes { forgot } => {
            worker.cells.rates_forgotten.add(u64::from(forgot));
            None
        }
        Taken::No(wait) => {
            worker.cells.rate_refusals.add(1);
            let failure = Failure::client(Stage::Limit, Kind::Full);
            Some(Refusal { failure, wait, may_stay: true })
        }
    }
}
