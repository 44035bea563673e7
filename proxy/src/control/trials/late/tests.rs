//! Reports after the reply: what counts, once, and what is forgotten.

use std::time::Duration;

use gnomon_config::model::{Direction, KpiSource, UpstreamIx};

use super::*;
use crate::{
    clock,
    trial::{Evidence, Outcome, id_hash},
};

const WITHIN: u32 = 100;

/// A trial with `orders`, up to 32, told within 100 s, and `returns`, told within 300 s.
struct Bench {
    late: Late,
    book: Book,
    last: u32,
}

fn kpi(name: &str, within: u32) -> Kpi {
    Kpi {
        name: name.into(),
        upstream: UpstreamIx(0),
        source: KpiSource::Late(Duration::from_secs(within.into())),
        max: 32.0,
        is_binary: false,
        worse: Direction::Lower,
    }
}

fn kpis() -> Vec<LateKpi> {
    vec![LateKpi::new("orders".into(), 0, WITHIN), LateKpi::new("returns".into(), 2, 3 * WITHIN)]
}

fn bench(is_by_user: bool, most: usize) -> Bench {
    let (mut book, mut last) = (Book::default(), 0);
    book.follow(kpis(), is_by_user, 10, &mut last);
    Bench { late: Late::new(most), book, last }
}

impl Bench {
    fn see(&mut self, id: &str, second: u32, arm: Arm) {
        self.visit(id, second, arm, 0);
    }

    fn visit(&mut self, id: &str, second: u32, arm: Arm, unit: u64) {
        let outcome = Outcome { class: None, refused: false, time: None, kpis: [None; KPIS_MAX] };
        let request = id_hash(id.as_bytes());
        let (epoch, weight) = (7, 0.0);
        let sighting = Sighting { trial: 1, epoch, second, arm, unit, request, outcome, weight };
        self.late.see(&mut self.book, &sighting, 0.25);
    }

    fn tell(&mut self, id: &str, name: &str, value: f64, now: u32) -> Told {
        self.tell_as(id, name, value, None, now)
    }

    fn tell_as(&mut self, id: &str, name: &str, value: f64, key: Option<&str>, now: u32) -> Told {
        let kpi = kpi(name, WITHIN);
        let key = key.map(str::as_bytes);
        let report = Report { request: id.as_bytes(), kpi: &kpi, value, key };
        self.late.report(std::iter::once(&mut self.book), &report, now)
    }

    /// Seconds, assigned, and levels of each KPI as given out: by its index, canary before stable.
    fn release(&mut self, now: u32) -> Vec<Seconds> {
        let of = |(index, cohort): (usize, gnomon_policy::judge::cohort::Cohort)| {
            assert_eq!((cohort.epoch, cohort.weight), (7, 0.25));
            let side = |tally: gnomon_policy::judge::cohort::Tally| {
                assert_eq!((tally.kpis.len(), tally.failed()), (KPIS_MAX, 0));
                (tally.assigned, tally.kpis[index].clone())
            };
            (index, cohort.second, side(cohort.canary), side(cohort.stable))
        };
        self.book.release(now).into_iter().map(of).collect()
    }
}

type Counted = (u64, Vec<(u8, u32)>);
type Seconds = (usize, u64, Counted, Counted);

#[test]
fn a_report_counts_once_in_the_second_of_its_request() {
    let mut bench = bench(false, 100);
    bench.see("a", 20, Arm::Canary);
    bench.see("b", 20, Arm::Stable);
    bench.see("c", 20, Arm::Stable);
    bench.see("d", 21, Arm::Canary);
    assert_eq!(bench.tell("a", "orders", 12.0, 25), Told::Counted);
    assert_eq!(bench.tell("a", "orders", 12.0, 26), Told::Duplicate);
    assert_eq!(bench.tell("a", "orders", 13.0, 26), Told::OtherValue);
    assert_eq!(bench.tell("c", "orders", 0.0, 26), Told::Counted);
    assert_eq!(bench.tell("c", "orders", -0.0, 26), Told::Duplicate);
    assert_eq!(bench.tell("c", "returns", 99.0, 26), Told::Counted);
    assert_eq!(bench.tell("e", "orders", 1.0, 26), Told::Unknown);
    assert_eq!(bench.tell("a", "others", 1.0, 26), Told::Unknown);

    assert!(bench.release(20 + WITHIN).is_empty(), "it may still be told");
    let expected = vec![(0, 20, (1, vec![(12, 1)]), (2, vec![(0, 1)]))];
    assert_eq!(bench.release(21 + WITHIN), expected);
    assert_eq!(bench.release(22 + WITHIN), [(0, 21, (1, vec![]), (0, vec![]))]);
    assert!(bench.release(23 + WITHIN).is_empty(), "each once");
    let returns = bench.release(22 + 3 * WITHIN);
    assert_eq!(returns[0], (2, 20, (1, vec![]), (2, vec![(32, 1)])));
    assert_eq!((returns.len(), bench.book.sizes()), (2, (0, 0)));

    let counts = Counts { reported: 2, duplicate: 2, refused: 1, late: 0, unknown: 1 };
    assert_eq!(bench.late.counts("orders"), counts);
    assert_eq!(bench.late.counts("nothing"), Counts::default());
}

