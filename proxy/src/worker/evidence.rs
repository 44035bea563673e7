//! What a request has to say in a trial of two versions.
//!
//! It counts where the draw sent it, by what its first attempt came to: a retry that another
//! endpoint or version saved proves nothing. A pooled connection that had died while idle is no
//! attempt.

use gnomon_config::model::{FailureKind, Timing, UpstreamIx};
use gnomon_policy::{
    Assignment, Plan, judge::cohort::Class, pointer::Scanner, retry::FailureStage,
};
use gnomon_wire::{Request, Response};

use super::{Worker, record::Entry, relay::Broken, view::View};
use crate::{
    failure::{Failure, Kind, Side, Stage},
    trial::{self, Arm, CoreEvidence, Levels, Outcome, Sighting, Ticket, Trial, fuse::Admission},
};

/// What is known so far of a request that is evidence.
#[derive(Default)]
pub(super) struct Evidence {
    ticket: Option<Ticket>,
    /// How the first attempt went wrong.
    first: Option<Class>,
    kpis: Levels,
    /// Looks for KPIs in the reply's content, one for each of the trial's pointers.
    scanners: Option<Box<[Scanner]>>,
}

impl Worker {
    /// Counts a request for the version it was drawn for, unless the fuse sends it elsewhere.
    pub(super) fn admit(&self, view: &View, plan: Plan, entry: &mut Entry) -> Plan {
        let Some(trial) = view.trial(plan.upstream) else { return plan };
        let second = trial.evidence.second(entry.begun());
        let (true, Some(arm)) = (is_drawn(&plan, trial), trial.arm(plan.version)) else {
            if plan.assignment == Assignment::Fallback && trial.arm(plan.meant).is_some() {
                self.displace(trial, &plan, second);
            }
            return plan;
        };
        let core = &trial.evidence.cores[self.index];
        if arm == Arm::Canary && trial.admit(second) != Admission::Admitted {
            self.displace(trial, &plan, second);
            let table = &view.snapshot.table;
            return table.fallback(&plan, &view.snapshot.availability).unwrap_or(plan);
        }
        let availability = &view.snapshot.availability;
        if !trial.is_fair(second, |version| availability.has(plan.upstream, version)) {
            core.void(second, trial.epoch);
        }
        entry.evidence.ticket = Some(core.assign(second, trial.epoch, arm));
        plan
    }

    /// A request does not go where the draw sent it. Those that do are no fair sample then: the second
    /// is evidence of neither version, nor is a user who came first in it.
    fn displace(&self, trial: &Trial, plan: &Plan, second: u32) {
        let (core, epoch) = (&trial.evidence.cores[self.index], trial.epoch);
        core.void(second, epoch);
        let Some(arm) = trial.arm(plan.meant).filter(|_| trial.by_user) else { return };
        let outcome = Outcome { class: None, refused: false, time: None, kpis: Levels::default() };
        let (trial, unit) = (trial.number, plan.unit);
        let (request, weight) = (0, 0.0);
        let sighting = Sighting { trial, epoch, second, arm, unit, request, outcome, weight };
        self.tell(core, sighting);
    }

    fn tell(&self, core: &CoreEvidence, sighting: Sighting) {
        if self.sightings.borrow_mut().push(sighting).is_err() {
            core.lost.add(1);
        }
    }

    /// Counts what became of a request that is evidence, if nobody has yet.
    pub(super) fn testify(
        &self,
        view: &View,
        plan: &Plan,
        request: Request<'_>,
        entry: &mut Entry,
    ) {
        let Some(ticket) = entry.evidence.ticket.take() else { return };
        let Some(trial) = view.trial(plan.upstream) else { return };
        let outcome = outcome(entry, trial.timing);
        let core = &trial.evidence.cores[self.index];
        core.resolve(ticket, &outcome);
        if outcome.class.is_some() && ticket.arm() == Arm::Canary {
            // Counted where it was noticed, which is when it is spent.
            trial.spend(trial.evidence.second(crate::clock::now()));
        }
        if trial.by_user || trial.by_request {
            let request = if trial.by_request { entry.id_hash(request) } else { 0 };
            let (epoch, second, arm) = (ticket.epoch(), ticket.second(), ticket.arm());
            let (trial, unit) = (trial.number, plan.unit);
            let weight = 0.0;
            let sighting = Sighting { trial, epoch, second, arm, unit, request, outcome, weight };
            self.tell(core, sighting);
        }
    }
}

impl Evidence {
    /// An attempt has failed.
    pub(super) fn note(&mut self, broken: &Broken) {
        if self.first.is_none() && broken.stage != FailureStage::Reused {
            self.first = class_of(&broken.failure);
        }
    }

    /// There is more of the reply to come than its head brought along.
    pub(super) fn replying(&mut self, worker: &Worker, view: &View, plan: &Plan) {
        if let (Some(ticket), Some(trial)) = (&mut self.ticket, view.trial(plan.upstream)) {
            trial.evidence.cores[worker.index].reply(ticket);
        }
    }

