//! A capture's exchanges in the order in which they began.
//!
//! Lines lie in the order in which exchanges ended. None is written later than a recorder's
//! patience after its exchange began, so it is enough to look that far ahead.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use gnomon_shadow::{
    recorder::PATIENCE,
    recording::{Flaw, Opening, Recorded, Recording},
};

use crate::cli::{FAILED, Failure, source::STDIN};

/// The exchanges of a capture, one pass after the other.
pub(super) struct Feed {
    file: PathBuf,
    /// Passes to come; without end if there is none.
    loops: Option<u64>,
    recording: Recording,
    heap: BinaryHeap<Waiting>,
    /// Bytes in the heap, about.
    held: usize,
    /// Where the capture surely had come when the last line was written.
    reached: u64,
    is_read: bool,
    number: u64,
    /// When the first of all began, and how long the passes before took.
    first: Option<u64>,
    before: u64,
    last: u64,
}

/// An exchange and when it began, counted from the first.
pub(super) struct Turn {
    pub(super) at: Duration,
    pub(super) recorded: Recorded,
}

impl Feed {
    pub(super) fn open(file: &Path, loops: Option<u64>) -> Result<Self, Failure> {
        let shown = file.display();
        let recording =
            start(file).map_err(|flaw| Failure::new(FAILED, format!("{shown}: {flaw}")))?;
        Ok(Self {
            file: file.to_owned(),
            loops: loops.map(|loops| loops.saturating_sub(1)),
            recording,
            heap: BinaryHeap::new(),
            held: 0,
            reached: 0,
            is_read: false,
            number: 0,
            first: None,
            before: 0,
            last: 0,
        })
    }

    /// What the capture's first line says.
    pub(super) const fn opening(&self) -> &Opening {
        self.recording.opening()
    }

    /// Whether the capture has its last line; to be asked at the end.
    pub(super) const fn is_whole(&self) -> bool {
        self.recording.end().is_some()
    }

    /// The next exchange.
    pub(super) fn next(&mut self) -> Result<Option<Turn>, Flaw> {
        loop {
            if let Some(waiting) = self.ready() {
                return Ok(Some(self.turn(waiting.0.0.recorded)));
            }
            if self.is_read {
                // An empty pass would be followed by many.
                if self.first.is_none() || !self.again()? {
                    return Ok(None);
                }
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<(), Flaw> {
        let Some(recorded) = self.recording.next_exchange()? else {
            self.is_read = true;
            return Ok(());
        };
        self.reached = self.reached.max(recorded.at_us.saturating_add(recorded.first_byte_us));
        self.held += weight(&recorded);
        self.number += 1;
        self.heap.push(Waiting(Reverse(Numbered { number: self.number, recorded })));
        Ok(())
    }

    /// The earliest, if nothing earlier can come.
    fn ready(&mut self) -> Option<Waiting> {
        let earliest = self.heap.peek()?.0.0.recorded.at_us;
        let is_sure = earliest.saturating_add(WINDOW_US) <= self.reached;
        if !(is_sure || self.is_read || self.held > HELD_MAX) {
            return None;
        }
        let waiting = self.heap.pop()?;
        self.held = self.held.saturating_sub(weight(&waiting.0.0.recorded));
        Some(waiting)
    }

    fn turn(&mut self, recorded: Recorded) -> Turn {
        let first = *self.first.get_or_insert(recorded.at_us);
        let at = recorded.at_us.saturating_sub(first).saturating_add(self.before);
        self.last = self.last.max(at);
        Turn { at: Duration::from_micros(self.last), recorded }
    }

    /// Begins the next pass, if there is one.
    fn again(&mut self) -> Result<bool, Flaw> {
        match &mut self.loops {
            Some(0) => return Ok(false),
            Some(left) => *left -= 1,
            None => {}
        }
        self.recording = start(&self.file)?;
        (self.reached, self.is_read, self.before) = (0, false, self.last + BETWEEN_US);
        Ok(true)
    }
}

/// Opens a file, or stdin.
pub(super) fn source(file: &Path) -> io::Result<Box<dyn Read + Send>> {
    if file == Path::new(STDIN) {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(file)?))
}

fn start(file: &Path) -> Result<Recording, Flaw> {
    let source = source(file).map_err(|error| Flaw::Unreadable(error.to_string()))?;
    Recording::open(source)
}

fn weight(recorded: &Recorded) -> usize {
    let reply = recorded.reply.as_ref().map_or(0, |reply| reply.body.data.len());
    recorded.request.body.data.len() + reply + FRAME_BYTES
}

struct Numbered {
    number: u64,
    recorded: Recorded,
}

impl Numbered {
    const fn key(&self) -> (u64, u64) {
        (self.recorded.at_us, self.number)
    }
}

impl PartialEq for Numbered {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Numbered {}

impl PartialOrd for Numbered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numbered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// The earliest is the greatest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting(Reverse<Numbered>);

/// How far ahead is looked: a recorder's patience, and what its thread may be behind.
const WINDOW_US: u64 = (PATIENCE.as_secs() + 2) * 1_000_000;
/// Bytes that are held for it; beyond, order is given up.
const HELD_MAX: usize = 256 << 20;
/// What an exchange weighs beside its bodies, about.
const FRAME_BYTES: usize = 2048;
/// Between two passes.
const BETWEEN_US: u64 = 1000;

#[cfg(test)]
mod tests {
    use gnomon_shadow::{bundle::Request, recording::Rules};

    use super::*;

    fn feed(name: &str, times: &[(u64, u64)], loops: u64) -> Vec<(u64, u64)> {
        let opening = Opening {
            gnomon_capture: 1,
            started: 1,
            route: None,
            upstream: None,
            sample: 100.0,
            config: String::new(),
            redacted: Rules::default(),
        };
        let mut bytes = opening.to_line().to_vec();
        for &(at_us, first_byte_us) in times {
            let request =
                Request { method: "GET".into(), target: "/".into(), ..Request::default() };
            let recorded = Recorded { at_us, first_byte_us, request, ..Recorded::default() };
            bytes.extend_from_slice(&recorded.to_line());
        }
        let file = std::env::temp_dir().join(format!("gnomon-feed-{}-{name}", std::process::id()));
        std::fs::write(&file, bytes).unwrap();
        let mut feed = Feed::open(&file, Some(loops)).unwrap();
        let mut all = Vec::new();
        while let Some(turn) = feed.next().unwrap() {
            all.push((u64::try_from(turn.at.as_micros()).unwrap(), turn.recorded.at_us));
        }
        std::fs::remove_file(file).unwrap();
        all
    }

    #[test]
    fn exchanges_come_in_the_order_in_which_they_began() {
        let times = [(50, 1), (40, 20), (70, 1), (10, 90), (100_000_000, 1), (90_000_000, 1)];
        let want = [(0, 10), (30, 40), (40, 50), (60, 70), (89_999_990, 90_000_000)];
        let all = feed("order", &times, 1);
        assert_eq!((&all[..5], all.len()), (&want[..], 6));
    }

    #[test]
    fn passes_follow_each_other() {
        let all = feed("loops", &[(7, 0), (9, 0)], 3);
        assert_eq!(all.iter().map(|it| it.0).collect::<Vec<_>>(), [0, 2, 1002, 1004, 2004, 2006]);
        assert_eq!(feed("empty", &[], 3), []);
    }
}
