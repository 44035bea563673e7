//! What consoles draw: the last hour, beats and entries as they come, and what a route would do.

use std::path::Path;

use e2e::{Client, Driver, Origin, Running, eventually, on_each_driver};
use gnomon::control::{
    api::{
        Page,
        series::{Beat, Entry, History, VersionBeat},
    },
    ctl,
};
use gnomon_policy::rollout::Phase;

use super::{GET, rollout::Shop, to};

fn read<A: serde::de::DeserializeOwned>(proxy: &Running, path: &str) -> A {
    let (status, text) = proxy.call("GET", path, "");
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("it is what the API says")
}

fn history(proxy: &Running) -> History {
    read(proxy, "/v1/history")
}

fn journal(proxy: &Running) -> Vec<Entry> {
    read::<Page<Entry>>(proxy, "/v1/journal?limit=1000").items
}

fn newest(proxy: &Running) -> Option<VersionBeat> {
    history(proxy).beats.last()?.versions.first().cloned()
}

#[test]
fn the_history_has_what_was_sent_and_outlives_a_reload() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        (0..30).for_each(|_| assert_eq!(client.ask(GET).status(), 200));
        let counted = || newest(&proxy).is_some_and(|it| it.minute.requests == 30);
        eventually("all are in the last minute", counted);
        let rates = |history: &History| -> f64 {
            history.beats.iter().flat_map(|it| &it.versions).map(|it| it.rate).sum()
        };
        let before = history(&proxy);
        // On a machine with other work a second may be some of them.
        assert!(rates(&before) > 1.0 && rates(&before) < 45.0, "{before:?}");
        let minute = newest(&proxy).expect("it is there").minute;
        assert!(minute.p50.is_some() && minute.error_rate == 0.0 && minute.error_band.1 < 0.3);
        let more = "upstream.p.versions.v1 = [\"127.0.0.1:9\"]\nroute.all.to";
        proxy.edit("route.all.to", more);
        proxy.reload().expect("it is right");
        let both = || history(&proxy).beats.last().is_some_and(|it| it.versions.len() == 2);
        eventually("the new version is there", both);
        let after = history(&proxy);
        assert!(after.beats.len() > before.beats.len() && after.beats[0] == before.beats[0]);
        let of = |name: &str| {
            let last = after.beats.last().expect("there is one");
            last.versions.iter().find(|it| it.upstream == name).cloned().expect("it is there")
        };
        assert_eq!((of("o").minute.requests, of("p").minute.requests), (30, 0));
        let some: History = read(&proxy, "/v1/history?versions=p");
        assert!(some.beats.iter().all(|it| it.versions.iter().all(|it| it.upstream == "p")));
        let since = after.beats[after.beats.len() - 1].at;
        let later: History = read(&proxy, &format!("/v1/history?since={since}"));
        assert!(later.beats.iter().all(|beat| beat.at > since));
        assert_eq!(proxy.call("GET", "/v1/history?nonsense=1", "").0, 400);
        assert_eq!(proxy.call("POST", "/v1/history", "").0, 405);
    });
}

/// Listens until the beat or entry that is wanted.
fn hear(socket: &Path, mut wanted: impl FnMut(&str, &str) -> bool) {
    ctl::listen(socket, "/v1/events", 0, |name, data| !wanted(name, data)).expect("it is told");
}

