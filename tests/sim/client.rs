//! A simulated client: what it sends and how, and what it makes of what comes back.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::PathBuf,
};

use super::{
    draw::Draw,
    exchange::{Exchange, Outcome},
    message::{self, Kind, Parsed},
    world::World,
};

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// As it should, with so many requests sent before the first reply.
    Good(usize),
    /// As it should, but so many bytes at a time, so many milliseconds apart.
    Dripping(usize, u64),
    /// Says that it will send no more as soon as it has asked for everything.
    Closing,
    /// Goes away after so many bytes of its requests.
    Leaving(usize),
    /// Goes away after so many bytes of the replies.
    Sated(usize),
    /// Never reads.
    Deaf,
    /// Sends a head so slowly that nobody waits for it.
    Slow,
    /// Sends what is no request.
    Mad,
    /// Connects and says nothing.
    Mute,
}

pub(super) struct Client {
    name: usize,
    manner: Manner,
    front: PathBuf,
    stream: Option<UnixStream>,
    /// What it will ask for.
    asks: VecDeque<u32>,
    /// What it has asked for.
    asked: VecDeque<u32>,
    out: VecDeque<u8>,
    inbox: Vec<u8>,
    /// Bytes sent and read in all.
    moved: (usize, usize),
    /// When it does something by itself again.
    wake: u64,
    /// Whether the proxy has said that it closes.
    is_last: bool,
    is_shut: bool,
    /// Whether it has all it asked for.
    is_resting: bool,
    /// Until when one that never reads stays.
    patience: u64,
    pub(super) is_done: bool,
}

impl Client {
    /// A client that does its part, or if `faults` say so does not.
    pub(super) fn draw(name: usize, world: &mut World, front: PathBuf, faults: u64) -> Self {
        let draw = &mut world.draw;
        let is_bad = draw.chance(faults);
        let manner = if is_bad { Manner::bad(draw) } else { Manner::good(draw) };
        let count = if is_bad { draw.between(1, 2) } else { draw.between(1, 7) };
        let mut asks = VecDeque::new();
        let wake = draw.below(3_000);
        for _ in 0..count {
            let id = world.exchanges.len() as u32;
            let mut exchange = Exchange::draw(id, &mut world.draw, super::ORIGIN_FAULTS);
            exchange.is_behaved = !is_bad;
            if matches!(manner, Manner::Dripping(..) | Manner::Slow) {
                exchange.ask.length = exchange.ask.length.min(200);
            }
            if manner == Manner::Deaf {
                exchange.answer.length = 2_000_000;
                exchange.answer.pace = (usize::MAX, 0);
            }
            world.exchanges.push(exchange);
            asks.push_back(id);
        }
        Self {
            name,
            manner,
            front,
            stream: None,
            asks,
            asked: VecDeque::new(),
            out: VecDeque::new(),
            inbox: Vec::new(),
            moved: (0, 0),
            wake,
            is_last: false,
            is_shut: false,
            is_resting: false,
            patience: 0,
            is_done: false,
        }
    }

    pub(super) fn describe(&self) -> String {
        format!("c{} is {:?}, asks {:?}", self.name, self.manner, self.asks)
    }

    /// When it does something by itself again.
    pub(super) fn wake(&self, now: u64) -> Option<u64> {
        (!self.is_done && self.wake > now).then_some(self.wake)
    }

    /// Does what it can; whether that was anything.
    pub(super) fn step(&mut self, world: &mut World) -> bool {
        if self.is_done {
            return false;
        }
        let is_awake = world.now >= self.wake;
        if self.stream.is_none() {
            return is_awake && self.connect(world);
        }
        if self.manner == Manner::Deaf && !self.asked.is_empty() && is_awake {
            return self.hear(world);
        }
        let wrote = is_awake && self.speak(world);
        let read = self.stream.is_some() && self.manner != Manner::Deaf && self.listen(world);
        let ended = world.now >= self.wake && self.rest(world);
        wrote || read || ended
    }

    fn connect(&mut self, world: &mut World) -> bool {
        let stream = UnixStream::connect(&self.front);
        world.say(format!("c{} connects: {:?}", self.name, stream.as_ref().err()));
        let Ok(stream) = stream else {
            if world.draining.is_none() && world.closing.is_none() {
                world.accuse(format!("c{} is refused", self.name));
            }
            self.is_done = true;
            self.asks.clear();
            return true;
        };
        stream.set_nonblocking(true).unwrap();
        self.stream = Some(stream);
        (self.is_last, self.is_shut) = (false, false);
        if self.manner == Manner::Mute {
            self.wake = world.now + world.draw.below(9_000);
        }
        true
    }

