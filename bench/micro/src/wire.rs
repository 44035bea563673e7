//! What heads and bodies cost.

use std::hint::black_box;

use gnomon_wire::{
    Answer, BodyLimits, BodyReader, BodyWriter, CHUNK_HEAD_MAX, Edits, Forwarding, Framing,
    HeadLimits, Progress, Request, RequestHead, RequestRewrite, Response, ResponseHead,
    ResponseRewrite, Side, Traceparent, write_answer, write_request, write_response,
};

use crate::{
    Case, Run, WARM_UPS,
    texts::{BROWSER_REQUEST, LARGE_REPLY, SMALL_REPLY, SMALL_REQUEST},
};

pub(crate) const CASES: [Case; 17] = [
    case("wire/read_request/small", || read_request(SMALL_REQUEST)),
    case("wire/read_request/browser", || read_request(BROWSER_REQUEST)),
    case("wire/read_request/two_pieces", || read_in_two(BROWSER_REQUEST)),
    case("wire/write_request/small", || write(SMALL_REQUEST, Edits::default())),
    case("wire/write_request/browser", || write(BROWSER_REQUEST, Edits::default())),
    case("wire/write_request/edited", || write(BROWSER_REQUEST, edits())),
    case("wire/read_reply/small", || read_reply(SMALL_REPLY)),
    case("wire/read_reply/large", || read_reply(LARGE_REPLY)),
    case("wire/write_reply/small", || pass_on(SMALL_REPLY, None)),
    case("wire/write_reply/large", || pass_on(LARGE_REPLY, None)),
    case("wire/write_reply/new_user", || pass_on(SMALL_REPLY, Some(COOKIE))),
    case("wire/answer", answer),
    case("wire/trace", trace),
    case("wire/body/length", || body(Framing::Length(16 << 10), &[b'x'; 16 << 10], 1 << 10)),
    case("wire/body/one_chunk", || body(Framing::Chunked, &chunks(1, 16 << 10), usize::MAX)),
    case("wire/body/many_chunks", || body(Framing::Chunked, &chunks(16, 1 << 10), usize::MAX)),
    case("wire/body/many_reads", || body(Framing::Chunked, &chunks(16, 1 << 10), 1000)),
];

const fn case(name: &'static str, prepare: fn() -> Run) -> Case {
    Case { name, runs: RUNS, prepare }
}

/// What is around a run is then below a hundredth of an instruction in the smallest case.
const RUNS: u32 = 100;

const COOKIE: &[u8] =
    b"gnomon_shop=AAECAwQFBgcICQoL; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax";

fn read_request(bytes: &'static [u8]) -> Run {
    let mut head = RequestHead::default();
    Box::new(move || {
        head.clear();
        let progress = head.read(black_box(bytes), &HeadLimits::REQUEST);
        assert_eq!(progress, Ok(Progress::Done(bytes.len())));
    })
}

/// The first piece ends amid a value.
fn read_in_two(bytes: &'static [u8]) -> Run {
    let mut head = RequestHead::default();
    let first = &bytes[..bytes.len() / 2];
    Box::new(move || {
        head.clear();
        let progress = head.read(black_box(first), &HeadLimits::REQUEST);
        assert_eq!(progress, Ok(Progress::More));
        let progress = head.read(black_box(bytes), &HeadLimits::REQUEST);
        assert_eq!(progress, Ok(Progress::Done(bytes.len())));
    })
}

/// As `proxy/src/worker/outgoing.rs` writes it for a client that is not trusted.
fn write(bytes: &'static [u8], edits: Edits) -> Run {
    let mut head = RequestHead::default();
    assert_eq!(head.read(bytes, &HeadLimits::REQUEST), Ok(Progress::Done(bytes.len())));
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        let all = [&edits];
        let rewrite = RequestRewrite {
            client: Forwarding {
                ip: b"192.0.2.7",
                proto: b"http",
                trusted: false,
                forwarded: true,
            },
            via: b"gnomon",
            request_id: Some(b"0123456789abcdef0123456789abcdef"),
            edits: if edits.is_empty() { &[] } else { &all },
            ..RequestRewrite::default()
        };
        write_request(&mut out, Request { head: &head, bytes: black_box(bytes) }, &rewrite);
        black_box(&out);
    })
}

