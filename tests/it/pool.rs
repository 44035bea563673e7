//! Connections to origins: kept, replaced, bounded, waited for; and where they may lead.

use e2e::{Origin, Running, eventually, on_each_driver, origin::ok};

use super::{GET, between, to};

/// An address where nobody listens, nor will: a socket holds it and never does.
fn nobody() -> std::net::SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("there is a descriptor left");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).expect("there is a free port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    // For as long as the tests run.
    std::mem::forget(socket);
    address.expect("it is bound")
}

/// Answers one request per connection, then sees another one come and closes without a word: what
/// a keep-alive that has just run out looks like from the other side.
fn forgetful() -> Origin {
    Origin::start(|call, number| {
        if call.read_request()?.is_some() {
            call.reply(ok("first"))?;
        }
        if number == 0 {
            call.read_head().map(|_| ())
        } else {
            while call.read_request()?.is_some() {
                call.reply(ok("again"))?;
            }
            Ok(())
        }
    })
}

#[test]
fn a_stale_connection_is_replaced_for_a_get() {
    on_each_driver(|driver| {
        let origin = forgetful();
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        assert_eq!(client.ask(GET).text(), "first");
        let reply = client.ask(GET);
        assert_eq!((reply.status(), reply.text().as_str()), (200, "first"));
        assert_eq!((origin.connections(), origin.requests().len()), (2, 3));
        assert_eq!(proxy.sum(|core| core.retries), 1);
    });
}

#[test]
fn a_post_on_a_stale_connection_is_never_sent_twice() {
    on_each_driver(|driver| {
        let origin = forgetful();
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        assert_eq!(client.ask(GET).text(), "first");
        let reply = client.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
        assert_eq!(reply.status(), 502);
        assert_eq!((origin.connections(), origin.requests().len()), (1, 2));
        assert_eq!(proxy.sum(|core| core.retries), 0);
    });
}

#[test]
fn a_connection_that_closed_while_idle_is_not_used() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_request()?;
            call.reply(ok("x"))
        });
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        for _ in 0..3 {
            eventually("the origin has closed", || origin.open() == 0);
            let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
            assert_eq!(client.ask(post).status(), 200);
        }
        assert_eq!(origin.connections(), 3);
    });
}

#[test]
fn a_connection_with_bytes_that_nobody_asked_for_is_not_used() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            while call.read_request()?.is_some() {
                // At once: what comes after the next request, nobody can tell from its reply.
                call.reply([ok("right"), ok("poison")].concat())?;
            }
            Ok(())
        });
        let proxy = Running::start(driver, &to(&origin));
        for _ in 0..5 {
            assert_eq!(proxy.get("/"), "right");
        }
    });
}

#[test]
fn what_cannot_be_connected_to_is_tried_elsewhere() {
    on_each_driver(|driver| {
        let origin = Origin::named("alive");
        let config = format!(
            "upstream.o.versions.v1 = [\"{}\", \"{}\"]\nroute.all.to = \"o\"\n",
            nobody(),
            origin.address()
        );
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for _ in 0..20 {
            let reply = client.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
            assert_eq!(reply.text(), "alive");
        }
    });
}

#[test]
fn nobody_there_at_all_is_said_plainly() {
    on_each_driver(|driver| {
        let config = format!("upstream.o.versions.v1 = [\"{}\"]\nroute.all.to = \"o\"\n", nobody());
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for _ in 0..3 {
            let status = client.ask(GET).status();
            assert!(matches!(status, 502 | 503), "{status}");
        }
    });
}

#[test]
fn a_canary_that_is_down_costs_no_user_a_reply() {
    on_each_driver(|driver| {
        let stable = Origin::named("v1");
        let config = format!(
            "upstream.shop.versions.v1 = [\"{}\"]\nupstream.shop.versions.v2 = [\"{}\"]\n\
             upstream.shop.split = {{ v2 = 50 }}\nroute.all.to = \"shop\"\n",
            stable.address(),
            nobody()
        );
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for _ in 0..200 {
            assert_eq!(client.ask(GET).text(), "v1");
        }
        let versions = &proxy.status().upstreams[0].versions;
        assert!(versions[0].fallback > 0 && versions[1].displaced > 0, "{versions:#?}");
    });
}

#[test]
fn a_canary_in_front_of_a_stable_that_is_down_answers_for_both() {
    on_each_driver(|driver| {
        let canary = Origin::named("v2");
        let config = format!(
            "upstream.shop.versions.v1 = [\"{}\"]\nupstream.shop.versions.v2 = [\"{}\"]\n\
             upstream.shop.split = {{ v2 = 5 }}\nroute.all.to = \"shop\"\n",
            nobody(),
            canary.address()
        );
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for _ in 0..50 {
            assert_eq!(client.ask(GET).text(), "v2");
        }
    });
}

#[test]
fn more_requests_than_connections_wait_for_one() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let config = to(&origin) + "upstream.o.pool = { max = 1, queue = \"10s\" }\n";
        let proxy = Running::start(driver, &config);
        let mut clients: Vec<_> = (0..20).map(|_| proxy.connect()).collect();
        for client in &mut clients {
            client.send(GET);
        }
        for client in &mut clients {
            assert_eq!(client.read_reply().text(), "x");
        }
        assert_eq!(origin.connections(), 1);
        assert!(proxy.sum(|core| core.queued) > 0);
    });
}

