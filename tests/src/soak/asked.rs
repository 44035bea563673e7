//! What a request of the soak is: everything about it follows from its number, so that the client
//! that sends it and the origin that answers it need to tell each other nothing else.

use super::dice::Dice;

/// A request, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) id: u64,
    pub(super) method: &'static str,
    /// Bytes of its body; none for methods that have no body here.
    pub(super) body: usize,
    /// Whether its body comes in chunks.
    pub(super) chunked: bool,
    /// Bytes of the reply's body.
    pub(super) want: usize,
    pub(super) form: Form,
    pub(super) fault: Fault,
    pub(super) manners: Manners,
}

/// How the end of a reply's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Length,
    Chunked,
    Close,
}

/// What the origin does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Resets the connection before the reply is out; the number says where, of 1000.
    Reset(u16),
    /// Ends the connection before the reply is out.
    Cut(u16),
    /// Says what is no HTTP.
    Garbage,
    /// Replies a few bytes at a time.
    Slow,
    /// Replies before it has read the body, and never reads it.
    Early,
    /// Never replies.
    Hang,
    /// Replies as if the connection would stay, and closes it.
    Leave,
}

/// What the client does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    Good,
    /// Sends a few bytes at a time.
    Drips,
    /// Goes away before all is sent.
    LeavesAsking,
    /// Goes away before it has read the reply.
    LeavesReading,
    /// Sends the next request without waiting.
    Hurries,
    /// Speaks HTTP/1.0, and has a connection for this request alone.
    Old,
}

const METHODS: [&str; 12] = [
    "GET", "GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "DELETE", "PUT", "POST", "POST", "PATCH",
];

impl Asked {
    /// The request with this number.
    pub(super) fn of(seed: u64, id: u64) -> Self {
        let mut dice = Dice::of(seed ^ id.rotate_left(32));
        let method = METHODS[dice.within(METHODS.len())];
        let has_body = matches!(method, "POST" | "PUT" | "PATCH");
        let form = match dice.below(10) {
            0 => Form::Close,
            1..=3 => Form::Chunked,
            _ => Form::Length,
        };
        let fault = Fault::draw(&mut dice);
        let manners = Manners::draw(&mut dice);
        let body = if has_body { size(&mut dice) } else { 0 };
        let is_plain = fault == Fault::None && !has_body;
        Self {
            id,
            method,
            body,
            chunked: has_body && dice.below(3) == 0,
            want: size(&mut dice),
            form: if manners == Manners::Hurries { Form::Length } else { form },
            fault: if fault == Fault::Early && !has_body { Fault::None } else { fault },
            manners: if manners == Manners::Hurries && !is_plain { Manners::Good } else { manners },
        }
    }

    /// Whether it may be carried out once at most.
    pub(super) fn is_once(&self) -> bool {
        matches!(self.method, "POST" | "PATCH")
    }

    /// The request as it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let Self { id, method, body, .. } = *self;
        let is_old = self.manners == Manners::Old;
        let (version, close) = if is_old { ("1.0", "connection: close\r\n") } else { ("1.1", "") };
        let chunked = self.chunked && !is_old;
        let framing = match (self.has_body(), chunked) {
            (false, _) => String::new(),
            (true, true) => "transfer-encoding: chunked\r\n".to_owned(),
            (true, false) => format!("content-length: {body}\r\n"),
        };
        let head = format!("{method} /{id} HTTP/{version}\r\nhost: soak\r\n{close}{framing}\r\n");
        let mut bytes = head.into_bytes();
        put(&mut bytes, &content(id, body), chunked);
        bytes
    }

    /// The reply as the origin sends it; `got` is what it has read of the request.
    pub(super) fn reply(&self, got: &str) -> Vec<u8> {
        let framing = match self.form {
            Form::Length => format!("content-length: {}\r\n", self.want),
            Form::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
            Form::Close => "connection: close\r\n".to_owned(),
        };
        let id = self.id;
        let head = format!("HTTP/1.1 200 OK\r\nx-id: {id}\r\nx-got: {got}\r\n{framing}\r\n");
        let mut bytes = head.into_bytes();
        if self.method != "HEAD" {
            put(&mut bytes, &self.reply_body(), self.form == Form::Chunked);
        }
        bytes
    }

    /// What the body of its reply must be.
    pub(super) fn reply_body(&self) -> Vec<u8> {
        if self.method == "HEAD" { Vec::new() } else { content(!self.id, self.want) }
    }

    /// What an origin says that has read its whole body.
    pub(super) fn sum(&self) -> String {
        sum(&content(self.id, self.body))
    }

    fn has_body(&self) -> bool {
        matches!(self.method, "POST" | "PUT" | "PATCH")
    }
}

impl Fault {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(1000) {
            0..=14 => Self::Reset(dice.thousandth()),
            15..=29 => Self::Cut(dice.thousandth()),
            30..=39 => Self::Garbage,
            40..=54 => Self::Slow,
            55..=74 => Self::Early,
            75 => Self::Hang,
            76..=99 => Self::Leave,
            _ => Self::None,
        }
    }

    /// Whether a reply that ends in it may come as a failure, or not whole.
    pub(super) const fn breaks(self) -> bool {
        matches!(self, Self::Reset(_) | Self::Cut(_) | Self::Garbage | Self::Hang)
    }
}

impl Manners {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(200) {
            0 => Self::Drips,
            1 | 2 => Self::LeavesAsking,
            3 | 4 => Self::LeavesReading,
            5..=14 => Self::Hurries,
            15..=18 => Self::Old,
            _ => Self::Good,
        }
    }
}

/// Mostly small; some do not fit into a buffer, and a few fill many.
fn size(dice: &mut Dice) -> usize {
    let most = match dice.below(100) {
        0 => 300_000,
        1..=9 => 20_000,
        10..=19 => 1,
        _ => 2_000,
    };
    dice.within(most)
}

/// The bytes that belong to a number.
fn content(id: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice::of(id);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Length and checksum of bytes (FNV-1a over words).
pub(super) fn sum(bytes: &[u8]) -> String {
    let words = bytes
        .chunks(8)
        .map(|word| word.iter().rev().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte)));
    let hash = words.fold(0xcbf2_9ce4_8422_2325_u64, |hash, word| {
        (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{}-{hash:016x}", bytes.len())
}

fn put(bytes: &mut Vec<u8>, body: &[u8], chunked: bool) {
    if !chunked {
        bytes.extend_from_slice(body);
        return;
    }
    for chunk in body.chunks(CHUNK) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
}

const CHUNK: usize = 1500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_always_the_same_request() {
        let all: Vec<_> = (0..5000).map(|id| Asked::of(7, id)).collect();
        assert!(all.iter().all(|asked| *asked == Asked::of(7, asked.id)));
        for method in METHODS {
            assert!(all.iter().any(|asked| asked.method == method), "{method}");
        }
        assert!(all.iter().any(|asked| asked.fault == Fault::Hang));
        assert!(all.iter().any(|asked| asked.manners == Manners::LeavesReading));
        assert!(all.iter().all(|asked| asked.has_body() || asked.body == 0));
    }

    #[test]
    fn a_byte_more_or_another_order_is_another_sum() {
        assert_ne!(sum(b"12345678abcdefgh"), sum(b"abcdefgh12345678"));
        assert_ne!(sum(b"a"), sum(b"a\0"));
        assert_eq!(content(3, 9)[..8], content(3, 8));
        assert_ne!(content(3, 8), content(4, 8));
    }
}
