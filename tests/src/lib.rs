//! The harness: a proxy in this process, origins that follow a script, clients that send bytes.
//!
//! A test says what goes in and what must come out, mostly as bytes. Nothing here interprets HTTP
//! more than it must to find the end of a message, and nothing is shared with the product's codec,
//! so that a fault of the codec cannot hide itself. Every wait has a bound ([`PATIENCE`]); none has
//! a fixed length.
//!
//! Beside it, [`sim`] draws whole rollouts at random, thousands of them, and counts what the judge
//! makes of them, and what [`comparators`] do; and [`soak`] loads a proxy until something breaks.

pub mod asker;
pub mod certs;
pub mod client;
pub mod comparators;
pub mod eventually;
pub mod exposition;
pub mod fickle;
pub mod load;
pub mod origin;
pub mod reading;
pub mod running;
pub mod secure;
pub mod sim;
pub mod soak;

pub use client::{Client, Door};
pub use eventually::eventually;
pub use fickle::{Dial, Fickle};
pub use load::Load;
pub use origin::{Call, Origin};
pub use reading::Reply;
pub use running::{Driver, Running, on_each_driver};

use std::time::Duration;

/// The longest that anything in a test may take to happen; a test that waits so long has failed.
/// Long, because the shadow thread runs at nice 19: where other programs fill the cores, what it
/// does in a second takes it a minute.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Starts a thread under `name`.
///
/// # Panics
/// If the machine has no room for a thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).expect("there is room")
}
