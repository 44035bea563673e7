//! The field that tells origins what was decided, so that all who serve one request agree.
//!
//! ```text
//! x-gnomon-flags: 1;1f3c88…;1790000000;9a0c…;new-cart=on.P;theme=dark.T;s=kD3…
//!                 │ │       │          │     │                          └ signature, if there is a key
//!                 │ │       │          │     └ a variant each, and the reason's letter
//!                 │ │       │          └ hash of the targeting key; `-` without one
//!                 │ │       └ when, in seconds since 1970
//!                 │ └ revision of the set that decided
//!                 └ the format
//! ```
//!
//! The signature is the first half of HMAC-SHA256 (RFC 2104) over all before it, in base64url. Names
//! are percent-encoded where they hold anything but letters, digits, `-` and `_`.

use std::io::Write as _;

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use gnomon_config::model::Secret;

use crate::{
    Context, Evaluation, FlagSet, Hasher, Reason, Resolution,
    set::{Flag, FlagIx},
};

/// Bytes of the field at most: origins take some 8 KiB for all fields together. Flags that do not fit
/// are left out, in order of the set; whoever asks for those has them evaluated.
pub const BYTES_MAX: usize = 4096;

/// Seconds for which what was decided is believed: longer than a page takes, shorter than a rollout's
/// step.
pub const SECONDS_MAX: u64 = 600;

/// Bytes of the signature.
const SIGNATURE: usize = 16;

/// Characters of it in base64url, with what stands before it.
const SIGNATURE_TEXT: usize = 22 + SIGNED.len();
const SIGNED: &[u8] = b";s=";

/// What signs and reads the field.
#[derive(Debug)]
pub struct Seal {
    key: Option<hmac::Key>,
    units: Hasher,
}

impl Seal {
    /// Signs with `key`, unless it is empty; users' keys are hashed under `secret`.
    pub(crate) fn new(key: &Secret, secret: &Secret) -> Self {
        let sign = (!key.0.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &key.0));
        Self { key: sign, units: Hasher::derive(b"gnomon unit 1", "", &secret.0) }
    }

    /// Whether fields are signed.
    #[must_use]
    pub const fn signs(&self) -> bool {
        self.key.is_some()
    }

    fn unit(&self, set: &FlagSet, context: &impl Context) -> Option<u64> {
        let mut buffer = [0; 16];
        let by = set.terms().by.as_ref()?;
        context.key(by, &mut buffer).map(|key| self.units.hash(&key))
    }
}

/// Appends what is sent of `evaluation`. All of it counts as an exposure.
pub fn write(evaluation: &Evaluation<'_>, out: &mut Vec<u8>) {
    let set = evaluation.set();
    let (seal, start) = (set.seal(), out.len());
    // Writing to memory does not fail.
    let _ = write!(out, "1;{:016x};{};", set.revision, evaluation.now());
    let _ = match seal.unit(set, evaluation.context()) {
        Some(unit) => write!(out, "{unit:016x}"),
        None => write!(out, "-"),
    };
    for place in 0..set.sent() {
        let before = out.len();
        let resolution = evaluation.resolve(place);
        member(out, set.flag(set.watched()[place]), resolution);
        if out.len() - start > BYTES_MAX - SIGNATURE_TEXT {
            out.truncate(before);
            continue;
        }
        evaluation.expose(place);
    }
    if let Some(key) = &seal.key {
        let tag = hmac::sign(key, &out[start..]);
        out.extend_from_slice(SIGNED);
        base64url(out, &tag.as_ref()[..SIGNATURE]);
    }
}

fn member(out: &mut Vec<u8>, flag: &Flag, resolution: Resolution) {
    out.push(b';');
    encode(out, &flag.name);
    out.push(b'=');
    let variant = resolution.variant.and_then(|at| flag.variants.get(usize::from(at)));
    if let Some(variant) = variant {
        encode(out, &variant.name);
    }
    out.push(b'.');
    out.push(letter(resolution.reason));
}

/// What a field says of the flags that are still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// Hash of the targeting key; none without one.
    unit: Option<u64>,
    /// In the field's order.
    known: Vec<(FlagIx, Resolution)>,
}

/// Why a field is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It is not in this format.
    Format,
    /// Its signature is missing or wrong.
    Signature,
    /// It is too old, or from the future.
    Time,
}

impl Frozen {
    /// What the field says of a flag.
    #[must_use]
    pub fn get(&self, flag: FlagIx) -> Option<Resolution> {
        self.known.iter().find(|(known, _)| *known == flag).map(|(_, resolution)| *resolution)
    }

