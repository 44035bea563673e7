//! How the origins of a version are spoken to over TLS.

use std::sync::{Arc, Mutex, MutexGuard};

use gnomon_config::{
    Problem,
    model::{KeyPair, VersionTls, Written},
    problem::CERTIFICATE,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, SignatureScheme,
    client::{
        ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
        Tls13ClientSessionValue, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::SingleCertAndKey,
};

use super::{
    material::{self, Read},
    protocols, provider,
};

/// Makes ready what a configuration asks for, or says what is wrong with it.
pub(crate) fn build(tls: &VersionTls) -> Result<ClientConfig, Vec<Problem>> {
    let verifier = verifier(tls).map_err(|problem| vec![*problem])?;
    config(verifier, tls.identity.as_ref())
}

/// What believes the roots of the system: for webhooks.
pub(crate) fn for_anybody() -> Result<ClientConfig, Vec<Problem>> {
    build(&VersionTls {
        name: None,
        ca: None,
        identity: None,
        verify: true,
        place: Written::default(),
    })
}

fn config(
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<&KeyPair>,
) -> Result<ClientConfig, Vec<Problem>> {
    let place = identity.map_or_else(Default::default, |identity| identity.cert.place.0);
    let failed = |error: &Error| vec![Problem::error(CERTIFICATE, place, error.to_string())];
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let certified = material::shown(identity)?.certified;
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    };
    config.alpn_protocols = protocols();
    config.resumption = Resumption::store(Arc::new(Sessions::default()));
    gnomon_tls::prepare_client(&mut config);
    Ok(config)
}

fn verifier(tls: &VersionTls) -> Read<Arc<dyn ServerCertVerifier>> {
    if !tls.verify {
        return Ok(Arc::new(Anybody));
    }
    let (place, roots) = match &tls.ca {
        Some(ca) => (ca.place.0, material::roots(ca)?),
        None => (tls.place.0, of_system(tls)?),
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let verifier = verifier.map_err(|error| {
        Problem::error(CERTIFICATE, place, format!("nobody is believed by these roots: {error}"))
    })?;
    Ok(verifier)
}

/// The roots that the system believes; at least one.
fn of_system(tls: &VersionTls) -> Read<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
    let message = format!("the system believes no roots{why}");
    let problem = Problem::error(CERTIFICATE, tls.place.0, message);
    let help = "install the package ca-certificates, or name roots with `ca`".to_owned();
    Err(Box::new(problem.help(help)))
}

/// Believes whatever an origin shows, as long as it has the key of it: `verify = false`.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What may be resumed, shared by all cores. No core waits for another: who finds it in use goes
/// without, which costs a whole handshake and nothing else.
#[derive(Debug)]
struct Sessions {
    turn: Mutex<()>,
    sessions: ClientSessionMemoryCache,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { turn: Mutex::new(()), sessions: ClientSessionMemoryCache::new(NAMES_MAX) }
    }
}

impl Sessions {
    fn turn(&self) -> Option<(MutexGuard<'_, ()>, &ClientSessionMemoryCache)> {
        Some((self.turn.try_lock().ok()?, &self.sessions))
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        if let Some((_turn, sessions)) = self.turn() {
            sessions.set_kx_hint(name, group);
        }
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        let (_turn, sessions) = self.turn()?;
        sessions.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if let Some((_turn, sessions)) = self.turn() {
            sessions.set_tls12_session(name, value);
        }
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let (_turn, sessions) = self.turn()?;
        sessions.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        if let Some((_turn, sessions)) = self.turn() {
            sessions.remove_tls12_session(name);
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        if let Some((_turn, sessions)) = self.turn() {
            sessions.insert_tls13_ticket(name, value);
        }
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let (_turn, sessions) = self.turn()?;
        sessions.take_tls13_ticket(name)
    }
}

/// Names whose sessions are remembered, for each version.
const NAMES_MAX: usize = 256;
