//! Rollouts over upgrades: position, weight and evidence, each request once.

use std::time::Duration;

use e2e::{Driver, Fickle, Load, eventually, on_each_driver};
use gnomon::control::api::rollout::{Record, Rollout};
use gnomon_policy::rollout::Phase;

use super::{
    heirs::Heirs,
    rollout::{oldest_first, plan, version},
};

struct Shop {
    heirs: Heirs,
    _versions: [Fickle; 2],
}

impl Shop {
    fn begun(driver: Driver, steps: &str, more: &str) -> Self {
        let versions = [version("v1"), version("v2")];
        let [stable, canary] = &versions;
        let heirs = Heirs::start(driver, &plan(stable, canary, steps, more));
        heirs.act("/v1/rollouts/shop/start", "{}");
        Self { heirs, _versions: versions }
    }

    fn now(&self) -> Rollout {
        let (_, text) = self.heirs.call("GET", "/v1/rollouts/shop", "");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn record(&self) -> Vec<Record> {
        oldest_first(&self.heirs.call("GET", "/v1/rollouts/shop/history?limit=100", "").1)
    }

    /// Requests that the judge has seen: the canary's and stable's.
    fn judged(&self) -> (u64, u64) {
        let overall = &self.now().report["signals"][0]["overall"];
        let all = |side: &str| overall[side]["all"].as_u64().unwrap_or(0);
        (all("canary"), all("stable"))
    }
}

#[test]
fn every_request_is_evidence_once_whoever_served_it() {
    on_each_driver(|driver| {
        let mut shop = Shop::begun(driver, "\"50% for 1h\"", "");
        eventually("half are the canary's", || shop.now().in_force == 50.0);
        // Every core goes by it, and the second in which it began is over.
        eventually::linger(Duration::from_millis(1200));
        let mut load = Load::start(&shop.heirs.door(), 6, Duration::from_millis(5));
        let before = shop.record();
        for _ in 0..2 {
            load.go_on(200);
            shop.heirs.upgrade_well();
            load.go_on(50);
            let now = shop.now();
            assert_eq!((now.state.step, now.in_force), (1, 50.0));
            assert_eq!(now.state.phase, Phase::Running);
            shop.heirs.settle();
        }
        load.go_on(100);
        load.stop();
        let (canary, all) = (load.canary(), load.asked());
        assert_eq!(load.end(), (0, 0));
        eventually("all is judged", || {
            let (of_canary, of_stable) = shop.judged();
            of_canary == canary && of_canary + of_stable == all
        });
        assert_eq!(shop.record(), before, "nothing has happened to it");
        let seen = shop.now().requests;
        assert_eq!((seen.canary, seen.canary + seen.stable), (canary, all));
    });
}

#[test]
fn a_rollout_goes_on_to_its_end() {
    on_each_driver(|driver| {
        let mut shop = Shop::begun(driver, "\"20% for 2s\", \"50% for 2s\", \"100% for 1s\"", "");
        let load = Load::start(&shop.heirs.door(), 8, Duration::from_millis(10));
        for step in [1, 2] {
            eventually("the next step", || shop.now().state.step >= step);
            shop.heirs.upgrade_well();
            shop.heirs.settle();
        }
        eventually("it is promoted", || shop.now().state.phase == Phase::Promoted);
        // A machine that is full may have it hold for a moment, within a step.
        let mut steps: Vec<usize> = shop.record().iter().map(|record| record.event.step).collect();
        steps.dedup();
        assert_eq!(steps, [0, 1, 2, 3]);
        assert_eq!(load.end().0, 0);
    });
}
