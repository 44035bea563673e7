//! An origin whose manners can be changed while it runs.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use crate::{Call, Origin, eventually::linger, origin::ok};

/// An origin that follows its dial.
#[derive(Debug)]
pub struct Fickle {
    /// What it does from now on.
    pub dial: Arc<Dial>,
    address: SocketAddr,
    origin: Option<Origin>,
}

/// How an origin answers. A coin with a seed is thrown for each reply.
#[derive(Debug, Default)]
pub struct Dial {
    failing: AtomicU32,
    slow: AtomicU64,
    hangs: AtomicBool,
    gone: AtomicBool,
    thrown: AtomicU64,
    seed: u64,
}

impl Fickle {
    /// Answers every request with `name`, for now.
    #[must_use]
    pub fn start(name: &str, seed: u64) -> Self {
        let dial = Arc::new(Dial { seed, ..Dial::default() });
        let (theirs, reply) = (dial.clone(), ok(name));
        let origin = Origin::start(move |call, _| serve(call, &theirs, &reply));
        Self { dial, address: origin.address(), origin: Some(origin) }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Dies: who connects is refused, and who is connected gets no answer.
    pub fn die(&mut self) {
        self.dial.gone.store(true, SeqCst);
        self.origin = None;
    }
}

impl Dial {
    /// So many of a thousand requests are answered with 500.
    pub fn fail(&self, of_a_thousand: u32) {
        self.failing.store(of_a_thousand, SeqCst);
    }

    /// Every answer takes so long, at the least.
    pub fn slow_down(&self, time: Duration) {
        self.slow.store(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), SeqCst);
    }

    /// Nobody is answered any more.
    pub fn hang(&self) {
        self.hangs.store(true, SeqCst);
    }

    /// Requests that a coin was thrown for.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.thrown.load(SeqCst)
    }

    fn fails(&self) -> bool {
        let number = self.thrown.fetch_add(1, SeqCst);
        mixed(self.seed ^ number) % 1000 < u64::from(self.failing.load(SeqCst))
    }
}

fn serve(call: &mut Call, dial: &Dial, reply: &[u8]) -> io::Result<()> {
    while call.skip_request()? {
        if dial.gone.load(SeqCst) {
            break;
        }
        if dial.hangs.load(SeqCst) {
            call.drain();
            break;
        }
        linger(Duration::from_micros(dial.slow.load(SeqCst)));
        if dial.fails() {
            call.reply("HTTP/1.1 500 Broken\r\ncontent-length: 6\r\n\r\nbroken")?;
        } else {
            call.reply(reply)?;
        }
    }
    Ok(())
}

/// The bits of a number, well shaken.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
