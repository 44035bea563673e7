//! Heads as they go out: what the plan, the peer and the configuration make of them.

use std::rc::Rc;

use gnomon_config::model::HostRule;
use gnomon_policy::{
    rewrite::{Target, rewrite_target},
    sticky::Channel,
};
use gnomon_wire::{
    Edits, Forwarding, Framing, Known, RequestRewrite, Response, ResponseRewrite, Trace,
    write_request, write_response,
};

use super::{
    Worker,
    buffers::{Buffer, Size},
    client::Client,
    flow::Flow,
    record::Entry,
    relay::Terms,
    trace::Traced,
};

/// Our name in Via.
const VIA: &[u8] = b"gnomon";

/// Writes the request's head for the origin into a buffer of its own; the client's stays as it
/// is, for a retry and for the log.
pub(super) fn write(
    worker: &Rc<Worker>,
    terms: &Terms<'_>,
    client: &Client,
    entry: &Entry,
) -> Buffer {
    let request = terms.request;
    let mut out = worker.buffers.rent(Size::Small);
    let mut target = Vec::new();
    let route = terms.view.route(terms.plan.route);
    let rewritten = rewrite_target(route, request, &mut target) == Target::Written;
    let host = match &terms.view.upstream(terms.plan).host {
        HostRule::Preserve => None,
        HostRule::Endpoint => Some(terms.origin.authority.as_bytes()),
        HostRule::Literal(host) => Some(host.as_bytes()),
    };
    let text = entry.trace.as_ref().map(Traced::text);
    let trace = entry.trace.as_ref().zip(text.as_ref());
    let trace = trace.map_or(Trace::Keep, |(traced, text)| traced.toward(text));
    let edits = terms.view.snapshot.table.request_edits(terms.plan);
    let certificate: Vec<(&[u8], &[u8])> = match client.identity.as_deref() {
        None => Vec::new(),
        Some(identity) => {
            identity.fields().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
        }
    };
    let rewrite = RequestRewrite {
        target: rewritten.then_some(target.as_slice()),
        host,
        client: Forwarding {
            ip: client.peer.text(),
            proto: if client.stream.is_tls() { b"https" } else { b"http" },
            trusted: client.peer.is_trusted,
            forwarded: true,
        },
        certificate: &certificate,
        flags: terms.view.snapshot.config.flags.field().map(|name| (name, entry.told())),
        via: VIA,
        request_id: entry.own_id(),
        trace,
        edits: changes(&edits),
        framing: request.framing(),
        expect: true,
        upgrade: terms.upgrade,
    };
    write_request(out.parts().0, request, &rewrite);
    out
}

/// How an interim reply goes on.
pub(super) fn interim<'a>(terms: &Terms<'a>) -> ResponseRewrite<'a> {
    ResponseRewrite { version: terms.request.version(), via: VIA, ..ResponseRewrite::default() }
}

/// How the final reply goes on to the client.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    /// Whether the connection becomes something else with it.
    pub(super) switches: bool,
}

/// Appends the final reply's head for the client.
pub(super) fn response(
    flow: &Flow<'_>,
    terms: &Terms<'_>,
    response: Response<'_>,
    manner: Manner,
    entry: &Entry,
    out: &mut Vec<u8>,
) {
    let mut cookie = Vec::new();
    let channel = channel(terms, flow.client);
    let minted = terms.view.snapshot.table.write_cookie(terms.plan, channel, &mut cookie);
    let edits = terms.view.snapshot.table.response_edits(terms.plan);
    let date = flow.worker.date.text();
    let is_told = terms.view.snapshot.config.trace.server_timing && flow.client.peer.is_trusted;
    let timing = is_told.then(|| entry.timing());
    let rewrite = ResponseRewrite {
        version: terms.request.version(),
        framing: manner.framing,
        keep_alive: manner.keep_alive,
        edits: changes(&edits),
        set_cookie: minted.then_some(cookie.as_slice()),
        request_id: entry.own_id(),
        server_timing: timing.as_deref(),
        via: VIA,
        date: Some(&date),
        upgrade: manner.switches,
    };
    write_response(out, response, &rewrite);
}

/// Those that change anything: usually none, and then no field has to be looked at.
fn changes<'e>(edits: &'e [&'e Edits]) -> &'e [&'e Edits] {
    if edits.iter().all(|edits| edits.is_empty()) { &[] } else { edits }
}

fn channel(terms: &Terms<'_>, client: &Client) -> Channel {
    let said = terms.request.first(Known::XForwardedProto).filter(|_| client.peer.is_trusted);
    let is_secure =
        said.map_or_else(|| client.stream.is_tls(), |proto| proto.eq_ignore_ascii_case(b"https"));
    if is_secure { Channel::Secure } else { Channel::Plain }
}
