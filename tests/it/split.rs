//! Shares of traffic: how exact, how soon, and what the verbs make of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use e2e::{Client, Origin, Running, eventually, on_each_driver, spawn};

use super::{GET, between};

/// Asks `count` times over a few connections, pipelined; how many were answered by v2.
fn ask_often(proxy: &Running, count: usize) -> usize {
    const LINES: usize = 4;
    const BATCH: usize = 100;
    let address = proxy.address();
    let lines: Vec<_> = (0..LINES)
        .map(|_| {
            spawn("load", move || {
                let mut client = Client::connect(address);
                let batch = GET.repeat(BATCH);
                let mut canary = 0;
                for _ in 0..count / LINES / BATCH {
                    client.send(&batch);
                    for _ in 0..BATCH {
                        let reply = client.read_reply();
                        assert_eq!(reply.status(), 200, "{reply:?}");
                        canary += usize::from(reply.body == b"v2");
                    }
                }
                canary
            })
        })
        .collect();
    lines.into_iter().map(|line| line.join().expect("every request is answered")).sum()
}

#[test]
fn a_tenth_of_a_hundred_thousand_is_a_tenth() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let config = between(&stable, &canary, 10.0) + "runtime.cores = 2\n";
        let proxy = Running::start(driver, &config);
        let count = 100_000;
        let got = ask_often(&proxy, count);
        let error = (count as f64 * 0.1 * 0.9).sqrt();
        let off = (got as f64 - count as f64 * 0.1).abs();
        assert!(off <= 4.0 * error, "{got} of {count}: {:.1} standard errors", off / error);
        // An exchange is counted once its reply is out.
        let counted = || {
            let versions = &proxy.status().upstreams[0].versions;
            (versions[1].assigned, versions[0].assigned)
        };
        let expected = (got as u64, (count - got) as u64);
        eventually("all are counted", || counted() == expected);
    });
}

#[test]
fn a_share_of_nothing_is_nothing_and_a_share_of_all_is_all() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let proxy = Running::start(driver, &between(&stable, &canary, 0.0));
        assert_eq!(ask_often(&proxy, 4000), 0);
        proxy.act("/v1/upstreams/shop/weight", "{\"v2\": 100}");
        assert_eq!(ask_often(&proxy, 4000), 4000);
        proxy.act("/v1/upstreams/shop/weight", "{\"v2\": 0}");
        assert_eq!(ask_often(&proxy, 4000), 0);
    });
}

/// Clients that ask as fast as they can until told to end.
struct Load {
    ending: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    lines: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(proxy: &Running, lines: usize) -> Self {
        let (ending, asked, failed) = (Arc::default(), Arc::default(), Arc::default());
        let mut load = Self { ending, asked, failed, lines: Vec::new() };
        for _ in 0..lines {
            let (ending, asked, failed) =
                (load.ending.clone(), load.asked.clone(), load.failed.clone());
            let address = proxy.address();
            load.lines.push(spawn("load", move || {
                let mut client = Client::connect(address);
                while !ending.load(SeqCst) {
                    let reply = client.ask(GET);
                    failed.fetch_add(u64::from(reply.status() != 200 || !reply.whole), SeqCst);
                    asked.fetch_add(1, SeqCst);
                }
            }));
        }
        load
    }

    fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }

    /// Waits until so many more have been answered.
    fn go_on(&self, count: u64) {
        let end = self.asked() + count;
        eventually("the load goes on", || self.asked() >= end);
    }

    fn end(self) -> u64 {
        self.ending.store(true, SeqCst);
        for line in self.lines {
            line.join().expect("no client fails");
        }
        self.failed.load(SeqCst)
    }
}

/// A core takes a change over at its next request or tick. Loaded machines and debug builds are
/// slow, the product is not: the bound is what is promised, tried a few times.
fn within_promise(times: &[f64]) {
    let best = times.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(best <= PROMISE.as_secs_f64() * 1000.0, "acknowledged after {times:?} ms");
}

const PROMISE: Duration = Duration::from_millis(100);

