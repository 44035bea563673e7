//! Decisions as a whole.

use gnomon_config::model::{Balance, Key, StickyMode};

use super::*;
use crate::{
    plan::MintedId,
    testing::{Bench, Parsed, config, route, single, upstream},
};

const V1: VersionIx = VersionIx(0);
const V2: VersionIx = VersionIx(1);
const V3: VersionIx = VersionIx(2);
const SHOP: UpstreamIx = UpstreamIx(0);

fn three(mode: StickyMode) -> Upstream {
    upstream("shop", &[("v1", 60_000), ("v2", 10_000), ("v3", 30_000)], mode)
}

fn bench(mode: StickyMode) -> Bench {
    Bench::new(single(three(mode)), &[])
}

#[track_caller]
fn plan(decision: Decision) -> Plan {
    let Decision::Forward(plan) = decision else { panic!("{decision:?}") };
    plan
}

/// How 100,000 requests spread over the versions.
fn spread(bench: &mut Bench, text: &str) -> [u32; 3] {
    let parsed = Parsed::new(text);
    let mut counts = [0; 3];
    for _ in 0..100_000 {
        let decision = bench.table.decide(&parsed.subject(), &bench.available, &mut bench.luck);
        counts[usize::from(plan(decision).version.0)] += 1;
    }
    counts
}

/// Whether counts are those of these shares, within four standard errors.
#[track_caller]
fn assert_close(counts: [u32; 3], shares: [f64; 3]) {
    for (count, share) in counts.into_iter().zip(shares) {
        let error = (share * (1.0 - share) * 100_000.0).sqrt();
        assert!((f64::from(count) - share * 100_000.0).abs() <= 4.0 * error, "{counts:?}");
    }
}

#[test]
fn a_coin_falls_by_the_shares() {
    let mut bench = bench(StickyMode::None);
    assert_close(spread(&mut bench, "GET http://h/"), [0.6, 0.1, 0.3]);
    let plan = plan(bench.decide("GET http://h/"));
    assert_eq!((plan.assignment, plan.minted), (Assignment::Coin, None));
    assert_eq!(plan.probability, bench.table.upstream(SHOP).split[usize::from(plan.version.0)]);
}

#[test]
fn a_version_that_is_gone_leaves_its_share_to_the_others_in_proportion() {
    let mut bench = bench(StickyMode::None);
    bench.turn(1, false);
    assert_close(spread(&mut bench, "GET http://h/"), [2.0 / 3.0, 0.0, 1.0 / 3.0]);
    bench.turn(0, false);
    assert_close(spread(&mut bench, "GET http://h/"), [0.0, 0.0, 1.0]);
    bench.turn(2, false);
    assert!(matches!(bench.decide("GET http://h/"), Decision::Unavailable(_)));
}

#[test]
fn who_is_moved_is_no_evidence_and_remembers_where_to() {
    let mut bench = bench(StickyMode::None);
    bench.turn(1, false);
    let plans: Vec<_> = (0..1000).map(|_| plan(bench.decide("GET http://h/"))).collect();
    assert!(plans.iter().any(|plan| plan.meant == V2));
    for plan in plans {
        let moved = plan.assignment == Assignment::Fallback;
        assert_eq!(moved, plan.meant == V2);
        assert_eq!(moved, plan.meant != plan.version);
    }
}

#[test]
fn users_of_a_version_that_is_gone_go_to_stable_together() {
    let mut bench = bench(StickyMode::Key(Key::Header("x-user".into())));
    let user = (0..).map(|user| format!("GET http://h/; x-user: {user}"));
    let user = user.into_iter().find(|user| plan(bench.decide(user)).version == V2).unwrap();
    assert_eq!(plan(bench.decide(&user)).assignment, Assignment::Sticky);
    bench.turn(1, false);
    let moved = plan(bench.decide(&user));
    assert_eq!((moved.version, moved.meant, moved.assignment), (V1, V2, Assignment::Fallback));
    bench.turn(0, false);
    assert_eq!(plan(bench.decide(&user)).version, V3);
    bench.turn(1, true);
    assert_eq!(plan(bench.decide(&user)).version, V2);
}

#[test]
fn stable_takes_over_even_without_a_share_but_a_canary_without_one_never_does() {
    let shop = upstream("shop", &[("v1", 0), ("v2", 100_000), ("v3", 0)], StickyMode::None);
    let mut bench = Bench::new(single(shop), &[]);
    assert_eq!(plan(bench.decide("GET http://h/")).version, V2);
    bench.turn(1, false);
    let moved = plan(bench.decide("GET http://h/"));
    assert_eq!((moved.version, moved.probability), (V1, Share::WHOLE));
    bench.turn(0, false);
    assert!(matches!(bench.decide("GET http://h/"), Decision::Unavailable(_)));
}

