//! Every order in which the two ends may take their steps, and every value that a load may see.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use loom::thread;

use crate::lanes::{Lane, Outlet, lane};

/// Tries every order of `body`. If there were but a few, loom has not seen what could go wrong.
fn model(body: impl Fn() + Send + Sync + 'static) {
    let orders = Arc::new(AtomicU64::new(0));
    let count = orders.clone();
    loom::model(move || {
        count.fetch_add(1, Relaxed);
        body();
    });
    assert!(orders.load(Relaxed) > 100, "{orders:?} orders");
}

/// Sends what finds a place of `jobs`, and says which these were.
fn send(lane: &Rc<Lane<u32>>, jobs: std::ops::Range<u32>) -> Vec<u32> {
    let send = |job: &u32| {
        let slot = lane.reserve();
        let found = slot.is_some();
        if let Some(slot) = slot {
            slot.commit(*job);
        }
        found
    };
    jobs.filter(send).collect()
}

fn receive(outlet: &Outlet<u32>, looks: usize, most: usize) -> Vec<u32> {
    let received = RefCell::new(Vec::new());
    for _ in 0..looks {
        outlet.drain(most, |job| received.borrow_mut().push(job));
    }
    received.into_inner()
}

/// With the ring's own bound in the model: never is one met, whoever is held up wherever.
fn nothing_is_lost(places: u64, jobs: u32, looks: usize, most: usize) {
    model(move || {
        let (lane, outlet) = lane(places);
        let core = thread::spawn(move || {
            let lane = Rc::new(lane);
            let sent = send(&lane, 0..jobs);
            assert!(sent.len() as u64 >= places, "there was room for the first");
            (sent, lane.dropped())
        });
        let mut received = receive(&outlet, looks, most);
        let (sent, dropped) = core.join().expect("the core ends");
        received.extend(receive(&outlet, 1, 9));
        assert_eq!(sent, received);
        assert_eq!(sent.len() as u64 + dropped, u64::from(jobs));
        assert_eq!(outlet.dropped(), dropped);
    });
}

#[test]
fn one_place_is_used_again_and_again() {
    nothing_is_lost(1, 5, 3, 1);
}

#[test]
fn two_places_go_round_a_ring_of_three() {
    nothing_is_lost(2, 5, 2, 2);
}

#[test]
fn a_place_given_back_is_not_one_too_many() {
    model(|| {
        let (lane, outlet) = lane(2);
        let core = thread::spawn(move || {
            let lane = Rc::new(lane);
            let (unused, used) = (lane.reserve(), lane.reserve());
            used.unwrap().commit(0);
            drop(unused);
            assert!(lane.reserve().is_some());
            send(&lane, 1..4)
        });
        let mut received = receive(&outlet, 2, 1);
        let sent = core.join().unwrap();
        received.extend(receive(&outlet, 1, 9));
        assert_eq!((received[0], &received[1..]), (0, &sent[..]));
    });
}

#[test]
fn a_receiver_that_leaves_holds_nobody_up() {
    model(|| {
        let (lane, outlet) = lane(1);
        let core = thread::spawn(move || {
            let lane = Rc::new(lane);
            let dropped = |job| {
                let before = lane.dropped();
                send(&lane, job..job + 1);
                lane.dropped() - before
            };
            let dropped: Vec<_> = (0..4).map(dropped).collect();
            // Sent, or dropped once; what is dropped keeps no place from the next.
            assert!(dropped.iter().all(|times| *times <= 1), "{dropped:?}");
            4 - dropped.iter().sum::<u64>()
        });
        let received = receive(&outlet, 2, 1);
        drop(outlet);
        let sent = core.join().unwrap();
        // A job may have been sent that the one who left never saw.
        assert!((received.len() as u64..=received.len() as u64 + 1).contains(&sent));
    });
}
