//! The matcher against tables, against a slow and simple one, and against its promise of cost.

use std::cmp::Ordering;

use proptest::{collection::vec, prelude::*, sample::select};

use gnomon_wire::Request;

use super::*;
use crate::testing::{CLIENT, Parsed, route};

fn winner(routes: &[Route], text: &str) -> Option<RouteIx> {
    let parsed = Parsed::new(text);
    Matcher::new(routes).find(routes, &parsed.subject(), &mut 0)
}

/// Each row is a request and the name of the route that takes it, or `-`.
fn check(routes: &[&str], rows: &[(&str, &str)]) {
    let routes: Vec<_> = routes.iter().map(|text| route(text)).collect();
    for (text, expected) in rows {
        let name = winner(&routes, text).map(|ix| routes[ix.0 as usize].name.clone());
        assert_eq!(name.as_deref().unwrap_or("-"), *expected, "{text}");
    }
}

#[test]
fn exact_hosts_beat_suffixes_and_suffixes_beat_any() {
    let routes = [
        "any:",
        "wide: host=*.example.com",
        "deep: host=*.b.example.com",
        "exact: host=a.example.com",
    ];
    check(
        &routes,
        &[
            ("GET http://a.example.com/", "exact"),
            ("GET http://A.Example.COM:8080/", "exact"),
            ("GET http://a.example.com./", "exact"),
            ("GET http://c.example.com/", "wide"),
            ("GET http://x.c.example.com/", "wide"),
            ("GET http://x.b.example.com/", "deep"),
            ("GET http://b.example.com/", "wide"),
            ("GET http://example.com/", "any"),
            ("GET http://badexample.com/", "any"),
            ("GET http://[::1]:80/", "any"),
        ],
    );
}

#[test]
fn paths_go_exact_then_regex_then_longest_prefix() {
    let routes =
        ["root: path=/*", "a: path=/a/*", "ab: path=/a/b/*", "is: path=/a/b", "re: regex=/a/.*z"];
    check(
        &routes,
        &[
            ("GET http://h/", "root"),
            ("GET http://h/a", "a"),
            ("GET http://h/a/", "a"),
            ("GET http://h/ab", "root"),
            ("GET http://h/a/b", "is"),
            ("GET http://h/a/b/", "ab"),
            ("GET http://h/a/b/c?q=/a/z", "ab"),
            ("GET http://h/a/b/z", "re"),
            ("GET http://h/A", "root"),
            ("GET http://h//a", "root"),
        ],
    );
}

#[test]
fn conditions_narrow_and_their_count_decides() {
    let routes = [
        "plain: path=/x",
        "get: path=/x method=GET",
        "one: path=/x header=x-a:1",
        "two: path=/x header=x-a:1 query=v:2",
        "gold: path=/x cookie=tier:gold",
        "near: path=/y client=192.0.2.0/24",
        "far: path=/z client=10.0.0.0/8",
    ];
    check(
        &routes,
        &[
            ("PUT http://h/x", "plain"),
            ("GET http://h/x; x-a: 1", "get"),
            ("PUT http://h/x; X-A: 1", "one"),
            ("PUT http://h/x?v=2; x-a: 0; x-a: 1", "two"),
            ("PUT http://h/x?v=3; x-a: 2", "plain"),
            ("PUT http://h/x; cookie: tier=gold", "gold"),
            ("GET http://h/y", "near"),
            ("GET http://h/z", "-"),
            ("GET http://h/none", "-"),
        ],
    );
}

#[test]
fn priority_beats_host_and_path_and_the_first_declared_beats_its_equals() {
    let routes = [
        "exact: host=h path=/x",
        "top: priority=1 path=/x/*",
        "low: priority=-1 host=h path=/y",
        "prefix: path=/y/*",
        "again: path=/y/*",
    ];
    check(
        &routes,
        &[("GET http://h/x", "top"), ("GET http://h/y", "prefix"), ("GET http://h/z", "-")],
    );
}

