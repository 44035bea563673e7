//! Rented buffers of sealed records.

use std::cell::RefCell;

use crate::record::{FRAGMENT, OVERHEAD};

/// Room for one full record and something small before it.
const SMALL: usize = FRAGMENT + 2048;

/// Room for eight: what a wide body buffer holds leaves with one send.
const WIDE: usize = 8 * (FRAGMENT + OVERHEAD) + 2048;

/// Buffers of each size kept for later: some 6 and 4 MiB a thread at most.
const SPARE_SMALL: usize = 256;
const SPARE_WIDE: usize = 32;

/// Records begin at another place in each of so many buffers, so many bytes apart: see the worker's
/// buffers for why.
const COLOURS: usize = 32;
const COLOUR: usize = 128;

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

#[derive(Default)]
struct Spare {
    small: Vec<Outbox>,
    wide: Vec<Outbox>,
    made: usize,
}

/// Sealed records on their way. All of `bytes` is written once, so that sealing clears nothing.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) bytes: Vec<u8>,
    front: usize,
    end: usize,
}

impl Outbox {
    /// An empty one with room for `wanted` bytes, or for as many as there are in the largest.
    pub(crate) fn rent(wanted: usize) -> Self {
        SPARE.with_borrow_mut(|spare| {
            let (list, room) =
                if wanted <= SMALL { (&mut spare.small, SMALL) } else { (&mut spare.wide, WIDE) };
            if let Some(kept) = list.pop() {
                return kept;
            }
            let front = (spare.made % COLOURS) * COLOUR;
            spare.made = spare.made.wrapping_add(1);
            Self { bytes: vec![0; COLOURS * COLOUR + room], front, end: front }
        })
    }

    /// Gives it back.
    pub(crate) fn give_back(mut self) {
        self.end = self.front;
        SPARE.with_borrow_mut(|spare| {
            let (list, most) = match self.bytes.len().checked_sub(COLOURS * COLOUR) {
                Some(SMALL) => (&mut spare.small, SPARE_SMALL),
                Some(WIDE) => (&mut spare.wide, SPARE_WIDE),
                // Its memory was lost to an operation.
                _ => return,
            };
            if list.len() < most {
                list.push(self);
            }
        });
    }

    /// What is free.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// So many more bytes are filled.
    pub(crate) const fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Where the records lie.
    pub(crate) const fn range(&self) -> std::ops::Range<usize> {
        self.front..self.end
    }
}
