//! What speaking TLS takes, as control prepares it and every core uses it: immutable, shared.
//!
//! `check` says what is wrong with certificates and keys, with the place in the configuration;
//! `material` reads them; `by_name` chooses among them; `server` and `origin` make of them what the
//! two ends of an exchange need; `tickets` has sessions resumed on any core, and `identity` tells
//! origins who a client is.

mod by_name;
pub mod check;
pub mod identity;
pub(crate) mod material;
pub(crate) mod origin;
pub(crate) mod server;
#[cfg(test)]
pub(crate) mod testing;
pub mod tickets;

use std::sync::{Arc, LazyLock};

pub use gnomon_tls::OriginTls;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
};

/// How a listener speaks TLS with clients: certificates by name, protocols, resumption, and whose
/// certificates it asks for.
pub type ServerTls = Arc<ServerConfig>;

/// Cryptography: AWS-LC, which is as fast as any and kept up by many.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// The protocols that we speak within TLS, the one we would rather have first.
fn protocols() -> Vec<Vec<u8>> {
    vec![b"http/1.1".to_vec()]
}
