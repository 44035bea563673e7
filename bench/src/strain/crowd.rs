//! Clients that begin a request and send a byte now and then. Who is shut out comes again.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// Keeps `count` of them at it, until it is killed, or `at_most` is over. They are looked at a few
/// at a time, so that whoever shares the core with this does not wait for thousands.
pub fn run(to: SocketAddr, count: u32, at_most: Duration) {
    let begun = Instant::now();
    let mut all: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
    let few = all.len() / PARTS + 1;
    for turn in 0_usize.. {
        // They come over some turns, so that their time is not up all at once.
        let come = all.len().min(all.len() * (turn + 1) / TURNS_TO_COME);
        for (part, clients) in all[..come].chunks_mut(few).enumerate() {
            if begun.elapsed() > at_most {
                return;
            }
            let looked = Instant::now();
            let is_due = part % TURNS_PER_BYTE == turn % TURNS_PER_BYTE;
            for client in clients {
                let goes_on = client.as_mut().is_some_and(|client| drip(client, is_due));
                if !goes_on {
                    *client = begin(to);
                }
            }
            thread::sleep(PAUSE.saturating_sub(looked.elapsed()));
        }
    }
}

fn begin(to: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(200)).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// One byte more, if it is due; whether the other side still listens.
fn drip(stream: &mut TcpStream, is_due: bool) -> bool {
    let is_open = match stream.read(&mut [0; 512]) {
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    is_open && (!is_due || stream.write_all(b"x").is_ok())
}

/// A turn is a second: so many parts, each with its pause.
const PARTS: usize = 200;
const PAUSE: Duration = Duration::from_millis(5);
/// A byte each five seconds: the deadline of a head comes long before its end.
const TURNS_PER_BYTE: usize = 5;
const TURNS_TO_COME: usize = 8;
