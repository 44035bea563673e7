//! The PROXY protocol: who the client is, as a balancer says and as origins are told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use e2e::{
    Client, Origin, Running, eventually, exposition::parse, on_each_driver, origin::ok,
    reading::field,
};

use super::{
    GET,
    shadow::{settled, shadowed},
    to,
};

/// A listener that wants a header from anybody on this machine.
const EDGE: &str = "listener.edge = { bind = \"127.0.0.1:0\", proxy_protocol = true }\n";

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// 192.0.2.7:50000 to 198.51.100.1:443.
const ENDS: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0xc3, 0x50, 0x01, 0xbb];

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

fn header(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("it is short").to_be_bytes();
    [SIGNATURE, &[command, family], &length, content].concat()
}

/// A header with items behind its addresses.
fn with(items: &[u8]) -> Vec<u8> {
    header(0x21, 0x11, &[ENDS, items].concat())
}

/// How many connections were refused for a reason.
fn refused(proxy: &Running, reason: &str) -> f64 {
    let text = proxy.call("GET", "/metrics", "").1;
    parse(&text, false).sum("gnomon_proxy_protocol_refused_total", &[("reason", reason)])
}

#[test]
fn a_header_names_the_client_however_it_is_cut() {
    let six: Vec<u8> = (0_u8..16).chain(0..20).collect();
    let table = [
        (LINE.to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 50000 443\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 50000 443\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (header(0x21, 0x11, ENDS), "192.0.2.7"),
        (with(b"\x01\0\x02h2\x04\0\0\x05\0\x03abc"), "192.0.2.7"),
        (header(0x21, 0x21, &six), "1:203:405:607:809:a0b:c0d:e0f"),
        (header(0x21, 0x31, &[b'/'; 216]), "127.0.0.1"),
        (header(0x21, 0x00, b""), "127.0.0.1"),
        (header(0x20, 0x00, b""), "127.0.0.1"),
        (header(0x20, 0x11, ENDS), "127.0.0.1"),
        (with(&[&[4, 0x0f, 0xd0][..], &[0; 0xfd0]].concat()), "192.0.2.7"),
    ];
    on_each_driver(|driver| {
        let origin = Origin::mirror();
        let proxy = Running::start(driver, &(to(&origin) + EDGE));
        for (header, client) in &table {
            let all = [header, GET.as_bytes()].concat();
            for cut in (0..header.len().min(120) + 3).chain([all.len()]) {
                let mut sender = proxy.connect();
                sender.send(&all[..cut]).send(&all[cut..]);
                let reply = sender.read_reply();
                assert_eq!(reply.status(), 200, "{} cut at {cut}", header.escape_ascii());
                assert_eq!(field(&reply.text(), "x-forwarded-for"), Some(*client), "{cut}");
            }
        }
        let mut slow = proxy.connect();
        for byte in LINE.iter().chain(GET.as_bytes()) {
            slow.send([*byte]);
        }
        let reply = slow.read_reply();
        assert_eq!(field(&reply.text(), "x-forwarded-for"), Some("192.0.2.7"));
        for reason in ["untrusted", "malformed", "timeout", "gone"] {
            assert_eq!(refused(&proxy, reason), 0.0, "{reason}");
        }
    });
}

#[test]
fn requests_right_behind_the_header_are_answered_and_it_is_read_once() {
    on_each_driver(|driver| {
        let origin = Origin::mirror();
        let proxy = Running::start(driver, &(to(&origin) + EDGE));
        for header in [LINE.to_vec(), header(0x21, 0x11, ENDS)] {
            let mut client = proxy.connect();
            client.send([&header[..], GET.repeat(3).as_bytes()].concat());
            for _ in 0..3 {
                let reply = client.read_reply();
                assert_eq!(field(&reply.text(), "x-forwarded-for"), Some("192.0.2.7"));
            }
            // A second header is none: it is the beginning of a request, and a bad one.
            client.send(&header);
            assert_eq!(client.read_reply().status(), 400);
            assert!(client.is_closed());
        }
    });
}

#[test]
fn what_is_no_header_ends_the_connection_unanswered() {
    let long = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    let bad_sum = with(&[3, 0, 4, 1, 2, 3, 4]);
    let table = [
        GET.as_bytes().to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\n".to_vec(),
        b"PROXY TCP4 ::1 ::1 50000 443\r\n".to_vec(),
        long,
        with(&[1, 0xff, 0xff]),
        with(&[1, 0, 9, b'x']),
        with(&[0]),
        bad_sum,
        header(0x21, 0x11, &ENDS[..11]),
        header(0x21, 0x12, ENDS),
        header(0x22, 0x11, ENDS),
        header(0x21, 0x11, &vec![0; 0xffff]),
        SIGNATURE.iter().map(|byte| byte.wrapping_add(1)).collect(),
    ];
    on_each_driver(|driver| {
        let origin = Origin::mirror();
        let proxy = Running::start(driver, &(to(&origin) + EDGE));
        for (count, bytes) in (1..).zip(&table) {
            let mut client = proxy.connect();
            client.try_send([&bytes[..], GET.as_bytes()].concat());
            assert!(client.is_closed(), "{}", bytes.escape_ascii());
            eventually("it is counted", || refused(&proxy, "malformed") == f64::from(count));
        }
        assert_eq!(origin.connections(), 0);
        assert_eq!(proxy.sum(|core| core.requests), 0);
        eventually("none is left", || proxy.sum(|core| core.connections) == 0);
    });
}

#[test]
fn only_those_who_may_send_a_header_may_connect() {
    on_each_driver(|driver| {
        let origin = Origin::mirror();
        let more = "listener.edge = { bind = \"127.0.0.1:0\", proxy_protocol = true, \
                    proxy_trusted = \"192.0.2.0/24\" }\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let mut client = proxy.connect();
        client.try_send([LINE, GET.as_bytes()].concat());
        assert!(client.is_closed());
        eventually("it is counted", || refused(&proxy, "untrusted") == 1.0);
        // Not even one that says nothing keeps a place.
        assert!(proxy.connect().is_closed());
        eventually("it is counted", || refused(&proxy, "untrusted") == 2.0);
        assert_eq!(origin.connections(), 0);
    });
}

#[test]
fn a_header_that_does_not_come_in_time_ends_the_connection() {
    on_each_driver(|driver| {
        let origin = Origin::mirror();
        let proxy = Running::start(driver, &(to(&origin) + EDGE));
        let mut clients: Vec<Client> = Vec::new();
        for beginning in [&b""[..], b"PROXY TCP4 192", &SIGNATURE[..5], SIGNATURE] {
            let mut client = proxy.connect();
            client.send(beginning);
            clients.push(client);
        }
        for client in &mut clients {
            assert!(client.is_closed());
        }
        eventually("they are counted", || refused(&proxy, "timeout") == 4.0);
        let mut client = proxy.connect();
        assert!(client.send(b"PROXY TCP4 ").half_close().is_closed());
        eventually("it is counted", || refused(&proxy, "gone") == 1.0);
        eventually("none is left", || proxy.sum(|core| core.connections) == 0);
    });
}

#[test]
fn the_address_in_the_header_is_trusted_routed_and_logged() {
    on_each_driver(|driver| {
        let (all, some) = (Origin::mirror(), Origin::named("by address"));
        let more = format!(
            "listener.edge = {{ bind = \"127.0.0.1:0\", proxy_protocol = true, \
             trusted = [\"192.0.2.0/24\"] }}\nupstream.p.versions.v1 = [\"{}\"]\n\
             route.near = {{ to = \"p\", match.client = \"203.0.113.0/24\" }}\n\
             access_log.to = \"{{folder}}/access.log\"\n",
            some.address()
        );
        let proxy = Running::start(driver, &(to(&all) + &more));
        let ask = |client: &str| {
            let get = "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 198.51.100.9\r\n\r\n";
            proxy.ask(format!("PROXY TCP4 {client} 198.51.100.1 50000 443\r\n{get}")).text()
        };
        let told = |text: &str| field(text, "x-forwarded-for").map(str::to_owned);
        assert_eq!(told(&ask("192.0.2.7")).as_deref(), Some("198.51.100.9, 192.0.2.7"));
        // The sender itself is believed by default; the client that it names is not.
        assert_eq!(told(&ask("198.51.100.3")).as_deref(), Some("198.51.100.3"));
        assert_eq!(ask("203.0.113.5"), "by address");
        let log = proxy.folder().join("access.log");
        eventually("all are logged", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            ["192.0.2.7", "198.51.100.3", "203.0.113.5"].iter().all(|ip| text.contains(ip))
        });
    });
}

