//! What speaking TLS takes, as control prepares it and every core uses it: immutable, shared.

use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};

/// How a listener speaks TLS with clients: certificates by name, protocols, resumption, and whose
/// certificates it asks for.
pub type ServerTls = Arc<ServerConfig>;

/// How one endpoint of an origin is spoken to over TLS.
#[derive(Clone, Debug)]
pub struct OriginTls {
    /// Whom we trust, who we are, what may be resumed.
    pub config: Arc<ClientConfig>,
    /// The name that its certificate must be for.
    pub name: ServerName<'static>,
}
