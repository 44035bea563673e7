//! Rollouts in a time of their own.

use std::time::Duration;

use gnomon_config::model::{
    Fuse, Gate, Limit, On, Probe, Start, Step, Timing, UpstreamIx, VersionIx, Window,
};

use super::*;

fn plan(steps: &[(Stage, u64)]) -> Rollout {
    let step =
        |&(to, hold): &(Stage, u64)| Step { to, hold: Duration::from_secs(hold), approve: false };
    Rollout {
        name: "shop".into(),
        upstream: UpstreamIx(0),
        from: VersionIx(0),
        to: VersionIx(1),
        start: Start::Manual,
        steps: steps.iter().map(step).collect(),
        max: Duration::from_secs(600),
        cooldown: Duration::from_secs(300),
        gate: gate(),
        fuse: Fuse { budget: 20, window: Duration::from_secs(10), factor: 3 },
        on: On {
            fail: OnFail::Rollback,
            inconclusive: OnInconclusive::Hold,
            webhook: None,
            confirm: None,
            timeout: Duration::from_secs(5),
            retries: 3,
        },
        tests: Vec::new(),
        windows: Vec::new(),
    }
}

fn gate() -> Gate {
    Gate {
        min_requests: 100,
        confidence: Share(99_000),
        warmup: Duration::ZERO,
        horizon: Duration::from_secs(60),
        timing: Timing::Total,
        error_rate: Limit::default(),
        timeout_rate: Limit::default(),
        latency: Limit::default(),
        quantiles: Vec::new(),
        saturation_max: None,
        diff_rate_max: None,
        kpis: Vec::new(),
        risk_errors: 0.0005,
        risk_latency: 0.005,
    }
}

const fn weight(percent: u32) -> Stage {
    Stage::Weight(Share(percent * 1000))
}

fn three() -> Rollout {
    plan(&[(weight(5), 10), (weight(25), 10), (weight(100), 10)])
}

fn proven() -> Facts {
    Facts {
        outcome: Outcome::Proven("proven".to_owned()),
        fuse: None,
        healthy: Arms { canary: 2, stable: 2 },
        saturation: Arms::default(),
        diff_rate: None,
        requests: Arms { canary: 1000, stable: 1000 },
        stop_line: None,
        in_force: Share::NONE,
        wall: 0,
    }
}

/// A rollout, what it is told, and its time.
struct Run {
    plan: Rollout,
    controller: Controller,
    facts: Facts,
    now: u64,
    events: Vec<Event>,
}

impl Run {
    fn started(plan: Rollout) -> Self {
        let (controller, facts) = (Controller::default(), proven());
        let mut run = Self { plan, controller, facts, now: 1_795_392_000, events: Vec::new() };
        run.order(Verb::Start).unwrap();
        run
    }

    fn order(&mut self, verb: Verb) -> Result<usize, Refusal> {
        let order = Order { verb, by: "uid 7".to_owned(), reason: String::new() };
        let actions = self.controller.order(&self.plan, self.now, &self.facts, &order)?;
        Ok(self.take(actions).len())
    }

    fn take(&mut self, actions: Vec<Action>) -> Vec<Action> {
        self.facts.in_force = self.controller.state().weight();
        let told = actions.iter().filter_map(|action| {
            let Action::Tell(event) = action else { return None };
            Some(event.clone())
        });
        self.events.extend(told);
        actions
    }

    fn tick(&mut self) -> Vec<Action> {
        self.now += 1;
        let actions = self.controller.tick(&self.plan, self.now, &self.facts);
        self.take(actions)
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.tick();
        }
    }

    fn phase(&self) -> Phase {
        self.controller.state().phase
    }

    fn percent(&self) -> u32 {
        self.controller.state().weight_parts / 1000
    }
}

#[test]
fn a_good_canary_goes_to_100_percent_and_is_watched() {
    let mut run = Run::started(three());
    let mut weights = Vec::new();
    for _ in 0..40 {
        run.tick();
        if weights.last() != Some(&run.percent()) {
            weights.push(run.percent());
        }
    }
    assert_eq!(weights, [5, 25, 100]);
    assert_eq!(run.phase(), Phase::Promoted);
    assert!(run.controller.is_watching(&run.plan));
    run.pass(120);
    assert!(!run.controller.owns_split(&run.plan));
    let steps: Vec<usize> = run.events.iter().map(|event| event.step).collect();
    assert_eq!(steps, [0, 1, 2, 3, 3]);
}