    /// All that it says.
    pub fn all(&self) -> impl Iterator<Item = (FlagIx, Resolution)> {
        self.known.iter().copied()
    }

    /// Whether it was said of the user of this context: of one who cannot be told, it may have been.
    #[must_use]
    pub fn is_of(&self, set: &FlagSet, context: &impl Context) -> bool {
        set.seal().unit(set, context).is_none_or(|unit| self.unit == Some(unit))
    }
}

/// Reads a field at `now`, in seconds since 1970. Flags and variants that are not there any more are
/// left out.
///
/// # Errors
/// [`Bad`]; nothing of it is to be believed then.
pub fn read(set: &FlagSet, text: &[u8], now: u64) -> Result<Frozen, Bad> {
    if text.len() > BYTES_MAX {
        return Err(Bad::Format);
    }
    let text = verified(set.seal(), text)?;
    let text = std::str::from_utf8(text).map_err(|_| Bad::Format)?;
    let mut parts = text.split(';');
    let (format, revision) = (parts.next(), parts.next());
    let is_ours = format == Some("1") && revision.is_some_and(|text| text.len() == 16);
    let time = parts.next().and_then(|text| text.parse::<u64>().ok());
    let (true, Some(time), Some(unit)) = (is_ours, time, parts.next()) else {
        return Err(Bad::Format);
    };
    if now.abs_diff(time) > SECONDS_MAX {
        return Err(Bad::Time);
    }
    let unit = match unit {
        "-" => None,
        unit => Some(u64::from_str_radix(unit, 16).map_err(|_| Bad::Format)?),
    };
    let mut known = Vec::new();
    for part in parts {
        let (name, rest) = part.split_once('=').ok_or(Bad::Format)?;
        let (variant, letter) = rest.rsplit_once('.').ok_or(Bad::Format)?;
        let reason = reason(letter).ok_or(Bad::Format)?;
        let (name, variant) = (decode(name)?, decode(variant)?);
        known.extend(resolution(set, &name, &variant, reason));
    }
    Ok(Frozen { unit, known })
}

/// The text before the signature, if that is right or none is asked for.
fn verified<'t>(seal: &Seal, text: &'t [u8]) -> Result<&'t [u8], Bad> {
    let at = text.windows(SIGNED.len()).rposition(|window| window == SIGNED);
    let Some(key) = &seal.key else { return Ok(at.map_or(text, |at| &text[..at])) };
    let (said, signature) = text.split_at(at.ok_or(Bad::Signature)?);
    let mut right = Vec::with_capacity(SIGNATURE_TEXT);
    right.extend_from_slice(SIGNED);
    base64url(&mut right, &hmac::sign(key, said).as_ref()[..SIGNATURE]);
    verify_slices_are_equal(&right, signature).map_err(|_| Bad::Signature)?;
    Ok(said)
}

fn resolution(
    set: &FlagSet,
    name: &str,
    variant: &str,
    reason: Reason,
) -> Option<(FlagIx, Resolution)> {
    let ix = set.find(name)?;
    if variant.is_empty() {
        return Some((ix, Resolution::nothing(reason)));
    }
    let at = set.flag(ix).variants.iter().position(|known| *known.name == *variant)?;
    Some((ix, Resolution::of(u8::try_from(at).ok()?, reason)))
}

const fn letter(reason: Reason) -> u8 {
    match reason {
        Reason::Static => b'S',
        Reason::Default => b'D',
        Reason::TargetingMatch => b'T',
        Reason::Split => b'P',
        Reason::Disabled => b'X',
        Reason::Error => b'E',
    }
}

fn reason(letter: &str) -> Option<Reason> {
    Some(match letter {
        "S" => Reason::Static,
        "D" => Reason::Default,
        "T" => Reason::TargetingMatch,
        "P" => Reason::Split,
        "X" => Reason::Disabled,
        "E" => Reason::Error,
        _ => return None,
    })
}

fn encode(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            out.push(byte);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn decode(text: &str) -> Result<String, Bad> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(Bad::Format)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| Bad::Format)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| Bad::Format)
}

fn base64url(out: &mut Vec<u8>, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for chunk in bytes.chunks(3) {
        let whole = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let whole = whole << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            out.push(ALPHABET[(whole >> (18 - 6 * at) & 63) as usize]);
        }
    }
}

#[cfg(test)]
mod tests;