#[test]
fn connections_are_counted_for_the_client_in_the_header() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = EDGE.to_owned() + "limits.per_client = 2\n";
        let proxy = Running::start(driver, &(to(&origin) + &more));
        let connect = |ip: &str| {
            let mut client = proxy.connect();
            client.send(format!("PROXY TCP4 {ip} 198.51.100.1 50000 443\r\n{GET}"));
            client
        };
        let mut many: Vec<_> = (1..=6).map(|ip| connect(&format!("192.0.2.{ip}"))).collect();
        many.push(connect("192.0.2.1"));
        for client in &mut many {
            assert_eq!(client.read_reply().text(), "x");
        }
        assert!(connect("192.0.2.1").is_closed());
        drop(many);
        eventually("there is room again", || connect("192.0.2.1").read_reply().text() == "x");
    });
}

/// What each connection to an origin began with: a header, or nothing.
type Told = Arc<Mutex<Vec<Vec<u8>>>>;

/// An origin that wants a header on each connection, and says how many requests that carried.
fn announced() -> (Origin, Told) {
    let told = Told::default();
    let theirs = told.clone();
    let origin = Origin::start(move |call, _| {
        let fixed = call.read_bytes(16)?;
        let length = u16::from_be_bytes([fixed[14], fixed[15]]);
        let rest = call.read_bytes(length.into())?;
        theirs.lock().expect("nobody panics").push([fixed, rest].concat());
        let mut count = 0;
        while let Some(request) = call.read_request()? {
            count += 1;
            let from = request.field("x-forwarded-for").unwrap_or_default();
            call.reply(ok(&format!("{count} {from}")))?;
        }
        Ok(())
    });
    (origin, told)
}

