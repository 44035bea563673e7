//! Session tickets: what a client was agreed with, sealed under keys that every core has.
//!
//! Control draws a secret every eight hours and keeps those of a day. From each, every listener has
//! a key of its own, and another one if it asks clients for other certificates: whoever was let in
//! by one door can't come back by another (nginx had that, CVE-2025-23419). The keys travel in the
//! `ServerConfig`, so no core ever waits for another. A ticket is good for sixteen hours, and where
//! it holds a client's certificate, for one: while it is, nobody looks at the certificate again.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand,
};
use gnomon_config::model::ClientCerts;
use rustls::server::ProducesTickets;

use super::identity;
use crate::clock;

/// The secrets that tickets are sealed under, the newest first.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKeys {
    secrets: Vec<Secret>,
}

#[derive(Clone, PartialEq, Eq)]
struct Secret {
    bytes: [u8; SECRET_BYTES],
    /// When it was drawn, in seconds since 1970.
    drawn: u64,
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drawn: Vec<u64> = self.secrets.iter().map(|secret| secret.drawn).collect();
        f.debug_struct("TicketKeys").field("drawn", &drawn).finish_non_exhaustive()
    }
}

impl TicketKeys {
    /// One secret, drawn now: seconds since 1970.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn draw(now: u64) -> Result<Self, Unspecified> {
        Ok(Self { secrets: vec![Secret::draw(now)?] })
    }

    /// Draws a new secret if the newest is eight hours old, and forgets what is older than a day.
    /// Says whether anything is new: then every `ServerConfig` is to be made anew.
    ///
    /// # Errors
    /// If the system has no randomness: then all is as before.
    pub fn rotate(&mut self, now: u64) -> Result<bool, Unspecified> {
        // A clock that was set back must not keep a secret for longer either.
        let age = |secret: &Secret| now.abs_diff(secret.drawn);
        if self.secrets.first().is_some_and(|newest| age(newest) < PERIOD_SECONDS) {
            return Ok(false);
        }
        self.secrets.insert(0, Secret::draw(now)?);
        self.secrets.retain(|secret| age(secret) < KEPT_SECONDS);
        self.secrets.truncate(SECRETS_MAX);
        Ok(true)
    }

    /// All of it as bytes, for the process that takes over from this one. Whoever has them can read
    /// every session of a day: they go over a socket of ours and nowhere else.
    #[must_use]
    pub fn export(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        for secret in &self.secrets {
            bytes.extend_from_slice(&secret.drawn.to_be_bytes());
            bytes.extend_from_slice(&secret.bytes);
        }
        bytes
    }

    /// What [`Self::export`] gave; none if it is not that.
    #[must_use]
    pub fn import(bytes: &[u8]) -> Option<Self> {
        let (format, rest) = bytes.split_first()?;
        let (entries, left) = rest.as_chunks::<{ 8 + SECRET_BYTES }>();
        if *format != FORMAT || !left.is_empty() || !(1..=SECRETS_MAX).contains(&entries.len()) {
            return None;
        }
        let secret = |entry: &[u8; 8 + SECRET_BYTES]| {
            let (drawn, bytes) = entry.split_at(8);
            let drawn = u64::from_be_bytes(drawn.try_into().ok()?);
            Some(Secret { bytes: bytes.try_into().ok()?, drawn })
        };
        Some(Self { secrets: entries.iter().map(secret).collect::<Option<_>>()? })
    }

    /// The keys of a listener that asks for these certificates of clients.
    ///
    /// # Errors
    /// If they can't be derived, which has no reason that we know of.
    pub(crate) fn of_listener(
        &self,
        name: &str,
        clients: Option<&ClientCerts>,
    ) -> Result<Arc<dyn ProducesTickets>, Unspecified> {
        let policy = match clients {
            None => "open".to_owned(),
            Some(ClientCerts { ca, required }) => {
                format!("{required} {}", identity::fingerprint_of(&ca.content.0))
            }
        };
        let key = |secret: &Secret| Key::derive(secret, name, &policy);
        let lifetime =
            if clients.is_some() { LIFETIME_OF_IDENTIFIED } else { KEPT_SECONDS - PERIOD_SECONDS };
        Ok(Arc::new(Tickets {
            keys: self.secrets.iter().map(key).collect::<Result<_, _>>()?,
            lifetime,
        }))
    }
}

