//! The kernel's edges, safely: sockets, cores, limits. The only crate where `unsafe` compiles.
//!
//! | unsafe | why | what keeps it sound |
//! |---|---|---|
//! | [`duplex`] shares one stream for both directions | monoio's `&mut self` would forbid reading and writing one socket at once | one thread; monoio's operations own their buffer and descriptor |
//! | [`memory`] calls C functions of the allocator and the kernel | there are no others | they ask for nothing |
//! | [`passing::take_inherited`] owns descriptors by their numbers | a supervisor names them so | called once, at the start, for what it says it has opened |
//! | [`socket::accept_queue`] asks for TCP_INFO | the wrappers we use do not | the kernel writes into an array of bytes, no more than its length |
//! | [`socket::unacknowledged`] asks for SIOCOUTQ | the wrappers we use do not | the kernel writes one int of ours; the caller's socket outlives the call |
//! | [`socket::shut_down`], [`socket::peek`] borrow a raw descriptor | monoio's streams lend only raw descriptors | the caller's socket outlives the call |

pub mod address;
pub mod affinity;
pub mod duplex;
pub mod entropy;
pub mod limits;
pub mod memory;
pub mod passing;
pub mod socket;
