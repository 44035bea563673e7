//! Whatever happens to the store, clients and shadows do not notice, and somebody is told.

use std::{fs, process::Command};

use e2e::{Origin, Running, eventually, on_each_driver};
use gnomon::{
    boot::Report,
    control::api::{Status, StoreStatus},
};
use gnomon_shadow::finding::Verdict;
use rusqlite::Connection;

use super::{
    GET,
    guest::Guest,
    shadow::{settled, shadowed, total, under_way},
    shadow_findings::{State, findings, reported},
};

/// Asks so many times; the client is served, and a difference is found.
#[track_caller]
fn works(proxy: &Running, count: usize, so_far: u64) {
    let mut client = proxy.connect();
    for _ in 0..count {
        let reply = client.ask(GET);
        assert_eq!((reply.status(), reply.text().as_str()), (200, "one"));
    }
    let all = so_far + count as u64;
    assert_eq!(settled(proxy, "new", all).accounting.compared, all);
    reported(proxy, "new", all);
    let found = findings(proxy, "new");
    assert_eq!((found.len(), found[0].verdict), (1, Verdict::Real), "{found:#?}");
}

fn store(proxy: &Running) -> StoreStatus {
    proxy.status().shadow.store
}

/// What went wrong last.
fn told(store: &StoreStatus) -> &str {
    store.last_error.as_ref().map_or("", |error| &error.what)
}

/// How many comparisons a store knows of; none as long as somebody else is writing to it.
fn written(file: &Connection) -> u64 {
    let count = "SELECT compared FROM shadow WHERE name = 'new'";
    file.query_row(count, [], |row| row.get(0)).unwrap_or(0)
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        // A file is where the folder should be.
        let state = State::new();
        fs::write(state.path(), "in the way").expect("the temporary folder can be written");
        let config = shadowed(&primary, &shadow, "") + &state.line();
        let proxy = Running::start(driver, &config);
        works(&proxy, 40, 0);
        let store = store(&proxy);
        assert_eq!((store.keeps, store.trouble), (Some(false), true), "{store:?}");
        assert!(told(&store).contains(&*state.path().to_string_lossy()), "{store:?}");
        drop(proxy);
        fs::remove_file(state.path()).expect("it is still a file");
    });
}

#[test]
fn a_locked_store_is_written_once_it_is_free() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let state = State::new();
        let config = shadowed(&primary, &shadow, "") + &state.line();
        let proxy = Running::start(driver, &config);
        works(&proxy, 20, 0);
        eventually("it is written", || store(&proxy).writes > 0 && store(&proxy).pending == 0);
        let file = state.path().join("shadow.db");
        let other = Connection::open(&file).expect("it is a database");
        other.execute_batch("BEGIN EXCLUSIVE").expect("it is free between two writes");
        works(&proxy, 20, 20);
        eventually("it is told", || store(&proxy).trouble);
        let troubled = store(&proxy);
        assert!(told(&troubled).contains("locked"), "{troubled:?}");
        assert!(troubled.pending > 0 && troubled.keeps == Some(true), "{troubled:?}");
        works(&proxy, 20, 40);
        other.execute_batch("ROLLBACK").expect("it is ours");
        // Nothing pending is not yet all: the thread counts first and hands over at its next look.
        eventually("all of it is written", || written(&other) == 60);
        eventually("all is well again", || !store(&proxy).trouble && store(&proxy).pending == 0);
    });
}

#[test]
fn a_corrupt_store_is_put_aside_at_the_start() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let state = State::new();
        fs::create_dir_all(state.path()).expect("the temporary folder can be written");
        let file = state.path().join("shadow.db");
        fs::write(&file, [7; 9000]).expect("it can be written");
        let config = shadowed(&primary, &shadow, "") + &state.line();
        let proxy = Running::start(driver, &config);
        works(&proxy, 40, 0);
        eventually("it is written", || store(&proxy).writes > 0 && store(&proxy).pending == 0);
        let store = store(&proxy);
        assert_eq!((store.keeps, store.trouble), (Some(true), false), "{store:?}");
        assert!(told(&store).contains(".corrupt-"), "{store:?}");
        let names = fs::read_dir(state.path()).expect("it is there").flatten();
        let aside = names.filter(|it| it.file_name().to_string_lossy().contains(".corrupt-"));
        assert_eq!(aside.count(), 1);
        drop(proxy);
        let proxy = Running::start(driver, &config);
        assert_eq!(reported(&proxy, "new", 40)["totals"]["compared"], 40);
    });
}

