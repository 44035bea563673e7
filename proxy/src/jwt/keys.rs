//! Keys, out of a JSON Web Key Set (RFC 7517) or a public key in PEM. Each is good for one algorithm.

use std::fmt;

use aws_lc_rs::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
        RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
        RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
    },
};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use x509_parser::{prelude::FromDer as _, public_key::PublicKey, x509::SubjectPublicKeyInfo};

use super::token::decode;

/// How a token is signed (RFC 7518, 3.1; RFC 8037). There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// What an algorithm takes to be checked.
enum Takes {
    /// A secret of both ends.
    Secret(hmac::Algorithm),
    Rsa(&'static RsaParameters),
    /// A key on one curve.
    Curve(&'static dyn VerificationAlgorithm),
}

impl Algorithm {
    const ALL: [(&'static str, Self); 13] = [
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
        // The same, as RFC 9864 calls it.
        ("Ed25519", Self::EdDsa),
    ];

    /// The algorithm of this name. Names are told apart by case.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    fn takes(self) -> Takes {
        match self {
            Self::Hs256 => Takes::Secret(hmac::HMAC_SHA256),
            Self::Hs384 => Takes::Secret(hmac::HMAC_SHA384),
            Self::Hs512 => Takes::Secret(hmac::HMAC_SHA512),
            Self::Rs256 => Takes::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Takes::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Takes::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Takes::Rsa(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Takes::Rsa(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Takes::Rsa(&RSA_PSS_2048_8192_SHA512),
            Self::Es256 => Takes::Curve(&ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Takes::Curve(&ECDSA_P384_SHA384_FIXED),
            Self::EdDsa => Takes::Curve(&ED25519),
        }
    }
}

/// A key.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<Box<str>>,
    algorithm: Algorithm,
    with: With,
}

enum With {
    Secret(Box<hmac::Key>),
    Public(Box<ParsedPublicKey>),
}

impl fmt::Debug for With {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{} key `{id}`", self.algorithm.name()),
            None => write!(f, "{} key without a name", self.algorithm.name()),
        }
    }
}

impl Key {
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self.with, With::Secret(_))
    }

    pub(super) const fn is_on_p384(&self) -> bool {
        matches!(self.algorithm, Algorithm::Es384)
    }

    /// Whether this is the signature of that.
    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.with {
            With::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            With::Public(key) => key.verify_sig(signed, signature).is_ok(),
        }
    }
}

/// All keys that tokens are verified with; for each token one at most.
#[derive(Debug)]
pub(super) struct Keys {
    all: Vec<Key>,
    remarks: Vec<String>,
}

impl Keys {
    /// The keys in a file, or a sentence that says why they cannot be used.
    pub(super) fn read(content: &[u8]) -> Result<Self, String> {
        let keys = if content.trim_ascii_start().starts_with(b"{") {
            Self::of_set(content)?
        } else {
            Self { all: vec![of_pem(content)?], remarks: Vec::new() }
        };
        for (place, key) in keys.all.iter().enumerate() {
            let twin = keys.all.iter().take(place).find(|other| {
                other.id == key.id && (key.id.is_some() || other.algorithm == key.algorithm)
            });
            if twin.is_some() {
                return Err(format!("nothing tells which is meant: there are two of {key}"));
            }
        }
        Ok(keys)
    }

    fn of_set(content: &[u8]) -> Result<Self, String> {
        let set: Set = serde_json::from_slice(content)
            .map_err(|error| format!("this is no JSON Web Key Set: {error}"))?;
        let (mut all, mut remarks) = (Vec::new(), Vec::new());
        for (number, key) in (1..).zip(set.keys) {
            let key = Jwk::deserialize(key).map_err(|error| format!("key {number}: {error}"))?;
            let shown = match &key.kid {
                Some(id) => format!("key `{id}`"),
                None => format!("key {number}"),
            };
            match key.read().map_err(|why| format!("{shown} {why}"))? {
                Read::Key(key) => all.push(key),
                Read::Unfit(why) => remarks.push(format!("{shown} is passed over: {why}")),
            }
            if key.d.is_some() {
                remarks.push(format!("{shown} is a private key; its public half would do"));
            }
        }
        if all.is_empty() {
            let why = remarks.first().map_or(String::new(), |first| format!(": {first}"));
            return Err(format!("no key of the set can verify a signature{why}"));
        }
        Ok(Self { all, remarks })
    }

    pub(super) fn all(&self) -> &[Key] {
        &self.all
    }

