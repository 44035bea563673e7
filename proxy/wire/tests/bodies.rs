//! Bodies: their ends, their bounds, and how they are framed in place.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use gnomon_wire::{
    BodyLimits, BodyReader, BodyWriter, CHUNK_HEAD_MAX, Fault, Framing, Piece, Reject, Side,
};

fn reader(framing: Framing) -> BodyReader {
    BodyReader::new(Side::Request, framing, &BodyLimits::DEFAULT).unwrap()
}

fn refused(text: &str) -> Option<Fault> {
    reader(Framing::Chunked).read(&mut text.as_bytes().to_vec()).err().map(|reject| reject.fault)
}

#[test]
fn a_length_ends_where_it_says() {
    let mut body = reader(Framing::Length(5));
    assert_eq!(body.wanted(), Some(5));
    assert_eq!(body.read(&mut b"hel".to_vec()), Ok(Piece { data: 0..3, consumed: 3, end: false }));
    assert!(body.finish_input().is_err());
    assert_eq!(body.read(&mut b"loGET".to_vec()), Ok(Piece { data: 0..2, consumed: 2, end: true }));
    assert!(body.is_done() && body.finish_input().is_ok());
    assert_eq!(body.read(&mut b"GET".to_vec()), Ok(Piece { data: 0..0, consumed: 0, end: true }));
    for framing in [Framing::Empty, Framing::Length(0)] {
        assert!(reader(framing).is_done());
    }
}

#[test]
fn the_connection_ends_what_has_no_other_end() {
    let mut body = reader(Framing::UntilClose);
    assert_eq!(body.read(&mut b"abc".to_vec()), Ok(Piece { data: 0..3, consumed: 3, end: false }));
    assert_eq!(body.wanted(), None);
    assert!(!body.is_done() && body.finish_input().is_ok() && body.is_done());
}

#[test]
fn chunks_are_moved_together_and_what_follows_stays() {
    let mut window = b"5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\n\r\nGET".to_vec();
    let mut body = reader(Framing::Chunked);
    let piece = body.read(&mut window).unwrap();
    assert_eq!(&window[piece.data], b"hello, world");
    assert_eq!(&window[piece.consumed..], b"GET");
    assert!(piece.end && body.is_done() && body.trailers().is_empty());
}

#[test]
fn trailers_wait_until_they_are_whole_and_carry_nothing_that_matters() {
    let mut body = reader(Framing::Chunked);
    let mut window = b"1\r\nx\r\n0\r\nX-Sum: 1 \r\nhost: b\r\nContent-Length".to_vec();
    let piece = body.read(&mut window).unwrap();
    assert_eq!((piece.data, piece.consumed, piece.end), (3..4, 9, false));
    window.drain(..9);
    window.extend_from_slice(b": 9\r\nX_Forwarded_For: 6\r\n\r\nGET");
    let piece = body.read(&mut window).unwrap();
    assert!(piece.data.is_empty() && piece.end);
    assert_eq!(&window[piece.consumed..], b"GET");
    assert_eq!(body.trailers(), b"X-Sum: 1\r\n");
}

#[test]
fn a_chunk_is_refused_for_its_own_reason() {
    let rows: &[(&str, Fault)] = &[
        ("\r\n", Fault::ChunkSize),
        ("+5\r\n", Fault::ChunkSize),
        ("0x5\r\n", Fault::ChunkSize),
        ("ffffffffffffffff\r\n", Fault::ChunkSize),
        ("00000000000000005\r\n", Fault::ChunkSize),
        ("5\n", Fault::BareLf),
        ("5\rx", Fault::ChunkSize),
        ("5 \r\n", Fault::ChunkExtension),
        ("5;\r\n", Fault::ChunkExtension),
        ("5;a=\r\n", Fault::ChunkExtension),
        ("5;a\nb\r\n", Fault::ChunkExtension),
        ("5;a=\"b\r\n", Fault::ChunkExtension),
        ("5\r\nhelloX", Fault::ChunkEnd),
        ("5\r\nhello\r\r", Fault::ChunkEnd),
        ("0\r\nX : y\r\n\r\n", Fault::FieldName),
        ("0\r\nX: y\n", Fault::BareLf),
        ("0\r\n X: y\r\n", Fault::ObsFold),
    ];
    for (text, fault) in rows {
        assert_eq!(refused(text), Some(*fault), "{text:?}");
    }
}

