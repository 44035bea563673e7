//! What must hold for any bytes at all. Shared by the property tests and the fuzz targets.

use gnomon_wire::{
    BodyLimits, BodyReader, BodyWriter, CHUNK_HEAD_MAX, Fault, Forwarding, Framing, HeadLimits,
    Progress, Reject, Request, RequestHead, RequestRewrite, Response, ResponseHead,
    ResponseRewrite, Side, Version, write_request, write_response,
};

/// All that is to be seen of a request, or `None` for one that wants more bytes.
type Seen = Result<Option<String>, Reject>;

/// The sizes of the pieces that an input is cut into, from any bytes.
pub(crate) fn cuts(seed: &[u8]) -> impl Iterator<Item = usize> + '_ {
    seed.iter().map(|byte| usize::from(*byte % 32) + 1).chain(std::iter::repeat(1))
}

/// A head read at once and a head read in pieces are the same head, or refused both.
pub(crate) fn heads_do_not_depend_on_cuts(input: &[u8], seed: &[u8]) {
    same(see_request(input, [input.len()].into_iter()), see_request(input, cuts(seed)));
    same(see_reply(input, [input.len()].into_iter()), see_reply(input, cuts(seed)));
}

/// Refusals may differ in their reason: a part is refused for the first fault, a whole for the
/// gravest.
fn same(whole: Seen, cut: Seen) {
    match (whole, cut) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        (Err(_), Err(_)) => {}
        (whole, cut) => panic!("whole {whole:?}, cut {cut:?}"),
    }
}

fn see_request(input: &[u8], cuts: impl Iterator<Item = usize>) -> Seen {
    let mut head = RequestHead::default();
    let Some(end) = read(input, cuts, |bytes| head.read(bytes, &HeadLimits::REQUEST))? else {
        return Ok(None);
    };
    let request = Request { head: &head, bytes: &input[..end] };
    Ok(Some(format!(
        "{end} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {} {:?} {} {:?}",
        request.method(),
        request.target(),
        request.path(),
        request.query(),
        request.host(),
        request.authority(),
        request.framing(),
        request.persistent(),
        request.expects_continue(),
        request.upgrade(),
        request.accepts_trailers(),
        request.fields().collect::<Vec<_>>(),
    )))
}

fn see_reply(input: &[u8], cuts: impl Iterator<Item = usize>) -> Seen {
    let mut head = ResponseHead::default();
    let Some(end) = read(input, cuts, |bytes| head.read(bytes, &HeadLimits::REPLY))? else {
        return Ok(None);
    };
    let reply = Response { head: &head, bytes: &input[..end] };
    Ok(Some(format!(
        "{end} {} {:?} {:?} {:?} {} {:?}",
        reply.status(),
        reply.reason(),
        reply.framing(false),
        reply.framing(true),
        reply.persistent(),
        reply.fields().collect::<Vec<_>>(),
    )))
}

fn read(
    input: &[u8],
    cuts: impl Iterator<Item = usize>,
    mut read: impl FnMut(&[u8]) -> Result<Progress, Reject>,
) -> Result<Option<usize>, Reject> {
    let mut come = 0;
    for cut in cuts {
        come = input.len().min(come + cut);
        if let Progress::Done(end) = read(&input[..come])? {
            return Ok(Some(end));
        }
        if come == input.len() {
            break;
        }
    }
    Ok(None)
}

