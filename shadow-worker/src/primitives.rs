//! What lanes are made of. A test puts models in their place, so that every order of events is tried.

pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

pub(crate) use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
