//! The chances that are told are those with which users are drawn.

use std::sync::Arc;

use gnomon_config::model::{
    Key, Share,
    flag::{Flag as Written, Flags, Place, Portion, Rule, VariantValue},
};
use serde_json::json;

use super::*;
use crate::{FlagIx, FlagSet, JsonContext, Overrides, flagd::Definitions};

const NOW: u64 = 1_000_000;

fn rule(users: &[&str], portion: Option<Portion>, serve: &[(usize, u32)]) -> Rule {
    let users = users.iter().map(|user| Arc::from(*user)).collect();
    Rule { groups: vec![], not: vec![], users, portion, serve: serve.to_vec() }
}

fn fixed(share: u32) -> Option<Portion> {
    Some(Portion::Fixed(Share(share)))
}

fn set(rules: Vec<Rule>) -> FlagSet {
    let options = gnomon_config::Options::default();
    let text = "listen = \"127.0.0.1:0\"";
    let mut config = gnomon_config::parse("test", text, &options).expect("it is one").config;
    let flag = Written {
        name: "f".into(),
        enabled: true,
        variants: ["off", "on", "more"]
            .map(|name| (name.into(), VariantValue::Text(name.into())))
            .into(),
        default: 0,
        by: None,
        salt: "f".into(),
        rules,
        start: None,
        end: None,
        owner: "".into(),
        description: "".into(),
        expires: None,
        judge: None,
    };
    let by = Some(Place::Key(Key::Header("x-user".into())));
    config.flags = Flags { own: vec![flag], by, ..Flags::default() };
    FlagSet::compile(Arc::new(config), &Definitions::default(), &Overrides::default())
        .expect("it is one")
}

/// Of many users: those who get the variant, those who get the default, and the chances of the first
/// that is drawn.
fn drawn(set: &FlagSet, reach: u32) -> (f64, f64, f64) {
    let pair = Pair { variant: 1, default: 0, reach };
    let (mut on, mut off, mut weight) = (0.0, 0.0, 0.0);
    for user in 0..20_000 {
        let said = json!({ "targetingKey": format!("u{user}") });
        let context = JsonContext { terms: set.terms(), said: said.as_object().expect("a table") };
        let resolution = set.evaluate(FlagIx(0), &context, NOW);
        let memberships = Memberships::default();
        let Some(draw) = set.draw(FlagIx(0), pair, &context, NOW, &memberships) else { continue };
        weight = draw.weight;
        match resolution.variant {
            Some(1) => on += 1.0,
            Some(0) => off += 1.0,
            _ => {}
        }
    }
    (on, off, weight)
}

#[test]
fn chances_are_what_becomes_of_many() {
    let ramp = Portion::Ramp { from: Share(0), to: Share(40_000), start: NOW - 10, end: NOW + 10 };
    let table = [
        (vec![rule(&[], fixed(30_000), &[(1, 1)])], 0, Some(0.3)),
        (vec![rule(&[], fixed(30_000), &[(1, 1)])], 20_000, Some(0.125)),
        (vec![rule(&[], fixed(30_000), &[(1, 1)])], 30_000, None),
        (vec![rule(&[], None, &[(1, 1), (0, 3)])], 0, Some(0.25)),
        (vec![rule(&[], None, &[(1, 1), (0, 1), (2, 2)])], 0, Some(0.5)),
        (vec![rule(&[], Some(ramp), &[(1, 1)])], 0, Some(0.2)),
        (vec![rule(&[], None, &[(1, 1)])], 0, None),
        (vec![rule(&["u1"], None, &[(1, 1)]), rule(&[], fixed(10_000), &[(1, 1)])], 0, Some(0.1)),
        (
            vec![rule(&[], fixed(10_000), &[(2, 1)]), rule(&[], fixed(60_000), &[(1, 1)])],
            0,
            Some(5.0 / 9.0),
        ),
        (
            vec![rule(&[], fixed(60_000), &[(1, 1)]), rule(&[], fixed(10_000), &[(0, 1)])],
            0,
            Some(0.6),
        ),
    ];
    for (rules, reach, expected) in table {
        let told = format!("{rules:?} from {reach}");
        let (on, off, weight) = drawn(&set(rules), reach);
        match expected {
            None => assert_eq!((on, off), (0.0, 0.0), "{told}"),
            Some(expected) => {
                assert!((weight - expected).abs() < 1e-9, "{told}: {weight}");
                let share = on / (on + off);
                assert!((share - expected).abs() < 0.02, "{told}: {share} of {}", on + off);
            }
        }
    }
}

#[test]
fn who_may_have_had_it_is_known() {
    let one = set(vec![rule(&[], fixed(30_000), &[(1, 1)]), rule(&[], None, &[(1, 1), (0, 1)])]);
    assert_eq!(one.reach(FlagIx(0), 1, NOW), 30_000);
    assert_eq!(one.reach(FlagIx(0), 2, NOW), 0);
}
