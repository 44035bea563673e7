//! Rollouts over real sockets: what carries a good canary up, and what brings a bad one down.

use std::time::Duration;

use e2e::{
    Client, Door, Driver, Fickle, Load, Running, eventually,
    exposition::{Exposition, parse},
    on_each_driver,
};
use gnomon::control::api::{
    Page,
    rollout::{Record, Rollout},
};
use gnomon_policy::rollout::{Block, Cause, Event, Phase};

/// What no coin of a test depends on.
const SEED: u64 = 0x5eed;

/// Two versions, the proxy before them, and the rollout `shop` from one to the other.
pub(super) struct Shop {
    pub(super) proxy: Running,
    pub(super) stable: Fickle,
    pub(super) canary: Fickle,
}

impl Shop {
    /// Everything is as small as it gets: seconds suffice. `steps` is TOML, and `more` comes last.
    pub(super) fn open(driver: Driver, steps: &str, more: &str) -> Self {
        Self::of(driver, [version("v1"), version("v2")], steps, more)
    }

    /// The same with versions of its own.
    pub(super) fn of(driver: Driver, versions: [Fickle; 2], steps: &str, more: &str) -> Self {
        let [stable, canary] = versions;
        let proxy = Running::start(driver, &plan(&stable, &canary, steps, more));
        Self { proxy, stable, canary }
    }

    /// The same, begun.
    pub(super) fn begun(driver: Driver, steps: &str, more: &str) -> Self {
        let shop = Self::open(driver, steps, more);
        shop.order("start");
        shop
    }

    pub(super) fn door(&self) -> Door {
        Door::Tcp(self.proxy.address())
    }

    /// Some four hundred requests a second, at the most.
    pub(super) fn load(&self) -> Load {
        Load::start(&self.door(), 8, Duration::from_millis(15))
    }

    /// An order that is obeyed.
    #[track_caller]
    pub(super) fn order(&self, verb: &str) {
        let body = "{\"by\": \"test\", \"reason\": \"for the test\"}";
        self.proxy.act(&format!("/v1/rollouts/shop/{verb}"), body);
    }

    /// The status that an order is answered with, and the answer.
    pub(super) fn ordered(&self, verb: &str, body: &str) -> (u16, String) {
        self.proxy.call("POST", &format!("/v1/rollouts/shop/{verb}"), body)
    }

    #[track_caller]
    pub(super) fn now(&self) -> Rollout {
        let (status, text) = self.proxy.call("GET", "/v1/rollouts/shop", "");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("it is what the API says")
    }

    /// The decision record, oldest first.
    #[track_caller]
    pub(super) fn record(&self) -> Vec<Record> {
        let (status, text) = self.proxy.call("GET", "/v1/rollouts/shop/history?limit=100", "");
        assert_eq!(status, 200, "{text}");
        oldest_first(&text)
    }

    /// Waits until it is in this phase; the last line of the record then.
    #[track_caller]
    pub(super) fn reaches(&self, phase: Phase) -> Record {
        let mut last = self.now();
        let end = gnomon::clock::now() + e2e::PATIENCE;
        while last.state.phase != phase {
            let name = format!("{phase:?}");
            let says = (&last.state, &last.verdict);
            assert!(gnomon::clock::now() < end, "{name} in vain: {says:#?}");
            std::thread::park_timeout(Duration::from_millis(10));
            last = self.now();
        }
        self.record().pop().expect("whatever happened is in the record")
    }

    /// Waits until it is over; the last line of the record then.
    #[track_caller]
    pub(super) fn ends(&self) -> Record {
        eventually("it is over", || !self.now().state.phase.is_active());
        self.record().pop().expect("whatever happened is in the record")
    }

    /// Waits until it is in this step, counted from 1.
    #[track_caller]
    pub(super) fn enters(&self, step: usize) {
        eventually(&format!("step {step} is in force"), || {
            let now = self.now();
            now.state.step >= step && now.in_force == now.state.weight().percent()
        });
        assert_eq!(self.now().state.step, step);
    }

