//! What is counted of copies: nothing is lost without a reason.
//!
//! Every number has one writer. A tap counts what it lets go and what it hands on; the shadow
//! thread counts what became of that. So whether there is room for one more copy is known from two
//! loads, and no core waits for another.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds; only its one writer may.
    pub fn add(&self, amount: u64) {
        // Release and acquire only matter where room is given back, and cost nothing here.
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Release);
    }

    /// Sets; only its one writer may.
    pub fn set(&self, value: u64) {
        self.0.store(value, Release);
    }

    /// The value, as of a moment ago.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Acquire)
    }
}

/// Why a request that should have been copied was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The core's lane was full.
    Lane,
    /// As many copies were under way as may be.
    InFlight,
    /// The core was too busy.
    Busy,
    /// All memory for copies was in use.
    Memory,
    /// Nobody can be reached there: it was tried a moment ago.
    Unreachable,
    /// The request's body is longer than the cap.
    TooLong,
    /// The request did not come whole, or no endpoint took it.
    Incomplete,
    /// The request lacks the key that the sample goes by.
    Unkeyed,
}

impl Dropped {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Lane,
        Self::InFlight,
        Self::Busy,
        Self::Memory,
        Self::Unreachable,
        Self::TooLong,
        Self::Incomplete,
        Self::Unkeyed,
    ];

    /// Its name, as counted and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lane => "lane_full",
            Self::InFlight => "in_flight",
            Self::Busy => "busy",
            Self::Memory => "memory",
            Self::Unreachable => "unreachable",
            Self::TooLong => "too_long",
            Self::Incomplete => "incomplete",
            Self::Unkeyed => "unkeyed",
        }
    }
}

/// What one core counts about one shadow.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct TapCounts {
    /// Requests that the shadow's `from` and `match` fit.
    pub eligible: Count,
    /// Of these, those that the sample picked.
    pub sampled: Count,
    /// Of these, those handed to the shadow thread.
    pub copied: Count,
    /// Of these, those that were not, by [`Dropped`].
    pub dropped: [Count; 8],
}

impl TapCounts {
    /// Counts a copy that was not made.
    pub fn drop(&self, why: Dropped) {
        self.dropped[why as usize].add(1);
    }
}

/// Why a copy was not answered by the shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The version has no endpoint that may be used.
    Unavailable,
    /// Nobody listens there.
    Refused,
    /// No connection, for another reason.
    Connect,
    /// The connection ended before the reply did.
    Reset,
    /// The deadline passed.
    Timeout,
    /// What came is no reply.
    Malformed,
    /// The reply is longer than anything that would be read to its end.
    TooLong,
    /// A fault of ours.
    Panic,
}

impl Failed {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Unavailable,
        Self::Refused,
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::Malformed,
        Self::TooLong,
        Self::Panic,
    ];

    /// Its name, as counted and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Panic => "panic",
        }
    }
}

/// Why two replies were not compared although the shadow did answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpaired {
    /// The primary's reply did not come whole.
    Primary,
    /// Another version than `from` answered in the end.
    Moved,
    /// The primary took longer than the shadow's `timeout` to end its reply.
    Late,
}

impl Unpaired {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Primary, Self::Moved, Self::Late];

    /// Its name, as counted and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary_failed",
            Self::Moved => "primary_moved",
            Self::Late => "primary_late",
        }
    }
}

/// What is counted about one shadow.
#[derive(Debug)]
pub struct Counts {
    /// By its cores.
    pub taps: Vec<TapCounts>,
    /// By the shadow thread: 1 while nobody can be reached, so that no copy is worth making.
    pub shut: Count,
    /// By the shadow thread, for each core: copies begun.
    pub begun: Vec<Count>,
    /// By the shadow thread, for each core: copies that are done with.
    pub finished: Vec<Count>,
    /// By the shadow thread.
    pub replay: ReplayCounts,
}

/// What the shadow thread counts about one shadow.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ReplayCounts {
    /// Copies taken from the lanes.
    pub taken: Count,
    /// Copies sent.
    pub sent: Count,
    /// Copies that the shadow did not answer, by [`Failed`].
    pub failed: [Count; 8],
    /// Replies that were read and had no reply of the primary to go with, by [`Unpaired`].
    pub unpaired: [Count; 3],
    /// Pairs that were compared, in full.
    pub compared: Count,
    /// Pairs of which a part could not be compared, by [`Uncomparable`](crate::difference::Uncomparable).
    pub uncomparable: [Count; 5],
    /// Compared pairs with any difference.
    pub different: Count,
    /// Compared pairs without.
    pub same: Count,
    /// Requests whose two answers of the primary's version differ from each other.
    pub noisy: Count,
    /// Requests sent to the primary's version once more.
    pub again: Count,
    /// Of these, those that were not answered.
    pub again_failed: Count,
}

impl Counts {
    /// Nothing, on so many cores.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        Self {
            taps: (0..cores).map(|_| TapCounts::default()).collect(),
            shut: Count::default(),
            begun: (0..cores).map(|_| Count::default()).collect(),
            finished: (0..cores).map(|_| Count::default()).collect(),
            replay: ReplayCounts::default(),
        }
    }

    /// Copies of a core that are under way: made, and not done with.
    #[must_use]
    pub fn in_flight(&self, core: usize) -> u64 {
        let copied = self.taps[core].copied.read();
        copied.saturating_sub(self.finished[core].read())
    }
}

/// What a core holds for the shadow thread, in bytes.
#[derive(Debug, Default)]
pub struct Account {
    /// Index of the core.
    pub core: usize,
    /// Handed over so far; the core counts.
    pub lent: Count,
    /// Done with so far; the shadow thread counts.
    pub returned: Count,
}

impl Account {
    /// Bytes that copies hold now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.lent.read().saturating_sub(self.returned.read())
    }
}