#[test]
fn a_less_specific_host_is_asked_where_the_more_specific_has_no_such_path() {
    let routes = [
        "api: host=h path=/api/*",
        "all: path=/*",
        "deep: host=*.x.h path=/d",
        "wide: host=*.h path=/w",
    ];
    check(
        &routes,
        &[
            ("GET http://h/api/1", "api"),
            ("GET http://h/other", "all"),
            ("GET http://a.x.h/d", "deep"),
            ("GET http://a.x.h/w", "wide"),
            ("GET http://a.x.h/d/e", "all"),
        ],
    );
}

#[test]
fn the_asterisk_belongs_to_routes_without_a_path() {
    let routes = [route("prefix: path=/*"), route("any:")];
    let bytes = b"OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n";
    let mut head = gnomon_wire::RequestHead::default();
    assert!(head.read(bytes, &gnomon_wire::HeadLimits::REQUEST).is_ok());
    let request = Request { head: &head, bytes };
    assert_eq!(
        Matcher::new(&routes).find(&routes, &Subject::new(request, CLIENT), &mut 0),
        Some(RouteIx(1))
    );
}

#[test]
fn the_number_of_routes_does_not_change_the_number_of_probes() {
    let probes = |count: usize| {
        let routes: Vec<_> = (0..count)
            .flat_map(|number| {
                [
                    format!("a: host=h{number}.example.com path=/p{number}/*"),
                    format!("b: host=*.w{number}.example.com path=/s/t{number}/*"),
                    format!("c: path=/q{number}"),
                ]
            })
            .map(|text| route(&text))
            .collect();
        let matcher = Matcher::new(&routes);
        let requests =
            ["h1.example.com/p1/x/y", "x.w2.example.com/s/t2/u", "other/q3", "other/none/at/all"];
        requests.map(|url| {
            let (parsed, mut probes) = (Parsed::new(&format!("GET http://{url}")), 0);
            let _ = matcher.find(&routes, &parsed.subject(), &mut probes);
            probes
        })
    };
    let few = probes(10);
    assert_eq!(few, probes(10_000));
    assert!(few.iter().all(|&probes| probes <= 12), "{few:?}");
}

#[test]
fn a_hostile_request_cannot_buy_more_probes_than_the_patterns_are_deep() {
    let routes = [route("a: host=*.b.example.com path=/x/y/*")];
    let matcher = Matcher::new(&routes);
    let url = format!("GET http://{}b.example.com{}", "a.".repeat(100), "/x".repeat(1000));
    let (parsed, mut probes) = (Parsed::new(&url), 0);
    assert_eq!(matcher.find(&routes, &parsed.subject(), &mut probes), None);
    // Four suffixes and the host itself, two prefixes and the path itself, and the places of two
    // host classes.
    assert!(probes <= 10, "{probes}");
}

/// A matcher as simple as can be: looks at all routes and compares the survivors pair by pair.
mod naive {
    use super::*;

    pub(super) fn winner(routes: &[Route], request: Request<'_>) -> Option<RouteIx> {
        let host = String::from_utf8(request.host().to_ascii_lowercase()).unwrap();
        let path = std::str::from_utf8(request.path()).unwrap();
        let mut best: Option<(usize, (u8, usize))> = None;
        for (number, route) in routes.iter().enumerate() {
            let Some(rank) = host_rank(route, &host) else { continue };
            if !path_matches(route, path) || !rest_matches(route, request) {
                continue;
            }
            let better = best.is_none_or(|(other, other_rank)| {
                compare((route, rank), (&routes[other], other_rank)) == Ordering::Greater
            });
            if better {
                best = Some((number, rank));
            }
        }
        best.map(|(number, _)| RouteIx(u32::try_from(number).unwrap()))
    }

    fn host_rank(route: &Route, host: &str) -> Option<(u8, usize)> {
        if route.matches.hosts.is_empty() {
            return Some((0, 0));
        }
        let ranks = route.matches.hosts.iter().filter_map(|pattern| match pattern {
            HostPattern::Exact(exact) => (**exact == *host).then_some((2, 0)),
            HostPattern::Below(suffix) => {
                host.ends_with(&format!(".{suffix}")).then_some((1, suffix.len()))
            }
        });
        ranks.max()
    }

    fn path_matches(route: &Route, path: &str) -> bool {
        match &route.matches.path {
            PathPattern::Any => true,
            PathPattern::Exact(exact) => **exact == *path,
            PathPattern::Prefix(prefix) => {
                path == &**prefix || path.starts_with(&format!("{prefix}/"))
            }
            PathPattern::Regex(regex) => {
                let found = regex.0.find(path.as_bytes());
                found.is_some_and(|found| found.start() == 0 && found.end() == path.len())
            }
        }
    }

