//! How a listener speaks TLS.

use std::{fmt, sync::Arc};

use gnomon_config::{
    Problem,
    model::{ClientCerts, ListenerTls, TlsVersion},
    problem::CERTIFICATE,
};
use rustls::{
    ServerConfig,
    server::{
        ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert,
        WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::{
    ServerTls,
    by_name::ByName,
    material::{self, About, Read, Shown},
    protocols, provider,
};

/// A listener's certificates ready to be shown, and what they say, in their order.
pub(crate) struct Built {
    pub(crate) server: ServerTls,
    pub(crate) certs: Vec<About>,
}

/// Makes ready what a configuration asks for, or says what is wrong with it.
pub(crate) fn build(
    tls: &ListenerTls,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<Built, Vec<Problem>> {
    let mut shown = Vec::new();
    let mut problems = Vec::new();
    for pair in &tls.certs {
        match material::shown(pair) {
            Ok(one) => shown.push(one),
            Err(wrong) => problems.extend(wrong),
        }
    }
    let verifier = tls.clients.as_ref().map(verifier).transpose();
    let verifier = verifier.map_err(|problem| problems.push(*problem)).unwrap_or_default();
    let versions: &[_] = match tls.min {
        TlsVersion::V12 => &[&TLS13, &TLS12],
        TlsVersion::V13 => &[&TLS13],
    };
    let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions);
    let (Ok(config), true) = (config, problems.is_empty()) else { return Err(problems) };
    let config = match verifier {
        Some(verifier) => config.with_client_cert_verifier(verifier),
        None => config.with_no_client_auth(),
    };
    let certs = shown.iter().map(|shown| shown.about.clone()).collect();
    let mut config = config.with_cert_resolver(Arc::new(Certificates::new(&shown)));
    config.alpn_protocols = protocols();
    config.ticketer = tickets;
    // Without it, one core would remember what another must know, behind a lock.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // What comes before the handshake is done could be sent again by anybody.
    config.max_early_data_size = 0;
    gnomon_tls::prepare_server(&mut config);
    Ok(Built { server: Arc::new(config), certs })
}

/// The same with other keys for tickets.
pub(crate) fn with_tickets(server: &ServerTls, tickets: Arc<dyn ProducesTickets>) -> ServerTls {
    let mut config = ServerConfig::clone(server);
    config.ticketer = tickets;
    Arc::new(config)
}

fn verifier(clients: &ClientCerts) -> Read<Arc<dyn ClientCertVerifier>> {
    let roots = Arc::new(material::roots(&clients.ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let verifier =
        if clients.required { verifier } else { verifier.allow_unauthenticated() }.build();
    verifier.map_err(|error| {
        let message = format!("clients cannot be verified by these roots: {error}");
        Box::new(Problem::error(CERTIFICATE, clients.ca.place.0, message))
    })
}

/// A listener's certificates, chosen by the name that a client asks for.
struct Certificates {
    by_name: ByName<Arc<CertifiedKey>>,
    /// For whoever asks for no name, or for one that none is for: the first, and what else is for
    /// the same names, with another kind of key.
    default: Vec<Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl Certificates {
    fn new(shown: &[Shown]) -> Self {
        let mut by_name = ByName::default();
        for one in shown {
            for name in &one.about.names {
                by_name.add(name, one.certified.clone());
            }
        }
        let first = shown.first();
        let same_names = |one: &&Shown| first.is_some_and(|it| it.about.names == one.about.names);
        let default = shown.iter().filter(same_names).map(|one| one.certified.clone()).collect();
        Self { by_name, default }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().map_or(&[][..], |name| self.by_name.find(name));
        let all = if named.is_empty() { &self.default } else { named };
        let schemes = hello.signature_schemes();
        let understood = all.iter().find(|it| it.key.choose_scheme(schemes).is_some());
        understood.or_else(|| all.first()).cloned()
    }
}

#[cfg(test)]
mod tests;
