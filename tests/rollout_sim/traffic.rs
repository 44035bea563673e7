//! Requests: drawn, admitted, balanced, tried again, counted.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use e2e::sim::draw::Draws;
use gnomon::trial::{Arm, Outcome, Ticket, Trial, fuse::Admission};
use gnomon_policy::{
    Assignment, Decision, Luck, Plan, Subject, Table,
    balance::{self, Pick, View as _},
    judge::cohort::Class,
    retry::{Budget, FailureStage, Idempotence, Sent, may_retry},
};
use gnomon_wire::{HeadLimits, Request, RequestHead};

use super::{
    origins::{Answer, Origins},
    world::Log,
};

pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// A request and its bytes.
#[derive(Debug)]
pub(super) struct Parsed {
    head: RequestHead,
    bytes: Vec<u8>,
}

impl Parsed {
    pub(super) fn new(method: &str, field: &str) -> Self {
        let bytes = format!("{method} /x HTTP/1.1\r\nhost: shop\r\n{field}\r\n").into_bytes();
        let mut head = RequestHead::default();
        head.read(&bytes, &HeadLimits::REQUEST).expect("it is a request");
        Self { head, bytes }
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request { head: &self.head, bytes: &self.bytes }
    }
}

/// One core's own.
#[derive(Debug)]
struct Core {
    luck: Luck,
    budget: Budget,
    cursor: BTreeMap<u16, usize>,
    deposits: u64,
    retries: u64,
}

/// What a request that hangs will have come to.
#[derive(Debug)]
struct Open {
    core: usize,
    ticket: Option<Ticket>,
    trial: Arc<Trial>,
    class: Class,
    version: usize,
    seed: u64,
}

/// What became of one version's requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) assigned: u64,
    pub(super) resolved: u64,
    pub(super) bad: u64,
    pub(super) late: u64,
}

/// All requests.
#[derive(Debug)]
pub(super) struct Traffic {
    cores: Vec<Core>,
    open: BTreeMap<u64, Vec<Open>>,
    plain: [Parsed; 2],
    users: u64,
    /// Requests so far, retries, those that the fuse spared.
    pub(super) counts: [u64; 3],
    /// By second and epoch of the assignment, what a fuse has to count, in words of its own.
    pub(super) sums: BTreeMap<(u32, u32), [Sum; 2]>,
}

/// What a second's requests go by.
pub(super) struct Terms<'a> {
    pub(super) now: u64,
    pub(super) table: &'a Table,
    pub(super) trial: &'a Arc<Trial>,
    pub(super) origins: &'a mut Origins,
    pub(super) draws: &'a mut Draws,
    pub(super) log: &'a mut Log,
}

impl Traffic {
    pub(super) fn new(seed: u64, table: &Table) -> Self {
        let plain = [Parsed::new("GET", ""), Parsed::new("POST", "")];
        let mut traffic = Self {
            cores: Vec::new(),
            open: BTreeMap::new(),
            plain,
            users: 0,
            counts: [0; 3],
            sums: BTreeMap::new(),
        };
        traffic.begin(seed, table);
        traffic
    }

    /// A new process.
    pub(super) fn begin(&mut self, seed: u64, table: &Table) {
        let retry = &table.config().upstreams[0].retry;
        let core = |number| Core {
            luck: Luck::seeded(seed ^ (number << 32)),
            budget: Budget::new(retry),
            cursor: BTreeMap::new(),
            deposits: 0,
            retries: 0,
        };
        self.cores = (1..=CORES).map(core).collect();
        self.open.clear();
        self.sums.clear();
    }

    /// Another budget.
    pub(super) fn follow(&mut self, table: &Table) {
        let retry = &table.config().upstreams[0].retry;
        for core in &mut self.cores {
            (core.budget, core.deposits, core.retries) = (Budget::new(retry), 0, 0);
            core.cursor.clear();
        }
    }

