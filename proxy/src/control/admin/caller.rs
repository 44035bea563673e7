//! Who asks, and what they may do.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::http::{HeaderMap, header};

use super::refusals::Reason;
use crate::{
    control::{
        api::series::Role,
        gate::{Gate, Known},
    },
    tls::identity::ClientIdentity,
};

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// Over the socket, as this user.
    User(u32),
    /// Over the socket; the kernel did not say as whom.
    Unknown,
    /// Over TCP.
    Tcp(Remote),
}

/// The other end of a TCP connection.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Whether it came to a loopback address.
    pub(crate) is_local: bool,
    /// The certificate that it has shown and that was verified.
    pub(crate) certificate: Option<Arc<ClientIdentity>>,
}

impl Peer {
    /// Whether it is over TCP, where the socket file's rights protect nothing.
    pub(super) const fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Where from, over TCP.
    pub(super) const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(remote) => Some(remote.address),
            Self::User(_) | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "uid {uid}"),
            Self::Unknown => f.write_str("socket"),
            Self::Tcp(remote) => remote.address.fmt(f),
        }
    }
}

/// Who asks, once that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Caller {
    /// As the audit log has it.
    pub(in crate::control) name: Arc<str>,
    /// What they may do.
    pub(in crate::control) role: Role,
}

impl Caller {
    /// Whoever is at a connection's other end, by what they show.
    pub(super) fn of(peer: &Peer, headers: &HeaderMap, gate: &Gate) -> Result<Self, Reason> {
        let remote = match peer {
            Peer::User(uid) => return Ok(Self::called(peer, gate.user(Some(*uid)))),
            Peer::Unknown => return Ok(Self::called(peer, gate.user(None))),
            Peer::Tcp(remote) => remote,
        };
        if gate.has_tokens()
            && let Some(said) = bearer(headers)
        {
            return gate.token(said).map(Self::from).ok_or(Reason::Token);
        }
        if let Some(shown) = &remote.certificate {
            return gate.client(shown).map(Self::from).ok_or(Reason::Certificate);
        }
        // A reload may have taken away what the address needs.
        if gate.asks() || !remote.is_local {
            return Err(Reason::Nothing);
        }
        gate.listen_role().map(|role| Self::called(peer, role)).ok_or(Reason::Nothing)
    }

    /// Somebody of whom no more is known.
    fn called(peer: &Peer, role: Role) -> Self {
        Self { name: peer.to_string().into(), role }
    }

    /// The same where only reading is allowed.
    pub(super) fn reading(self) -> Self {
        Self { role: self.role.min(Role::Read), ..self }
    }
}

impl From<Known> for Caller {
    fn from(Known { name, role }: Known) -> Self {
        Self { name: name.into(), role }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The token that is shown.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let said = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = said.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}