#[test]
fn who_comes_after_the_time_is_told_so_and_later_nobody_knows_them() {
    let mut bench = bench(false, 100);
    bench.see("a", 20, Arm::Canary);
    bench.see("b", 20, Arm::Canary);
    assert_eq!(bench.tell("a", "orders", 1.0, 20 + WITHIN), Told::Counted);
    assert_eq!(bench.tell("b", "orders", 1.0, 21 + WITHIN), Told::Late);
    assert_eq!(bench.tell("b", "returns", 1.0, 21 + WITHIN), Told::Counted);
    bench.release(30 + WITHIN);
    bench.see("c", 20, Arm::Canary);
    assert_eq!(bench.tell("c", "orders", 1.0, 20), Told::Late, "that second has been given out");
    // Remembered for as long again as the longest takes.
    bench.late.expire(20 + 6 * WITHIN);
    assert_eq!(bench.tell("b", "orders", 1.0, 20 + 6 * WITHIN), Told::Late);
    bench.late.expire(21 + 6 * WITHIN);
    assert_eq!(bench.tell("b", "orders", 1.0, 21 + 6 * WITHIN), Told::Unknown);
    assert_eq!(bench.late.sizes(), (0, 0));
    let counts = bench.late.counts("orders");
    assert_eq!((counts.reported, counts.late, counts.unknown), (1, 3, 1));
}

#[test]
fn a_key_is_for_one_report() {
    let mut bench = bench(false, 100);
    bench.see("a", 20, Arm::Canary);
    bench.see("b", 20, Arm::Canary);
    assert_eq!(bench.tell_as("a", "orders", 1.0, Some("k"), 21), Told::Counted);
    assert_eq!(bench.tell_as("a", "orders", 1.0, Some("k"), 21), Told::Duplicate);
    assert_eq!(bench.tell_as("a", "orders", 2.0, Some("k"), 21), Told::OtherValue);
    assert_eq!(bench.tell_as("a", "returns", 1.0, Some("k"), 21), Told::OtherKey);
    assert_eq!(bench.tell_as("b", "orders", 1.0, Some("k"), 21), Told::OtherKey);
    assert_eq!(bench.tell_as("b", "orders", 1.0, Some("l"), 21), Told::Counted);
    assert_eq!(bench.late.sizes(), (2, 2));
    bench.late.expire(1000);
    assert_eq!(bench.late.sizes(), (0, 0));
}

#[test]
fn nothing_grows_beyond_its_bound() {
    let mut bench = bench(false, 50);
    for number in 0..1000_u32 {
        let (id, second) = (number.to_string(), 20 + number / 10);
        bench.see(&id, second, Arm::Canary);
        let key = format!("key {number}");
        let told = bench.tell_as(&id, "orders", 1.0, Some(&key), second);
        assert_eq!(told, Told::Counted);
        assert!(bench.late.sizes().0 <= 50 && bench.late.sizes().1 <= 50);
    }
    assert_eq!(bench.late.forgotten(bench.book.number()), 950);
    assert_eq!(bench.tell("1", "orders", 1.0, 119), Told::Unknown);
    assert_eq!(bench.tell("999", "orders", 1.0, 119), Told::Duplicate);

    // Seconds nobody asks for are dropped at last, and there is one for each at most.
    let evidence = Evidence::new(1, clock::now());
    for second in 120..10_000_u32 {
        bench.see(&format!("later {second}"), second, Arm::Stable);
        bench.book.tick(&evidence, second);
        let (seconds, _) = bench.book.sizes();
        assert!(seconds <= 3 * WITHIN as usize + 602, "{seconds}");
    }
    bench.book.tick(&evidence, 20_000);
    assert_eq!(bench.book.sizes(), (0, 0));
}

