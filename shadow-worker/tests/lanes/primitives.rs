//! What `lanes` is made of here.

pub(crate) use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

pub(crate) use crate::model::{Receiver, Sender, TryRecvError, bounded};
