//! Who is told of a rollout, who is asked, and what is tried out first.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use e2e::{Driver, Origin, eventually, origin::ok};
use gnomon::control::api::rollout::Rollouts;
use gnomon_policy::rollout::{Block, Event, Phase};
use serde_json::Value;

use super::rollout::{Shop, side_by_side};

const AT_ONCE: &str = "\"100% for 1s\"";
const UNASKED: &str = "rollout.shop.gate.min_requests = 0\n";

/// Somebody who answers with 200, or with another status while told so.
fn somebody(status: u16, says: impl Fn() -> bool + Send + Sync + 'static) -> Origin {
    let other = format!("HTTP/1.1 {status} Other\r\ncontent-length: 0\r\n\r\n");
    Origin::start(move |call, _| {
        while call.read_request()?.is_some() {
            if says() {
                call.reply(&other)?;
            } else {
                call.reply(ok("yes"))?;
            }
        }
        Ok(())
    })
}

fn bodies(origin: &Origin) -> Vec<Value> {
    let read = |body: &Vec<u8>| serde_json::from_slice(body).expect("it is JSON");
    origin.requests().iter().map(|request| read(&request.body)).collect()
}

fn a_webhook_is_told_of_each_transition_until_it_listens(driver: Driver) {
    let asked = AtomicUsize::new(0);
    let told = somebody(503, move || asked.fetch_add(1, SeqCst) < 2);
    let more = format!("{UNASKED}rollout.shop.on.webhook = \"http://{}/t\"\n", told.address());
    let shop = Shop::begun(driver, AT_ONCE, &more);
    shop.reaches(Phase::Promoted);
    let all = || -> Rollouts {
        serde_json::from_str(&shop.proxy.call("GET", "/v1/rollouts", "").1).expect("as promised")
    };
    let record = shop.record();
    eventually("all are told", || all().hooks.sent == record.len() as u64);
    assert_eq!((all().hooks.failed, all().hooks.dropped, all().hooks.waiting), (0, 0, 0));
    let heard = bodies(&told);
    assert_eq!(heard.len(), record.len() + 2);
    assert!(heard[0] == heard[1] && heard[1] == heard[2]);
    for (body, record) in heard[2..].iter().zip(&record) {
        let event: Event = serde_json::from_value(body["event"].clone()).expect("it is one");
        assert_eq!(event, record.event);
        assert_eq!((&body["rollout"], &body["to"]), (&"shop".into(), &"shop@v2".into()));
        assert!(body["text"].as_str().is_some_and(|text| text.contains(&record.event.why)));
    }
    let first = &told.requests()[0];
    assert_eq!(first.line(), "POST /t HTTP/1.1");
    assert_eq!(first.field("content-type"), Some("application/json"));
}

fn no_weight_is_raised_before_somebody_says_yes(driver: Driver) {
    let refuses = Arc::new(AtomicBool::new(true));
    let theirs = refuses.clone();
    let asked = somebody(403, move || theirs.load(SeqCst));
    let more = format!("{UNASKED}rollout.shop.on.confirm = \"http://{}/c\"\n", asked.address());
    let shop = Shop::begun(driver, AT_ONCE, &more);
    let held = shop.reaches(Phase::Holding(Block::Confirm));
    assert!(held.event.why.contains("on.confirm says no: status 403"), "{:?}", held.event);
    shop.passes(2);
    assert_eq!((shop.now().state.step, shop.now().in_force), (0, 0.0));
    refuses.store(false, SeqCst);
    // A new run asks at once; this one would in half a minute.
    shop.order("abort");
    shop.order("start");
    shop.reaches(Phase::Promoted);
    let body = bodies(&asked).swap_remove(0);
    assert_eq!((&body["state"]["step"], &body["from"]), (&0.into(), &"shop@v1".into()));
}

fn nobody_meets_a_canary_that_fails_its_tests(driver: Driver) {
    let more = format!(
        "{UNASKED}[rollout.shop.test.home]\npath = \"/checkout?dry=1\"\ncontains = \"v2\"\n\
             [rollout.shop.test.other]\npath = \"/\"\nstatus = [\"200\"]\n"
    );
    let shop = Shop::open(driver, AT_ONCE, &more);
    shop.canary.dial.fail(1000);
    shop.order("start");
    let held = shop.reaches(Phase::Holding(Block::Tests));
    assert!(held.event.why.contains("test `home`: status 500"), "{:?}", held.event);
    let before = shop.canary.dial.answered();
    assert!(before > 0);
    assert_eq!((shop.ask_anew(20), shop.now().in_force), (0, 0.0));
    shop.passes(2);
    assert_eq!((shop.now().state.step, shop.canary.dial.answered()), (0, before));
    shop.canary.dial.fail(0);
    shop.order("abort");
    shop.order("start");
    shop.reaches(Phase::Promoted);
    let weights: BTreeSet<u32> = shop.record().iter().map(|it| it.event.weight).collect();
    assert_eq!(weights, BTreeSet::from([0, 100_000]));
    // Both, before the first weight and before the end.
    eventually("all tests were run", || shop.canary.dial.answered() >= before + 4);
}

#[test]
fn whoever_is_outside_is_told_and_asked() {
    side_by_side(&[
        (
            "a_webhook_is_told_of_each_transition_until_it_listens",
            a_webhook_is_told_of_each_transition_until_it_listens,
        ),
        (
            "no_weight_is_raised_before_somebody_says_yes",
            no_weight_is_raised_before_somebody_says_yes,
        ),
        ("nobody_meets_a_canary_that_fails_its_tests", nobody_meets_a_canary_that_fails_its_tests),
    ]);
}
