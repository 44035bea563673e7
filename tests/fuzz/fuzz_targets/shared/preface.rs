//! What the target of the PROXY protocol holds its reader to.

use gnomon_wire::proxy_protocol::{Flaw, HEADER_MAX, Header, Who, read, write};

/// Bytes of a version 1 header at most.
const LINE_MAX: usize = 107;

/// A header is the same however it is cut; what follows it does not matter; while more is wanted,
/// all that came belongs to it; and what was understood, written down, is understood again.
pub(crate) fn proxy_protocol(input: &[u8]) {
    let whole = read(input);
    let (mut wanted, mut first) = (0, None);
    for end in 0..=input.len().min(HEADER_MAX + 64) {
        match read(&input[..end]) {
            Ok(None) => wanted = end,
            other => {
                first = Some((end, other));
                break;
            }
        }
    }
    match (whole, first) {
        (Ok(None), None) => assert!(input.len() < HEADER_MAX, "it waits for ever"),
        (Ok(Some(header)), Some((end, cut))) => {
            assert_eq!(cut, Ok(Some(header)), "it depends on the cut");
            assert_eq!((header.length, wanted + 1), (end, end), "it takes what is not its own");
            goes_round(&input[..end], header);
        }
        // A reason is told as soon as there is one, so it may be another.
        (Err(_), Some((_, Err(_)))) => {}
        other => panic!("it depends on the cut: {other:?}"),
    }
}

fn goes_round(bytes: &[u8], header: Header) {
    assert!(bytes.len() <= HEADER_MAX);
    if bytes.starts_with(b"PROXY ") {
        assert!(bytes.len() <= LINE_MAX && bytes.ends_with(b"\r\n"));
        line_goes_round(bytes, header.who);
    } else if bytes.get(13) != Some(&0x31) && bytes.get(12) == Some(&0x21) {
        one_more_byte_is_refused(bytes);
    }
    let mut again = Vec::new();
    write(&mut again, &header.who);
    let length = again.len();
    again.extend_from_slice(b"behind");
    match (read(&again), header.who) {
        (Ok(Some(again)), who) => assert_eq!((again.who, again.length), (who, length)),
        (other, _) => panic!("what was written is not read: {other:?}"),
    }
}

/// A line of version 4 has one spelling; one of version 6 at least means the same again.
fn line_goes_round(bytes: &[u8], who: Who) {
    let Who::Client(ends) = who else { return };
    let (client, server) = (ends.client, ends.server);
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (client.port(), server.port());
    let line = format!("PROXY {family} {} {} {from} {to}\r\n", client.ip(), server.ip());
    if client.is_ipv4() {
        assert_eq!(line.as_bytes(), bytes);
    }
    let again = read(line.as_bytes());
    assert_eq!(again, Ok(Some(Header { who, length: line.len() })));
}

/// An item that is cut short by the header's end is refused, though its bytes may lie behind it.
fn one_more_byte_is_refused(bytes: &[u8]) {
    let mut longer = bytes.to_vec();
    let length = u16::from_be_bytes([bytes[14], bytes[15]]) + 1;
    longer[14..16].copy_from_slice(&length.to_be_bytes());
    longer.push(0);
    longer.extend_from_slice(&[0; 300]);
    // Without a family nobody knows what is there.
    if bytes[13] != 0 && usize::from(length) + 16 <= HEADER_MAX {
        assert!(matches!(read(&longer), Err(Flaw::Length | Flaw::Checksum)));
    }
}
