//! Messages cut out of bytes: just enough HTTP to know where one ends.

use std::io::{self, Read};

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Length(usize),
    Chunked,
    Close,
}

/// A reply as it came over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Start line and fields, each with its line end, and the empty line.
    pub head: String,
    /// The content, without chunk framing.
    pub body: Vec<u8>,
    /// The lines behind the last chunk.
    pub trailers: String,
    /// Whether the body came to its end.
    pub whole: bool,
}

impl Reply {
    /// The status; 0 if there was no reply.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The first value of a field, whatever the case of its name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// Whether it says that no other reply follows on this connection.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The first value of a field of `head`.
#[must_use]
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    fields(head, name).next()
}

/// All values of a field of `head`, in their order.
pub fn fields<'a>(head: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    head.lines().skip(1).filter_map(move |line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Bytes received and not yet used, and where more come from.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) bytes: Vec<u8>,
}

impl Inbox {
    /// Reads once more; how much came, 0 at the end.
    pub(crate) fn fill(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        let mut room = vec![0; 64 * 1024];
        let count = stream.read(&mut room)?;
        self.bytes.extend_from_slice(&room[..count]);
        Ok(count)
    }

    /// Everything up to the empty line; `None` at the end of the stream.
    pub(crate) fn head(&mut self, stream: &mut impl Read) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = find(&self.bytes, b"\r\n\r\n") {
                let head: Vec<u8> = self.bytes.drain(..end + 4).collect();
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            if self.fill(stream)? == 0 {
                return Ok(None);
            }
        }
    }

    /// The body of a request with this head, without chunk framing, and whether it is whole.
    pub(crate) fn request_body(
        &mut self,
        stream: &mut impl Read,
        head: &str,
    ) -> io::Result<(Vec<u8>, String, bool)> {
        let ending = match (field(head, "transfer-encoding"), field(head, "content-length")) {
            (Some(_), _) => Ending::Chunked,
            (None, length) => Ending::Length(length.map_or(0, |n| n.parse().unwrap_or(0))),
        };
        self.body(stream, ending)
    }

    /// The rest of a reply to `method` with this head.
    pub(crate) fn reply(
        &mut self,
        stream: &mut impl Read,
        head: String,
        method: &str,
    ) -> io::Result<Reply> {
        let status = head.get(9..12).unwrap_or_default();
        let bare = method == "HEAD" || matches!(status, "204" | "304") || status.starts_with('1');
        let ending = match (field(&head, "transfer-encoding"), field(&head, "content-length")) {
            _ if bare => Ending::Length(0),
            (Some(_), _) => Ending::Chunked,
            (None, Some(length)) => Ending::Length(length.parse().unwrap_or(0)),
            (None, None) => Ending::Close,
        };
        let (body, trailers, whole) = self.body(stream, ending)?;
        Ok(Reply { head, body, trailers, whole })
    }

    fn body(
        &mut self,
        stream: &mut impl Read,
        ending: Ending,
    ) -> io::Result<(Vec<u8>, String, bool)> {
        match ending {
            Ending::Length(length) => {
                let whole = self.have(stream, length)?;
                let end = length.min(self.bytes.len());
                Ok((self.bytes.drain(..end).collect(), String::new(), whole))
            }
            Ending::Chunked => self.chunks(stream),
            Ending::Close => {
                while self.fill(stream)? > 0 {}
                Ok((std::mem::take(&mut self.bytes), String::new(), true))
            }
        }
    }

    fn chunks(&mut self, stream: &mut impl Read) -> io::Result<(Vec<u8>, String, bool)> {
        let mut body = Vec::new();
        loop {
            let Some(line) = self.line(stream)? else { return Ok((body, String::new(), false)) };
            let size = line.trim().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| io::Error::other(format!("not a chunk's size: {line:?}")))?;
            if size == 0 {
                break;
            }
            if !self.have(stream, size + 2)? {
                body.append(&mut self.bytes);
                return Ok((body, String::new(), false));
            }
            body.extend(self.bytes.drain(..size));
            self.bytes.drain(..2);
        }
        let mut trailers = String::new();
        loop {
            match self.line(stream)? {
                None => return Ok((body, trailers, false)),
                Some(line) if line == "\r\n" => return Ok((body, trailers, true)),
                Some(line) => trailers.push_str(&line),
            }
        }
    }

    fn line(&mut self, stream: &mut impl Read) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = find(&self.bytes, b"\r\n") {
                let line: Vec<u8> = self.bytes.drain(..end + 2).collect();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.fill(stream)? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads until there are `count` bytes; whether they came.
    fn have(&mut self, stream: &mut impl Read, count: usize) -> io::Result<bool> {
        while self.bytes.len() < count {
            if self.fill(stream)? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