#[test]
fn a_request_that_waits_for_too_long_is_told_so() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.drain();
            Ok(())
        });
        let config = to(&origin) + "upstream.o.pool = { max = 1, queue = \"100ms\" }\n";
        let proxy = Running::start(driver, &config);
        let mut first = proxy.connect();
        first.send(GET);
        eventually("the only connection is in use", || origin.requests().len() == 1);
        assert_eq!(proxy.status_of("/"), 503);
        assert_eq!(origin.connections(), 1);
    });
}

#[test]
fn idle_connections_are_closed_after_their_time() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let config = to(&origin) + "upstream.o.pool.idle = \"200ms\"\n";
        let proxy = Running::start(driver, &config);
        assert_eq!(proxy.get("/"), "x");
        eventually("the pool closes it", || origin.open() == 0);
        eventually("the proxy counts none", || proxy.sum(|core| core.origin_connections) == 0);
        assert_eq!(proxy.get("/"), "x");
    });
}

#[test]
fn connections_that_the_origin_closes_do_not_pile_up() {
    on_each_driver(|driver| {
        let origin = Origin::once(ok("x"));
        let proxy = Running::start(driver, &to(&origin));
        for _ in 0..20 {
            assert_eq!(proxy.get("/"), "x");
        }
        eventually("none is kept", || proxy.sum(|core| core.origin_connections) == 0);
    });
}

#[test]
fn an_endpoint_may_be_a_name() {
    on_each_driver(|driver| {
        let origin = Origin::mirror();
        let port = origin.address().port();
        let config = format!(
            "upstream.o = {{ versions.v1 = [\"localhost:{port}\"], host = \"endpoint\" }}\n\
             route.all.to = \"o\"\n"
        );
        let proxy = Running::start(driver, &config);
        let got = proxy.get("/").to_lowercase();
        assert!(got.contains(&format!("host: localhost:{port}\r\n")), "{got}");
    });
}

#[test]
fn both_ends_may_be_unix_sockets() {
    on_each_driver(|driver| {
        let folder = std::env::temp_dir().join(format!(
            "gnomon-unix-{}-{}",
            std::process::id(),
            driver.name()
        ));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let path = folder.join("origin.sock");
        let _origin = Origin::on_unix(&path, |call, _| {
            while call.read_request()?.is_some() {
                call.reply(ok("over unix"))?;
            }
            Ok(())
        });
        let config = format!(
            "listener.local.bind = \"unix:{}/proxy.sock\"\n\
             upstream.o.versions.v1 = [\"unix:{}\"]\nroute.all.to = \"o\"\n",
            folder.display(),
            path.display()
        );
        let proxy = Running::start(driver, &config);
        let mut client = e2e::Client::connect_unix(&folder.join("proxy.sock"));
        for _ in 0..2 {
            assert_eq!(client.ask(GET).text(), "over unix");
        }
        drop(client);
        proxy.stop();
        assert!(!folder.join("proxy.sock").exists());
        let _ = std::fs::remove_dir_all(&folder);
    });
}

#[test]
fn requests_spread_over_the_endpoints_of_a_version() {
    on_each_driver(|driver| {
        for balance in ["p2c", "round_robin", "least_conn"] {
            let (one, two) = (Origin::named("1"), Origin::named("2"));
            let config = format!(
                "upstream.o = {{ versions.v1 = [\"{}\", \"{}\"], balance = \"{balance}\" }}\n\
                 route.all.to = \"o\"\n",
                one.address(),
                two.address()
            );
            let proxy = Running::start(driver, &config);
            let mut client = proxy.connect();
            for _ in 0..100 {
                client.ask(GET);
            }
            let shares = (one.requests().len(), two.requests().len());
            assert!(shares.0 >= 20 && shares.1 >= 20, "{balance}: {shares:?}");
        }
    });
}

#[test]
fn a_key_stays_with_its_endpoint() {
    on_each_driver(|driver| {
        let (one, two) = (Origin::named("1"), Origin::named("2"));
        let config = format!(
            "upstream.o = {{ versions.v1 = [\"{}\", \"{}\"], balance = \"hash:header:x-key\" }}\n\
             route.all.to = \"o\"\n",
            one.address(),
            two.address()
        );
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        let mut seen = std::collections::BTreeSet::new();
        for key in 0..20 {
            let request = format!("GET / HTTP/1.1\r\nhost: a\r\nx-key: {key}\r\n\r\n");
            let first = client.ask(&request).text();
            for _ in 0..3 {
                assert_eq!(client.ask(&request).text(), first);
            }
            seen.insert(first);
        }
        assert_eq!(seen.len(), 2);
    });
}

#[test]
fn an_exchange_keeps_the_endpoints_it_began_with() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("v1"), Origin::named("v2"));
        let slow = Origin::start(|call, _| {
            call.read_head()?;
            call.reply("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nol")?;
            call.read_head().map(|_| ()).or(Ok(()))
        });
        let proxy = Running::start(driver, &between(&slow, &canary, 0.0));
        let mut client = proxy.connect();
        client.send(GET).expect_head("HTTP/1.1 200");
        proxy.edit(&slow.address().to_string(), &stable.address().to_string());
        assert_eq!(proxy.reload().expect("it is right").cores_missing, [0; 0]);
        assert_eq!(client.read_bytes(2), b"ol");
        assert_eq!(proxy.get("/"), "v1");
    });
}
