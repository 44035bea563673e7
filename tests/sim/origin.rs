//! A simulated endpoint of an origin: what it makes of what it is asked.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
};

use super::{
    exchange::{Fault, Outcome},
    hooks,
    message::{self, Kind, Message, Parsed},
    world::World,
};

pub(super) struct Endpoint {
    pub(super) name: usize,
    pub(super) version: &'static str,
    path: PathBuf,
    listener: Option<UnixListener>,
    connections: Vec<Connection>,
    made: usize,
}

struct Connection {
    name: String,
    stream: UnixStream,
    inbox: Vec<u8>,
    /// The exchange whose head has come.
    current: Option<u32>,
    /// Whether the rest of its request may come still.
    is_reading: bool,
    /// Whether its reply has gone all the same.
    has_replied: bool,
    doing: Doing,
    rude: Option<Rude>,
    is_over: bool,
}

/// What the proxy cannot know beforehand.
#[derive(Clone, Copy)]
struct Rude {
    at: u64,
    /// It closes; else it says what nobody asked for.
    closes: bool,
}

enum Doing {
    Listening,
    Thinking {
        until: u64,
    },
    Replying {
        out: Vec<u8>,
        at: usize,
        end: usize,
        next: u64,
    },
    /// Never again.
    Nothing,
}

impl Endpoint {
    pub(super) fn new(name: usize, version: &'static str, path: PathBuf) -> Self {
        let mut endpoint =
            Self { name, version, path, listener: None, connections: Vec::new(), made: 0 };
        endpoint.open();
        endpoint
    }

    fn open(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let listener = UnixListener::bind(&self.path).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.listener = Some(listener);
    }

    pub(super) fn begin(&mut self, world: &mut World) {
        world.say(format!("o{} is up", self.name));
        self.open();
    }

    /// Refuses whoever comes, and leaves those who are there.
    pub(super) fn end(&mut self, world: &mut World) {
        world.say(format!("o{} is down", self.name));
        self.listener = None;
        self.connections.clear();
    }

    /// Whether it answers those who dial it.
    pub(super) fn answer(&self, world: &mut World, answers: bool) {
        world.say(format!("o{} answers those who dial: {answers}", self.name));
        hooks::answer(&self.path, answers);
    }

    pub(super) fn wake(&self, now: u64) -> Option<u64> {
        self.connections
            .iter()
            .filter_map(|connection| connection.wake())
            .filter(|&at| at > now)
            .min()
    }

    /// Connections that the proxy holds open.
    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn step(&mut self, world: &mut World) -> bool {
        let mut moved = false;
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            stream.set_nonblocking(true).unwrap();
            let name = format!("o{}.{}", self.name, self.made);
            self.made += 1;
            world.say(format!("{name} is dialled"));
            self.connections.push(Connection::new(name, stream));
            moved = true;
        }
        for place in world.draw.order(self.connections.len()) {
            moved |= self.connections[place].step(world, self.version);
        }
        self.connections.retain(|connection| !connection.is_over);
        moved
    }
}

impl Connection {
    fn new(name: String, stream: UnixStream) -> Self {
        Self {
            name,
            stream,
            inbox: Vec::new(),
            current: None,
            is_reading: true,
            has_replied: false,
            doing: Doing::Listening,
            rude: None,
            is_over: false,
        }
    }

    fn busy_until(&self) -> Option<u64> {
        match self.doing {
            Doing::Thinking { until } => Some(until),
            Doing::Replying { next, .. } => Some(next),
            Doing::Listening | Doing::Nothing => None,
        }
    }

    /// When it does something by itself again.
    fn wake(&self) -> Option<u64> {
        let rude = self.rude.map(|rude| rude.at);
        [self.busy_until(), rude].into_iter().flatten().min()
    }

    fn step(&mut self, world: &mut World, version: &str) -> bool {
        let read = self.read(world);
        if self.is_over {
            return true;
        }
        if let Some(rude) = self.rude.take_if(|rude| rude.at <= world.now) {
            self.be_rude(world, rude.closes);
            return true;
        }
        let is_due = self.busy_until().is_none_or(|at| at <= world.now);
        let acted = match self.doing {
            Doing::Thinking { .. } if is_due => self.begin_reply(world, version),
            Doing::Replying { .. } if is_due => self.write(world),
            _ => false,
        };
        read || acted
    }

