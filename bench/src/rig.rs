//! One thread that is the origin, the load, or both.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use rustix::thread::set_current_timer_slack;

use crate::{
    load::{Load, Plan, Seen},
    origin::{Origin, Role},
    poll::{Poller, Ready, Token},
    relay::Relay,
};

/// The loop and whoever takes part in it.
#[derive(Debug)]
pub struct Rig {
    poller: Poller,
    ready: Ready,
    buffer: Vec<u8>,
    origin: Option<Origin>,
    shadow: Option<Origin>,
    relay: Option<Relay>,
}

/// What a measured stretch yielded.
#[derive(Debug)]
pub struct Stretch {
    /// What the load saw.
    pub seen: Seen,
    /// How long it was measured.
    pub lasted: Duration,
    /// Copies that the shadow's origin answered meanwhile.
    pub copies: u64,
}

impl Rig {
    /// A loop in which nobody takes part yet.
    ///
    /// # Errors
    /// When the kernel refuses an `epoll`.
    pub fn new() -> io::Result<Self> {
        let buffer = vec![0; BUFFER_BYTES];
        let poller = Poller::new()?;
        let ready = Ready::default();
        Ok(Self { poller, ready, buffer, origin: None, shadow: None, relay: None })
    }

    /// Lets an origin listen on `address`.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn with_origin(mut self, address: SocketAddr) -> io::Result<Self> {
        self.origin = Some(Origin::listen(address, Role::Primary, &self.poller)?);
        Ok(self)
    }

    /// Lets the origin of a shadow listen on `address`; if it `hangs`, it answers nobody.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn with_shadow(mut self, address: SocketAddr, hangs: bool) -> io::Result<Self> {
        let role = if hangs { Role::Hung } else { Role::Shadow };
        self.shadow = Some(Origin::listen(address, role, &self.poller)?);
        Ok(self)
    }

    /// Lets a relay listen on `address`.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn with_relay(mut self, address: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        self.relay = Some(Relay::listen(address, to, &self.poller)?);
        Ok(self)
    }

    /// How many requests the origin has answered.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.origin.as_ref().map_or(0, Origin::served)
    }

    /// How many copies the shadow's origin has answered.
    fn copies(&self) -> u64 {
        self.shadow.as_ref().map_or(0, Origin::served)
    }

    /// Serves for `lasting`.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn serve(&mut self, lasting: Duration) -> io::Result<()> {
        self.run(None, lasting)
    }

    /// Connects, warms up, and measures for `lasting`. `edge` is called as the measured stretch
    /// begins and as it ends.
    ///
    /// # Errors
    /// When connecting or waiting fails.
    pub fn measure(
        &mut self,
        plan: Plan,
        warm_up: Duration,
        lasting: Duration,
        edge: &mut dyn FnMut(),
    ) -> io::Result<Stretch> {
        // An open load is as exact as its alarm clock. Processes started later would inherit that.
        let exact = plan.rate.and_then(|_| NonZeroU64::new(1));
        let _ = set_current_timer_slack(exact);
        let mut load = self.begin(plan)?;
        self.run(Some(&mut load), warm_up)?;
        load.forget();
        edge();
        let copies = self.copies();
        let began = Instant::now();
        self.run(Some(&mut load), lasting)?;
        let lasted = began.elapsed();
        let copies = self.copies() - copies;
        edge();
        let within = load.seen().clone();
        self.end(&mut load)?;
        let _ = set_current_timer_slack(None);
        // Answers after the end have their latency counted, and not their number.
        let mut seen = load.seen().clone();
        seen.requests = within.requests;
        seen.bytes = within.bytes;
        Ok(Stretch { seen, lasted, copies })
    }

    /// Does what `plan` says until something is answered.
    ///
    /// # Errors
    /// When connecting or waiting fails.
    pub fn once(&mut self, plan: Plan, at_most: Duration) -> io::Result<Seen> {
        let mut load = self.begin(plan)?;
        let end = Instant::now() + at_most;
        while load.seen().requests == 0 && load.seen().errors == 0 && Instant::now() < end {
            self.run(Some(&mut load), GLANCE)?;
        }
        Ok(load.seen().clone())
    }

    /// Serves, and lets `load` go on, until `done` says so or `at_most` is over.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn run_until(
        &mut self,
        load: &mut Load,
        at_most: Duration,
        done: &mut dyn FnMut() -> bool,
    ) -> io::Result<Duration> {
        let began = Instant::now();
        while began.elapsed() < at_most && !done() {
            self.run(Some(&mut *load), GLANCE)?;
        }
        Ok(began.elapsed())
    }

    /// Connects and begins to ask.
    ///
    /// # Errors
    /// When connecting fails.
    pub fn begin(&mut self, plan: Plan) -> io::Result<Load> {
        let mut load = Load::connect(plan, &self.poller)?;
        load.start(&self.poller);
        Ok(load)
    }

    /// Asks nothing more, and charges what is not answered in time.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn end(&mut self, load: &mut Load) -> io::Result<()> {
        load.stop();
        self.drain(load)?;
        load.give_up();
        Ok(())
    }

    fn drain(&mut self, load: &mut Load) -> io::Result<()> {
        for _ in 0..DRAIN_TURNS {
            if load.outstanding() == 0 || load.is_hopeless() {
                break;
            }
            self.run(Some(&mut *load), DRAIN_TURN)?;
        }
        Ok(())
    }

    fn run(&mut self, mut load: Option<&mut Load>, lasting: Duration) -> io::Result<()> {
        let end = Instant::now() + lasting;
        loop {
            let now = Instant::now();
            if now >= end || load.as_ref().is_some_and(|load| load.is_hopeless()) {
                return Ok(());
            }
            let wake_in = load.as_ref().and_then(|load| load.wake_in(now));
            let timeout = wake_in.unwrap_or(WAIT_MAX).min(end - now).min(WAIT_MAX);
            self.poller.wait(&mut self.ready, timeout)?;
            for token in self.ready.tokens() {
                match token {
                    Token::Origin(slot) => {
                        if let Some(origin) = &mut self.origin {
                            origin.turn(slot, &self.poller, &mut self.buffer);
                        }
                    }
                    Token::Load(slot) => {
                        if let Some(load) = &mut load {
                            load.turn(slot, &self.poller, &mut self.buffer);
                        }
                    }
                    Token::OriginAccept => {
                        if let Some(origin) = &mut self.origin {
                            origin.accept(&self.poller);
                        }
                    }
                    Token::Shadow(slot) => {
                        if let Some(shadow) = &mut self.shadow {
                            shadow.turn(slot, &self.poller, &mut self.buffer);
                        }
                    }
                    Token::ShadowAccept => {
                        if let Some(shadow) = &mut self.shadow {
                            shadow.accept(&self.poller);
                        }
                    }
                    Token::RelayAccept | Token::Relay(_) => {
                        if let Some(relay) = &mut self.relay {
                            relay.turn(token, &self.poller, &mut self.buffer);
                        }
                    }
                }
            }
            if let Some(load) = &mut load {
                load.catch_up(&self.poller);
            }
        }
    }
}

/// Holds a response of 100 KiB whole.
const BUFFER_BYTES: usize = 256 << 10;
/// How exactly the end of something else is known.
const GLANCE: Duration = Duration::from_millis(1);
/// The clock is looked at this often even if nothing happens.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// A second in all for answers that are still on their way.
const DRAIN_TURNS: usize = 50;
const DRAIN_TURN: Duration = Duration::from_millis(20);
