//! Claims of JSON Web Tokens (RFC 7519): who vouches for what a request says of its user.
//!
//! `keys` makes a JSON Web Key Set or a public key into what can verify, `token` takes a token apart,
//! `cache` keeps on each core what was found, and `check` says with its place in the configuration what
//! is wrong with keys.
//!
//! Nothing of a token is believed before its signature is verified, and nothing but its header is even
//! parsed. The header chooses among our keys and nothing else: each is good for one algorithm, and keys,
//! addresses and certificates that a token brings along are not looked at (RFC 8725).

mod cache;
pub(crate) mod check;
mod keys;
#[cfg(test)]
pub(crate) mod testing;
mod token;

use std::sync::Arc;

use gnomon_config::model::flag::{Jwt, Place};
use serde_json::{Map, Value};

pub(crate) use self::cache::Claims;
use self::{
    keys::{Key, Keys},
    token::{Header, Parts},
};

/// Verifies tokens. Immutable; all cores share one.
#[derive(Debug)]
pub struct Verifier {
    terms: Jwt,
    keys: Keys,
}

/// Claims that somebody vouches for.
#[derive(Debug, PartialEq)]
pub(crate) struct Verified {
    pub(crate) claims: Map<String, Value>,
    /// They are good before this, in seconds since 1970.
    pub(crate) until: u64,
}

/// Why a token whose signature was checked is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Its signature is wrong, it is not for us, or it makes no sense.
    Bad,
    /// It is past its time.
    Expired,
    /// It is good from this on, in seconds since 1970.
    Early(u64),
}

/// A token that one of our keys may have signed.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    verifier: &'a Verifier,
    key: &'a Key,
    parts: Parts<'a>,
}

impl Verifier {
    /// A verifier for tokens of these terms.
    ///
    /// # Errors
    /// A sentence if the keys cannot be used.
    pub fn new(terms: &Jwt) -> Result<Self, String> {
        Ok(Self { keys: Keys::read(&terms.keys.content.0)?, terms: terms.clone() })
    }

    /// Whether it was made from terms that say the same, the content of key files included.
    pub(crate) fn is_of(&self, terms: &Jwt) -> bool {
        self.terms == *terms
    }

    /// Where a token stands.
    pub(crate) const fn place(&self) -> &Place {
        &self.terms.place
    }

    /// Whether one of its keys is a secret: who knows it can sign.
    pub(crate) fn has_secret(&self) -> bool {
        self.keys.all().iter().any(Key::is_secret)
    }

    /// Its keys, one phrase each, such as ``RS256 key `a1` ``.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.keys.all().iter().map(Key::to_string).collect()
    }

    /// What is odd about the keys, a sentence each; they work all the same.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        self.keys.remarks()
    }

    /// The token, if one of the keys is meant. This costs no signature check.
    pub(crate) fn candidate<'a>(&'a self, token: &'a [u8]) -> Option<Candidate<'a>> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let parts = Parts::of(token)?;
        let Header { algorithm, key } = parts.header()?;
        let key = self.keys.find(algorithm, key.as_deref())?;
        Some(Candidate { verifier: self, key, parts })
    }

    /// Whether claims are for us and in their time.
    fn judge(&self, claims: &Map<String, Value>, now: u64) -> Result<u64, Flaw> {
        let (issuers, audiences) = (&self.terms.issuers, &self.terms.audiences);
        let leeway = self.terms.leeway.as_secs();
        // Without an end, a token that was lost would be good for ever, and so would be what is kept of it.
        let end = claims.get("exp").and_then(token::seconds).ok_or(Flaw::Bad)?;
        if !is_any(issuers, claims.get("iss")) {
            return Err(Flaw::Bad);
        }
        let is_ours = match claims.get("aud") {
            Some(Value::Array(all)) => {
                audiences.is_empty() || all.iter().any(|one| is_any(audiences, Some(one)))
            }
            one => is_any(audiences, one),
        };
        if !is_ours {
            return Err(Flaw::Bad);
        }
        let until = end.saturating_add(leeway);
        if until <= now {
            return Err(Flaw::Expired);
        }
        let Some(begin) = claims.get("nbf") else { return Ok(until) };
        let begin = token::seconds(begin).ok_or(Flaw::Bad)?.saturating_sub(leeway);
        if begin > now { Err(Flaw::Early(begin)) } else { Ok(until) }
    }
}

impl Candidate<'_> {
    /// What its check costs, in checks of a usual key: P-384 and RSA above 4096 bits take four times as
    /// long as P-256.
    pub(crate) fn cost(&self) -> u32 {
        let is_long = self.parts.signature.len() > SIGNATURE_USUAL;
        if is_long || self.key.is_on_p384() { 4 } else { 1 }
    }

    /// Checks the signature, and what it is of. `now` is in seconds since 1970.
    pub(crate) fn check(&self, now: u64) -> Result<Verified, Flaw> {
        let signature = token::decode(self.parts.signature).ok_or(Flaw::Bad)?;
        if !self.key.verifies(self.parts.signed, &signature) {
            return Err(Flaw::Bad);
        }
        let claims = self.parts.claims().ok_or(Flaw::Bad)?;
        let until = self.verifier.judge(&claims, now)?;
        Ok(Verified { claims, until })
    }
}

/// Whether a claim is one of these texts; with none, anything will do.
fn is_any(texts: &[Arc<str>], claim: Option<&Value>) -> bool {
    texts.is_empty()
        || claim.and_then(Value::as_str).is_some_and(|claim| texts.iter().any(|it| **it == *claim))
}

/// Letters of a signature with RSA of 4096 bits.
const SIGNATURE_USUAL: usize = (4096_usize / 8 * 4).div_ceil(3);
/// Bytes of a token at most; most have one or two thousand.
const TOKEN_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests;
