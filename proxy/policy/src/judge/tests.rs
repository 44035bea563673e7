//! The judge against simulated canaries.

use std::time::Duration;

use gnomon_config::model::{
    Direction, Gate, Kpi, KpiSource, Limit, Share, Timing, UpstreamIx, Worse,
};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{cohort::bucket, plan::Advice, *};

const STEPS: [f64; 4] = [0.05, 0.1, 0.25, 0.5];

fn gate() -> Gate {
    let rate = Limit { worse_by: Some(Worse { ratio: 1.25, points: 0.0001 }), max: None };
    Gate {
        min_requests: 100,
        confidence: Share(99_000),
        warmup: Duration::from_secs(10),
        horizon: Duration::from_secs(60),
        timing: Timing::Total,
        error_rate: rate,
        timeout_rate: rate,
        latency: Limit { worse_by: Some(Worse { ratio: 1.04, points: 0.0 }), max: None },
        quantiles: Vec::new(),
        saturation_max: None,
        diff_rate_max: None,
        kpis: Vec::new(),
        risk_errors: 0.0005,
        risk_latency: 0.005,
    }
}

fn kpi(is_binary: bool) -> Kpi {
    Kpi {
        name: "orders".into(),
        upstream: UpstreamIx(0),
        source: KpiSource::Header("x-orders".into()),
        max: 1.0,
        is_binary,
        worse: Direction::Lower,
    }
}

/// What a version does.
#[derive(Clone, Copy)]
struct Habits {
    errors: f64,
    slowness: f64,
    orders: f64,
}

const USUAL: Habits = Habits { errors: 0.001, slowness: 1.0, orders: 0.1 };

/// A service with two versions and a router.
struct Service {
    luck: Xoshiro256PlusPlus,
    rate: u64,
    second: u64,
    epoch: u32,
    stable: Habits,
    canary: Habits,
    /// What the router really does.
    misrouting: f64,
}

impl Service {
    fn new(seed: u64, rate: u64) -> Self {
        let luck = Xoshiro256PlusPlus::seed_from_u64(seed);
        let (stable, canary) = (USUAL, USUAL);
        Self { luck, rate, second: 1_000_000, epoch: 0, stable, canary, misrouting: 1.0 }
    }

