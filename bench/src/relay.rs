//! The floor: a relay of bytes that looks at none of them.
//!
//! What it costs is what the kernel takes for two sockets; a proxy cannot be cheaper without
//! asking the kernel for less.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use crate::origin::BACKLOG;
use crate::poll::{Interest, Poller, Token};

/// A listening relay and its pairs. Slot `n` is relayed to slot `n ^ 1`.
#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    to: SocketAddr,
    halves: Vec<Option<Half>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Half {
    stream: TcpStream,
    /// What the other half sent and this one's socket had no room for.
    unsent: Vec<u8>,
}

impl Relay {
    /// Listens on `address`; every connection gets one of its own to `to`.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn listen(address: SocketAddr, to: SocketAddr, poller: &Poller) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        poller.add(&listener, Token::RelayAccept, Interest::Read)?;
        Ok(Self { listener, to, halves: Vec::new(), free: Vec::new() })
    }

    /// Lets whoever `token` names get on.
    pub fn turn(&mut self, token: Token, poller: &Poller, buffer: &mut [u8]) {
        match token {
            Token::Relay(slot) => self.relay(slot, poller, buffer),
            Token::RelayAccept => self.accept(poller),
            Token::OriginAccept
            | Token::Origin(_)
            | Token::ShadowAccept
            | Token::Shadow(_)
            | Token::Load(_) => {}
        }
    }

    fn accept(&mut self, poller: &Poller) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Ok((client, _)) = self.listener.accept() else { return };
            if self.halves.len() >= HALVES_MAX && self.free.is_empty() {
                return;
            }
            let Ok(origin) = TcpStream::connect(self.to) else { continue };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.halves.push(None);
                self.halves.push(None);
                u32::try_from(self.halves.len() - 2).expect("bounded by HALVES_MAX")
            });
            for (slot, stream) in [(slot, client), (slot + 1, origin)] {
                let ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
                if ready
                    .and_then(|()| poller.add(&stream, Token::Relay(slot), Interest::Read))
                    .is_ok()
                {
                    self.halves[slot as usize] = Some(Half { stream, unsent: Vec::new() });
                }
            }
        }
    }

    fn relay(&mut self, slot: u32, poller: &Poller, buffer: &mut [u8]) {
        let pair = self.halves.get_mut((slot & !1) as usize..=(slot | 1) as usize);
        let Some([Some(first), Some(second)]) = pair else { return };
        let (from, to) = if slot & 1 == 0 { (first, second) } else { (second, first) };
        let outcome = if from.unsent.is_empty() {
            forward(from, to, buffer).and_then(|()| {
                if to.unsent.is_empty() {
                    return Ok(());
                }
                // Until `to` has room, nothing more is read from `from`.
                poller.modify(&to.stream, Token::Relay(slot ^ 1), Interest::Write)
            })
        } else {
            flush(from).and_then(|()| {
                if !from.unsent.is_empty() {
                    return Ok(());
                }
                poller.modify(&from.stream, Token::Relay(slot), Interest::Read)
            })
        };
        if outcome.is_err() {
            self.halves[(slot & !1) as usize] = None;
            self.halves[(slot | 1) as usize] = None;
            self.free.push(slot & !1);
        }
    }
}

fn forward(from: &mut Half, to: &mut Half, buffer: &mut [u8]) -> io::Result<()> {
    if !to.unsent.is_empty() {
        return Ok(());
    }
    let count = match from.stream.read(buffer) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error),
    };
    let written = match to.stream.write(&buffer[..count]) {
        Ok(written) => written,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    to.unsent.extend_from_slice(&buffer[written..count]);
    Ok(())
}

fn flush(half: &mut Half) -> io::Result<()> {
    match half.stream.write(&half.unsent) {
        Ok(count) => drop(half.unsent.drain(..count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

const ACCEPTS_PER_TURN: usize = 64;
/// Two for each connection.
const HALVES_MAX: usize = 8192;