    /// Reads what the reply's head tells of its outcome.
    ///
    /// `is_judged`: it is evidence for a flag.
    pub(super) fn read(
        &mut self,
        view: &View,
        plan: &Plan,
        is_judged: bool,
        response: Response<'_>,
    ) {
        if self.ticket.is_none() && !is_judged {
            return;
        }
        let kpis = view.snapshot.config.kpis.iter().zip(&mut self.kpis);
        for (kpi, level) in kpis.filter(|(kpi, _)| kpi.upstream == plan.upstream) {
            let Some(name) = trial::header(kpi) else { continue };
            let mut fields = response.fields();
            let field = fields.find(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
            *level = field.and_then(|(_, value)| trial::level(kpi, value));
        }
        let pointers = view.pointers(plan.upstream);
        if !pointers.is_empty() && is_json(response) {
            self.scanners = Some(pointers.iter().map(|_| Scanner::new()).collect());
        }
    }

    /// Reads what a piece of the reply's content tells, once it has been sent on.
    pub(super) fn content(&mut self, view: &View, plan: &Plan, piece: &[u8]) {
        let Some(scanners) = &mut self.scanners else { return };
        let pointers = view.pointers(plan.upstream);
        for (scanner, (_, pointer)) in scanners.iter_mut().zip(pointers) {
            scanner.feed(pointer, piece);
        }
    }

    /// There is no more of the content.
    pub(super) fn scanned(&mut self, view: &View, upstream: UpstreamIx) {
        let Some(scanners) = self.scanners.take() else { return };
        for (scanner, (kpi, _)) in scanners.iter().zip(view.pointers(upstream)) {
            let (level, kpi) = (self.kpis.get_mut(*kpi), view.snapshot.config.kpis.get(*kpi));
            if let (Some(level), Some(kpi)) = (level, kpi) {
                *level = scanner.value().and_then(|found| trial::level_found(kpi, found));
            }
        }
    }
}

/// Whether the content is JSON that can be read as it is.
fn is_json(response: Response<'_>) -> bool {
    let is_plain = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"identity");
    let kind = response.values("content-type").next().unwrap_or_default();
    is_json_type(kind) && response.values("content-encoding").all(is_plain)
}

/// `application/json`, `text/json` and everything `+json`, whatever is said behind it.
fn is_json_type(kind: &[u8]) -> bool {
    let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let Some(slash) = kind.iter().position(|&byte| byte == b'/') else { return false };
    let sort = &kind[slash + 1..];
    let ending = sort.len().checked_sub(5).and_then(|at| sort.get(at..));
    sort.eq_ignore_ascii_case(b"json")
        || ending.is_some_and(|ending| ending.eq_ignore_ascii_case(b"+json"))
}

/// Whether only the draw decided where it goes. Where users stay, those without a key do not count.
fn is_drawn(plan: &Plan, trial: &Trial) -> bool {
    match plan.assignment {
        Assignment::Coin => !trial.by_user,
        Assignment::Sticky => true,
        Assignment::Pinned | Assignment::Fallback => false,
    }
}

/// What became of a request, to a judge.
pub(super) fn outcome(entry: &Entry, timing: Timing) -> Outcome {
    let status = entry.status();
    let class = entry.evidence.first.or_else(|| match entry.failure() {
        Some(failure) => class_of(&failure),
        None => (status >= 500).then_some(Class::Status5xx),
    });
    // A client that went away leaves nothing to be timed.
    let is_whole = class.is_none() && entry.failure().is_none();
    let time = is_whole.then(|| match timing {
        Timing::FirstByte => entry.headed(),
        Timing::Total => entry.age(),
    });
    let refused = class.is_none() && (400..500).contains(&status);
    Outcome { class, refused, time, kpis: entry.evidence.kpis }
}

/// What a failure is to the judge; nothing if it was the client's.
fn class_of(failure: &Failure) -> Option<Class> {
    if failure.side == Side::Client {
        return None;
    }
    let is_cut = failure.stage == Stage::Data;
    Some(match (failure.kind, failure.counts_as()) {
        (Kind::Timeout, _) if !is_cut && failure.stage != Stage::Connect => Class::Timeout,
        (_, Some(FailureKind::Connect)) => Class::Connect,
        (Kind::Unavailable | Kind::Full, _) | (_, None) => Class::Connect,
        _ if is_cut => Class::Truncated,
        _ => Class::Reset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_type() {
        let table = [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("text/json ;x=y", true),
            ("application/jsonlines", false),
            ("application/+jso", false),
            ("text/html; a=application/json", false),
            ("json", false),
            ("", false),
        ];
        for (kind, expected) in table {
            assert_eq!(is_json_type(kind.as_bytes()), expected, "{kind}");
        }
    }
}
