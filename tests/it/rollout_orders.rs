//! What people say to a rollout, and what they may not.

use e2e::{Driver, Running, eventually};
use gnomon_policy::rollout::{Block, Phase};

use super::rollout::{Shop, path, plan, side_by_side, version};

const LONG: &str = "\"5% for 60s\", \"20% for 60s\", \"100% for 1s\"";

fn a_person_says_yes_and_may_take_it_back(driver: Driver) {
    let steps = "{ weight = \"50%\", hold = \"1s\", approve = true }, \"100% for 1s\"";
    let shop = Shop::begun(driver, steps, "");
    let load = shop.load();
    let waits = shop.reaches(Phase::Waiting);
    assert!(waits.event.why.contains("approve the next one"), "{:?}", waits.event);
    shop.passes(2);
    assert_eq!(shop.now().in_force, 50.0);
    shop.order("approve");
    shop.reaches(Phase::Promoted);
    let approved = shop.record().into_iter().find(|it| it.event.from == Phase::Waiting);
    let approved = approved.expect("it is in the record").event;
    assert!(approved.by.starts_with("test (uid "), "{approved:?}");
    assert_eq!(load.end(), (0, 0));
    shop.order("abort");
    assert_eq!(shop.reaches(Phase::Aborted).event.why, "aborted: for the test");
    eventually("everybody is on stable", || shop.now().in_force == 0.0);
    assert_eq!(shop.ask_anew(20), 0);
    assert_eq!(shop.ordered("resume", "").0, 409);
}

fn a_pause_keeps_the_weight_and_still_goes_back(driver: Driver) {
    let shop = Shop::begun(driver, "\"30% for 1s\", \"100% for 1s\"", "");
    shop.enters(1);
    shop.order("pause");
    let load = shop.load();
    eventually("enough for the next step", || shop.now().requests.canary >= 200);
    let now = shop.now();
    assert_eq!((now.state.phase, now.state.step, now.in_force), (Phase::Paused, 1, 30.0));
    assert!(now.armed);
    shop.canary.dial.fail(1000);
    let last = shop.ends();
    assert!(matches!(last.event.to, Phase::RolledBack(_)), "{:?}", last.event);
    assert_eq!((last.event.from, last.event.step), (Phase::Paused, 1));
    // A second start begins anew, and a pause ends by a word.
    shop.canary.dial.fail(0);
    shop.order("start");
    shop.order("pause");
    shop.order("resume");
    shop.reaches(Phase::Promoted);
    assert_eq!((shop.now().state.generation, load.end().1), (2, 0));
}

fn a_promotion_by_hand_is_called_not_proven(driver: Driver) {
    let shop = Shop::begun(driver, LONG, "");
    shop.enters(1);
    let out_of_first = "{\"step\": 1}";
    assert_eq!(shop.ordered("promote", out_of_first).0, 200);
    let (status, again) = shop.ordered("promote", out_of_first);
    assert!(status == 200 && again.contains("\"changes\":[]"), "{again}");
    assert_eq!((shop.now().state.step, shop.now().in_force), (2, 20.0));
    assert_eq!(shop.ordered("promote", "{\"full\": true}").0, 200);
    eventually("all go there", || shop.now().in_force == 100.0);
    let record = shop.record();
    let by_hand = &record[record.len() - 2..];
    assert!(by_hand.iter().all(|it| it.event.why.contains("by hand, not proven")));
    assert_eq!(path(by_hand), [(2, 20.0, "running"), (3, 100.0, "promoted")]);
    assert_eq!(shop.ask_anew(10), 10);
}

fn a_running_rollout_owns_the_split(driver: Driver) {
    let shop = Shop::begun(driver, LONG, "");
    shop.enters(1);
    let verbs = [("weight", "{\"v2\": 50}"), ("freeze", ""), ("resume", "")];
    for (verb, body) in verbs {
        let path = format!("/v1/upstreams/shop/{verb}");
        let (status, why) = shop.proxy.call("POST", &path, body);
        assert!(status == 409 && why.contains("rollout.shop"), "{verb}: {why}");
    }
    assert_eq!(shop.now().in_force, 5.0);
    shop.proxy.act("/v1/upstreams/shop/rollback", "");
    shop.reaches(Phase::Aborted);
    shop.proxy.act("/v1/upstreams/shop/weight", "{\"v2\": 50}");
    assert_eq!(shop.proxy.status().upstreams[0].versions[1].share, 50.0);
}

fn a_frozen_rollout_obeys_nobody_but_resume(driver: Driver) {
    let shop = Shop::begun(driver, LONG, "");
    shop.enters(1);
    shop.order("freeze");
    shop.order("freeze");
    for verb in ["start", "pause", "approve", "promote", "abort"] {
        let (status, why) = shop.ordered(verb, "");
        assert!(status == 409 && why.contains("frozen"), "{verb}: {why}");
    }
    assert_eq!(shop.ordered("promote", "{\"full\": true}").0, 409);
    shop.passes(2);
    let now = shop.now();
    assert_eq!((now.state.frozen, now.state.step, now.in_force), (true, 1, 5.0));
    shop.order("resume");
    assert!(!shop.now().state.frozen);
    shop.order("abort");
    shop.reaches(Phase::Aborted);
}

