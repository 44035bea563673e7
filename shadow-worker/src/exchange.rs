//! What rides in a lane: an exchange of the primary, owned.

use bytes::Bytes;

use crate::difference::Body;

/// A copy of a request, as it was sent to the primary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The request's head.
    pub head: Bytes,
    /// The request's body, whole.
    pub body: Bytes,
}

/// A reply, as it was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The reply's head: status line and fields.
    pub head: Bytes,
    /// The reply's body, as much of it as was captured.
    pub body: Body,
}
