//! What is written is read again, and what is damaged is put aside.

use std::{fs, path::PathBuf};

use gnomon_policy::{
    judge::Tally,
    rollout::{Phase, State},
};

use super::*;

fn file(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("gnomon-rollouts-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder.join("rollout.db")
}

fn kept(step: usize) -> Kept {
    let state = State { phase: Phase::Running, step, weight_parts: 5_000, ..State::default() };
    let ends = ("shop@v1".to_owned(), "shop@v2".to_owned());
    Kept { state, ends, endpoints: vec!["10.0.0.1:80".to_owned()], ..Kept::default() }
}

fn record(step: usize) -> Record {
    let event = Event {
        at: 7,
        generation: 1,
        from: Phase::Idle,
        to: Phase::Running,
        step_from: 0,
        step,
        weight_from: 0,
        weight: 5_000,
        why: "started".to_owned(),
        by: "uid 7".to_owned(),
    };
    let (rollout, config) = ("shop".to_owned(), "abc".to_owned());
    Record { id: 0, rollout, event, report: serde_json::json!({"e": 12.5}), config }
}

fn cohort(second: u64) -> Cohort {
    let canary = Tally { assigned: second % 7, times: vec![(90, 3), (101, 2)], ..Tally::default() };
    Cohort { second, epoch: 1, weight: 0.05, canary, stable: Tally::default() }
}

fn batch(step: usize, seconds: std::ops::Range<u64>) -> Batch {
    let cohorts = seconds.map(cohort).collect();
    let evidence = Evidence { generation: 1, judge: "{\"k\":1}".to_owned(), cohorts };
    Batch {
        kept: [("shop".to_owned(), kept(step))].into(),
        records: vec![record(step)],
        evidence: vec![("shop".to_owned(), evidence)],
        line: None,
    }
}

#[test]
fn what_was_written_is_read_again() {
    let path = file("again");
    assert_eq!(load(&path, 0), Saved::default());
    let mut store = Store::open(&path).unwrap();
    store.write(&batch(1, 0..10), 100).unwrap();
    let line = Line { reason: "peak".to_owned(), by: "uid 7".to_owned(), since: 5 };
    let stopped = Batch { line: Some(Some(line.clone())), ..batch(2, 10..20) };
    store.write(&stopped, 100).unwrap();
    // As after kill -9: nobody has closed anything.
    let saved = load(&path, 0);
    assert_eq!((saved.line, saved.lost), (Some(line), None));
    let (was, judge) = &saved.rollouts["shop"];
    assert_eq!(*was, kept(2));
    assert_eq!(judge.as_ref().unwrap().judge, "{\"k\":1}");
    let (total, records) = history(&path, "shop", 0, 1).unwrap();
    assert_eq!((total, records.len(), records[0].event.step), (2, 1, 2));
    assert!(records[0].id > 0);
    let mut seconds = Vec::new();
    evidence(&path, "shop", 1, &mut |cohort| seconds.push(cohort.second)).unwrap();
    assert_eq!(seconds, (0..20).collect::<Vec<_>>());
    store.write(&Batch { line: Some(None), ..Batch::default() }, 100).unwrap();
    assert_eq!(load(&path, 0).line, None);
}

#[test]
fn old_evidence_makes_room() {
    let path = file("room");
    let mut store = Store::open(&path).unwrap();
    store.write(&batch(1, 0..10), 100).unwrap();
    store.write(&batch(1, 1_000..1_010), EVIDENCE_AGE + 500).unwrap();
    let mut first = None;
    evidence(&path, "shop", 1, &mut |cohort| first = first.or(Some(cohort.second))).unwrap();
    assert_eq!(first, Some(1_000));
    assert_eq!(history(&path, "shop", 0, 9).unwrap().0, 2);
}

#[test]
fn a_damaged_file_is_put_aside_and_told() {
    let path = file("damaged");
    fs::write(&path, vec![7_u8; 8192]).unwrap();
    let saved = load(&path, 42);
    assert!(saved.lost.unwrap().contains(".corrupt-42"));
    assert!(!path.exists());
    Store::open(&path).unwrap().write(&batch(1, 0..1), 100).unwrap();
    assert_eq!(load(&path, 0).rollouts.len(), 1);
}

#[test]
fn what_could_not_be_written_goes_before_what_came_since() {
    let mut later = batch(2, 10..20);
    Store::precede(&mut later, batch(1, 0..10));
    let steps: Vec<usize> = later.records.iter().map(|record| record.event.step).collect();
    assert_eq!((steps, later.kept["shop"].state.step), (vec![1, 2], 2));
    assert_eq!(later.evidence[0].1.cohorts[0].second, 0);
}