/// A window of another day than today, whatever the hour.
fn not_today() -> String {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let today = gnomon::clock::wall().as_secs() / 86_400 + 3;
    let other = usize::try_from((today + 3) % 7).expect("it is a day of the week");
    format!("rollout.shop.windows = [\"{} 00:00-23:59\"]\n", days[other])
}

fn a_closed_window_and_a_stopped_line_hold(driver: Driver) {
    let closed = not_today();
    let shop = Shop::begun(driver, LONG, &closed);
    let held = shop.reaches(Phase::Holding(Block::Window));
    assert!(held.event.why.contains("no change window"), "{:?}", held.event);
    shop.passes(2);
    shop.proxy.act("/v1/stop-the-line", "{\"on\": true, \"reason\": \"peak\"}");
    shop.proxy.edit(&closed, "rollout.shop.windows = [\"mon-sun 00:00-24:00\"]\n");
    shop.proxy.reload().expect("windows may change at any time");
    let held = shop.reaches(Phase::Holding(Block::StopLine));
    assert!(held.event.why.contains("peak"), "{:?}", held.event);
    let (status, why) = shop.ordered("promote", "");
    assert!(status == 409 && why.contains("the line is stopped: peak"), "{why}");
    assert_eq!(shop.now().in_force, 0.0);
    shop.proxy.act("/v1/stop-the-line", "{\"on\": false}");
    shop.enters(1);
    assert_eq!(shop.now().line, None);
}

fn a_reload_changes_the_plan_but_never_raises_a_weight(driver: Driver) {
    let shop = Shop::begun(driver, LONG, "");
    shop.enters(1);
    shop.order("promote");
    assert_eq!(shop.now().in_force, 20.0);
    shop.proxy.edit("\"20% for 60s\"", "\"10% for 60s\", \"40% for 60s\"");
    shop.proxy.reload().expect("steps may change at any time");
    eventually("it has less", || shop.now().in_force == 10.0);
    let last = shop.record().pop().expect("it is in the record").event;
    assert_eq!((last.step, &*last.why), (2, "the plan has changed"));
    shop.proxy.edit("\"10% for 60s\"", "\"15% for 60s\"");
    shop.proxy.reload().expect("steps may change at any time");
    eventually("it has no more", || shop.now().in_force == 5.0);
    let other = format!("\"{}\"", shop.stable.address());
    for (from, to, named) in [
        ("rollout.shop.from = ", "route.nix.respond.status = 204\nrollout.other.from = ", ""),
        ("route.all", "upstream.shop.split = { v1 = 50, v2 = 50 }\nroute.all", "split"),
    ] {
        shop.proxy.edit(from, to);
        let refused = shop.proxy.reload().expect_err("the rollout is under way");
        assert!(format!("{refused:?}").contains(named), "{refused:?}");
        shop.proxy.edit(to, from);
    }
    let ours = format!("\"{}\"", shop.canary.address());
    shop.proxy.edit(&ours, &other);
    let done = shop.proxy.reload().expect("endpoints may change at any time");
    assert!(format!("{done:?}").contains("other endpoints than before"), "{done:?}");
    assert_eq!((shop.now().state.step, shop.now().in_force), (1, 5.0));
}

fn other_endpoints_start_it(driver: Driver) {
    let (stable, canary, next) = (version("v1"), version("v2"), version("v2"));
    let text = plan(&stable, &canary, LONG, "rollout.shop.start = \"on_change\"\n");
    let proxy = Running::start(driver, &text);
    let shop = Shop { proxy, stable, canary };
    shop.proxy.reload().expect("nothing has changed");
    assert_eq!(shop.now().state.phase, Phase::Idle);
    shop.proxy.edit(&shop.canary.address().to_string(), &next.address().to_string());
    shop.proxy.reload().expect("it is right");
    shop.enters(1);
    let first = shop.record().swap_remove(0).event;
    assert_eq!((&*first.why, &*first.by), ("the canary's endpoints have changed", "gnomon"));
    assert_eq!(shop.now().in_force, 5.0);
}

#[test]
fn orders_are_obeyed_or_refused() {
    side_by_side(&[
        ("a_person_says_yes_and_may_take_it_back", a_person_says_yes_and_may_take_it_back),
        (
            "a_pause_keeps_the_weight_and_still_goes_back",
            a_pause_keeps_the_weight_and_still_goes_back,
        ),
        ("a_promotion_by_hand_is_called_not_proven", a_promotion_by_hand_is_called_not_proven),
        ("a_running_rollout_owns_the_split", a_running_rollout_owns_the_split),
        ("a_frozen_rollout_obeys_nobody_but_resume", a_frozen_rollout_obeys_nobody_but_resume),
        ("a_closed_window_and_a_stopped_line_hold", a_closed_window_and_a_stopped_line_hold),
    ]);
}

#[test]
fn a_reload_may_come_at_any_time() {
    side_by_side(&[
        (
            "a_reload_changes_the_plan_but_never_raises_a_weight",
            a_reload_changes_the_plan_but_never_raises_a_weight,
        ),
        ("other_endpoints_start_it", other_endpoints_start_it),
    ]);
}