impl Secret {
    fn draw(now: u64) -> Result<Self, Unspecified> {
        let mut bytes = [0; SECRET_BYTES];
        rand::fill(&mut bytes)?;
        Ok(Self { bytes, drawn: now })
    }
}

/// The keys of one listener, the newest first.
#[derive(Debug)]
struct Tickets {
    keys: Vec<Key>,
    /// How long a ticket is good, in seconds.
    lifetime: u64,
}

struct Key {
    /// Begins every ticket that is sealed under this key.
    name: [u8; NAME_BYTES],
    key: RandomizedNonceKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How many bytes are to be derived.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Key {
    fn derive(secret: &Secret, listener: &str, policy: &str) -> Result<Self, Unspecified> {
        let mut bytes = [0; NAME_BYTES + KEY_BYTES];
        // A listener's name has no NUL.
        let info = [listener.as_bytes(), &[0], policy.as_bytes()];
        Salt::new(HKDF_SHA256, b"gnomon session ticket")
            .extract(&secret.bytes)
            .expand(&info, Length(bytes.len()))?
            .fill(&mut bytes)?;
        let (name, key) = bytes.split_at(NAME_BYTES);
        let name = name.try_into().map_err(|_| Unspecified)?;
        Ok(Self { name, key: RandomizedNonceKey::new(&AES_256_GCM, key)? })
    }

    /// Name, nonce, sealed.
    fn seal(&self, mut plain: Vec<u8>) -> Option<Vec<u8>> {
        let aad = Aad::from(self.name);
        let nonce = self.key.seal_in_place_append_tag(aad, &mut plain).ok()?;
        Some([&self.name, nonce.as_ref().as_slice(), &plain].concat())
    }

    fn open(&self, nonce: [u8; NONCE_BYTES], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = self.key.open_in_place(nonce, Aad::from(self.name), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

impl Tickets {
    fn seal(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        self.keys.first()?.seal([plain, &now.to_be_bytes()].concat())
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let key = self.keys.iter().find(|key| key.name == *name)?;
        let mut plain = key.open(*nonce, sealed)?;
        let issued = u64::from_be_bytes(*plain.last_chunk()?);
        plain.truncate(plain.len() - size_of::<u64>());
        (now.abs_diff(issued) <= self.lifetime).then_some(plain)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, clock::wall().as_secs())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, clock::wall().as_secs())
    }
}

/// Between two secrets.
const PERIOD_SECONDS: u64 = 8 * 3600;
/// How long a secret is kept: the time within which whoever gets hold of it can read recorded
/// sessions of TLS 1.2, and of 1.3 those that were resumed without a key exchange, which is none.
const KEPT_SECONDS: u64 = 24 * 3600;
/// How long a client is believed to be who it was.
const LIFETIME_OF_IDENTIFIED: u64 = 3600;
/// Secrets that can be younger than a day.
const SECRETS_MAX: usize = 3;
const SECRET_BYTES: usize = 32;
const NAME_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const KEY_BYTES: usize = 32;
/// The first byte of what is exported.
const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use gnomon_config::model::{Material, Written};

    use super::*;

    const NOW: u64 = 1_000_000_000;

    fn tickets(
        keys: &TicketKeys,
        name: &str,
        clients: Option<&ClientCerts>,
    ) -> Arc<dyn ProducesTickets> {
        keys.of_listener(name, clients).unwrap()
    }

    fn clients(ca: &str, required: bool) -> ClientCerts {
        let content = gnomon_config::model::Secret(ca.into());
        let ca = Material { path: "ca".into(), content, mode: 0o644, place: Written::default() };
        ClientCerts { ca, required }
    }

    #[test]
    fn a_ticket_is_good_where_it_was_made_and_nowhere_else() {
        let keys = TicketKeys::draw(NOW).unwrap();
        let ticket = tickets(&keys, "a", None).encrypt(b"session").unwrap();
        assert_eq!(tickets(&keys, "a", None).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        let asking = clients("one", true);
        assert_eq!(tickets(&keys, "b", None).decrypt(&ticket), None);
        assert_eq!(tickets(&keys, "a", Some(&asking)).decrypt(&ticket), None);
        let mutual = tickets(&keys, "a", Some(&asking)).encrypt(b"session").unwrap();
        for other in [clients("two", true), clients("one", false)] {
            assert_eq!(tickets(&keys, "a", Some(&other)).decrypt(&mutual), None);
        }
        assert!(tickets(&keys, "a", Some(&asking)).decrypt(&mutual).is_some());
        let others = TicketKeys::draw(NOW).unwrap();
        assert_eq!(tickets(&others, "a", None).decrypt(&ticket), None);
    }

    #[test]
    fn no_change_of_a_ticket_goes_unnoticed() {
        let keys = TicketKeys::draw(NOW).unwrap();
        let tickets = tickets(&keys, "a", None);
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_ne!(tickets.encrypt(b"session").unwrap(), ticket);
        for at in 0..ticket.len() {
            let mut other = ticket.clone();
            other[at] ^= 1;
            assert_eq!(tickets.decrypt(&other), None, "{at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "{at}");
        }
        assert_eq!(tickets.decrypt(&[ticket.as_slice(), b"x"].concat()), None);
    }

    #[test]
    fn tickets_survive_rotation_for_a_day() {
        let mut keys = TicketKeys::draw(NOW).unwrap();
        let ticket = tickets(&keys, "a", None).encrypt(b"session").unwrap();
        let mut rotations = 0;
        for hour in 1..24 {
            rotations += u32::from(keys.rotate(NOW + hour * 3600).unwrap());
            assert!(tickets(&keys, "a", None).decrypt(&ticket).is_some(), "{hour}");
        }
        assert_eq!((rotations, keys.secrets.len()), (2, 3));
        assert!(keys.rotate(NOW + 24 * 3600).unwrap());
        assert_eq!(tickets(&keys, "a", None).decrypt(&ticket), None);
        assert_eq!(keys.secrets.len(), 3);
    }

    #[test]
    fn a_ticket_is_refused_past_its_time() {
        let keys = TicketKeys::draw(NOW).unwrap();
        let own = |clients, lifetime| {
            let key = Key::derive(&keys.secrets[0], "a", clients).unwrap();
            Tickets { keys: vec![key], lifetime }
        };
        for (policy, lifetime) in [("open", 57_600), ("mutual", 3600)] {
            let tickets = own(policy, lifetime);
            let ticket = tickets.seal(b"session", NOW).unwrap();
            assert!(tickets.open(&ticket, NOW + lifetime).is_some());
            assert_eq!(tickets.open(&ticket, NOW + lifetime + 1), None);
            assert_eq!(tickets.open(&ticket, NOW - lifetime - 1), None);
        }
        assert_eq!(tickets(&keys, "a", None).lifetime(), 57_600);
        assert_eq!(tickets(&keys, "a", Some(&clients("one", true))).lifetime(), 3600);
    }

    #[test]
    fn a_clock_that_is_set_back_ends_no_rotation() {
        let mut keys = TicketKeys::draw(NOW).unwrap();
        assert!(keys.rotate(NOW - 9 * 3600).unwrap());
        assert!(!keys.rotate(NOW - 8 * 3600).unwrap());
        assert!(keys.rotate(NOW).unwrap());
    }

    #[test]
    fn what_is_exported_can_be_imported() {
        let mut keys = TicketKeys::draw(NOW).unwrap();
        keys.rotate(NOW + PERIOD_SECONDS).unwrap();
        let bytes = keys.export();
        assert_eq!(TicketKeys::import(&bytes), Some(keys.clone()));
        let ticket = tickets(&keys, "a", None).encrypt(b"session").unwrap();
        let after = TicketKeys::import(&bytes).unwrap();
        assert!(tickets(&after, "a", None).decrypt(&ticket).is_some());
        for wrong in [&b""[..], &[FORMAT], &bytes[1..], &bytes[..bytes.len() - 1], &[2; 41]] {
            assert_eq!(TicketKeys::import(wrong), None);
        }
        assert!(!format!("{keys:?}").contains(&format!("{:?}", keys.secrets[0].bytes)));
    }
}
