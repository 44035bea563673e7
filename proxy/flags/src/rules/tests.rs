//! Who gets what as shares grow: nobody is moved back, and flags know nothing of each other unless
//! they are told to.

use std::{fmt::Write as _, sync::Arc};

use gnomon_config::{Config, Options};
use serde_json::{Map, Value, json};

use crate::{
    FlagSet, JsonContext, Override, Overrides, Resolution, context::TARGETING_KEY,
    flagd::Definitions,
};

/// Flags of a configuration, each with this inside.
fn config(flags: &[(&str, &str)]) -> Arc<Config> {
    let mut text = String::from(
        "listen = \"127.0.0.1:8080\"\nroute.a.respond.status = 204\nflags.by = \"cookie:uid\"\n",
    );
    for (name, inside) in flags {
        let _ = writeln!(text, "[flag.{name}]\n{inside}");
    }
    match gnomon_config::parse("test", &text, &Options::default()) {
        Ok(loaded) => Arc::new(loaded.config),
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

fn set(flags: &[(&str, &str)], overrides: &Overrides) -> FlagSet {
    let set = FlagSet::compile(config(flags), &Definitions::default(), overrides);
    set.expect("it is right")
}

fn users(number: u32) -> Vec<Map<String, Value>> {
    let user = |user| Map::from_iter([(TARGETING_KEY.to_owned(), json!(format!("user-{user}")))]);
    (0..number).map(user).collect()
}

fn ask(set: &FlagSet, name: &str, said: &Map<String, Value>, now: u64) -> Resolution {
    let flag = set.find(name).expect("there is such a flag");
    set.evaluate(flag, &JsonContext { terms: set.terms(), said }, now)
}

fn variant<'a>(set: &'a FlagSet, name: &str, said: &Map<String, Value>, now: u64) -> &'a str {
    let flag = set.flag(set.find(name).expect("there is such a flag"));
    let variant = ask(set, name, said, now).variant.expect("it has a default");
    &flag.variants[usize::from(variant)].name
}

/// A bit for each user: whether the flag is on.
fn on(set: &FlagSet, name: &str, users: &[Map<String, Value>], now: u64) -> Vec<bool> {
    users.iter().map(|user| variant(set, name, user, now) == "on").collect()
}

fn count(bits: &[bool]) -> usize {
    bits.iter().filter(|bit| **bit).count()
}

/// Whether whoever was in is in.
fn keeps(before: &[bool], after: &[bool]) -> bool {
    before.iter().zip(after).all(|(before, after)| *after || !before)
}

#[test]
fn a_share_that_grows_moves_nobody_back() {
    let users = users(100_000);
    let mut before = vec![false; users.len()];
    for percent in [1, 2, 3, 5, 8, 13, 21, 34, 55, 80, 99, 100] {
        let flag = format!("percent = {percent}");
        let after = on(&set(&[("cart", &flag)], &Overrides::default()), "cart", &users, 0);
        assert!(keeps(&before, &after), "somebody was moved back at {percent} %");
        let share = count(&after) as f64 / users.len() as f64;
        assert!((share - f64::from(percent) / 100.0).abs() < 0.005, "{share} for {percent} %");
        before = after;
    }
    assert_eq!(count(&before), users.len());
}

#[test]
fn a_ramp_moves_nobody_back() {
    let ramp = "percent = { from = 1, to = 100, start = \"1970-01-01T00:00:00Z\", \
                end = \"1970-01-01T00:16:40Z\" }";
    let set = set(&[("cart", ramp)], &Overrides::default());
    let users = users(2000);
    let mut before = vec![false; users.len()];
    for now in (0..=1000).step_by(10) {
        let after = on(&set, "cart", &users, now);
        assert!(keeps(&before, &after), "somebody was moved back after {now} s");
        before = after;
    }
    assert_eq!(count(&before), users.len());
}

#[test]
fn a_share_that_people_change_moves_nobody_back() {
    let users = users(5000);
    let mut before = vec![false; users.len()];
    for share in (0..=100_000).step_by(5000) {
        let change = Override { share: Some(share), ..Override::default() };
        let overrides = Overrides([("cart".to_owned(), change)].into());
        let after = on(&set(&[("cart", "percent = 50")], &overrides), "cart", &users, 0);
        assert!(keeps(&before, &after), "somebody was moved back at {share}");
        before = after;
    }
    assert_eq!(count(&before), users.len());
}

