//! The admin API: where it answers, and who may do what.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use super::{KeyPair, Material, Name, Written};

/// The admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Path of the unix socket. Needs a restart to change.
    pub socket: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Its group, if set.
    pub group: Option<Arc<str>>,
    /// An address that answers too, if set. Needs a restart to change.
    pub listen: Option<SocketAddr>,
    /// What whoever comes over TCP may do who has nothing to show, where nothing has to be shown.
    pub listen_role: Option<Role>,
    /// Names, lower case, that a request's Host may have beside those of this machine.
    pub hosts: Vec<Arc<str>>,
    /// Whether only reading is allowed.
    pub read_only: bool,
    /// TLS of [`Admin::listen`], if it is spoken.
    pub tls: Option<AdminTls>,
    /// Tokens; with any, nobody gets in over TCP who has nothing to show.
    pub tokens: Vec<AdminToken>,
    /// Whose certificates are for more or less than others.
    pub clients: Vec<AdminClient>,
    /// Users of this machine who may do less than everything over the socket.
    pub users: Vec<AdminUser>,
    /// Where it is written down who did what.
    pub audit: Audit,
}

/// What somebody may do, each with all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Read,
    /// Move rollouts, splits and flags, mark noise.
    Rollout,
    /// Reload, record, open logs anew.
    Config,
    /// Upgrade and stop.
    Admin,
}

impl Role {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Rollout => "rollout",
            Self::Config => "config",
            Self::Admin => "admin",
        }
    }
}

/// TLS towards those who administer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTls {
    /// What it shows.
    pub pair: KeyPair,
    /// PEM: the roots of callers' certificates, if they show any.
    pub client_ca: Option<Material>,
    /// What a caller may do whose certificate no [`AdminClient`] names.
    pub client_role: Option<Role>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// What its bearer is called.
    pub name: Name,
    /// What its bearer may do.
    pub role: Role,
    /// Its SHA-256. It is kept nowhere itself.
    pub sha256: [u8; 32],
    /// Where it lies, absolute.
    pub file: PathBuf,
    /// Where the configuration names it.
    pub place: Written,
}

/// A caller's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminClient {
    /// What the caller is called.
    pub name: Name,
    /// What the caller may do.
    pub role: Role,
    /// Which certificate it is.
    pub shows: Shows,
}

/// Which certificate a caller shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// One of this subject, as RFC 4514 writes it: `CN=ann,O=Example`.
    Subject(Arc<str>),
    /// One with this among its other names: `DNS:ops.example`, `URI:spiffe://example/ops`.
    San(Arc<str>),
}

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUser {
    /// Name or number.
    pub name: Name,
    /// What they may do over the socket.
    pub role: Role,
}

/// Where it is written down who did what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audit {
    /// `audit.log` in the folder of the state, if there is one.
    State,
    /// In our own log alone.
    Off,
    /// This file, opened for appending and again at SIGUSR1.
    File(PathBuf),
}
