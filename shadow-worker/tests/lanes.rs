//! Lanes between two threads: with real ones, and in every order of events there is.
//!
//! For the second, the module is compiled once more, over loom's atomics and a model of the channel
//! that fails where the real one would spin.

use std::{rc::Rc, thread};

use gnomon_shadow::lanes::lane;

#[path = "../src/lanes.rs"]
#[expect(dead_code, unreachable_pub, reason = "the product's module, of which a part is tried")]
mod lanes;
#[path = "lanes/model.rs"]
mod model;
#[path = "lanes/orders.rs"]
mod orders;
#[path = "lanes/primitives.rs"]
mod primitives;

#[test]
fn a_full_lane_drops_and_counts() {
    let (lane, outlet) = lane(2);
    let lane = Rc::new(lane);
    lane.reserve().unwrap().commit(1);
    let second = lane.reserve().unwrap();
    assert!(lane.reserve().is_none());
    second.commit(2);
    assert!(lane.reserve().is_none());
    assert_eq!(outlet.dropped(), 2);
    let mut seen = Vec::new();
    assert_eq!(outlet.drain(10, |job| seen.push(job)), 2);
    assert_eq!(seen, [1, 2]);
    assert!(lane.reserve().is_some());
}

#[test]
fn an_unused_place_is_given_back() {
    let (lane, outlet) = lane::<u8>(1);
    let lane = Rc::new(lane);
    drop(lane.reserve());
    assert!(lane.reserve().is_some());
    assert_eq!((outlet.dropped(), outlet.drain(9, |_| {})), (0, 0));
}

#[test]
fn a_lane_whose_other_end_is_gone_only_counts() {
    let (lane, outlet) = lane(1);
    let lane = Rc::new(lane);
    drop(outlet);
    for _ in 0..3 {
        lane.reserve().unwrap().commit(());
    }
    assert_eq!(lane.dropped(), 3);
}

#[test]
fn a_job_that_panics_keeps_no_place() {
    let (lane, outlet) = lane(1);
    let lane = Rc::new(lane);
    for _ in 0..3 {
        lane.reserve().unwrap().commit(());
        let draining = std::panic::AssertUnwindSafe(|| outlet.drain(9, |()| panic!("a fault")));
        assert!(std::panic::catch_unwind(draining).is_err());
    }
}

#[test]
fn order_is_kept_and_nothing_is_lost_between_threads() {
    let (lane, outlet) = lane(8);
    let core = thread::Builder::new().spawn(move || {
        let lane = Rc::new(lane);
        let mut sent = 0_u64;
        for job in 0..100_000_u64 {
            if let Some(slot) = lane.reserve() {
                slot.commit(job);
                sent += 1;
            }
        }
        (sent, lane.dropped())
    });
    let core = core.unwrap();
    let (mut received, mut last) = (0_u64, None);
    loop {
        let over = core.is_finished();
        let taken = outlet.drain(usize::MAX, |job| {
            assert!(last < Some(job));
            last = Some(job);
            received += 1;
        });
        if over && taken == 0 {
            break;
        }
    }
    let (sent, dropped) = core.join().unwrap();
    assert_eq!(sent, received);
    assert_eq!(sent + dropped, 100_000);
}
