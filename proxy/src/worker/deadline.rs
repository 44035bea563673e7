//! Deadlines that cost no timer and cancel no operation.
//!
//! One coarse wheel a core. To arm a deadline is two stores; a sweep every [`TICK`] finds the ones
//! that have passed and shuts their socket down. The pending read or write then completes in its
//! own time and gives its buffer back; whoever awaited it asks [`Deadline::fired`] why it ended.

use std::{
    cell::{Cell, RefCell},
    os::fd::RawFd,
    rc::Rc,
};

use gnomon_sys::socket::{self, Waiting};
use monoio::io::{CancelHandle, Canceller};

use super::alarms::Alarms;
use crate::patience::Ticks;

/// Buckets of the wheel: 51 s. Later deadlines are filed in the last and filed again when met.
const BUCKETS: u32 = 1024;

const NEVER: u32 = Ticks::NONE.count();

/// Which directions of the socket a passed deadline ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// Reading alone, so that an answer can still be written.
    Reading,
    /// Everything.
    Both,
    /// Everything; nothing is under way on it, so a drain may end it at once.
    Idle,
    /// The one cancellable read: idle too, but for a moment, with a buffer.
    Nap,
    /// Nothing yet: the client has yet to speak. Once this has passed it is idle, until that tick.
    Fresh(u32),
}

struct Slot {
    fd: RawFd,
    due: u32,
    /// The earliest bucket that holds this slot's id, as a tick.
    filed: u32,
    /// Tells an id in a bucket from one of an earlier owner of the slot.
    owner: u32,
    ends: Ends,
    fired: bool,
    nap: Option<Canceller>,
}

/// The wheel of one core.
pub(super) struct Deadlines {
    now: Cell<u32>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    buckets: RefCell<Vec<Vec<(u32, u32)>>>,
    alarms: Alarms,
}

