//! The PROXY protocol, versions 1 and 2: a header before a connection's first byte that says who
//! its client is.
//!
//! [`read`] is given what has come so far. As long as it wants more, every byte it was shown
//! belongs to the header; once it is done, it says how many did. So a caller that takes bytes from
//! a socket only after they were judged never takes one that belongs to what follows.

use std::net::{IpAddr, SocketAddr};

/// Bytes of a header at most. A sender of version 2 may announce 64 KiB; addresses and what
/// balancers tell beside them stay far below.
pub const HEADER_MAX: usize = 4096;

/// Bytes of a version 1 header at most, its line end included.
const LINE_MAX: usize = 107;

/// What a version 1 header begins with.
const WORD: &[u8] = b"PROXY ";

/// What a version 2 header begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a version 2 header before its addresses.
const FIXED: usize = 16;

/// The kind of the item that holds a checksum.
const CHECKSUM: u8 = 3;

/// Who the header says is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The sender itself, as for its health checks.
    Sender,
    /// Somebody whose address it cannot or will not tell.
    Unknown,
    /// This client.
    Client(Ends),
}

/// Both ends of the connection that a client made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Where the client is.
    pub client: SocketAddr,
    /// What it connected to; of the client's family.
    pub server: SocketAddr,
}

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who the client is.
    pub who: Who,
    /// Bytes that it took.
    pub length: usize,
}

/// Why bytes are no header. The connection they came by ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// They begin as neither version does.
    Signature,
    /// It is longer than 107 bytes, or in version 2 than [`HEADER_MAX`].
    TooLong,
    /// The line of version 1 is not one.
    Line,
    /// A version, command, family or protocol that is not understood.
    Unsupported,
    /// The announced length does not fit what it holds.
    Length,
    /// The checksum is not that of the bytes.
    Checksum,
}

/// Reads a header; `None` wants the same bytes again and more behind them.
///
/// # Errors
/// Why this can never become one; told as soon as it is certain.
pub fn read(bytes: &[u8]) -> Result<Option<Header>, Flaw> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => line(bytes),
        Some(_) => binary(bytes),
    }
}

fn line(bytes: &[u8]) -> Result<Option<Header>, Flaw> {
    begins(bytes, WORD)?;
    let most = LINE_MAX.saturating_sub(1);
    let seen = bytes.get(..most).unwrap_or(bytes);
    let Some(end) = seen.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if bytes.len() < most { Ok(None) } else { Err(Flaw::TooLong) };
    };
    let (text, rest) = bytes.split_at_checked(end).ok_or(Flaw::Line)?;
    match rest {
        [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => {
            let who = named(text.strip_prefix(WORD).ok_or(Flaw::Line)?)?;
            Ok(Some(Header { who, length: end.saturating_add(2) }))
        }
        _ => Err(Flaw::Line),
    }
}

/// Whether `bytes` are the beginning of `start`, or begin with it.
fn begins(bytes: &[u8], start: &[u8]) -> Result<(), Flaw> {
    let same = bytes.iter().zip(start).all(|(is, wanted)| is == wanted);
    if same { Ok(()) } else { Err(Flaw::Signature) }
}

/// What stands behind the word.
fn named(text: &[u8]) -> Result<Who, Flaw> {
    if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") {
        return Ok(Who::Unknown);
    }
    let text = std::str::from_utf8(text).map_err(|_| Flaw::Line)?;
    let mut words = text.split(' ');
    let mut word = || words.next().ok_or(Flaw::Line);
    let family = word()?;
    let (client, server) = (ip(family, word()?)?, ip(family, word()?)?);
    let (from, to) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(Flaw::Line);
    }
    let (client, server) = (SocketAddr::new(client, from), SocketAddr::new(server, to));
    Ok(Who::Client(Ends { client, server }))
}

fn ip(family: &str, text: &str) -> Result<IpAddr, Flaw> {
    match family {
        "TCP4" => text.parse().map(IpAddr::V4).map_err(|_| Flaw::Line),
        "TCP6" => text.parse().map(IpAddr::V6).map_err(|_| Flaw::Line),
        _ => Err(Flaw::Line),
    }
}

fn port(text: &str) -> Result<u16, Flaw> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shortest = text == "0" || !text.starts_with('0');
    let port = text.parse().ok().filter(|_| is_plain && is_shortest);
    port.ok_or(Flaw::Line)
}

