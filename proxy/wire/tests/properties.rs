//! What must hold for any bytes, tried on bytes that are nearly right.

#[path = "shared/oracle.rs"]
mod oracle;

use proptest::{collection::vec, prelude::*, sample::select};

/// Pieces of requests and replies, good and bad.
const LINES: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /a?b=c HTTP/1.1\r\n",
    "HEAD http://Example.com?x HTTP/1.0\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "GET /a\\b HTTP/1.1\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 304\r\n",
    "HTTP/1.1 204 \r\n",
    "Host: example.com\r\n",
    "hOST:\texample.com:80 \r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 05, 5\r\n",
    "content-length:\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Connection: close, x-hop, host\r\n",
    "Connection: Upgrade, keep-alive\r\n",
    "Upgrade: websocket\r\n",
    "X-Hop: 1\r\n",
    "X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n",
    "Forwarded: for=\"[::1]\"\r\n",
    "Via: 1.1 a\r\n",
    "TE: trailers\r\n",
    "Expect: 100-continue\r\n",
    "X: gr\u{fc}\u{df}e\r\n",
    " folded\r\n",
    "a: b\nc: d\r\n",
    "a: b\rc: d\r\n",
    "\r\n",
    "\n",
];

const STARTS: &[&str] =
    &["", "\r\n", "GET /x HTTP/1.1\r\nHost: example.com\r\n", "HTTP/1.1 200 OK\r\n"];

/// Pieces of chunked bodies, good and bad.
const CHUNKS: &[&str] = &[
    "5\r\nhello\r\n",
    "005;a=b\r\nhello\r\n",
    "1 ; a = \"q\\\" ;\" ; b\r\nx\r\n",
    "a\r\n0123456789\r\n",
    "0\r\n",
    "0\r\n\r\n",
    "0;last\r\nX-T: v\r\nContent-Length: 5\r\n\r\n",
    "0\r\nbad\r\n\r\n",
    "0\r\n folded: x\r\n\r\n",
    "5;\r\nhello\r\n",
    "5 \r\nhello\r\n",
    "5\nhello\r\n",
    "+5\r\nhello\r\n",
    "ffffffffffffffff\r\n",
    "7fffffffffffffff\r\n",
    "00000000000000005\r\n",
    "5\r\nhelloX\r\n",
    "\r\n",
    "GET / HTTP/1.1\r\n",
];

fn pieces(of: &'static [&'static str], count: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(select(of), 0..count).prop_map(|lines| lines.concat().into_bytes())
}

/// Sometimes one byte is another one.
fn spoilt(good: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (good, any::<prop::sample::Index>(), prop::option::weighted(0.3, any::<u8>())).prop_map(
        |(mut bytes, index, spoiler)| {
            if let (Some(spoiler), false) = (spoiler, bytes.is_empty()) {
                let index = index.index(bytes.len());
                bytes[index] = spoiler;
            }
            bytes
        },
    )
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    let whole = (select(STARTS), pieces(LINES, 8), any::<bool>());
    spoilt(whole.prop_map(|(start, lines, is_whole)| {
        [start.as_bytes(), &lines, if is_whole { b"\r\n".as_slice() } else { b"" }].concat()
    }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_head_does_not_depend_on_cuts(head in head(), seed in vec(any::<u8>(), 0..64)) {
        oracle::heads_do_not_depend_on_cuts(&head, &seed);
    }

    #[test]
    fn a_head_goes_on_as_one(head in head()) {
        oracle::a_request_goes_on_as_one(&head);
        oracle::a_reply_goes_on_as_one(&head);
    }

    #[test]
    fn a_framing_is_as_read_slowly(head in head()) {
        oracle::framing_is_as_read_slowly(&head);
    }

    #[test]
    fn a_chunked_body_is_as_the_reference_reads_it(
        body in spoilt(pieces(CHUNKS, 6)),
        seed in vec(any::<u8>(), 0..64),
    ) {
        oracle::chunks_are_as_referred(&body, &seed);
    }

    #[test]
    fn what_is_framed_is_read_again(
        content in vec(any::<u8>(), 0..300),
        seed in vec(any::<u8>(), 0..64),
        behind in pieces(LINES, 3),
    ) {
        oracle::chunks_go_round(&content, &seed, &behind);
    }
}