    fn chance(&mut self, share: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let draw = (self.luck.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        draw < share
    }

    /// A lognormal time around 40 ms, as a sum of twelve draws.
    fn time(&mut self, slowness: f64) -> u16 {
        let sum: u64 = (0..12).map(|_| self.luck.next_u64() >> 32).sum();
        #[expect(clippy::cast_precision_loss, reason = "far below 53 bits")]
        let normal = sum as f64 / f64::from(u32::MAX) - 6.0;
        let time = Duration::from_secs_f64(0.04 * slowness * (0.7 * normal).exp());
        bucket(u64::try_from(time.as_nanos()).unwrap())
    }

    fn second(&mut self, weight: f64) -> Cohort {
        let mut cohort =
            Cohort { second: self.second, epoch: self.epoch, weight, ..Cohort::default() };
        self.second += 1;
        for _ in 0..self.rate {
            let to_canary = self.chance(weight * self.misrouting);
            let habits = if to_canary { self.canary } else { self.stable };
            let failed = self.chance(habits.errors);
            let ordered = self.chance(habits.orders);
            let time = self.time(habits.slowness);
            let tally = if to_canary { &mut cohort.canary } else { &mut cohort.stable };
            count(tally, failed, ordered, time);
        }
        cohort.canary.times.sort_unstable();
        cohort.stable.times.sort_unstable();
        cohort
    }

    /// Lets a judge watch for so many seconds, or until it wants something other than to wait.
    fn run(&mut self, judge: &mut Judge, step: usize, weight: f64, seconds: u64) -> Verdict {
        for _ in 0..seconds {
            judge.take(&self.second(weight));
            let verdict = judge.verdict(step);
            if matches!(verdict, Verdict::Rollback { .. }) {
                return verdict;
            }
        }
        judge.verdict(step)
    }
}

fn count(tally: &mut Tally, failed: bool, ordered: bool, time: u16) {
    tally.assigned += 1;
    if failed {
        tally.errors[cohort::Class::Status5xx as usize] += 1;
    } else {
        tally.times.push((time, 1));
    }
    if ordered {
        tally.kpis.resize(1, Vec::new());
        match tally.kpis[0].first_mut() {
            Some((_, count)) => *count += 1,
            None => tally.kpis[0].push((event::TOP_LEVEL, 1)),
        }
    }
}

/// A judge that has seen two minutes of stable alone.
fn with_history(service: &mut Service, gate: &Gate, kpis: &[Kpi]) -> Judge {
    let mut judge = Judge::new(Rules::of(gate, kpis), &STEPS);
    service.run(&mut judge, 0, 0.0, 120);
    service.epoch += 1;
    judge
}

fn culprits(verdict: Verdict) -> Vec<String> {
    let Verdict::Rollback { culprits } = verdict else { panic!("no rollback but {verdict:?}") };
    culprits
}

#[test]
fn a_good_canary_advances_step_by_step() {
    let mut service = Service::new(1, 1000);
    let mut judge = with_history(&mut service, &gate(), &[]);
    for (step, weight) in STEPS.into_iter().enumerate() {
        let advances = (0..1200).any(|_| {
            let verdict = service.run(&mut judge, step, weight, 1);
            assert!(!matches!(verdict, Verdict::Rollback { .. }), "{verdict:?}");
            verdict == Verdict::Advance
        });
        assert!(advances, "step {step}: {:?}", judge.report(step));
        let report = judge.report(step);
        let text = words(&report, &Occasion { next: Some(0.1), ..Occasion::default() });
        assert!(
            text.starts_with(
                "ADVANCED to 10%: excluded, 20 : 1 or better, that errors are worse by "
            )
        );
        assert!(text.contains(" and that p99 exceedance is worse by "), "{text}");
        service.epoch += 1;
    }
}

#[test]
fn three_times_the_errors_are_rolled_back_by_name() {
    let mut service = Service::new(2, 1000);
    let mut judge = with_history(&mut service, &gate(), &[]);
    service.canary.errors *= 3.0;
    let named = culprits(service.run(&mut judge, 0, 0.1, 1800));
    assert!(named.contains(&"errors".to_owned()), "{named:?}");
    assert!(!named.contains(&"latency".to_owned()), "{named:?}");
    let report = judge.report(0);
    let after = Duration::from_secs(380);
    let text = words(&report, &Occasion { at: "12:03:41", after, ..Occasion::default() });
    assert!(
        text.starts_with("ROLLED BACK at 12:03:41 after 6 m 20 s. Errors: canary 0."),
        "{text}"
    );
    assert!(text.contains("Allowed: 1.25× + 0.01 pp."), "{text}");
    assert!(
        text.ends_with("meets this rule in at most 1 of 100 rollouts, however often one looks.")
    );
}

#[test]
fn what_befalls_both_is_held_and_blamed_on_nobody() {
    for seed in 0..6 {
        let mut service = Service::new(100 + seed, 500);
        let mut judge = with_history(&mut service, &gate(), &[]);
        service.run(&mut judge, 0, 0.25, 60);
        service.stable.errors = 0.03;
        service.canary.errors = 0.03;
        let verdict = service.run(&mut judge, 0, 0.25, 300);
        let Verdict::Hold { why: Why::BothDegraded { signal, .. } } = &verdict else {
            panic!("seed {seed}: {verdict:?}");
        };
        assert_eq!(signal, "errors");
        let text = words(&judge.report(0), &Occasion::default());
        assert!(text.starts_with("HOLD: both versions degraded together (canary "), "{text}");
        assert!(text.contains(", usually "), "{text}");
        // An incident that is over is over.
        (service.stable, service.canary) = (USUAL, USUAL);
        service.run(&mut judge, 0, 0.25, 60);
        assert!(!matches!(judge.verdict(0), Verdict::Hold { why: Why::BothDegraded { .. } }));
    }
}

#[test]
fn a_bound_that_stable_breaks_too_blames_nobody() {
    let mut gate = gate();
    gate.error_rate.max = Some(0.01);
    let mut service = Service::new(7, 500);
    let mut judge = with_history(&mut service, &gate, &[]);
    service.run(&mut judge, 0, 0.1, 60);
    service.stable.errors = 0.05;
    service.canary.errors = 0.05;
    let verdict = service.run(&mut judge, 0, 0.5, 300);
    assert!(matches!(verdict, Verdict::Hold { why: Why::BothDegraded { .. } }), "{verdict:?}");
}

#[test]
fn a_bound_that_the_canary_alone_breaks_rolls_back() {
    let mut gate = gate();
    gate.error_rate = Limit { worse_by: None, max: Some(0.01) };
    gate.timeout_rate = Limit::default();
    let mut service = Service::new(8, 500);
    let mut judge = with_history(&mut service, &gate, &[]);
    service.canary.errors = 0.03;
    assert_eq!(culprits(service.run(&mut judge, 0, 0.25, 600)), ["errors"]);
}

#[test]
fn silence_is_held() {
    let mut service = Service::new(3, 200);
    let mut judge = with_history(&mut service, &gate(), &[]);
    let quiet = Verdict::Hold { why: Why::NoTraffic };
    assert_eq!(judge.verdict(0), quiet);
    service.rate = 0;
    assert_eq!(service.run(&mut judge, 0, 0.05, 300), quiet);
    assert_eq!(Judge::new(Rules::of(&gate(), &[]), &STEPS).verdict(0), quiet);
    // After it has had traffic, too.
    service.rate = 200;
    service.run(&mut judge, 0, 0.05, 120);
    assert_ne!(judge.verdict(0), quiet);
    service.rate = 0;
    assert_eq!(service.run(&mut judge, 0, 0.05, 300), quiet);
}

#[test]
fn a_router_that_does_otherwise_than_it_says_is_found() {
    let mut service = Service::new(4, 500);
    let mut judge = with_history(&mut service, &gate(), &[]);
    service.misrouting = 1.3;
    service.canary.errors = 0.05;
    let mut judged = Verdict::Advance;
    for _ in 0..300 {
        judge.take(&service.second(0.2));
        judged = judge.verdict(0);
    }
    assert_eq!(judged, Verdict::Hold { why: Why::Invalid });
}

#[test]
fn a_slower_canary_is_named() {
    let mut service = Service::new(5, 500);
    let mut judge = with_history(&mut service, &gate(), &[]);
    service.canary.slowness = 1.2;
    assert_eq!(culprits(service.run(&mut judge, 0, 0.1, 900)), ["latency"]);
    let text = words(&judge.report(0), &Occasion::default());
    assert!(text.contains("Latency: p50 4"), "{text}");
    assert!(text.contains("; slower than stable's usual p"), "{text}");
    assert!(text.contains("Allowed: 4% slower."), "{text}");
}

#[test]
fn a_regression_that_comes_late_is_found_soon() {
    let mut service = Service::new(6, 500);
    let mut judge = with_history(&mut service, &gate(), &[]);
    let good = service.run(&mut judge, 0, 0.25, 1200);
    assert!(!matches!(good, Verdict::Rollback { .. }), "{good:?}");
    service.canary.errors *= 5.0;
    let before = service.second;
    assert!(culprits(service.run(&mut judge, 0, 0.25, 600)).contains(&"errors".to_owned()));
    assert!(service.second - before < 240, "{} s", service.second - before);
}

#[test]
fn fewer_orders_are_found_whether_counted_or_summed() {
    for is_binary in [true, false] {
        let mut gate = gate();
        let worse_by = Some(Worse { ratio: 1.05, points: 0.0 });
        gate.kpis = vec![(0, Limit { worse_by, max: None })];
        let mut service = Service::new(9, 500);
        let kpis = [kpi(is_binary)];
        let mut judge = with_history(&mut service, &gate, &kpis);
        let same = service.run(&mut judge, 0, 0.25, 300);
        assert!(!matches!(same, Verdict::Rollback { .. }), "{same:?}");
        service.canary.orders = 0.06;
        assert_eq!(culprits(service.run(&mut judge, 0, 0.25, 600)), ["orders"]);
    }
}

#[test]
fn what_is_written_down_goes_on_as_if_nothing_had_been() {
    let mut service = Service::new(10, 300);
    let mut judge = with_history(&mut service, &gate(), &[kpi(true)]);
    service.canary.errors *= 2.0;
    service.run(&mut judge, 0, 0.1, 137);
    let text = serde_json::to_string(&judge).unwrap();
    let mut restored: Judge = serde_json::from_str(&text).unwrap();
    assert_eq!(restored, judge);
    for _ in 0..200 {
        let cohort = service.second(0.1);
        judge.take(&cohort);
        restored.take(&cohort);
    }
    assert_eq!(judge.mean_e().to_bits(), restored.mean_e().to_bits());
    assert_eq!(serde_json::to_string(&judge).unwrap(), serde_json::to_string(&restored).unwrap());
    let report = serde_json::to_string(&judge.report(1)).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&report).unwrap(), restored.report(1));
    let other = text.replacen("\"version\":1", "\"version\":2", 1);
    assert!(serde_json::from_str::<Judge>(&other).is_err());
}