    /// Writes what it has to say.
    fn speak(&mut self, world: &mut World) -> bool {
        if self.out.is_empty() && !self.is_last && !self.is_shut {
            self.ask(world);
        }
        if self.out.is_empty() || self.is_shut {
            return false;
        }
        let (most, pause) = match self.manner {
            Manner::Dripping(bytes, millis) => (bytes, millis),
            Manner::Slow => (1, 700),
            Manner::Leaving(at) => (at.saturating_sub(self.moved.0).max(1), 0),
            _ => (world.draw.pick(&[10_000, 1_000_000, 1_000_000]), 0),
        };
        let bytes: Vec<u8> = self.out.iter().copied().take(most).collect();
        let Some(stream) = &mut self.stream else { return false };
        match stream.write(&bytes) {
            Ok(count) => {
                self.out.drain(..count);
                self.moved.0 += count;
                if pause > 0 {
                    self.wake = world.now + pause;
                }
                world.say(format!("c{} sends {count}", self.name));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => {
                world.say(format!("c{} can't send: {:?}", self.name, error.kind()));
                self.is_shut = true;
                self.out.clear();
                return true;
            }
        }
        match self.manner {
            Manner::Leaving(at) if self.moved.0 >= at => self.leave(world),
            Manner::Closing if self.out.is_empty() && self.asks.is_empty() => {
                world.say(format!("c{} will say no more", self.name));
                self.is_shut = true;
                let _ = self.stream.as_ref().map(|stream| stream.shutdown(Shutdown::Write));
            }
            _ => {}
        }
        true
    }

    fn ask(&mut self, world: &mut World) {
        if self.manner == Manner::Mad && self.moved.0 == 0 {
            let junk: &[&[u8]] = &[
                b"\x16\x03\x01\x02\x00\x01",
                b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"GET /\r\n\r\n",
                b"POST /shop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            ];
            self.out.extend(world.draw.pick(junk));
            return;
        }
        let depth = if let Manner::Good(depth) = self.manner { depth } else { 1 };
        while self.asked.len() < depth
            && self.manner != Manner::Mute
            && let Some(id) = self.asks.pop_front()
        {
            let now = world.now;
            let exchange = world.exchange(id);
            exchange.began = Some(now);
            let Exchange { ask, answer, .. } = exchange;
            let line = format!(
                "c{} asks #{id} {} {} {:?} of {:?} {} {:?} {:?}",
                self.name,
                ask.method,
                ask.length,
                ask.chunk,
                answer.status,
                answer.length,
                answer.framing,
                answer.fault
            );
            let request = exchange.request();
            world.say(line);
            self.out.extend(request);
            self.asked.push_back(id);
        }
    }

    /// Who never reads looks after a while whether it was dropped.
    fn hear(&mut self, world: &mut World) -> bool {
        if !self.out.is_empty() && self.speak(world) {
            return true;
        }
        if self.patience == 0 {
            self.patience = world.now + super::REQUEST_MILLIS + 5_000;
            self.wake = self.patience;
            return false;
        }
        let mut all = Vec::new();
        let read = self.stream.as_mut().map(|stream| stream.read_to_end(&mut all));
        if !matches!(&read, Some(Ok(_))) {
            world.accuse(format!("c{} never reads, and is held for ever: {read:?}", self.name));
        }
        self.leave(world);
        true
    }

    /// Reads once.
    fn listen(&mut self, world: &mut World) -> bool {
        let most = world.draw.pick(&[100, 5_000, 70_000, 70_000]);
        let mut room = vec![0; most];
        let Some(stream) = &mut self.stream else { return false };
        let ended = match stream.read(&mut room) {
            Ok(0) => true,
            Ok(count) => {
                self.inbox.extend_from_slice(&room[..count]);
                self.moved.1 += count;
                world.say(format!("c{} reads {count}", self.name));
                false
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => true,
        };
        self.understand(world, ended);
        if ended {
            self.part(world);
        }
        match self.manner {
            Manner::Sated(at) if self.moved.1 >= at && self.stream.is_some() => self.leave(world),
            _ => {}
        }
        true
    }

    /// Takes the replies out of what was read.
    fn understand(&mut self, world: &mut World, ended: bool) {
        while let Some(&id) = self.asked.front() {
            if self.inbox.is_empty() {
                return;
            }
            let is_head = world.exchange(id).ask.method == "HEAD";
            let kind = if is_head { Kind::ReplyToHead } else { Kind::Reply };
            let reply = match message::parse(&self.inbox, kind, ended) {
                Parsed::More => return,
                Parsed::Bad(why) => {
                    world.accuse(format!("c{} reads {why} for #{id}", self.name));
                    return self.leave(world);
                }
                Parsed::Whole(reply) => reply,
            };
            self.inbox.drain(..reply.length);
            if reply.status() < 200 {
                if world.exchange(id).answer.interims == 0
                    && world.exchange(id).is_behaved
                    && world.exchange(id).answer.fault != Some(super::exchange::Fault::Flood)
                {
                    world.accuse(format!("#{id} got an interim reply that nobody sent"));
                }
                continue;
            }
            self.asked.pop_front();
            let exchange = world.exchange(id);
            // Who is answered while it speaks may not have been heard to the end.
            let is_early = exchange.answer.is_early || exchange.answer.fault.is_some();
            self.is_last |=
                reply.closes() || exchange.ask.is_old || (is_early && exchange.ask.length > 0);
            world.replied(id, &reply);
            if let Some(&next) = self.asked.front() {
                world.exchange(next).turn = world.now;
            }
            if self.is_last {
                return self.part(world);
            }
            if world.draw.chance(20) && self.wake <= world.now {
                self.wake = world.now + world.draw.below(1_200);
            }
        }
        if !self.inbox.is_empty() && !ended && !matches!(self.manner, Manner::Mad | Manner::Slow) {
            world.accuse(format!("c{} is told what it has not asked for", self.name));
            self.leave(world);
        }
    }

    /// The connection is over: what was asked on it gets no reply any more.
    fn part(&mut self, world: &mut World) {
        world.say(format!("c{} is parted from, {} bytes unused", self.name, self.inbox.len()));
        let mut is_first = true;
        while let Some(id) = self.asked.pop_front() {
            let outcome = match (self.is_last, is_first && !self.inbox.is_empty()) {
                (true, _) => Outcome::Abandoned,
                (false, true) => Outcome::Cut,
                (false, false) if is_first => Outcome::Nothing,
                (false, false) => Outcome::Abandoned,
            };
            is_first = false;
            world.end(id, outcome);
        }
        self.stream = None;
        self.inbox.clear();
        self.out.clear();
        self.is_done = self.asks.is_empty() || !matches!(self.manner, Manner::Good(_));
        self.wake = world.now + world.draw.below(60);
    }

    /// Goes away by itself.
    fn leave(&mut self, world: &mut World) {
        world.say(format!("c{} leaves", self.name));
        while let Some(id) = self.asked.pop_front() {
            world.end(id, Outcome::Abandoned);
        }
        self.stream = None;
        self.is_done = true;
    }

    /// Once it has all it asked for, it stays for a while.
    fn rest(&mut self, world: &mut World) -> bool {
        let has_all = self.asked.is_empty() && self.out.is_empty();
        let has_more = !self.asks.is_empty() && self.manner != Manner::Mute;
        if self.stream.is_none() || !has_all || has_more {
            return false;
        }
        if !self.is_resting {
            self.is_resting = true;
            self.wake = world.now + if world.draw.chance(30) { world.draw.below(7_000) } else { 0 };
            return self.wake == world.now;
        }
        self.leave(world);
        true
    }
}

impl Manner {
    fn good(draw: &mut Draw) -> Self {
        match draw.below(10) {
            0 | 1 => Self::Dripping(draw.between(4, 60) as usize, draw.between(1, 40)),
            2 => Self::Closing,
            3 | 4 => Self::Good(draw.between(2, 5) as usize),
            _ => Self::Good(1),
        }
    }

    fn bad(draw: &mut Draw) -> Self {
        match draw.below(9) {
            0 | 1 => Self::Leaving(draw.between(1, 400) as usize),
            2 => Self::Leaving(draw.between(400, 90_000) as usize),
            3 | 4 => Self::Sated(draw.between(1, 60_000) as usize),
            5 => Self::Deaf,
            6 => Self::Slow,
            7 => Self::Mad,
            _ => Self::Mute,
        }
    }
}