impl Deadlines {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            now: Cell::new(0),
            slots: RefCell::default(),
            free: RefCell::default(),
            buckets: RefCell::new(vec![Vec::new(); BUCKETS as usize]),
            alarms: Alarms::default(),
        })
    }

    /// The current tick.
    pub(super) const fn now(&self) -> u32 {
        self.now.get()
    }

    /// Ticks left until `end`, one at least.
    pub(super) fn left_until(&self, end: u32) -> Ticks {
        if end == NEVER {
            Ticks::NONE
        } else {
            Ticks::exactly(end.saturating_sub(self.now.get()).max(1))
        }
    }

    /// The tick that is `ticks` from now.
    pub(super) fn end_of(&self, ticks: Ticks) -> u32 {
        if ticks == Ticks::NONE { NEVER } else { self.now.get().saturating_add(ticks.count()) }
    }

    /// What `future` gives; nothing if that takes longer than `ticks`. The future is dropped then,
    /// so it must not move data.
    pub(super) async fn within<F: Future>(&self, ticks: Ticks, future: F) -> Option<F::Output> {
        self.alarms.until(self.end_of(ticks), || self.now(), future).await
    }

    /// Waits for so many ticks.
    pub(super) async fn pause(&self, ticks: Ticks) {
        self.alarms.pause(self.end_of(ticks), || self.now()).await;
    }

    /// The deadlines of the socket `fd`; drop them before the socket.
    pub(super) fn open(self: &Rc<Self>, fd: RawFd) -> Deadline {
        Deadline { reading: self.timer(fd), writing: self.timer(fd) }
    }

    fn timer(self: &Rc<Self>, fd: RawFd) -> Timer {
        let mut slots = self.slots.borrow_mut();
        let fresh = Slot {
            fd,
            due: NEVER,
            filed: NEVER,
            owner: 0,
            ends: Ends::Both,
            fired: false,
            nap: None,
        };
        let slot = match self.free.borrow_mut().pop() {
            Some(index) => {
                let slot = &mut slots[index as usize];
                *slot = Slot { owner: slot.owner, ..fresh };
                index
            }
            None => {
                slots.push(fresh);
                u32::try_from(slots.len() - 1).expect("fewer sockets than 2^32")
            }
        };
        Timer { wheel: Rc::clone(self), slot }
    }

    /// Moves on to tick `to` and fires what has passed.
    pub(super) fn sweep(&self, to: u32) {
        while self.now.get() < to {
            let now = self.now.get() + 1;
            self.now.set(now);
            let ids = std::mem::take(&mut self.buckets.borrow_mut()[(now % BUCKETS) as usize]);
            for &id in &ids {
                self.meet(id, now);
            }
            // The bucket keeps its capacity, so that filing allocates nothing in the long run.
            let mut ids = ids;
            ids.clear();
            let bucket = &mut self.buckets.borrow_mut()[(now % BUCKETS) as usize];
            ids.append(bucket);
            *bucket = ids;
        }
        self.alarms.ring(self.now.get());
    }

    /// Sockets with deadlines, twice, and alarms that are set.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len() + self.alarms.count()
    }

    fn meet(&self, (index, owner): (u32, u32), now: u32) {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[index as usize];
        if slot.owner != owner || slot.filed != now {
            return;
        }
        slot.filed = NEVER;
        if slot.due == NEVER {
            return;
        }
        if slot.due > now {
            let (due, owner) = (slot.due, slot.owner);
            slot.filed = self.file(index, owner, due);
            return;
        }
        slot.due = NEVER;
        slot.fired = !matches!(slot.ends, Ends::Nap | Ends::Fresh(_));
        match slot.ends {
            Ends::Both | Ends::Idle => socket::shut_down(slot.fd),
            Ends::Reading => socket::shut_read(slot.fd),
            Ends::Fresh(due) => {
                (slot.ends, slot.due) = (Ends::Idle, due);
                if due != NEVER {
                    let owner = slot.owner;
                    slot.filed = self.file(index, owner, due.max(now + 1));
                }
            }
            Ends::Nap => {
                // What comes back is a fresh one that nobody holds: the next nap makes its own.
                let _ = slot.nap.take().map(Canceller::cancel);
            }
        }
    }

    /// Ends what is idle, as if its time were up; but not who has spoken and is yet to be heard.
    pub(super) fn end_idle(&self) {
        self.end(|slot| {
            let is_idle = matches!(slot.ends, Ends::Idle | Ends::Nap) && slot.fd >= 0;
            is_idle && socket::peek(slot.fd) != Waiting::Bytes
        });
    }

    /// Ends what is idle in `ticks` from now at the latest.
    pub(super) fn shorten_idle(&self, ticks: Ticks) {
        let due = self.end_of(ticks);
        let mut slots = self.slots.borrow_mut();
        for (index, slot) in (0..).zip(slots.iter_mut()).filter(|(_, slot)| slot.fd >= 0) {
            match &mut slot.ends {
                Ends::Idle if slot.due > due => {
                    slot.due = due;
                    if due < slot.filed {
                        slot.filed = self.file(index, slot.owner, due);
                    }
                }
                Ends::Fresh(later) => *later = due.min(*later),
                Ends::Idle | Ends::Nap | Ends::Reading | Ends::Both => {}
            }
        }
    }

    /// Ends everything.
    pub(super) fn end_all(&self) {
        self.end(|slot| slot.fd >= 0);
    }

    fn end(&self, which: impl Fn(&Slot) -> bool) {
        for slot in self.slots.borrow_mut().iter_mut().filter(|slot| !slot.fired && which(slot)) {
            slot.fired = true;
            socket::shut_down(slot.fd);
        }
    }

    fn file(&self, index: u32, owner: u32, due: u32) -> u32 {
        let bucket = due.min(self.now.get() + BUCKETS - 1);
        self.buckets.borrow_mut()[(bucket % BUCKETS) as usize].push((index, owner));
        bucket
    }
}

/// The deadlines of a socket, one for each direction, set anew for each phase of its life.
pub(super) struct Deadline {
    reading: Timer,
    writing: Timer,
}

impl Deadline {
    /// Unless something is read, everything ends in `ticks` from now.
    pub(super) fn arm(&self, ticks: Ticks) {
        self.reading.set(ticks, Ends::Both);
    }

    /// Unless something is read, reading ends in `ticks` from now; an answer can still be written.
    pub(super) fn arm_reading(&self, ticks: Ticks) {
        self.reading.set(ticks, Ends::Reading);
    }

