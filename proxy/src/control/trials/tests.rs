//! From the cores' slots to cohorts, and from users to units.

use std::time::Duration;

use gnomon_policy::{judge::cohort::Class, split::position};

use super::*;
use crate::trial::{Arm, Outcome};

const WELL: Outcome = Outcome {
    class: None,
    refused: false,
    time: Some(Duration::from_millis(3)),
    kpis: [None; KPIS_MAX],
};

const BAD: Outcome = Outcome { class: Some(Class::Status5xx), time: None, ..WELL };

/// A user at a position of the line, with lower bits that keep it in any sample.
fn user(at: u32) -> u64 {
    let middle = (u128::from(at) << 64) / 100_000 + (1 << 40);
    let unit = u64::try_from(middle).unwrap() & !0xffff;
    assert_eq!(position(unit), at);
    unit
}

fn sighting(unit: u64, second: u32, epoch: u32, arm: Arm, outcome: Outcome) -> Sighting {
    Sighting { trial: 1, epoch, second, arm, unit, request: 0, outcome, weight: 0.0 }
}

#[test]
fn a_user_counts_once_and_with_any_failure_within_a_minute() {
    let mut units = Units::new(60);
    units.begin(1, (0, 5_000), (5_000, 100_000), 0);
    let (one, two) = (user(100), user(50_000));
    units.see(&sighting(one, 10, 1, Arm::Canary, WELL));
    units.see(&sighting(one, 69, 1, Arm::Canary, BAD));
    units.see(&sighting(two, 10, 1, Arm::Stable, WELL));
    units.see(&sighting(two, 71, 1, Arm::Stable, BAD));
    assert!(units.release(74, &Voids::default()).is_empty());
    let cohorts = units.release(76, &Voids::default());
    assert_eq!(cohorts.len(), 1);
    let cohort = &cohorts[0];
    assert_eq!((cohort.second, cohort.weight), (10, 0.05));
    assert_eq!((cohort.canary.assigned, cohort.canary.failed()), (1, 1));
    assert_eq!((cohort.stable.assigned, cohort.stable.failed()), (1, 0));
    units.see(&sighting(one, 80, 1, Arm::Canary, WELL));
    assert!(units.release(500, &Voids::default()).is_empty(), "once under each split");
}

#[test]
fn who_had_the_canary_before_does_not_count_again() {
    let mut units = Units::new(60);
    units.begin(1, (0, 5_000), (5_000, 100_000), 0);
    units.begin(2, (0, 25_000), (25_000, 100_000), units.reach());
    units.see(&sighting(user(100), 10, 2, Arm::Canary, WELL));
    units.see(&sighting(user(10_000), 10, 2, Arm::Canary, WELL));
    units.see(&sighting(user(60_000), 10, 2, Arm::Stable, WELL));
    let cohorts = units.release(1000, &Voids::default());
    assert_eq!((cohorts[0].canary.assigned, cohorts[0].stable.assigned), (1, 1));
    // F19: (0.25 - 0.05) / (1 - 0.05).
    assert!((cohorts[0].weight - 0.210_526).abs() < 1e-6);
    units.begin(3, (0, 1_000), (1_000, 100_000), units.reach());
    units.see(&sighting(user(100), 1000, 3, Arm::Canary, WELL));
    assert!(units.release(2000, &Voids::default()).is_empty());
}

#[test]
fn users_count_where_the_canary_has_everybody() {
    let mut units = Units::new(60);
    units.begin(1, (0, 60_000), (60_000, 100_000), 0);
    units.begin(2, (0, 100_000), (0, 0), units.reach());
    units.see(&sighting(user(80_000), 10, 2, Arm::Canary, WELL));
    let cohorts = units.release(1000, &Voids::default());
    assert_eq!((cohorts[0].canary.assigned, cohorts[0].weight), (1, 1.0));
}

#[test]
fn a_second_waits_for_its_requests_but_not_for_ever() {
    let reading = |assigned, resolved, replying| {
        let mut reading = Reading::default();
        reading.canary.tally.assigned = assigned;
        (reading.canary.resolved, reading.canary.replying) = (resolved, replying);
        reading
    };
    assert!(is_done(&reading(3, 3, 0), 2));
    assert!(!is_done(&reading(3, 2, 1), 2));
    assert!(is_done(&reading(3, 2, 1), LONG_REPLY));
    assert!(!is_done(&reading(3, 1, 1), LONG_REPLY));
    assert!(is_done(&reading(3, 1, 1), HORIZON));
}

#[test]
fn stable_s_usual_rate_forgets_slowly() {
    let mut usual = Usual::default();
    let cohort = |second, assigned, bad| {
        let mut cohort = Cohort { second, ..Cohort::default() };
        cohort.stable.assigned = assigned;
        cohort.stable.errors[0] = bad;
        cohort
    };
    usual.take(&cohort(0, 1000, 100));
    assert!((usual.rate() - 0.1).abs() < 1e-9);
    usual.take(&cohort(600, 500, 0));
    assert!((usual.rate() - 0.05).abs() < 1e-9);
}

#[test]
fn who_came_first_while_requests_were_sent_elsewhere_does_not_count() {
    let evidence = Evidence::new(2, clock::now());
    evidence.cores[1].void(10, 1);
    let mut voids = Voids::new(0);
    voids.look(&evidence, 20);
    let mut units = Units::new(60);
    units.begin(1, (0, 5_000), (5_000, 100_000), 0);
    // Displaced, and back again; the other one never was.
    units.see(&sighting(user(100), 10, 1, Arm::Canary, WELL));
    units.see(&sighting(user(100), 12, 1, Arm::Canary, BAD));
    units.see(&sighting(user(50_000), 10, 1, Arm::Stable, WELL));
    units.see(&sighting(user(60_000), 11, 1, Arm::Stable, WELL));
    let cohorts = units.release(500, &voids);
    let counts: Vec<_> =
        cohorts.iter().map(|it| (it.second, it.canary.assigned, it.stable.assigned)).collect();
    assert_eq!(counts, [(11, 0, 1)]);
    voids.forget(11);
    assert_eq!(voids.len(), 0);
}
