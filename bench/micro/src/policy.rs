//! What decisions cost.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use gnomon_config::{
    Config, Options,
    model::{
        self, Balance, Condition, FailureKind, HostPattern, Key, Match, PathPattern, Retry, Route,
        Share, UpstreamIx, VersionIx,
    },
};
use gnomon_policy::{
    Assignment, Availability, Decision, Luck, Plan, RouteIx, Subject, Table,
    balance::{self, Pick},
    golden,
    limit::{Buckets, Rates, Taken},
    retry::{self, FailureStage, Idempotence, Sent},
    sticky::Channel,
};
use gnomon_wire::{HeadLimits, Progress, Request, RequestHead};

use crate::{Case, Run, texts::BROWSER_REQUEST};

pub(crate) const CASES: [Case; 23] = [
    case("policy/decide/1_route", || decide(of_routes(1))),
    case("policy/decide/10_routes", || decide(of_routes(10))),
    case("policy/decide/10000_routes", || decide(of_routes(10_000))),
    case("policy/decide/by_header", || decide(by_header())),
    case("policy/decide/by_cookie", || decide(by_cookie())),
    case("policy/decide/by_regex", || decide(by_regex())),
    case("policy/decide/no_route", no_route),
    case("policy/split/drawn", || split("none", Assignment::Coin)),
    case("policy/split/our_cookie", || split("cookie", Assignment::Sticky)),
    case("policy/split/their_cookie", || split("cookie:session", Assignment::Sticky)),
    case("policy/split/client_ip", || split("client_ip", Assignment::Sticky)),
    case("policy/split/new_user", new_user),
    case("policy/split/canary_down", canary_down),
    case("policy/balance/p2c_2", || choose(Balance::P2c, 2)),
    case("policy/balance/p2c_1000", || choose(Balance::P2c, 1000)),
    case("policy/balance/least_conn_1000", || choose(Balance::LeastConn, 1000)),
    case("policy/balance/hash_1000", || choose(Balance::Hash(Key::ClientIp), 1000)),
    case("policy/rate/taken", || rate("1000000/s", |taken| taken == Taken::Yes { forgot: false })),
    case("policy/rate/refused", || rate("1/h", |taken| matches!(taken, Taken::No(_)))),
    case("policy/fallback", fallback),
    case("policy/retry", may_retry),
    case("policy/latency_cell", latency_cell),
    Case { name: "policy/build/10000_routes", runs: 1, prepare: build },
];

const fn case(name: &'static str, prepare: fn() -> Run) -> Case {
    Case { name, runs: RUNS, prepare }
}

/// Enough that it shows what luck costs on average: the same draws each time, so the same sum.
const RUNS: u32 = 500;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// A table and all that one decision takes. The browser asks.
struct Desk {
    table: Table,
    available: Availability,
    luck: Luck,
    head: RequestHead,
}

impl Desk {
    fn new(config: Config) -> Self {
        let mut head = RequestHead::default();
        let progress = head.read(BROWSER_REQUEST, &HeadLimits::REQUEST);
        assert_eq!(progress, Ok(Progress::Done(BROWSER_REQUEST.len())));
        let available = Availability::of(&config);
        let table = Table::compile(Arc::new(config), &[]).expect("nothing is edited");
        Self { table, available, luck: Luck::seeded(1), head }
    }

    fn decide(&mut self) -> Decision {
        let request = Request { head: &self.head, bytes: black_box(BROWSER_REQUEST) };
        self.table.decide(
            &Subject::new(request, black_box(CLIENT)),
            &self.available,
            &mut self.luck,
        )
    }

    /// The decision, which must be to forward.
    fn plan(&mut self) -> Plan {
        let Decision::Forward(plan) = self.decide() else { panic!("it is not forwarded") };
        plan
    }
}

/// Every request goes to route 0.
fn decide(config: Config) -> Run {
    let mut desk = Desk::new(config);
    Box::new(move || assert_eq!(black_box(desk.plan()).route, RouteIx(0)))
}

fn no_route() -> Run {
    let mut config = of_routes(10);
    config.routes.remove(0);
    let mut desk = Desk::new(config);
    Box::new(move || assert_eq!(black_box(desk.decide()), Decision::NoRoute))
}

/// One route, two versions, a user as `sticky` has it.
fn split(sticky: &str, assignment: Assignment) -> Run {
    let mut desk = Desk::new(config(sticky));
    Box::new(move || assert_eq!(black_box(desk.plan()).assignment, assignment))
}

/// A user without a cookie of ours is given one.
fn new_user() -> Run {
    let mut config = config("cookie");
    config.upstreams[0].sticky.cookie = "gnomon_other".into();
    let mut desk = Desk::new(config);
    let mut cookie = Vec::new();
    Box::new(move || {
        cookie.clear();
        let plan = desk.plan();
        assert!(desk.table.write_cookie(&plan, Channel::Plain, &mut cookie), "nobody is new");
        black_box(&cookie);
    })
}

/// Whom the draw sends to the canary has to go elsewhere.
fn canary_down() -> Run {
    let mut config = config("none");
    config.upstreams[0].split = vec![Share::NONE, Share::WHOLE];
    let mut desk = Desk::new(config);
    desk.available.set(UpstreamIx(0), VersionIx(1), false);
    Box::new(move || assert_eq!(black_box(desk.plan()).assignment, Assignment::Fallback))
}

/// Every endpoint of the meant version refused.
fn fallback() -> Run {
    let mut config = config("none");
    config.upstreams[0].split = vec![Share::NONE, Share::WHOLE];
    let mut desk = Desk::new(config);
    let plan = desk.plan();
    Box::new(move || {
        let other = desk.table.fallback(black_box(&plan), &desk.available);
        let other = black_box(other).expect("stable is left");
        assert_eq!(other.version, VersionIx(0));
    })
}

