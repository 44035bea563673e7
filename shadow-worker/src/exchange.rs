//! What rides in a lane: a copy of a request, and later what the primary answered.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gnomon_policy::{Plan, Targets};
use gnomon_wire::Traceparent;

use crate::{difference::Body, terms::CoreTerms};

/// One of the two messages of an exchange. The copy always comes first.
#[derive(Debug)]
pub enum Message {
    /// The request, as soon as it is complete.
    Copy(Box<Copy>),
    /// The primary's reply, once it has ended.
    Answer(Box<Answer>),
}

/// A copy of a request, as the client sent it.
#[derive(Debug)]
pub struct Copy {
    /// Number of the exchange on its core; the answer says it too.
    pub ticket: u64,
    /// What the configuration said when the exchange began.
    pub terms: Arc<CoreTerms>,
    /// The shadows that get it.
    pub targets: Targets,
    /// Where the request itself went.
    pub plan: Plan,
    /// The endpoint that the request itself went to.
    pub endpoint: u64,
    /// When it began.
    pub begun: Instant,
    /// The request.
    pub asked: Asked,
    /// The client's address.
    pub client: IpAddr,
    /// Whether what it says of others is believed.
    pub is_trusted: bool,
    /// Whether it speaks TLS with us.
    pub is_secure: bool,
    /// The id that we gave the request; empty if it brought one that we believe.
    pub request_id: Bytes,
    /// The trace that it belongs to, and our span in it, if there is one.
    pub trace: Option<Traceparent>,
    /// Whether `tracestate` goes on with it.
    pub keeps_state: bool,
    /// Whether its spans are told to a collector.
    pub is_told: bool,
    /// What the request's origin was told of its user's flags; empty if nothing.
    pub flags: Bytes,
}

impl Copy {
    /// The field that tells of flags, if there is one: name and value.
    pub(crate) fn flags_field(&self) -> Option<(&str, &[u8])> {
        let field = self.terms.terms.table.config().flags.field();
        field.map(|name| (name, &self.flags[..]))
    }
}

/// A request as the client sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its head, up to and with the empty line.
    pub head: Bytes,
    /// Its body, whole.
    pub body: Bytes,
}

/// What the primary answered.
#[derive(Debug)]
pub struct Answer {
    /// The copy's.
    pub ticket: u64,
    /// The reply, or why there is none to compare with.
    pub reply: Result<Reply, Lost>,
    /// From the moment the request was sent to the reply's first byte.
    pub first_byte: Duration,
}

impl Copy {
    /// Bytes that it holds, out of its core's ration.
    #[must_use]
    pub fn weight(&self) -> u64 {
        (self.asked.head.len() + self.asked.body.len()) as u64
    }
}

impl Message {
    /// Bytes that it holds, out of its core's ration.
    #[must_use]
    pub fn weight(&self) -> u64 {
        match self {
            Self::Copy(copy) => copy.weight(),
            Self::Answer(answer) => answer.weight(),
        }
    }
}

impl Answer {
    /// Bytes that it holds, out of its core's ration.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.reply.as_ref().map_or(0, |reply| (reply.head.len() + reply.body.bytes.len()) as u64)
    }
}

/// Why there is no reply of the primary to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It did not come whole, or the client left.
    Failed,
    /// Another version than the shadow's `from` answered in the end.
    Moved,
}

/// A reply as it was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its head, up to and with the empty line.
    pub head: Bytes,
    /// Its body.
    pub body: Body,
}
