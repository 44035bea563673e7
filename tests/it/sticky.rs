//! Users that stay where they are.

use std::collections::BTreeSet;

use e2e::{Client, Origin, Running, on_each_driver, spawn};

use super::{GET, between};

const LINES: usize = 4;

/// Which of the users `0..count`, known by a field, are on v2.
fn users_on_canary(proxy: &Running, count: usize) -> BTreeSet<usize> {
    const BATCH: usize = 250;
    let address = proxy.address();
    let lines: Vec<_> = (0..LINES)
        .map(|line| {
            spawn("users", move || {
                let mut client = Client::connect(address);
                let mut canary = Vec::new();
                let users: Vec<usize> = (0..count).filter(|user| user % LINES == line).collect();
                for batch in users.chunks(BATCH) {
                    let requests: String = batch
                        .iter()
                        .map(|user| format!("GET / HTTP/1.1\r\nhost: a\r\nx-user: u{user}\r\n\r\n"))
                        .collect();
                    client.send(requests);
                    for &user in batch {
                        let reply = client.read_reply();
                        assert_eq!(reply.status(), 200, "{reply:?}");
                        if reply.body == b"v2" {
                            canary.push(user);
                        }
                    }
                }
                canary
            })
        })
        .collect();
    lines.into_iter().flat_map(|line| line.join().expect("every user is answered")).collect()
}

#[test]
fn nobody_moves_back_while_a_canary_grows_and_nobody_stays_when_it_ends() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let config = between(&stable, &canary, 1.0)
            + "upstream.shop.sticky = \"header:x-user\"\nruntime.cores = 2\n";
        let proxy = Running::start(driver, &config);
        // Everybody at the first and the last weight, a fifth of them at those between.
        let count = 100_000;
        let mut before = users_on_canary(&proxy, count);
        assert!((700..1300).contains(&before.len()), "{} at 1 %", before.len());
        for (weight, users) in [(5.0, count / 5), (25.0, count / 5), (50.0, count)] {
            proxy.act("/v1/upstreams/shop/weight", &format!("{{\"v2\": {weight}}}"));
            let now = users_on_canary(&proxy, users);
            let gone = before.iter().filter(|user| **user < users && !now.contains(user)).count();
            assert_eq!(gone, 0, "moved back at {weight} %");
            let share = now.len() as f64 / users as f64;
            assert!((share - weight / 100.0).abs() < 0.02, "{share} at {weight} %");
            before.extend(now);
        }
        proxy.act("/v1/upstreams/shop/weight", "{\"v2\": 0}");
        let left = users_on_canary(&proxy, count / 5);
        assert!(left.is_empty(), "{} are left", left.len());
    });
}

/// The minted cookie of a reply, as a browser would send it back.
fn cookie(reply: &e2e::Reply) -> Option<String> {
    let set = reply.field("set-cookie")?;
    set.split(';').next().map(str::to_owned)
}

#[test]
fn a_minted_cookie_keeps_its_browser_on_its_version() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let config = between(&stable, &canary, 50.0) + "upstream.shop.sticky = \"cookie\"\n";
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for _ in 0..20 {
            let first = client.ask(GET);
            let set = first.field("set-cookie").unwrap_or_default().to_owned();
            assert!(set.starts_with("gnomon_shop=") && set.contains("HttpOnly"), "{set}");
            let cookie = cookie(&first).unwrap_or_default();
            for _ in 0..5 {
                let again = client
                    .ask(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: x=y; {cookie}\r\n\r\n"));
                assert_eq!(again.text(), first.text());
                assert_eq!(again.field("set-cookie"), None, "{again:?}");
            }
        }
    });
}

#[test]
fn a_cookie_of_the_canary_is_worth_nothing_once_it_has_no_share() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let config = between(&stable, &canary, 100.0) + "upstream.shop.sticky = \"cookie\"\n";
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        let first = client.ask(GET);
        assert_eq!(first.text(), "v2");
        proxy.act("/v1/upstreams/shop/weight", "{\"v2\": 0}");
        let cookie = cookie(&first).unwrap_or_default();
        let next = client.ask(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\n\r\n"));
        assert_eq!(next.text(), "v1");
    });
}

#[test]
fn a_forged_cookie_is_as_good_as_none() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let config = between(&stable, &canary, 0.0) + "upstream.shop.sticky = \"cookie\"\n";
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for value in ["v2", "1", "", "=", "\"v2\"", "ffffffffffffffffffffffffffffffff", "v2.1.x"] {
            let reply = client
                .ask(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: gnomon_shop={value}\r\n\r\n"));
            assert_eq!((reply.status(), reply.text().as_str()), (200, "v1"), "{value}");
        }
    });
}

#[test]
fn a_draining_version_keeps_its_users_and_takes_no_new_ones() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::fast("v1"), Origin::fast("v2"));
        let config = between(&stable, &canary, 50.0) + "upstream.shop.sticky = \"cookie\"\n";
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        let kept = loop {
            let reply = client.ask(GET);
            if reply.text() == "v2" {
                break cookie(&reply).unwrap_or_default();
            }
        };
        proxy.act("/v1/upstreams/shop/drain", "{\"version\": \"v2\"}");
        assert!(proxy.status().upstreams[0].versions[1].draining);
        for _ in 0..50 {
            assert_eq!(client.ask(GET).text(), "v1");
        }
        let old = client.ask(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {kept}\r\n\r\n"));
        assert_eq!(old.text(), "v2");
    });
}
