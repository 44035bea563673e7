//! TLS with clients and with origins, on both drivers, against rustls' own streams.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use e2e::{
    Client, Driver, Origin, Running,
    certs::{Authority, Identity},
    eventually, on_each_driver,
    origin::ok,
};
use rustls::{
    ClientConfig, ProtocolVersion, ServerConfig,
    version::{TLS12, TLS13},
};

use super::{GET, to};

/// Certificates in a folder, and who believes them.
struct House {
    authority: Authority,
    identity: Identity,
    folder: PathBuf,
}

impl House {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, SeqCst);
        let name = format!("gnomon-tls-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let authority = Authority::new("root");
        let identity = authority.issue(&["a.test", "127.0.0.1"]);
        let (_, key) = identity.write(&folder, "a");
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).expect("it is ours");
        fs::write(folder.join("root.pem"), authority.pem()).expect("it can be written");
        Self { authority, identity, folder }
    }

    /// A listener over TLS, with `more` in its table.
    fn listener(&self, more: &str) -> String {
        let folder = self.folder.display();
        format!(
            "[listener.main]\nbind = \"127.0.0.1:0\"\n[listener.main.tls]\n\
             cert = \"{folder}/a.pem\"\nkey = \"{folder}/a.key\"\n{more}\n"
        )
    }

    /// A proxy that is spoken to over TLS, with one plain origin.
    fn proxy(&self, driver: Driver, origin: &Origin) -> Running {
        Running::start(driver, &format!("{}{}", to(origin), self.listener("")))
    }

    /// A plain proxy whose origin is spoken to over TLS.
    fn behind(&self, driver: Driver, origin: &Origin, more: &str) -> Running {
        let folder = self.folder.display();
        let config = format!(
            "route.all.to = \"o\"\n{more}\n[upstream.o.versions.v1]\nendpoints = [\"{}\"]\n\
             tls = {{ ca = \"{folder}/root.pem\", name = \"a.test\" }}\n",
            origin.address()
        );
        Running::start(driver, &config)
    }

    fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.authority.client(None, &[]))
    }

    fn server(&self) -> Arc<ServerConfig> {
        Arc::new(Authority::server(&self.identity, None))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn connect(proxy: &Running, config: &Arc<ClientConfig>) -> Client {
    Client::connect_tls(proxy.address(), config, "a.test").expect("they agree")
}

fn post(length: usize) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n");
    let mut request = head.into_bytes();
    request.extend(content(length));
    request
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from(place * 7 % 251).unwrap_or_default()).collect()
}

