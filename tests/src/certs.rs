//! Certificates for tests: an authority, what it issues, and both ends that go by it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};

/// Who issues certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert: rcgen::Certificate,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, PEM.
    pub cert: String,
    /// Its key, PEM.
    pub key: String,
    /// The certificate, DER.
    pub der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

/// What to issue.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Names and addresses that it is for.
    pub names: &'a [&'a str],
    /// Its subject: common name, organisation.
    pub subject: (&'a str, Option<&'a str>),
    /// From and until when it is in force, in seconds since 1970.
    pub validity: Option<(u64, u64)>,
    /// The kind of its key.
    pub algorithm: &'static SignatureAlgorithm,
    /// Its number; drawn unless set.
    pub serial: Option<u64>,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            names: &[],
            subject: ("test", None),
            validity: None,
            algorithm: &PKCS_ECDSA_P256_SHA256,
            serial: None,
        }
    }
}

#[expect(clippy::missing_panics_doc, reason = "a certificate that can't be made is a failed test")]
impl Authority {
    /// A root of its own.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no name is wrong");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("keys can be drawn");
        let cert = params.self_signed(&key).expect("it signs itself");
        Self { issuer: Issuer::new(params, key), cert }
    }

    /// Its own certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.cert.pem()
    }

    /// A certificate for these names.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Identity {
        let subject = (names.first().copied().unwrap_or("test"), None);
        self.issue_as(&Wanted { names, subject, ..Wanted::default() })
    }

    /// A certificate as it is wanted.
    #[must_use]
    pub fn issue_as(&self, wanted: &Wanted<'_>) -> Identity {
        let names: Vec<String> = wanted.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names can be in certificates");
        // What the library puts there by itself would come before ours.
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(organisation) = wanted.subject.1 {
            params.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        params.distinguished_name.push(DnType::CommonName, wanted.subject.0);
        if let Some((from, until)) = wanted.validity {
            let at = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
            (params.not_before, params.not_after) = (at(from), at(until));
        }
        params.serial_number = wanted.serial.map(SerialNumber::from);
        let key = KeyPair::generate_for(wanted.algorithm).expect("keys can be drawn");
        let cert = params.signed_by(&key, &self.issuer).expect("it signs");
        Identity {
            cert: cert.pem(),
            key: key.serialize_pem(),
            der: cert.der().clone(),
            key_der: key.serialize_der(),
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.cert.der().clone()).expect("it is a root");
        Arc::new(roots)
    }

    /// A client that believes this authority, and shows this certificate if it is asked who it is.
    /// Without versions it speaks all.
    #[must_use]
    pub fn client(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let versions = if versions.is_empty() { rustls::ALL_VERSIONS } else { versions };
        let verifier = WebPkiServerVerifier::builder_with_provider(self.roots(), provider())
            .build()
            .expect("it verifies");
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("these versions exist")
            .with_webpki_verifier(verifier);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.material();
                config.with_client_auth_cert(chain, key).expect("the key is the certificate's")
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }

    /// A server that shows `identity`, and asks clients for a certificate of `clients` if there is
    /// such an authority.
    #[must_use]
    pub fn server(identity: &Identity, clients: Option<&Self>) -> ServerConfig {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("there are versions");
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => config.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(clients.roots(), provider())
                    .build()
                    .expect("it verifies"),
            ),
        };
        let (chain, key) = identity.material();
        let mut config = config.with_single_cert(chain, key).expect("the key is the certificate's");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

#[expect(clippy::missing_panics_doc, reason = "a file that can't be written is a failed test")]
impl Identity {
    fn material(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.key_der.clone());
        (vec![self.der.clone()], PrivateKeyDer::Pkcs8(key))
    }

    /// Writes `NAME.pem` and `NAME.key`, and says where they are.
    #[must_use]
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let paths = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&paths.0, &self.cert).expect("the folder is there");
        std::fs::write(&paths.1, &self.key).expect("the folder is there");
        paths
    }
}

/// The cryptography that both ends use.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