/// A request that is accepted goes on as one that a reader of another mind cannot take for two: it
/// is accepted again, says the same, and has one Host and one framing.
pub(crate) fn a_request_goes_on_as_one(input: &[u8]) {
    let mut head = RequestHead::default();
    let Ok(Progress::Done(end)) = head.read(input, &HeadLimits::REQUEST) else { return };
    let request = Request { head: &head, bytes: &input[..end] };
    for trusted in [false, true] {
        let rewrite = RequestRewrite {
            client: Forwarding { ip: b"::1", proto: b"http", trusted, forwarded: trusted },
            via: b"gnomon",
            framing: request.framing(),
            upgrade: true,
            expect: true,
            ..RequestRewrite::default()
        };
        let mut sent = Vec::new();
        write_request(&mut sent, request, &rewrite);
        is_clean(&sent);
        let names = names(&sent);
        let count = |name: &str| names.iter().filter(|is| *is == name).count();
        assert_eq!(count("host"), 1);
        assert!(count("content-length") + count("transfer-encoding") <= 1);
        assert_eq!(count("x-forwarded-for"), 1);

        let mut again = RequestHead::default();
        let limits = HeadLimits { bytes: 1 << 20, field_bytes: 1 << 20, ..HeadLimits::REPLY };
        let limits = HeadLimits { line_bytes: limits.bytes, ..limits };
        match again.read(&sent, &limits) {
            Ok(progress) => assert_eq!(progress, Progress::Done(sent.len())),
            // Each proxy on the way adds one, and an HTTP/1.0 request may have come without Host.
            Err(Reject { fault: Fault::TooManyHops, .. }) => continue,
            Err(Reject { fault: Fault::HostInvalid, .. })
                if request.version() == Version::Http10 && request.authority().is_empty() =>
            {
                continue;
            }
            Err(reject) => panic!("{reject}: {}", sent.escape_ascii()),
        }
        let again = Request { head: &again, bytes: &sent };
        assert_eq!(again.method(), request.method());
        assert_eq!(again.path(), request.path());
        assert_eq!(again.query(), request.query());
        assert_eq!(again.authority(), request.authority());
        assert_eq!(again.framing(), request.framing());
        assert_eq!(again.expects_continue(), request.expects_continue());
    }
}

/// The same for replies.
pub(crate) fn a_reply_goes_on_as_one(input: &[u8]) {
    let mut head = ResponseHead::default();
    let Ok(Progress::Done(end)) = head.read(input, &HeadLimits::REPLY) else { return };
    let reply = Response { head: &head, bytes: &input[..end] };
    for (to_head, version) in
        [(false, Version::Http11), (true, Version::Http11), (false, Version::Http10)]
    {
        let framing = reply.framing(to_head).toward(version);
        let rewrite =
            ResponseRewrite { version, framing, keep_alive: true, ..ResponseRewrite::default() };
        let mut sent = Vec::new();
        write_response(&mut sent, reply, &rewrite);
        is_clean(&sent);
        let names = names(&sent);
        let count = |name: &str| names.iter().filter(|is| *is == name).count();
        assert!(count("content-length") + count("transfer-encoding") <= 1);

        let mut again = ResponseHead::default();
        let limits = HeadLimits { bytes: 1 << 20, field_bytes: 1 << 20, ..HeadLimits::REPLY };
        let limits = HeadLimits { line_bytes: limits.bytes, ..limits };
        match again.read(&sent, &limits) {
            Ok(progress) => assert_eq!(progress, Progress::Done(sent.len())),
            Err(reject) => panic!("{reject}: {}", sent.escape_ascii()),
        }
        let again = Response { head: &again, bytes: &sent };
        assert_eq!(again.status(), reply.status());
        assert_eq!(again.framing(to_head), framing);
    }
}

fn is_clean(head: &[u8]) {
    assert!(head.ends_with(b"\r\n\r\n"));
    assert!(!head.contains(&0));
    let crlf = head.windows(2).filter(|pair| *pair == b"\r\n").count();
    for byte in *b"\r\n" {
        assert_eq!(head.iter().filter(|is| **is == byte).count(), crlf);
    }
    assert_eq!(head.windows(4).filter(|four| *four == b"\r\n\r\n").count(), 1);
}

fn names(head: &[u8]) -> Vec<String> {
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(|line| line.split(|byte| *byte == b':').next())
        .map(|name| String::from_utf8_lossy(name).to_lowercase())
        .collect()
}

/// The framing is what a slow, plain reading of RFC 9112 section 6.3 finds.
pub(crate) fn framing_is_as_read_slowly(input: &[u8]) {
    let mut head = RequestHead::default();
    if let Ok(Progress::Done(end)) = head.read(input, &HeadLimits::REQUEST) {
        let request = Request { head: &head, bytes: &input[..end] };
        assert_eq!(Some(request.framing()), slow(&input[..end], Framing::Empty));
    }
    let mut head = ResponseHead::default();
    if let Ok(Progress::Done(end)) = head.read(input, &HeadLimits::REPLY) {
        let reply = Response { head: &head, bytes: &input[..end] };
        assert_eq!(reply.framing(true), Framing::Empty);
        let framing = match reply.status() {
            100..=199 | 204 | 304 => Some(Framing::Empty),
            _ => slow(&input[..end], Framing::UntilClose),
        };
        assert_eq!(Some(reply.framing(false)), framing);
    }
}

