//! Heads to bytes: from parsed fields, one decision a field, one pass.

use std::ops::Range;

use crate::{
    edits::Edits,
    framing::Framing,
    head::{Field, Upgrade, Version},
    known::{Known, KnownSet},
    request::{Request, known},
    response::Response,
    rewrite::{Forwarding, RequestRewrite, ResponseRewrite, Trace},
};

/// Appends the request's head as it goes on to the origin.
pub fn write_request(out: &mut Vec<u8>, request: Request<'_>, rewrite: &RequestRewrite<'_>) {
    out.reserve(request.head.end.saturating_add(OWN_BYTES));
    out.extend_from_slice(request.method());
    out.push(b' ');
    match (rewrite.target, request.query()) {
        (Some(target), _) => out.extend_from_slice(target),
        (None, None) => out.extend_from_slice(request.path()),
        (None, Some(query)) => {
            out.extend_from_slice(request.path());
            out.push(b'?');
            out.extend_from_slice(query);
        }
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut head =
        Head { out, bytes: request.bytes, present: request.head.present, edits: rewrite.edits };
    head.field(b"Host: ", rewrite.host.unwrap_or_else(|| request.authority()));
    let seen = head.request_fields(&request.head.fields, rewrite);
    head.client(request, &rewrite.client, &seen);
    if !rewrite.via.is_empty() {
        head.via(&request.head.fields, request.version(), rewrite.via);
    }
    if let Some(id) = rewrite.request_id {
        head.own(b"X-Request-Id: ", id);
    }
    if let Trace::Continue(text) | Trace::Start(text) = rewrite.trace {
        head.own(b"Traceparent: ", text);
    }
    for (name, value) in rewrite.certificate {
        head.out.extend_from_slice(name);
        head.field(b": ", value);
    }
    if let Some((name, value)) = rewrite.flags.filter(|(_, value)| !value.is_empty()) {
        head.out.extend_from_slice(name.as_bytes());
        head.field(b": ", value);
    }
    head.request_connection(request, rewrite);
    head.framing(rewrite.framing);
    head.finish();
}

/// Appends the reply's head as it goes on to the client. An interim reply has no framing, date, or
/// say in the connection.
pub fn write_response(out: &mut Vec<u8>, response: Response<'_>, rewrite: &ResponseRewrite<'_>) {
    out.reserve(response.head.end.saturating_add(OWN_BYTES));
    let status = response.status();
    let reason = match response.reason() {
        b"" => crate::reason(status).as_bytes(),
        reason => reason,
    };
    status_line(out, status, reason);
    let mut head =
        Head { out, bytes: response.bytes, present: response.head.present, edits: rewrite.edits };
    head.response_fields(&response.head.fields, rewrite);
    if !rewrite.via.is_empty() {
        head.via(&response.head.fields, response.version(), rewrite.via);
    }
    if let Some(id) = rewrite.request_id {
        head.own(b"X-Request-Id: ", id);
    }
    if status == 101 && rewrite.upgrade {
        head.field(b"Connection: ", b"upgrade");
        head.joined(b"Upgrade: ", &response.head.fields, Known::Upgrade, &[]);
    }
    let is_tunnel = rewrite.upgrade && matches!(status, 200..=299);
    if status >= 200 {
        if let (Some(date), false) = (rewrite.date, response.head.present.contains(Known::Date)) {
            head.own(b"Date: ", date);
        }
        if let Some(cookie) = rewrite.set_cookie {
            head.field(b"Set-Cookie: ", cookie);
        }
        if let Some(timing) = rewrite.server_timing {
            head.own(b"Server-Timing: ", timing);
        }
        //= rfc9110#section-9.3.6
        //# A server MUST NOT send any Transfer-Encoding or Content-Length header fields in a 2xx
        //# (Successful) response to CONNECT.
        if is_tunnel {
            head.finish();
            return;
        }
        let is_kept = rewrite.keep_alive && rewrite.framing != Framing::UntilClose;
        head.connection(is_kept, rewrite.version);
        match (rewrite.framing, response.head.declared) {
            //= rfc9110#section-8.6
            //# A server MUST NOT send a Content-Length header field in any response with a status
            //# code of 1xx (Informational) or 204 (No Content).
            (Framing::Empty, Some(length @ Framing::Length(_))) if status != 204 => {
                head.framing(length);
            }
            (framing, _) => head.framing(framing),
        }
    }
    head.finish();
}

pub(crate) fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    // 100 to 599.
    let digits = [status / 100 % 10, status / 10 % 10, status % 10];
    out.extend_from_slice(&digits.map(|digit| b'0' | u8::try_from(digit).unwrap_or_default()));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Appends `number` in decimal digits.
pub(crate) fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [b'0'; 20];
    let (mut left, mut length) = (number, 0_usize);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' | u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
        length = length.saturating_add(1);
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len().saturating_sub(length)..).unwrap_or_default());
}

/// Room for what we write ourselves.
const OWN_BYTES: usize = 512;

