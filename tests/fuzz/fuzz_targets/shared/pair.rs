//! A client and origins that say anything at all, with the codec between them as the proxy uses it.
//!
//! What reaches either side is read by a reader that shares nothing with the codec. It must find on
//! each connection exactly the messages that were meant for it: nobody's request or reply becomes
//! two, or a part of another's.

use gnomon_wire::{
    BodyLimits, BodyReader, BodyWriter, Forwarding, Framing, HeadLimits, Progress, Request,
    RequestHead, RequestRewrite, Response, ResponseHead, ResponseRewrite, Side, write_request,
    write_response,
};

use super::oracle::{self, Decoded};

/// In the origins' script: what follows is sent once the next request has come.
const WAIT: u8 = 0xfe;

/// In the origins' script: the connection ends, and what follows is said by the next.
const CLOSE: u8 = 0xff;

/// Interim replies passed on for one request.
const INTERIM_MAX: usize = 10;

/// The first two bytes are the length of what the client says, the last eight cut it all in
/// pieces, and the rest is what origins say.
pub(crate) fn proxy_pair(input: &[u8]) {
    let (input, seed) = input.split_at(input.len() - input.len().min(8));
    let Some((length, rest)) = input.split_first_chunk::<2>() else { return };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (client, script) = rest.split_at(length);
    let whole = Run::of(client, script, &[]);
    let cut = Run::of(client, script, if seed.is_empty() { &[0] } else { seed });
    for run in [&whole, &cut] {
        run.origins_read_what_was_meant_for_them();
        run.the_client_reads_its_own_replies();
    }
    assert_eq!(whole.finished(), cut.finished(), "it depends on the cuts");
}

/// A side's bytes, as they come.
struct Feed<'a> {
    bytes: &'a [u8],
    seed: &'a [u8],
    turn: usize,
    window: Vec<u8>,
}

impl<'a> Feed<'a> {
    const fn new(bytes: &'a [u8], seed: &'a [u8]) -> Self {
        Self { bytes, seed, turn: 0, window: Vec::new() }
    }

    /// Moves what comes next into the window; `false` at the end.
    fn more(&mut self) -> bool {
        let piece = match self.seed {
            [] => self.bytes.len(),
            seed => usize::from(seed[self.turn % seed.len()] % 32) + 1,
        };
        self.turn += 1;
        let (now, later) = self.bytes.split_at(piece.min(self.bytes.len()));
        self.window.extend_from_slice(now);
        self.bytes = later;
        !now.is_empty()
    }
}

/// A connection to an origin.
struct Line<'a> {
    script: &'a [u8],
    feed: Feed<'a>,
    sent: Vec<u8>,
}

impl<'a> Line<'a> {
    fn new(script: &'a [u8], seed: &'a [u8]) -> Self {
        Self { script, feed: Feed::new(&[], seed), sent: Vec::new() }
    }

    /// The origin has a request: it says what it says to that.
    fn ask(&mut self) {
        let mut parts = self.script.splitn(2, |byte| *byte == WAIT);
        self.feed.bytes = parts.next().unwrap_or_default();
        self.script = parts.next().unwrap_or_default();
    }

    /// Whether it has said all it has to say to what it was asked.
    fn is_quiet(&self) -> bool {
        self.feed.bytes.is_empty() && self.feed.window.is_empty()
    }

    /// Whether it is over once the feed is.
    fn is_over(&self) -> bool {
        self.script.is_empty()
    }
}

/// A request and what became of it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Exchange {
    method: Vec<u8>,
    target: Vec<u8>,
    content: Vec<u8>,
    /// Whether all of the request went out.
    is_sent: bool,
    connection: usize,
    reply: Option<Replied>,
}

/// What was passed on of a reply.
#[derive(Clone, Debug, Default, PartialEq)]
struct Replied {
    status: u16,
    content: Vec<u8>,
    interims: usize,
    is_whole: bool,
}

/// What went where.
#[derive(Default)]
struct Run {
    to_client: Vec<u8>,
    to_origins: Vec<Vec<u8>>,
    exchanges: Vec<Exchange>,
}

impl Run {
    fn of(client: &[u8], script: &[u8], seed: &[u8]) -> Self {
        let mut run = Self::default();
        let mut client = Feed::new(client, seed);
        let mut scripts = script.split(|byte| *byte == CLOSE);
        let mut idle = None;
        while let Some(head) = read_request(&mut client) {
            let reused = idle.take();
            let mut line = match reused {
                Some(line) => line,
                None => {
                    run.to_origins.push(Vec::new());
                    Line::new(scripts.next().unwrap_or_default(), seed)
                }
            };
            let next = run.exchange(&head, &mut client, &mut line);
            if let Some(sent) = run.to_origins.last_mut() {
                sent.append(&mut line.sent);
            }
            match next {
                Some(true) => idle = Some(line),
                Some(false) => {}
                None => break,
            }
        }
        run
    }