#[test]
fn a_doubt_that_nothing_could_end_does_not_hold() {
    let mut run = Run::started(three());
    run.tick();
    run.pass(24);
    assert_eq!((run.percent(), run.phase()), (100, Phase::Running));
    run.facts.outcome = Outcome::Doubt("both degraded, when stable was last seen".to_owned());
    run.pass(12);
    assert_eq!(run.phase(), Phase::Promoted);
}

#[test]
fn the_first_step_needs_no_evidence_and_a_hold_needs_its_time() {
    let mut run = Run::started(three());
    run.facts.outcome = Outcome::Open("nothing yet".to_owned());
    run.tick();
    assert_eq!(run.percent(), 5);
    run.pass(30);
    assert_eq!((run.percent(), run.phase()), (5, Phase::Running));
    assert!(run.controller.state().why.contains("nothing yet"));
    run.facts.outcome = Outcome::Proven("now".to_owned());
    run.tick();
    assert_eq!(run.percent(), 25);
    run.pass(9);
    assert_eq!(run.percent(), 25);
    run.pass(2);
    assert_eq!(run.percent(), 100);
}

#[test]
fn time_counts_only_while_the_weight_is_in_force() {
    let mut run = Run::started(three());
    run.tick();
    for _ in 0..100 {
        run.now += 1;
        run.facts.in_force = Share::NONE;
        run.controller.tick(&run.plan, run.now, &run.facts);
    }
    assert_eq!((run.percent(), run.controller.state().served), (5, 0));
    // A process that was stopped for an hour has served for none of it.
    run.facts.in_force = Share(5_000);
    run.now += 3_600;
    run.tick();
    assert!(run.controller.state().served <= LEAP_MAX);
}

#[test]
fn what_is_missing_holds_and_says_so() {
    type Spoil = fn(&mut Run);
    let table: [(Spoil, Block, &str); 8] = [
        (|run| run.facts.outcome = Outcome::Silent("quiet".to_owned()), Block::NoTraffic, "quiet"),
        (|run| run.facts.outcome = Outcome::Doubt("both".to_owned()), Block::Doubt, "both"),
        (|run| run.facts.healthy.canary = 0, Block::NoEndpoint, "no healthy endpoint"),
        (|run| run.facts.stop_line = Some("peak".to_owned()), Block::StopLine, "peak"),
        (
            |run| {
                run.plan.windows = vec![Window { days: [false; 7], from: 0, to: 1440 }];
            },
            Block::Window,
            "window",
        ),
        (
            |run| {
                run.plan.gate.saturation_max = Some(Share(80_000));
                run.facts.saturation.canary = Some(0.9);
            },
            Block::Saturated,
            "90 % full",
        ),
        (
            |run| {
                run.plan.gate.diff_rate_max = Some(Share(100));
                run.facts.diff_rate = Some(0.02);
            },
            Block::Different,
            "2 % of the copies",
        ),
        (
            |run| {
                run.facts.saturation.stable = Some(0.8);
                run.facts.healthy = Arms { canary: 1, stable: 5 };
            },
            Block::Capacity,
            "would be 105 % full",
        ),
    ];
    for (spoil, block, words) in table {
        let mut run = Run::started(three());
        run.tick();
        spoil(&mut run);
        run.pass(15);
        assert_eq!(run.phase(), Phase::Holding(block));
        assert!(run.controller.state().why.contains(words), "{}", run.controller.state().why);
        assert_eq!(run.percent(), 5);
        // It ends by itself.
        run.facts = Facts { in_force: run.facts.in_force, ..proven() };
        run.plan.windows.clear();
        run.tick();
        run.tick();
        assert_eq!(run.percent(), 25, "{block:?}");
    }
}

#[test]
fn a_rollback_is_armed_wherever_it_stands() {
    type Into = fn(&mut Run);
    let places: [Into; 5] = [
        |_| {},
        |run| drop(run.order(Verb::Pause)),
        |run| run.plan.steps[0].approve = true,
        |run| run.facts.stop_line = Some("peak".to_owned()),
        |run| run.plan.windows = vec![Window { days: [false; 7], from: 0, to: 1440 }],
    ];
    for into in places {
        for worse in [true, false] {
            let mut run = Run::started(three());
            run.tick();
            into(&mut run);
            run.pass(15);
            assert!(run.percent() > 0);
            if worse {
                run.facts.outcome = Outcome::Worse("3 times the errors".to_owned());
            } else {
                run.facts.fuse = Some("20 bad answers".to_owned());
            }
            let actions = run.tick();
            let cause = if worse { Cause::Judge } else { Cause::Fuse };
            assert_eq!(run.phase(), Phase::RolledBack(cause));
            assert_eq!(actions[0], Action::SetWeight(Share::NONE));
        }
    }
}

