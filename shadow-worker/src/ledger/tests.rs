//! Pairs of replies, and what is thought of them.

use std::slice::from_ref;

use bytes::Bytes;
use gnomon_config::model::{Keep, Redact, RedactStyle};

use super::*;
use crate::{
    bundle::Bundle,
    difference::{Aspect, Body, Kind},
    evidence::Rates,
    finding::Verdict,
    report::PathReport,
};

const KEEP: Keep = Keep { samples: 4, age: Duration::from_secs(3600), size: 1 << 20 };

fn rules() -> Redact {
    Redact {
        headers: vec!["authorization".into()],
        query: Vec::new(),
        json: Vec::new(),
        style: RedactStyle::Hash,
    }
}

/// A shadow `s` and what happens to it.
pub(crate) struct Scene {
    pub(crate) ledger: Ledger,
    request: Asked,
    reply: Reply,
    pub(crate) at: u64,
}

impl Scene {
    pub(crate) fn new(saved: Saved, keep: Keep) -> Self {
        let mut ledger = Ledger::new([1; 32], saved);
        ledger.open("s", keep, Redactor::new(&rules(), [1; 32]));
        let head = "POST /a?b HTTP/1.1\r\nauthorization: Bearer sesame-open\r\n\r\n";
        let request = Asked { head: head.into(), body: "sesame-open".into() };
        let bytes = Bytes::from("you said sesame-open");
        let body = Body { length: bytes.len() as u64, bytes, hash: None };
        let reply = Reply { head: "HTTP/1.1 200 OK\r\n\r\n".into(), body };
        Self { ledger, request, reply, at: 1_000_000 }
    }

    pub(crate) fn pair(&mut self, endpoint: &str, found: &[Difference], baseline: Baseline<'_>) {
        self.drawn(endpoint, found, Draw::Always, baseline);
    }

    fn drawn(&mut self, endpoint: &str, found: &[Difference], draw: Draw, baseline: Baseline<'_>) {
        self.at += 1;
        let pair = Pair {
            endpoint,
            request: &self.request,
            primary: &self.reply,
            shadow: &self.reply,
            second: None,
            found,
            draw,
            baseline,
            paths: &["status".into(), "$.a".into(), "$.b".into()],
            uncomparable: None,
            pace: None,
            versions: "v1 v2",
            config: "c",
            at: self.at,
        };
        self.ledger.record("s", &pair);
    }

    pub(crate) fn report(&mut self) -> Arc<ShadowReport> {
        self.ledger.report(self.at).shadows[0].clone()
    }

    fn verdict(&mut self, path: &str) -> Verdict {
        self.report().findings.iter().find(|one| &*one.path == path).unwrap().verdict
    }
}

pub(crate) fn differs(path: &str, shape: &str) -> Difference {
    Difference {
        path: path.into(),
        kind: Kind::Value,
        shape: shape.into(),
        primary: Some("one".into()),
        other: Some("sesame-open".into()),
    }
}

fn missing(path: &str) -> Difference {
    Difference { kind: Kind::Missing, other: None, ..differs(path, "string -") }
}

/// Chance from a seed.
struct Luck(rand_xoshiro::Xoshiro256PlusPlus);

impl Luck {
    fn from_seed(seed: [u8; 32]) -> Self {
        Self(rand_core::SeedableRng::from_seed(seed))
    }

    /// In `[0, 1)`.
    fn share(&mut self) -> f64 {
        f64::from(rand_core::Rng::next_u32(&mut self.0)) / (f64::from(u32::MAX) + 1.0)
    }
}

const SAME: Baseline<'static> = Baseline::Found(&[]);

fn scene() -> Scene {
    Scene::new(Saved::default(), KEEP)
}

#[test]
fn what_only_the_shadow_does_is_real_and_what_both_do_is_noise() {
    let mut scene = scene();
    let (real, noisy) = (differs("status", "200 → 500"), differs("$.a", "string"));
    for nth in 0..60 {
        let found = if nth % 2 == 0 { vec![real.clone(), noisy.clone()] } else { vec![] };
        let baseline = if nth % 2 == 1 { vec![noisy.clone()] } else { vec![] };
        scene.pair("GET /", &found, Baseline::Found(&baseline));
    }
    scene.pair("GET /", &[differs("$.late", "string")], SAME);
    assert_eq!(scene.verdict("status"), Verdict::Real);
    assert_eq!(scene.verdict("$.a"), Verdict::Noise);
    assert_eq!(scene.verdict("$.late"), Verdict::Undecided);
    let report = scene.report();
    assert_eq!(
        report.findings[0].rates,
        Rates { compared: 61, different: 30, asked: 61, noisy: 0 }
    );
    assert_eq!(report.paths.len(), 4);
    assert!(!report.endpoints[0].flagged, "some path is as noisy as the shadow is wrong");
    assert_eq!((report.totals.compared, report.totals.different), (61, 31));
}