/// Every line has one colon too many rather than one too few: nothing but `name: value` counts.
fn slow(head: &[u8], without: Framing) -> Option<Framing> {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let text = text.trim_start_matches("\r\n");
    let mut lines = text.strip_suffix("\r\n\r\n")?.split("\r\n");
    let is_http10 = lines.next()?.contains("HTTP/1.0");
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value),
            "transfer-encoding" => codings.push(value.to_ascii_lowercase()),
            _ => {}
        }
    }
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Some(without),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse::<i64>().ok().map(|length| Framing::Length(length.unsigned_abs()))
        }
        ([], [coding]) if coding == "chunked" && !is_http10 => Some(Framing::Chunked),
        _ => None,
    }
}

/// What became of a chunked body.
#[derive(Debug, PartialEq)]
pub(crate) enum Decoded {
    /// Its content, and the bytes it took.
    Whole(Vec<u8>, usize),
    /// Not there yet.
    Open,
    Refused,
}

/// The decoder finds what the reference finds, however the bytes are cut.
pub(crate) fn chunks_are_as_referred(input: &[u8], seed: &[u8]) {
    let whole = decode(input, [input.len().max(1)].into_iter());
    assert_eq!(whole, decode(input, cuts(seed)), "cuts");
    match (reference(input), whole) {
        // The decoder need not wait for the end of a line to refuse it.
        (Decoded::Open, Decoded::Refused) => {}
        (wanted, found) => assert_eq!(wanted, found),
    }
}

/// Decodes as an IO layer does: the window is what was not consumed, and what came.
pub(crate) fn decode(input: &[u8], cuts: impl Iterator<Item = usize>) -> Decoded {
    let limits = BodyLimits::DEFAULT;
    let mut body = BodyReader::new(Side::Request, Framing::Chunked, &limits).expect("no bound");
    let (mut content, mut window, mut consumed, mut come) = (Vec::new(), Vec::new(), 0, 0);
    for cut in cuts {
        let next = input.len().min(come + cut);
        window.extend_from_slice(&input[come..next]);
        come = next;
        let Ok(piece) = body.read(&mut window) else { return Decoded::Refused };
        assert!(piece.data.end <= piece.consumed && piece.consumed <= window.len());
        assert_eq!(piece.end, body.is_done());
        content.extend_from_slice(&window[piece.data]);
        window.drain(..piece.consumed);
        consumed += piece.consumed;
        assert!(content.len() <= consumed);
        if piece.end {
            assert!(body.finish_input().is_ok());
            return Decoded::Whole(content, consumed);
        }
        if come == input.len() {
            break;
        }
    }
    assert!(body.finish_input().is_err());
    Decoded::Open
}

/// A decoder that is slow and plain: whole lines, no state.
pub(crate) fn reference(input: &[u8]) -> Decoded {
    let (mut content, mut at, mut extensions) = (Vec::new(), 0, 0);
    loop {
        let end = match line_end(&input[at..]) {
            Ok(Some(end)) => end,
            Ok(None) => return Decoded::Open,
            Err(BareLf) => return Decoded::Refused,
        };
        let line = &input[at..at + end];
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let extension = &line[digits..];
        extensions += extension.len().saturating_sub(1);
        let is_bounded = extension.len() <= 4097 && extensions <= 16384;
        if digits == 0 || digits > 16 || !is_bounded || !is_extension(extension) {
            return Decoded::Refused;
        }
        let size = hex(&line[..digits]);
        at += end + 2;
        if size == 0 {
            break;
        }
        if size >= 1 << 63 || size.checked_add(content.len() as u64).is_none_or(|n| n >= 1 << 63) {
            return Decoded::Refused;
        }
        let data = &input[at..];
        let Some(size) = usize::try_from(size).ok().filter(|size| *size < data.len()) else {
            return Decoded::Open;
        };
        content.extend_from_slice(&data[..size]);
        at += size;
        match &data[size..] {
            [b'\r'] => return Decoded::Open,
            [b'\r', b'\n', ..] => at += 2,
            _ => return Decoded::Refused,
        }
    }
    let (section, mut fields, mut is_valid) = (at, 0, true);
    loop {
        let end = match line_end(&input[at..]) {
            Ok(Some(end)) => end,
            Ok(None) => return Decoded::Open,
            Err(BareLf) => return Decoded::Refused,
        };
        let line = &input[at..at + end];
        at += end + 2;
        if line.is_empty() {
            is_valid &= at - section <= 8192 && fields <= 32;
            return if is_valid { Decoded::Whole(content, at) } else { Decoded::Refused };
        }
        fields += 1;
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or_default();
        let is_value = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        is_valid &= is_token(&line[..colon]) && line[colon..].iter().all(is_value);
    }
}