    pub(super) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The key that a token means: of this name, if it has one, and always for this algorithm. Where
    /// several would do, a token has to say which (OpenID Connect Core, 10.1): so each costs one check.
    pub(super) fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<&Key> {
        let mut fit = self.all.iter().filter(|key| key.algorithm == algorithm);
        match id {
            Some(id) => {
                let mut unnamed = fit.clone().filter(|key| key.id.is_none());
                fit.find(|key| key.id.as_deref() == Some(id)).or_else(|| unnamed.next())
            }
            None => fit.next().filter(|_| fit.next().is_none()),
        }
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// A key as it is written: what of it concerns us.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
    d: Option<IgnoredAny>,
}

enum Read {
    Key(Key),
    /// It is for something else, or of a sort that we do not know (RFC 7517, 5).
    Unfit(String),
}

impl Jwk {
    fn read(&self) -> Result<Read, String> {
        let (usage, operations) = (self.usage.as_deref(), self.key_ops.as_deref());
        if usage.is_some_and(|usage| usage != "sig")
            || operations.is_some_and(|all| !all.iter().any(|one| one == "verify"))
        {
            return Ok(Read::Unfit("it is not meant to verify".to_owned()));
        }
        let usual = match (&*self.kty, self.crv.as_deref()) {
            ("oct", _) => Algorithm::Hs256,
            ("RSA", _) => Algorithm::Rs256,
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("EC", Some("P-384")) => Algorithm::Es384,
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            (kind, curve) => {
                let curve = curve.map_or(String::new(), |curve| format!(" on {curve}"));
                return Ok(Read::Unfit(format!("{kind}{curve} is not known here")));
            }
        };
        let algorithm = match self.alg.as_deref() {
            None => usual,
            Some(name) => match Algorithm::named(name) {
                Some(algorithm) => algorithm,
                None => return Ok(Read::Unfit(format!("{name} is not known here"))),
            },
        };
        let with = match (algorithm.takes(), &*self.kty) {
            (Takes::Secret(hmac), "oct") => secret(hmac, &part("k", self.k.as_deref())?)?,
            (Takes::Rsa(terms), "RSA") => {
                let (n, e) = (part("n", self.n.as_deref())?, part("e", self.e.as_deref())?);
                rsa(terms, &n, &e)?
            }
            // Each curve has one algorithm.
            (Takes::Curve(terms), "EC") if algorithm == usual => {
                let (x, y) = (part("x", self.x.as_deref())?, part("y", self.y.as_deref())?);
                if x.len() != y.len() {
                    return Err("has halves of different length".to_owned());
                }
                point(terms, &[&[UNCOMPRESSED], &*x, &*y].concat())?
            }
            (Takes::Curve(terms), "OKP") if algorithm == usual => {
                point(terms, &part("x", self.x.as_deref())?)?
            }
            _ => return Err(format!("cannot be used for {}", algorithm.name())),
        };
        let id = self.kid.as_deref().map(Box::from);
        Ok(Read::Key(Key { id, algorithm, with }))
    }
}

fn part(name: &str, text: Option<&str>) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| format!("has no `{name}`"))?;
    decode(text.as_bytes()).ok_or_else(|| format!("has a `{name}` that is not base64url"))
}

fn secret(hmac: hmac::Algorithm, bytes: &[u8]) -> Result<With, String> {
    // RFC 7518, 3.2.
    let least = hmac.digest_algorithm().output_len();
    if bytes.len() < least {
        return Err(format!("is too short: {} bytes, and {least} are needed", bytes.len()));
    }
    Ok(With::Secret(Box::new(hmac::Key::new(hmac, bytes))))
}

fn rsa(terms: &'static RsaParameters, n: &[u8], e: &[u8]) -> Result<With, String> {
    let (n, e) = (without_zeros(n), without_zeros(e));
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
        return Err(format!("is RSA of {bits} bits, and {least} to {most} are needed"));
    }
    // With 1, everything is its own signature.
    let is_sound = e.len() <= 4 && e.last().is_some_and(|last| last & 1 == 1) && e != [1];
    if !is_sound {
        return Err("has an `e` that no RSA key should have".to_owned());
    }
    let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(terms);
    key.map(Box::new).map(With::Public).map_err(|_| "is no RSA key".to_owned())
}

fn point(terms: &'static dyn VerificationAlgorithm, bytes: &[u8]) -> Result<With, String> {
    let key = ParsedPublicKey::new(terms, bytes);
    key.map(Box::new).map(With::Public).map_err(|_| "is no point of its curve".to_owned())
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    &bytes[first..]
}

/// The one public key of a PEM. It has no name, and fits tokens of any.
fn of_pem(content: &[u8]) -> Result<Key, String> {
    let has = |text: &str| content.windows(text.len()).any(|window| window == text.as_bytes());
    let mut keys = SubjectPublicKeyInfoDer::pem_slice_iter(content);
    let der = match keys.next() {
        Some(Ok(der)) => der,
        Some(Err(error)) => return Err(format!("this is not PEM: {error}")),
        None if has("PRIVATE KEY-----") => {
            return Err("this is a private key: openssl pkey -pubout -in FILE".to_owned());
        }
        None if has("-----BEGIN CERTIFICATE") => {
            return Err("this is a certificate: openssl x509 -pubkey -noout -in FILE".to_owned());
        }
        None => return Err(NEITHER.to_owned()),
    };
    match keys.next() {
        None => {}
        Some(_) => return Err("there are several keys in it: make a JSON Web Key Set".to_owned()),
    }
    let (algorithm, with) = of_der(&der)?;
    Ok(Key { id: None, algorithm, with })
}

fn of_der(der: &SubjectPublicKeyInfoDer<'_>) -> Result<(Algorithm, With), String> {
    let (_, read) = SubjectPublicKeyInfo::from_der(der).map_err(|_| NEITHER.to_owned())?;
    if let Ok(PublicKey::RSA(key)) = read.parsed() {
        let with = rsa(&RSA_PKCS1_2048_8192_SHA256, key.modulus, key.exponent);
        return Ok((Algorithm::Rs256, with.map_err(|why| format!("the key {why}"))?));
    }
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        if let Takes::Curve(terms) = algorithm.takes()
            && let Ok(with) = point(terms, der)
        {
            return Ok((algorithm, with));
        }
    }
    Err("the key is none of RSA, P-256, P-384 and Ed25519".to_owned())
}

/// Less is too weak (RFC 7518, 3.3), and each bit more costs who verifies.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// What a point begins with whose two halves follow.
const UNCOMPRESSED: u8 = 4;
const NEITHER: &str = "this is neither a JSON Web Key Set nor a public key in PEM";