    /// Lets this many looks of control pass.
    #[track_caller]
    pub(super) fn passes(&self, looks: u64) {
        let (end, before) = (self.now().state.since, gnomon::clock::wall().as_secs());
        eventually("time passes", || gnomon::clock::wall().as_secs() > before + looks);
        assert_eq!(self.now().state.since, end, "{:#?}", self.record());
    }

    /// Asks on connections of their own, so that every core is asked; the canary's replies.
    pub(super) fn ask_anew(&self, count: usize) -> usize {
        let bodies = (0..count).map(|_| {
            let reply = self.proxy.ask(super::GET);
            assert_eq!(reply.status(), 200, "{reply:?}");
            reply.text()
        });
        bodies.filter(|body| body == "v2").count()
    }

    pub(super) fn metrics(&self) -> Exposition {
        let mut client = Client::connect_unix(&self.proxy.folder().join("admin.sock"));
        let accept = "application/openmetrics-text;version=1.0.0";
        let reply =
            client.ask(format!("GET /metrics HTTP/1.1\r\nhost: a\r\naccept: {accept}\r\n\r\n"));
        parse(&reply.text(), true)
    }
}

/// A version that is well.
pub(super) fn version(name: &str) -> Fickle {
    let version = Fickle::start(name, SEED + u64::from(name == "v2"));
    // What it needs is more than what a busy machine adds to it.
    version.dial.slow_down(Duration::from_millis(4));
    version
}

/// A configuration with the rollout `shop`.
pub(super) fn plan(stable: &Fickle, canary: &Fickle, steps: &str, more: &str) -> String {
    plan_at(&stable.address().to_string(), &canary.address().to_string(), steps, more)
}

/// The same for addresses.
pub(super) fn plan_at(stable: &str, canary: &str, steps: &str, more: &str) -> String {
    let others = [
        ("gate.latency", "gate.latency.worse_by = \"100%\"\n"),
        ("cooldown", "cooldown = \"0s\"\n"),
        ("gate.min_requests", "gate.min_requests = 50\n"),
        ("gate.risk", "gate.risk = { errors = \"2pp\", latency = \"8pp\" }\n"),
    ];
    let others = others.iter().filter(|(key, _)| !more.contains(key));
    let others: String = others.map(|(_, line)| format!("rollout.shop.{line}")).collect();
    format!(
        "upstream.shop.versions.v1 = [\"{stable}\"]\nupstream.shop.versions.v2 = [\"{canary}\"]\n\
         route.all.to = \"shop\"\nrollout.shop.from = \"shop@v1\"\nrollout.shop.to = \"shop@v2\"\n\
         rollout.shop.steps = [{steps}]\nrollout.shop.gate.warmup = \"0s\"\n\
         {others}{more}"
    )
}

/// A page of the record, turned around.
pub(super) fn oldest_first(text: &str) -> Vec<Record> {
    let page: Page<Record> = serde_json::from_str(text).expect("it is what the API says");
    page.items.into_iter().rev().collect()
}

/// Steps, shares in percent, and phases before and after.
pub(super) fn path(record: &[Record]) -> Vec<(usize, f64, &'static str)> {
    let place = |event: &Event| {
        let percent = f64::from(event.weight) / 1000.0;
        (event.step, percent, event.to.name())
    };
    record.iter().map(|record| place(&record.event)).collect()
}

/// The same without what was held on the way, which a busy machine may cause.
pub(super) fn way(record: &[Record]) -> Vec<(usize, f64, &'static str)> {
    let mut way = path(record);
    way.retain(|(_, _, phase)| *phase != "holding");
    way.dedup();
    way
}

const UP: &str = "\"5% for 1s\", \"25% for 1s\", \"50% for 1s\", \"100% for 1s\"";

