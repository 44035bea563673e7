//! The judge held to what its design promises, in thousands of simulated rollouts.
//!
//! Every run has a seed that follows from the case's name, so the figures are the same everywhere.
//! `judge-tables` does the same at full size, with others' rules beside it.

use e2e::sim::{
    RATES, TICK,
    cases::{self, Found},
    delays::{self, Order},
    errors::Case,
    forecasts::{self, Kind},
    promotion::{self, End, Margins, RISK},
    runs::{repeat, seed, three_errors},
    users::{self, Count, Crowd, HARMED, HEAVY, UNEVEN},
};
use gnomon_policy::judge::bernoulli::Boundary;

/// Runs of a case of errors.
const RUNS: u64 = 400;

/// Of a case of times, which take longer to draw.
const TIME_RUNS: u64 = 120;

/// No more false rollbacks than promised, as far as so many runs can tell.
#[track_caller]
fn rarely(found: &Found, alpha: f64) {
    let most = alpha + three_errors(alpha, found.spoken.runs());
    let Found { rule, kind, rate, spoken, seed, .. } = found;
    assert!(
        spoken.share() <= most,
        "{rule}, {kind}, {rate}/s: {:.3} of {} runs, {most:.3} at most; the first has seed {seed:?}",
        spoken.share(),
        spoken.runs(),
    );
}

/// No slower than the design by more than a tenth or a look, counted from the onset: half of the
/// runs are over by then, as far as so many can tell.
#[track_caller]
fn soon(found: &Found, want: f64, onset: u64) {
    let onset = onset as f64;
    let most = onset + ((want - onset) * 1.1).max(want - onset + TICK as f64);
    let Found { rule, kind, rate, spoken, .. } = found;
    assert!(
        spoken.by(most) >= 0.5 - three_errors(0.5, spoken.runs()),
        "{rule}, {kind}, {rate}/s: {:.3} of {} runs within {most} s; median {:?} s",
        spoken.by(most),
        spoken.runs(),
        spoken.median(),
    );
}

#[test]
fn healthy_canaries_are_hardly_ever_rolled_back_for_errors() {
    for rate in RATES {
        for kind in ["healthy", "healthy, incidents"] {
            let found = cases::watch_errors(&cases::OUR_ERROR_RULES, kind, rate, RUNS);
            for (found, alpha) in found.iter().zip([0.01, 0.05, 0.01]) {
                rarely(found, alpha);
            }
        }
        let found = cases::watch_errors(&cases::OUR_ERROR_RULES[..1], "at the margin", rate, RUNS);
        rarely(&found[0], 0.01);
    }
}

#[test]
fn healthy_canaries_are_hardly_ever_rolled_back_for_their_times() {
    for rate in RATES {
        for kind in ["healthy", "healthy, incidents"] {
            let case = cases::time_case(kind, rate);
            let found = cases::watch_times(&cases::OUR_TIME_RULES[..2], kind, case, TIME_RUNS);
            for (found, alpha) in found.iter().zip([0.01, 0.05]) {
                rarely(found, alpha);
            }
        }
        let kind = "at the margin";
        let case = cases::time_case(kind, rate);
        let found = cases::watch_times(&cases::OUR_TIME_RULES[..1], kind, case, TIME_RUNS);
        rarely(&found[0], 0.01);
    }
}

#[test]
fn a_healthy_canary_passes_all_signals_together() {
    for rate in RATES {
        let kind = "healthy, incidents";
        let case = cases::both_case(kind, rate);
        rarely(&cases::watch_times(&cases::WHOLE_RULE, kind, case, 60)[0], 0.01);
    }
}

/// Medians in seconds that the design was measured at, by rate: the default, strict at α = 0.05
/// and at 0.01.
type Medians = [[f64; 3]; 3];

const ERRORS: [(&str, Medians); 3] = [
    ("×3", [[1845.0, 795.0, 170.0], [1315.0, 605.0, 60.0], [1485.0, 660.0, 90.0]]),
    ("×10", [[695.0, 115.0, 15.0], [540.0, 65.0, 10.0], [655.0, 90.0, 10.0]]),
    ("×3, incidents", [[1215.0, 525.0, 125.0], [850.0, 280.0, 55.0], [1015.0, 390.0, 75.0]]),
];

/// The same, without the last.
const TIMES: [(&str, [[f64; 3]; 2]); 3] = [
    ("all +20 %", [[705.0, 110.0, 15.0], [390.0, 40.0, 5.0]]),
    ("tail +20 %", [[1445.0, 630.0, 95.0], [1120.0, 290.0, 35.0]]),
    ("tail +20 %, incidents", [[1950.0, 750.0, 95.0], [1330.0, 400.0, 35.0]]),
];

#[test]
fn errors_are_found_as_soon_as_designed() {
    for (kind, medians) in ERRORS {
        for (at, rate) in RATES.into_iter().enumerate() {
            let found = cases::watch_errors(&cases::OUR_ERROR_RULES, kind, rate, RUNS);
            for (found, medians) in found.iter().zip(medians) {
                soon(found, medians[at], 0);
            }
        }
    }
}

