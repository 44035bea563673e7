//! Upgrades: another process takes the place of this one, and nobody notices.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use e2e::{Load, Origin, eventually, on_each_driver, origin::ok};
use rustix::process::Signal;

use super::{GET, between, heirs::Heirs, to};

const PAUSE: Duration = Duration::from_millis(2);

#[test]
fn under_load_no_request_fails_and_every_count_goes_on() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let mut heirs = Heirs::start(driver, &to(&origin));
        let started = heirs.metric("process_start_time_seconds", &[]);
        let loads = [heirs.door(), heirs.unix_door()].map(|door| Load::start(&door, 4, PAUSE));
        for number in 1..=3 {
            loads.iter().for_each(|load| load.go_on(50));
            heirs.upgrade_well();
            loads.iter().for_each(|load| load.go_on(50));
            heirs.settle();
            assert_eq!(heirs.status().succession.number, number);
        }
        loads.iter().for_each(|load| load.go_on(20));
        let all: u64 = loads
            .into_iter()
            .map(|mut load| {
                load.stop();
                let asked = load.asked();
                assert_eq!(load.end(), (0, 0), "somebody has noticed");
                asked
            })
            .sum();
        let requests = || heirs.metric("gnomon_requests_total", &[("upstream", "o")]);
        let all = f64::from(u32::try_from(all).expect("there is a bound"));
        // A core counts a request once its reply has gone.
        eventually("all are counted", || requests() == all);
        let timed = heirs.metric("gnomon_request_duration_seconds_count", &[("upstream", "o")]);
        assert_eq!(timed, all);
        let cores = heirs.metric("gnomon_core_requests_total", &[]);
        assert_eq!(cores, all);
        assert!(heirs.metric("process_start_time_seconds", &[]) > started);
        assert_eq!(heirs.first_exit(), Some(0));
    });
}

#[test]
fn what_is_under_way_ends_in_the_old_one() {
    on_each_driver(|driver| {
        let (go, gone) = mpsc::channel::<()>();
        let gone = Mutex::new(gone);
        let origin = Origin::start(move |call, _| {
            while let Some(request) = call.read_request()? {
                if request.line().contains("/slow") {
                    let _ = gone.lock().map(|gone| gone.recv());
                }
                call.reply(ok("x"))?;
            }
            Ok(())
        });
        let mut heirs = Heirs::start(driver, &(to(&origin) + "timeouts.grace = \"10s\"\n"));
        let old = heirs.pid();
        let mut slow = heirs.connect();
        slow.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut idle = heirs.connect();
        assert_eq!(idle.ask(GET).text(), "x");
        eventually("the slow one is under way", || origin.requests().len() == 2);
        heirs.upgrade_well();
        let reply = idle.ask(GET);
        assert_eq!((reply.status(), reply.is_last()), (200, true), "an idle one is told to go");
        let mut new = heirs.connect();
        let reply = new.ask(GET);
        assert_eq!((reply.status(), reply.is_last()), (200, false));
        assert_eq!(heirs.status().succession.before, Some(old));
        assert!(heirs.refused().error.contains("the last upgrade is not over"));
        go.send(()).expect("the origin waits");
        let reply = slow.read_reply();
        assert_eq!((reply.status(), reply.is_last()), (200, true));
        heirs.settle();
        assert_eq!(new.ask(GET).status(), 200, "what the new one has accepted stays");
        assert_eq!(heirs.first_exit(), Some(0));
    });
}

#[test]
fn a_tunnel_is_given_its_time_and_then_cut() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.reply("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")?;
            call.echo()
        });
        let mut heirs = Heirs::start(driver, &(to(&origin) + "timeouts.drain = \"2s\"\n"));
        let mut tunnel = heirs.connect();
        tunnel.send(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        tunnel.expect_head("HTTP/1.1 101");
        heirs.upgrade_well();
        assert_eq!(tunnel.send("still").read_bytes(5), b"still");
        heirs.settle();
        assert!(tunnel.is_closed());
        assert_eq!(heirs.first_exit(), Some(0));
    });
}

