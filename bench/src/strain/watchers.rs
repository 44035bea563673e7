//! Consoles that are open all day: streams of events that are read, and a scrape each second.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Keeps `count` consoles open on the admin socket at `admin`, and scrapes the metrics, until it is
/// killed, or `at_most` is over.
pub fn run(admin: &Path, count: u32, at_most: Duration) {
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                while begun.elapsed() < at_most {
                    // Who is sent away comes again, as a browser does.
                    let _ = ask(admin, "/v1/events", begun, at_most);
                    thread::sleep(EVERY);
                }
            });
        }
        while begun.elapsed() < at_most {
            let _ = ask(admin, "/metrics", begun, at_most);
            thread::sleep(EVERY);
        }
    });
}

/// Reads all that is said to this, and keeps none of it.
fn ask(admin: &Path, path: &str, begun: Instant, at_most: Duration) -> std::io::Result<()> {
    let mut socket = UnixStream::connect(admin)?;
    socket.set_read_timeout(Some(2 * EVERY))?;
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut room = [0; 16 << 10];
    while begun.elapsed() < at_most && socket.read(&mut room)? > 0 {}
    Ok(())
}

const EVERY: Duration = Duration::from_secs(1);