#[test]
fn the_warm_up_is_no_evidence() {
    let mut service = Service::new(11, 500);
    let mut judge = with_history(&mut service, &gate(), &[]);
    service.canary.errors = 0.5;
    let cold = service.run(&mut judge, 0, 0.1, 5);
    let missing = vec![Missing::Warmup { seconds: 6 }];
    assert_eq!(cold, Verdict::NotProven { missing });
    assert!((judge.mean_e() - 1.0).abs() < 1e-9);
}

#[test]
fn a_plan_says_how_long_and_what_would_be_faster() {
    let mut service = Service::new(12, 500);
    let judge = with_history(&mut service, &gate(), &[]);
    let steps = [(0.05, 60.0), (0.25, 60.0), (0.5, 60.0)];
    let slow = plan(judge.rules(), &steps, 5.0, &judge.usual());
    let fast = plan(judge.rules(), &steps, 5000.0, &judge.usual());
    let triple = |forecast: &plan::StepForecast| forecast.errors[1].seconds.unwrap();
    assert!(triple(&slow[0]) > 10.0 * 3600.0);
    assert!(triple(&slow[0]) > triple(&slow[1]));
    assert!((triple(&slow[0]) / triple(&fast[0]) - 1000.0).abs() < 1.0);
    assert!(fast.iter().all(|step| step.advice.is_empty()), "{fast:?}");
    assert_eq!(slow[0].advice[0], Advice::Mirror);
    assert!(matches!(slow[0].advice[1], Advice::Larger { weight: 0.25, triple: Some(_), .. }));
    assert!(matches!(slow[0].advice[3], Advice::Wider { risk_errors: 0.002, .. }));
    for step in &fast {
        assert!(step.latency[1].seconds < step.latency[0].seconds, "{step:?}");
        assert!(step.proof.is_some_and(|seconds| seconds >= 60.0));
    }
    let missing = vec![Missing::Requests { have: 3, need: 100 }];
    let report = Report { verdict: Verdict::NotProven { missing }, ..judge.report(0) };
    let occasion = Occasion { pace: 0.25, forecast: Some(&slow[0]), ..Occasion::default() };
    let text = words(&report, &occasion);
    assert!(text.starts_with("NOT PROVEN: at 0.25 canary requests/s this step needs about "));
    assert!(text.contains(" Options: mirror, 25% weight"), "{text}");
}