#[test]
fn a_good_canary_takes_over_by_itself() {
    on_each_driver(|driver| {
        let shop = Shop::begun(driver, UP, "runtime.cores = 2\n");
        let load = shop.load();
        shop.reaches(Phase::Promoted);
        load.go_on(100);
        assert_eq!(load.end(), (0, 0));
        let record = shop.record();
        assert_eq!(
            way(&record),
            [
                (0, 0.0, "running"),
                (1, 5.0, "running"),
                (2, 25.0, "running"),
                (3, 50.0, "running"),
                (4, 100.0, "running"),
                (4, 100.0, "promoted"),
            ]
        );
        tells_all(&record);
        assert_eq!(shop.ask_anew(20), 20);
        let said = shop.metrics();
        assert_eq!(said.sum("gnomon_split_ratio", &[("version", "v2")]), 1.0);
        let of = |arm| said.sum("gnomon_requests_total", &[("arm", arm), ("code", "2xx")]);
        assert!(of("canary") > 200.0 && of("stable") > 200.0, "{} {}", of("canary"), of("stable"));
        let now = shop.now();
        assert!(now.saved && now.owns_split && now.in_force == 100.0, "{now:?}");
    });
}

/// Every line has who, why and under which configuration; every raise on evidence has the evidence.
fn tells_all(record: &[Record]) {
    assert!(record[0].event.by.starts_with("test (uid "), "{:?}", record[0].event);
    assert_eq!(record[0].event.why, "started: for the test");
    for (before, after) in record.iter().zip(&record[1..]) {
        assert!(before.id < after.id && before.event.at <= after.event.at);
        assert_eq!((after.event.from, after.event.step_from), (before.event.to, before.event.step));
        assert_eq!((&after.event.by, after.config.len()), (&"gnomon".to_owned(), 16));
    }
    let raised =
        |it: &&Record| (2..=4).contains(&it.event.step) && it.event.step_from < it.event.step;
    for record in record.iter().filter(raised) {
        let Record { event, report, .. } = record;
        assert!(event.why.starts_with("ADVANCED to "), "{event:?}");
        assert!(event.why.contains("errors are worse by"), "{event:?}");
        assert_eq!(report["verdict"], "advance", "{report}");
        assert!(report["assigned"]["canary"].as_u64() >= Some(50), "{report}");
        assert!(report["mean_e"].as_f64() < report["rule"].as_f64(), "{report}");
        let proofs = report["proofs"].as_array().expect("it is a list");
        assert!(
            proofs.len() == 2 && proofs.iter().all(|it| it["e"].as_f64() >= it["need"].as_f64())
        );
        let errors = &report["signals"][0];
        assert_eq!(errors["name"], "errors");
        assert!(errors["overall"]["canary"]["all"].as_u64() >= Some(50), "{errors}");
        assert!(errors["ratio"].is_object() && errors["e"].is_number(), "{errors}");
    }
}

#[test]
fn a_canary_with_ten_times_the_errors_is_rolled_back() {
    on_each_driver(|driver| {
        let shop = Shop::open(driver, "\"25% for 60s\", \"100% for 1s\"", NO_FUSE);
        shop.stable.dial.fail(20);
        shop.canary.dial.fail(200);
        let load = shop.load();
        load.go_on(200);
        shop.order("start");
        let last = shop.reaches(Phase::RolledBack(Cause::Judge));
        let Record { event, report, .. } = &last;
        assert!(event.why.starts_with("ROLLED BACK at "), "{event:?}");
        assert!(event.why.contains(" Errors: canary ") && event.why.contains(" is 100 : 1."));
        assert_eq!((event.weight, &*event.by), (0, "gnomon"));
        assert!(culprits(&last).contains(&"errors".to_owned()), "{report}");
        assert!(report["mean_e"].as_f64() >= Some(100.0), "{report}");
        let canary = &report["signals"][0]["overall"]["canary"];
        let seconds = event.at - shop.now().state.started;
        figure(&format!(
            "×10 errors on {driver:?}: back after {seconds} s, {} of {} canary requests had failed",
            canary["bad"], canary["all"]
        ));
        eventually("everybody is on stable", || shop.now().in_force == 0.0);
        let before = shop.canary.dial.answered();
        load.go_on(100);
        // Those that were under way may still have come.
        assert!(shop.canary.dial.answered() <= before + 8);
        assert_eq!(load.end().1, 0);
        assert_eq!(shop.ordered("resume", "").0, 409);
    });
}