    /// A second with so many requests.
    pub(super) fn pass(&mut self, count: u64, mut terms: Terms<'_>) {
        self.end(&mut terms);
        let availability = terms.origins.availability(terms.table.config());
        let is_named = matches!(
            terms.table.config().upstreams[0].sticky.mode,
            gnomon_config::model::StickyMode::Key(_)
        );
        for number in 0..count {
            let core = usize::try_from(number % CORES).expect("small");
            let is_post = terms.draws.happens(0.2);
            self.users += 1;
            let named =
                is_named.then(|| Parsed::new("GET", &format!("x-user: n{}\r\n", self.users)));
            let parsed = named.as_ref().unwrap_or_else(|| &self.plain[usize::from(is_post)]);
            let luck = &mut self.cores[core].luck;
            let decision =
                terms.table.decide(&Subject::new(parsed.request(), CLIENT), &availability, luck);
            self.counts[0] += 1;
            match decision {
                Decision::Forward(plan) => {
                    check_plan(&plan, &mut terms);
                    let idempotence = Idempotence::of(parsed.request().method());
                    let plan = self.admit(core, plan, &availability, &mut terms);
                    self.serve(core, plan, idempotence, &mut terms);
                }
                Decision::Unavailable(_) => {}
                other @ (Decision::Redirect(_) | Decision::Respond(_) | Decision::NoRoute) => {
                    terms.log.wrong(terms.now, &format!("there is a route, but {other:?}"))
                }
            }
        }
    }

    /// Requests that hung until now.
    fn end(&mut self, terms: &mut Terms<'_>) {
        let old = u32::try_from(terms.now.saturating_sub(120)).expect("hours");
        self.sums = self.sums.split_off(&(old, 0));
        let later = self.open.split_off(&(terms.now + 1));
        for open in std::mem::replace(&mut self.open, later).into_values().flatten() {
            let origins = terms.origins.versions.get_mut(open.version);
            let seed = open.seed;
            let origin = origins.and_then(|it| it.iter_mut().find(|it| it.seed() == seed));
            if let Some(origin) = origin {
                origin.in_flight = origin.in_flight.saturating_sub(1);
                origin.run += 1;
            }
            self.sum(open.ticket, |sum| sum.late += 1);
            self.settle(open.core, terms.now, &open.trial, open.ticket, Some(open.class), None);
        }
    }

    /// As `worker/evidence.rs` does it.
    fn admit(
        &mut self,
        core: usize,
        plan: Plan,
        availability: &gnomon_policy::Availability,
        terms: &mut Terms<'_>,
    ) -> (Plan, Option<Ticket>) {
        let trial = terms.trial;
        let second = u32::try_from(terms.now).expect("hours");
        let cell = &trial.evidence.cores[core];
        let is_drawn = matches!(plan.assignment, Assignment::Coin | Assignment::Sticky);
        let (true, Some(arm)) = (is_drawn, trial.arm(plan.version)) else {
            if plan.assignment == Assignment::Fallback && trial.arm(plan.meant).is_some() {
                cell.void(second, trial.epoch);
            }
            return (plan, None);
        };
        if arm == Arm::Canary && trial.admit(second) != Admission::Admitted {
            self.counts[2] += 1;
            cell.void(second, trial.epoch);
            return (terms.table.fallback(&plan, availability).unwrap_or(plan), None);
        }
        if arm == Arm::Canary && trial.evidence.state.blown().is_some() {
            terms.log.wrong(terms.now, "the fuse has blown, and the canary is asked");
        }
        if !trial.is_fair(second, |version| availability.has(plan.upstream, version)) {
            cell.void(second, trial.epoch);
        }
        let ticket = Some(cell.assign(second, trial.epoch, arm));
        self.sum(ticket, |sum| sum.assigned += 1);
        (plan, ticket)
    }

    fn sum(&mut self, ticket: Option<Ticket>, change: impl FnOnce(&mut Sum)) {
        let Some(ticket) = ticket else { return };
        let sums = self.sums.entry((ticket.second(), ticket.epoch())).or_default();
        change(&mut sums[usize::from(ticket.arm() == Arm::Stable)]);
    }

    /// What both versions have seen since `second` under a split: the canary's, then stable's.
    pub(super) fn recent(&self, second: u32, epoch: u32) -> [Sum; 2] {
        let mut all = [Sum::default(); 2];
        let recent = self.sums.range((second, 0)..).filter(|((_, at), _)| *at == epoch);
        for (_, sums) in recent {
            for (all, one) in all.iter_mut().zip(sums) {
                all.assigned += one.assigned;
                all.resolved += one.resolved;
                all.bad += one.bad;
                all.late += one.late;
            }
        }
        all
    }

