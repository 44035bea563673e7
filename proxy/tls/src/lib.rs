//! Streams that are plain or TLS.
//!
//! rustls shakes hands, through its unbuffered interface; from then on records are sealed and opened
//! here, where the bytes lie: a reply is sealed from the buffer it is in into the one that is sent,
//! as many records as fit with one send, and what comes is opened in the buffer it was read into.
//! rustls keeps the secrets from which keys are renewed, and what can be resumed.
//!
//! | file | knows |
//! |---|---|
//! | [`stream`] | sockets: reading, writing, closing; everything that waits |
//! | `handshake` | how rustls is driven, one record at a time |
//! | `session` | what may come when, key updates, alerts, how a session ends |
//! | `record` | the bytes of a record |
//!
//! Nothing that is borrowed is held while something waits. A stream may be read and written at the
//! same time, by one reader and one writer of one thread.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handshake;
mod outbox;
mod record;
mod session;
pub mod stream;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::{ClientConfig, pki_types::ServerName};

pub use handshake::{Class, Refusal, prepare_client, prepare_server};
pub use session::{Details, Version};
pub use stream::Stream;

/// How one endpoint of an origin is spoken to over TLS.
#[derive(Clone, Debug)]
pub struct OriginTls {
    /// Whom we trust, who we are, what may be resumed.
    pub config: Arc<ClientConfig>,
    /// The name that its certificate must be for.
    pub name: ServerName<'static>,
}

impl PartialEq for OriginTls {
    /// Whether a connection made under the one may be used under the other.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }
}

impl Eq for OriginTls {}
