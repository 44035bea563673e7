//! What the proxy tells by itself: the last hour at first, then each second's beat and whatever happens.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use crossbeam_channel::Sender;

use super::{ask::optional, picture::News};
use crate::control::api::series::{Beat, Entry};

/// Follows until nobody listens. Of a proxy that tells nothing, or is away, it is asked again later.
pub(super) fn follow(socket: &Path, tell: &Sender<News>) {
    loop {
        if let Ok(Some(history)) = optional(socket, "/v1/history")
            && tell.send(News::Past(history)).is_err()
        {
            return;
        }
        if let Ok(stream) = open(socket)
            && pass_on(BufReader::new(stream), tell) == Listener::Gone
        {
            return;
        }
        // A pause, unless the main thread has ended meanwhile: its end of the channel is gone then.
        let _ = crossbeam_channel::after(PAUSE).recv();
    }
}

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(5);
/// Longer than any pause between two beats.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of one line at most: a beat of some thousand versions.
const LINE_MAX: u64 = 1 << 20;

/// Whether anybody still wants to know.
#[derive(Debug, PartialEq, Eq)]
enum Listener {
    There,
    Gone,
}

fn open(socket: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = "GET /v1/events HTTP/1.0\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    Ok(stream)
}

/// Reads a stream of events to its end. Lines that are none are passed over: heads, remarks, and the
/// answer of a proxy without events.
fn pass_on(mut stream: impl BufRead, tell: &Sender<News>) -> Listener {
    let (mut name, mut line) = (String::new(), Vec::new());
    loop {
        line.clear();
        match stream.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return Listener::There,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if let Some(event) = text.strip_prefix("event:") {
            event.trim().clone_into(&mut name);
        } else if let Some(data) = text.strip_prefix("data:") {
            let Some(news) = news(&name, data.trim_start()) else { continue };
            if tell.send(news).is_err() {
                return Listener::Gone;
            }
        } else if text.is_empty() {
            name.clear();
        }
    }
}

fn news(event: &str, data: &str) -> Option<News> {
    match event {
        "beat" => serde_json::from_str::<Beat>(data).ok().map(News::Beat),
        "entry" => serde_json::from_str::<Entry>(data).ok().map(News::Entry),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_stands_between_them() {
        let beat = serde_json::to_string(&Beat { at: 7, ..Beat::default() }).unwrap();
        let entry = serde_json::to_string(&Entry { id: 3, ..Entry::default() }).unwrap();
        let text = format!(
            "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hello\n\n\
             event: beat\ndata: {beat}\n\nevent: other\ndata: 1\n\nevent:entry\ndata:{entry}\n\n\
             event: beat\ndata: no json\n\ndata: {beat}\n\n\u{0}\u{fffd}"
        );
        let (tell, told) = crossbeam_channel::unbounded();
        assert_eq!(pass_on(text.as_bytes(), &tell), Listener::There);
        let told: Vec<News> = told.try_iter().collect();
        assert!(matches!(&told[0], News::Beat(beat) if beat.at == 7), "{told:?}");
        assert!(matches!(&told[1], News::Entry(entry) if entry.id == 3), "{told:?}");
        assert_eq!(told.len(), 2);
        let (tell, told) = crossbeam_channel::unbounded();
        drop(told);
        assert_eq!(pass_on(text.as_bytes(), &tell), Listener::Gone);
    }
}