    /// Whether the origin's connection may be used again; `None` if the client's ends.
    fn exchange(
        &mut self,
        head: &(RequestHead, Vec<u8>),
        client: &mut Feed<'_>,
        line: &mut Line<'_>,
    ) -> Option<bool> {
        let request = Request { head: &head.0, bytes: &head.1 };
        self.exchanges.push(Exchange {
            method: request.method().to_vec(),
            target: target(request),
            connection: self.to_origins.len() - 1,
            ..Exchange::default()
        });
        let exchange = self.exchanges.last_mut()?;
        send(request, client, line, exchange);
        if !exchange.is_sent {
            return None;
        }
        line.ask();
        let persistent = receive(request, line, exchange, &mut self.to_client);
        let reply = exchange.reply.as_ref().filter(|reply| reply.is_whole)?;
        let (keep_client, keep_origin) = persistent?;
        assert!(reply.status >= 200);
        keep_client.then(|| keep_origin && line.is_quiet() && !line.is_over())
    }

    /// What does not depend on cuts: the exchanges that came to an end.
    fn finished(&self) -> Vec<&Exchange> {
        let is_whole = |reply: &Option<Replied>| reply.as_ref().is_some_and(|it| it.is_whole);
        self.exchanges.iter().filter(|exchange| is_whole(&exchange.reply)).collect()
    }

    fn origins_read_what_was_meant_for_them(&self) {
        for (place, bytes) in self.to_origins.iter().enumerate() {
            let mut rest = &bytes[..];
            for meant in self.exchanges.iter().filter(|exchange| exchange.connection == place) {
                let Some((message, behind)) = Message::read(rest, None) else {
                    assert!(!meant.is_sent, "nobody can read {}", rest.escape_ascii());
                    rest = &[];
                    break;
                };
                assert!(meant.is_sent, "a part can be read as {message:?}");
                assert_eq!(message.content, meant.content);
                let start: Vec<_> = message.start.split(|byte| *byte == b' ').collect();
                assert_eq!(start[..], [&meant.method[..], &meant.target, b"HTTP/1.1"]);
                rest = behind;
            }
            assert!(rest.is_empty(), "more than was meant: {}", rest.escape_ascii());
        }
    }

    fn the_client_reads_its_own_replies(&self) {
        let mut rest = &self.to_client[..];
        for exchange in &self.exchanges {
            let Some(reply) = &exchange.reply else { continue };
            for _ in 0..reply.interims {
                let interim = Message::read(rest, Some(&exchange.method));
                let (interim, behind) = interim.expect("an interim reply is whole");
                assert!(interim.status() < 200 && interim.content.is_empty());
                rest = behind;
            }
            let Some((message, behind)) = Message::read(rest, Some(&exchange.method)) else {
                assert!(!reply.is_whole, "nobody can read {}", rest.escape_ascii());
                return;
            };
            assert_eq!(message.status(), reply.status);
            assert!(reply.is_whole || message.until_close, "a part can be read as {message:?}");
            assert_eq!(message.content, reply.content);
            rest = behind;
        }
        assert!(rest.is_empty(), "more than was meant: {}", rest.escape_ascii());
    }
}

/// In the form in which it goes on.
fn target(request: Request<'_>) -> Vec<u8> {
    let mut target = request.path().to_vec();
    if let Some(query) = request.query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    target
}

fn read_request(client: &mut Feed<'_>) -> Option<(RequestHead, Vec<u8>)> {
    let mut head = RequestHead::default();
    loop {
        if let Progress::Done(length) = head.read(&client.window, &HeadLimits::REQUEST).ok()? {
            let bytes = client.window.drain(..length).collect();
            return Some((head, bytes));
        }
        if !client.more() {
            return None;
        }
    }
}

/// The request's head and body to the origin, as far as they come.
fn send(request: Request<'_>, client: &mut Feed<'_>, line: &mut Line<'_>, note: &mut Exchange) {
    let framing = request.framing();
    let limits = BodyLimits::DEFAULT;
    let Ok(mut body) = BodyReader::new(Side::Request, framing, &limits) else { return };
    let rewrite = RequestRewrite {
        client: Forwarding { ip: b"192.0.2.1", proto: b"http", trusted: false, forwarded: true },
        via: b"gnomon",
        framing,
        expect: true,
        ..RequestRewrite::default()
    };
    // A head that is refused with what came of its body never goes out.
    let mut out = Vec::new();
    write_request(&mut out, request, &rewrite);
    let writer = BodyWriter::new(framing);
    while let Ok(piece) = body.read(&mut client.window) {
        let content = &client.window[piece.data.clone()];
        note.content.extend_from_slice(content);
        if framing != Framing::Empty {
            writer.frame_into(&mut out, content, piece.end.then(|| body.trailers()));
        }
        client.window.drain(..piece.consumed);
        if piece.end {
            note.is_sent = true;
            break;
        }
        if !client.more() {
            break;
        }
    }
    line.sent = out;
}

