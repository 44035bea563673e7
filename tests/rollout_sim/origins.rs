//! Origins that fail, hang, slow down, vanish and recover, and what checks and ejections make of it.

use std::time::Duration;

use e2e::sim::draw::Draws;
use gnomon_config::{
    Config,
    model::{self, UpstreamIx, VersionIx},
};
use gnomon_policy::{
    Availability,
    balance::{self, View},
    eject::{Ejections, Sighting, cap},
    health::{self, Verdict},
};

use super::world::Log;

/// How an origin is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Condition {
    Well,
    /// So many answers are 5xx.
    Failing(f64),
    /// So many times as slow.
    Slow(f64),
    /// Connections are refused.
    Gone,
    /// Nothing comes back for so many seconds.
    Hanging(u64),
}

/// One endpoint.
#[derive(Debug)]
pub(super) struct Origin {
    seed: u64,
    pub(super) condition: Condition,
    until: u64,
    health: health::Endpoint,
    /// Checks in a row that have failed, and that have passed.
    checks: (u32, u32),
    ejected: bool,
    /// Failures in a row.
    pub(super) run: u32,
    pub(super) in_flight: u32,
}

impl View for Origin {
    fn in_flight(&self) -> u32 {
        self.in_flight
    }

    fn available(&self) -> bool {
        !self.ejected && self.health.verdict() == Verdict::Healthy
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Answer {
    Good(Duration),
    Refused,
    Reset,
    Status5xx,
    /// After so many seconds.
    Timeout(u64),
}

/// All endpoints of the upstream.
#[derive(Debug)]
pub(super) struct Origins {
    /// By version.
    pub(super) versions: Vec<Vec<Origin>>,
    ejections: Vec<Ejections>,
    /// What befalls all of them.
    pub(super) weather: Condition,
    weather_until: u64,
    /// How the canary is by nature.
    canary: Condition,
    canary_from: u64,
    /// Whether only what befalls all of them happens.
    alike: bool,
}

impl Origins {
    pub(super) fn new(alike: bool, draws: &mut Draws) -> Self {
        let natures = [
            Condition::Well,
            Condition::Failing(0.02),
            Condition::Failing(0.1),
            Condition::Failing(0.6),
            Condition::Slow(1.6),
            Condition::Gone,
            Condition::Hanging(20),
        ];
        let nature = natures[usize::try_from(draws.below(7)).expect("small")];
        Self {
            versions: Vec::new(),
            ejections: Vec::new(),
            weather: Condition::Well,
            weather_until: 0,
            canary: if alike { Condition::Well } else { nature },
            canary_from: draws.below(4000),
            alike,
        }
    }

    /// Takes a configuration over: endpoints keep what is known of them by their address, and a
    /// version with other endpoints than before begins without ejections.
    pub(super) fn follow(&mut self, config: &Config) {
        let before = std::mem::take(&mut self.versions);
        let mut ejections = std::mem::take(&mut self.ejections).into_iter();
        let mut before = before.into_iter();
        for version in &config.upstreams[0].versions {
            let seeds: Vec<u64> = version.endpoints.iter().map(balance::seed).collect();
            let (old, out) = (before.next().unwrap_or_default(), ejections.next());
            let is_same = old.iter().map(|origin| origin.seed).eq(seeds.iter().copied());
            let mut old: Vec<Origin> = old;
            let mut known = |seed: u64| {
                let place = old.iter().position(|origin| origin.seed == seed);
                place.map_or_else(|| Origin::new(seed), |place| old.swap_remove(place))
            };
            let mut origins: Vec<Origin> = seeds.iter().map(|seed| known(*seed)).collect();
            if !is_same {
                origins.iter_mut().for_each(|origin| origin.ejected = false);
            }
            let out = out.filter(|_| is_same);
            self.ejections.push(out.unwrap_or_else(|| Ejections::new(origins.len())));
            self.versions.push(origins);
        }
    }

    /// What an earlier process knew is gone.
    pub(super) fn forget(&mut self) {
        for (origins, out) in self.versions.iter_mut().zip(&mut self.ejections) {
            *out = Ejections::new(origins.len());
            for origin in origins {
                *origin = Origin {
                    condition: origin.condition,
                    until: origin.until,
                    ..Origin::new(origin.seed)
                };
            }
        }
    }

    /// Trouble comes and goes.
    pub(super) fn live(&mut self, now: u64, draws: &mut Draws, log: &mut Log) {
        if now >= self.weather_until {
            let calm = self.weather != Condition::Well || draws.happens(0.5);
            self.weather = if calm { Condition::Well } else { trouble(draws) };
            self.weather_until = now + 20 + draws.below(if calm { 2000 } else { 120 });
            log.say(now, &format!("weather: {:?}", self.weather));
        }
        if now == self.canary_from && self.canary != Condition::Well {
            log.say(now, &format!("v2 becomes {:?}", self.canary));
        }
        if self.alike {
            return;
        }
        for (version, origins) in self.versions.iter_mut().enumerate() {
            for (place, origin) in origins.iter_mut().enumerate() {
                if now < origin.until {
                    continue;
                }
                let first = origin.until == 0;
                let calm = first || origin.condition != Condition::Well;
                origin.condition = if calm { Condition::Well } else { trouble(draws) };
                origin.until = now + 30 + draws.below(if calm { 5000 } else { 200 });
                if !first {
                    let text = format!("v{} endpoint {place}: {:?}", version + 1, origin.condition);
                    log.say(now, &text);
                }
            }
        }
    }

    /// What becomes of an attempt.
    pub(super) fn answer(
        &self,
        now: u64,
        version: usize,
        place: usize,
        draws: &mut Draws,
    ) -> Answer {
        let nature = match version {
            1 if now >= self.canary_from => self.canary,
            _ => Condition::Well,
        };
        let mut slow = 1.0;
        for condition in [self.versions[version][place].condition, self.weather, nature] {
            match condition {
                Condition::Well => {}
                Condition::Failing(chance) if !draws.happens(chance) => {}
                Condition::Failing(_) if draws.happens(0.2) => return Answer::Reset,
                Condition::Failing(_) => return Answer::Status5xx,
                Condition::Slow(factor) => slow *= factor,
                Condition::Gone => return Answer::Refused,
                Condition::Hanging(seconds) => return Answer::Timeout(seconds),
            }
        }
        if draws.happens(0.001) {
            return Answer::Status5xx;
        }
        Answer::Good(Duration::from_secs_f64((0.02 + draws.exponential(0.05)) * slow))
    }

    /// One second of checks and ejections; what is wrong with them.
    pub(super) fn look(&mut self, now: u64, config: &Config, draws: &mut Draws, log: &mut Log) {
        let upstream = &config.upstreams[0];
        if let (Some(health), true) = (&upstream.health, now.is_multiple_of(2)) {
            self.check(now, health, draws, log);
        }
        let at = Duration::from_secs(now);
        for (version, origins) in self.versions.iter_mut().enumerate() {
            let ejections = &mut self.ejections[version];
            let seen: Vec<Sighting> =
                origins.iter().map(|origin| Sighting { failures: origin.run }).collect();
            ejections.tick(at, &seen, &upstream.eject);
            for (place, origin) in origins.iter_mut().enumerate() {
                let out = ejections.until(place);
                if out.is_some() != origin.ejected {
                    (origin.run, origin.ejected) = (0, out.is_some());
                    let text = format!("v{} endpoint {place} until {out:?}", version + 1);
                    log.say(now, &text);
                }
                if out.is_some_and(|until| until <= at) {
                    log.wrong(now, "an ejected endpoint does not come back");
                }
            }
            let most = cap(origins.len(), upstream.eject.max_ejected);
            if ejections.out() > most || (ejections.out() > 0 && ejections.out() >= origins.len()) {
                log.wrong(now, "more endpoints are ejected than may be");
            }
        }
    }

    fn check(&mut self, now: u64, health: &model::Health, draws: &mut Draws, log: &mut Log) {
        for version in 0..self.versions.len() {
            for place in 0..self.versions[version].len() {
                let is_good = matches!(self.answer(now, version, place, draws), Answer::Good(_));
                let origin = &mut self.versions[version][place];
                let outcome =
                    if is_good { health::Outcome::Passed } else { health::Outcome::Failed };
                origin.health.note(outcome, health);
                let (failed, passed) = origin.checks;
                origin.checks = if is_good { (0, passed + 1) } else { (failed + 1, 0) };
                let (failed, passed) = origin.checks;
                let verdict = origin.health.verdict();
                if (failed >= health.unhealthy && verdict == Verdict::Healthy)
                    || (passed >= health.healthy && verdict == Verdict::Unhealthy)
                {
                    log.wrong(now, "checks have said otherwise often enough");
                }
            }
        }
    }

    /// Endpoints of a version that may be used.
    pub(super) fn usable(&self, version: usize) -> u32 {
        let all = self.versions[version].iter();
        u32::try_from(all.filter(|origin| origin.available()).count()).unwrap_or(0)
    }

    pub(super) fn availability(&self, config: &Config) -> Availability {
        let mut availability = Availability::of(config);
        for version in 0..self.versions.len() {
            let index = VersionIx(u16::try_from(version).expect("small"));
            availability.set(UpstreamIx(0), index, self.usable(version) > 0);
        }
        availability
    }
}

impl Origin {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            condition: Condition::Well,
            until: 0,
            health: health::Endpoint::new(),
            checks: (0, 0),
            ejected: false,
            run: 0,
            in_flight: 0,
        }
    }
}

fn trouble(draws: &mut Draws) -> Condition {
    match draws.below(5) {
        0 => Condition::Failing(draws.between(0.01, 1.0)),
        1 => Condition::Failing(draws.between(0.001, 0.05)),
        2 => Condition::Slow(draws.between(1.1, 6.0)),
        3 => Condition::Gone,
        _ => Condition::Hanging(1 + draws.below(70)),
    }
}
