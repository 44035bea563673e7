//! The life of a request.
//!
//! The kernel hands a connection to one core (`worker/accept`), and everything after that happens
//! on that core. The connection's task (`worker/client`) waits without a buffer, rents one, reads
//! a head and gives it to `worker/exchange`, which takes one look at the [`snapshot`], asks
//! [`gnomon_policy`] where the request goes, leases a connection from the origin's pool
//! (`worker/origin`), has the head written anew (`worker/outgoing`), and relays the reply
//! (`worker/relay`) while the rest of the request is still going up (`worker/upload`).
//! `worker/record` counts it in this core's [`cells`] and writes one record into its ring
//! ([`access`]). No lock is taken, nothing is shared with another core but the snapshot's
//! generation, and, where clients are limited, words in the tables of [`guard`].
//!
//! All else is the [`control`] thread's: it loads the configuration, checks health, resolves names,
//! answers the admin API, and publishes a new snapshot whenever something has changed. [`boot`]
//! starts and stops both.

pub mod access;
pub mod boot;
pub mod cells;
pub mod cli;
pub mod clock;
pub mod control;
mod demo;
mod environment;
mod failure;
pub mod guard;
mod heritage;
mod import;
pub mod jwt;
pub mod log;
mod patience;
mod runtime;
pub mod snapshot;
mod systemd;
pub mod tls;
mod told;
pub mod trial;
mod worker;
