//! Whole proxies in this process, real cores included.

mod kpis;

use std::{
    io::{Read, Write},
    net::{TcpListener as Origin, TcpStream},
    sync::Mutex,
};

use gnomon_config::model::Cores;

use super::{places::choose_cores, *};
use crate::clock;

#[test]
fn cores_are_chosen_within_mask_and_quota() {
    let all: Vec<usize> = (0..8).collect();
    let table = [
        (Cores::Auto, None, (0..7).collect::<Vec<_>>()),
        (Cores::Auto, Some(2), vec![0, 1]),
        (Cores::Auto, Some(100), (0..7).collect()),
        (Cores::Auto, Some(0), vec![0]),
        (Cores::Count(2), Some(1), vec![0, 1]),
        (Cores::Count(10), None, vec![0, 1, 2, 3, 4, 5, 6, 7, 0, 1]),
        (Cores::List(vec![5, 3]), None, vec![5, 3]),
    ];
    for (wanted, quota, expected) in table {
        assert_eq!(choose_cores(&wanted, &all, quota).unwrap(), expected, "{wanted:?}");
    }
    let refused = choose_cores(&Cores::List(vec![9]), &all, None).unwrap_err();
    assert!(refused.error.contains("core 9"), "{refused}");
}

/// A proxy, its configuration and its folder.
struct Guest {
    running: Running,
    text: Arc<Mutex<String>>,
}

fn options(text: &Arc<Mutex<String>>) -> Options {
    let read = text.clone();
    let load: Load = Arc::new(move || {
        let text = read.lock().unwrap().clone();
        gnomon_config::parse("test.toml", &text, &gnomon_config::Options::default())
    });
    Options { load, signals: Signals::Ignored, log: None }
}

fn text(name: &str, origin: SocketAddr, more: &str) -> String {
    let folder = std::env::temp_dir().join(format!("gnomon-boot-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let folder = folder.display();
    format!(
        "admin.socket = \"{folder}/admin.sock\"\nruntime.cores = 2\nruntime.pin = false\n\
         upstream.shop.versions.v1 = [\"{origin}\"]\nroute.all.to = \"shop\"\n\
         access_log = {{ to = \"{folder}/access.log\" }}\n\
         timeouts.grace = \"0s\"\ntimeouts.drain = \"2s\"\n\
         listener.main.bind = \"127.0.0.1:0\"\n{more}"
    )
}

impl Guest {
    fn start(name: &str, more: &str) -> Self {
        let text = Arc::new(Mutex::new(text(name, origin(), more)));
        let running = start(options(&text)).unwrap();
        Self { running, text }
    }

    fn address(&self, listener: &str) -> SocketAddr {
        let addresses = self.running.addresses();
        addresses.iter().find(|(name, _)| **name == *listener).unwrap().1
    }
}

/// An origin that answers every connection's first request with `hello`.
fn origin() -> SocketAddr {
    let origin = Origin::bind("127.0.0.1:0").unwrap();
    let address = origin.local_addr().unwrap();
    let serve = move || {
        for stream in origin.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
            );
        }
    };
    thread::Builder::new().spawn(serve).unwrap();
    address
}

fn request(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    reply
}