/// The reply to the client, as far as it comes. Whether the client's and the origin's connection
/// could carry another exchange.
fn receive(
    request: Request<'_>,
    line: &mut Line<'_>,
    note: &mut Exchange,
    out: &mut Vec<u8>,
) -> Option<(bool, bool)> {
    let mut interims = 0;
    let (head, bytes) = loop {
        let (head, bytes) = read_reply(&mut line.feed)?;
        let reply = Response { head: &head, bytes: &bytes };
        if !reply.is_interim() {
            break (head, bytes);
        }
        if reply.status() == 101 || interims == INTERIM_MAX {
            return None;
        }
        if request.version() == gnomon_wire::Version::Http11 {
            let version = request.version();
            let rewrite = ResponseRewrite { version, via: b"gnomon", ..Default::default() };
            write_response(out, reply, &rewrite);
            interims += 1;
            note.reply = Some(Replied { interims, ..Replied::default() });
        }
    };
    let reply = Response { head: &head, bytes: &bytes };
    if reply.status() == 101 {
        return None;
    }
    let framing = reply.framing(request.is_head());
    let toward = framing.toward(request.version());
    let keep_client = request.persistent() && toward != Framing::UntilClose;
    let keep_origin = reply.persistent() && framing != Framing::UntilClose;
    let mut body = BodyReader::new(Side::Reply, framing, &BodyLimits::DEFAULT).ok()?;
    let rewrite = ResponseRewrite {
        version: request.version(),
        framing: toward,
        keep_alive: keep_client,
        via: b"gnomon",
        ..ResponseRewrite::default()
    };
    write_response(out, reply, &rewrite);
    let mut replied = Replied { status: reply.status(), interims, ..Replied::default() };
    replied.is_whole = relay(&mut body, BodyWriter::new(toward), request, line, &mut replied, out);
    note.reply = Some(replied);
    Some((keep_client, keep_origin))
}

fn read_reply(feed: &mut Feed<'_>) -> Option<(ResponseHead, Vec<u8>)> {
    let mut head = ResponseHead::default();
    loop {
        if let Progress::Done(length) = head.read(&feed.window, &HeadLimits::REPLY).ok()? {
            let bytes = feed.window.drain(..length).collect();
            return Some((head, bytes));
        }
        if !feed.more() {
            return None;
        }
    }
}

/// A reply's body; whether all of it came.
fn relay(
    body: &mut BodyReader,
    writer: BodyWriter,
    request: Request<'_>,
    line: &mut Line<'_>,
    note: &mut Replied,
    out: &mut Vec<u8>,
) -> bool {
    let is_framed = !body.is_done();
    loop {
        let Ok(piece) = body.read(&mut line.feed.window) else { return false };
        let content = &line.feed.window[piece.data.clone()];
        note.content.extend_from_slice(content);
        let trailers = || if request.accepts_trailers() { body.trailers() } else { &[] };
        if is_framed {
            writer.frame_into(out, content, piece.end.then(trailers));
        }
        line.feed.window.drain(..piece.consumed);
        if piece.end {
            return true;
        }
        if line.feed.more() {
            continue;
        }
        let is_end = line.is_over() && body.finish_input().is_ok();
        if is_end {
            writer.frame_into(out, &[], Some(&[]));
        }
        return is_end;
    }
}

/// A message as somebody else reads it.
#[derive(Debug)]
struct Message {
    start: Vec<u8>,
    content: Vec<u8>,
    until_close: bool,
}

impl Message {
    /// The first message and what follows it; `None` if it is not whole. A reply is one to a
    /// request with this method.
    #[expect(clippy::unwrap_in_result, reason = "what we write is whole or a finding")]
    fn read<'b>(bytes: &'b [u8], reply_to: Option<&[u8]>) -> Option<(Self, &'b [u8])> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
        let mut lines = head.split(|byte| *byte == b'\n').map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            assert!(!line.contains(&b'\r') && !line.contains(&0));
            line
        });
        let start = lines.next()?.to_vec();
        let (mut lengths, mut codings) = (Vec::new(), 0);
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':').expect("every field has one");
            let (name, value) = (line[..colon].to_ascii_lowercase(), &line[colon + 1..]);
            let value = value.trim_ascii();
            match &name[..] {
                b"content-length" => lengths.push(value.to_vec()),
                b"transfer-encoding" => {
                    assert_eq!(value, b"chunked");
                    codings += 1;
                }
                _ => {}
            }
        }
        assert!(lengths.len() + codings <= 1, "two framings");
        let mut message = Self { start, content: Vec::new(), until_close: false };
        let is_bare = reply_to.is_some_and(|method| {
            let status = message.status();
            method == b"HEAD" || status < 200 || matches!(status, 204 | 304)
        });
        if is_bare {
            return Some((message, rest));
        }
        if codings == 1 {
            let Decoded::Whole(content, used) = oracle::reference(rest) else { return None };
            message.content = content;
            return Some((message, &rest[used..]));
        }
        if lengths.is_empty() && reply_to.is_some() {
            (message.content, message.until_close) = (rest.to_vec(), true);
            return Some((message, &[]));
        }
        let length = lengths.first().map_or(Some(0), |text| {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
        });
        let (content, rest) = rest.split_at_checked(length.expect("a number"))?;
        message.content = content.to_vec();
        Some((message, rest))
    }

    fn status(&self) -> u16 {
        let code = self.start.get(9..12).and_then(|code| std::str::from_utf8(code).ok());
        code.and_then(|code| code.parse().ok()).expect("a reply has a status")
    }
}