    fn rest_matches(route: &Route, request: Request<'_>) -> bool {
        let matches = &route.matches;
        let method = std::str::from_utf8(request.method()).unwrap();
        let fields = |name: &str| {
            let mut fields = request.fields();
            let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
            found.map(|(_, value)| value.to_vec())
        };
        let holds = |condition: &Condition, value: Option<Vec<u8>>| match condition {
            Condition::Present(present) => value.is_some() == *present,
            Condition::OneOf(any) => {
                value.is_some_and(|value| any.iter().any(|one| one.as_bytes() == value.as_slice()))
            }
            Condition::Regex(_) => unreachable!(),
        };
        (matches.methods.is_empty() || matches.methods.iter().any(|one| **one == *method))
            && matches.headers.iter().all(|(name, one)| holds(one, fields(name)))
            && matches
                .query
                .iter()
                .all(|(name, one)| holds(one, request.query_value(name).map(<[u8]>::to_vec)))
    }

    fn compare(one: (&Route, (u8, usize)), other: (&Route, (u8, usize))) -> Ordering {
        let key = |(route, host): (&Route, (u8, usize))| {
            let matches = &route.matches;
            let path = match &matches.path {
                PathPattern::Exact(_) => (3, 0),
                PathPattern::Regex(regex) => (2, regex.0.as_str().len()),
                PathPattern::Prefix(prefix) => (1, prefix.len()),
                PathPattern::Any => (1, 0),
            };
            let conditions = matches.headers.len() + matches.query.len();
            (route.priority, host, path, !matches.methods.is_empty(), conditions)
        };
        key(one).cmp(&key(other))
    }
}

fn any_route() -> impl Strategy<Value = String> {
    let hosts =
        ["", "host=a", "host=a.b", "host=*.b", "host=*.a.b", "host=*.b,a.b", "host=b,*.a.b"];
    let paths = [
        "",
        "path=/*",
        "path=/a",
        "path=/a/*",
        "path=/a/b/*",
        "path=/a/b",
        "path=/a/b/c/*",
        "path=/a/long-enough/*",
        "regex=/a.*",
        "regex=/(a|b)/b",
    ];
    let methods = ["", "method=GET", "method=GET,PUT"];
    let conditions = ["", "header=x:1", "header=x", "query=q:1", "header=x:1 query=q"];
    let priorities = ["", "", "", "", "", "priority=1", "priority=-1"];
    (
        select(hosts.to_vec()),
        select(paths.to_vec()),
        select(methods.to_vec()),
        select(conditions.to_vec()),
        select(priorities.to_vec()),
    )
        .prop_map(|(host, path, method, condition, priority)| {
            format!("r: {host} {path} {method} {condition} {priority}")
        })
        .boxed()
}

fn any_request() -> impl Strategy<Value = String> {
    let hosts = ["a", "b", "a.b", "c.b", "x.a.b", "A.B", "y.x.a.b", "ab"];
    let paths = [
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a/b/",
        "/a/b/c",
        "/a/b/c/d",
        "/a/long-enough/b",
        "/ab",
        "/b/b",
        "//a",
        "/a//b",
    ];
    (
        select(&["GET", "PUT", "POST"][..]),
        select(hosts.to_vec()),
        select(paths.to_vec()),
        select(&["", "?q=1", "?q=2", "?z"][..]),
        select(&["", "; x: 1", "; X: 2"][..]),
    )
        .prop_map(|(method, host, path, query, field)| {
            format!("{method} http://{host}{path}{query}{field}")
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn fast_and_slow_agree(routes in vec(any_route(), 0..12), texts in vec(any_request(), 1..8)) {
        let routes: Vec<_> = routes.iter().map(|text| route(text)).collect();
        let matcher = Matcher::new(&routes);
        for text in texts {
            let parsed = Parsed::new(&text);
            let fast = matcher.find(&routes, &parsed.subject(), &mut 0);
            prop_assert_eq!(fast, naive::winner(&routes, parsed.request()), "{}", text);
        }
    }
}