#[test]
fn a_slower_canary_is_rolled_back() {
    on_each_driver(|driver| {
        let more = "rollout.shop.gate.latency.worse_by = \"5%\"\n";
        let shop = Shop::open(driver, "\"50% for 60s\", \"100% for 1s\"", more);
        shop.stable.dial.slow_down(Duration::from_millis(40));
        shop.canary.dial.slow_down(Duration::from_millis(52));
        let load = Load::start(&shop.door(), 16, Duration::ZERO);
        load.go_on(100);
        shop.order("start");
        let last = shop.reaches(Phase::RolledBack(Cause::Judge));
        assert!(last.event.why.contains(" Latency: p"), "{:?}", last.event);
        assert!(last.event.why.contains("5% slower"), "{:?}", last.event);
        assert_eq!(culprits(&last), ["latency"], "{}", last.report);
        let seconds = last.event.at - shop.now().state.started;
        figure(&format!("+30 % latency on {driver:?}: back after {seconds} s"));
        assert_eq!(load.end(), (0, 0));
    });
}

/// A test and its name.
pub(super) type Case = (&'static str, fn(Driver));

/// Runs cases that mostly wait, all at once and on each driver.
#[track_caller]
pub(super) fn side_by_side(cases: &[Case]) {
    on_each_driver(|driver| {
        std::thread::scope(|scope| {
            for (name, case) in cases {
                let name = format!("{name} on {}", driver.name());
                let run = std::thread::Builder::new().name(name);
                // The scope panics if one of them does.
                run.spawn_scoped(scope, move || case(driver)).expect("there is room for a thread");
            }
        });
    });
}

/// Says a figure that a person may want to see.
pub(super) fn figure(text: &str) {
    #[expect(clippy::print_stderr, reason = "seen with --nocapture, or beside a failure")]
    {
        eprintln!("{text}");
    }
}

fn culprits(record: &Record) -> Vec<String> {
    let names = record.report["culprits"].as_array().into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

pub(super) const NO_FUSE: &str = "rollout.shop.fuse = false\n";

fn nobody_is_blamed_for_what_befalls_both(driver: Driver) {
    let shop = Shop::begun(driver, "\"25% for 6s\", \"50% for 1s\", \"100% for 1s\"", "");
    let load = shop.load();
    shop.enters(1);
    // Both are known to be well before they are not.
    eventually("evidence", || shop.now().requests.canary >= 50);
    for version in [&shop.stable, &shop.canary] {
        version.dial.fail(400);
    }
    let last = shop.reaches(Phase::Holding(Block::Doubt));
    assert!(last.event.why.contains("both versions degraded together"), "{:?}", last.event);
    assert!(shop.now().armed);
    load.go_on(400);
    let now = shop.now();
    assert!((now.state.step, now.state.phase) == (1, Phase::Holding(Block::Doubt)), "{now:?}");
    for version in [&shop.stable, &shop.canary] {
        version.dial.fail(0);
    }
    shop.reaches(Phase::Promoted);
    assert_eq!(load.end().1, 0);
}

fn silence_proves_nothing(driver: Driver) {
    let shop = Shop::begun(driver, "\"20% for 1s\", \"100% for 1s\"", "");
    let last = shop.reaches(Phase::Holding(Block::NoTraffic));
    assert!(last.event.why.contains("no traffic to judge by"), "{:?}", last.event);
    assert_eq!(last.event.step, 1);
    shop.passes(3);
    let load = shop.load();
    shop.reaches(Phase::Promoted);
    assert_eq!(load.end(), (0, 0));
}

#[test]
fn what_proves_nothing_holds() {
    side_by_side(&[
        ("nobody_is_blamed_for_what_befalls_both", nobody_is_blamed_for_what_befalls_both),
        ("silence_proves_nothing", silence_proves_nothing),
    ]);
}