#[test]
fn what_is_missing_is_found_though_its_value_is_never_twice_the_same() {
    let mut scene = scene();
    let (value, gone) = (differs("$.at", "string"), missing("$.at"));
    for _ in 0..40 {
        scene.pair("GET /", from_ref(&gone), Baseline::Found(from_ref(&value)));
    }
    let report = scene.report();
    let of = |aspect| report.paths.iter().find(|one| &*one.path == "$.at" && one.aspect == aspect);
    let (value, structure) = (of(Aspect::Value).unwrap(), of(Aspect::Structure).unwrap());
    assert_eq!((value.verdict, structure.verdict), (Verdict::Noise, Verdict::Real));
    assert_eq!((value.rates.different, value.rates.noisy), (0, 40));
    assert_eq!((structure.rates.different, structure.rates.noisy), (40, 0));
    assert_eq!(scene.verdict("$.at"), Verdict::Real);
    // Somebody's word is of the path as a whole.
    let mark = Command::Mark {
        pattern: "$..at".into(),
        kind: MarkKind::Noise,
        by: "ann".into(),
        why: "clock".into(),
    };
    scene.ledger.command("s", mark, 7).unwrap();
    assert!(scene.report().paths.iter().all(|one| one.verdict != Verdict::Real));
    scene.ledger.command("s", Command::Unmark { pattern: "$..at".into() }, 7).unwrap();
    scene.ledger.command("s", Command::Forget { path: Some("$.at".into()) }, 7).unwrap();
    scene.pair("GET /", &[gone], Baseline::Found(&[]));
    assert_eq!(scene.verdict("$.at"), Verdict::Undecided);
    let rates = |report: &PathReport| (report.rates.compared, report.rates.different);
    let report = scene.report();
    let counted = report.paths.iter().filter(|one| &*one.path == "$.at").map(rates);
    assert_eq!(counted.collect::<Vec<_>>(), [(1, 0), (1, 1)]);
}

#[test]
fn what_now_and_then_is_missing_on_both_sides_is_noise() {
    let mut scene = scene();
    for nth in 0..400 {
        let found = if nth % 3 == 0 { vec![missing("$.a")] } else { vec![] };
        let baseline = if nth % 3 == 1 { vec![missing("$.a")] } else { vec![] };
        scene.pair("GET /", &found, Baseline::Found(&baseline));
    }
    assert_eq!(scene.verdict("$.a"), Verdict::Noise);
}

#[test]
fn each_path_is_two_hypotheses() {
    let mut scene = scene();
    // Seven one-sided differences are enough against 3 paths, and not against twice as many.
    let needed = |scene: &mut Scene, path: &str| {
        (1..100).find(|_| {
            scene.pair("GET /", &[differs(path, "x")], SAME);
            scene.report().findings[0].verdict == Verdict::Real
        })
    };
    let count = needed(&mut scene, "$.a").unwrap();
    let report = scene.report();
    let first = report.paths.iter().find(|one| &*one.path == "$.a").unwrap();
    // 3 paths, 2 questions of each: 6 / 0.05.
    assert!(first.log_e >= 120_f64.ln(), "after {count}: {}", first.log_e);
    assert_eq!(report.paths.len(), 3);
}

#[test]
fn a_version_against_itself_is_never_found_different_over_100_000_pairs() {
    const NOISE: [(&str, f64); 3] = [("$.a", 0.5), ("$.b", 0.01), ("$.id", 1.0)];
    let mut luck = Luck::from_seed([3; 32]);
    let mut chance = |share: f64| luck.share() < share;
    let mut scene = Scene::new(Saved::default(), Keep { samples: 0, ..KEEP });
    let (mut fired, mut flagged) = (false, 0);
    for nth in 0..100_000 {
        let mut answer = || -> Vec<Difference> {
            let noisy = NOISE.into_iter().filter(|(_, share)| chance(*share));
            let mut found: Vec<_> = noisy.map(|(path, _)| differs(path, "string")).collect();
            found.extend(chance(0.005).then(|| missing("$.maybe")));
            found
        };
        let (found, second) = (answer(), answer());
        let draw = if nth < LEARNING { Draw::Always } else { Draw::Chance(0.2) };
        let asked = nth < LEARNING || chance(0.2);
        let baseline = if asked { Baseline::Found(&second) } else { Baseline::Unasked };
        scene.drawn("GET /", &found, draw, baseline);
        if nth % 50 == 49 {
            let report = scene.report();
            fired |= report.paths.iter().any(|path| path.plain_rule);
            flagged += report.paths.iter().filter(|path| path.verdict == Verdict::Real).count();
        }
    }
    let report = scene.report();
    assert!(report.findings.iter().all(|one| one.verdict != Verdict::Real));
    assert_eq!((report.findings.len(), flagged), (4, 0));
    assert!(fired, "the plain rule has no notion of chance");
}

