//! Records: how they lie in bytes, sealed and opened in place.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::{ConnectionTrafficSecrets, ProtocolVersion, crypto::cipher};

/// Bytes before a record's content: type, version, length.
pub(crate) const HEADER: usize = 5;

/// The longest plaintext of one record.
pub(crate) const FRAGMENT: usize = 16 * 1024;

/// What a record may be longer than its plaintext.
const GROWTH: usize = 256;

/// The longest record.
pub(crate) const RECORD: usize = HEADER + FRAGMENT + GROWTH;

/// What sealing adds to a fragment, at most: header, explicit nonce or inner type, tag.
pub(crate) const OVERHEAD: usize = HEADER + EXPLICIT + TAG;

const TAG: usize = 16;
const EXPLICIT: usize = 8;

pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// Why a record cannot be used: the alert that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    UnexpectedMessage = 10,
    BadRecord = 20,
    Overflow = 22,
    Decode = 50,
    /// Of TLS 1.2: hands are shaken once.
    NoRenegotiation = 100,
    Internal = 80,
}

/// The key of one direction.
pub(crate) struct Key {
    key: LessSafeKey,
    iv: [u8; 12],
    /// The number of the next record.
    sequence: u64,
    shape: Shape,
    /// Records that may be sealed with it.
    most: u64,
}

/// How nonce and content type are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// TLS 1.3: the nonce is counted, the type is the last byte inside.
    Inner,
    /// TLS 1.2 with AES-GCM: a part of the nonce precedes the content.
    Explicit,
    /// TLS 1.2 with ChaCha20-Poly1305: the nonce is counted.
    Counted,
}

/// A record that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// What is in it.
    pub(crate) kind: u8,
    /// Where its content lies in the record.
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// The length of the record at the beginning of `bytes`, header included; `None` if even that has
/// yet to come.
pub(crate) fn length(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let &[kind, major, _, high, low, ..] = bytes else { return Ok(None) };
    let content = usize::from(u16::from_be_bytes([high, low]));
    if !(CHANGE_CIPHER_SPEC..=DATA).contains(&kind) || major != 3 {
        return Err(Fault::UnexpectedMessage);
    }
    if content > FRAGMENT + GROWTH {
        return Err(Fault::Overflow);
    }
    Ok(Some(HEADER + content))
}