#[test]
fn errors_that_begin_late_are_found_as_soon_as_designed() {
    for (at, rate) in RATES.into_iter().enumerate() {
        let found = cases::watch_errors(&cases::OUR_ERROR_RULES, "×3 late", rate, RUNS);
        let medians =
            [[2400.0, 1710.0, 1525.0], [2025.0, 1640.0, 1545.0], [2170.0, 1670.0, 1550.0]];
        for (found, medians) in found.iter().zip(medians).skip(usize::from(at == 0)) {
            soon(found, medians[at], cases::LATE);
        }
        if at == 0 {
            // In the quarter of an hour that is left, too few errors happen.
            let share = found[0].spoken.share();
            assert!(share >= 0.28 - three_errors(0.28, found[0].spoken.runs()), "{share}");
        }
    }
}

#[test]
fn slowness_is_found_as_soon_as_designed() {
    for (kind, medians) in TIMES {
        for (at, rate) in RATES.into_iter().enumerate() {
            let case = cases::time_case(kind, rate);
            let found = cases::watch_times(&cases::OUR_TIME_RULES[..2], kind, case, TIME_RUNS);
            for (found, medians) in found.iter().zip(medians) {
                soon(found, medians[at], 0);
            }
        }
    }
}

/// Ends of 200 rollouts of a canary with this chance of an error.
fn ends(name: &str, rate: f64, canary: Boundary) -> Vec<End> {
    let case = Case::times(rate, 1.0).with(canary);
    repeat(&format!("promotion {name} {rate}"), 200, |seed| {
        promotion::run(case, Margins::Graduated, seed)
    })
}

fn promoted(ends: &[End]) -> Vec<f64> {
    let mut times: Vec<f64> = ends.iter().filter_map(|end| end.promoted()).collect();
    times.sort_by(f64::total_cmp);
    times
}

#[test]
fn a_healthy_canary_is_promoted_in_time() {
    for (rate, want) in RATES.into_iter().zip([4385.0, 500.0, 120.0]) {
        let ends = ends("healthy", rate, Boundary::EQUAL);
        let times = promoted(&ends);
        let share = times.len() as f64 / ends.len() as f64;
        assert!(share >= 0.98, "{rate}/s: {share} promoted");
        let median = times[times.len() / 2];
        assert!(median <= want * 1.15, "{rate}/s: {median} s, {want} s were designed");
    }
}

#[test]
fn a_bad_canary_is_hardly_ever_promoted() {
    for rate in RATES {
        let worst = Boundary { ratio: 1.0, points: RISK };
        let ends_there = ends("at the risk", rate, worst);
        let share = promoted(&ends_there).len() as f64 / ends_there.len() as f64;
        let most = 0.05 + three_errors(0.05, ends_there.len());
        let first = seed(&format!("promotion at the risk {rate}"), 0);
        assert!(share <= most, "{rate}/s: {share} promoted, {most} at most; first seed {first}");
        let bad = ends("bad", rate, Boundary { ratio: 3.0, points: 0.0 });
        assert_eq!(promoted(&bad), [0.0; 0], "{rate}/s: a canary with ×3 errors");
    }
}

/// Share of rollouts that are rolled back, and the most that is allowed of an α of 0.05.
fn users_share(name: &str, crowd: Crowd, count: Count) -> (f64, f64) {
    let runs = 100;
    let said = repeat(&format!("users {name} {count:?}"), runs, |seed| {
        users::run(crowd, count, seed).is_some()
    });
    let share = said.iter().filter(|said| **said).count() as f64 / said.len() as f64;
    (share, 0.05 + three_errors(0.05, said.len()))
}

#[test]
fn users_who_stay_are_counted_once() {
    let (share, most) = users_share("heavy", HEAVY, Count::StickyRequests);
    assert!(share > most, "request by request it is no test: {share}");
    for (name, crowd) in [("uneven", UNEVEN), ("heavy", HEAVY)] {
        let (share, most) = users_share(name, crowd, Count::StickyUsers);
        assert!(share <= most, "{name}, by user: {share}");
    }
    let (share, most) = users_share("uneven", UNEVEN, Count::Requests);
    assert!(share <= most, "by request, with a coin each: {share}");
    let (share, _) = users_share("harmed", HARMED, Count::StickyUsers);
    assert!(share >= 0.5, "real harm is seen: {share}");
}

#[test]
fn requests_are_counted_when_they_were_assigned() {
    let share = |rate, delay, order| {
        let said = repeat(&format!("delays {rate} {delay} {order:?}"), RUNS, |seed| {
            delays::run(rate, delay, order, seed).is_some()
        });
        said.iter().filter(|said| **said).count() as f64 / said.len() as f64
    };
    let most = 0.05 + three_errors(0.05, usize::try_from(RUNS).unwrap());
    for (rate, delay) in [(50.0, 5.0), (500.0, 5.0), (500.0, 30.0)] {
        let wrong = share(rate, delay, Order::Assignment);
        assert!(wrong <= most, "{rate}/s, {delay} s: {wrong}");
    }
    for delay in [5.0, 30.0] {
        let wrong = share(500.0, delay, Order::Completion);
        assert!(wrong > most, "by completion it is no test: {wrong} for {delay} s");
    }
}

#[test]
fn four_of_five_forecasts_are_met() {
    for rate in RATES {
        for factor in [3.0, 10.0] {
            for kind in [Kind::Strict(0.05), Kind::Strict(0.01), Kind::Default] {
                let forecast = forecasts::seconds(rate, factor, kind).expect("in thirty years");
                let met = forecasts::met(rate, factor, kind, forecast, RUNS);
                assert!(
                    (0.75..=0.95).contains(&met),
                    "{kind:?}, {rate}/s, ×{factor}: {met} in {forecast} s"
                );
            }
        }
    }
}
