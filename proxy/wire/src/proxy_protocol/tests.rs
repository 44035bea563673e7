//! What headers are read, what is refused, and how soon.

use super::*;

fn ends(client: &str, server: &str) -> Who {
    Who::Client(Ends { client: client.parse().unwrap(), server: server.parse().unwrap() })
}

/// A version 2 header.
fn header(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family][..], &length, content].concat()
}

const FOUR: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0xc3, 0x50, 0x01, 0xbb];

/// The header is read whole, however it is cut and whatever follows; cut short, it wants more.
#[track_caller]
fn reads(bytes: &[u8], who: Who) {
    let whole = Header { who, length: bytes.len() };
    for end in 0..bytes.len() {
        assert_eq!(read(&bytes[..end]), Ok(None), "{end} of {}", bytes.escape_ascii());
    }
    assert_eq!(read(bytes), Ok(Some(whole)), "{}", bytes.escape_ascii());
    assert_eq!(read(&[bytes, b"GET / HTTP/1.1\r\n"].concat()), Ok(Some(whole)));
    assert_eq!(read(&[bytes, bytes].concat()), Ok(Some(whole)));
}

/// It is refused for this, and no beginning of it is read.
#[track_caller]
fn refuses(bytes: &[u8], flaw: Flaw) {
    assert_eq!(read(bytes), Err(flaw), "{}", bytes.escape_ascii());
    for end in 0..bytes.len() {
        assert!(matches!(read(&bytes[..end]), Ok(None) | Err(_)), "{end}");
    }
}

#[test]
fn lines_are_read() {
    let table = [
        ("TCP4 192.0.2.7 198.51.100.1 50000 443", ends("192.0.2.7:50000", "198.51.100.1:443")),
        ("TCP4 255.255.255.255 0.0.0.0 65535 0", ends("255.255.255.255:65535", "0.0.0.0:0")),
        ("TCP6 2001:db8::1 ::1 1 2", ends("[2001:db8::1]:1", "[::1]:2")),
        ("TCP6 ::ffff:192.0.2.7 ::1 1 2", ends("[::ffff:192.0.2.7]:1", "[::1]:2")),
        ("UNKNOWN", Who::Unknown),
        ("UNKNOWN \x00any \u{ff} thing", Who::Unknown),
    ];
    for (text, who) in table {
        reads(format!("PROXY {text}\r\n").as_bytes(), who);
    }
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n");
    assert_eq!(longest.len(), LINE_MAX);
    reads(longest.as_bytes(), Who::Unknown);
}

#[test]
fn lines_that_are_none_are_refused() {
    for text in [
        "TCP4 192.0.2.7 198.51.100.1 50000",
        "TCP4 192.0.2.7 198.51.100.1 50000 443 ",
        "TCP4 192.0.2.7 198.51.100.1 50000 443 1",
        "TCP4  192.0.2.7 198.51.100.1 50000 443",
        "TCP4\t192.0.2.7 198.51.100.1 50000 443",
        "TCP4 192.0.2.07 198.51.100.1 50000 443",
        "TCP4 192.0.2 198.51.100.1 50000 443",
        "TCP4 192.0.2.256 198.51.100.1 50000 443",
        "TCP4 ::1 ::1 1 2",
        "TCP6 192.0.2.7 192.0.2.7 1 2",
        "TCP6 fe80::1%1 ::1 1 2",
        "TCP4 192.0.2.7 198.51.100.1 65536 443",
        "TCP4 192.0.2.7 198.51.100.1 050 443",
        "TCP4 192.0.2.7 198.51.100.1 +50 443",
        "TCP4 192.0.2.7 198.51.100.1 -1 443",
        "TCP4 192.0.2.7 198.51.100.1  443",
        "UDP4 192.0.2.7 198.51.100.1 50000 443",
        "tcp4 192.0.2.7 198.51.100.1 50000 443",
        "UNKNOWNX",
        "",
    ] {
        refuses(format!("PROXY {text}\r\n").as_bytes(), Flaw::Line);
    }
    refuses(b"PROXY UNKNOWN\n", Flaw::Line);
    refuses(b"PROXY UNKNOWN\rX\n", Flaw::Line);
    refuses(b"PROXY UNKNOWN \nX\r\n", Flaw::Line);
    refuses(b"PROXY\r\n", Flaw::Signature);
    refuses(b"proxy UNKNOWN\r\n", Flaw::Signature);
    refuses(b"GET / HTTP/1.1\r\n\r\n", Flaw::Signature);
    refuses(b"POST / HTTP/1.1\r\n\r\n", Flaw::Signature);
    refuses(b"\x16\x03\x01\x02\x00", Flaw::Signature);
}