fn get(address: SocketAddr) -> String {
    request(address, "GET /x?token=1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
}

fn until(mut condition: impl FnMut() -> bool) {
    let end = clock::now() + Duration::from_secs(10);
    while !condition() {
        assert!(clock::now() < end, "it never comes");
        thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn two_proxies_live_side_by_side_and_stop_clean() {
    let (one, two) = (Guest::start("one", ""), Guest::start("two", ""));
    for guest in [&one, &two] {
        let reply = get(guest.address("main"));
        assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("hello"), "{reply}");
    }
    let status = one.running.status();
    assert_eq!(status.cores.iter().map(|core| core.requests).sum::<u64>(), 1);
    assert!(status.ready && !status.cores[0].driver.is_empty());
    let log = one.running.admin_socket().with_file_name("access.log");
    let socket = one.running.admin_socket();
    assert_eq!(one.running.stop(), Report { cut: 0, stuck: 0 });
    assert!(!socket.exists());
    let line = std::fs::read_to_string(log).unwrap();
    assert!(line.contains("\"query\":\"token=<redacted>\""), "{line}");
    assert!(get(two.address("main")).ends_with("hello"));
}

#[test]
fn a_reload_opens_and_closes_listeners() {
    let guest = Guest::start("listeners", "");
    let old = guest.address("main");
    guest.text.lock().unwrap().push_str("listener.more.bind = \"127.0.0.1:0\"\n");
    let done = guest.running.reload().unwrap();
    assert!(done.cores_missing.is_empty() && !done.changes.is_empty(), "{done:?}");
    let new = guest.address("more");
    assert_eq!(guest.address("main"), old);
    assert!(get(new).ends_with("hello"));
    let kept = guest.text.lock().unwrap().replace("listener.main.bind", "#");
    *guest.text.lock().unwrap() = kept;
    guest.running.reload().unwrap();
    until(|| TcpStream::connect(old).is_err());
    assert!(get(new).ends_with("hello"));
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let other = Origin::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let more = format!("listener.bad.bind = \"{taken}\"\n");
    let bad = Arc::new(Mutex::new(text("taken", taken, &more)));
    let refused = start(options(&bad)).unwrap_err();
    assert!(refused.error.contains("listener `bad`") && refused.error.contains("in use"));

    let guest = Guest::start("socket", "");
    let same = Arc::new(Mutex::new(text("socket", taken, "")));
    let refused = start(options(&same)).unwrap_err();
    assert!(refused.error.contains("another proxy answers"), "{refused}");
    assert!(guest.running.admin_socket().exists());

    let wrong = Arc::new(Mutex::new("nonsense = 1\n".to_owned()));
    assert_eq!(start(options(&wrong)).unwrap_err().kind, Kind::Config);
}

#[test]
fn connections_that_do_not_end_are_cut_and_counted() {
    let guest = Guest::start("cut", "");
    let mut idle = TcpStream::connect(guest.address("main")).unwrap();
    idle.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").unwrap();
    until(|| guest.running.status().cores.iter().any(|core| core.connections > 0));
    let Guest { running, .. } = guest;
    running.ask_stop(Stop::Now);
    assert_eq!(running.wait(), Report { cut: 1, stuck: 0 });
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest);
}

#[test]
fn the_cores_serve_on_while_control_dies_and_its_death_is_no_success() {
    let mut guest = Guest::start("dies", "");
    let (address, control) = (guest.address("main"), guest.running.control.clone());
    let alive = guest.running.thread.take();
    let dead = spawn("gnomon-control", || -> Report { panic!("as a bug would") });
    guest.running.thread = Some(dead.unwrap());
    let report = guest.running.wait();
    assert_eq!(report, Report { cut: 0, stuck: 2 });
    assert!(get(address).ends_with("hello"));
    control.ask_stop(Stop::Now);
    alive.unwrap().join().unwrap();
}

#[test]
fn over_tcp_the_api_is_guarded_against_web_pages() {
    let free = Origin::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let guest = Guest::start("tcp", &format!("admin.listen = \"{free}\"\n"));
    let address = guest.running.admin_address().unwrap();
    let status = |head: &str| request(address, head).get(9..12).unwrap_or("").to_owned();
    let table = [
        ("GET /livez HTTP/1.0\r\nhost: localhost\r\n\r\n", "200"),
        ("GET /livez HTTP/1.0\r\nhost: evil.example\r\n\r\n", "403"),
        ("GET /livez HTTP/1.0\r\n\r\n", "403"),
        ("POST /v1/reload HTTP/1.0\r\nhost: localhost\r\n\r\n", "403"),
        ("POST /v1/reload HTTP/1.0\r\nhost: localhost\r\nx-gnomon: 1\r\n\r\n", "403"),
        ("POST /v1/upstreams/shop/freeze HTTP/1.0\r\nhost: localhost\r\n\r\n", "403"),
        (
            "POST /v1/upstreams/shop/freeze HTTP/1.0\r\nhost: localhost\r\nx-gnomon: 1\r\n\r\n",
            "200",
        ),
        (
            "POST /v1/upstreams/shop/resume HTTP/1.0\r\nhost: evil.example\r\nx-gnomon: 1\r\n\r\n",
            "403",
        ),
    ];
    for (head, expected) in table {
        assert_eq!(status(head), expected, "{head}");
    }
}