#[test]
fn each_bound_of_a_body_holds() {
    let limits = BodyLimits { bytes: 5, ..BodyLimits::DEFAULT };
    let new = |framing| BodyReader::new(Side::Request, framing, &limits);
    let too_large = Reject { side: Side::Request, fault: Fault::BodyTooLarge };
    assert!(new(Framing::Length(5)).is_ok());
    assert_eq!(new(Framing::Length(6)).err(), Some(too_large));
    let mut body = new(Framing::Chunked).unwrap();
    assert!(body.read(&mut b"5\r\nhello\r\n".to_vec()).is_ok());
    assert_eq!(body.read(&mut b"1\r\n".to_vec()), Err(too_large));
    assert_eq!(new(Framing::UntilClose).unwrap().read(&mut [0; 6]), Err(too_large));

    let long = |n: usize| "x".repeat(n);
    assert_eq!(refused(&format!("5;{}\r\nhello\r\n", long(4096))), None);
    assert_eq!(refused(&format!("5;{}\r\n", long(4097))), Some(Fault::ChunkExtensionsTooLong));
    let many = format!("1;{}\r\nx\r\n", long(4000)).repeat(5);
    assert_eq!(refused(&many), Some(Fault::ChunkExtensionsTooLong));
    let trailer = format!("0\r\nX: {}\r\n\r\n", long(9000));
    assert_eq!(refused(&trailer), Some(Fault::TrailersTooLarge));
    let trailers = format!("0\r\n{}\r\n", format!("X: {}\r\n", long(2000)).repeat(5));
    assert_eq!(refused(&trailers), Some(Fault::TrailersTooLarge));
    assert_eq!(refused(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(33))), Some(Fault::TooManyFields));
}

#[test]
fn a_piece_is_framed_where_it_lies_or_not_at_all() {
    let frame = |behind: &str, data: &str, free: usize, end: Option<&[u8]>| {
        let mut buffer = vec![b'#'; CHUNK_HEAD_MAX];
        buffer.extend_from_slice(data.as_bytes());
        let data = CHUNK_HEAD_MAX..buffer.len();
        let free = data.end + free;
        buffer.resize(free, b'#');
        buffer.extend_from_slice(behind.as_bytes());
        let framed = BodyWriter::Chunked.frame(&mut buffer, data, free, end)?;
        if !behind.is_empty() {
            assert_eq!(&buffer[free..], behind.as_bytes());
        }
        Some(String::from_utf8(buffer[framed].to_vec()).unwrap())
    };
    let text = |text: &str| Some(text.to_string());
    assert_eq!(frame("", "hello", 0, None), text("5\r\nhello\r\n"));
    assert_eq!(frame("GET", "hello", 7, Some(b"")), text("5\r\nhello\r\n0\r\n\r\n"));
    assert_eq!(frame("GET", "hello", 6, Some(b"")), None);
    assert_eq!(frame("GET", "", 0, Some(b"")), text("0\r\n\r\n"));
    assert_eq!(frame("GET", "", 2, Some(b"")), text("0\r\n\r\n"));
    assert_eq!(frame("", "", 0, None), text(""));
    assert_eq!(frame("", &"x".repeat(26), 0, None).unwrap().get(..4), Some("1a\r\n"));
    assert_eq!(frame("", "a", 0, Some(b"X: y\r\n")), text("1\r\na\r\n0\r\nX: y\r\n\r\n"));

    let mut out = Vec::new();
    BodyWriter::new(Framing::Chunked).frame_into(&mut out, b"hello", Some(b"X: y\r\n"));
    assert_eq!(out, b"5\r\nhello\r\n0\r\nX: y\r\n\r\n");
    out.clear();
    BodyWriter::new(Framing::Length(5)).frame_into(&mut out, b"hello", Some(b"X: y\r\n"));
    assert_eq!(out, b"hello");
}