#[test]
fn a_freeze_refuses_even_a_rollback_and_tells_it_once() {
    let mut run = Run::started(three());
    run.tick();
    run.order(Verb::Freeze).unwrap();
    run.facts.fuse = Some("20 bad answers".to_owned());
    assert!(!run.controller.is_armed(&run.plan));
    assert_eq!((run.tick().len(), run.tick().len()), (1, 0));
    assert_eq!(run.order(Verb::Abort), Err(Refusal::Frozen));
    assert_eq!(run.percent(), 5);
    run.order(Verb::Resume).unwrap();
    run.tick();
    assert_eq!(run.phase(), Phase::RolledBack(Cause::Fuse));
}

#[test]
fn a_worse_canary_may_also_be_held() {
    let mut run = Run::started(three());
    run.plan.on.fail = OnFail::Hold;
    run.tick();
    run.facts.outcome = Outcome::Worse("worse".to_owned());
    run.tick();
    assert_eq!((run.phase(), run.percent()), (Phase::Holding(Block::Worse), 5));
    run.facts.fuse = Some("dead".to_owned());
    run.tick();
    assert_eq!(run.phase(), Phase::RolledBack(Cause::Fuse));
}

#[test]
fn a_step_over_time_does_what_the_plan_says() {
    for (what, phase, percent) in [
        (OnInconclusive::Hold, Phase::Holding(Block::Unproven), 5),
        (OnInconclusive::Rollback, Phase::RolledBack(Cause::Inconclusive), 0),
        (OnInconclusive::Advance, Phase::Running, 25),
    ] {
        let mut run = Run::started(three());
        run.plan.on.inconclusive = what;
        run.tick();
        run.facts.requests.canary = 3;
        run.pass(599);
        assert_eq!((run.phase(), run.percent()), (Phase::Running, 5));
        run.pass(1);
        assert_eq!((run.phase(), run.percent()), (phase, percent));
        let why = &run.controller.state().why;
        assert!(why.contains("3 of min_requests"), "{why}");
    }
}

#[test]
fn resume_gives_a_step_its_whole_time_again() {
    let mut run = Run::started(three());
    run.tick();
    run.facts.requests.canary = 3;
    run.pass(610);
    assert_eq!(run.phase(), Phase::Holding(Block::Unproven));
    run.order(Verb::Resume).unwrap();
    run.pass(590);
    assert_eq!(run.phase(), Phase::Running);
    run.facts.requests.canary = 300;
    run.tick();
    assert_eq!(run.percent(), 25);
}

#[test]
fn a_person_approves_and_promotes() {
    let mut run = Run::started(three());
    run.plan.steps[0].approve = true;
    run.tick();
    run.pass(100);
    assert_eq!((run.phase(), run.percent()), (Phase::Waiting, 5));
    run.order(Verb::Approve).unwrap();
    run.tick();
    assert_eq!(run.percent(), 25);
    run.order(Verb::Promote(Some(2))).unwrap();
    assert_eq!(run.order(Verb::Promote(Some(2))), Ok(0));
    assert_eq!(run.percent(), 100);
    assert!(run.controller.state().why.contains("by hand"));
    let mut run = Run::started(three());
    run.facts.stop_line = Some("peak".to_owned());
    assert!(matches!(run.order(Verb::PromoteFull), Err(Refusal::StopLine(_))));
    run.facts.stop_line = None;
    run.order(Verb::PromoteFull).unwrap();
    assert_eq!((run.phase(), run.percent()), (Phase::Promoted, 100));
    run.order(Verb::Abort).unwrap();
    assert_eq!((run.phase(), run.percent()), (Phase::Aborted, 0));
}

#[test]
fn shadows_come_first_and_silence_is_no_proof() {
    let shadow = Stage::Shadow(Share(5_000));
    let mut run = Run::started(plan(&[(shadow, 10), (weight(5), 10)]));
    run.plan.gate.diff_rate_max = Some(Share(100));
    run.facts.requests = Arms::default();
    run.tick();
    assert_eq!((run.phase(), run.percent()), (Phase::Shadowing, 0));
    assert_eq!(run.controller.shadow(&run.plan), Some(Share(5_000)));
    run.pass(60);
    assert_eq!(run.phase(), Phase::Shadowing);
    run.facts.requests.canary = 500;
    run.tick();
    assert!(run.controller.state().why.contains("no copy"), "{:?}", run.controller.state());
    run.facts.diff_rate = Some(0.0);
    run.tick();
    assert_eq!((run.phase(), run.percent()), (Phase::Running, 5));
    run.facts.requests = proven().requests;
    run.pass(30);
    assert_eq!((run.phase(), run.percent()), (Phase::Waiting, 5));
    run.order(Verb::Promote(None)).unwrap();
    assert_eq!((run.phase(), run.percent()), (Phase::Promoted, 100));
}

