//! What the benches are made of: an origin, a load, and the bookkeeping of a comparison.
//!
//! It depends on nothing of gnomon's: what is measured is the release binary, from outside, as
//! the peers are. The origin and the load are small state machines over one `epoll`, so that one
//! thread can be both and the proxy has the other core to itself. HTTP is understood just enough
//! to know where a message ends; this is no place to learn what a valid message is.

pub mod cgroup;
pub mod compare;
pub mod figure;
pub mod load;
pub mod message;
pub mod origin;
pub mod peer;
pub mod plot;
pub mod poll;
pub mod process;
pub mod relay;
pub mod report;
pub mod restarts;
pub mod rig;
pub mod run_dir;
pub mod scenario;
pub mod secure;
pub mod strain;
pub mod template;
