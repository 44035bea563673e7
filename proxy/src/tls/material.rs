//! Certificates, keys and staples, out of the bytes that the configuration has read.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use gnomon_config::{
    Problem,
    model::{KeyPair, Material},
    problem::{CERTIFICATE, PRIVATE_KEY},
};
use rustls::{
    Error, InconsistentKeys, RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, public_key::PublicKey,
};

use super::{identity, provider};

/// A certificate that can be shown, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) about: About,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// Whom it is of, as RFC 4514 writes it.
    pub(crate) subject: String,
    /// Who issued it, likewise.
    pub(crate) issuer: String,
    /// The names that it is for, `*.` and all, lower case.
    pub(crate) names: Vec<String>,
    /// Its number, as it stands in the certificate.
    pub(crate) serial: Vec<u8>,
    /// From when it is in force, in seconds since 1970.
    pub(crate) not_before: i64,
    /// Until when, likewise.
    pub(crate) not_after: i64,
    /// Bits of an RSA key; none of another kind.
    pub(crate) rsa_bits: Option<usize>,
}

/// What a file holds, or what is wrong with it.
pub(crate) type Read<T> = Result<T, Box<Problem>>;

/// A pair that can be used, or everything that is wrong with it.
pub(crate) fn shown(pair: &KeyPair) -> Result<Shown, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut told = |problem: Box<Problem>| problems.push(*problem);
    let chain = certificates(&pair.cert).map_err(&mut told).ok();
    let about = chain.as_ref().and_then(|chain| {
        let first = chain.first().map(|first| about(&pair.cert, first));
        first?.map_err(&mut told).ok()
    });
    let key = private_key(&pair.key).map_err(&mut told).ok();
    let (Some(chain), Some(about), Some(key)) = (chain, about, key) else { return Err(problems) };
    if let Some(bits) = about.rsa_bits.filter(|bits| *bits < RSA_BITS_MIN) {
        let message = format!("its RSA key of {bits} bits is too weak");
        return Err(vec![
            wrong(&pair.cert, message).help(format!("have it issued for one of {RSA_BITS_MIN}")),
        ]);
    }
    let certified = CertifiedKey::from_der(chain, key, &provider());
    let mut certified = certified.map_err(|error| vec![unfit(pair, &error)])?;
    certified.ocsp = pair.ocsp.as_ref().map(|staple| staple.content.0.clone());
    Ok(Shown { certified: Arc::new(certified), about })
}

/// Says why a certificate and a key can't be used together.
fn unfit(pair: &KeyPair, error: &Error) -> Problem {
    if matches!(error, Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) {
        return Problem::error(PRIVATE_KEY, pair.key.place.0, "this key is not the certificate's")
            .label("belongs to another")
            .related(pair.cert.place.0, "the certificate")
            .help("the first certificate of the file must be the one of the key".to_owned());
    }
    if let Error::InvalidCertificate(why) = error {
        return wrong(&pair.cert, format!("the certificate cannot be used: {why:?}"));
    }
    Problem::error(PRIVATE_KEY, pair.key.place.0, "this key cannot be used")
        .label(error.to_string())
        .help("RSA of 2048 to 8192 bits, ECDSA P-256, P-384, P-521 or Ed25519".to_owned())
}

fn wrong(file: &Material, message: impl Into<String>) -> Problem {
    Problem::error(CERTIFICATE, file.place.0, message)
}

/// Every certificate of a file; at least one.
pub(crate) fn certificates(file: &Material) -> Read<Vec<CertificateDer<'static>>> {
    let bytes = file.content.0.as_slice();
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(bytes).collect();
    Err(Box::new(match all {
        Ok(all) if !all.is_empty() => return Ok(all),
        Ok(_) if X509Certificate::from_der(bytes).is_ok() => {
            let into = format!("openssl x509 -inform der -in {} -out NEW", file.path.display());
            wrong(file, "this is a certificate in DER, not PEM").help(into)
        }
        Ok(_) if PrivateKeyDer::from_pem_slice(bytes).is_ok() => {
            wrong(file, "this is a private key, not a certificate")
                .help("are the two the wrong way round?".to_owned())
        }
        Ok(_) => wrong(file, "there is no certificate in it")
            .help("expected PEM: -----BEGIN CERTIFICATE-----".to_owned()),
        Err(error) => wrong(file, format!("this is not PEM: {error}")),
    }))
}

fn private_key(file: &Material) -> Read<PrivateKeyDer<'static>> {
    let bytes = file.content.0.as_slice();
    let problem = |message: &str| Problem::error(PRIVATE_KEY, file.place.0, message);
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let is_locked = has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED");
    Err(Box::new(match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(_) | Err(pem::Error::NoItemsFound) if is_locked => encrypted(file),
        Ok(key) => return Ok(key),
        Err(pem::Error::NoItemsFound) if has("BEGIN CERTIFICATE") => {
            problem("this is a certificate, not a private key")
                .help("are the two the wrong way round?".to_owned())
        }
        Err(pem::Error::NoItemsFound) => problem("there is no private key in it")
            .help("expected PEM: -----BEGIN PRIVATE KEY-----".to_owned()),
        Err(error) => problem(&format!("this is not PEM: {error}")),
    }))
}

fn encrypted(file: &Material) -> Problem {
    let out = format!("openssl pkey -in {} -out NEW, readable by us alone", file.path.display());
    Problem::error(PRIVATE_KEY, file.place.0, "this key has a passphrase").help(out)
}

/// What a certificate says of itself.
pub(crate) fn about(file: &Material, der: &CertificateDer<'_>) -> Read<About> {
    let unread = || wrong(file, "this is no certificate").label("not X.509 in DER within the PEM");
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| unread())?;
    let rsa_bits = match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()),
        Ok(_) | Err(_) => None,
    };
    Ok(About {
        subject: identity::name_text(certificate.subject()),
        issuer: identity::name_text(certificate.issuer()),
        names: names(&certificate),
        serial: certificate.raw_serial().to_vec(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        rsa_bits,
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no server is asked for by another name")]
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let one = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => ip(bytes).map(|address| address.to_string()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(one).collect()
}

/// An address as a certificate holds it.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(|it| IpAddr::V4(Ipv4Addr::from(it)));
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(|it| IpAddr::V6(Ipv6Addr::from(it)));
    v4().or_else(v6)
}

/// The roots in a file.
pub(crate) fn roots(file: &Material) -> Read<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates(file)?) {
        roots.add(certificate).map_err(|error| {
            wrong(file, format!("its certificate {number} cannot be a root: {error}"))
        })?;
    }
    Ok(roots)
}

/// What NIST and every browser ask for.
const RSA_BITS_MIN: usize = 2048;