fn all(told: &Told) -> Vec<Vec<u8>> {
    told.lock().expect("nobody panics").clone()
}

/// The client's and the server's address in a header of IPv4.
fn ends(header: &[u8]) -> (SocketAddr, SocketAddr) {
    assert_eq!(&header[..16], self::header(0x21, 0x11, ENDS).get(..16).expect("16 bytes"));
    let end = |ip: usize, port: usize| {
        let ip: [u8; 4] = header[ip..ip + 4].try_into().expect("4 bytes");
        SocketAddr::from((ip, u16::from_be_bytes([header[port], header[port + 1]])))
    };
    (end(16, 24), end(20, 26))
}

/// Everything goes to one origin, which wants a header.
fn telling(origin: &Origin) -> String {
    format!(
        "upstream.o.versions.v1 = {{ endpoints = [\"{}\"], proxy_protocol = \"v2\" }}\n\
         route.all.to = \"o\"\n",
        origin.address()
    )
}

#[test]
fn an_origin_is_told_the_client_and_no_connection_serves_another() {
    on_each_driver(|driver| {
        let (origin, told) = announced();
        let proxy = Running::start(driver, &telling(&origin));
        let mut clients = [proxy.connect(), proxy.connect()];
        let mut wanted = Vec::new();
        for _ in 0..3 {
            for client in &mut clients {
                assert_eq!(client.ask(GET).text(), "1 127.0.0.1");
                wanted.push((client.address().expect("it is TCP"), proxy.address()));
            }
        }
        let found: Vec<_> = all(&told).iter().map(|header| ends(header)).collect();
        assert_eq!(found, wanted);
        let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
        clients[0].send(post);
        eventually("it is under way", || all(&told).len() == 7);
        clients[0].send("12345");
        assert_eq!(clients[0].read_reply().text(), "1 127.0.0.1");
        eventually("none is kept", || proxy.sum(|core| core.origin_connections) == 0);
    });
}

#[test]
fn what_a_header_said_is_what_the_origin_is_told() {
    on_each_driver(|driver| {
        let (origin, told) = announced();
        let proxy = Running::start(driver, &(telling(&origin) + EDGE));
        let mut client = proxy.connect();
        let reply = client.send(LINE).ask(GET);
        assert_eq!(reply.text(), "1 192.0.2.7");
        assert_eq!(all(&told).pop(), Some(header(0x21, 0x11, ENDS)));
        // Our own end of the connection is what the sender speaks for.
        let mut sender = proxy.connect();
        sender.send(header(0x20, 0, b"")).ask(GET);
        let told = all(&told).pop().expect("it was told");
        assert_eq!(ends(&told), (sender.address().expect("it is TCP"), proxy.address()));
    });
}

#[test]
fn an_origin_that_comes_to_want_headers_gets_them_on_every_connection() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, number| {
            let is_told = call.read_bytes(1)? == b"\r";
            call.read_bytes(if is_told { 27 } else { 2 })?;
            while call.skip_request()? {
                call.reply(ok(&format!("{number} {is_told}")))?;
            }
            Ok(())
        });
        let plain = to(&origin);
        let proxy = Running::start(driver, &plain);
        let mut client = proxy.connect();
        assert_eq!(client.ask(GET).text(), "0 false");
        assert_eq!(client.ask(GET).text(), "0 false");
        proxy.write(&telling(&origin));
        proxy.reload().expect("it is valid");
        assert_eq!(client.ask(GET).text(), "1 true");
        assert_eq!(client.ask(GET).text(), "2 true");
        proxy.write(&plain);
        proxy.reload().expect("it is valid");
        assert_eq!(client.ask(GET).text(), "3 false");
        assert_eq!(client.ask(GET).text(), "3 false");
    });
}

#[test]
fn health_checks_and_copies_speak_for_themselves() {
    let local = header(0x20, 0, b"");
    on_each_driver(|driver| {
        let (origin, told) = announced();
        let more =
            "upstream.o.health = { path = \"/\", interval = \"50ms\", timeout = \"50ms\" }\n";
        let _proxy = Running::start(driver, &(telling(&origin) + more));
        eventually("it is checked", || {
            all(&told).contains(&local) && !origin.requests().is_empty()
        });

        let (shadow, told) = announced();
        let primary = Origin::named("x");
        let config = shadowed(&primary, &shadow, "");
        let plain = format!("versions.v2 = [\"{}\"]", shadow.address());
        let telling = format!(
            "versions.v2 = {{ endpoints = [\"{}\"], proxy_protocol = \"v2\" }}",
            shadow.address()
        );
        let proxy = Running::start(driver, &config.replace(&plain, &telling));
        for _ in 0..5 {
            assert_eq!(proxy.ask(GET).text(), "x");
        }
        let books = settled(&proxy, "new", 5);
        assert_eq!(books.accounting.compared, 5, "{books:#?}");
        let told = all(&told);
        assert!(!told.is_empty() && told.iter().all(|header| *header == local));
    });
}
