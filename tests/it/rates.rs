//! How often, how many at once, and how slowly: what one client may take.

use std::{net::SocketAddr, time::Duration};

use e2e::{Client, Origin, Reply, Running, eventually, eventually::linger, on_each_driver};

use super::{GET, between, to};

/// Statuses of so many requests on one connection.
fn statuses(client: &mut Client, request: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| client.ask(request).status()).collect()
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|it| **it == status).count()
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back_and_stays_connected() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = "limits = { rate = \"3/h\", burst = 3 }\n\
                    access_log.to = \"{folder}/access.log\"\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let mut client = proxy.connect();
        assert_eq!(statuses(&mut client, GET, 5), [200, 200, 200, 429, 429]);
        let refused = client.ask(GET);
        let wait: u64 = refused.field("retry-after").and_then(|it| it.parse().ok()).unwrap_or(0);
        assert!((1000..=1200).contains(&wait), "{wait} of 1,200 s");
        // A body that came whole is no reason to close either; one that has not is.
        let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(client.ask(post).status(), 429);
        assert_eq!(client.ask(GET).status(), 429);
        let half = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhi";
        assert_eq!(client.ask(half).status(), 429);
        assert!(client.is_closed());
        assert_eq!(origin.requests().len(), 3, "nobody else was asked");
        assert_eq!(proxy.sum(|core| core.rate_refusals), 6);
        let path = proxy.folder().join("access.log");
        let log = || std::fs::read_to_string(&path).unwrap_or_default();
        let is_told = |line: &str| {
            ["\"status\":429", "\"end\":\"CL\"", "\"route\":\"all\""]
                .iter()
                .all(|it| line.contains(it))
        };
        eventually("the log has them", || log().lines().filter(|line| is_told(line)).count() == 6);
    });
}

#[test]
fn a_rate_holds_over_all_cores_and_for_one_alone() {
    on_each_driver(|driver| {
        for cores in [1, 2, 4] {
            let origin = Origin::named("x");
            let more =
                format!("runtime.cores = {cores}\nlimits = {{ rate = \"20/h\", burst = 20 }}\n");
            let proxy = Running::start(driver, &(to(&origin) + &more));
            // The kernel spreads connections over the cores.
            let mut all = Vec::new();
            for _ in 0..24 {
                all.extend(statuses(&mut proxy.connect(), GET, 2));
            }
            assert_eq!(count(&all, 200), 20, "{cores} cores, many connections");
            assert_eq!(count(&all, 429), 28);
            // One connection is one core, and has all of the burst of another key.
            let proxy = Running::start(driver, &(to(&origin) + &more));
            let all = statuses(&mut proxy.connect(), GET, 25);
            assert_eq!(count(&all, 200), 20, "{cores} cores, one connection");
        }
    });
}

#[test]
fn tokens_come_back() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = "limits = { rate = \"50/s\", burst = 1 }\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let mut client = proxy.connect();
        let mut taken = 0;
        eventually("it is let in again and again", || {
            taken += usize::from(client.ask(GET).status() == 200);
            taken == 5
        });
    });
}

#[test]
fn routes_are_counted_as_they_say_and_a_reload_changes_that() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = "limits = { rate = \"2/h\", burst = 2 }\n\
            route.user = { match.path = \"/user\", to = \"o\", \
                limits = { rate = \"1/h\", by = \"cookie:uid\" } }\n\
            route.free = { match.path = \"/free\", to = \"o\", limits.rate = \"0\" }\n\
            route.hello = { match.path = \"/hello\", respond.status = 204 }\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let ask = |path: &str, more: &str| {
            proxy.ask(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{more}\r\n")).status()
        };
        assert_eq!([ask("/", ""), ask("/hello", ""), ask("/hello", "")], [200, 204, 429]);
        assert_eq!([ask("/", ""), ask("/free", ""), ask("/free", "")], [429, 200, 200]);
        let of = |uid: &str| ask("/user", &format!("cookie: uid={uid}\r\n"));
        assert_eq!([of("1"), of("1"), of("2"), of("2")], [200, 429, 200, 429]);
        assert_eq!([ask("/user", ""), ask("/user", "")], [200, 429], "by address without one");
        proxy.edit("limits = { rate = \"2/h\", burst = 2 }\n", "");
        proxy.reload().expect("it is well");
        assert_eq!([ask("/", ""), ask("/hello", "")], [200, 204]);
        assert_eq!(of("1"), 429, "a reload forgets no bucket");
    });
}