#[test]
fn a_line_without_an_end_is_refused_as_soon_as_none_can_come() {
    let endless = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    assert_eq!(read(&endless[..LINE_MAX - 2]), Ok(None));
    assert_eq!(read(&endless[..LINE_MAX - 1]), Err(Flaw::TooLong));
    refuses(&endless, Flaw::TooLong);
    let by_one = [&endless[..LINE_MAX - 1], b"\r\n"].concat();
    refuses(&by_one, Flaw::TooLong);
}

#[test]
fn binary_headers_are_read() {
    let four = ends("192.0.2.7:50000", "198.51.100.1:443");
    reads(&header(0x21, 0x11, FOUR), four);
    let six = [&[0x20; 32][..], &[0, 1, 0, 2]].concat();
    let wide = "2020:2020:2020:2020:2020:2020:2020:2020";
    reads(&header(0x21, 0x21, &six), ends(&format!("[{wide}]:1"), &format!("[{wide}]:2")));
    reads(&header(0x21, 0x31, &[b'/'; 216]), Who::Unknown);
    for content in [&[][..], &[0; 7], FOUR] {
        reads(&header(0x21, 0x00, content), Who::Unknown);
        reads(&header(0x20, 0x00, content), Who::Sender);
        reads(&header(0x20, 0xff, content), Who::Sender);
    }
}

#[test]
fn items_must_fill_the_header() {
    let with = |items: &[u8]| header(0x21, 0x11, &[FOUR, items].concat());
    let four = ends("192.0.2.7:50000", "198.51.100.1:443");
    for items in [&[1, 0, 2, b'h', b'2'][..], &[4, 0, 0], &[4, 0, 1, 9, 0xee, 0, 0]] {
        reads(&with(items), four);
    }
    for items in [&[1][..], &[1, 0], &[1, 0, 1], &[1, 0xff, 0xff, 0], &[4, 0, 0, 1], &[3, 0, 0]] {
        refuses(&with(items), Flaw::Length);
        // What comes behind the header is none of its own.
        refuses(&[&with(items)[..], &[0; 9000]].concat(), Flaw::Length);
    }
}

#[test]
fn binary_headers_that_are_none_are_refused() {
    for (command, family) in
        [(0x11, 0x11), (0x31, 0x11), (0x22, 0x11), (0x2f, 0x00), (0x21, 0x12), (0x21, 0x10)]
    {
        refuses(&header(command, family, FOUR), Flaw::Unsupported);
    }
    for family in [0x01, 0x22, 0x32, 0x41, 0xff] {
        refuses(&header(0x21, family, &[0; 216]), Flaw::Unsupported);
    }
    refuses(&header(0x21, 0x11, &FOUR[..11]), Flaw::Length);
    refuses(&header(0x21, 0x21, &[0; 35]), Flaw::Length);
    refuses(&header(0x21, 0x31, &[0; 215]), Flaw::Length);
    let most = HEADER_MAX - FIXED;
    reads(&header(0x20, 0x00, &vec![0; most]), Who::Sender);
    refuses(&header(0x20, 0x00, &vec![0; most + 1]), Flaw::TooLong);
    refuses(&header(0x21, 0x11, &vec![0; 0xffff]), Flaw::TooLong);
    let mut other = header(0x21, 0x11, FOUR);
    other[11] = b'\r';
    refuses(&other, Flaw::Signature);
}

#[test]
fn a_checksum_must_be_right() {
    // The check value of CRC-32C.
    assert_eq!(checksum(b"123456789", 9), 0xe306_9283);
    let mut good = header(0x21, 0x11, &[FOUR, &[3, 0, 4, 0, 0, 0, 0, 4, 0, 0]].concat());
    let sum = checksum(&good, 31);
    good[31..35].copy_from_slice(&sum.to_be_bytes());
    reads(&good, ends("192.0.2.7:50000", "198.51.100.1:443"));
    // All but the byte that says that it is one.
    for place in (16..good.len()).filter(|place| *place != 28) {
        let mut bad = good.clone();
        bad[place] ^= 1;
        assert!(read(&bad).is_err(), "byte {place}");
    }
    refuses(&header(0x21, 0x11, &[FOUR, &[3, 0, 4, 0, 0, 0, 0]].concat()), Flaw::Checksum);
    refuses(&header(0x21, 0x11, &[FOUR, &[3, 0, 5, 0, 0, 0, 0, 0]].concat()), Flaw::Length);
}

#[test]
fn what_is_written_is_read_again() {
    for who in [
        Who::Sender,
        Who::Unknown,
        ends("192.0.2.7:50000", "198.51.100.1:443"),
        ends("[2001:db8::1]:1", "[::1]:65535"),
    ] {
        let mut out = b"before".to_vec();
        write(&mut out, &who);
        reads(&out[6..], who);
    }
    let mut mixed = Vec::new();
    write(&mut mixed, &ends("192.0.2.7:1", "[::1]:2"));
    reads(&mixed, ends("[::ffff:192.0.2.7]:1", "[::1]:2"));
}
