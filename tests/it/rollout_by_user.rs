//! Rollouts of users that stay on their version, and of copies.

use std::time::Duration;

use e2e::{Driver, Load};
use gnomon_policy::rollout::{Block, Cause, Phase};

use super::{
    GET,
    rollout::{NO_FUSE, Shop, side_by_side, version, way},
};

const STICKY: &str = "upstream.shop.sticky = \"cookie\"\nrollout.shop.gate.horizon = \"1s\"\n";

/// Users that keep their cookies.
struct Regulars(Vec<(String, bool)>);

impl Regulars {
    /// So many new ones.
    fn come(shop: &Shop, count: usize) -> Self {
        let mut client = shop.proxy.connect();
        let users = (0..count).map(|_| {
            let reply = client.ask(GET);
            let set = reply.field("set-cookie").expect("they are new");
            (set.split(';').next().unwrap_or_default().to_owned(), reply.text() == "v2")
        });
        Self(users.collect())
    }

    /// All ask once more: who was on the canary is on it.
    fn come_again(&mut self, shop: &Shop) {
        let mut client = shop.proxy.connect();
        for (cookie, is_on_canary) in &mut self.0 {
            let request = format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\n\r\n");
            let reply = client.ask(request);
            assert!(reply.text() == "v2" || !*is_on_canary, "moved back at {:?}", shop.now().state);
            *is_on_canary = reply.text() == "v2";
        }
    }
}

fn users_are_judged_and_nobody_moves_back(driver: Driver) {
    let steps = "\"30% for 1s\", \"60% for 60s\", \"100% for 1s\"";
    let shop = Shop::begun(driver, steps, STICKY);
    let mut users = Regulars::come(&shop, 60);
    let load = shop.load();
    while shop.now().state.phase.is_active() {
        users.come_again(&shop);
        if shop.now().state.step == 2 {
            shop.ordered("promote", "{\"step\": 2}");
        }
        assert!(load.asked() < 60_000, "{:#?}", shop.now().state);
    }
    shop.reaches(Phase::Promoted);
    users.come_again(&shop);
    assert!(users.0.iter().all(|(_, is_on_canary)| *is_on_canary));
    assert_eq!(load.end(), (0, 0));
    let record = shop.record();
    let judged = record.iter().find(|it| it.event.step == 2).expect("it has come to 100 %");
    assert!(judged.event.why.starts_with("ADVANCED to 60%"), "{:?}", judged.event);
    assert_eq!(
        way(&record),
        [
            (0, 0.0, "running"),
            (1, 30.0, "running"),
            (2, 60.0, "running"),
            (3, 100.0, "running"),
            (3, 100.0, "promoted"),
        ]
    );
}

fn a_canary_that_is_bad_for_its_users_is_rolled_back(driver: Driver) {
    let more = format!("{STICKY}{NO_FUSE}");
    let shop = Shop::begun(driver, "\"30% for 60s\", \"100% for 1s\"", &more);
    shop.canary.dial.fail(300);
    let load = Load::start(&shop.door(), 8, Duration::from_millis(15));
    let last = shop.reaches(Phase::RolledBack(Cause::Judge));
    assert!(last.event.why.contains(" Errors: canary "), "{:?}", last.event);
    assert_eq!(load.end().1, 0);
    assert_eq!(shop.ask_anew(20), 0);
}

fn copies_that_are_answered_differently_hold(driver: Driver) {
    let more = "shadow.new = { from = \"shop@v1\", to = \"shop@v2\", shed_at = \"100%\", \
                    timeout = \"60s\" }\nrollout.shop.gate.diff_rate.max = \"1%\"\n";
    let steps = "{ shadow = \"100%\", hold = \"1s\" }, \"50% for 60s\", \"100% for 1s\"";
    let shop = Shop::begun(driver, steps, more);
    let load = shop.load();
    let held = shop.reaches(Phase::Holding(Block::Different));
    assert!(held.event.why.contains("of the copies are answered differently"), "{held:?}");
    shop.passes(2);
    let now = shop.now();
    assert_eq!((now.state.step, now.in_force, load.canary()), (1, 0.0, 0));
    assert!(now.diff_rate > Some(0.5) && now.requests.canary > 0, "{now:?}");
    assert_eq!(load.end(), (0, 0));
    drop(shop);
    let shop = Shop::of(driver, [version("v1"), version("v1")], steps, more);
    shop.order("start");
    let load = shop.load();
    shop.enters(2);
    assert_eq!(load.end(), (0, 0));
    let way = way(&shop.record());
    assert_eq!(way, [(0, 0.0, "running"), (1, 0.0, "shadowing"), (2, 50.0, "running")]);
}

#[test]
fn users_and_copies_are_judged() {
    side_by_side(&[
        ("users_are_judged_and_nobody_moves_back", users_are_judged_and_nobody_moves_back),
        (
            "a_canary_that_is_bad_for_its_users_is_rolled_back",
            a_canary_that_is_bad_for_its_users_is_rolled_back,
        ),
        ("copies_that_are_answered_differently_hold", copies_that_are_answered_differently_hold),
    ]);
}
