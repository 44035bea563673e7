//! What the cores write down of two versions that are compared.

use e2e::{Driver, Origin, Running, eventually, on_each_driver};
use gnomon::trial::slots::Reading;
use gnomon_config::model::{UpstreamIx, VersionIx};

use super::GET;

/// Two versions under a rollout, and half of the requests for the canary; `more` comes first.
fn tried(driver: Driver, stable: &Origin, canary: &str, more: &str) -> Running {
    let config = format!(
        "{more}upstream.shop.versions.v1 = [\"{}\"]\nupstream.shop.versions.v2 = [{canary}]\n\
         upstream.shop.split = {{ v1 = 100 }}\n\
         route.all.to = \"shop\"\nroute.forced = {{ match = {{ path = \"/forced\" }}, to = \"shop@v2\" }}\n\
         rollout.shop = {{ from = \"shop@v1\", to = \"shop@v2\" }}\n",
        stable.address(),
    );
    let proxy = Running::start(driver, &config);
    proxy.act("/v1/upstreams/shop/weight", "{\"v2\": 50}");
    proxy
}

fn quoted(origin: &Origin) -> String {
    format!("\"{}\"", origin.address())
}

/// All that the cores have written down, whatever the second.
fn written(proxy: &Running) -> Reading {
    let snapshot = proxy.snapshot();
    let trial = snapshot.trials[0].as_ref().expect("there is a rollout");
    let mut readings = Vec::new();
    for second in 0..120 {
        for core in &trial.evidence.cores {
            core.read(second, &mut readings);
        }
    }
    let mut sum = Reading::default();
    for (_, reading) in readings {
        for (into, from) in [(&mut sum.canary, &reading.canary), (&mut sum.stable, &reading.stable)]
        {
            into.tally.assigned += from.tally.assigned;
            into.resolved += from.resolved;
            for (a, b) in into.tally.errors.iter_mut().zip(from.tally.errors) {
                *a += b;
            }
            into.tally.times.extend(&from.tally.times);
            into.tally.refused += from.tally.refused;
        }
    }
    sum
}

fn ask(proxy: &Running, request: &str, count: usize) -> Vec<u16> {
    let mut client = proxy.connect();
    (0..count).map(|_| client.ask(request).status()).collect()
}

fn timed(reading: &gnomon::trial::slots::Counted) -> u64 {
    reading.tally.times.iter().map(|(_, count)| u64::from(*count)).sum()
}

#[test]
fn what_was_drawn_is_written_down_and_what_was_forced_is_not() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("v1"), Origin::named("v2"));
        let proxy = tried(driver, &stable, &quoted(&canary), "");
        assert!(ask(&proxy, GET, 200).iter().all(|status| *status == 200));
        ask(&proxy, "GET /forced HTTP/1.1\r\nhost: a\r\n\r\n", 20);
        let status = || proxy.status().upstreams[0].versions.clone();
        eventually("all have ended", || status()[1].pinned == 20);
        let sum = written(&proxy);
        assert_eq!(sum.canary.tally.assigned, status()[1].assigned);
        assert_eq!(sum.stable.tally.assigned, status()[0].assigned);
        assert_eq!(sum.canary.tally.assigned + sum.stable.tally.assigned, 200);
        assert_eq!((sum.canary.resolved, sum.canary.tally.failed()), (timed(&sum.canary), 0));
    });
}

#[test]
fn the_first_attempt_counts_even_if_another_version_saved_it() {
    on_each_driver(|driver| {
        let stable = Origin::named("v1");
        let nobody = Origin::named("v2");
        let gone = quoted(&nobody);
        drop(nobody);
        let proxy = tried(driver, &stable, &gone, "upstream.shop.eject = { after = 0 }\n");
        assert!(ask(&proxy, GET, 100).iter().all(|status| *status == 200));
        eventually("all have ended", || {
            let sum = written(&proxy);
            sum.canary.resolved + sum.stable.resolved == 100
        });
        let sum = written(&proxy);
        let connect = sum.canary.tally.errors[0];
        assert!(connect > 0 && connect == sum.canary.tally.assigned, "{sum:?}");
        assert_eq!((sum.stable.tally.failed(), timed(&sum.stable)), (0, sum.stable.resolved));
    });
}

#[test]
fn each_way_to_fail_has_its_class() {
    on_each_driver(|driver| {
        let stable = Origin::named("v1");
        for (reply, class) in [
            ("HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 3),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour", 4),
            ("nonsense\r\n\r\n", 1),
        ] {
            let canary = Origin::once(reply);
            let proxy = tried(
                driver,
                &stable,
                &quoted(&canary),
                "upstream.shop.eject = { after = 0 }\nupstream.shop.retry = { attempts = 0 }\n",
            );
            for _ in 0..30 {
                let mut client = proxy.connect();
                client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
                client.read_rest();
            }
            eventually("all have ended", || {
                let sum = written(&proxy);
                sum.canary.resolved + sum.stable.resolved == 30
            });
            let sum = written(&proxy);
            assert!(sum.canary.tally.assigned > 0, "{sum:?}");
            assert_eq!(
                sum.canary.tally.errors[class], sum.canary.tally.assigned,
                "{reply}: {sum:?}"
            );
        }
    });
}

#[test]
fn seconds_in_which_the_canary_was_out_are_evidence_of_neither() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("v1"), Origin::named("v2"));
        let gone = quoted(&canary);
        drop(canary);
        let checks = "upstream.shop.health = { interval = \"50ms\", unhealthy = 1 }\n";
        let proxy = tried(driver, &stable, &gone, checks);
        let (shop, v2) = (UpstreamIx(0), VersionIx(1));
        let is_out = || !proxy.snapshot().availability.has(shop, v2);
        eventually("its checks have failed", is_out);
        let before = written(&proxy).canary.tally.assigned;
        assert!(ask(&proxy, GET, 50).iter().all(|status| *status == 200));
        let displaced = || proxy.status().upstreams[0].versions[1].displaced;
        eventually("some were meant for it", || displaced() > 0);
        let sum = written(&proxy);
        assert_eq!(sum.canary.tally.assigned, before);
        // Else the router would seem to send the canary less than its share.
        assert!(void_seconds(&proxy) > 0, "{sum:?}");
    });
}

/// Seconds in which something other than the draw decided.
fn void_seconds(proxy: &Running) -> usize {
    let snapshot = proxy.snapshot();
    let trial = snapshot.trials[0].as_ref().expect("there is a rollout");
    let cores = trial.evidence.cores.iter();
    cores.map(|core| (0..120).map(|second| core.voids(second).count()).sum::<usize>()).sum()
}