#[test]
fn weights_change_under_load_without_a_failed_request() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("v1"), Origin::named("v2"));
        let config = between(&stable, &canary, 1.0) + "runtime.cores = 2\n";
        let proxy = Running::start(driver, &config);
        let load = Load::start(&proxy, 4);
        let mut times = Vec::new();
        for weight in [5, 25, 50, 100, 0, 10] {
            load.go_on(100);
            let done = proxy.act("/v1/upstreams/shop/weight", &format!("{{\"v2\": {weight}}}"));
            assert_eq!(done.cores_missing, [0; 0]);
            times.push(done.acknowledged_ms);
        }
        load.go_on(100);
        assert_eq!(load.end(), 0);
        within_promise(&times);
        let status = proxy.status();
        assert!(status.cores.iter().all(|core| core.generation == status.generation));
    });
}

#[test]
fn a_reload_under_load_fails_no_request() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("v1"), Origin::named("v2"));
        let config = between(&stable, &canary, 1.0) + "runtime.cores = 2\n";
        let proxy = Running::start(driver, &config);
        let load = Load::start(&proxy, 4);
        let mut times = Vec::new();
        for share in [20.0, 70.0, 3.0] {
            load.go_on(100);
            proxy.write(&(between(&stable, &canary, share) + "runtime.cores = 2\n"));
            let done = proxy.reload().expect("it is right");
            assert_eq!((done.cores_missing.len(), done.changes.len()), (0, 2), "{done:?}");
            times.push(done.acknowledged_ms);
        }
        // New endpoints as well: exchanges under way keep the ones they began with.
        let other = Origin::named("v1");
        proxy.edit(&stable.address().to_string(), &other.address().to_string());
        assert_eq!(proxy.reload().expect("it is right").cores_missing, [0; 0]);
        load.go_on(100);
        assert_eq!(load.end(), 0);
        assert!(other.connections() > 0);
        within_promise(&times);
    });
}

#[test]
fn a_frozen_split_obeys_no_verb_but_resume() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let proxy = Running::start(driver, &between(&stable, &canary, 0.0));
        proxy.act("/v1/upstreams/shop/freeze", "");
        let (status, why) = proxy.call("POST", "/v1/upstreams/shop/weight", "{\"v2\": 50}");
        assert_eq!(status, 409, "{why}");
        assert!(why.contains("frozen"), "{why}");
        assert!(proxy.status().upstreams[0].frozen);
        proxy.write(&between(&stable, &canary, 100.0));
        proxy.reload().expect("the file is right");
        assert_eq!(ask_often(&proxy, 400), 0);
        proxy.act("/v1/upstreams/shop/resume", "");
        proxy.act("/v1/upstreams/shop/weight", "{\"v2\": 100}");
        assert_eq!(ask_often(&proxy, 400), 400);
    });
}

#[test]
fn a_rollback_sends_everybody_to_stable() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let proxy = Running::start(driver, &between(&stable, &canary, 90.0));
        assert!(ask_often(&proxy, 400) > 0);
        let done = proxy.act("/v1/upstreams/shop/rollback", "");
        assert!(!done.changes.is_empty(), "{done:?}");
        assert_eq!(ask_often(&proxy, 400), 0);
        let versions = &proxy.status().upstreams[0].versions;
        assert_eq!((versions[1].share, versions[1].configured_share), (0.0, 90.0));
    });
}

#[test]
fn weights_that_make_no_sense_change_nothing() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let proxy = Running::start(driver, &between(&stable, &canary, 5.0));
        let table = [
            ("/v1/upstreams/shop/weight", "{\"v2\": 101}", 400),
            ("/v1/upstreams/shop/weight", "{\"v2\": -1}", 400),
            ("/v1/upstreams/shop/weight", "{\"v3\": 1}", 404),
            ("/v1/upstreams/shop/weight", "{}", 400),
            ("/v1/upstreams/shop/weight", "nonsense", 400),
            ("/v1/upstreams/nix/weight", "{\"v2\": 1}", 404),
            ("/v1/upstreams/shop/drain", "{\"version\": \"v3\"}", 404),
        ];
        for (path, body, expected) in table {
            let (status, why) = proxy.call("POST", path, body);
            assert_eq!(status, expected, "{path} {body}: {why}");
            assert!(why.contains("error"), "{why}");
        }
        assert_eq!(proxy.status().upstreams[0].versions[1].share, 5.0);
    });
}