    fn read(&mut self, world: &mut World) -> bool {
        let mut room = vec![0; world.draw.pick(&[1_000, 70_000])];
        match self.stream.read(&mut room) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Ok(0) | Err(_) => {
                world.say(format!("{} is left, {} bytes unused", self.name, self.inbox.len()));
                self.is_over = true;
            }
            Ok(count) => {
                world.say(format!("{} reads {count}", self.name));
                self.inbox.extend_from_slice(&room[..count]);
                self.understand(world);
            }
        }
        true
    }

    fn understand(&mut self, world: &mut World) {
        if matches!(self.doing, Doing::Nothing) {
            return self.inbox.clear();
        }
        if self.current.is_none() {
            let Some(head) = message::head(&self.inbox) else { return };
            self.meet(world, &head);
        }
        let Some(id) = self.current.filter(|_| self.is_reading && !self.is_over) else {
            if !self.inbox.is_empty() && !self.is_over {
                world.accuse(format!("{} gets bytes behind a request", self.name));
            }
            return;
        };
        let request = match message::parse(&self.inbox, Kind::Request, false) {
            Parsed::More => return,
            Parsed::Bad(why) => return world.accuse(format!("{} reads {why}", self.name)),
            Parsed::Whole(request) => request,
        };
        self.inbox.drain(..request.length);
        self.is_reading = false;
        let is_next = std::mem::take(&mut self.has_replied);
        if is_next {
            self.current = None;
        }
        let ask = world.exchange(id).ask;
        if request.body != message::content(id, 'q', ask.length) {
            world.accuse(format!(
                "{} gets {} other bytes for #{id}",
                self.name,
                request.body.len()
            ));
        }
        let exchange = world.exchange(id);
        let is_first = exchange.arrivals == 1;
        match exchange.answer.fault {
            Some(Fault::Drop { .. }) if is_first => self.drop_it(world, id),
            _ if matches!(self.doing, Doing::Listening) && self.current.is_some() => {
                self.doing = Doing::Thinking { until: world.now + world.exchange(id).answer.delay };
            }
            _ => {}
        }
        if is_next && !self.inbox.is_empty() {
            self.understand(world);
        }
    }

    /// A head has come.
    fn meet(&mut self, world: &mut World, head: &Message) {
        let id = head.number("x-sim").and_then(|id| u32::try_from(id).ok());
        let Some(id) = id.filter(|&id| (id as usize) < world.exchanges.len()) else {
            world.accuse(format!("{} gets a request that nobody made", self.name));
            self.is_over = true;
            return;
        };
        world.say(format!("{} gets #{id}", self.name));
        self.current = Some(id);
        self.is_reading = true;
        let now = world.now;
        let exchange = world.exchange(id);
        exchange.arrivals += 1;
        let (arrivals, is_safe) = (exchange.arrivals, exchange.is_idempotent());
        let is_first = arrivals == 1;
        let (answer, method) = (exchange.answer, exchange.ask.method);
        let is_answered =
            matches!(exchange.outcome, Some(Outcome::Replied(_) | Outcome::Refused(_)));
        if is_answered && exchange.is_behaved {
            world.accuse(format!("#{id} arrives though it is over"));
        }
        if arrivals > 1 && !is_safe || arrivals > super::ATTEMPTS_MAX {
            world.accuse(format!("#{id} {method} arrives {arrivals} times"));
        }
        match answer.fault {
            Some(Fault::Drop { at_head: true }) if is_first => self.drop_it(world, id),
            _ if answer.is_early => self.doing = Doing::Thinking { until: now },
            _ => {}
        }
    }

    fn drop_it(&mut self, world: &mut World, id: u32) {
        world.say(format!("{} drops #{id}", self.name));
        world.exchange(id).is_wronged = true;
        self.is_over = true;
    }

    fn begin_reply(&mut self, world: &mut World, version: &str) -> bool {
        let Some(id) = self.current else { return false };
        let exchange = world.exchange(id);
        let mut out = exchange.reply(version);
        let (answer, is_first) = (exchange.answer, exchange.arrivals == 1);
        let mut end = out.len();
        let fault = answer.fault.filter(|_| is_first);
        match fault {
            Some(Fault::Cut(share)) => end = (out.len() * share as usize / 1000).min(end - 1),
            Some(Fault::Garbage) => {
                out = b"SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_vec();
                end = out.len();
            }
            Some(Fault::Flood) => {
                out = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40);
                end = out.len();
            }
            Some(Fault::Two(0)) => out.extend_from_slice(JUNK),
            _ => {}
        }
        if let Some(Fault::Two(0)) = fault {
            end = out.len();
        }
        if let Some(Fault::Cut(_) | Fault::Garbage | Fault::Flood | Fault::Hang | Fault::Drip) =
            fault
        {
            world.exchange(id).is_wronged = true;
            if world.is_tight {
                // Whoever waits for its connection suffers as well.
                world.excuse(world.now + super::REQUEST_MILLIS);
            }
        }
        world.say(format!("{} replies to #{id} with {end} bytes, {fault:?}", self.name));
        self.doing = match fault {
            Some(Fault::Hang) => Doing::Nothing,
            _ => Doing::Replying { out, at: 0, end, next: world.now },
        };
        true
    }

    fn write(&mut self, world: &mut World) -> bool {
        let Some(id) = self.current else { return false };
        let exchange = world.exchange(id);
        let (answer, is_first) = (exchange.answer, exchange.arrivals == 1);
        let is_drip = is_first && answer.fault == Some(Fault::Drip);
        let (most, pause) = if is_drip { (1, 30) } else { answer.pace };
        // Later, what nobody asked for could come in the middle of the next exchange.
        let is_double = is_first && answer.fault == Some(Fault::Two(0));
        let (most, pause) = if is_double { (usize::MAX, 0) } else { (most, pause) };
        let Doing::Replying { out, at, end, next } = &mut self.doing else { return false };
        let stop = at.saturating_add(most).min(*end);
        if stop > *at {
            match self.stream.write(&out[*at..stop]) {
                Ok(count) => {
                    *at += count;
                    *next = world.now + pause;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => {
                    world.say(format!("{} can't reply: {:?}", self.name, error.kind()));
                    self.is_over = true;
                    return true;
                }
            }
        }
        if at == end {
            self.replied(world, id);
        }
        true
    }

    fn replied(&mut self, world: &mut World, id: u32) {
        let exchange = world.exchange(id);
        let answer = exchange.answer;
        let fault = answer.fault.filter(|_| exchange.arrivals == 1);
        let is_closing = matches!(fault, Some(Fault::Cut(_) | Fault::Garbage | Fault::Flood));
        world.say(format!("{} has replied to #{id}", self.name));
        self.doing = Doing::Listening;
        self.rude = match fault {
            Some(Fault::Leave(pause)) => Some(Rude { at: world.now + pause, closes: true }),
            Some(Fault::Two(pause)) if pause > 0 => {
                Some(Rude { at: world.now + pause, closes: false })
            }
            _ => None,
        };
        self.is_over = answer.closes || is_closing;
        // Closed with bytes unread, a connection is reset, and the reply with it.
        world.exchange(id).is_wronged |= self.is_over && self.is_reading;
        // Who has replied early reads the rest all the same.
        self.has_replied = self.is_reading;
        if !self.has_replied {
            self.current = None;
        }
    }

    fn be_rude(&mut self, world: &mut World, closes: bool) {
        if closes {
            world.say(format!("{} leaves without a word", self.name));
            world.excuse(world.now);
            if let Some(id) = self.current {
                world.exchange(id).is_wronged = true;
            }
            self.is_over = true;
        } else if self.current.is_none() && self.inbox.is_empty() {
            world.say(format!("{} says what nobody asked for", self.name));
            let _ = self.stream.write(JUNK);
            // Who sends at this very moment could not know.
            world.is_hushed = true;
        }
    }
}

/// A reply that nobody has asked for.
const JUNK: &[u8] = b"HTTP/1.1 200 OK\r\nX-Sim: 999999\r\nContent-Length: 4\r\n\r\njunk";
