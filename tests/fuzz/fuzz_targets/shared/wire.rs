//! What the targets of the codec hold it to; `oracle` is beside this module wherever it is used.

use super::oracle;

/// No crash, no dependence on cuts, and what goes on is one message.
#[allow(dead_code, reason = "each target uses its part")]
pub(crate) fn head(input: &[u8]) {
    // The last bytes cut the others.
    let (head, seed) = input.split_at(input.len() - input.len().min(8));
    oracle::heads_do_not_depend_on_cuts(input, seed);
    for head in [head, input] {
        oracle::a_request_goes_on_as_one(head);
        oracle::a_reply_goes_on_as_one(head);
    }
}

/// Framing against a slow and plain reading. The input is fields, under start lines that pass.
#[allow(dead_code, reason = "each target uses its part")]
pub(crate) fn framing(fields: &[u8]) {
    oracle::framing_is_as_read_slowly(fields);
    for start in STARTS {
        oracle::framing_is_as_read_slowly(&[start.as_bytes(), fields, b"\r\n\r\n"].concat());
    }
}

/// The decoder against a reference, under any cuts; and the encoder against the decoder.
#[allow(dead_code, reason = "each target uses its part")]
pub(crate) fn chunked(input: &[u8]) {
    let (body, seed) = input.split_at(input.len() - input.len().min(8));
    oracle::chunks_are_as_referred(input, seed);
    oracle::chunks_go_round(body, seed, seed);
}

#[allow(dead_code, reason = "each target uses its part")]
const STARTS: &[&str] = &[
    "POST / HTTP/1.1\r\nHost: a\r\n",
    "POST / HTTP/1.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
];
