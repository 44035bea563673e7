//! What a proxy must change in a head: the decisions, for [`write`](mod@crate::write) to carry out.

use crate::{edits::Edits, framing::Framing, head::Version};

/// How a request goes on to an origin.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestRewrite<'a> {
    /// A rewritten target, see [`is_origin_form`](crate::is_origin_form); without, the request's own
    /// in origin-form, and `*` stays.
    pub target: Option<&'a [u8]>,
    /// Another Host than the request's.
    pub host: Option<&'a [u8]>,
    /// What to tell the origin of the client.
    pub client: Forwarding<'a>,
    /// What the client's certificate says of it: names and values.
    pub certificate: &'a [(&'a [u8], &'a [u8])],
    /// The field that tells of its user's flags: its name in lower case, and what it says; nothing is
    /// said if that is empty. One that the client sent never goes on.
    pub flags: Option<(&'a str, &'a [u8])>,
    /// Our name in Via; empty for no Via.
    pub via: &'a [u8],
    /// The request's id, in place of any it had.
    pub request_id: Option<&'a [u8]>,
    /// What becomes of its trace.
    pub trace: Trace<'a>,
    /// What the configuration changes.
    pub edits: &'a [&'a Edits],
    /// How the body is sent: empty, a length or chunks.
    pub framing: Framing,
    /// Whether `Expect: 100-continue` goes on, if the client sent it.
    pub expect: bool,
    /// Whether the request for a WebSocket goes on, if it is one.
    pub upgrade: bool,
}

/// Who the client is, and whether to believe what it says of others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forwarding<'a> {
    /// Its address as text, without brackets; empty if there is none.
    pub ip: &'a [u8],
    /// `http` or `https`.
    pub proto: &'a [u8],
    /// A proxy of ours: what it says is kept, and the lists are appended to. From anybody else
    /// it is dropped and written anew.
    pub trusted: bool,
    /// Whether to write `Forwarded` (RFC 7239) as well.
    pub forwarded: bool,
}

/// What becomes of `traceparent` and `tracestate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trace<'a> {
    /// Both as they came.
    #[default]
    Keep,
    /// A new span in the request's trace: `tracestate` stays.
    Continue(&'a [u8]),
    /// A new trace: `tracestate` belongs to none.
    Start(&'a [u8]),
}

/// How a reply goes on to the client.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseRewrite<'a> {
    /// The client's version. The reply says HTTP/1.1 whatever it is.
    pub version: Version,
    /// How the body is sent, see [`Framing::toward`].
    pub framing: Framing,
    /// Whether the client's connection stays open. Not behind [`Framing::UntilClose`].
    pub keep_alive: bool,
    /// What the configuration changes.
    pub edits: &'a [&'a Edits],
    /// A cookie to set, beside the origin's.
    pub set_cookie: Option<&'a [u8]>,
    /// The request's id, in place of any.
    pub request_id: Option<&'a [u8]>,
    /// Where the time went, beside what the origin says of it.
    pub server_timing: Option<&'a [u8]>,
    /// Our name in Via; empty for no Via.
    pub via: &'a [u8],
    /// The time, if the origin does not say it.
    pub date: Option<&'a [u8]>,
    /// Whether a 101, or a 2xx to CONNECT, goes on as one.
    pub upgrade: bool,
}