    /// As [`arm`](Self::arm), or sooner if the core is to finish.
    pub(super) fn arm_idle(&self, ticks: Ticks) {
        self.reading.set(ticks, Ends::Idle);
    }

    /// In `ticks` from now, the read that is given this handle ends without having read.
    pub(super) fn arm_nap(&self, ticks: Ticks) -> CancelHandle {
        self.reading.set(ticks, Ends::Nap);
        self.reading.nap()
    }

    /// As [`arm_idle`](Self::arm_idle), but for the first `fresh` ticks a drain waits for it.
    pub(super) fn arm_fresh(&self, fresh: Ticks, ticks: Ticks) {
        let due = self.reading.wheel.end_of(ticks);
        self.reading.set(fresh.min(ticks), Ends::Fresh(due));
    }

    /// Nothing is being waited for.
    pub(super) fn disarm(&self) {
        self.reading.clear();
    }

    /// Unless something is written, everything ends in `ticks` from now.
    pub(super) fn arm_writing(&self, ticks: Ticks) {
        self.writing.set(ticks, Ends::Both);
    }

    /// Nothing is being written.
    pub(super) fn disarm_writing(&self) {
        self.writing.clear();
    }

    /// Whether the socket was shut because a deadline had passed.
    pub(super) fn fired(&self) -> bool {
        self.reading.fired() || self.writing.fired()
    }
}

/// One slot of the wheel.
struct Timer {
    wheel: Rc<Deadlines>,
    slot: u32,
}

impl Timer {
    fn nap(&self) -> CancelHandle {
        let slot = &mut self.wheel.slots.borrow_mut()[self.slot as usize];
        slot.nap.get_or_insert_with(Canceller::new).handle()
    }

    fn clear(&self) {
        let slot = &mut self.wheel.slots.borrow_mut()[self.slot as usize];
        slot.due = NEVER;
        // Something is under way: it is idle no more.
        slot.ends = Ends::Both;
    }

    fn fired(&self) -> bool {
        self.wheel.slots.borrow()[self.slot as usize].fired
    }

    fn set(&self, ticks: Ticks, ends: Ends) {
        let mut slots = self.wheel.slots.borrow_mut();
        let slot = &mut slots[self.slot as usize];
        slot.ends = ends;
        if ticks == Ticks::NONE {
            slot.due = NEVER;
            return;
        }
        slot.due = self.wheel.now.get().saturating_add(ticks.count());
        // Deadlines mostly move later; then the id filed for the earlier one finds this one.
        if slot.due < slot.filed {
            slot.filed = self.wheel.file(self.slot, slot.owner, slot.due);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let slot = &mut self.wheel.slots.borrow_mut()[self.slot as usize];
        slot.owner = slot.owner.wrapping_add(1);
        slot.due = NEVER;
        slot.filed = NEVER;
        slot.fd = -1;
        slot.nap = None;
        self.wheel.free.borrow_mut().push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::{fd::AsRawFd, unix::net::UnixStream},
    };

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }

