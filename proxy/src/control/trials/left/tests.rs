//! Evidence that goes over: the same seconds, each request once.

use super::*;

#[test]
fn a_second_waits_for_whoever_still_tells_of_it() {
    assert_eq!(within(100, None), 100);
    assert_eq!(within(100, Some(98)), 98);
    assert_eq!(within(100, Some(200)), 100);
    assert_eq!(within(100, Some(3)), 100 - super::super::HORIZON, "but not for ever");
}

#[test]
fn second_0_is_the_same_in_both() {
    let mut old = Trials::new(1);
    old.started = clock::now().checked_sub(Duration::from_secs(1000)).unwrap();
    old.begun = Duration::from_secs(5);
    let mut left = TrialsLeft {
        age_nanos: clock::nanos(old.started.elapsed()),
        monotonic_nanos: clock::nanos(clock::monotonic()),
        begun: old.begun,
        ..TrialsLeft::default()
    };
    left.last_number = 7;
    let new = Trials::inherit(2, left);
    let apart = new.started.max(old.started) - new.started.min(old.started);
    assert!(apart < Duration::from_millis(5), "{apart:?}");
    assert_eq!((new.begun, new.last_number, new.blocks()), (old.begun, 7, 3));
}
