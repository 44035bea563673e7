//! Whoever signs tokens, for tests: with another implementation than ours.

use std::{path::PathBuf, sync::Arc, time::Duration};

use gnomon_config::model::{
    Key, Material, Secret,
    flag::{Jwt, Place},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto, encode, jwk::Jwk};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use serde_json::{Value, json};

use super::{Verifier, token};

/// Now, in all tests: seconds since 1970.
pub(crate) const NOW: u64 = 1_795_392_000;

/// A secret of two ends.
pub(crate) const SECRET: &[u8] =
    b"sixty-four bytes that both ends know, and nobody else ever will.";

/// Somebody with a key.
pub(crate) struct Issuer {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
    pub(crate) id: Option<String>,
    /// The public half.
    pub(crate) pem: String,
}

impl Issuer {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are RSA")]
    pub(crate) fn new(algorithm: Algorithm, id: Option<&str>) -> Self {
        let of_pair = |pair: KeyPair, key: fn(&[u8]) -> EncodingKey| {
            (key(&pair.serialize_der()), pair.public_key_pem())
        };
        let draw = |kind| KeyPair::generate_for(kind).unwrap();
        let (key, pem) = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                (EncodingKey::from_secret(SECRET), String::new())
            }
            Algorithm::ES256 => of_pair(draw(&PKCS_ECDSA_P256_SHA256), EncodingKey::from_ec_der),
            Algorithm::ES384 => of_pair(draw(&PKCS_ECDSA_P384_SHA384), EncodingKey::from_ec_der),
            // It wants the first version of PKCS#8: the seed and no public key behind it.
            Algorithm::EdDSA => of_pair(draw(&PKCS_ED25519), |der| {
                let mut first = der[..48].to_vec();
                (first[1], first[4]) = (46, 0);
                EncodingKey::from_ed_der(&first)
            }),
            // The other implementation wants PKCS#1, which is what PKCS#8 has behind its head.
            _ => of_pair(draw(&PKCS_RSA_SHA256), |der| EncodingKey::from_rsa_der(&der[26..])),
        };
        Self { algorithm, key, id: id.map(str::to_owned), pem }
    }

    /// Its key as a set has it.
    pub(crate) fn jwk(&self) -> Value {
        let mut key =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap())
                .unwrap();
        key["use"] = json!("sig");
        if let Some(id) = &self.id {
            key["kid"] = json!(id);
        }
        key
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: self.id.clone(), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).unwrap()
    }

    /// A token of these two texts, whatever they are.
    pub(crate) fn sign_text(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", token::encode(header), token::encode(payload));
        let signature = crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

/// A set of keys as a file holds it.
pub(crate) fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// Terms with a file that holds this, and nothing else asked of tokens.
pub(crate) fn terms(keys: impl Into<Vec<u8>>) -> Jwt {
    Jwt {
        place: Place::Key(Key::Header("authorization".into())),
        keys: Material {
            path: PathBuf::from("/etc/gnomon/keys.json"),
            content: Secret(keys.into()),
            mode: 0o600,
            place: gnomon_config::model::Written::default(),
        },
        issuers: Vec::new(),
        audiences: Vec::new(),
        leeway: Duration::from_secs(30),
    }
}

/// Who believes these.
pub(crate) fn verifier(issuers: &[&Issuer]) -> Arc<Verifier> {
    let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk()).collect();
    Arc::new(Verifier::new(&terms(set(&keys))).unwrap())
}
