//! `gnomon demo`: each story ends as it promises, and both accounts agree.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::{gnomon, run, send};

/// One at a time: each keeps a core busy.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a story to its end; what it said last.
fn verdict_of(story: &[&str]) -> Json {
    let _alone = alone();
    // So few users have little under way at once: on a machine that is full, none waits for long.
    let asked = ["demo", "--json", "--rate", "500", "--users", "60"];
    let told = run(&[&asked, story].concat());
    let verdict: Json = serde_json::from_str(told.data.lines().last().unwrap()).unwrap();
    assert_eq!(verdict["event"], "verdict");
    assert_eq!(verdict["sound"], told.code == 0, "{told:?}");
    let promises = verdict["promises"].as_array().unwrap();
    // A machine that is full may be late; that is not for a test to say.
    let is_late = |it: &&Json| it["said"].as_str().unwrap().contains(" ms after v2 had broken");
    let broken: Vec<&Json> =
        promises.iter().filter(|it| it["kept"] != true && !is_late(it)).collect();
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(verdict["counted"], verdict["seen"], "{verdict}");
    assert_eq!(verdict["failed_by_proxy"], 0);
    verdict
}

#[test]
fn a_good_version_takes_over_by_itself() {
    let verdict = verdict_of(&[]);
    assert_eq!(verdict["phase"], "promoted");
    let said = verdict["verdict"].to_string();
    for step in ["ADVANCED to 25%", "ADVANCED to 50%", "ADVANCED to 100%"] {
        assert!(said.contains(step), "{said}");
    }
    assert!(verdict["orders"]["canary"]["bad"].as_u64().unwrap() > 0, "{verdict}");
}

#[test]
fn a_bad_version_is_rolled_back_by_the_judge() {
    let verdict = verdict_of(&["--bad"]);
    assert_eq!((&verdict["phase"], &verdict["cause"]), (&"rolled_back".into(), &"judge".into()));
    let said = verdict["verdict"][0].as_str().unwrap();
    assert!(said.starts_with("ROLLED BACK at ") && said.contains("the rule is 100 : 1"), "{said}");
}

#[test]
fn a_version_that_breaks_is_cut_off_by_the_fuse() {
    let verdict = verdict_of(&["--broken"]);
    assert_eq!((&verdict["phase"], &verdict["cause"]), (&"rolled_back".into(), &"fuse".into()));
    assert!((1..=30).contains(&verdict["bad_answers"].as_u64().unwrap()), "{verdict}");
}

#[test]
fn a_demo_that_is_cut_short_has_not_seen_what_it_promised() {
    let _alone = alone();
    let told = run(&["demo", "--seconds", "3", "--rate", "100", "--users", "20"]).is(1);
    assert!(told.data.contains("✗ BROKEN: the rollout is "), "{told:?}");
    assert!(told.data.contains("decision record"), "{told:?}");

    let mut command = gnomon(&["demo", "--bad", "--rate", "50", "--users", "20"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("gnomon rollout start v2")), "a start");
    send(&child, Signal::INT);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.contains("interrupted: the rollout is")), "{rest:#?}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn one_story_at_a_time() {
    run(&["demo", "--bad", "--broken"]).is(2);
    run(&["demo", "--bad", "--split"]).is(2);
    run(&["demo", "--canary", "20"]).is(2);
}
