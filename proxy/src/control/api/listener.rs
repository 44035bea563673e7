//! Listeners and the certificates they show.

use serde::{Deserialize, Serialize};

/// A bound listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Its address as bound.
    pub address: String,
    /// What it shows to clients, in the order of the configuration; empty without TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// Whom it is of, as RFC 4514 writes it.
    pub subject: String,
    /// Who issued it, likewise.
    pub issuer: String,
    /// The names it is for.
    pub names: Vec<String>,
    /// Until when it is in force, in seconds since 1970.
    pub not_after: i64,
}