#[test]
fn users_keep_their_variant_as_the_share_grows() {
    let users = users(20_000);
    let mut before: Vec<&str> = vec!["none"; users.len()];
    let sets: Vec<FlagSet> = [5, 20, 50, 80, 100]
        .map(|percent| {
            let flag = format!(
                "variants = {{ none = 0, a = 1, b = 2, c = 3 }}\ndefault = \"none\"\n\
                 rules = [{{ percent = {percent}, serve = {{ a = 1, b = 2, c = 3 }} }}]"
            );
            set(&[("cart", &flag)], &Overrides::default())
        })
        .into();
    for set in &sets {
        for (user, before) in users.iter().zip(&mut before) {
            let after = variant(set, "cart", user, 0);
            assert!(*before == "none" || *before == after, "{user:?}: {before} became {after}");
            *before = after;
        }
    }
    for (name, weight) in [("none", 0.0), ("a", 1.0), ("b", 2.0), ("c", 3.0)] {
        let share = before.iter().filter(|it| **it == name).count() as f64 / users.len() as f64;
        assert!((share - weight / 6.0).abs() < 0.01, "{share} have {name}");
    }
}

/// How far two flags are from knowing nothing of each other: chi-square of one degree of freedom.
fn dependence(left: &[bool], right: &[bool]) -> f64 {
    let all = left.len() as f64;
    let mut cells = [[0.0_f64; 2]; 2];
    for (left, right) in left.iter().zip(right) {
        cells[usize::from(*left)][usize::from(*right)] += 1.0;
    }
    let row = |at: usize| cells[at][0] + cells[at][1];
    let column = |at: usize| cells[0][at] + cells[1][at];
    let mut sum = 0.0;
    for (left, of) in cells.iter().enumerate() {
        for (right, seen) in of.iter().enumerate() {
            let expected = row(left) * column(right) / all;
            sum += (seen - expected).powi(2) / expected;
        }
    }
    sum
}

#[test]
fn flags_know_nothing_of_each_other_unless_they_share_a_salt() {
    let flags = [
        ("a", "percent = 50"),
        ("b", "percent = 50"),
        ("c", "percent = 10"),
        ("d", "percent = 50\nsalt = \"shop\""),
        ("e", "percent = 50\nsalt = \"shop\""),
        ("f", "percent = 20\nsalt = \"shop\""),
    ];
    let set = set(&flags, &Overrides::default());
    let users = users(100_000);
    let on = |name| on(&set, name, &users, 0);
    let [a, b, c, d, e, f] = ["a", "b", "c", "d", "e", "f"].map(on);
    // One in a thousand that are independent is above this; these are always the same.
    for (name, left, right) in [("a b", &a, &b), ("a c", &a, &c), ("b c", &b, &c), ("a d", &a, &d)]
    {
        assert!(dependence(left, right) < 10.83, "{name}: {}", dependence(left, right));
    }
    assert_eq!(d, e);
    assert!(keeps(&f, &d) && count(&f) < count(&d), "the smaller share lies in the larger");
    assert!(dependence(&d, &f) > 1000.0);
}

#[test]
fn a_draw_of_flagd_that_grows_moves_nobody_back_either() {
    let users = users(5000);
    let mut before = vec![false; users.len()];
    for percent in (0..=100).step_by(5) {
        let file = json!({"flags": {"cart": {
            "state": "ENABLED", "variants": {"on": true, "off": false},
            "targeting": {"fractional": [["on", percent], ["off", 100 - percent]]},
        }}});
        let definitions = Definitions::parse(&file.to_string()).expect("it is right");
        let set = FlagSet::compile(config(&[]), &definitions, &Overrides::default());
        let after = on(&set.expect("it is right"), "cart", &users, 0);
        assert!(keeps(&before, &after), "somebody was moved back at {percent} %");
        before = after;
    }
    assert_eq!(count(&before), users.len());
}
