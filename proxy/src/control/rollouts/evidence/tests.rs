//! The judge behind a rollout: it is fed, told of silence, kept and found again.

use gnomon_config::{Options, parse};
use gnomon_policy::{
    judge::{Tally, cohort::Class},
    rollout::Phase,
};

use super::*;

const TEXT: &str = "listen = \"127.0.0.1:0\"\nroute.all.to = \"shop\"\n\
                    upstream.shop.versions.v1 = [\"127.0.0.1:1\"]\n\
                    upstream.shop.versions.v2 = [\"127.0.0.1:2\"]\n\
                    shadow.copies.from = \"shop@v1\"\nshadow.copies.to = \"shop@v2\"\n\
                    rollout.shop.from = \"shop@v1\"\nrollout.shop.to = \"shop@v2\"\n\
                    rollout.shop.steps = [{ shadow = \"5%\" }, \"5%\", \"25%\", \"100%\"]\n\
                    rollout.shop.gate.warmup = \"0s\"\nrollout.shop.gate.min_requests = 10\n";

fn plan(more: &str) -> Rollout {
    let loaded = parse("test.toml", &format!("{TEXT}{more}"), &Options::default()).unwrap();
    loaded.config.rollouts[0].clone()
}

fn position(step: usize) -> State {
    State {
        phase: Phase::Running,
        step,
        weight_parts: 5_000,
        generation: 1,
        started: START,
        step_since: START,
        ..State::default()
    }
}

fn cohort(second: u64, bad: u64) -> Cohort {
    let tally = |assigned: u64, bad: u64| {
        let mut tally = Tally { assigned, ..Tally::default() };
        tally.errors[Class::Status5xx as usize] = bad;
        tally.times = vec![(100, u32::try_from(assigned - bad).unwrap())];
        tally
    };
    Cohort { second, epoch: 1, weight: 0.05, canary: tally(5, bad), stable: tally(95, 0) }
}

fn fed(plan: &Rollout, seconds: u64, bad: u64) -> Evidence {
    let mut evidence = Evidence::new(plan, &[]);
    for second in START..START + seconds {
        evidence.take(&position(2), vec![cohort(second, bad)], None, second + 2);
    }
    evidence.judge(plan, &position(2), START + seconds);
    evidence
}

#[test]
fn a_bad_canary_is_told_in_words() {
    let plan = plan("");
    let evidence = fed(&plan, 60, 2);
    let Outcome::Worse(words) = evidence.outcome() else { panic!("{:?}", evidence.outcome()) };
    assert!(words.starts_with("ROLLED BACK at "), "{words}");
    assert!(words.contains("Errors: canary 40% (120 of 300)"), "{words}");
    assert_eq!(evidence.requests(), Arms { canary: 300, stable: 5_700 });
    assert!((evidence.rate(START + 60) - 100.0).abs() < 1.0);
}

#[test]
fn what_is_kept_goes_on_where_it_was() {
    let plan = plan("");
    for bad in [0, 2] {
        let mut first = fed(&plan, 60, bad);
        let kept =
            store::Kept { state: position(2), requests: first.requests(), ..Default::default() };
        let written = first.take_unwritten(1).unwrap();
        assert_eq!(written.cohorts.len(), 60);
        assert!(first.take_unwritten(1).is_none());
        let mut second = Evidence::new(&plan, &[]);
        assert_eq!(second.restore(&kept, Some(&written)), None);
        second.judge(&plan, &position(2), START + 60);
        let (Value::Object(one), Value::Object(other)) = (first.report(), second.report()) else {
            panic!("a report is an object");
        };
        assert_eq!(one["verdict"], other["verdict"]);
        assert_eq!(one["assigned"], other["assigned"]);
        assert_eq!(second.requests(), first.requests());
    }
}

