//! Flags that are judged like a canary: by the users that a draw gave either variant.

use std::time::Duration;

use e2e::{Client, Door, Driver, Fickle, Load, Running, eventually, exposition::parse};
use gnomon::control::api::flag_compare::{FlagCompare, FlagJudged, VariantCounts};

use super::rollout::{side_by_side, version};

/// A flag that half of the users have, and what answers them.
struct Cart {
    proxy: Running,
    on: Fickle,
    /// Kept as long as it is asked.
    off: Fickle,
}

impl Cart {
    fn open(driver: Driver, more: &str) -> Self {
        let (off, on) = (version("v1"), version("v2"));
        let text = format!(
            "upstream.shop.versions.v1 = [\"{}\"]\nupstream.shop.versions.v2 = [\"{}\"]\n\
             upstream.shop.split = {{ v1 = 100 }}\nflags.by = \"cookie:uid\"\n\
             route.new = {{ match = {{ flag = \"new-cart\" }}, to = \"shop@v2\" }}\n\
             route.all.to = \"shop\"\n\
             flag.new-cart.variants = {{ on = true, off = false }}\nflag.new-cart.default = \"off\"\n\
             flag.new-cart.percent = \"50%\"\n\
             flag.new-cart.judge = {{ upstream = \"shop\", horizon = \"1s\" }}\n\
             {more}",
            off.address(),
            on.address()
        );
        Self { proxy: Running::start(driver, &text), on, off }
    }

    /// New users all the time.
    fn users(&self, from: u64) -> Load {
        let request = move |number| request("/", from + number);
        let door = Door::Tcp(self.proxy.address());
        Load::asking(&door, 8, Duration::from_millis(15), request)
    }

    #[track_caller]
    fn compared(&self) -> FlagCompare {
        let (status, text) = self.proxy.call("GET", "/v1/flags/new-cart/compare", "");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("it is what the API says")
    }

    #[track_caller]
    fn judged(&self) -> FlagJudged {
        self.compared().judged.unwrap_or_default()
    }

    /// Waits for so many users who were judged.
    #[track_caller]
    fn judges(&self, users: u64) -> FlagJudged {
        eventually("users are judged", || {
            let ratio = self.judged().ratio;
            ratio.variant + ratio.default >= users
        });
        self.judged()
    }

    #[track_caller]
    fn reaches(&self, verdict: &str) -> FlagJudged {
        let end = gnomon::clock::now() + e2e::PATIENCE;
        loop {
            let judged = self.judged();
            if judged.verdict == verdict {
                return judged;
            }
            assert!(gnomon::clock::now() < end, "{verdict} in vain: {judged:#?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

fn request(path: &str, user: u64) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\ncookie: uid=u{user}\r\n\r\n")
}

fn of<'a>(compared: &'a FlagCompare, variant: &str) -> &'a VariantCounts {
    compared.variants.iter().find(|it| it.variant == variant).expect("it is one")
}

fn a_variant_that_fails_is_worse(driver: Driver) {
    let cart = Cart::open(driver, "");
    cart.on.dial.fail(200);
    let mut load = cart.users(0);
    let judged = cart.reaches("worse");
    assert!(judged.words.starts_with("WORSE: `on` is worse than `off`."), "{}", judged.words);
    assert!(judged.words.contains("Errors: on "), "{}", judged.words);
    let report = judged.report.expect("it has one");
    let errors = report.signals.iter().find(|signal| signal.name == "errors").expect("it is held");
    assert!(errors.is_culprit && errors.ratio.is_some_and(|range| range.low > Some(1.0)));
    assert!(!judged.ratio.is_broken && judged.lost == 0, "{:?}", judged.ratio);
    load.stop();
    // What the clients have seen is what was counted.
    let (asked, bad, good) = (load.asked(), load.bad(), load.canary());
    assert_eq!(load.broken(), 0);
    let compared = cart.compared();
    let (on, off) = (of(&compared, "on"), of(&compared, "off"));
    assert_eq!((on.ok, on.errors, off.ok, off.errors), (good, bad, asked - good - bad, 0));
    assert_eq!((on.exposures, off.exposures), (good + bad, asked - good - bad));
    assert!(on.p50_seconds > Some(0.003) && on.p99_seconds >= on.p50_seconds, "{on:?}");
    let mut client = Client::connect_unix(&cart.proxy.folder().join("admin.sock"));
    let text = client.ask("GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").text();
    let said = parse(&text, false);
    let labels = [("flag", "new-cart"), ("variant", "on"), ("outcome", "error")];
    #[expect(clippy::cast_precision_loss, reason = "some hundred")]
    let bad = bad as f64;
    assert!((said.sum("gnomon_flag_requests_total", &labels) - bad).abs() < 0.5, "{text}");
}

fn variants_that_are_alike_are_not_told_apart(driver: Driver) {
    let cart = Cart::open(driver, "");
    let load = cart.users(0);
    let judged = cart.judges(1500);
    assert!(!["worse", "blind"].contains(&&*judged.verdict), "{judged:#?}");
    let ratio = judged.ratio;
    assert!((ratio.expected - 0.5).abs() < 1e-9 && (ratio.counted - 0.5).abs() < 0.1, "{ratio:?}");
    assert!(ratio.low < Some(1.0) && ratio.high > Some(1.0), "{ratio:?}");
    assert_eq!(load.end(), (0, 0));
    // Other rules are another comparison of users; who had no choice before has none.
    let before = judged.epoch;
    cart.proxy.edit("50%", "60%");
    cart.proxy.reload().expect("it is taken over");
    eventually("it begins anew", || cart.judged().epoch == before + 1);
    assert_eq!(of(&cart.compared(), "on").exposures, 0);
    let load = cart.users(1_000_000);
    let ratio = cart.judges(200).ratio;
    assert!((ratio.expected - 0.2).abs() < 1e-9, "{ratio:?}");
    assert_eq!(load.end(), (0, 0));
    assert!(cart.off.dial.answered() > 0);
}

/// Users of a variant who give up before their request comes are missed.
fn users_who_are_lost_are_told(driver: Driver) {
    let probe = Fickle::start("v2", 1);
    let more = format!(
        "upstream.probe.versions.v2 = [\"{}\"]\n\
         route.probe = {{ match = {{ path = \"/probe\", flag = \"new-cart\" }}, to = \"probe\" }}\n",
        probe.address()
    );
    let cart = Cart::open(driver, &more);
    let mut client = cart.proxy.connect();
    for user in 0..2000 {
        // Who has the variant gets another page here, and every other one leaves.
        let before = probe.dial.answered();
        let _ = client.ask(request("/probe", user));
        let has_it = probe.dial.answered() > before;
        if !has_it || user % 2 == 0 {
            assert_eq!(client.ask(request("/", user)).status(), 200);
        }
    }
    let judged = cart.reaches("blind");
    assert!(judged.words.starts_with("BLIND: another share of the users has `on`"), "{judged:#?}");
    assert!(judged.ratio.is_broken && judged.ratio.high < Some(1.0), "{:?}", judged.ratio);
}

#[test]
fn flags_are_judged_by_their_users() {
    side_by_side(&[
        ("a_variant_that_fails_is_worse", a_variant_that_fails_is_worse),
        ("variants_that_are_alike_are_not_told_apart", variants_that_are_alike_are_not_told_apart),
        ("users_who_are_lost_are_told", users_who_are_lost_are_told),
    ]);
}