/// What the metrics say of a family in all, with `label` in its labels.
fn counted(proxy: &Running, family: &str, label: &str) -> f64 {
    let (_, page) = proxy.call("GET", "/metrics", "");
    let lines = page.lines().filter(|line| line.starts_with(family) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Sends back what it is sent.
fn mirror(call: &mut e2e::Call) -> std::io::Result<()> {
    while let Some(request) = call.read_request()? {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len());
        call.reply([head.as_bytes(), &request.body].concat())?;
    }
    Ok(())
}

#[test]
fn messages_of_any_size_go_both_ways_in_both_versions() {
    on_each_driver(|driver| {
        let house = House::new();
        let origin = Origin::start(|call, _| mirror(call));
        let proxy = house.proxy(driver, &origin);
        for version in [&TLS12, &TLS13] {
            let config = Arc::new(house.authority.client(None, &[version]));
            let mut client = connect(&proxy, &config);
            for length in [0, 1, 1000, 16_384, 40_000, 3_000_000] {
                let request = post(length);
                let (head, body) = request.split_at(request.len() - length);
                client.send(head).send(body);
                let reply = client.read_reply();
                assert_eq!(reply.status(), 200);
                assert!(reply.whole && reply.body == content(length), "{length}");
            }
            let request = origin.requests().pop().expect("it was asked");
            assert_eq!(request.field("x-forwarded-proto"), Some("https"));
        }
    });
}

#[test]
fn sessions_are_resumed_and_counted() {
    on_each_driver(|driver| {
        let house = House::new();
        let origin = Origin::named("o");
        let proxy = house.proxy(driver, &origin);
        for (version, known) in
            [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
        {
            let config = Arc::new(house.authority.client(None, &[version]));
            for is_resumed in [false, true] {
                let mut client = connect(&proxy, &config);
                assert_eq!(client.ask(GET).text(), "o");
                let session = client.session().expect("it speaks TLS");
                assert_eq!(session.version(), Some(known));
                assert_eq!(session.is_resumed(), is_resumed, "{known:?}");
            }
        }
        let family = "gnomon_tls_handshakes_total";
        eventually("they are counted", || counted(&proxy, family, "resumed=\"true\"") >= 2.0);
    });
}

#[test]
fn pipelined_requests_and_renewed_keys_are_answered_in_order() {
    on_each_driver(|driver| {
        let house = House::new();
        let origin = Origin::start(|call, _| mirror(call));
        let proxy = house.proxy(driver, &origin);
        let mut client = connect(&proxy, &house.client());
        for turn in 0..3 {
            client.session().expect("it speaks TLS").renew_keys().expect("it is 1.3");
            client.send([post(10 + turn), post(20_000 + turn), post(5)].concat());
            for length in [10 + turn, 20_000 + turn, 5] {
                assert!(client.read_reply().body == content(length));
            }
        }
    });
}

#[test]
fn a_websocket_goes_through_on_both_sides() {
    on_each_driver(|driver| {
        let house = House::new();
        let origin = Origin::start_tls(house.server(), |call, _| {
            call.read_head()?;
            call.reply(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                 upgrade: websocket\r\n\r\n",
            )?;
            call.echo()?;
            call.half_close()
        });
        let proxy = house.behind(driver, &origin, &house.listener(""));
        let mut client = connect(&proxy, &house.client());
        client.send(
            "GET /chat HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        client.expect_head("HTTP/1.1 101");
        for length in [1, 5, 17_000, 100_000] {
            let text = content(length);
            assert!(client.send(&text).read_bytes(length) == text);
        }
        client.half_close();
        assert_eq!(client.read_some().expect("it ends as it should"), 0);
        eventually("the origin's connection ends", || origin.open() == 0);
    });
}

#[test]
fn a_reply_overtakes_an_upload() {
    on_each_driver(|driver| {
        let house = House::new();
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.reply("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")?;
            call.never_read_again();
            Ok(())
        });
        let proxy = house.proxy(driver, &origin);
        let mut client = connect(&proxy, &house.client());
        client.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 15000000\r\n\r\n");
        let piece = vec![b'x'; 16 * 1024];
        for _ in 0..10 {
            client.try_send(&piece);
        }
        client.expect_head("HTTP/1.1 413");
        assert_eq!(client.read_some().expect("the end is said"), 0);
    });
}

#[test]
fn a_reply_that_was_cut_never_ends_cleanly() {
    on_each_driver(|driver| {
        let house = House::new();
        let cut = |head: &'static str| {
            Origin::start_tls(house.server(), move |call, _| {
                call.read_head()?;
                call.reply(head)
            })
        };
        for head in [
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            // Without close_notify, its end is nobody's word.
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf",
        ] {
            let origin = cut(head);
            let proxy = house.behind(driver, &origin, &house.listener(""));
            for version in ["1.1", "1.0"] {
                let mut client = connect(&proxy, &house.client());
                client.send(format!("GET / HTTP/{version}\r\nhost: a.test\r\n\r\n"));
                client.expect_head("HTTP/1.1 200");
                let end = loop {
                    match client.read_some() {
                        Ok(0) => break Ok(()),
                        Ok(_) => {}
                        Err(error) => break Err(error.kind()),
                    }
                };
                assert!(end.is_err(), "{head:?} passes for whole over HTTP/{version}");
            }
        }
    });
}

