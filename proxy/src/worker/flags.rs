//! A request's flags: evaluated when a route or a shadow asks, told to its origin, counted at its end.

use gnomon_config::model::UpstreamIx;
use gnomon_flags::{Evaluation, FlagSet, RequestContext, Resolution, frozen};
use gnomon_wire::Request;
use serde_json::{Map, Value};

use super::{
    client::Peer,
    exposure::{self, Drawn},
    view::View,
};
use crate::clock;

/// What is left of an evaluation once all has been decided.
#[derive(Default)]
pub(super) struct Flagged {
    /// What the origin is told; empty if nothing.
    pub(super) told: Vec<u8>,
    /// The flags that made a difference, by their place among the watched.
    pub(super) exposed: Vec<(usize, Resolution)>,
    /// Those whose draw is judged by what becomes of the request.
    pub(super) drawn: Vec<Drawn>,
}

/// The moment for which the flags of a request are evaluated, in seconds since 1970; nothing where
/// nothing asks for any.
pub(super) fn moment(view: &View) -> Option<u64> {
    (!view.snapshot.flags.watched().is_empty()).then(|| clock::wall().as_secs())
}

/// The flags of a request.
pub(super) fn begin<'a>(
    view: &'a View,
    request: Request<'a>,
    peer: &Peer,
    claims: Option<&'a Map<String, Value>>,
    now: u64,
) -> Evaluation<'a> {
    let set: &FlagSet = &view.snapshot.flags;
    let context = RequestContext { terms: set.terms(), request, client: peer.ip, claims };
    let evaluation = Evaluation::new(set, context, now);
    if peer.is_trusted {
        believe(&evaluation);
    }
    evaluation
}

/// Takes over what a proxy before us, or an application of ours, has been told of the same user.
fn believe(evaluation: &Evaluation<'_>) {
    let (set, context) = (evaluation.set(), evaluation.context());
    let Some(field) = set.terms().field() else { return };
    let Some(text) = context.request.values(field).next() else { return };
    let Ok(frozen) = frozen::read(set, text, evaluation.now()) else { return };
    if !frozen.is_of(set, context) {
        return;
    }
    for (flag, resolution) in frozen.all() {
        if let Some(place) = set.place(flag) {
            evaluation.freeze(place, resolution);
        }
    }
}

/// Ends an evaluation: after this, nothing that is changed meanwhile matters to the request.
///
/// `goes_on` to this upstream, if it does.
pub(super) fn end(
    view: &View,
    evaluation: Option<&Evaluation<'_>>,
    goes_on: Option<UpstreamIx>,
) -> Option<Box<Flagged>> {
    let evaluation = evaluation?;
    let mut flagged = Flagged::default();
    if let Some(upstream) = goes_on {
        flagged.drawn = exposure::draw(view, evaluation, upstream);
    }
    if goes_on.is_some() && evaluation.set().sent() > 0 {
        frozen::write(evaluation, &mut flagged.told);
    }
    flagged.exposed.extend(evaluation.exposures());
    (!flagged.told.is_empty() || !flagged.exposed.is_empty()).then(|| Box::new(flagged))
}