impl Key {
    /// The key that a handshake or a key update came to.
    pub(crate) fn new(
        version: ProtocolVersion,
        sequence: u64,
        secrets: &ConnectionTrafficSecrets,
    ) -> Option<Self> {
        let is_newest = version == ProtocolVersion::TLSv1_3;
        let (algorithm, key, iv, shape, most) = match secrets {
            // 2^24.5 full records keep the margin of RFC 8446, 5.5; this is well below.
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
                (&AES_128_GCM, key, iv, Shape::Explicit, 1 << 23)
            }
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
                (&AES_256_GCM, key, iv, Shape::Explicit, 1 << 23)
            }
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&CHACHA20_POLY1305, key, iv, Shape::Counted, 1 << 48)
            }
            _ => return None,
        };
        Some(Self {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).ok()?),
            iv: iv.as_ref().try_into().ok()?,
            sequence,
            shape: if is_newest { Shape::Inner } else { shape },
            most,
        })
    }

    /// Whether it has sealed as much as it should.
    pub(crate) const fn is_worn(&self) -> bool {
        self.sequence >= self.most
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) const fn wear(&mut self) {
        self.most = self.sequence;
    }

    /// The length of the record that `content` bytes become.
    pub(crate) const fn sealed_length(&self, content: usize) -> usize {
        let more = match self.shape {
            Shape::Inner => 1,
            Shape::Explicit => EXPLICIT,
            Shape::Counted => 0,
        };
        HEADER + more + content + TAG
    }

    /// Makes a record of `content` at the beginning of `out`, which is long enough; its length.
    pub(crate) fn seal(&mut self, kind: u8, content: &[u8], out: &mut [u8]) -> Option<usize> {
        let length = self.sealed_length(content.len());
        let (header, rest) = out.get_mut(..length)?.split_at_mut(HEADER);
        let outer = if self.shape == Shape::Inner { DATA } else { kind };
        let [high, low] = u16::try_from(length - HEADER).ok()?.to_be_bytes();
        header.copy_from_slice(&[outer, 3, 3, high, low]);
        let nonce = self.counted();
        let inner = [kind];
        let (explicit, more): (_, &[u8]) = match self.shape {
            Shape::Inner => (0, &inner),
            Shape::Explicit => (EXPLICIT, &[]),
            Shape::Counted => (0, &[]),
        };
        let (prefix, rest) = rest.split_at_mut(explicit);
        prefix.copy_from_slice(nonce.get(4..4 + explicit)?);
        let (body, tag) = rest.split_at_mut(content.len());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = if self.shape == Shape::Inner {
            let aad = Aad::from([DATA, 3, 3, high, low]);
            self.key.seal_out_of_place_scatter(nonce, aad, content, body, more, tag)
        } else {
            let aad = Aad::from(self.older_aad(kind, content.len()));
            self.key.seal_out_of_place_scatter(nonce, aad, content, body, more, tag)
        };
        sealed.ok()?;
        self.sequence += 1;
        Some(length)
    }

    /// Opens a whole record where it lies.
    pub(crate) fn open(&mut self, record: &mut [u8]) -> Result<Opened, Fault> {
        let (header, body) = record.split_at_mut_checked(HEADER).ok_or(Fault::Decode)?;
        let kind = header[0];
        let opened = match self.shape {
            Shape::Inner => {
                if kind != DATA {
                    return Err(Fault::UnexpectedMessage);
                }
                let aad: [u8; HEADER] = [header[0], header[1], header[2], header[3], header[4]];
                let plain = self.unseal(self.counted(), &aad, body)?;
                // Padding is zeros behind the type.
                let end = plain.iter().rposition(|&byte| byte != 0);
                let end = end.ok_or(Fault::UnexpectedMessage)?;
                Opened { kind: plain[end], from: HEADER, to: HEADER + end }
            }
            Shape::Explicit => {
                let content = body.len().checked_sub(EXPLICIT + TAG).ok_or(Fault::BadRecord)?;
                let (explicit, body) = body.split_at_mut(EXPLICIT);
                let mut nonce = self.iv;
                nonce[4..].copy_from_slice(explicit);
                let aad = self.older_aad(kind, content);
                let plain = self.unseal(nonce, &aad, body)?;
                let from = HEADER + EXPLICIT;
                Opened { kind, from, to: from + plain.len() }
            }
            Shape::Counted => {
                let content = body.len().checked_sub(TAG).ok_or(Fault::BadRecord)?;
                let aad = self.older_aad(kind, content);
                let plain = self.unseal(self.counted(), &aad, body)?;
                Opened { kind, from: HEADER, to: HEADER + plain.len() }
            }
        };
        if opened.to - opened.from > FRAGMENT {
            return Err(Fault::Overflow);
        }
        self.sequence += 1;
        Ok(opened)
    }

    fn unseal<'b>(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        body: &'b mut [u8],
    ) -> Result<&'b mut [u8], Fault> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.open_in_place(nonce, Aad::from(aad), body).map_err(|_| Fault::BadRecord)
    }

    fn counted(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, counted) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= counted;
        }
        nonce
    }

    /// What TLS 1.2 authenticates beside the content.
    fn older_aad(&self, kind: u8, content: usize) -> [u8; 13] {
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&self.sequence.to_be_bytes());
        // Contents are below 2^15 bytes.
        let [.., high, low] = content.to_be_bytes();
        aad[8..].copy_from_slice(&[kind, 3, 3, high, low]);
        aad
    }
}

const _: () = assert!(cipher::NONCE_LEN == 12);