fn hex(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |sum, byte| sum << 4 | u64::from(char::from(*byte).to_digit(16).expect("a digit")))
}

struct BareLf;

/// The length of the next line, if it has come.
fn line_end(input: &[u8]) -> Result<Option<usize>, BareLf> {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    end.checked_sub(1).filter(|end| input[*end] == b'\r').map(Some).ok_or(BareLf)
}

fn is_token(text: &[u8]) -> bool {
    let is_char = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_char)
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`, by eating it from the left.
fn is_extension(mut rest: &[u8]) -> bool {
    let skip = |text: &mut &[u8], is: &dyn Fn(u8) -> bool| {
        let end = text.iter().position(|byte| !is(*byte)).unwrap_or(text.len());
        let (eaten, left) = text.split_at(end);
        *text = left;
        !eaten.is_empty()
    };
    let bws = |byte: u8| matches!(byte, b' ' | b'\t');
    let token = |byte: u8| is_token(&[byte]);
    while !rest.is_empty() {
        skip(&mut rest, &bws);
        let Some(left) = rest.strip_prefix(b";") else { return false };
        rest = left;
        skip(&mut rest, &bws);
        if !skip(&mut rest, &token) {
            return false;
        }
        let mut value = rest;
        skip(&mut value, &bws);
        let Some(mut value) = value.strip_prefix(b"=") else { continue };
        skip(&mut value, &bws);
        if let Some(quoted) = value.strip_prefix(b"\"") {
            let Some(left) = after_quote(quoted) else { return false };
            rest = left;
        } else if skip(&mut value, &token) {
            rest = value;
        } else {
            return false;
        }
    }
    true
}

fn after_quote(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (first, tail) = rest.split_first()?;
        let text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        rest = match first {
            b'"' => return Some(tail),
            b'\\' => tail.split_first().filter(|(byte, _)| text(byte))?.1,
            _ if text(first) => tail,
            _ => return None,
        };
    }
}

/// What is framed can be read again, in another buffer and in place, and in place nothing behind the
/// piece is touched.
pub(crate) fn chunks_go_round(content: &[u8], seed: &[u8], behind: &[u8]) {
    let mut framed = Vec::new();
    let mut at = 0;
    for cut in cuts(seed) {
        let next = content.len().min(at + cut);
        let end = (next == content.len()).then_some(&b""[..]);
        BodyWriter::Chunked.frame_into(&mut framed, &content[at..next], end);
        at = next;
        if end.is_some() {
            break;
        }
    }
    let length = framed.len();
    assert_eq!(decode(&framed, cuts(seed)), Decoded::Whole(content.to_vec(), length));

    framed.extend_from_slice(behind);
    let mut reframed = Vec::new();
    relay(&framed, cuts(seed), &mut reframed, behind);
    let length = reframed.len();
    assert_eq!(decode(&reframed, cuts(seed)), Decoded::Whole(content.to_vec(), length));
}

/// Decodes and frames in one buffer, as bytes come.
fn relay(input: &[u8], cuts: impl Iterator<Item = usize>, out: &mut Vec<u8>, behind: &[u8]) {
    let limits = BodyLimits::DEFAULT;
    let mut body = BodyReader::new(Side::Reply, Framing::Chunked, &limits).expect("no bound");
    let (mut rest, mut come) = (Vec::new(), 0);
    for cut in cuts {
        let next = input.len().min(come + cut);
        let mut buffer = vec![b'#'; CHUNK_HEAD_MAX];
        buffer.append(&mut rest);
        buffer.extend_from_slice(&input[come..next]);
        come = next;
        let piece = body.read(&mut buffer[CHUNK_HEAD_MAX..]).expect("we framed it");
        let data = piece.data.start + CHUNK_HEAD_MAX..piece.data.end + CHUNK_HEAD_MAX;
        let free = piece.consumed + CHUNK_HEAD_MAX;
        rest = buffer[free..].to_vec();
        let end = piece.end.then_some(&b""[..]);
        let framed = BodyWriter::Chunked.frame(&mut buffer, data, free, end).expect("room");
        assert!(rest.is_empty() || buffer[free..] == rest);
        out.extend_from_slice(&buffer[framed]);
        if piece.end {
            assert!(behind.starts_with(&rest));
            return;
        }
    }
}