    #[test]
    fn a_passed_deadline_shuts_the_socket_and_says_so() {
        let wheel = Deadlines::new();
        let (mut near, _far) = pair();
        let deadline = wheel.open(near.as_raw_fd());
        deadline.arm(Ticks::exactly(3));
        wheel.sweep(2);
        assert!(!deadline.fired());
        wheel.sweep(3);
        assert!(deadline.fired());
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_deadline_moved_later_does_not_fire_at_the_earlier_time() {
        let wheel = Deadlines::new();
        let (near, _far) = pair();
        let deadline = wheel.open(near.as_raw_fd());
        deadline.arm(Ticks::exactly(3));
        deadline.arm(Ticks::exactly(5000));
        wheel.sweep(4999);
        assert!(!deadline.fired());
        wheel.sweep(5000);
        assert!(deadline.fired());
    }

    #[test]
    fn a_deadline_moved_earlier_fires_once_at_the_earlier_time() {
        let wheel = Deadlines::new();
        let (near, _far) = pair();
        let deadline = wheel.open(near.as_raw_fd());
        deadline.arm(Ticks::exactly(100));
        deadline.arm(Ticks::exactly(5));
        wheel.sweep(5);
        assert!(deadline.fired());
    }

    #[test]
    fn the_two_directions_do_not_touch_each_other() {
        let wheel = Deadlines::new();
        let (near, _far) = pair();
        let deadline = wheel.open(near.as_raw_fd());
        deadline.arm_reading(Ticks::exactly(3));
        deadline.arm_writing(Ticks::exactly(50));
        deadline.disarm();
        wheel.sweep(49);
        assert!(!deadline.fired());
        wheel.sweep(50);
        assert!(deadline.fired());
    }

    #[test]
    fn a_slot_taken_over_does_not_inherit_the_deadline() {
        let wheel = Deadlines::new();
        let (near, _far) = pair();
        wheel.open(near.as_raw_fd()).arm(Ticks::exactly(3));
        let deadline = wheel.open(near.as_raw_fd());
        wheel.sweep(10);
        assert!(!deadline.fired());
        deadline.arm(Ticks::exactly(3));
        wheel.sweep(13);
        assert!(deadline.fired());
    }

    #[test]
    fn a_disarmed_deadline_never_fires_until_armed_again() {
        let wheel = Deadlines::new();
        let (near, _far) = pair();
        let deadline = wheel.open(near.as_raw_fd());
        deadline.arm(Ticks::exactly(3));
        deadline.disarm();
        wheel.sweep(100);
        assert!(!deadline.fired());
        deadline.arm(Ticks::exactly(1));
        wheel.sweep(101);
        assert!(deadline.fired());
    }

    #[test]
    fn what_is_fresh_outlives_a_drain_until_it_is_merely_idle() {
        let wheel = Deadlines::new();
        let (near, _far) = pair();
        let deadline = wheel.open(near.as_raw_fd());
        deadline.arm_fresh(Ticks::exactly(5), Ticks::exactly(40));
        wheel.end_idle();
        assert!(!deadline.fired());
        wheel.sweep(39);
        assert!(!deadline.fired());
        wheel.sweep(40);
        assert!(deadline.fired());
        let deadline = wheel.open(near.as_raw_fd());
        deadline.arm_fresh(Ticks::exactly(5), Ticks::exactly(40));
        wheel.sweep(45);
        wheel.end_idle();
        assert!(deadline.fired());
    }

    #[test]
    fn what_is_idle_can_be_given_less_time_and_what_is_not_keeps_its_own() {
        let wheel = Deadlines::new();
        let (near, _far) = pair();
        let open = || wheel.open(near.as_raw_fd());
        let (idle, never, soon, fresh, busy) = (open(), open(), open(), open(), open());
        idle.arm_idle(Ticks::exactly(1500));
        never.arm_idle(Ticks::NONE);
        soon.arm_idle(Ticks::exactly(20));
        fresh.arm_fresh(Ticks::exactly(10), Ticks::exactly(1500));
        busy.arm(Ticks::exactly(1500));
        wheel.shorten_idle(Ticks::exactly(100));
        wheel.sweep(20);
        assert!(soon.fired() && !idle.fired());
        wheel.sweep(99);
        assert!(!idle.fired() && !never.fired() && !fresh.fired());
        wheel.sweep(100);
        assert!(idle.fired() && never.fired() && fresh.fired() && !busy.fired());
        wheel.sweep(1500);
        assert!(busy.fired());
    }

    #[test]
    fn a_drain_spares_who_has_spoken_and_is_yet_to_be_heard() {
        let wheel = Deadlines::new();
        let ((near, mut far), (silent, _other)) = (pair(), pair());
        let (spoken, silent) = (wheel.open(near.as_raw_fd()), wheel.open(silent.as_raw_fd()));
        spoken.arm_idle(Ticks::exactly(9));
        silent.arm_idle(Ticks::exactly(9));
        far.write_all(b"GET").unwrap();
        wheel.end_idle();
        assert!(!spoken.fired() && silent.fired());
    }

    #[test]
    fn a_drain_ends_the_idle_though_they_have_no_deadline() {
        let wheel = Deadlines::new();
        let (near, _far) = pair();
        let (idle, busy) = (wheel.open(near.as_raw_fd()), wheel.open(near.as_raw_fd()));
        idle.arm_idle(Ticks::NONE);
        busy.arm_idle(Ticks::NONE);
        busy.disarm();
        wheel.end_idle();
        assert!(idle.fired() && !busy.fired());
    }
}
