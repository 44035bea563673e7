//! An open load charges a stall to every request that had to wait for its end.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use bench::{
    load::{Plan, Seen},
    rig::Rig,
    scenario,
};

/// Answers on every connection, but for a stall in which nobody is answered.
fn stalling(connections: usize, stall: std::ops::Range<Duration>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let began = Instant::now();
    for _ in 0..connections {
        let (listener, stall) =
            (listener.try_clone().expect("a descriptor is free"), stall.clone());
        thread::spawn(move || {
            let (stream, _) = listener.accept().expect("somebody comes");
            answer(stream, began, &stall)
        });
    }
    address
}

fn answer(mut stream: TcpStream, began: Instant, stall: &std::ops::Range<Duration>) -> Option<()> {
    let mut request = [0; 4096];
    stream.set_nodelay(true).ok()?;
    loop {
        let count = stream.read(&mut request).ok().filter(|count| *count > 0)?;
        assert!(request[..count].ends_with(b"\r\n\r\n"), "requests come whole on loopback");
        if stall.contains(&began.elapsed()) {
            thread::sleep(stall.end.saturating_sub(began.elapsed()));
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()?;
    }
}

fn load(rate: Option<f64>) -> Seen {
    let stall = Duration::from_millis(700)..Duration::from_millis(1200);
    let plan = Plan {
        tls: None,
        address: stalling(8, stall),
        connections: 8,
        depth: 1,
        rate,
        churn: false,
        requests: vec![scenario::request("/", None, None)],
    };
    let mut rig = Rig::new().expect("epoll is there");
    let measured = rig.measure(plan, Duration::ZERO, Duration::from_secs(2), &mut || {});
    measured.expect("the origin is there").seen
}

#[test]
fn a_stall_is_seen_by_all_who_were_to_ask_meanwhile() {
    let open = load(Some(1000.0));
    // 500 of 2,000 requests were meant to go out during the stall, and wait 250 ms on average.
    assert!(open.requests > 1500, "{}", open.requests);
    assert!(open.micros_at(0.99) >= 300_000, "{}", open.micros_at(0.99));
    assert!(open.micros_at(0.90) >= 100_000, "{}", open.micros_at(0.90));
}

#[test]
fn a_closed_load_omits_it() {
    // Why latency at saturation is not the figure to compare: eight requests saw the stall.
    let closed = load(None);
    assert!(closed.micros_at(0.99) < 300_000, "{}", closed.micros_at(0.99));
    assert!(closed.micros_at(1.0) >= 300_000, "{}", closed.micros_at(1.0));
}