#[test]
fn splits_and_ejections_go_on() {
    on_each_driver(|driver| {
        let [stable, canary] = [Origin::named("v1"), Origin::named("v2")];
        let dead = "127.0.0.1:1";
        let config = between(&stable, &canary, 0.0).replace(
            &format!("v2 = [\"{}\"]", canary.address()),
            &format!("v2 = [\"{}\", \"{dead}\"]", canary.address()),
        );
        let config =
            config + "upstream.shop.eject = { after = 2, for = \"1h\", max_ejected = \"50%\" }\n";
        let mut heirs = Heirs::start(driver, &config);
        heirs.act("/v1/upstreams/shop/weight", "{\"v2\": 100}");
        let is_out = |heirs: &Heirs| {
            let all = heirs.status().upstreams[0].versions[1].endpoints.clone();
            all.iter().any(|it| it.address == dead && !it.available)
        };
        eventually("the dead one is ejected", || {
            assert_eq!(heirs.connect().ask(GET).text(), "v2");
            is_out(&heirs)
        });
        heirs.act("/v1/upstreams/shop/freeze", "{}");
        heirs.upgrade_well();
        heirs.settle();
        let upstream = heirs.status().upstreams[0].clone();
        assert!(upstream.frozen && upstream.overridden, "{upstream:?}");
        assert_eq!(upstream.versions[1].share, 100.0);
        assert!(is_out(&heirs));
        assert_eq!(heirs.connect().ask(GET).text(), "v2");
    });
}

#[test]
fn with_other_cores_and_addresses_nobody_is_refused_where_somebody_listens() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let runtime = |cores: usize| format!("runtime.cores = {cores}\n");
        let mut heirs = Heirs::start(driver, &(to(&origin) + &runtime(3)));
        let load = Load::start(&heirs.door(), 6, PAUSE);
        for cores in [1, 4] {
            load.go_on(20);
            heirs.write(driver, &(to(&origin) + &runtime(cores)));
            heirs.upgrade_well();
            heirs.settle();
            assert_eq!(heirs.status().cores.len(), cores);
            // Every socket is somebody's: no connection is left waiting in a queue.
            (0..40).for_each(|_| assert_eq!(heirs.connect().ask(GET).status(), 200));
            load.go_on(100);
        }
        assert_eq!(load.end(), (0, 0));
        let address = heirs.address();
        let elsewhere = "listen = \"127.0.0.2:0\"\n".to_owned() + &to(&origin);
        heirs.write(driver, &elsewhere);
        heirs.upgrade_well();
        heirs.settle();
        assert_ne!(heirs.address(), address);
        assert_eq!(heirs.connect().ask(GET).text(), "x");
        assert!(std::net::TcpStream::connect(address).is_err());
        assert!(!heirs.folder().join("p.sock").exists());
    });
}

#[test]
fn a_signal_does_the_same() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let mut heirs = Heirs::start(driver, &to(&origin));
        let old = heirs.pid();
        heirs.signal(Signal::USR2);
        eventually("another process answers", || heirs.pid() != old);
        heirs.settle();
        assert_eq!(heirs.connect().ask(GET).text(), "x");
        assert_eq!(heirs.first_exit(), Some(0));
    });
}

#[test]
fn no_descriptor_of_the_old_one_gets_into_the_new_one() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let mut heirs = Heirs::start(driver, &to(&origin));
        let clients: Vec<_> = (0..50)
            .map(|_| {
                let mut client = heirs.connect();
                assert_eq!(client.ask(GET).status(), 200);
                client
            })
            .collect();
        let count = |pid| std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count();
        let old = count(heirs.pid());
        heirs.upgrade_well();
        let new = count(heirs.pid());
        assert!(new + 40 < old, "{new} of {old}");
        drop(clients);
    });
}
