//! A reply as rewriting sees it.

use std::fmt;

use crate::{
    framing::{self, Framing},
    head::{ResponseHead, Version},
    request::{named, pairs},
};

/// A reply: its head and the bytes it was read from.
#[derive(Clone, Copy)]
pub struct Response<'a> {
    /// The spans.
    pub head: &'a ResponseHead,
    /// The buffer, from the head's first byte.
    pub bytes: &'a [u8],
}

impl<'a> Response<'a> {
    /// The status, 100 to 599.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// Whether another reply follows: 1xx, but not 101.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        matches!(self.head.status, 100 | 102..=199)
    }

    /// The reason phrase, empty if there is none.
    #[must_use]
    pub fn reason(&self) -> &'a [u8] {
        self.head.reason.of(self.bytes)
    }

    /// The version of the origin.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// All fields in order, name and value.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        pairs(&self.head.fields, self.bytes)
    }

    /// Values of the fields of this name (of any case), in order.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        named(&self.head.fields, self.bytes, name)
    }

    /// How the body is delimited. `to_head` says that HEAD was asked. Behind a 101 there is no body,
    /// but another protocol.
    #[must_use]
    pub fn framing(&self, to_head: bool) -> Framing {
        framing::of_reply(self.head.declared, self.head.status, to_head)
    }

    /// Whether the origin's connection may be used again, as far as the head says: a body that is
    /// framed [`UntilClose`](Framing::UntilClose) or was not read to its end forbids it as well.
    #[must_use]
    pub fn persistent(&self) -> bool {
        self.head.persistent
    }

    /// Whether a 101 names what it switches to, as it must.
    #[must_use]
    pub fn upgrades(&self) -> bool {
        self.head.status == 101 && self.head.upgrade
    }
}

impl fmt::Debug for Response<'_> {
    /// Never the text: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("head", self.head).finish_non_exhaustive()
    }
}