#[test]
fn a_reply_until_close_ends_with_a_word_on_both_sides() {
    on_each_driver(|driver| {
        let house = House::new();
        let origin = Origin::start_tls(house.server(), |call, _| {
            call.read_head()?;
            call.reply("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
            call.reply(content(50_000))?;
            call.half_close()
        });
        let proxy = house.behind(driver, &origin, &house.listener(""));
        let mut client = connect(&proxy, &house.client());
        client.send("GET / HTTP/1.0\r\nhost: a.test\r\n\r\n");
        client.expect_head("HTTP/1.1 200");
        let mut body = client.read_bytes(50_000);
        while let count @ 1.. = client.read_some().expect("it ends with a word") {
            body.extend(client.read_bytes(count));
        }
        assert!(body == content(50_000));
    });
}

#[test]
fn an_upload_that_was_cut_is_not_taken_for_whole() {
    on_each_driver(|driver| {
        let house = House::new();
        let origin = Origin::start(|call, _| {
            let head = call.read_head()?;
            call.read_body(&head).map(|_| ())
        });
        let proxy = house.proxy(driver, &origin);
        let mut client = connect(&proxy, &house.client());
        client.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100\r\n\r\nhalf");
        eventually("the origin has the head", || origin.requests().len() == 1);
        drop(client);
        eventually("the origin's connection ends", || origin.open() == 0);
        assert!(!origin.requests()[0].whole);
    });
}

#[test]
fn origins_are_spoken_to_over_tls_and_their_connections_kept_and_resumed() {
    on_each_driver(|driver| {
        let house = House::new();
        let resumed = Arc::new(AtomicUsize::new(0));
        let seen = resumed.clone();
        let origin = Origin::start_tls(house.server(), move |call, _| {
            seen.fetch_add(usize::from(call.is_resumed()), SeqCst);
            mirror(call)
        });
        let proxy = house.behind(driver, &origin, "");
        let mut client = proxy.connect();
        for length in [1, 100_000, 700, 2_000_000, 3] {
            client.send(post(length));
            assert!(client.read_reply().body == content(length), "{length}");
        }
        assert_eq!(origin.connections(), 1, "tickets are no answers");
        // Two at once: the second is dialled anew.
        let mut other = proxy.connect();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n1");
        eventually("the first is in use", || origin.connections() == 1);
        other.send(post(5));
        assert!(other.read_reply().body == content(5));
        assert!(client.send("23").read_reply().body == b"123");
        assert_eq!((origin.connections(), resumed.load(SeqCst)), (2, 1));
    });
}

#[test]
fn an_origin_that_is_not_who_it_should_be_is_not_asked() {
    on_each_driver(|driver| {
        let (house, other) = (House::new(), House::new());
        let origin = Origin::start_tls(other.server(), |call, _| mirror(call));
        let proxy = house.behind(driver, &origin, "");
        let reply = proxy.connect().ask(GET);
        assert!((502..=503).contains(&reply.status()), "{}", reply.head);
        assert!(origin.requests().is_empty());
        let family = "gnomon_tls_origin_handshakes_failed_total";
        eventually("it is counted", || counted(&proxy, family, "core") >= 1.0);
    });
}

#[test]
fn what_is_no_tls_is_refused_and_counted() {
    on_each_driver(|driver| {
        let house = House::new();
        let origin = Origin::named("o");
        let proxy = house.proxy(driver, &origin);
        let mut client = proxy.connect();
        let told = client.send(GET).read_rest();
        assert_eq!(told.first(), Some(&0x15), "an alert: {told:?}");
        let family = "gnomon_tls_handshakes_failed_total";
        eventually("it is counted", || counted(&proxy, family, "reason=\"garbage\"") >= 1.0);
        assert!(origin.requests().is_empty());
    });
}

#[test]
fn a_handshake_that_never_ends_is_ended_and_too_many_are_refused() {
    on_each_driver(|driver| {
        let house = House::new();
        let origin = Origin::named("o");
        let bounds = "timeouts.handshake = \"1s\"\nlimits.handshakes = 2\n";
        let config = format!("{bounds}{}{}", to(&origin), house.listener(""));
        let proxy = Running::start(driver, &config);
        // The beginning of a hello.
        let slow: Vec<Client> = (0..2)
            .map(|_| {
                let mut client = proxy.connect();
                client.send(b"\x16\x03\x01\x02\x00\x01");
                client
            })
            .collect();
        let under_way = "gnomon_tls_handshakes_in_flight";
        eventually("two are under way", || counted(&proxy, under_way, "core") >= 2.0);
        let mut third = proxy.connect();
        third.try_send(b"\x16\x03\x01\x02\x00\x01");
        assert!(third.is_closed());
        assert!(counted(&proxy, "gnomon_tls_handshakes_refused_total", "core") >= 1.0);
        for mut client in slow {
            assert!(client.is_closed());
        }
        let failed = "gnomon_tls_handshakes_failed_total";
        assert!(counted(&proxy, failed, "reason=\"timeout\"") >= 2.0);
        let mut client = connect(&proxy, &house.client());
        assert_eq!(client.ask(GET).text(), "o");
    });
}

#[test]
fn a_clients_certificate_is_told_to_the_origin_and_nobody_can_pretend() {
    on_each_driver(|driver| {
        let house = House::new();
        let origin = Origin::replying(ok("o"));
        let folder = house.folder.display();
        let clients = format!("client_ca = \"{folder}/root.pem\"");
        let config = format!("{}{}", to(&origin), house.listener(&clients));
        let proxy = Running::start(driver, &config);
        let ours = house.authority.issue(&["client.test"]);
        let config = Arc::new(house.authority.client(Some(&ours), &[]));
        let mut client = connect(&proxy, &config);
        let lie = "X-Client-Cert-Subject: CN=admin\r\nx_client_cert_sha256: 0\r\n";
        client.ask(format!("GET / HTTP/1.1\r\nhost: a.test\r\n{lie}\r\n"));
        let request = origin.request();
        let told: Vec<_> = request.fields("x-client-cert-subject").collect();
        assert_eq!(told, ["CN=client.test"]);
        assert_eq!(request.fields("x-client-cert-sha256").count(), 1);
        assert!(!request.head.contains("x_client_cert"), "{}", request.head);
        let reply = client.ask("GET / HTTP/1.1\r\nhost: other.test\r\n\r\n");
        assert_eq!(reply.status(), 421);
        // Whoever has none is refused, at the latest when it reads.
        let refused = match Client::connect_tls(proxy.address(), &house.client(), "a.test") {
            Err(_) => true,
            Ok(mut client) => !client.try_send(GET) || client.read_some().is_err(),
        };
        assert!(refused);
    });
}
