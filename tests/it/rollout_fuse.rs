//! A canary that dies: cut off by the cores themselves, before too many have met it.

use e2e::{Driver, Load, eventually};
use gnomon_policy::rollout::{Cause, Phase};

use super::rollout::{Shop, figure, side_by_side};

/// Bad answers that are allowed.
const BUDGET: u64 = 20;
/// Clients of a load, and so requests that may be under way.
const CLIENTS: u64 = 8;

const STEPS: &str = "\"25% for 60s\", \"100% for 1s\"";

/// A canary at 25 % dies in this way; how many bad answers clients got.
fn dying(driver: Driver, how: &str, die: impl FnOnce(&mut Shop)) -> u64 {
    let more = "runtime.cores = 2\ntimeouts.response = \"300ms\"\n";
    let mut shop = Shop::begun(driver, STEPS, more);
    let load = shop.load();
    eventually("the canary is well", || load.canary() >= 25);
    assert_eq!(load.bad(), 0);
    let died = gnomon::clock::now();
    die(&mut shop);
    // What was answered before it died is no harm; what is missed between the two, `bad` has.
    let before = shop.canary.dial.answered();
    let evidence = shop.proxy.snapshot().trials[0].as_ref().map(|trial| trial.evidence.clone());
    let evidence = evidence.expect("there is a trial");
    let is_cut = || evidence.state.blown().is_some() || !shop.now().state.phase.is_active();
    eventually("the cores cut it off", is_cut);
    let time = gnomon::clock::now() - died;
    let last = shop.reaches(Phase::RolledBack(Cause::Fuse));
    assert!(last.event.why.starts_with("the fuse has cut the canary off: "), "{:?}", last.event);
    assert_eq!((last.event.weight_from, last.event.weight), (25_000, 0));
    let bad = stays_well(&shop, &load);
    let met = shop.canary.dial.answered() - before;
    assert!(met <= BUDGET + CLIENTS, "{met} have met it");
    assert_eq!(load.broken(), 0);
    let time = time.as_millis();
    figure(&format!("{how} on {driver:?}: {bad} bad answers, cut after {time} ms"));
    bad
}

/// Nobody meets the canary any more, whatever core is asked; how many bad answers there were.
fn stays_well(shop: &Shop, load: &Load) -> u64 {
    eventually("everybody is on stable", || shop.now().in_force == 0.0);
    // Those that were under way have had their answers.
    let of_canary = || shop.proxy.status().upstreams[0].versions[1].clone();
    eventually("none is under way", || of_canary().in_flight == 0);
    load.go_on(CLIENTS);
    let (bad, canary) = (load.bad(), load.canary());
    load.go_on(200);
    assert_eq!(shop.ask_anew(40), 0);
    assert_eq!((load.bad(), load.canary()), (bad, canary));
    let status = shop.proxy.status();
    assert_eq!(status.cores.len(), 2);
    assert!(status.cores.iter().all(|core| core.generation == status.generation));
    bad
}

fn a_canary_that_fails_is_cut_off_within_its_budget(driver: Driver) {
    let bad = dying(driver, "all 500", |shop| shop.canary.dial.fail(1000));
    assert!((BUDGET / 2..=BUDGET + CLIENTS).contains(&bad), "{bad}");
}

fn a_canary_that_hangs_is_cut_off_within_its_budget(driver: Driver) {
    let bad = dying(driver, "hangs", |shop| shop.canary.dial.hang());
    assert!((BUDGET / 2..=BUDGET + CLIENTS).contains(&bad), "{bad}");
}

fn a_canary_that_refuses_is_cut_off_and_nobody_notices(driver: Driver) {
    // What was never sent is answered by stable.
    let bad = dying(driver, "refuses", |shop| shop.canary.die());
    assert!(bad <= CLIENTS, "{bad}");
}

fn a_frozen_canary_is_not_cut_off(driver: Driver) {
    let shop = Shop::begun(driver, STEPS, "runtime.cores = 2\n");
    let load = shop.load();
    eventually("the canary is well", || load.canary() >= 25);
    shop.order("freeze");
    assert!(!shop.now().armed);
    shop.canary.dial.fail(1000);
    eventually("many have met it", || load.bad() >= 4 * BUDGET);
    eventually("it is said", || {
        let last = shop.record().pop().expect("it has begun");
        last.event.why.starts_with("frozen: not rolled back, though judge says: ")
    });
    let now = shop.now();
    assert!(now.state.frozen && now.in_force == 25.0, "{now:?}");
    shop.order("resume");
    assert!(matches!(shop.ends().event.to, Phase::RolledBack(_)));
    stays_well(&shop, &load);
    assert_eq!(load.end().1, 0);
}

#[test]
fn a_canary_that_dies_is_cut_off() {
    side_by_side(&[
        (
            "a_canary_that_fails_is_cut_off_within_its_budget",
            a_canary_that_fails_is_cut_off_within_its_budget,
        ),
        (
            "a_canary_that_hangs_is_cut_off_within_its_budget",
            a_canary_that_hangs_is_cut_off_within_its_budget,
        ),
        (
            "a_canary_that_refuses_is_cut_off_and_nobody_notices",
            a_canary_that_refuses_is_cut_off_and_nobody_notices,
        ),
        ("a_frozen_canary_is_not_cut_off", a_frozen_canary_is_not_cut_off),
    ]);
}