#[test]
fn a_second_in_which_the_draw_did_not_decide_is_left_out() {
    let mut bench = bench(false, 100);
    let evidence = Evidence::new(2, clock::now());
    bench.see("a", 20, Arm::Canary);
    bench.see("b", 21, Arm::Canary);
    evidence.cores[1].void(20, 7);
    evidence.cores[0].void(21, 6);
    for now in 20..30 {
        bench.book.tick(&evidence, now);
    }
    let seconds: Vec<u64> = bench.release(30 + WITHIN).iter().map(|it| it.1).collect();
    assert_eq!(seconds, [21]);
}

#[test]
fn of_a_user_the_best_request_counts() {
    let mut bench = bench(true, 100);
    bench.visit("a", 20, Arm::Canary, 1 << 20);
    bench.visit("b", 40, Arm::Canary, 1 << 20);
    bench.visit("c", 41, Arm::Stable, 2 << 20);
    bench.visit("nobody", 41, Arm::Stable, 0);
    assert_eq!(bench.tell("b", "orders", 3.0, 45), Told::Counted);
    assert_eq!(bench.tell("a", "orders", 5.0, 46), Told::Counted);
    assert_eq!(bench.tell("nobody", "orders", 5.0, 46), Told::Unknown);
    bench.visit("d", 50, Arm::Canary, 1 << 20);
    assert_eq!(bench.tell("d", "orders", 1.0, 51), Told::Counted);
    assert_eq!(bench.release(21 + WITHIN), [(0, 20, (1, vec![(5, 1)]), (0, vec![]))]);
    bench.visit("e", 60, Arm::Canary, 1 << 20);
    assert_eq!(bench.tell("e", "orders", 9.0, 121), Told::Late, "the user's time is over");
    assert_eq!(bench.release(42 + WITHIN), [(0, 41, (0, vec![]), (1, vec![]))]);
    bench.visit("f", 500, Arm::Canary, 1 << 20);
    assert_eq!(bench.tell("f", "orders", 9.0, 500), Told::Unknown, "once under each split");
}

#[test]
fn too_many_users_are_thinned_out_evenly() {
    let mut bench = bench(true, 1000);
    bench.book.limit_users(100);
    for number in 1..=150_u64 {
        let arm = if number % 3 == 0 { Arm::Canary } else { Arm::Stable };
        bench.visit(&number.to_string(), 20, arm, number);
        bench.tell(&number.to_string(), "orders", 32.0, 20);
        assert!(bench.book.sizes().1 <= 100);
    }
    // Every second one of the first 101, and of those behind them.
    let released = bench.release(21 + WITHIN);
    assert_eq!(released, [(0, 20, (25, vec![(32, 25)]), (50, vec![(32, 50)]))]);
    assert_eq!(bench.tell("1", "orders", 32.0, 21), Told::Duplicate);
    assert_eq!(bench.tell("1", "returns", 32.0, 21), Told::Unknown);
}

#[test]
fn other_kpis_or_a_new_run_begin_anew() {
    let mut bench = bench(false, 100);
    bench.see("a", 20, Arm::Canary);
    let number = bench.book.number();
    bench.book.follow(kpis(), false, 21, &mut bench.last);
    assert_eq!(bench.book.number(), number);
    assert_eq!(bench.tell("a", "orders", 1.0, 21), Told::Counted);
    bench.book.restart(22, &mut bench.last);
    assert_eq!((bench.book.number(), bench.book.sizes()), (number + 1, (0, 0)));
    assert_eq!(bench.tell("a", "returns", 1.0, 22), Told::Unknown);
    bench.see("b", 22, Arm::Canary);
    assert_eq!(bench.tell("b", "returns", 1.0, 22), Told::Counted);
    bench.book.follow(kpis(), true, 23, &mut bench.last);
    assert_eq!(bench.book.number(), number + 2);
    bench.book.follow(Vec::new(), true, 23, &mut bench.last);
    bench.see("c", 24, Arm::Canary);
    assert_eq!(bench.tell("c", "orders", 1.0, 24), Told::Unknown);
}
