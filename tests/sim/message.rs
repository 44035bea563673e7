//! HTTP/1.1 messages as the simulated clients and origins read them: slowly, whole, and without a
//! line of the code under test.

/// A message that has come.
#[derive(Debug)]
pub(super) struct Message {
    /// The first line.
    pub(super) start: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Bytes it took.
    pub(super) length: usize,
}

/// What a body's length depends on beside the head.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Reply,
    ReplyToHead,
}

/// What the bytes are so far.
pub(super) enum Parsed {
    /// The beginning of a message.
    More,
    Whole(Message),
    /// Nothing that could become one.
    Bad(&'static str),
}

impl Message {
    /// The value of a field, by its name in small letters.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    /// Whether its sender will send no other on this connection.
    pub(super) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"))
    }
}

/// The head alone, without a body.
pub(super) fn head(bytes: &[u8]) -> Option<Message> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..end - 4]).unwrap_or("?");
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let fields = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Some(Message { start, fields: fields.collect(), body: Vec::new(), length: end })
}

/// The first message in `bytes`. `ended` says that no more will come.
pub(super) fn parse(bytes: &[u8], kind: Kind, ended: bool) -> Parsed {
    let Some(mut message) = head(bytes) else { return Parsed::More };
    let rest = &bytes[message.length..];
    let status = message.status();
    let is_empty = match kind {
        Kind::Request => false,
        Kind::ReplyToHead => true,
        Kind::Reply => status < 200 || status == 204 || status == 304,
    };
    if is_empty {
        return Parsed::Whole(message);
    }
    if message.field("transfer-encoding").is_some() {
        if message.field("content-length").is_some() {
            return Parsed::Bad("two framings");
        }
        return chunked(message, rest);
    }
    let length = match (message.field("content-length"), kind) {
        (Some(length), _) => match length.parse() {
            Ok(length) => length,
            Err(_) => return Parsed::Bad("a content-length that is no number"),
        },
        (None, Kind::Request) => 0,
        (None, _) if ended => rest.len(),
        (None, _) => return Parsed::More,
    };
    if rest.len() < length {
        return Parsed::More;
    }
    message.body = rest[..length].to_vec();
    message.length += length;
    Parsed::Whole(message)
}

fn chunked(mut message: Message, mut rest: &[u8]) -> Parsed {
    let line_of = |bytes: &[u8]| bytes.windows(2).position(|two| two == b"\r\n");
    loop {
        let Some(end) = line_of(rest) else { return Parsed::More };
        let size = std::str::from_utf8(&rest[..end]).ok();
        let size = size.and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(size) = size else { return Parsed::Bad("a chunk without a size") };
        let whole = end + 2 + size + 2;
        if rest.len() < whole {
            return Parsed::More;
        }
        if rest[whole - 2..whole] != *b"\r\n" {
            return Parsed::Bad("a chunk that does not end where it should");
        }
        message.body.extend_from_slice(&rest[end + 2..whole - 2]);
        message.length += whole;
        rest = &rest[whole..];
        if size == 0 {
            return Parsed::Whole(message);
        }
    }
}

/// The content that exchange `id` must have, in one of its directions. Every sixteen bytes say
/// whose they are and where they belong.
pub(super) fn content(id: u32, direction: char, length: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(length + 16);
    let mut line = *b"x000000:0000000\n";
    line[0] = direction as u8;
    digits(&mut line[1..7], id as usize);
    while content.len() < length {
        digits(&mut line[8..15], content.len());
        content.extend_from_slice(&line);
    }
    content.truncate(length);
    content
}

fn digits(place: &mut [u8], mut number: usize) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Puts content into chunks of at most `most` bytes.
pub(super) fn chunks(content: &[u8], most: usize, out: &mut Vec<u8>) {
    for piece in content.chunks(most.max(1)) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
}