fn a_rollout_is_drawn_and_told(driver: Driver) {
    let shop = Shop::begun(driver, "\"50% for 1s\", \"100% for 1s\"", "");
    let load = shop.load();
    let socket = shop.proxy.folder().join("admin.sock");
    let mut stepped = false;
    hear(&socket, |name, data| {
        if name != "beat" {
            return false;
        }
        let beat: Beat = serde_json::from_str(data).expect("it is a beat");
        assert_eq!(beat.rollouts[0].name, "shop");
        let window = beat.versions.iter().find(|it| it.version == "v2").and_then(|it| it.step);
        stepped |= window.is_some_and(|it| it.requests > 0 && it.requests < 100_000);
        stepped
    });
    shop.reaches(Phase::Promoted);
    assert_eq!(load.end().1, 0);
    // The newest beat may be of the second before.
    let shows = |phase: &str| {
        let beats = history(&shop.proxy).beats;
        beats.last().is_some_and(|it| it.rollouts.iter().any(|it| it.phase == phase))
    };
    eventually("it is shown as promoted", || shows("promoted"));
    shop.order("abort");
    shop.reaches(Phase::Aborted);
    let told = journal(&shop.proxy);
    let of_rollout: Vec<&Entry> = told.iter().filter(|it| it.kind == "rollout").collect();
    let last = of_rollout.first().expect("it is told");
    assert!(last.by.starts_with("test (uid ") && last.text.contains("aborted"), "{last:?}");
    assert!(last.reason.as_ref().is_some_and(|why| why.contains("for the test")), "{last:?}");
    assert!(of_rollout.iter().any(|it| it.by == "auto" && it.text.contains("promoted")));
    assert!(of_rollout.iter().all(|it| it.subject.as_deref() == Some("shop") && !it.failed));
    assert!(told.is_sorted_by_key(|it| std::cmp::Reverse(it.id)));
}

#[test]
fn rollouts() {
    on_each_driver(a_rollout_is_drawn_and_told);
}

#[test]
fn the_journal_tells_reloads_and_splits_and_endpoints() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let wrong = "upstream.o.split = { v1 = 90, v9 = 10 }\n";
        proxy.edit("route.all.to", &format!("{wrong}route.all.to"));
        proxy.reload().expect_err("there is no such version");
        proxy.edit(wrong, "upstream.o.eject = { after = 3, for = \"1s\" }\n");
        proxy.reload().expect("it is right");
        let told = journal(&proxy);
        let configs: Vec<bool> =
            told.iter().filter(|it| it.kind == "config").map(|it| it.failed).collect();
        assert_eq!(configs, [false, true]);
        assert!(told.iter().any(|it| it.kind == "process" && it.text.contains("serves as")));
    });
}

#[test]
fn who_does_not_read_harms_nobody() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let socket = proxy.folder().join("admin.sock");
        let ask = "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let mut stuck: Vec<Client> = (0..32).map(|_| Client::connect_unix(&socket)).collect();
        for client in &mut stuck {
            client.send(ask);
            client.expect_head("HTTP/1.1 200");
        }
        // One more than there may be.
        let (status, why) = proxy.call("GET", "/v1/events", "");
        assert!(status == 503 && why.contains("32 streams"), "{why}");
        let mut client = proxy.connect();
        (0..100).for_each(|_| assert_eq!(client.ask(GET).status(), 200));
        eventually("it is counted", || newest(&proxy).is_some_and(|it| it.minute.requests == 100));
        drop(stuck.pop());
        let mut beats = 0;
        eventually("a place is free again", || {
            ctl::listen(&socket, "/v1/events", 0, |name, _| {
                beats += usize::from(name == "beat");
                beats < 2
            })
            .is_ok()
        });
        assert_eq!(beats, 2);
        // Streams that nobody reads do not keep the process.
        drop(client);
        assert_eq!(proxy.stop().cut, 0);
        for mut client in stuck {
            let _ = client.read_rest();
        }
    });
}

#[test]
fn what_a_request_would_come_to_is_what_it_comes_to() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let (status, told) = proxy.call("GET", "/v1/route?method=GET&url=http://a/b%3Fc=d", "");
        assert_eq!(status, 200, "{told}");
        let told: serde_json::Value = serde_json::from_str(&told).expect("it is JSON");
        assert_eq!(
            (&told["decision"]["decision"], &told["decision"]["upstream"]),
            (&"forward".into(), &"o".into())
        );
        let text = told["text"].as_str().expect("it is told");
        assert!(text.contains("→ o@v1") && text.contains("takes the request"), "{text}");
        for wrong in [
            "",
            "?url=a",
            "?url=/x",
            "?url=http://a/&client=me",
            "?url=http://a/&x=y",
            "?url=http://a/&header=a:b%0d%0ac:d",
        ] {
            let (status, why) = proxy.call("GET", &format!("/v1/route{wrong}"), "");
            assert_eq!(status, 400, "{wrong}: {why}");
        }
        let (status, why) =
            proxy.call("GET", "/v1/route?url=http://a/&header=content-length:%20x", "");
        assert!(status == 400 && why.contains("would refuse this request with 400"), "{why}");
    });
}