fn probe() -> Probe {
    Probe {
        name: "cart".into(),
        method: "GET".into(),
        path: "/cart".into(),
        host: None,
        headers: Vec::new(),
        body: None,
        status: vec![(200, 299)],
        contains: None,
        timeout: Duration::from_secs(1),
    }
}

#[test]
fn tests_and_confirmation_come_before_every_raise() {
    let mut run = Run::started(three());
    run.plan.tests = vec![probe()];
    run.plan.on.confirm = Some("http://127.0.0.1:1/".into());
    assert_eq!(run.tick(), [Action::RunTests]);
    assert!(run.tick().is_empty());
    let epoch = run.controller.state().epoch;
    run.controller.tested(epoch + 1, run.now, Ok(()));
    assert!(run.tick().is_empty());
    run.controller.tested(epoch, run.now, Ok(()));
    assert_eq!(run.tick(), [Action::AskConfirm]);
    run.controller.confirmed(epoch, run.now, Err("403".to_owned()));
    run.tick();
    assert_eq!(run.phase(), Phase::Holding(Block::Confirm));
    run.pass(28);
    assert_eq!(run.tick(), [Action::AskConfirm]);
    run.controller.confirmed(epoch, run.now, Ok(()));
    run.tick();
    assert_eq!(run.percent(), 5);
    run.pass(9);
    assert_eq!(run.tick(), [Action::RunTests]);
}

#[test]
fn tests_that_fail_three_times_are_a_verdict() {
    let mut run = Run::started(three());
    run.plan.tests = vec![probe()];
    run.tick();
    for _ in 0..3 {
        let epoch = run.controller.state().epoch;
        run.controller.tested(epoch, run.now, Err("cart: status 500".to_owned()));
        run.pass(11);
    }
    assert_eq!(run.phase(), Phase::RolledBack(Cause::Tests));
    assert!(run.controller.state().why.contains("status 500"));
}

#[test]
fn a_change_starts_it_after_the_cooldown() {
    let mut run = Run::started(three());
    run.tick();
    run.facts.fuse = Some("dead".to_owned());
    run.tick();
    run.facts.fuse = None;
    run.controller.changed();
    run.pass(290);
    assert!(!run.phase().is_active());
    run.pass(20);
    assert!(run.phase().is_active());
    assert_eq!(run.controller.state().generation, 2);
}

#[test]
fn another_plan_never_raises() {
    let mut run = Run::started(three());
    run.pass(15);
    assert_eq!(run.percent(), 25);
    let place = |run: &Run| (run.controller.state().step, run.percent());
    for (steps, expected) in [
        (vec![(weight(5), 10), (weight(25), 99), (weight(100), 1)], (2, 25)),
        (vec![(weight(1), 10), (weight(10), 10), (weight(50), 10)], (2, 10)),
        (vec![(weight(50), 10), (weight(100), 10)], (1, 10)),
    ] {
        run.plan = plan(&steps);
        let actions = run.controller.follow(&run.plan, run.now);
        run.take(actions);
        assert_eq!(place(&run), expected);
    }
}

#[test]
fn what_is_lost_begins_at_nothing_and_held() {
    let mut run = Run::started(three());
    run.controller = Controller::lost(run.now, "history lost");
    run.pass(100);
    assert_eq!((run.phase(), run.percent()), (Phase::Holding(Block::Lost), 0));
    assert!(run.order(Verb::Promote(None)).is_err());
    run.order(Verb::Resume).unwrap();
    run.tick();
    assert_eq!(run.percent(), 5);
}

#[test]
fn a_state_survives_being_written_down() {
    let mut run = Run::started(three());
    run.plan.windows = vec![Window { days: [false; 7], from: 0, to: 1440 }];
    run.pass(3);
    let text = serde_json::to_string(run.controller.state()).unwrap();
    assert!(text.contains("{\"holding\":\"window\"}"), "{text}");
    let state: State = serde_json::from_str(&text).unwrap();
    assert_eq!(state, *run.controller.state());
}

mod random;
