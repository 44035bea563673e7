//! A copy as it goes out: whose edits hold, what of the client shows, what marks it.

use std::{fmt::Write as _, net::IpAddr};

use bytes::Bytes;
use gnomon_config::model::{HostRule, Shadow};
use gnomon_policy::rewrite::{Target, rewrite_copy, rewrite_target};
use gnomon_wire::{Edits, Forwarding, Framing, Request, RequestRewrite, Trace, write_request};

use crate::{
    exchange::Copy,
    terms::{Endpoint, Terms},
};

/// Our name in Via.
const VIA: &[u8] = b"gnomon";

/// What a head grows by, as a rule.
const ROOM: usize = 512;

/// Whom a copy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// The version under test.
    Shadow,
    /// The primary's version, once more.
    Primary,
}

/// A body up to this long is sent with its head; a longer one is shared by all who send it.
const SHORT: usize = 16 << 10;

/// A copy for `receiver` at `endpoint`, which is `span` of its trace: what is sent first, and what is sent then, if anything.
pub(crate) fn write(
    copy: &Copy,
    request: Request<'_>,
    index: usize,
    (receiver, endpoint): (Receiver, &Endpoint),
    span: u64,
) -> (Bytes, Bytes) {
    let terms: &Terms = &copy.terms.terms;
    let shadow = &terms.shadows[index].shadow;
    let route = terms.table.route(copy.plan.route);
    let mut target = Vec::new();
    let (edits, rewritten) = match receiver {
        Receiver::Shadow => (
            terms.table.copy_edits(index, copy.plan.route),
            rewrite_copy(shadow, route, request, &mut target),
        ),
        Receiver::Primary => (
            terms.table.again_edits(index, &copy.plan),
            rewrite_target(route, request, &mut target),
        ),
    };
    let content = copy.asked.body.clone();
    let ip = Text::of(copy.client);
    let text;
    let trace = match copy.trace {
        None => Trace::Keep,
        Some(own) => {
            text = own.child(span).text();
            if copy.keeps_state { Trace::Continue(&text) } else { Trace::Start(&text) }
        }
    };
    let rewrite = RequestRewrite {
        target: (rewritten == Target::Written).then_some(target.as_slice()),
        host: host(receiver, shadow, terms, copy, endpoint),
        client: Forwarding {
            ip: ip.bytes(),
            proto: if copy.is_secure { b"https" } else { b"http" },
            trusted: copy.is_trusted,
            forwarded: true,
        },
        certificate: &[],
        flags: copy.flags_field(),
        via: VIA,
        request_id: (!copy.request_id.is_empty()).then_some(&copy.request_id[..]),
        trace,
        edits: changes(&edits),
        framing: framing(request, &content),
        expect: false,
        upgrade: false,
    };
    let is_short = content.len() <= SHORT;
    let room = copy.asked.head.len() + ROOM + if is_short { content.len() } else { 0 };
    let mut out = Vec::with_capacity(room);
    write_request(&mut out, request, &rewrite);
    if !is_short {
        return (out.into(), content);
    }
    out.extend_from_slice(&content);
    (out.into(), Bytes::new())
}

/// An address as people write it.
struct Text {
    bytes: [u8; ADDRESS_BYTES_MAX],
    length: usize,
}

impl Text {
    fn of(ip: IpAddr) -> Self {
        let mut text = Self { bytes: [0; ADDRESS_BYTES_MAX], length: 0 };
        // It fits, always.
        let _ = write!(text, "{ip}");
        text
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        let end = self.length + piece.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(piece.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
const ADDRESS_BYTES_MAX: usize = 45;

/// The body is here whole, so its length is known, however it came.
fn framing(request: Request<'_>, content: &[u8]) -> Framing {
    match request.framing() {
        Framing::Empty => Framing::Empty,
        Framing::Length(_) | Framing::Chunked | Framing::UntilClose => {
            Framing::Length(content.len() as u64)
        }
    }
}

fn host<'a>(
    receiver: Receiver,
    shadow: &'a Shadow,
    terms: &'a Terms,
    copy: &Copy,
    endpoint: &'a Endpoint,
) -> Option<&'a [u8]> {
    let rule = match receiver {
        Receiver::Shadow => &shadow.host,
        Receiver::Primary => &terms.table.upstream(copy.plan.upstream).host,
    };
    match rule {
        HostRule::Preserve => None,
        HostRule::Endpoint => Some(endpoint.authority.as_bytes()),
        HostRule::Literal(host) => Some(host.as_bytes()),
    }
}

/// Those that change anything.
fn changes<'e>(edits: &'e [&'e Edits]) -> &'e [&'e Edits] {
    if edits.iter().all(|edits| edits.is_empty()) { &[] } else { edits }
}

#[cfg(test)]
mod tests;