/// A table is built, and given back.
fn build() -> Run {
    let config = Arc::new(of_routes(10_000));
    Box::new(move || drop(black_box(Table::compile(Arc::clone(&config), &[]))))
}

/// An endpoint with some load.
struct Endpoint {
    in_flight: u32,
    seed: u64,
}

impl balance::View for Endpoint {
    fn in_flight(&self) -> u32 {
        self.in_flight
    }

    fn available(&self) -> bool {
        true
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}

fn choose(balance: Balance, number: u32) -> Run {
    let mut luck = Luck::seeded(1);
    let endpoint = |index| Endpoint { in_flight: index % 7, seed: luck.draw() };
    let endpoints: Vec<_> = (0..number).map(endpoint).collect();
    let mut turn = 0;
    Box::new(move || {
        let pick = Pick { balance: &balance, key: Some(luck.draw()), tried: &[] };
        let chosen = balance::choose(black_box(&endpoints), &pick, &mut turn, &mut luck);
        assert!(black_box(chosen).is_some(), "one of them");
    })
}

/// A client that has asked once before asks again a second later, and is answered so.
fn rate(rate: &str, expected: fn(Taken) -> bool) -> Run {
    let mut config = config("none");
    let limit = format!(
        "listen = \"127.0.0.1:8080\"\nroute.a.respond.status = 204\nlimits.rate = \"{rate}\"\n"
    );
    config.limits = match gnomon_config::parse("micro", &limit, &Options::default()) {
        Ok(loaded) => loaded.config.limits,
        Err(problems) => panic!("{}", problems.render(false)),
    };
    let rates = Rates::of(&config).expect("it has one");
    let (desk, buckets) = (Desk::new(config), Buckets::new([1, 2]));
    let mut now = 0;
    let mut ask = move || {
        now += 1_000_000_000;
        let request = Request { head: &desk.head, bytes: black_box(BROWSER_REQUEST) };
        rates.take(&buckets, Some(RouteIx(0)), (request, black_box(CLIENT)), now)
    };
    ask();
    Box::new(move || assert!(ask().is_some_and(expected)))
}

/// Every row of the table: where it failed, what was sent, whether it may be repeated.
fn may_retry() -> Run {
    use FailureStage::{Connect, Fresh, Reply, Reused, Timeout};
    let on = vec![FailureKind::Connect, FailureKind::Reset];
    let retry = Retry { attempts: 1, on, budget: Share(10_000) };
    Box::new(move || {
        for stage in [Connect, Reused, Fresh, Timeout, Reply] {
            for sent in [Sent::Nothing, Sent::Head, Sent::Body] {
                for method in [&b"GET"[..], b"POST"] {
                    let idempotence = Idempotence::of(black_box(method));
                    let stage = black_box(stage);
                    black_box(retry::may_retry(stage, sent, idempotence, 1, &retry));
                }
            }
        }
    })
}

/// Where a latency is counted: one in each power of two from a nanosecond to a minute.
fn latency_cell() -> Run {
    Box::new(|| {
        for power in 0..36 {
            black_box(golden::bucket(black_box(1_u64 << power)));
        }
    })
}

/// One upstream of two versions, 95 % and 5 %, and one route for everything.
fn config(sticky: &str) -> Config {
    let text = format!(
        r#"
        listen = "127.0.0.1:8080"
        [upstream.shop]
        versions.v1 = ["10.0.0.11:8080", "10.0.0.12:8080"]
        versions.v2 = ["10.0.0.21:8080"]
        split = {{ v1 = 95, v2 = 5 }}
        sticky = "{sticky}"
        [route.shop]
        to = "shop"
        "#
    );
    match gnomon_config::parse("micro", &text, &Options::default()) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

/// So many routes for a host and a prefix each, a hundred to a host. The first is the browser's.
fn of_routes(number: u32) -> Config {
    let mut config = config("none");
    let route = config.routes.remove(0);
    let numbers = (0..number).map(|index| (4257 + index) % 10_000);
    config.routes = numbers.map(|number| numbered(&route, number)).collect();
    config
}

fn numbered(route: &Route, number: u32) -> Route {
    let (host, part, version) = (number / 100, number % 100, number % 10);
    let host = HostPattern::Exact(format!("s{host}.shop.example.com").into());
    let path = PathPattern::Prefix(format!("/api/v{version}/part{part}").into());
    let matches = Match { hosts: vec![host], path, ..Match::default() };
    Route { name: format!("route{number}").into(), matches, ..route.clone() }
}

/// Two routes for one place; the first also wants a field.
fn by_header() -> Config {
    with_condition(|matches| matches.headers.push(condition("x-group", "beta")))
}

/// Two routes for one place; the first also wants a cookie.
fn by_cookie() -> Config {
    with_condition(|matches| matches.cookies.push(condition("theme", "dark")))
}

fn by_regex() -> Config {
    with_condition(|matches| {
        let pattern = "^/api/v[0-9]+/part[0-9]+/items/[0-9]+$";
        let regex = regex::bytes::Regex::new(pattern).expect("it is one");
        matches.path = PathPattern::Regex(model::Regex(regex));
    })
}

fn with_condition(add: impl Fn(&mut Match)) -> Config {
    let mut config = of_routes(1);
    let plain = config.routes[0].clone();
    add(&mut config.routes[0].matches);
    config.routes.push(plain);
    config
}

fn condition(name: &str, value: &str) -> (Arc<str>, Condition) {
    (name.into(), Condition::OneOf(vec![value.into()]))
}