    fn serve(
        &mut self,
        core: usize,
        (plan, ticket): (Plan, Option<Ticket>),
        idempotence: Idempotence,
        terms: &mut Terms<'_>,
    ) {
        let upstream = &terms.table.config().upstreams[0];
        let version = usize::from(plan.version.0);
        let (mut tried, mut first) = (Vec::new(), None);
        self.cores[core].budget.deposit();
        self.cores[core].deposits += 1;
        loop {
            let own = &mut self.cores[core];
            let pick = Pick { balance: &upstream.balance, key: plan.balance_key, tried: &tried };
            let cursor = own.cursor.entry(plan.version.0).or_default();
            let origins = &mut terms.origins.versions[version];
            let Some(place) = balance::choose(origins, &pick, cursor, &mut own.luck) else {
                break self.settle(core, terms.now, terms.trial, ticket, first, None);
            };
            let is_left = |(at, origin): (usize, &super::origins::Origin)| {
                origin.available() && !tried.contains(&at)
            };
            if !origins[place].available() && origins.iter().enumerate().any(is_left) {
                terms.log.wrong(terms.now, "an endpoint that is out was chosen");
            }
            if tried.contains(&place) {
                terms.log.wrong(terms.now, "an endpoint was chosen twice");
            }
            tried.push(place);
            let answer = terms.origins.answer(terms.now, version, place, terms.draws);
            let origin = &mut terms.origins.versions[version][place];
            let (class, stage, sent) = match answer {
                Answer::Good(time) => {
                    origin.run = 0;
                    break self.settle(core, terms.now, terms.trial, ticket, first, Some(time));
                }
                Answer::Timeout(seconds) => {
                    origin.in_flight += 1;
                    let class = first.unwrap_or(Class::Timeout);
                    let (trial, seed) = (terms.trial.clone(), origin.seed());
                    let open = Open { core, ticket, trial, class, version, seed };
                    break self.open.entry(terms.now + seconds).or_default().push(open);
                }
                Answer::Status5xx => (Class::Status5xx, FailureStage::Reply, Sent::Head),
                Answer::Refused => (Class::Connect, FailureStage::Connect, Sent::Nothing),
                Answer::Reset => (Class::Reset, FailureStage::Fresh, Sent::Head),
            };
            origin.run += 1;
            first = first.or(Some(class));
            let attempts = u32::try_from(tried.len()).expect("few");
            let may = may_retry(stage, sent, idempotence, attempts, &upstream.retry);
            if !may || !self.cores[core].budget.try_withdraw() {
                break self.settle(core, terms.now, terms.trial, ticket, first, None);
            }
            self.retried(core, tried.len(), terms);
        }
    }

    fn retried(&mut self, core: usize, attempts: usize, terms: &mut Terms<'_>) {
        let retry = &terms.table.config().upstreams[0].retry;
        let own = &mut self.cores[core];
        own.retries += 1;
        self.counts[1] += 1;
        let earned = own.deposits * u64::from(retry.budget.0) / 100_000;
        if own.retries > 10 + earned || attempts > retry.attempts as usize {
            terms.log.wrong(terms.now, "more is tried again than the budget has");
        }
    }

    /// As `testify` does it.
    fn settle(
        &mut self,
        core: usize,
        now: u64,
        trial: &Arc<Trial>,
        ticket: Option<Ticket>,
        class: Option<Class>,
        time: Option<std::time::Duration>,
    ) {
        let Some(ticket) = ticket else { return };
        let (time, kpis) = (time.filter(|_| class.is_none()), [None; 4]);
        trial.evidence.cores[core].resolve(ticket, &Outcome { class, refused: false, time, kpis });
        self.sum(Some(ticket), |sum| {
            sum.resolved += 1;
            sum.bad += u64::from(class.is_some());
        });
        if class.is_some() && ticket.arm() == Arm::Canary {
            trial.spend(u32::try_from(now).expect("hours"));
        }
    }
}

/// The probability that a plan tells is the version's share.
fn check_plan(plan: &Plan, terms: &mut Terms<'_>) {
    let cuts = terms.table.layout(plan.upstream).cuts();
    let share = cuts.iter().find(|cut| cut.version == plan.version).map(|cut| cut.share());
    let is_drawn = matches!(plan.assignment, Assignment::Coin | Assignment::Sticky);
    if is_drawn && share != Some(plan.probability) {
        terms.log.wrong(terms.now, "a request is sent with another probability than the share");
    }
    let is_stable = plan.version == terms.table.config().upstreams[0].stable;
    if share.is_none() && !is_stable {
        terms.log.wrong(terms.now, "a version without a share is asked");
    }
}

/// Cores of the simulated process.
pub(super) const CORES: u64 = 2;