#[test]
fn a_pinned_request_is_never_moved() {
    let mut bench =
        Bench::new(config(vec![three(StickyMode::Minted)], vec![route("r: pin=1")]), &[]);
    let pinned = plan(bench.decide("GET http://h/"));
    assert_eq!((pinned.version, pinned.assignment), (V2, Assignment::Pinned));
    assert_eq!((pinned.probability, pinned.minted), (Share::WHOLE, None));
    assert_eq!(bench.table.fallback(&pinned, &bench.available), None);
    bench.turn(1, false);
    assert!(
        matches!(bench.decide("GET http://h/"), Decision::Unavailable(plan) if plan.version == V2)
    );
}

#[test]
fn falling_back_tries_each_version_once() {
    let mut bench = bench(StickyMode::Key(Key::Query("u".into())));
    let first = (0..).map(|user| plan(bench.decide(&format!("GET http://h/?u={user}"))));
    let first = first.into_iter().find(|plan| plan.version == V2).unwrap();
    let second = bench.table.fallback(&first, &bench.available).unwrap();
    let third = bench.table.fallback(&second, &bench.available).unwrap();
    assert_eq!([second.version, third.version], [V1, V3]);
    assert_eq!((third.meant, third.assignment), (V2, Assignment::Fallback));
    assert_eq!(bench.table.fallback(&third, &bench.available), None);
}

#[test]
fn the_next_request_of_a_new_user_agrees_with_the_first() {
    let mut bench = bench(StickyMode::Minted);
    for _ in 0..200 {
        let first = plan(bench.decide("GET http://h/"));
        let (mut cookie, id) = (vec![], first.minted.unwrap());
        assert!(bench.table.write_cookie(&first, Channel::Plain, &mut cookie));
        let text = String::from_utf8(id.text().to_vec()).unwrap();
        assert!(cookie.starts_with(format!("gnomon_shop={text};").as_bytes()));
        let next =
            plan(bench.decide(&format!("GET http://h/; cookie: a=b; cookie: gnomon_shop={text}")));
        assert_eq!((next.version, next.minted), (first.version, None));
        assert!(!bench.table.write_cookie(&next, Channel::Plain, &mut cookie));
    }
    let forged = plan(bench.decide("GET http://h/; cookie: gnomon_shop=v2"));
    assert!(forged.minted.is_some());
}

#[test]
fn where_the_key_is_absent_a_cookie_key_mints_and_others_draw() {
    let minted = |key: Key, text: &str| {
        let plan = plan(bench(StickyMode::Key(key)).decide(text));
        (plan.assignment, plan.minted.is_some())
    };
    let (coin, sticky, new) =
        ((Assignment::Coin, false), (Assignment::Sticky, false), (Assignment::Sticky, true));
    let uid = || Key::Cookie("uid".into());
    assert_eq!(minted(uid(), "GET http://h/; cookie: uid=7"), sticky);
    assert_eq!(minted(uid(), "GET http://h/; cookie: uid="), new);
    assert_eq!(minted(uid(), "GET http://h/"), new);
    assert_eq!(minted(Key::Header("x-user".into()), "GET http://h/"), coin);
    assert_eq!(minted(Key::Query("u".into()), "GET http://h/?v=1"), coin);
    assert_eq!(minted(Key::ClientIp, "GET http://h/"), sticky);
}

#[test]
fn weight_zero_moves_everyone_who_holds_our_cookie() {
    let shop = three(StickyMode::Minted);
    let mut state = SplitState::of(&shop);
    state.rollback(&shop).unwrap();
    let mut bench = Bench::new(single(shop), &[state]);
    for byte in 0..=255 {
        let text = String::from_utf8(MintedId([byte; 12]).text().to_vec()).unwrap();
        let plan = plan(bench.decide(&format!("GET http://h/; cookie: gnomon_shop={text}")));
        assert_eq!((plan.version, plan.assignment), (V1, Assignment::Sticky));
    }
    assert_eq!(spread(&mut bench, "GET http://h/"), [100_000, 0, 0]);
}

#[test]
fn draining_keeps_old_users_and_takes_no_new_ones() {
    let shop = three(StickyMode::Minted);
    let mut state = SplitState::of(&shop);
    state.drain(&shop, V3).unwrap();
    let mut before = Bench::new(single(shop.clone()), &[]);
    let mut bench = Bench::new(single(shop), &[state]);
    for _ in 0..200 {
        let old = plan(before.decide("GET http://h/"));
        let text = String::from_utf8(old.minted.unwrap().text().to_vec()).unwrap();
        let stays = plan(bench.decide(&format!("GET http://h/; cookie: gnomon_shop={text}")));
        assert_eq!(stays.version, old.version);
    }
    assert_close(spread(&mut bench, "GET http://h/"), [6.0 / 7.0, 1.0 / 7.0, 0.0]);
    let new = plan(bench.decide("GET http://h/"));
    assert!([Share(85_714), Share(14_285)].contains(&new.probability));
}

