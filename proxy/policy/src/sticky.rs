//! What keeps a user on one version: a keyed hash that puts every user at a fixed position.
//!
//! # Wire format 1
//!
//! An application may compute the same position; every host of a fleet must. Hash, key and input
//! are therefore a wire format, held by `vectors/sticky.json`, and never change.
//!
//! - `H(key, message)` is SipHash-2-4 with 64 bits of output (Aumasson, Bernstein 2012), the key
//!   as 16 bytes; implementations exist for every language.
//! - `context` is the bytes of `gnomon sticky 1`, a zero byte, the salt (the upstream's name unless
//!   set), a zero byte, the secret (empty unless set).
//! - `key` is `H(K, 00 context)` followed by `H(K, 01 context)`, both little-endian, where `K` is
//!   the 16 bytes `00 01 … 0f`.
//! - The input is the user's key as it stands in the request: a cookie's, a field's or a query
//!   parameter's value without decoding it; the 16 characters of a cookie of ours; the 4 or 16
//!   octets of the client's address in network order, an IPv4 address mapped into IPv6 as its 4.
//! - `position = (H(key, input) * 100_000) >> 64`, the product in 128 bits.
//! - The ranges of positions are those of [`split`](crate::split): canaries in the order of
//!   declaration, stable last.
//!
//! The upstream's name keeps two rollouts independent of each other: whoever is early in one is
//! not early in all.

use std::{net::IpAddr, time::Duration};

use gnomon_config::model::{Key, Shadow, Upstream};
use gnomon_flags::Hasher;
use gnomon_wire::Request;

use crate::{luck::Luck, plan::MintedId};

/// The hash that places users of `upstream`.
#[must_use]
pub fn hasher_of(upstream: &Upstream) -> Hasher {
    Hasher::salted(&upstream.sticky.salt, &upstream.sticky.secret.0)
}

/// The hash of balance keys; another than the sticky one, or all users of a canary would crowd on the
/// same endpoints. Not a wire format.
#[must_use]
pub fn hasher_of_balance(upstream: &Upstream) -> Hasher {
    Hasher::derive(b"gnomon balance 1", &upstream.name, &upstream.sticky.secret.0)
}

/// The hash that picks the users whose requests are copied for a shadow: its own, which is no wire
/// format, unless it is to copy those whom a split or a flag with the same salt picks; the secret is that of the
/// upstream whose requests are copied (`from`).
#[must_use]
pub fn hasher_of_shadow(shadow: &Shadow, from: &Upstream) -> Hasher {
    match &shadow.salt {
        Some(salt) => Hasher::salted(salt, &from.sticky.secret.0),
        None => Hasher::derive(b"gnomon shadow 1", &shadow.name, b""),
    }
}

/// Characters of a minted cookie's value: 96 bits, six to a character.
pub const TEXT_BYTES: usize = 16;

impl MintedId {
    /// Draws an id.
    #[must_use]
    pub fn mint(luck: &mut Luck) -> Self {
        let (high, low) = (luck.draw().to_le_bytes(), luck.draw().to_le_bytes());
        Self(std::array::from_fn(|index| if index < 8 { high[index] } else { low[index - 8] }))
    }

    /// The cookie's value: base64url without padding.
    #[must_use]
    pub fn text(self) -> [u8; TEXT_BYTES] {
        let mut text = [0; TEXT_BYTES];
        for (bytes, characters) in self.0.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
            let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
            for (shift, character) in [18, 12, 6, 0].into_iter().zip(characters) {
                *character = ALPHABET[(bits >> shift & 0x3f) as usize];
            }
        }
        text
    }

    /// Reads a cookie's value. Anything but 16 characters of base64url is not ours.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != TEXT_BYTES {
            return None;
        }
        let mut id = [0; 12];
        for (characters, bytes) in text.chunks_exact(4).zip(id.chunks_exact_mut(3)) {
            let bits = characters.iter().try_fold(0_u32, |bits, &character| {
                Some(bits << 6 | u32::from(sextet(character)?))
            })?;
            bytes.copy_from_slice(&bits.to_be_bytes()[1..]);
        }
        Some(Self(id))
    }
}

/// The value of `key` in a request. An empty value is no value: it tells nobody apart.
#[must_use]
pub fn find<'r>(
    key: &'r Key,
    request: Request<'r>,
    client: IpAddr,
    buffer: &'r mut [u8; 16],
) -> Option<&'r [u8]> {
    let value = match key {
        Key::Cookie(name) => request.cookie(name),
        Key::Header(name) => request.values(name).next(),
        Key::Query(name) => request.query_value(name),
        Key::ClientIp => Some(octets(client, buffer)),
    };
    value.filter(|value| !value.is_empty())
}

/// How the client reached us, which decides about the cookie's `Secure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Over TLS, here or at a proxy before us that we trust.
    Secure,
    /// In the clear.
    Plain,
}

/// Appends the value of a `Set-Cookie` field that hands out `id`.
///
/// Seen by no script (`HttpOnly`) and not sent with cross-site posts (`SameSite=Lax`).
pub fn write_cookie(
    out: &mut Vec<u8>,
    name: &str,
    id: MintedId,
    max_age: Duration,
    channel: Channel,
) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(&id.text());
    out.extend_from_slice(b"; Path=/; Max-Age=");
    write_decimal(out, max_age.as_secs());
    out.extend_from_slice(b"; HttpOnly; SameSite=Lax");
    if channel == Channel::Secure {
        out.extend_from_slice(b"; Secure");
    }
}

fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    // 20 digits hold any u64.
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10).to_le_bytes()[0];
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// The address in network order, IPv4 mapped into IPv6 as IPv4.
fn octets(address: IpAddr, buffer: &mut [u8; 16]) -> &[u8] {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            buffer[..4].copy_from_slice(&v4.octets());
            &buffer[..4]
        }
        IpAddr::V6(v6) => {
            *buffer = v6.octets();
            buffer
        }
    }
}

fn sextet(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests;