#[test]
fn a_store_that_is_taken_away_is_made_anew() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let state = State::new();
        let config = shadowed(&primary, &shadow, "") + &state.line();
        let proxy = Running::start(driver, &config);
        works(&proxy, 20, 0);
        let file = state.path().join("shadow.db");
        eventually("it is written", || file.exists() && store(&proxy).pending == 0);
        fs::remove_dir_all(state.path()).expect("it is ours");
        works(&proxy, 20, 20);
        eventually("it is written", || file.exists() && store(&proxy).pending == 0);
        drop(proxy);
        let proxy = Running::start(driver, &config);
        assert_eq!(reported(&proxy, "new", 40)["totals"]["compared"], 40);
    });
}

#[test]
fn while_the_thread_cannot_begin_copies_are_dropped_and_clients_are_served() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        // The key of an earlier run comes out of a pipe, once somebody puts it there.
        let state = State::new();
        fs::create_dir_all(state.path()).expect("the temporary folder can be written");
        let key = state.path().join("redact.key");
        let made = Command::new("mkfifo").arg(&key).status().expect("every system has it");
        assert!(made.success());
        let config = shadowed(&primary, &shadow, "") + &state.line();
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for _ in 0..200 {
            let reply = client.ask(GET);
            assert_eq!((reply.status(), reply.text().as_str()), (200, "one"));
        }
        let waiting = under_way(&proxy, "new", 200, 64).accounting;
        assert_eq!((waiting.copied, total(&waiting.dropped)), (64, 136), "{waiting:?}");
        assert_eq!((waiting.compared, shadow.connections()), (0, 0));
        assert_eq!(proxy.call("GET", "/v1/shadows/new/findings", "").0, 200);
        let (status, text) = proxy.call("POST", "/v1/shadows/new/forget", "{}");
        assert!(status == 409 && text.contains("ask again"), "{text}");
        fs::write(&key, [7; 32]).expect("somebody reads it");
        assert_eq!(settled(&proxy, "new", 200).accounting.compared, 64);
        for _ in 0..10 {
            assert_eq!(client.ask(GET).text(), "one");
        }
        assert_eq!(settled(&proxy, "new", 210).accounting.compared, 74);
        reported(&proxy, "new", 74);
    });
}

#[test]
fn a_stop_does_not_wait_for_a_disk_that_hangs() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let state = State::new();
        fs::create_dir_all(state.path()).expect("the temporary folder can be written");
        let key = state.path().join("redact.key");
        let made = Command::new("mkfifo").arg(&key).status().expect("every system has it");
        assert!(made.success());
        let proxy = Running::start(driver, &(shadowed(&primary, &shadow, "") + &state.line()));
        assert_eq!(proxy.get("/"), "one");
        assert_eq!(proxy.stop(), Report { cut: 0, stuck: 0 });
        fs::write(&key, [7; 32]).expect("somebody reads it still");
    });
}

#[test]
fn a_full_disk_is_told_and_nothing_else_happens() {
    let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
    // No file may become larger than 40 KiB, which is less than a new store has.
    let limit = "trap '' XFSZ; ulimit -f 80; exec \"$@\"";
    let more = "log = { level = \"info\", to = \"{folder}/own.log\" }\n";
    let proxy =
        Guest::start_by(&["/bin/sh", "-c", limit, "sh"], &shadowed(&primary, &shadow, more));
    let status = || -> Status {
        serde_json::from_str(&proxy.get("/v1/status").1).expect("it is what the API says")
    };
    let mut client = proxy.connect();
    let mut asked = 0;
    let mut ask = |count: u64| {
        for _ in 0..count {
            let reply = client.ask(GET);
            assert_eq!((reply.status(), reply.text().as_str()), (200, "one"));
        }
        asked += count;
        eventually("all are compared", || proxy.books().accounting.compared == asked);
    };
    ask(40);
    eventually("it is told", || status().shadow.store.failures > 0);
    ask(40);
    let store = status().shadow.store;
    assert!(store.trouble && store.keeps == Some(true), "{store:?}");
    let (code, text) = proxy.get("/v1/shadows/new/findings");
    assert!(code == 200 && text.contains("\"verdict\":\"real\""), "{text}");
    let log = || fs::read_to_string(proxy.folder().join("own.log")).unwrap_or_default();
    eventually("it is logged", || log().contains("cannot be written"));
    // Once, though it is tried each second.
    eventually("it is tried again", || status().shadow.store.failures > store.failures + 1);
    assert_eq!(log().matches("cannot be written").count(), 1);
}
