//! A level-triggered `epoll`, told apart by tokens.

use std::{io, os::fd::AsFd, os::fd::OwnedFd, time::Duration};

use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
};

/// Whose event it is, and of which of its slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// The origin's listening socket.
    OriginAccept,
    /// A connection of the origin.
    Origin(u32),
    /// The listening socket of the shadow's origin.
    ShadowAccept,
    /// A connection of the shadow's origin.
    Shadow(u32),
    /// A connection of the load.
    Load(u32),
    /// The relay's listening socket.
    RelayAccept,
    /// One half of a relayed pair.
    Relay(u32),
}

impl Token {
    fn pack(self) -> u64 {
        match self {
            Self::OriginAccept => 0,
            Self::Origin(slot) => 1 << 32 | u64::from(slot),
            Self::Load(slot) => 2 << 32 | u64::from(slot),
            Self::RelayAccept => 3 << 32,
            Self::Relay(slot) => 4 << 32 | u64::from(slot),
            Self::ShadowAccept => 5 << 32,
            Self::Shadow(slot) => 6 << 32 | u64::from(slot),
        }
    }

    fn unpack(packed: u64) -> Self {
        let slot = u32::try_from(packed & u64::from(u32::MAX)).expect("masked to 32 bits");
        match packed >> 32 {
            0 => Self::OriginAccept,
            1 => Self::Origin(slot),
            2 => Self::Load(slot),
            3 => Self::RelayAccept,
            4 => Self::Relay(slot),
            5 => Self::ShadowAccept,
            _ => Self::Shadow(slot),
        }
    }
}

/// What a socket is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read.
    Read,
    /// Room to write; reading waits, which is how a slow reader slows its sender.
    Write,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN,
            Self::Write => EventFlags::OUT,
        }
    }
}

/// An `epoll` instance.
#[derive(Debug)]
pub struct Poller {
    fd: OwnedFd,
}

impl Poller {
    /// A fresh instance.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Watches `source`.
    ///
    /// # Errors
    /// When the kernel refuses, for instance for want of descriptors.
    pub fn add(&self, source: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        let data = EventData::new_u64(token.pack());
        Ok(epoll::add(&self.fd, source, data, interest.flags())?)
    }

    /// Watches `source` for something else from now on.
    ///
    /// # Errors
    /// When `source` is not watched.
    pub fn modify(&self, source: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        let data = EventData::new_u64(token.pack());
        Ok(epoll::modify(&self.fd, source, data, interest.flags())?)
    }

    /// Waits up to `timeout` and puts what happened into `ready`.
    ///
    /// # Errors
    /// When the kernel refuses; an interrupted wait is no error.
    pub fn wait(&self, ready: &mut Ready, timeout: Duration) -> io::Result<()> {
        ready.events.clear();
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let room = rustix::buffer::spare_capacity(&mut ready.events);
        match epoll::wait(&self.fd, room, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }
}

/// Room for events, kept from wait to wait.
pub struct Ready {
    events: Vec<Event>,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.tokens()).finish()
    }
}

impl Default for Ready {
    fn default() -> Self {
        Self { events: Vec::with_capacity(EVENTS_PER_WAIT) }
    }
}

impl Ready {
    /// Whose events they are. Errors and hang-ups are found by reading or writing.
    pub fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.events.iter().map(|event| {
            let data = event.data;
            Token::unpack(data.u64())
        })
    }
}

/// Enough for every connection of the largest scenario to be ready at once.
const EVENTS_PER_WAIT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        for token in [
            Token::OriginAccept,
            Token::Origin(7),
            Token::Load(u32::MAX),
            Token::RelayAccept,
            Token::Relay(0),
            Token::ShadowAccept,
            Token::Shadow(9),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