#[test]
fn examples_are_bundles_without_secrets_and_few() {
    let mut scene = scene();
    for _ in 0..500 {
        scene.pair("GET /", &[differs("status", "a"), differs("status", "b")], SAME);
    }
    let report = scene.report();
    assert_eq!(report.examples.len(), 8);
    for example in &report.examples {
        assert!(!example.json.contains("sesame"), "{}", example.json);
        let bundle = Bundle::parse(example.json.as_bytes()).unwrap();
        assert_eq!((&*bundle.finding, &*bundle.name), (&*example.finding, "s"));
        let finding = report.findings.iter().find(|one| one.id == example.finding).unwrap();
        assert!(finding.examples.contains(&example.id));
    }
    let first = &report.findings[0].examples;
    assert!(first[..2].iter().all(|id| report.examples[..4].iter().any(|one| one.id == *id)));
    assert!(report.examples[7].nth > 8, "later ones have their chance");
}

#[test]
fn examples_have_a_size_and_findings_an_age() {
    let keep = Keep { size: 3000, ..KEEP };
    let mut scene = Scene::new(Saved::default(), keep);
    for nth in 0..20 {
        scene.pair("GET /", &[differs("status", &nth.to_string())], SAME);
    }
    let report = scene.report();
    let size: usize = report.examples.iter().map(|one| one.json.len()).sum();
    assert!(size <= 3000 && size > 1000);
    assert_eq!(report.totals.examples_over, 20 - report.examples.len() as u64);
    assert_eq!(report.examples.last().unwrap().nth, 19);
    scene.at += 3_600_000 - 10;
    assert_eq!(scene.report().findings.len(), 11);
    scene.at += 3_600_000;
    let report = scene.report();
    assert_eq!((report.findings.len(), report.examples.len(), report.paths.len()), (0, 0, 3));
}

#[test]
fn everything_has_a_most() {
    let mut scene = Scene::new(Saved::default(), Keep { samples: 0, ..KEEP });
    for nth in 0..3000 {
        let shapes = differs("$.a", &format!("shape {nth}"));
        let paths = differs(&format!("$.p{nth}"), "x");
        scene.pair(&format!("GET /{nth}"), &[shapes, paths], SAME);
    }
    let report = scene.report();
    assert_eq!(report.endpoints.len(), 257);
    assert_eq!(report.endpoints[0].endpoint.as_ref(), "GET *");
    assert_eq!(report.paths.len(), 2000);
    assert!(report.findings.len() <= 1000);
    assert!(report.totals.paths_over > 0 && report.totals.findings_over > 0);
    assert_eq!(report.totals.endpoints_over, 3000 - 256);
}

#[test]
fn a_mark_pins_and_can_be_taken_away() {
    let mut scene = scene();
    for _ in 0..20 {
        scene.pair("GET /", &[differs("$.a", "x")], SAME);
    }
    assert_eq!(scene.verdict("$.a"), Verdict::Real);
    assert!(scene.report().endpoints[0].flagged);
    let mark = |pattern: &str| Command::Mark {
        pattern: pattern.into(),
        kind: MarkKind::Ignore,
        by: "ann".into(),
        why: "clock".into(),
    };
    scene.ledger.command("s", mark("$..a"), 7).unwrap();
    assert_eq!(scene.verdict("$.a"), Verdict::Ignored);
    assert_eq!(&*scene.report().findings[0].mark.as_ref().unwrap().by, "ann");
    let different = scene.report().totals.different;
    scene.pair("GET /", &[differs("$.a", "x")], SAME);
    assert_eq!(scene.report().totals.different, different);
    scene.ledger.command("s", Command::Unmark { pattern: "$..a".into() }, 7).unwrap();
    assert_eq!(scene.verdict("$.a"), Verdict::Real);
    let refused = |scene: &mut Scene, command| scene.ledger.command("s", command, 7).unwrap_err();
    for pattern in ["$.a[", "", "x", "header.", "header.a b", "Status"] {
        assert_eq!(refused(&mut scene, mark(pattern)), Refusal::Pattern, "{pattern}");
    }
    assert_eq!(refused(&mut scene, mark(&"x".repeat(9999))), Refusal::TooMuch);
    assert_eq!(refused(&mut scene, Command::Unmark { pattern: "x".into() }), Refusal::Nothing);
    assert_eq!(scene.ledger.command("t", mark("x"), 7), Err(Refusal::NoShadow));
}

