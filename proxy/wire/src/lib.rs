//! HTTP/1.1 as bytes, without IO: heads in, spans out; bodies decoded in place; heads written anew.
//!
//! Nothing here knows a socket, a clock or a policy. A caller reads bytes into a buffer it owns,
//! offers them, and gets back spans into that buffer. What RFC 9112 forbids is a [`Reject`], and
//! a reject ends the connection: a proxy that repairs is a smuggling tool.
//!
//! # A message in
//!
//! ```text
//!            bytes            +--- More: read, offer the same bytes and more
//!   clear() ------> read() ---+
//!     ^                       +--- Reject: answer status(), close
//!     |                       |
//!     |                       +--- Done(n): Request / Response over the first n bytes
//!     |                                |
//!     |                                v  framing()
//!     |                         BodyReader::read(window)
//!     |                                |
//!     +--- is_done() <--- Piece { data, consumed, end } ---> data goes on, the rest stays
//! ```
//!
//! # A chunked body
//!
//! ```text
//!   Size --hex--> Size --;--> Extension --CR--> SizeLf --LF, size > 0--> Data
//!    ^               \--------CR---------------/   |                       |
//!    |                                             | LF, size = 0          | all of it
//!    +---------------------- DataEnd <-------------|-----------------------+
//!                          (CR, then LF)           v
//!                                              Trailers --empty line--> Done
//! ```
//!
//! Only the trailer section is offered whole; in every other state each byte is consumed as it
//! comes, whatever the cuts.
//!
//! # A message out
//!
//! Heads are serialised from parsed fields by [`mod@write`], one decision a field; neighbouring lines
//! that already read as they would be written are taken together. Bodies are framed anew by
//! [`BodyWriter`]. What the client framed, how it folded, what it named in Connection: nothing of it
//! reaches the origin.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test may panic")
)]

pub mod answer;
pub mod body;
mod chunked;
pub mod edits;
pub mod framing;
pub mod head;
pub mod known;
pub mod limits;
mod lines;
mod parse;
pub mod proxy_protocol;
pub mod reject;
pub mod request;
pub mod response;
pub mod rewrite;
pub mod span;
mod survey;
pub mod target;
pub mod trace;
mod trailers;
pub mod write;

pub use answer::{Answer, reason, write_answer};
pub use body::{BodyReader, BodyWriter, CHUNK_HEAD_MAX, Piece};
pub use edits::Edits;
pub use framing::Framing;
pub use head::{Field, Progress, RequestHead, ResponseHead, Upgrade, Version};
pub use known::{Known, KnownSet};
pub use limits::{BodyLimits, FIELDS_MAX, HeadLimits};
pub use reject::{Fault, Reject, Side};
pub use request::Request;
pub use response::Response;
pub use rewrite::{Forwarding, RequestRewrite, ResponseRewrite, Trace};
pub use span::Span;
pub use target::{Form, is_origin_form};
pub use trace::Traceparent;
pub use write::{write_request, write_response};
