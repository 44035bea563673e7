//! Content codings, undone within bounds.

use std::{borrow::Cow, io::Read};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use gnomon_wire::Response;
use ruzstd::decoding::{
    FrameDecoder, StreamingDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use crate::difference::Uncomparable;

/// Codings laid over each other. More than one is rare; more than this is a bomb.
const CODINGS_MAX: usize = 4;

/// What a coded body may become: text in JSON seldom shrinks to less than an eighth ...
const RATIO_MAX: u64 = 8;
/// ... but a small body may, at no great cost ...
const DECODED_LEAST: u64 = 1 << 20;
/// ... and two of a pair are in memory at once, each perhaps with what it was decoded from.
const DECODED_MOST: u64 = 32 << 20;

/// What a zstd frame may ask to look back on: the most a server may use in HTTP (RFC 9659).
const ZSTD_WINDOW_MAX: u64 = 8 << 20;

/// Room for what brotli reads ahead.
const BROTLI_BUFFER: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Zlib,
    Brotli,
    Zstd,
}

/// Most bytes that a body becomes where at most `max` are compared.
pub(super) fn decoded_max(max: u64) -> u64 {
    max.saturating_mul(RATIO_MAX).clamp(DECODED_LEAST, DECODED_MOST)
}

/// Whether two bodies are coded in the same way, known to us or not.
pub(super) fn are_alike(one: &Response<'_>, other: &Response<'_>) -> bool {
    names(one).map(<[u8]>::to_ascii_lowercase).eq(names(other).map(<[u8]>::to_ascii_lowercase))
}

/// The content of a whole body, of at most `max` bytes if it is coded at all.
pub(crate) fn decode<'b>(
    response: &Response<'_>,
    body: &'b [u8],
    max: u64,
) -> Result<Cow<'b, [u8]>, Uncomparable> {
    undo_all(names(response), body, max)
}

/// The same for a body under a field `Content-Encoding` with this value.
pub(crate) fn decode_as<'b>(
    value: &[u8],
    body: &'b [u8],
    max: u64,
) -> Result<Cow<'b, [u8]>, Uncomparable> {
    undo_all(listed(value), body, max)
}

fn undo_all<'n, 'b>(
    names: impl Iterator<Item = &'n [u8]>,
    body: &'b [u8],
    max: u64,
) -> Result<Cow<'b, [u8]>, Uncomparable> {
    let codings = codings(names)?;
    let mut content = Cow::Borrowed(body);
    // Listed as they were applied: the last is the outermost. Some name a coding and send nothing.
    for coding in codings.iter().rev().filter(|_| !body.is_empty()) {
        content = Cow::Owned(undo(*coding, &content, max).ok_or(Uncomparable::Undecodable)?);
    }
    Ok(content)
}

/// The names in `Content-Encoding`, in order, without those that change nothing.
fn names<'a>(response: &Response<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    response.values("content-encoding").flat_map(listed)
}

fn listed(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
}

fn codings<'n>(names: impl Iterator<Item = &'n [u8]>) -> Result<Vec<Coding>, Uncomparable> {
    let mut all = Vec::new();
    for name in names {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        all.push(if is(b"gzip") || is(b"x-gzip") {
            Coding::Gzip
        } else if is(b"deflate") {
            Coding::Zlib
        } else if is(b"br") {
            Coding::Brotli
        } else if is(b"zstd") {
            Coding::Zstd
        } else {
            return Err(Uncomparable::Coding);
        });
        if all.len() > CODINGS_MAX {
            return Err(Uncomparable::Coding);
        }
    }
    Ok(all)
}

/// What was coded; nothing if it is corrupt, not all there, or too long.
fn undo(coding: Coding, bytes: &[u8], max: u64) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    match coding {
        Coding::Gzip => take(MultiGzDecoder::new(bytes), max, &mut content)?,
        Coding::Zlib => take(ZlibDecoder::new(bytes), max, &mut content)?,
        Coding::Brotli => {
            take(brotli_decompressor::Decompressor::new(bytes, BROTLI_BUFFER), max, &mut content)?;
        }
        Coding::Zstd => undo_zstd(bytes, max, &mut content)?,
    }
    Some(content)
}

/// Frames follow each other until the bytes end; some carry nothing for us.
fn undo_zstd(mut bytes: &[u8], max: u64, content: &mut Vec<u8>) -> Option<()> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW_MAX);
    while !bytes.is_empty() {
        match StreamingDecoder::new_with_decoder(&mut bytes, &mut decoder) {
            Ok(frame) => take(frame, max, content)?,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => bytes = bytes.get(usize::try_from(length).ok()?..)?,
            Err(_) => return None,
        }
    }
    Some(())
}

/// Reads to the end, but no more than `max` bytes in all.
fn take(decoder: impl Read, max: u64, content: &mut Vec<u8>) -> Option<()> {
    let room = max.checked_sub(content.len() as u64)?;
    // One byte more than there may be, to see that there are more.
    let read = decoder.take(room + 1).read_to_end(content).ok()?;
    (read as u64 <= room).then_some(())
}
