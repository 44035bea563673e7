//! HTTP/1.1 as bytes, without IO: heads in, spans out; bodies decoded in place; heads written anew.
//!
//! Nothing here knows a socket, a clock or a policy. A caller reads bytes into a buffer it owns,
//! offers them, and gets back spans into that buffer. What RFC 9112 forbids is a [`Reject`], and
//! a reject ends the connection: a proxy that repairs is a smuggling tool.

pub mod body;
pub mod head;
pub mod reject;
pub mod rewrite;

pub use body::{BodyReader, BodyWriter, Framing};
pub use head::{HeadLimits, Progress, Request, RequestHead, Response, ResponseHead, Span, Version};
pub use reject::Reject;