/// What a trusted proxy has said already.
#[derive(Clone, Copy, Default)]
struct Seen {
    host: bool,
    proto: bool,
    real_ip: bool,
}

/// A head being written.
pub(crate) struct Head<'h> {
    pub(crate) out: &'h mut Vec<u8>,
    pub(crate) bytes: &'h [u8],
    /// The fields that were received.
    pub(crate) present: KnownSet,
    pub(crate) edits: &'h [&'h Edits],
}

impl Head<'_> {
    /// The fields of a request that go on; which of those about the client are among them.
    fn request_fields(&mut self, fields: &[Field], rewrite: &RequestRewrite<'_>) -> Seen {
        let mut seen = Seen::default();
        let client = &rewrite.client;
        let mut run = 0..0;
        for field in fields {
            let is_kept = match field.known {
                Known::Other
                | Known::Control
                | Known::Authorization
                | Known::Cookie
                | Known::Date
                | Known::Location
                | Known::Server
                | Known::SetCookie => true,
                Known::XForwarded => client.trusted,
                Known::XForwardedHost => {
                    seen.host = client.trusted;
                    client.trusted
                }
                Known::XForwardedProto => {
                    seen.proto = client.trusted;
                    client.trusted
                }
                Known::XRealIp => {
                    seen.real_ip = client.trusted;
                    client.trusted
                }
                Known::XForwardedFor => client.trusted && client.ip.is_empty(),
                Known::Forwarded => client.trusted && !client.forwarded,
                Known::Via => rewrite.via.is_empty(),
                Known::XRequestId => rewrite.request_id.is_none(),
                Known::Traceparent => rewrite.trace == Trace::Keep,
                Known::Tracestate => match rewrite.trace {
                    Trace::Continue(_) => true,
                    Trace::Start(_) => false,
                    // Alone, it is nobody's.
                    Trace::Keep => self.present.contains(Known::Traceparent),
                },
                Known::Connection
                | Known::ContentLength
                | Known::Expect
                | Known::Host
                | Known::Http2Settings
                | Known::KeepAlive
                | Known::Named
                | Known::ProxyAuthenticate
                | Known::ProxyAuthorization
                | Known::ProxyConnection
                | Known::Te
                | Known::Trailer
                | Known::TransferEncoding
                | Known::Twin
                | Known::Upgrade
                | Known::XClientCert => false,
            };
            if is_kept && !self.is_told(field, rewrite) {
                self.keep(field, &mut run);
            }
        }
        self.copy(&run);
        seen
    }

    /// Whether a field is named as the one that we tell of flags in, also with `_` for `-`, which some
    /// origins do not tell apart.
    fn is_told(&self, field: &Field, rewrite: &RequestRewrite<'_>) -> bool {
        let Some((told, _)) = rewrite.flags else { return false };
        let name = field.name.of(self.bytes);
        let same = |(said, known): (&u8, &u8)| {
            said.eq_ignore_ascii_case(known) || (*said == b'_' && *known == b'-')
        };
        name.len() == told.len() && name.iter().zip(told.as_bytes()).all(same)
    }

    /// The fields of a reply that go on.
    fn response_fields(&mut self, fields: &[Field], rewrite: &ResponseRewrite<'_>) {
        let mut run = 0..0;
        for field in fields {
            let is_replaced = (field.known == Known::Via && !rewrite.via.is_empty())
                || (field.known == Known::XRequestId && rewrite.request_id.is_some());
            if !is_replaced && !field.known.is_ours() {
                self.keep(field, &mut run);
            }
        }
        self.copy(&run);
    }

    /// What the origin is told of the client.
    fn client(&mut self, request: Request<'_>, client: &Forwarding<'_>, seen: &Seen) {
        let fields: &[Field] = if client.trusted { &request.head.fields } else { &[] };
        if !client.ip.is_empty() {
            self.joined(b"X-Forwarded-For: ", fields, Known::XForwardedFor, &[client.ip]);
            if !seen.real_ip {
                self.own(b"X-Real-IP: ", client.ip);
            }
        }
        if !seen.host && !request.authority().is_empty() {
            self.own(b"X-Forwarded-Host: ", request.authority());
        }
        if !seen.proto && !client.proto.is_empty() {
            self.own(b"X-Forwarded-Proto: ", client.proto);
        }
        if client.forwarded {
            let (open, close): (&[u8], &[u8]) = match client.ip {
                b"" => (b"for=unknown", b""),
                ip if ip.contains(&b':') => (b"for=\"[", b"]\""),
                _ => (b"for=", b""),
            };
            // An authority holds no quote and no backslash, else it was refused.
            let parts = [
                open,
                client.ip,
                close,
                b";host=\"",
                request.authority(),
                b"\";proto=",
                client.proto,
            ];
            self.joined(b"Forwarded: ", fields, Known::Forwarded, &parts);
        }
    }

    //= rfc9110#section-7.6.3
    //# A proxy MUST send an appropriate Via header field, as described below, in each message that it
    //# forwards.
    fn via(&mut self, fields: &[Field], received: Version, name: &[u8]) {
        let protocol: &[u8] = match received {
            Version::Http10 => b"1.0 ",
            Version::Http11 => b"1.1 ",
        };
        self.joined(b"Via: ", fields, Known::Via, &[protocol, name]);
    }

    /// A request's options for the connection to the origin, which is kept alive without saying so.
    fn request_connection(&mut self, request: Request<'_>, rewrite: &RequestRewrite<'_>) {
        let is_upgrade = rewrite.upgrade && request.upgrade() == Upgrade::WebSocket;
        //= rfc9110#section-10.1.4
        //# A sender of TE MUST also send a "TE" connection option within the Connection header field
        //# (Section 7.6.1) to inform intermediaries not to forward this field.
        match (is_upgrade, request.accepts_trailers()) {
            (false, false) => {}
            (true, _) => {
                self.field(b"Connection: ", b"upgrade");
                self.field(b"Upgrade: ", b"websocket");
            }
            (false, true) => {
                self.field(b"Connection: ", b"te");
                self.field(b"TE: ", b"trailers");
            }
        }
        if rewrite.expect && request.expects_continue() {
            self.field(b"Expect: ", b"100-continue");
        }
    }

    pub(crate) fn connection(&mut self, is_kept: bool, client: Version) {
        match (is_kept, client) {
            (false, _) => self.field(b"Connection: ", b"close"),
            (true, Version::Http10) => self.field(b"Connection: ", b"keep-alive"),
            (true, Version::Http11) => {}
        }
    }

    pub(crate) fn framing(&mut self, framing: Framing) {
        match framing {
            Framing::Empty | Framing::UntilClose => {}
            Framing::Chunked => self.field(b"Transfer-Encoding: ", b"chunked"),
            Framing::Length(bytes) => {
                self.out.extend_from_slice(b"Content-Length: ");
                decimal(self.out, bytes);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// What the configuration adds, and the empty line.
    pub(crate) fn finish(&mut self) {
        for edits in self.edits {
            for (name, value) in edits.written() {
                self.out.extend_from_slice(name);
                self.field(b": ", value);
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// A received field, unless it is edited away. Lines that read as we would write them are not
    /// written one by one: they are gathered in `run`, a range of what was received, for as long as
    /// they are neighbours.
    fn keep(&mut self, field: &Field, run: &mut Range<usize>) {
        if self.is_edited(field.name.of(self.bytes)) {
            return;
        }
        let line = field.name.start as usize..(field.value.end as usize).saturating_add(2);
        let is_plain = self.is_plain(field, &line);
        if is_plain && line.start == run.end {
            run.end = line.end;
            return;
        }
        self.copy(run);
        *run = 0..0;
        if is_plain {
            *run = line;
        } else {
            self.out.extend_from_slice(field.name.of(self.bytes));
            self.field(b": ", field.value.of(self.bytes));
        }
    }

    /// Whether a received line is `name: value` and CRLF, without any other white space around.
    fn is_plain(&self, field: &Field, line: &Range<usize>) -> bool {
        let between = field.name.end as usize..field.value.start as usize;
        self.bytes.get(between) == Some(b": ")
            && self.bytes.get(line.clone()).is_some_and(|line| line.ends_with(b"\r\n"))
    }

    fn copy(&mut self, run: &Range<usize>) {
        self.out.extend_from_slice(self.bytes.get(run.clone()).unwrap_or_default());
    }

    /// A field of ours, unless the configuration knows better.
    #[inline]
    fn own(&mut self, opening: &'static [u8], value: &[u8]) {
        if !self.is_edited_away(opening) {
            self.field(opening, value);
        }
    }

    /// One field of all received ones of a kind, and a last member of ours in parts.
    #[inline]
    fn joined(&mut self, opening: &'static [u8], fields: &[Field], kind: Known, last: &[&[u8]]) {
        if self.is_edited_away(opening) {
            return;
        }
        self.out.extend_from_slice(opening);
        if !fields.is_empty() && self.present.contains(kind) {
            self.members(fields, kind, !last.is_empty());
        }
        for part in last {
            self.out.extend_from_slice(part);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// The values received in fields of a kind, with a comma behind the last if more follow.
    fn members(&mut self, fields: &[Field], kind: Known, more: bool) {
        let mut between: &[u8] = b"";
        for value in known(fields, self.bytes, kind).filter(|value| !value.is_empty()) {
            self.out.extend_from_slice(between);
            self.out.extend_from_slice(value);
            between = b", ";
        }
        if more {
            self.out.extend_from_slice(between);
        }
    }

    /// A field, given the name with its colon and space.
    #[inline]
    pub(crate) fn field(&mut self, opening: &[u8], value: &[u8]) {
        self.out.extend_from_slice(opening);
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }

    fn is_edited_away(&self, opening: &[u8]) -> bool {
        !self.edits.is_empty() && self.is_edited(opening.strip_suffix(b": ").unwrap_or(opening))
    }

    #[inline]
    fn is_edited(&self, name: &[u8]) -> bool {
        self.edits.iter().any(|edits| edits.drops(name))
    }
}
