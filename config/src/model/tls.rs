//! TLS: which files say who we are and whom we believe, with what they held when they were read.

use std::{path::PathBuf, sync::Arc};

use super::Secret;
use crate::problem::Place;

/// A file with certificates, a key or a staple, as it was read with the configuration: whether what
/// it holds can be used, nobody has looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// What it held.
    pub content: Secret,
    /// Its permission bits.
    pub mode: u32,
    /// Where the configuration names it.
    pub place: Written,
}

/// Where something is written. Two configurations do not differ by it.
#[derive(Clone, Copy, Default)]
pub struct Written(pub Place);

impl std::fmt::Debug for Written {
    /// Nothing of it: what is shown of two configurations that mean the same is the same.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Written")
    }
}

impl PartialEq for Written {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Written {}

/// A chain of certificates with the key of its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// PEM: the certificate, then those that lead to a root.
    pub cert: Material,
    /// PEM: its private key.
    pub key: Material,
    /// DER: what the issuer's OCSP responder said of it, if it is to be stapled.
    pub ocsp: Option<Material>,
}

/// Oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// 1.2, RFC 5246.
    V12,
    /// 1.3, RFC 8446.
    V13,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// At least one, chosen by the names in them; the first is for everybody else.
    pub certs: Vec<KeyPair>,
    /// The oldest version spoken.
    pub min: TlsVersion,
    /// Whose certificates clients show, if they are asked for one.
    pub clients: Option<ClientCerts>,
}

/// Which certificates of clients are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCerts {
    /// PEM: the roots.
    pub ca: Material,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}

/// TLS towards the origins of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionTls {
    /// The name that their certificates are for; that of the endpoint unless set.
    pub name: Option<Arc<str>>,
    /// PEM: the roots that are believed; those of the system unless set.
    pub ca: Option<Material>,
    /// What we show when an origin asks who we are.
    pub identity: Option<KeyPair>,
    /// Whether certificates are verified at all.
    pub verify: bool,
    /// Where it is written.
    pub place: Written,
}