fn edits() -> Edits {
    let mut edits = Edits::default();
    edits.remove("x-group").expect("it may be");
    edits.set("x-version", "v2").expect("it may be");
    edits.add("x-route", "shop").expect("it may be");
    edits
}

fn read_reply(bytes: &'static [u8]) -> Run {
    let mut head = ResponseHead::default();
    Box::new(move || {
        head.clear();
        let progress = head.read(black_box(bytes), &HeadLimits::REPLY);
        assert_eq!(progress, Ok(Progress::Done(bytes.len())));
    })
}

/// As `proxy/src/worker/outgoing.rs` writes it.
fn pass_on(bytes: &'static [u8], set_cookie: Option<&'static [u8]>) -> Run {
    let mut head = ResponseHead::default();
    assert_eq!(head.read(bytes, &HeadLimits::REPLY), Ok(Progress::Done(bytes.len())));
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        let response = Response { head: &head, bytes: black_box(bytes) };
        let rewrite = ResponseRewrite {
            framing: response.framing(false),
            keep_alive: true,
            set_cookie,
            request_id: Some(b"0123456789abcdef0123456789abcdef"),
            via: b"gnomon",
            date: Some(b"Sun, 06 Nov 1994 08:49:37 GMT"),
            ..ResponseRewrite::default()
        };
        write_response(&mut out, response, &rewrite);
        black_box(&out);
    })
}

fn answer() -> Run {
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        let date: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
        let answer =
            Answer { status: 404, keep_alive: true, date: Some(date), ..Answer::default() };
        write_answer(&mut out, black_box(&answer));
        black_box(&out);
    })
}

/// A trace is read, and passed on with a span of ours.
fn trace() -> Run {
    let text: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    Box::new(move || {
        let parent = Traceparent::parse(black_box(text)).expect("it is one");
        black_box(parent.child(7).text());
    })
}

/// A body of 16 KiB as it goes through: read where it lies, framed where it lies. It comes `step`
/// bytes at a time, each behind the room that a chunk's head may need.
fn body(framing: Framing, wire: &[u8], step: usize) -> Run {
    let window = |piece: &[u8]| {
        // The proxy's buffers have room behind what was read as well.
        let mut window = Vec::with_capacity(piece.len() + 2 * CHUNK_HEAD_MAX);
        window.resize(CHUNK_HEAD_MAX, 0);
        window.extend_from_slice(piece);
        window
    };
    let windows = || wire.chunks(step).map(window).collect::<Vec<_>>();
    // Decoding moves the content within its window, so each run needs windows of its own.
    let mut bodies: Vec<_> = (0..=RUNS + WARM_UPS).map(|_| windows()).collect();
    let mut turn = 0;
    Box::new(move || {
        let mut reader = BodyReader::new(Side::Request, framing, &BodyLimits::DEFAULT)
            .expect("it is within the limits");
        let writer = BodyWriter::new(framing);
        for window in &mut bodies[turn] {
            let piece = reader.read(&mut window[CHUNK_HEAD_MAX..]).expect("it is well formed");
            let data = piece.data.start + CHUNK_HEAD_MAX..piece.data.end + CHUNK_HEAD_MAX;
            let end = piece.end.then(|| reader.trailers());
            let framed = writer.frame(window, data, piece.consumed + CHUNK_HEAD_MAX, end);
            black_box(framed.expect("there is room"));
        }
        assert!(reader.is_done(), "the body has ended");
        turn += 1;
    })
}

/// A chunked body of so many chunks of so many bytes.
fn chunks(number: usize, bytes: usize) -> Vec<u8> {
    let chunk = [format!("{bytes:x}\r\n").as_bytes(), &vec![b'x'; bytes], b"\r\n"].concat();
    [chunk.repeat(number), b"0\r\n\r\n".to_vec()].concat()
}
