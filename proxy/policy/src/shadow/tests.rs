//! Who gets a copy, and what it says.

use std::collections::HashSet;

use gnomon_wire::{Forwarding, Framing, RequestRewrite, write_request};

use super::*;
use crate::{
    Decision,
    testing::{Bench, Parsed},
};

fn bench(shadows: &str) -> Bench {
    let text = format!(
        r#"
        listen = "0.0.0.0:8080"
        upstream.shop.versions.v1 = ["10.0.0.11:8080"]
        upstream.shop.versions.v2 = ["10.0.0.21:8080"]
        upstream.shop.split = {{ v1 = 100 }}
        route.shop.to = "shop"
        route.forced = {{ to = "shop@v1", match.path = "/forced" }}
        {shadows}
        "#
    );
    let loaded = gnomon_config::parse("t", &text, &gnomon_config::Options::default());
    Bench::new(loaded.unwrap_or_else(|problems| panic!("{problems}")).config, &[])
}

fn consider(bench: &mut Bench, request: &str) -> Considered {
    let Decision::Forward(plan) = bench.decide(request) else { panic!("{request}") };
    let config = bench.table.config().clone();
    let sample = |index: usize| config.shadows[index].sample;
    bench.table.consider(&plan, &Parsed::new(request).subject(), &mut bench.luck, sample)
}

#[test]
fn what_is_copied_now_need_not_be_what_the_configuration_says() {
    let mut bench = bench(r#"shadow.idle = { from = "shop@v1", to = "shop@v2", sample = "0%" }"#);
    let request = "GET http://h/";
    assert_eq!(consider(&mut bench, request).sampled, Targets::NONE);
    let Decision::Forward(plan) = bench.decide(request) else { panic!("{request}") };
    let parsed = Parsed::new(request);
    let luck = &mut bench.luck;
    let now = bench.table.consider(&plan, &parsed.subject(), luck, |_| Share::WHOLE);
    assert_eq!(now.sampled, Targets::only(0));
}

#[test]
fn targets_are_a_set() {
    let set = Targets::only(0) | Targets::only(5) | Targets::only(63);
    assert_eq!(set.indices().collect::<Vec<_>>(), [0, 5, 63]);
    assert_eq!(Targets::NONE.indices().count(), 0);
}

#[test]
fn without_a_shadow_nothing_is_considered() {
    let mut bench = bench("");
    assert_eq!(consider(&mut bench, "GET http://h/"), Considered::default());
}

#[test]
fn only_safe_requests_are_copied_unless_others_are_named() {
    let mut bench = bench(
        r#"
        shadow.safe = { from = "shop@v1", to = "shop@v2" }
        shadow.writes = { from = "shop", to = "shop@v2", match = { method = "POST" } }
        "#,
    );
    assert_eq!(consider(&mut bench, "GET http://h/").sampled, Targets::only(0));
    assert_eq!(consider(&mut bench, "HEAD http://h/").sampled, Targets::only(0));
    assert_eq!(consider(&mut bench, "POST http://h/").sampled, Targets::only(1));
    assert_eq!(consider(&mut bench, "DELETE http://h/").eligible, Targets::NONE);
}

#[test]
fn every_condition_must_hold_and_regular_expressions_match_all_of_a_path() {
    let mut bench = bench(
        r#"
        shadow.a = { from = "shop@v1", to = "shop@v2", match = { path = "/api/*", host = "a.b" } }
        shadow.b = { from = "shop@v1", to = "shop@v2", match = { path_regex = "/[0-9]+" } }
        "#,
    );
    assert_eq!(consider(&mut bench, "GET http://a.b/api/x").sampled, Targets::only(0));
    assert_eq!(consider(&mut bench, "GET http://a.c/api/x").sampled, Targets::NONE);
    assert_eq!(consider(&mut bench, "GET http://a.b/77").sampled, Targets::only(1));
    assert_eq!(consider(&mut bench, "GET http://a.b/77/x").sampled, Targets::NONE);
}

#[test]
fn upgrades_are_never_copied_and_forced_requests_only_on_purpose() {
    let mut bench = bench(
        r#"
        shadow.a = { from = "shop@v1", to = "shop@v2" }
        shadow.b = { from = "shop@v1", to = "shop@v2", forced = true }
        "#,
    );
    let upgrade = "GET http://h/; connection: upgrade; upgrade: websocket; \
                   sec-websocket-version: 13; sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    assert_eq!(consider(&mut bench, upgrade), Considered::default());
    assert_eq!(consider(&mut bench, "GET http://h/forced").sampled, Targets::only(1));
}

#[test]
fn a_coin_takes_its_share_and_a_key_always_the_same_users() {
    let mut bench = bench(
        r#"
        shadow.coin = { from = "shop@v1", to = "shop@v2", sample = "10%" }
        shadow.keyed = { from = "shop@v1", to = "shop@v2", sample = "10%", by = "header:x-user" }
        "#,
    );
    let ask = |bench: &mut Bench, user: u32| {
        consider(bench, &format!("GET http://h/; x-user: u{user}")).sampled
    };
    let chosen = |bench: &mut Bench| {
        (0..10_000).filter(|user| ask(bench, *user).0 & 2 != 0).collect::<HashSet<u32>>()
    };
    let (first, second) = (chosen(&mut bench), chosen(&mut bench));
    assert_eq!(first, second);
    // Four standard errors are 120.
    assert!((880..1120).contains(&first.len()), "{}", first.len());
    let coins = (0..10_000).filter(|user| ask(&mut bench, *user).0 & 1 != 0).count();
    assert!((880..1120).contains(&coins), "{coins}");
    let unkeyed = consider(&mut bench, "GET http://h/");
    assert_eq!((unkeyed.unkeyed, unkeyed.eligible.0), (Targets::only(1), 3));
}

#[test]
fn copies_carry_a_mark_and_lose_what_is_taken_out() {
    let mut bench = bench(
        r#"
        upstream.shop.versions.v3 = { endpoints = [], headers.request.set = { x-v = "3" } }
        [shadow.new]
        from = "shop@v1"
        to = "shop@v3"
        without = ["cookie"]
        headers.request.set = { authorization = "Basic test" }
        "#,
    );
    let request = Parsed::new("GET http://h/x; cookie: a=b; authorization: Basic genuine");
    let Decision::Forward(plan) = bench.decide("GET http://h/x") else { panic!() };
    let edits = bench.table.copy_edits(0, plan.route);
    let mut out = Vec::new();
    let rewrite = RequestRewrite {
        client: Forwarding { ip: b"192.0.2.7", proto: b"http", trusted: false, forwarded: true },
        edits: &edits,
        framing: Framing::Empty,
        ..RequestRewrite::default()
    };
    write_request(&mut out, request.request(), &rewrite);
    let text = String::from_utf8(out).unwrap().to_ascii_lowercase();
    assert!(text.contains("x-shadow: new\r\n"), "{text}");
    assert!(text.contains("authorization: basic test\r\n"), "{text}");
    assert!(text.contains("x-v: 3\r\n"), "{text}");
    assert!(!text.contains("cookie") && !text.contains("genuine"), "{text}");
}
