//! Replies without their content coding, so that they can be looked into.

use bytes::Bytes;
use gnomon_wire::{FIELDS_MAX, HeadLimits, Progress, Response, ResponseHead};

use crate::{compare::decode, difference::Body, exchange::Reply};

/// `reply` without its content coding; as it is where it has none, was not captured whole, or does
/// not decode to at most `max` bytes.
pub(crate) fn plain(reply: &Reply, max: u64) -> Reply {
    decoded(reply, max).unwrap_or_else(|| reply.clone())
}

fn decoded(reply: &Reply, max: u64) -> Option<Reply> {
    let body = &reply.body;
    if body.hash.is_some() || body.bytes.is_empty() || body.bytes.len() as u64 != body.length {
        return None;
    }
    let mut head = ResponseHead::default();
    let response = read(&mut head, &reply.head)?;
    response.values(CODING).next()?;
    let bytes = decode::decode(&response, &body.bytes, max).ok()?.into_owned();
    let body = Body { length: bytes.len() as u64, bytes: Bytes::from(bytes), hash: None };
    let fields =
        response.fields().filter(|(name, _)| !name.eq_ignore_ascii_case(CODING.as_bytes()));
    Some(Reply { head: write(response.status(), fields), body })
}

/// What a whole head says; nothing if it is none, which nobody would have kept.
pub(crate) fn read<'a>(head: &'a mut ResponseHead, bytes: &'a [u8]) -> Option<Response<'a>> {
    let is_whole = matches!(head.read(bytes, &HEAD), Ok(Progress::Done(_)));
    is_whole.then_some(Response { head, bytes })
}

/// The head of a reply with these fields.
pub(crate) fn write<'f>(status: u16, fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Bytes {
    let mut out = format!("HTTP/1.1 {status} \r\n").into_bytes();
    for (name, value) in fields {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Bytes::from(out)
}

const CODING: &str = "content-encoding";

/// Who read the head first had limits of its own; these are the most it can be told.
const HEAD: HeadLimits = HeadLimits {
    bytes: 1 << 20,
    line_bytes: 1 << 20,
    field_bytes: 1 << 20,
    fields: FIELDS_MAX,
    connect: false,
};

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn reply(head: &str, bytes: Vec<u8>) -> Reply {
        let body = Body { length: bytes.len() as u64, bytes: bytes.into(), hash: None };
        Reply { head: Bytes::copy_from_slice(head.as_bytes()), body }
    }

    #[test]
    fn a_coding_is_undone_and_no_longer_named() {
        let mut coder = GzEncoder::new(Vec::new(), Compression::fast());
        coder.write_all(b"hello").unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\na: b\r\n\r\n";
        let coded = reply(head, coder.finish().unwrap());
        let plain = plain(&coded, 100);
        assert_eq!(plain.head, "HTTP/1.1 200 \r\na: b\r\n\r\n");
        assert_eq!((&plain.body.bytes[..], plain.body.length), (&b"hello"[..], 5));
        assert_eq!(super::plain(&coded, 4), coded, "too long");
    }

    #[test]
    fn what_is_not_coded_stays_as_it_is() {
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n"]
        {
            let reply = reply(head, b"hello".to_vec());
            assert_eq!(plain(&reply, 100), reply);
        }
    }
}