#[test]
fn other_rules_begin_from_nothing() {
    let (plan, other) = (plan(""), plan("rollout.shop.gate.error_rate.worse_by = \"900%\"\n"));
    let mut evidence = fed(&plan, 60, 2);
    assert!(!evidence.follow(&plan, &[]));
    assert!(evidence.follow(&other, &[]));
    evidence.judge(&other, &position(2), START + 60);
    assert!(!matches!(evidence.outcome(), Outcome::Worse(_)));
    let written = fed(&plan, 60, 0).take_unwritten(1).unwrap();
    let kept = store::Kept { state: position(2), ..Default::default() };
    assert!(Evidence::new(&other, &[]).restore(&kept, Some(&written)).is_some());
}

#[test]
fn a_kpi_that_is_told_late_is_judged_by_itself() {
    let text = format!(
        "{TEXT}kpi.orders.of = \"shop\"\nkpi.orders.from = \"late\"\nkpi.orders.binary = true\n\
         rollout.shop.gate.kpi.orders.worse_by = \"5%\"\n"
    );
    let config = parse("test.toml", &text, &Options::default()).unwrap().config;
    let plan = &config.rollouts[0];
    let told = |canary: u32, stable: u32| {
        let tally = |assigned: u64, level: u32| {
            let kpis = vec![vec![(32_u8, level)]];
            Tally { assigned, kpis, ..Tally::default() }
        };
        (tally(20, canary), tally(80, stable))
    };
    for (canary, is_worse) in [(4, false), (0, true)] {
        let mut evidence = Evidence::new(plan, &config.kpis);
        for second in START..START + 200 {
            evidence.take(&position(2), vec![cohort(second, 0)], None, second + 2);
            let (canary, stable) = told(canary, 16);
            let late = Cohort { second, epoch: 1, weight: 0.2, canary, stable };
            evidence.take_late(&position(2), &[(0, late)]);
        }
        evidence.judge(plan, &position(2), START + 300);
        let outcome = evidence.outcome();
        assert_eq!(matches!(outcome, Outcome::Worse(_)), is_worse, "{outcome:?}");
        let report = evidence.report();
        let names: Vec<&str> = report["signals"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|it| it["name"].as_str())
            .collect();
        assert!(names.contains(&"orders") && names.contains(&"errors"), "{names:?}");
    }
}

#[test]
fn silence_is_heard() {
    let plan = plan("");
    let mut evidence = fed(&plan, 60, 0);
    for now in (START + 60..START + 400).step_by(5) {
        evidence.take(&position(2), Vec::new(), None, now);
    }
    evidence.judge(&plan, &position(2), START + 400);
    let Outcome::Silent(words) = evidence.outcome() else { panic!("{:?}", evidence.outcome()) };
    assert!(words.contains("no traffic"), "{words}");
}

#[test]
fn stable_alone_is_learnt_from_before_the_start() {
    let plan = plan("");
    let mut evidence = Evidence::new(&plan, &[]);
    let idle = State::default();
    for second in START..START + 60 {
        let alone = Cohort { weight: 0.0, canary: Tally::default(), ..cohort(second, 0) };
        evidence.take(&idle, vec![alone], None, second + 2);
    }
    assert!(evidence.take_unwritten(1).is_none());
    let (rate, _, steps) = evidence.forecast(&plan, START + 62);
    assert!((rate - 95.0).abs() < 2.0, "{rate}");
    assert_eq!(steps.len(), 2);
    assert!(steps[0].errors[1].seconds.unwrap() > steps[0].errors[2].seconds.unwrap());
    evidence.step(&position(0));
    assert!(evidence.is_fresh);
}

#[test]
fn steps_of_shadows_are_not_weighed() {
    let plan = plan("");
    assert_eq!(weights(&plan), [0.05, 0.25, 1.0]);
    let places: Vec<usize> = (0..=4).map(|step| place(&plan, step)).collect();
    assert_eq!(places, [0, 0, 0, 1, 2]);
}

const START: u64 = 1_795_392_000;