fn binary(bytes: &[u8]) -> Result<Option<Header>, Flaw> {
    begins(bytes, SIGNATURE)?;
    let is_local = match bytes.get(12) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Flaw::Unsupported),
    };
    let family = match bytes.get(13) {
        None => return Ok(None),
        // Who speaks for itself may leave anything there.
        Some(_) if is_local => Family::Local,
        Some(0x00) => Family::Unknown,
        Some(0x11) => Family::Four,
        Some(0x21) => Family::Six,
        Some(0x31) => Family::Unix,
        Some(_) => return Err(Flaw::Unsupported),
    };
    let Some(&[high, low]) = bytes.get(14..FIXED) else { return Ok(None) };
    let length = FIXED.saturating_add(usize::from(u16::from_be_bytes([high, low])));
    if length > HEADER_MAX {
        return Err(Flaw::TooLong);
    }
    if length < FIXED.saturating_add(family.bytes()) {
        return Err(Flaw::Length);
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    let who = family.who(header)?;
    Ok(Some(Header { who, length }))
}

/// What the addresses of a version 2 header are.
#[derive(Clone, Copy)]
enum Family {
    Local,
    Unknown,
    Four,
    Six,
    Unix,
}

impl Family {
    /// Bytes of both addresses and ports.
    const fn bytes(self) -> usize {
        match self {
            Self::Local | Self::Unknown => 0,
            Self::Four => 12,
            Self::Six => 36,
            Self::Unix => 216,
        }
    }

    /// What a whole header says.
    fn who(self, header: &[u8]) -> Result<Who, Flaw> {
        match self {
            Self::Local => return Ok(Who::Sender),
            // What stands there is of no known size.
            Self::Unknown => return Ok(Who::Unknown),
            Self::Four | Self::Six | Self::Unix => {}
        }
        let mut rest = header.get(FIXED..).ok_or(Flaw::Length)?;
        let who = match self {
            Self::Four => {
                let (client, server) = (take::<4>(&mut rest)?, take::<4>(&mut rest)?);
                with_ports(client.into(), server.into(), &mut rest)?
            }
            Self::Six => {
                let (client, server) = (take::<16>(&mut rest)?, take::<16>(&mut rest)?);
                with_ports(client.into(), server.into(), &mut rest)?
            }
            Self::Local | Self::Unknown | Self::Unix => {
                take::<216>(&mut rest)?;
                Who::Unknown
            }
        };
        items(header, rest)?;
        Ok(who)
    }
}

fn with_ports(client: IpAddr, server: IpAddr, rest: &mut &[u8]) -> Result<Who, Flaw> {
    let mut end = |ip| Ok(SocketAddr::new(ip, u16::from_be_bytes(take::<2>(rest)?)));
    Ok(Who::Client(Ends { client: end(client)?, server: end(server)? }))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Flaw> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or(Flaw::Length)?;
    *rest = left;
    Ok(*taken)
}

/// The items behind the addresses fill the header exactly, and its checksum, if there, is right.
fn items(header: &[u8], mut rest: &[u8]) -> Result<(), Flaw> {
    while !rest.is_empty() {
        let [kind, high, low] = take::<3>(&mut rest)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let at = header.len().saturating_sub(rest.len());
        let (value, behind) = rest.split_at_checked(length).ok_or(Flaw::Length)?;
        if kind == CHECKSUM {
            let given = value.try_into().map_err(|_| Flaw::Length)?;
            if u32::from_be_bytes(given) != checksum(header, at) {
                return Err(Flaw::Checksum);
            }
        }
        rest = behind;
    }
    Ok(())
}

/// CRC-32C of a header whose own four bytes of it, `at` their place, count as zero.
fn checksum(header: &[u8], at: usize) -> u32 {
    let own = at..at.saturating_add(4);
    let all = header.iter().enumerate();
    let counted = all.map(|(place, byte)| if own.contains(&place) { 0 } else { *byte });
    !counted.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            let mask = 0_u32.wrapping_sub(sum & 1);
            (sum >> 1) ^ (0x82f6_3b78 & mask)
        })
    })
}

/// Appends a header of version 2.
pub fn write(out: &mut Vec<u8>, who: &Who) {
    out.extend_from_slice(SIGNATURE);
    match who {
        Who::Sender => out.extend_from_slice(&[0x20, 0, 0, 0]),
        Who::Unknown => out.extend_from_slice(&[0x21, 0, 0, 0]),
        Who::Client(ends) => {
            match (ends.client.ip(), ends.server.ip()) {
                (IpAddr::V4(client), IpAddr::V4(server)) => {
                    out.extend_from_slice(&[0x21, 0x11, 0, 12]);
                    out.extend_from_slice(&client.octets());
                    out.extend_from_slice(&server.octets());
                }
                (client, server) => {
                    out.extend_from_slice(&[0x21, 0x21, 0, 36]);
                    out.extend_from_slice(&wide(client));
                    out.extend_from_slice(&wide(server));
                }
            }
            out.extend_from_slice(&ends.client.port().to_be_bytes());
            out.extend_from_slice(&ends.server.port().to_be_bytes());
        }
    }
}

const fn wide(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests;
