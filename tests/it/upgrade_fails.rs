//! Upgrades that come to nothing: the old process goes on as if nothing had been.

use std::{sync::mpsc, thread, time::Duration};

use e2e::{Driver, Load, Origin, eventually, on_each_driver};
use gnomon::control::api::Kind;

use super::{GET, heirs::Heirs, to};

const PAUSE: Duration = Duration::from_millis(2);

/// Checks that an upgrade fails with this exit code and in these words, and that nobody notices.
#[track_caller]
fn fails(heirs: &mut Heirs, code: i32, words: &str) {
    let load = Load::start(&heirs.door(), 3, PAUSE);
    let before = heirs.status();
    load.go_on(10);
    let told = heirs.upgrade();
    assert!(told.0 == code && told.1.contains(words), "{told:?}");
    load.go_on(50);
    assert_eq!(load.end(), (0, 0));
    let after = heirs.status();
    assert_eq!((after.pid, after.ready, after.succession.heir), (before.pid, true, None));
    assert!(Heirs::children(after.pid).is_empty(), "nobody is left behind");
    let log = std::fs::read_to_string(heirs.folder().join("log")).expect("it is written");
    assert!(log.contains("upgrade: refused"), "{log}");
}

#[test]
fn a_program_that_does_not_serve_is_ended_and_told_of() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let mut heirs = Heirs::start(driver, &to(&origin));
        heirs.write(driver, "nonsense = 1\n");
        fails(&mut heirs, 78, "nonsense");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there are ports");
        let taken = (taken.local_addr().expect("it is bound"), taken);
        heirs.write(driver, &format!("{}admin.listen = \"{}\"\n", to(&origin), taken.0));
        fails(&mut heirs, 1, "admin.listen");
        heirs.write(driver, &to(&origin));
        heirs.replace("#!/bin/sh\nexit 3\n");
        fails(&mut heirs, 1, "exit status: 3");
        heirs.replace("no program\n");
        fails(&mut heirs, 1, "cannot be started");
        heirs.replace("#!/bin/sh\necho '{}'; kill -9 $$\n");
        fails(&mut heirs, 1, "signal: 9");
        std::fs::remove_file(heirs.folder().join("gnomon")).expect("it is there");
        fails(&mut heirs, 1, "cannot be started");
        assert_eq!(heirs.connect().ask(GET).text(), "x");
    });
}

#[test]
fn one_that_is_killed_before_it_serves_takes_nothing_with_it() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let heirs = Heirs::start(driver, &to(&origin));
        heirs.replace("#!/bin/sh\nexec sleep 1000\n");
        let load = Load::start(&heirs.door(), 3, PAUSE);
        let old = heirs.pid();
        thread::scope(|scope| {
            let (told, tell) = mpsc::channel();
            let heirs = &heirs;
            let asking = thread::Builder::new().spawn_scoped(scope, move || {
                told.send(heirs.call("POST", "/v1/upgrade", "{}")).expect("somebody waits");
            });
            asking.expect("there is room for a thread");
            eventually("the other one is started", || !Heirs::children(old).is_empty());
            let (status, text) = heirs.call("POST", "/v1/upgrade", "{}");
            assert!(status == 409 && text.contains("under way"), "one at a time: {text}");
            Heirs::children(old).into_iter().for_each(Heirs::kill);
            let (status, text) = tell.recv().expect("it answers");
            assert!(status == 500 && text.contains("signal: 9"), "{text}");
        });
        load.go_on(50);
        assert_eq!((load.end(), heirs.pid()), ((0, 0), old));
    });
}

#[test]
fn one_that_hangs_is_given_up_after_half_a_minute() {
    let origin = Origin::named("x");
    let driver = Driver::all()[0];
    let heirs = Heirs::start(driver, &to(&origin));
    heirs.replace("#!/bin/sh\nexec sleep 1000\n");
    let refused = heirs.refused();
    assert_eq!(refused.kind, Kind::Machine);
    assert!(refused.error.contains("does not serve within 30s"), "{refused}");
    assert!(Heirs::children(heirs.pid()).is_empty());
    assert_eq!(heirs.connect().ask(GET).text(), "x");
}

#[test]
fn the_new_one_outlives_an_old_one_that_is_killed() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.drain();
            Ok(())
        });
        let mut heirs = Heirs::start(
            driver,
            &(to(&origin) + "route.b.match.path = \"/b\"\nroute.b.respond.status = 204\n"),
        );
        let old = heirs.pid();
        let mut stuck = heirs.connect();
        stuck.send(GET);
        eventually("it is under way", || origin.requests().len() == 1);
        heirs.upgrade_well();
        Heirs::kill(old);
        assert!(stuck.is_closed());
        eventually("the new one knows", || heirs.status().succession.before.is_none());
        let status = heirs.connect().ask("GET /b HTTP/1.1\r\nhost: a\r\n\r\n").status();
        assert_eq!(status, 204);
        heirs.upgrade_well();
        heirs.settle();
    });
}