#[test]
fn what_is_forgotten_has_to_be_learnt_anew() {
    let mut scene = scene();
    for _ in 0..20 {
        scene.pair("GET /", &[differs("$.a", "x"), differs("$.b", "x")], SAME);
    }
    scene.ledger.command("s", Command::Forget { path: Some("$.a".into()) }, 7).unwrap();
    assert_eq!(scene.report().findings.len(), 1);
    scene.pair("GET /", &[differs("$.a", "x")], SAME);
    assert_eq!(scene.verdict("$.a"), Verdict::Undecided);
    assert_eq!(scene.verdict("$.b"), Verdict::Real);
    scene.ledger.command("s", Command::Forget { path: None }, 7).unwrap();
    let report = scene.report();
    assert_eq!((report.findings.len(), report.paths.len(), report.totals.compared), (0, 0, 0));
    assert!(scene.ledger.is_learning("s", "GET /"));
}

#[test]
fn pairs_whose_second_answer_is_lost_are_no_evidence() {
    let mut scene = scene();
    for _ in 0..20 {
        scene.pair("GET /", &[differs("$.a", "x")], Baseline::Lost);
        scene.pair("GET /", &[differs("$.b", "x")], Baseline::Unasked);
    }
    assert_eq!(scene.verdict("$.a"), Verdict::Undecided);
    assert_eq!(scene.report().paths[0].rates.compared, 0);
    assert_eq!(scene.report().totals.different, 40);
    for _ in 0..20 {
        scene.drawn("GET /", &[differs("$.b", "x")], Draw::Never, Baseline::Unasked);
    }
    assert_eq!(scene.verdict("$.b"), Verdict::Real);
}

#[test]
fn what_was_counted_without_learning_is_forgotten_when_learning_begins() {
    let mut scene = scene();
    for _ in 0..20 {
        scene.drawn("POST /", &[differs("$.a", "x")], Draw::Never, Baseline::Unasked);
    }
    assert_eq!(scene.verdict("$.a"), Verdict::Real);
    let noisy = [differs("$.a", "x")];
    scene.pair("POST /", &noisy, Baseline::Found(&noisy));
    assert_eq!(scene.verdict("$.a"), Verdict::Noise);
    assert_eq!(scene.report().endpoints[0].rates.compared, 1);
}

#[test]
fn pairs_that_come_before_the_rules_count() {
    let mut scene = scene();
    scene.ledger = Ledger::new([1; 32], Saved::default());
    for _ in 0..20 {
        scene.pair("GET /", &[differs("status", "x"), differs("$.a", "x")], SAME);
    }
    assert!(scene.ledger.report(scene.at).shadows.is_empty());
    scene.ledger.open("s", KEEP, Redactor::new(&rules(), [1; 32]));
    assert_eq!(scene.verdict("status"), Verdict::Real);
    // Whether a path has a secret in it could not be told.
    assert_eq!(scene.report().findings.len(), 1);
}

#[test]
fn a_path_with_a_secret_in_it_is_not_written_down() {
    let mut scene = scene();
    let path = "$.sessions.sesame-open.of";
    for _ in 0..20 {
        scene.pair("GET /", &[differs(path, "x"), differs("$.a", "x")], SAME);
    }
    let report = scene.report();
    assert_eq!((report.findings.len(), report.paths.len()), (1, 3));
    assert!(!serde_json::to_string(&*report).unwrap().contains("sesame"));
    assert_eq!((report.totals.paths_over, report.totals.findings_over), (20, 20));
}

#[test]
fn learning_ends_and_a_report_is_made_only_when_something_changed() {
    let mut scene = scene();
    for _ in 0..LEARNING {
        assert!(scene.ledger.is_learning("s", "GET /"));
        scene.pair("GET /", &[], SAME);
    }
    assert!(!scene.ledger.is_learning("s", "GET /"));
    assert!(scene.ledger.is_learning("s", "GET /other"));
    let report = scene.ledger.report(1);
    assert!(Arc::ptr_eq(&report, &scene.ledger.report(2)));
    for share in [0.2, 0.1] {
        for _ in 0..200 {
            scene.drawn("GET /", &[differs("$.a", "x")], Draw::Chance(share), Baseline::Unasked);
        }
    }
    assert_eq!(scene.verdict("$.a"), Verdict::Real);
}
