//! What rides in a lane: an exchange of the primary, owned.

use bytes::Bytes;

/// A copy of a request, as it was sent to the primary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The request's head.
    pub head: Bytes,
    /// The request's body, whole.
    pub body: Bytes,
}
