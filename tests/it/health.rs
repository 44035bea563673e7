//! Endpoints that fail: found out, left out, taken back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use e2e::{Origin, Running, eventually, on_each_driver, origin::ok};

use super::GET;

/// Answers 500 while `ill`, and its name otherwise.
fn moody(name: &'static str, ill: &Arc<AtomicBool>) -> Origin {
    let ill = ill.clone();
    Origin::start(move |call, _| {
        while call.read_request()?.is_some() {
            if ill.load(SeqCst) {
                call.reply("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")?;
            } else {
                call.reply(ok(name))?;
            }
        }
        Ok(())
    })
}

fn pair(one: &Origin, two: &Origin, more: &str) -> String {
    format!(
        "upstream.o.versions.v1 = [\"{}\", \"{}\"]\nupstream.o.balance = \"round_robin\"\n\
         route.all.to = \"o\"\n{more}",
        one.address(),
        two.address()
    )
}

#[test]
fn a_check_that_fails_takes_an_endpoint_out_and_one_that_passes_brings_it_back() {
    on_each_driver(|driver| {
        let ill = Arc::new(AtomicBool::new(false));
        let (well, moody) = (Origin::named("well"), moody("moody", &ill));
        let more = "upstream.o.health = { path = \"/up\", interval = \"50ms\", timeout = \"40ms\", \
                    healthy = 2, unhealthy = 2 }\nupstream.o.eject.after = 0\n";
        let proxy = Running::start(driver, &pair(&well, &moody, more));
        ill.store(true, SeqCst);
        let endpoint = || proxy.status().upstreams[0].versions[0].endpoints[1].clone();
        eventually("the check fails", || !endpoint().available);
        assert!(endpoint().out.is_some_and(|why| why.contains("500")));
        // The cores know within a tick.
        let mut client = proxy.connect();
        eventually("it is asked no more", || (0..10).all(|_| client.ask(GET).text() == "well"));
        ill.store(false, SeqCst);
        eventually("the check passes", || endpoint().available);
        eventually("it is asked again", || client.ask(GET).text() == "moody");
        let checks = moody.requests().into_iter().filter(|r| r.line() == "GET /up HTTP/1.1");
        assert!(checks.count() > 3);
    });
}

#[test]
fn failures_of_real_requests_eject_an_endpoint_and_it_is_forgiven() {
    on_each_driver(|driver| {
        let ill = Arc::new(AtomicBool::new(true));
        let (well, moody) = (Origin::named("well"), moody("moody", &ill));
        let more = "upstream.o.eject = { after = 3, for = \"500ms\" }\n";
        let proxy = Running::start(driver, &pair(&well, &moody, more));
        let mut client = proxy.connect();
        eventually("it is ejected", || {
            client.ask(GET);
            !proxy.status().upstreams[0].versions[0].endpoints[1].available
        });
        eventually("it is asked no more", || (0..10).all(|_| client.ask(GET).status() == 200));
        ill.store(false, SeqCst);
        eventually("it is asked again", || client.ask(GET).text() == "moody");
    });
}

#[test]
fn the_last_endpoint_is_never_ejected() {
    on_each_driver(|driver| {
        let ill = Arc::new(AtomicBool::new(true));
        let origin = moody("moody", &ill);
        let more = "upstream.o.eject = { after = 2, for = \"1h\" }\n";
        let proxy = Running::start(driver, &(super::to(&origin) + more));
        let mut client = proxy.connect();
        let begun = proxy.sum(|core| core.heartbeat);
        eventually("some seconds' worth of failures", || {
            assert_eq!(client.ask(GET).status(), 500);
            proxy.sum(|core| core.heartbeat) > begun + 20
        });
        ill.store(false, SeqCst);
        assert_eq!(client.ask(GET).text(), "moody");
    });
}

#[test]
fn a_version_whose_checks_all_fail_passes_its_users_on() {
    on_each_driver(|driver| {
        let ill = Arc::new(AtomicBool::new(true));
        let (stable, canary) = (Origin::named("v1"), moody("v2", &ill));
        let more =
            "upstream.shop.health = { path = \"/\", interval = \"50ms\", timeout = \"40ms\" }\n";
        let proxy = Running::start(driver, &(super::between(&stable, &canary, 50.0) + more));
        eventually("the canary is out", || !proxy.status().upstreams[0].versions[1].available);
        let mut client = proxy.connect();
        eventually("everybody is on stable", || (0..30).all(|_| client.ask(GET).text() == "v1"));
    });
}
