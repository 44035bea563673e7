//! A process that runs out of something: what it does less of, in which order, and that it recovers.

use e2e::{Client, Origin, eventually};
use serde_json::Value;

use super::{GET, guest::Guest, to};

fn status(proxy: &Guest) -> Value {
    let (_, text) = proxy.get("/v1/status");
    serde_json::from_str(&text).expect("it is what the API says")
}

/// What the status says of the level.
fn level(proxy: &Guest) -> String {
    status(proxy)["overload"]["level"].as_str().unwrap_or_default().to_owned()
}

/// How full it says its files are.
fn files(proxy: &Guest) -> f64 {
    status(proxy)["overload"]["files"].as_f64().unwrap_or_default()
}

fn is_ready(proxy: &Guest) -> bool {
    proxy.get("/readyz").0 == 200
}

/// One counter of the first core.
fn counted(proxy: &Guest, name: &str) -> u64 {
    status(proxy)["cores"][0][name].as_u64().unwrap_or_default()
}

/// Whether a connection of its own is answered.
fn is_served(proxy: &Guest) -> bool {
    let mut client = proxy.connect();
    client.try_send(GET) && client.try_read_reply_to("GET").is_ok_and(|it| it.status() == 200)
}

/// Both drivers, one after the other: each is a process that is starved.
fn on_each(test: impl Fn(&str)) {
    for driver in e2e::Driver::all() {
        test(&format!("runtime.driver = \"{}\"\n", driver.name()));
    }
}

#[test]
fn without_memory_requests_are_refused_whole_and_what_has_begun_ends_well() {
    on_each(|driver| {
        let origin = Origin::start(|call, _| {
            while let Some(request) = call.read_request()? {
                let body = request.body.len();
                call.reply(format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{body:05}"))?;
            }
            Ok(())
        });
        let proxy = Guest::start(&(driver.to_owned() + &to(&origin)));
        let mut busy = proxy.connect();
        busy.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
        eventually("it is under way", || origin.open() == 1);
        let mut idle = proxy.connect();
        assert_eq!(idle.ask(GET).status(), 200);
        assert_eq!((level(&proxy).as_str(), is_ready(&proxy)), ("calm", true));
        // No process is smaller than that.
        proxy.configure(&(driver.to_owned() + &to(&origin) + "limits.memory = \"1MiB\"\n"));
        eventually("it is pressed", || level(&proxy) == "shedding");
        assert!(!is_ready(&proxy));
        let refused = idle.ask(GET);
        assert_eq!((refused.status(), refused.field("retry-after")), (503, Some("1")));
        assert!(idle.is_closed());
        assert!(proxy.connect().is_closed(), "a new connection gets no word");
        busy.send("whole!");
        let reply = busy.read_reply();
        assert_eq!((reply.status(), reply.text().as_str()), (200, "00010"));
        assert_eq!(counted(&proxy, "strain_requests"), 1);
        assert!(counted(&proxy, "strain_connections") > 0);
        let (_, metrics) = proxy.get("/metrics");
        assert!(metrics.contains("gnomon_overload_level 3"), "{metrics}");
        proxy.configure(&(driver.to_owned() + &to(&origin)));
        eventually("it is calm again", || level(&proxy) == "calm" && is_ready(&proxy));
        assert!(is_served(&proxy));
    });
}

/// A client that has begun a head, which holds a file and does not sleep.
fn unfinished(proxy: &Guest) -> Client {
    let mut client = proxy.connect();
    client.try_send("GET / HTTP/1.1\r\nhost:");
    client
}

/// Files that are given back meanwhile: those of connections that were idle, ours and to origins.
const FEW: usize = 4;

#[test]
fn with_few_files_left_it_turns_unready_before_it_refuses() {
    on_each(|driver| {
        let origin = Origin::named("x");
        // Heads that are never finished hold a file each, and stay.
        let config = driver.to_owned()
            + &to(&origin)
            + "limits.connections = 1000\ntimeouts.header = \"600s\"\n";
        let proxy = Guest::start_by(&["sh", "-c", "ulimit -n 200; exec \"$0\" \"$@\""], &config);
        assert!(is_served(&proxy) && is_ready(&proxy));
        let base = files(&proxy);
        let mut crowd: Vec<Client> = (0..140).map(|_| unfinished(&proxy)).collect();
        let mut seen = vec!["calm".to_owned()];
        // What it is told by is what ends it: between two looks, the level may be another.
        while seen.last().is_none_or(|last| last != "closed") {
            // One at a time, each after it has been seen but for a few, so that no level is passed over.
            crowd.push(unfinished(&proxy));
            let held = base + (crowd.len() - FEW) as f64 / 200.0;
            eventually("it is seen", || files(&proxy) >= held || level(&proxy) == "closed");
            let now = level(&proxy);
            if seen.last() != Some(&now) {
                seen.push(now.clone());
                assert!(!is_ready(&proxy), "unready before anything is refused");
            }
            assert!(crowd.len() < 200, "{seen:?}");
        }
        assert_eq!(seen, ["calm", "tight", "closed"]);
        assert!(proxy.connect().is_closed());
        assert!(counted(&proxy, "strain_connections") > 0);
        assert_eq!(counted(&proxy, "accept_failures"), 0, "long before there are none");
        // Who is there is served: it needs no more files.
        let first = crowd.first_mut().expect("there are many");
        first.send(" a\r\n\r\n");
        assert_eq!(first.read_reply().text(), "x");
        drop(crowd);
        eventually("it is calm again", || level(&proxy) == "calm" && is_ready(&proxy));
        assert!(is_served(&proxy));
    });
}
