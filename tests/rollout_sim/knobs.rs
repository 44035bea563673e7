//! The file of a run, and what people change of it.

use std::{fmt::Write as _, sync::Arc};

use e2e::sim::draw::Draws;
use gnomon_config::{Config, Options, parse};

/// All that may be different from one file to the next.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Knobs {
    pub(super) sticky: &'static str,
    balance: &'static str,
    pub(super) stable: u64,
    pub(super) canary: u64,
    /// Rises when the canary's endpoints move elsewhere.
    pub(super) ports: u64,
    pub(super) has_third: bool,
    pub(super) split: &'static str,
    steps: &'static str,
    pub(super) start: &'static str,
    inconclusive: &'static str,
    fail: &'static str,
    max: u64,
    budget: u64,
    eject: u64,
    max_ejected: u64,
    attempts: u64,
    retried: u64,
    has_tests: bool,
}

const STEPS: [&str; 5] = [
    "'5% for 2m', '25% for 3m', '50% for 3m', '100% for 2m'",
    "'10% for 1m', '50% for 2m'",
    "'1% for 5m', '20% for 5m', '100%'",
    "{ weight = '20%', hold = '2m', approve = true }, '60% for 1m', '100% for 1m'",
    "'2% for 1m', '4% for 1m', '8% for 1m', '16% for 1m', '32% for 1m', '64% for 1m', '100% for 1m'",
];

fn pick(draws: &mut Draws, all: &[&'static str]) -> &'static str {
    all[usize::try_from(draws.below(all.len() as u64)).expect("small")]
}

impl Knobs {
    pub(super) fn drawn(draws: &mut Draws) -> Self {
        Self {
            sticky: pick(draws, &["none", "cookie", "header:x-user"]),
            balance: pick(draws, &["p2c", "round_robin", "least_conn", "hash:client_ip"]),
            stable: 1 + draws.below(4),
            canary: 1 + draws.below(3),
            ports: 0,
            has_third: draws.happens(0.3),
            split: "",
            steps: pick(draws, &STEPS),
            start: pick(draws, &["manual", "manual", "on_change"]),
            inconclusive: pick(draws, &["hold", "rollback", "advance"]),
            fail: pick(draws, &["rollback", "rollback", "hold"]),
            max: 11 + draws.below(40),
            budget: 8 + draws.below(20),
            eject: draws.below(7),
            max_ejected: 25 * (1 + draws.below(4)),
            attempts: draws.below(4),
            retried: draws.below(30),
            has_tests: draws.happens(0.3),
        }
    }

    /// Something of the rollout or the upstream is otherwise now; never what may not change while a
    /// rollout is under way.
    pub(super) fn edit(&mut self, draws: &mut Draws) {
        match draws.below(7) {
            0 => self.steps = pick(draws, &STEPS),
            1 => self.has_third = !self.has_third,
            2 => self.stable = 1 + draws.below(4),
            3 => self.canary = 1 + draws.below(3),
            4 => self.ports += 1,
            5 => self.budget = draws.below(30),
            _ => (self.attempts, self.retried) = (draws.below(4), draws.below(30)),
        }
    }

    pub(super) fn config(&self) -> Arc<Config> {
        let text = self.text();
        match parse("sim.toml", &text, &Options::default()) {
            Ok(loaded) => Arc::new(loaded.config),
            Err(problems) => panic!("{}\n{text}", problems.render(false)),
        }
    }

    fn text(&self) -> String {
        let endpoints = |net: u64, count: u64, from: u64| {
            let all = (0..count).map(|number| format!("'10.0.{net}.{}:80'", from + number + 1));
            all.collect::<Vec<_>>().join(", ")
        };
        let Self { sticky, balance, split, steps, start, inconclusive, fail, .. } = self;
        let Self { max, budget, eject, max_ejected, attempts, retried, .. } = self;
        let mut text = format!(
            "listen = '127.0.0.1:8080'\n[upstream.shop]\nsticky = '{sticky}'\n\
             balance = '{balance}'\n{split}\nhealth = {{ path = '/up' }}\n\
             eject = {{ after = {eject}, max_ejected = '{max_ejected}%' }}\n\
             retry = {{ attempts = {attempts}, budget = '{retried}%' }}\n\
             versions.v1 = [{}]\nversions.v2 = [{}]\n",
            endpoints(1, self.stable, 0),
            endpoints(2, self.canary, 10 * (self.ports % 20)),
        );
        if self.has_third {
            text += "versions.v3 = ['10.0.3.1:80']\n";
        }
        let _ = write!(
            text,
            "[route.shop]\nto = 'shop'\n[rollout.shop]\nfrom = 'shop@v1'\nto = 'shop@v2'\n\
             start = '{start}'\nsteps = [{steps}]\nmax = '{max}m'\n\
             [rollout.shop.gate]\nmin_requests = 50\n\
             risk = {{ errors = '2pp', latency = '10pp' }}\n\
             [rollout.shop.fuse]\nbudget = {budget}\n\
             [rollout.shop.on]\ninconclusive = '{inconclusive}'\nfail = '{fail}'\n",
        );
        if self.has_tests {
            text += "[rollout.shop.test.up]\npath = '/up'\n";
        }
        text
    }
}