#[test]
fn who_has_to_move_is_new_to_a_version_that_drains() {
    let shop = three(StickyMode::None);
    let mut state = SplitState::of(&shop);
    state.draining[2] = true;
    let mut bench = Bench::new(single(shop), &[state]);
    bench.turn(1, false);
    for _ in 0..1000 {
        let plan = plan(bench.decide("GET http://h/"));
        assert!(plan.version != V3 || plan.assignment == Assignment::Coin);
    }
}

#[test]
fn where_all_of_the_line_drains_new_users_go_to_stable_unmarked() {
    let shop = upstream("shop", &[("v1", 0), ("v2", 100_000)], StickyMode::Minted);
    let mut state = SplitState::of(&shop);
    state.drain(&shop, V2).unwrap();
    let mut bench = Bench::new(single(shop), &[state]);
    let new = plan(bench.decide("GET http://h/"));
    assert_eq!((new.version, new.meant, new.minted), (V1, V2, None));
    assert_eq!(new.assignment, Assignment::Fallback);
    bench.turn(0, false);
    assert!(matches!(bench.decide("GET http://h/"), Decision::Unavailable(_)));
}

#[test]
fn a_balance_key_is_hashed_where_it_is_there() {
    let mut shop = three(StickyMode::None);
    shop.balance = Balance::Hash(Key::Header("x-user".into()));
    let mut bench = Bench::new(single(shop), &[]);
    let mut key = |text: &str| plan(bench.decide(text)).balance_key;
    assert_eq!(key("GET http://h/"), None);
    let seven = key("GET http://h/; x-user: 7");
    assert!(seven.is_some() && seven == key("GET http://h/x; x-user: 7"));
    assert_ne!(seven, key("GET http://h/; x-user: 8"));
}

#[test]
fn redirects_and_responses_are_named_and_the_rest_is_no_route() {
    let mut old = route("old: host=old");
    old.action = Action::Redirect { to: vec![], status: 308 };
    let mut robots = route("robots: path=/robots.txt");
    robots.action = Action::Respond { status: 200, body: "".into(), headers: vec![] };
    let mut bench = Bench::new(config(vec![], vec![old, robots]), &[]);
    assert_eq!(bench.decide("GET http://old/"), Decision::Redirect(RouteIx(0)));
    assert_eq!(bench.decide("GET http://h/robots.txt"), Decision::Respond(RouteIx(1)));
    assert_eq!(bench.decide("GET http://h/"), Decision::NoRoute);
}

#[test]
fn edits_are_the_routes_then_the_versions() {
    let mut shop = three(StickyMode::None);
    shop.versions[1].headers.request.set.push(("x-version".into(), "v2".into()));
    let mut config = config(vec![shop], vec![route("r: pin=1"), route("other: pin=0 path=/o")]);
    config.routes[0].headers.response.remove.push("server".into());
    let mut bench = Bench::new(config.clone(), &[]);
    let (v2, v1) = (plan(bench.decide("GET http://h/")), plan(bench.decide("GET http://h/o")));
    let empty = |edits: [&Edits; 2]| edits.map(Edits::is_empty);
    assert_eq!(empty(bench.table.request_edits(&v2)), [true, false]);
    assert_eq!(empty(bench.table.response_edits(&v2)), [false, true]);
    assert_eq!(empty(bench.table.request_edits(&v1)), [true, true]);
    config.routes[1].headers.request.set.push(("content-length".into(), "1".into()));
    let bad = Table::compile(Arc::new(config), &[]).unwrap_err();
    assert_eq!((&*bad.owner, &*bad.field), ("other", "content-length"));
}

#[test]
fn an_explanation_names_the_losers_and_their_reasons() {
    let routes = ["all:", "staff: header=x-staff:1", "beta: path=/beta/*", "other: host=other"];
    let routes = routes.map(route).into();
    let mut bench = Bench::new(config(vec![three(StickyMode::Minted)], routes), &[]);
    bench.turn(2, false);
    let parsed = Parsed::new("GET http://h/beta/x");
    let explanation = bench.table.explain(&parsed.subject(), &bench.available, &mut bench.luck);
    assert!(matches!(explanation.decision, Decision::Forward(_)));
    let text = explanation.to_string();
    let expected = "\
+ beta: takes the request
- staff: its condition on header `x-staff` does not hold
- all: matches, but a more specific route won
1 routes for other hosts or paths
upstream shop: no sticky key, a cookie is handed out
  v1 60 %
  v2 10 %
  v3 30 %, no endpoint available
to shop@";
    assert!(text.starts_with(expected), "{text}");
    let mut lost = Bench::new(config(vec![], vec![route("beta: path=/beta/*")]), &[]);
    let parsed = Parsed::new("GET http://h/x");
    let explanation = lost.table.explain(&parsed.subject(), &lost.available, &mut lost.luck);
    let expected = "- beta: is for another path\nno route takes this request: 404\n";
    assert_eq!(explanation.to_string(), expected);
}
