//! Building snapshots, and what reloads leave standing.

use std::net::SocketAddr;

use super::*;

fn config(text: &str) -> Config {
    let text = format!("listen = \"127.0.0.1:0\"\nroute.all.to = \"shop\"\n{text}");
    gnomon_config::parse("test.toml", &text, &gnomon_config::Options::default()).unwrap().config
}

fn state(text: &str) -> State {
    State::new(config(text), 2, Vec::new(), 0, Answers::new()).unwrap()
}

const TWO: &str = "upstream.shop.versions.v1 = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n\
                   upstream.shop.versions.v2 = [\"127.0.0.1:2\", \"127.0.0.1:2\"]\n\
                   upstream.shop.split = { v1 = 90, v2 = 10 }\n";
const OTHER: &str = "upstream.shop.versions.v1 = [\"127.0.0.1:2\", \"127.0.0.1:3\"]\n";

fn ids(snapshot: &Snapshot) -> Vec<u64> {
    snapshot.endpoints.iter().map(|endpoint| endpoint.id).collect()
}

#[test]
fn versions_and_endpoints_lie_flat_and_adjacent() {
    let snapshot = state(TWO).build();
    assert_eq!(snapshot.generation, 1);
    assert_eq!(snapshot.first_version, [0]);
    let ranges: Vec<_> = snapshot.versions.iter().map(|view| view.endpoints.clone()).collect();
    // The repeated endpoint counts once; the same address in another version is another endpoint.
    assert_eq!(ranges, [0..2, 2..3]);
    assert_eq!(ids(&snapshot), [1, 2, 3]);
    assert!(snapshot.versions.iter().all(|view| view.cells.len() == 2));
    assert!(snapshot.endpoints.iter().all(|view| view.cells.len() == 2 && view.available));
    assert_eq!(snapshot.endpoints[1].seed, snapshot.endpoints[2].seed);
    assert_ne!(snapshot.endpoints[0].seed, snapshot.endpoints[1].seed);
}

#[test]
fn counters_and_ids_outlive_a_reload_that_drops_them() {
    let mut state = state(TWO);
    let first = state.build();
    first.versions[1].cells[0].assigned.add(5);
    first.endpoints[0].cells[1].requests.add(7);
    state.take_config(config(OTHER), Answers::new(), None).unwrap();
    let second = state.build();
    assert_eq!(ids(&second), [2, 4]);
    state.take_config(config(TWO), Answers::new(), None).unwrap();
    let third = state.build();
    assert_eq!(ids(&third), [1, 2, 3]);
    assert_eq!(third.versions[1].cells[0].assigned.read(), 5);
    assert_eq!(third.endpoints[0].cells[1].requests.read(), 7);
}

#[test]
fn a_reload_that_a_stop_has_overtaken_binds_nothing() {
    let mut state = state(TWO);
    state.phase = Phase::Draining;
    assert!(state.take_config(config(OTHER), Answers::new(), None).is_err());
    assert!(state.listeners.is_empty());
}

#[test]
fn a_name_brings_its_addresses_and_keeps_the_last_good_ones() {
    let text = "upstream.shop.versions.v1 = [\"shop.internal:80\"]\n";
    let mut state = state(text);
    assert!(state.is_name_missing());
    let upstream = UpstreamIx(0);
    assert!(!state.build().availability.has(upstream, VersionIx(0)));
    let target = (Arc::from("shop.internal"), 80);
    let addresses: Vec<SocketAddr> = vec![([10, 0, 0, 1], 80).into(), ([10, 0, 0, 2], 80).into()];
    let answer = |result| Answers::from([(target.clone(), result)]);
    assert!(state.take_answers(answer(Ok(addresses.clone()))));
    assert!(!state.take_answers(answer(Ok(addresses))));
    assert!(!state.take_answers(answer(Err("no answer".to_owned()))));
    let snapshot = state.build();
    assert_eq!(snapshot.endpoints.len(), 2);
    assert!(snapshot.availability.has(upstream, VersionIx(0)));
    assert_eq!(&*snapshot.endpoints[1].authority, "shop.internal:80");
}

#[test]
fn a_version_without_an_endpoint_in_service_is_not_available() {
    let mut state = state(TWO);
    let health = gnomon_config::model::Health {
        path: None,
        host: None,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        healthy: 1,
        unhealthy: 1,
        expect: Vec::new(),
    };
    let snapshot = state.build();
    let version = VersionKey { upstream: "shop".into(), version: "v2".into() };
    let key = EndpointKey { version, address: snapshot.endpoints[2].address.clone() };
    state.registry.note_check(&key, Err("down".to_owned()), &health);
    let snapshot = state.build();
    let has = |version| snapshot.availability.has(UpstreamIx(0), VersionIx(version));
    assert_eq!((has(0), has(1)), (true, false));
    assert!(!snapshot.endpoints[2].available);
    // Health stays over a reload.
    let other = format!("{TWO}upstream.shop.balance = \"round_robin\"\n");
    state.take_config(config(&other), Answers::new(), None).unwrap();
    assert!(!state.build().endpoints[2].available);
}

#[test]
fn replaced_snapshots_are_freed_once_no_core_holds_them() {
    let mut state = state(TWO);
    let publisher = Publisher::new(state.build());
    let held_by_a_core = publisher.current();
    assert_eq!(state.publish(&publisher), 2);
    assert_eq!(state.publish(&publisher), 3);
    assert_eq!(state.retired(), 1);
    drop(held_by_a_core);
    state.free();
    assert_eq!((state.retired(), publisher.generation()), (0, 3));
}

#[test]
fn a_verb_compiles_a_new_table_and_a_refused_one_does_not() {
    let mut state = state(TWO);
    let before = state.build().table;
    assert!(state.act("shop", &Verb::Weight([("v2".to_owned(), 200.0)].into())).is_err());
    assert!(state.act("nix", &Verb::Freeze).unwrap_err().help.unwrap().contains("shop"));
    assert!(Arc::ptr_eq(&before, &state.build().table));
    state.act("shop", &Verb::Weight([("v2".to_owned(), 20.0)].into())).unwrap();
    assert!(!Arc::ptr_eq(&before, &state.build().table));
}
