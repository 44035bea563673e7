//! Whatever happens, in whatever order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Input {
    Tick(Facts),
    Say(Verb),
    Answer(bool),
    Change,
}

fn facts() -> impl Strategy<Value = Facts> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Proven("p".to_owned())),
        2 => Just(Outcome::Open("o".to_owned())),
        1 => Just(Outcome::Silent("s".to_owned())),
        1 => Just(Outcome::Doubt("d".to_owned())),
        1 => Just(Outcome::Worse("w".to_owned())),
    ];
    (outcome, 0..40_u8, 0..10_u8, 0..10_u8).prop_map(|(outcome, fuse, line, healthy)| Facts {
        outcome,
        fuse: (fuse == 0).then(|| "fuse".to_owned()),
        healthy: Arms { canary: u32::from(healthy > 0), stable: 1 },
        stop_line: (line == 0).then(|| "line".to_owned()),
        ..proven()
    })
}

fn input() -> impl Strategy<Value = Input> {
    let verb = prop_oneof![
        Just(Verb::Start),
        Just(Verb::Pause),
        Just(Verb::Resume),
        Just(Verb::Approve),
        (0..4_usize).prop_map(|step| Verb::Promote(Some(step))),
        Just(Verb::PromoteFull),
        Just(Verb::Abort),
        Just(Verb::Freeze),
    ];
    prop_oneof![
        12 => facts().prop_map(Input::Tick),
        3 => verb.prop_map(Input::Say),
        2 => any::<bool>().prop_map(Input::Answer),
        1 => Just(Input::Change),
    ]
}

/// What always holds.
fn check(run: &Run) {
    let state = run.controller.state();
    let step = state.step.checked_sub(1).map(|step| weight_of(run.plan.steps[step].to));
    let ceiling = match (state.phase, step) {
        (Phase::Promoted, _) => Share::WHOLE,
        (phase, Some(weight)) if phase.is_active() => weight,
        (..) => Share::NONE,
    };
    assert!(state.weight() <= ceiling, "{state:?}");
    if state.phase.is_active() && !state.frozen {
        let mut other = run.controller.clone();
        let facts = Facts { fuse: Some("f".to_owned()), ..proven() };
        other.tick(&run.plan, run.now, &facts);
        assert_eq!(other.state().phase, Phase::RolledBack(Cause::Fuse), "{state:?}");
        let mut other = run.controller.clone();
        let order = Order { verb: Verb::Abort, by: String::new(), reason: String::new() };
        other.order(&run.plan, run.now, &proven(), &order).unwrap();
        assert_eq!(other.state().weight(), Share::NONE);
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_weight_is_never_above_the_step(
        inputs in prop::collection::vec(input(), 1..200),
        approve in any::<bool>(),
        tests in any::<bool>(),
        short in any::<bool>(),
    ) {
        let shadow = Stage::Shadow(Share(5_000));
        let mut plan = plan(&[(shadow, 2), (weight(5), 3), (weight(25), 3), (weight(100), 3)]);
        plan.steps.truncate(if short { 3 } else { 4 });
        plan.steps[1].approve = approve;
        plan.max = Duration::from_secs(10);
        if tests {
            plan.tests = vec![probe()];
        }
        let mut run = Run::started(plan);
        for input in inputs {
            match input {
                Input::Tick(facts) => {
                    run.facts = Facts { in_force: run.facts.in_force, ..facts };
                    run.tick();
                }
                Input::Say(verb) => {
                    let first = run.order(verb);
                    let state = run.controller.state().clone();
                    // A promotion that names its step is done once.
                    if first.is_ok() && verb != Verb::Resume {
                        prop_assert_eq!(run.order(verb), Ok(0));
                    }
                    prop_assert_eq!(&state, run.controller.state());
                }
                Input::Answer(yes) => {
                    let epoch = run.controller.state().epoch;
                    let result = if yes { Ok(()) } else { Err("no".to_owned()) };
                    run.controller.tested(epoch, run.now, result);
                }
                Input::Change => run.controller.changed(),
            }
            check(&run);
        }
    }
}