#[test]
fn what_is_refused_is_nobodys_evidence() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("stable"), Origin::named("canary"));
        let more = "limits = { rate = \"5/h\", burst = 5 }\n";
        let proxy = Running::start(driver, &(between(&stable, &canary, 50.0) + more));
        let all = statuses(&mut proxy.connect(), GET, 30);
        assert_eq!(count(&all, 429), 25);
        let status = proxy.status();
        let versions = &status.upstreams[0].versions;
        assert_eq!(versions.iter().map(|version| version.assigned).sum::<u64>(), 5);
        for version in versions {
            assert_eq!((version.classes[3], version.client_gone), (0, 0), "{version:?}");
        }
    });
}

/// Connects from this address of the loopback.
fn connect_from(address: [u8; 4], to: SocketAddr) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("there is a descriptor left");
    socket.bind(&SocketAddr::from((address, 0)).into()).expect("it is loopback");
    socket.connect(&to.into()).expect("somebody listens");
    Client::over(socket.into())
}

#[test]
fn one_client_has_as_many_connections_as_it_may_over_all_cores() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = "runtime.cores = 2\nlimits.per_client = 3\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let mut first: Vec<_> = (0..3).map(|_| proxy.connect()).collect();
        for client in &mut first {
            assert_eq!(client.ask(GET).status(), 200);
        }
        assert!(proxy.connect().is_closed(), "without a word");
        assert_eq!(proxy.sum(|core| core.client_refusals), 1);
        let mut other = connect_from([127, 0, 0, 2], proxy.address());
        assert_eq!(other.ask(GET).status(), 200, "another address is another client");
        drop(first.pop());
        eventually("there is room again", || {
            let mut client = proxy.connect();
            client.try_send(GET)
                && client.try_read_reply_to("GET").is_ok_and(|it| it.status() == 200)
        });
        // Who is there stays when the bound sinks below.
        proxy.edit("per_client = 3", "per_client = 1");
        proxy.reload().expect("it is well");
        for client in first.iter_mut().chain([&mut other]) {
            assert_eq!(client.ask(GET).status(), 200);
        }
    });
}

/// Longer than a slow body is given: some 20 s of waiting and a turn of the wheel.
const LONG: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

#[test]
fn an_upload_that_trickles_is_ended_and_a_slow_origin_is_not_blamed_on_its_client() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            let head = call.read_head()?;
            if head.starts_with("GET") {
                // Longer than is forgiven, at a byte a second.
                call.reply("HTTP/1.1 200 OK\r\ncontent-length: 25\r\n\r\n")?;
                for _ in 0..25 {
                    linger(Duration::from_secs(1));
                    call.reply("x")?;
                }
                return Ok(());
            }
            call.read_body(&head).map(|_| ())
        });
        let proxy = Running::start(driver, &(to(&origin) + "limits.body_rate = \"100B/s\"\n"));
        let mut patient = proxy.connect();
        patient.send(GET);
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
        let begun = gnomon::clock::now();
        while !client.is_answered() && begun.elapsed() < LONG {
            client.try_send("x");
            linger(PAUSE);
        }
        assert_eq!(client.read_reply().status(), 408);
        assert!(client.is_closed());
        assert_eq!(proxy.sum(|core| core.slow_uploads), 1);
        let reply: Reply = patient.read_reply();
        assert_eq!((reply.status(), reply.whole, reply.text().len()), (200, true, 25));
        assert_eq!(proxy.sum(|core| core.slow_readers), 0);
    });
}

#[test]
fn a_reader_that_sips_is_cut_off_and_the_origin_is_free() {
    on_each_driver(|driver| {
        let body = 64 << 20;
        let origin = Origin::start(move |call, _| {
            call.read_head()?;
            call.reply(format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n"))?;
            let block = vec![b'x'; 1 << 16];
            for _ in 0..body / block.len() {
                call.reply(&block)?;
            }
            Ok(())
        });
        // What the sockets between them hold goes at once; then a mebibyte a second is asked for.
        let proxy = Running::start(driver, &(to(&origin) + "limits.body_rate = \"1MiB/s\"\n"));
        let mut client = proxy.connect();
        client.send(GET);
        client.expect_head("HTTP/1.1 200");
        let begun = gnomon::clock::now();
        while proxy.sum(|core| core.slow_readers) == 0 && begun.elapsed() < LONG {
            // Some 200 KiB a second: enough for every write to make progress.
            client.read_bytes(50 << 10);
            linger(PAUSE);
        }
        assert_eq!(proxy.sum(|core| core.slow_readers), 1);
        eventually("the origin is free", || origin.open() == 0);
        assert!(client.read_rest().len() < body);
    });
}
