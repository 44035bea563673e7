//! What the target of the comparer holds it to.

use bytes::Bytes;
use gnomon_config::{
    json_path::JsonPath,
    model::{ArrayRule, BodyMode, Compare},
};
use gnomon_shadow::{
    compare::{Comparer, Comparison, DIFFERENCES_MAX, PATHS_MAX, Side},
    difference::{Body, Kind, VALUE_MAX},
};
use gnomon_wire::{HeadLimits, Response, ResponseHead};

/// What stands between the two bodies: no byte of UTF-8, hence of no JSON.
const SEPARATOR: u8 = 0xff;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";

/// The first byte chooses the rules; two bodies follow, with a separator between them. Each is the
/// same as itself, and what differs is told alike from either side.
pub(crate) fn json_diff(input: &[u8]) {
    let Some((&choice, bodies)) = input.split_first() else { return };
    let mut bodies = bodies.splitn(2, |byte| *byte == SEPARATOR);
    let was = bodies.next().unwrap_or_default();
    let is = bodies.next().unwrap_or_default();
    let mut head = ResponseHead::default();
    assert!(head.read(HEAD, &HeadLimits::REPLY).is_ok(), "the head is read");

    let comparer = Comparer::new(&rules(choice));
    let compared = |was: &[u8], is: &[u8], want_paths: bool| {
        let (was, is) = (body(was), body(is));
        let side = |body| Side { response: Response { head: &head, bytes: HEAD }, body };
        comparer.compare(&side(&was), &side(&is), want_paths)
    };
    for same in [was, is] {
        for want_paths in [false, true] {
            let comparison = compared(same, same, want_paths);
            assert!(comparison.differences.is_empty(), "it differs from itself: {comparison:?}");
        }
    }
    let (there, back) = (compared(was, is, false), compared(is, was, true));
    assert_eq!(there.uncomparable, back.uncomparable);
    // Cut, the two lists may not be of the same differences.
    if there.differences.len() < DIFFERENCES_MAX {
        assert_eq!(kinds(&there, |kind| kind), kinds(&back, Kind::mirrored));
    }
    assert!(back.paths.len() <= PATHS_MAX);
    for difference in there.differences.iter().chain(&back.differences) {
        let values = [&difference.primary, &difference.other];
        assert!(values.into_iter().flatten().all(|value| value.len() <= VALUE_MAX));
        let path = &difference.path;
        let is_told = **path == *"body" || JsonPath::parse(path).is_ok() || path.len() > 100;
        assert!(is_told, "nobody could ignore {path}");
    }
}

fn kinds(comparison: &Comparison, turn: fn(Kind) -> Kind) -> Vec<(&str, Kind)> {
    let all = comparison.differences.iter();
    let mut kinds: Vec<_> = all.map(|one| (&*one.path, turn(one.kind))).collect();
    kinds.sort_unstable();
    kinds
}

fn body(bytes: &[u8]) -> Body {
    Body { bytes: Bytes::copy_from_slice(bytes), length: bytes.len() as u64, hash: None }
}

/// Each bit of the choice adds a rule.
fn rules(choice: u8) -> Compare {
    let bit = |bit: u8| choice >> bit & 1 == 1;
    let path = |text| JsonPath::parse(text).expect("it is a path");
    let ignored = [(0, "$..t"), (1, "$[1]"), (2, "$.a[*].b"), (3, "$..a..b")];
    let arrays = [
        (4, path("$.a"), ArrayRule::Set),
        (5, path("$..b"), ArrayRule::By("a".into())),
        (6, path("$..[*]"), ArrayRule::Set),
    ];
    let arrays = arrays.into_iter().filter(|rule| bit(rule.0)).map(|rule| (rule.1, rule.2));
    Compare {
        status: true,
        headers: vec!["content-type".into()],
        body: BodyMode::Auto,
        max: 1 << 20,
        ignore: ignored.iter().filter(|rule| bit(rule.0)).map(|rule| path(rule.1)).collect(),
        tolerance: if bit(7) { 1e-3 } else { 0.0 },
        arrays: arrays.collect(),
        latency: false,
    }
}
