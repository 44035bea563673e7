//! Whole replies compared.

use std::io::Write as _;

use ::bytes::Bytes;
use gnomon_config::{json_path::JsonPath, model::ArrayRule};
use gnomon_wire::{HeadLimits, Progress, ResponseHead};
use proptest::prelude::*;

use super::*;

mod hiding;
mod planted;

const JSON: &str = "content-type: application/json\r\n";

/// A reply, owned.
struct Reply {
    head: ResponseHead,
    bytes: Vec<u8>,
    body: Body,
}

impl Reply {
    fn new(status: u16, fields: &str, body: impl AsRef<[u8]>) -> Self {
        let bytes = format!("HTTP/1.1 {status} \r\n{fields}\r\n").into_bytes();
        let mut head = ResponseHead::default();
        let progress = head.read(&bytes, &HeadLimits::REPLY).unwrap();
        assert_eq!(progress, Progress::Done(bytes.len()));
        let body = body.as_ref();
        let length = body.len() as u64;
        let body = Body { bytes: Bytes::copy_from_slice(body), length, hash: None };
        Self { head, bytes, body }
    }

    fn json(body: &str) -> Self {
        Self::new(200, JSON, body)
    }

    fn text(body: &str) -> Self {
        Self::new(200, "content-type: text/plain\r\n", body)
    }

    /// Cut to so many bytes of a whole of this length and hash.
    fn cut(mut self, captured: usize, length: u64, hash: u64) -> Self {
        self.body = Body { bytes: self.body.bytes.slice(..captured), length, hash: Some(hash) };
        self
    }

    fn side(&self) -> Side<'_> {
        Side { response: Response { head: &self.head, bytes: &self.bytes }, body: &self.body }
    }
}

fn rules() -> Compare {
    Compare {
        status: true,
        headers: vec!["content-type".into(), "location".into(), "set-cookie".into()],
        body: BodyMode::Auto,
        max: 1 << 20,
        ignore: Vec::new(),
        tolerance: 0.0,
        arrays: Vec::new(),
        latency: false,
    }
}

fn ignoring(paths: &[&str]) -> Compare {
    let ignore = paths.iter().map(|path| JsonPath::parse(path).unwrap()).collect();
    Compare { ignore, ..rules() }
}

fn with_arrays(arrays: &[(&str, ArrayRule)]) -> Compare {
    let rule = |(path, rule): &(&str, ArrayRule)| (JsonPath::parse(path).unwrap(), rule.clone());
    Compare { arrays: arrays.iter().map(rule).collect(), ..rules() }
}

/// Compares both ways round, and each side with itself.
#[track_caller]
fn compared(rules: &Compare, was: &Reply, is: &Reply) -> Comparison {
    let comparer = Comparer::new(rules);
    let comparison = comparer.compare(&was.side(), &is.side(), false);
    let turned = comparer.compare(&is.side(), &was.side(), false);
    assert_eq!(comparison.uncomparable, turned.uncomparable);
    let kinds = |all: &[Difference], turn: fn(Kind) -> Kind| {
        let mut kinds: Vec<_> = all.iter().map(|one| (one.path.clone(), turn(one.kind))).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(
        kinds(&comparison.differences, |kind| kind),
        kinds(&turned.differences, Kind::mirrored)
    );
    for side in [was, is] {
        for want_paths in [false, true] {
            let same = comparer.compare(&side.side(), &side.side(), want_paths);
            assert_eq!(same.differences, []);
        }
    }
    comparison
}

/// `path kind shape` of each difference; what was not comparable is one.
#[track_caller]
fn told(rules: &Compare, was: &Reply, is: &Reply) -> Vec<String> {
    let comparison = compared(rules, was, is);
    let mut told: Vec<_> = comparison
        .differences
        .iter()
        .map(|one| format!("{} {} {}", one.path, one.kind, one.shape))
        .collect();
    told.extend(comparison.uncomparable.map(|why| why.name().to_owned()));
    told
}

#[track_caller]
fn told_json(rules: &Compare, was: &str, is: &str) -> Vec<String> {
    told(rules, &Reply::json(was), &Reply::json(is))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    ruzstd::encoding::compress_to_vec(bytes, level)
}

/// `{"a":1}` by a brotli encoder.
const BROTLI: &[u8] = b"\x0b\x03\x80{\"a\":1}\x03";

/// 1 MiB and one byte of spaces, likewise.
const BROTLI_BOMB: &[u8] = b"\x9b\x00\x00\x10\xf8\x25\x40\xe2\xb1\x40\x40\xf7\xfe\x01";

#[test]
fn the_status_is_compared_if_asked() {
    let (was, is) = (Reply::text("a"), Reply::new(500, "content-type: text/plain\r\n", "a"));
    assert_eq!(told(&rules(), &was, &is), ["status value 200 → 500"]);
    assert_eq!(told(&Compare { status: false, ..rules() }, &was, &is), [""; 0]);
    let difference = &compared(&rules(), &was, &is).differences[0];
    assert_eq!(
        (difference.primary.as_deref(), difference.other.as_deref()),
        (Some("200"), Some("500"))
    );
}

#[test]
fn chosen_fields_are_compared_by_all_their_lines() {
    let was =
        Reply::new(302, "Location: /a\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nx-a: 1\r\n", "");
    let same = Reply::new(302, "LOCATION:   /a \r\nset-cookie: a=1, b=2\r\nx-a: 2\r\n", "");
    assert_eq!(told(&rules(), &was, &same), [""; 0]);
    let is = Reply::new(302, "set-cookie: a=1\r\ncontent-type: x/y\r\n", "");
    assert_eq!(
        told(&rules(), &was, &is),
        [
            "header.content-type extra string",
            "header.location missing string",
            "header.set-cookie value string",
        ]
    );
    let values = compared(&rules(), &was, &is).differences;
    assert_eq!(values[2].primary.as_deref(), Some("a=1, b=2"));
    assert_eq!(values[2].other.as_deref(), Some("a=1"));
    assert_eq!(values[0].primary, None);
}

#[test]
fn json_is_compared_by_meaning() {
    let same = |was, is| assert_eq!(told_json(&rules(), was, is), [""; 0], "{was} {is}");
    same(r#"{"a":1,"b":[1,2]}"#, r#" {"b" : [1.0, 2e0], "a":10E-1} "#);
    same(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
    same(r#""\u0061""#, r#""a""#);
    let told = |was, is| told_json(&rules(), was, is);
    assert_eq!(told("1", "2"), ["$ value number +"]);
    assert_eq!(told("2.5", "-2"), ["$ value number -"]);
    assert_eq!(told("12345678901234567890", "12345678901234567891"), ["$ value number +"]);
    assert_eq!(told("true", "false"), ["$ value true → false"]);
    assert_eq!(told("\"a\"", "\"b\""), ["$ value string"]);
    assert_eq!(told("1", "null"), ["$ type number → null"]);
    assert_eq!(told("[]", "{}"), ["$ type array → object"]);
    assert_eq!(
        told(r#"{"a":{"b":1}}"#, r#"{"a":{"c d":1}}"#),
        ["$.a.b missing number", "$.a['c d'] extra number"]
    );
    assert_eq!(told(r#"[{"a":1},{"a":2}]"#, r#"[{"a":3},{"a":4}]"#), ["$[*].a value number +"]);
}

#[test]
fn an_item_more_or_less_spoils_no_other() {
    let told = |was, is| told_json(&rules(), was, is);
    assert_eq!(told("[1,2,3,4]", "[1,2,9,3,4]"), ["$[*] extra items +"]);
    assert_eq!(told("[1,2,3,4]", "[2,3,4]"), ["$[*] missing items -"]);
    assert_eq!(
        told("[1,2,3,4,5,6,7]", "[2,3,4,8,5,6,7]"),
        ["$[*] missing items -", "$[*] extra items +"]
    );
    assert_eq!(told("[1,2,3]", "[1,5,3]"), ["$[*] value number +"]);
    assert_eq!(told("[1,2,3]", "[3,1,2]"), ["$ order items"]);
    assert_eq!(told("[[1,2],[3]]", "[[2,1],[3]]"), ["$[*] order items"]);
    let far = |add: u32| {
        format!("[{}]", (0..400).map(|n| format!("{},", n + add)).collect::<String>() + "0")
    };
    let rules = rules();
    assert_eq!(told_json(&rules, &far(0), &far(1000)), ["$[*] value number +"]);
}

#[test]
fn items_nearly_equal_are_found_among_others() {
    let rules = Compare { tolerance: 1e-6, ..rules() };
    assert_eq!(
        told_json(&rules, "[0.1,0.2,0.3]", "[0.5,0.10000001,0.20000001,0.7,0.30000001]"),
        ["$[*] extra items +"]
    );
}

#[test]
fn sets_have_no_order() {
    let rules = with_arrays(&[("$.a", ArrayRule::Set)]);
    let told = |was, is| told_json(&rules, was, is);
    assert_eq!(told(r#"{"a":[1,{"b":2},"x",1]}"#, r#"{"a":["x",1.0,1,{"b":2}]}"#), [""; 0]);
    assert_eq!(
        told(r#"{"a":[1,1,2]}"#, r#"{"a":[1,2,2]}"#),
        ["$.a[*] missing items -", "$.a[*] extra items +"]
    );
    assert_eq!(told(r#"{"a":[1,2]}"#, r#"{"a":[2,1,3]}"#), ["$.a[*] extra items +"]);
    assert_eq!(told(r#"{"b":[1,2]}"#, r#"{"b":[2,1]}"#), ["$.b order items"]);
}

#[test]
fn sets_forgive_what_is_forgiven_elsewhere() {
    let rules = Compare {
        tolerance: 1e-6,
        ignore: vec![JsonPath::parse("$[*].id").unwrap()],
        ..with_arrays(&[("$", ArrayRule::Set), ("$[*].tags", ArrayRule::Set)])
    };
    let was = r#"[{"id":1,"tags":["a","b"],"x":0.1},{"id":2,"tags":[],"x":0.2}]"#;
    let is = r#"[{"id":7,"tags":[],"x":0.2},{"tags":["b","a"],"x":0.10000000001}]"#;
    assert_eq!(told_json(&rules, was, is), [""; 0]);
}

#[test]
fn items_meet_by_a_field() {
    let rules = with_arrays(&[("$..items", ArrayRule::By("id".into()))]);
    let told = |was, is| told_json(&rules, was, is);
    let was = r#"{"items":[{"id":1,"n":"a"},{"id":2,"n":"b"},{"id":3}]}"#;
    assert_eq!(
        told(was, r#"{"items":[{"id":1,"n":"x"},{"id":2,"n":"b"},{"id":3}]}"#),
        ["$.items[*].n value string"]
    );
    assert_eq!(
        told(was, r#"{"items":[{"id":3},{"id":1.0,"n":"a"},{"id":2,"n":"b"}]}"#),
        ["$.items order items"]
    );
    assert_eq!(
        told(was, r#"{"items":[{"id":4},{"id":2,"n":"b"},{"id":3}]}"#),
        ["$.items[*] missing items -", "$.items[*] extra items +"]
    );
    // Of one key several: in turn. A number is not the text of it. Without a key: in order.
    assert_eq!(
        told(r#"{"items":[{"id":1},{"id":1,"a":1}]}"#, r#"{"items":[{"id":1}]}"#),
        ["$.items[*] missing items -"]
    );
    assert_eq!(
        told(r#"{"items":[{"id":1}]}"#, r#"{"items":[{"id":"1"}]}"#),
        ["$.items[*] extra items +", "$.items[*] missing items -"]
    );
    assert_eq!(
        told(r#"{"items":[5,{"id":1},6]}"#, r#"{"items":[{"id":1},5,7]}"#),
        ["$.items[*] value number +"]
    );
}

#[test]
fn the_first_rule_that_fits_an_array_holds() {
    let arrays = [("$.a", ArrayRule::Ordered), ("$..*", ArrayRule::Set)];
    let (was, is) = (r#"{"a":[1,2],"b":[1,2]}"#, r#"{"a":[2,1],"b":[2,1]}"#);
    assert_eq!(told_json(&with_arrays(&arrays), was, is), ["$.a order items"]);
}

#[test]
fn ignored_places_do_not_count() {
    let told = |paths: &[&str], was, is| told_json(&ignoring(paths), was, is);
    let (was, is) = (r#"{"a":1,"b":{"t":1,"c":[{"t":2}]}}"#, r#"{"a":2,"b":{"c":[{"t":"x"}]}}"#);
    assert_eq!(told(&[], was, is).len(), 3);
    assert_eq!(told(&["$..t"], was, is), ["$.a value number +"]);
    assert_eq!(told(&["$.b", "$.a"], was, is), [""; 0]);
    assert_eq!(told(&["$"], was, is), [""; 0]);
    assert_eq!(told(&["$.b.c[1].t"], was, is).len(), 3);
    assert_eq!(told(&["$.b.c[0].t"], was, is).len(), 2);
    assert_eq!(told(&["$[*]"], "[1,2]", "[3]"), [""; 0]);
    assert_eq!(told(&["$[*]"], "[1,2]", "3"), ["$ type array → number"]);
    assert_eq!(told(&["$[1]"], "[1,2]", "[1]"), [""; 0]);
}

#[test]
fn what_is_json_on_one_side_alone_is_another_type() {
    let html = Reply::new(200, "content-type: text/html; charset=utf-8\r\n", "<p>");
    let json = Reply::json("{}");
    let none = Compare { headers: Vec::new(), ..rules() };
    assert_eq!(told(&none, &json, &html), ["body type json → text"]);
    assert_eq!(told(&none, &json, &Reply::json("<p>")), ["body type json → text"]);
    assert_eq!(told(&none, &Reply::json("a\nb"), &Reply::json("a\nc")), ["body value lines"]);
    assert_eq!(told(&none, &json, &Reply::new(200, "", "[]")), ["$ type object → array"]);
    assert_eq!(
        told(&none, &Reply::new(200, "", " {\"a\":1}"), &Reply::new(200, "", "{}")),
        ["$.a missing number"]
    );
    assert_eq!(
        told(&none, &Reply::new(200, "", "abc"), &Reply::new(200, "", "{}")),
        ["body length bytes -"]
    );
    let vendor = Reply::new(200, "content-type: application/vnd.a+JSON;v=1\r\n", "{\"a\":2}");
    assert_eq!(told(&none, &json, &vendor), ["$.a extra number"]);
    let image = |body| Reply::new(200, "content-type: image/png\r\n", body);
    assert_eq!(told(&none, &image("{\"a\":1}"), &image("{\"a\":2}")), ["body content bytes"]);
    assert_eq!(told(&none, &image("1"), &json), ["body type bytes → json"]);
}

#[test]
fn a_mode_overrides_the_type() {
    let mode = |body| Compare { body, ..rules() };
    let (was, is) = (Reply::text("{\"a\":1}"), Reply::text("{\"a\": 1 }"));
    assert_eq!(told(&mode(BodyMode::Json), &was, &is), [""; 0]);
    assert_eq!(told(&mode(BodyMode::Auto), &was, &is), ["body value lines"]);
    assert_eq!(told(&mode(BodyMode::Bytes), &was, &is), ["body length bytes +"]);
    assert_eq!(told(&mode(BodyMode::None), &was, &is), [""; 0]);
    assert_eq!(told(&mode(BodyMode::Json), &was, &Reply::text("a")), ["body type json → text"]);
    assert_eq!(told(&mode(BodyMode::Json), &Reply::text("b"), &Reply::text("a")), ["not_json"]);
    let (was, is) = (Reply::json("{\"a\":1}"), Reply::json("{\"a\": 1}"));
    assert_eq!(told(&mode(BodyMode::Text), &was, &is), ["body value lines"]);
}

#[test]
fn nothing_and_something_differ() {
    assert_eq!(told(&rules(), &Reply::json(""), &Reply::json("1")), ["body extra json"]);
    assert_eq!(told(&rules(), &Reply::text("a"), &Reply::text("")), ["body missing text"]);
    let none = compared(&rules(), &Reply::text("a"), &Reply::text("")).differences;
    assert_eq!((none[0].primary.as_deref(), none[0].other.as_deref()), (Some("a"), None));
}

#[test]
fn texts_differ_by_lines() {
    let told_text = |was: &str, is: &str| told(&rules(), &Reply::text(was), &Reply::text(is));
    assert_eq!(told_text("a\nb\nc", "a\nx\nc"), ["body value lines"]);
    assert_eq!(told_text("a\nb\nc\n", "a\nc\n"), ["body missing lines -"]);
    assert_eq!(told_text("a\nc\n", "a\nb\nc\n"), ["body extra lines +"]);
    assert_eq!(told_text("a\n", "a"), ["body value lines"]);
    assert_eq!(
        told_text("1\na\n2\n3\nb\n4\n", "1\n2\n3\nx\n4\n5\n"),
        ["body value lines", "body missing lines -", "body extra lines +"]
    );
    let found = compared(&rules(), &Reply::text("a\nbc\nd"), &Reply::text("a\nbx\nd")).differences;
    assert_eq!(found[0].primary.as_deref(), Some("bc\n"));
    assert_eq!(found[0].other.as_deref(), Some("bx\n"));
}

#[test]
fn contents_are_compared_however_they_are_coded() {
    let plain = br#"{"a":1}"#;
    let rules = Compare { headers: Vec::new(), ..rules() };
    let coded = |coding: &str, body: Vec<u8>| {
        Reply::new(200, &format!("{JSON}Content-Encoding: {coding}\r\n"), body)
    };
    let all = [
        Reply::json("{\"a\":1}"),
        coded("identity", plain.to_vec()),
        coded("gzip", gzip(plain)),
        coded("X-GZIP", gzip(plain)),
        coded("gzip", [gzip(&plain[..3]), gzip(&plain[3..])].concat()),
        coded("deflate", zlib(plain)),
        coded("zstd", zstd(plain)),
        coded(
            "zstd",
            [zstd(&plain[..3]), b"\x50\x2a\x4d\x18\x02\0\0\0xx".to_vec(), zstd(&plain[3..])]
                .concat(),
        ),
        coded("br", BROTLI.to_vec()),
        coded("deflate, identity,gzip", gzip(&zlib(plain))),
        coded("gzip\r\ncontent-encoding: br, zstd", zstd(BROTLI)),
    ];
    for (ix, one) in all.iter().take(10).enumerate() {
        for other in all.iter().take(10) {
            assert_eq!(told(&rules, one, other), [""; 0], "{ix}");
        }
        assert_eq!(told(&rules, one, &Reply::json("{\"a\":2}")), ["$.a value number +"]);
    }
    assert_eq!(told(&rules, &all[10], &all[0]), ["undecodable"]);
    assert_eq!(told(&rules, &coded("gzip", vec![]), &Reply::json("")), [""; 0]);
}

#[test]
fn what_does_not_decode_is_not_compared() {
    let rules = Compare { headers: Vec::new(), ..rules() };
    let plain = Reply::json("{}");
    let coded = |coding: &str, body: Vec<u8>| {
        Reply::new(200, &format!("{JSON}Content-Encoding: {coding}\r\n"), body)
    };
    assert_eq!(told(&rules, &plain, &coded("compress", vec![1])), ["coding"]);
    assert_eq!(told(&rules, &plain, &coded("gzip,gzip,gzip,gzip,gzip", vec![1])), ["coding"]);
    assert_eq!(told(&rules, &coded("compress", vec![1]), &coded("compress", vec![1])), [""; 0]);
    let whole = [
        ("gzip", gzip(b"{}")),
        ("deflate", zlib(b"{}")),
        ("zstd", zstd(b"{}")),
        ("br", BROTLI.to_vec()),
    ];
    for (coding, bytes) in whole {
        for length in 1..bytes.len() {
            let cut = coded(coding, bytes[..length].to_vec());
            assert_eq!(told(&rules, &plain, &cut), ["undecodable"], "{coding} {length}");
        }
        let mut wrong = bytes;
        wrong[0] ^= 0xff;
        assert_eq!(told(&rules, &plain, &coded(coding, wrong)), ["undecodable"], "{coding}");
    }
}

#[test]
fn what_becomes_too_large_is_not_decoded() {
    let rules = Compare { headers: Vec::new(), max: 1 << 17, ..rules() };
    let zeros = |length: usize| vec![b' '; length];
    let coded = |coding: &str, body: Vec<u8>| {
        Reply::new(
            200,
            &format!("content-type: text/plain\r\nContent-Encoding: {coding}\r\n"),
            body,
        )
    };
    let text = Reply::text("a");
    assert_eq!(told(&rules, &text, &coded("gzip", gzip(&zeros(1 << 20)))), ["body value lines"]);
    for bomb in [
        coded("gzip", gzip(&zeros((1 << 20) + 1))),
        coded("deflate", zlib(&zeros(40 << 20))),
        coded("gzip, gzip", gzip(&gzip(&zeros(40 << 20)))),
        coded("br", BROTLI_BOMB.to_vec()),
        coded("zstd", zstd(&zeros((1 << 20) + 1))),
    ] {
        assert_eq!(told(&rules, &text, &bomb), ["undecodable"]);
    }
}

#[test]
fn long_bodies_differ_by_length_and_hash() {
    let long = |length, hash| Reply::text("abcdef").cut(4, length, hash);
    assert_eq!(told(&rules(), &long(100, 1), &long(100, 1)), [""; 0]);
    assert_eq!(told(&rules(), &long(100, 1), &long(100, 2)), ["body content bytes"]);
    assert_eq!(told(&rules(), &long(100, 1), &long(90, 2)), ["body length bytes -"]);
    assert_eq!(told(&rules(), &Reply::text("abcd"), &long(90, 2)), ["body length bytes +"]);
    let plain = "content-type: text/plain\r\n";
    let coded = Reply::new(200, &format!("{plain}content-encoding: gzip\r\n"), "abcdef");
    assert_eq!(told(&rules(), &coded.cut(4, 100, 1), &long(100, 1)), ["too_long"]);
    let small = Compare { max: 4, ..rules() };
    assert_eq!(told(&small, &Reply::text("abcde"), &Reply::text("abcdf")), ["body content bytes"]);
}

#[test]
fn what_is_too_complex_is_not_compared() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(told_json(&rules(), &deep, "[]"), ["too_complex"]);
    // As deep as may be, where the stack of a thread must hold it.
    let nested = |last: u32| format!("{}{last}{}", "[{\"a\":".repeat(63), "}]".repeat(63));
    let path = format!("${} value number +", "[*].a".repeat(63));
    assert_eq!(told_json(&rules(), &nested(1), &nested(2)), [path.as_str()]);
    let sets = with_arrays(&[("$..[*]", ArrayRule::Set), ("$..a", ArrayRule::Set)]);
    assert_eq!(
        told_json(&sets, &nested(1), &nested(2)),
        ["$[*].a[*] missing items -", "$[*].a[*] extra items +"]
    );
    // Sets of sets, all alike and none equal: fits are looked for, but not for ever.
    let item =
        |last: usize| format!("[{}]", "[0,1,2,3,4,5,6,7,8,9],".repeat(60) + &last.to_string());
    let list = |from: usize| (from..from + 64).map(item).collect::<Vec<_>>().join(",");
    let rules = with_arrays(&[("$..[*]", ArrayRule::Set), ("$", ArrayRule::Set)]);
    let (was, is) = (format!("[{}]", list(0)), format!("[{}]", list(100)));
    assert_eq!(told_json(&rules, &was, &is).len(), 1);
}

#[test]
fn values_are_cut_between_characters() {
    let long = |letter: &str| format!("\"{}\"", letter.repeat(400));
    let found = compared(&rules(), &Reply::json(&long("é")), &Reply::json(&long("ü"))).differences;
    let value = found[0].primary.as_deref().unwrap();
    assert_eq!(value.len(), crate::difference::VALUE_MAX - 1);
    assert!(value.starts_with("\"é"));
    let found = compared(
        &rules(),
        &Reply::json("[1]"),
        &Reply::json(r#"[{"b":[1,null],"a":"\"\\\n\u0001x"}]"#),
    );
    let value = found.differences[0].other.as_deref();
    assert_eq!(value, Some(r#"{"a":"\"\\\n\u0001x","b":[1,null]}"#));
}

#[test]
fn what_is_told_is_bounded() {
    let many = |value: u32| {
        let fields = (0..3000).map(|at| format!("\"f{at}\":{value}")).collect::<Vec<_>>();
        Reply::json(&format!("{{{}}}", fields.join(",")))
    };
    let (was, is) = (many(1), many(2));
    let comparison = Comparer::new(&rules()).compare(&was.side(), &is.side(), true);
    assert_eq!(comparison.differences.len(), DIFFERENCES_MAX);
    assert_eq!(comparison.paths.len(), PATHS_MAX);
    let name = "n".repeat(PATH_BYTES_MAX);
    let deep = |value| format!("{{\"a\":{{\"{name}\":{{\"b\":{value}}}}}}}");
    assert_eq!(told_json(&rules(), &deep(1), &deep(2)), ["$.a value number +"]);
}

#[test]
fn places_are_told_if_asked() {
    let (was, is) = (r#"{"a":[{"b":1},{"c d":2}],"t":1}"#, r#"{"a":[],"e":null,"t":{"x":1}}"#);
    let comparer = Comparer::new(&ignoring(&["$.t"]));
    let (was, is) = (Reply::json(was), Reply::json(is));
    let paths = comparer.compare(&was.side(), &is.side(), true).paths;
    let paths: Vec<&str> = paths.iter().map(|path| &**path).collect();
    let in_json = ["$", "$.a", "$.a[*]", "$.a[*].b", "$.a[*]['c d']", "$.e"];
    assert_eq!(paths, [&in_json[..], &["header.content-type", "status"]].concat());
    let same = comparer.compare(&is.side(), &is.side(), true);
    assert_eq!(same.paths.len(), 5);
    let text = comparer.compare(&Reply::text("a").side(), &Reply::text("a").side(), true);
    assert!(text.paths.contains(&"body".into()));
    assert!(comparer.compare(&was.side(), &is.side(), false).paths.is_empty());
}

/// Documents of few values, so that two of them have much in common.
fn document() -> impl Strategy<Value = String> {
    const LEAVES: &[&str] =
        &["null", "true", "false", "0", "1", "1.0", "1.0001", "-2e1", "\"\"", "\"a\"", "\"é\""];
    let leaf = prop::sample::select(LEAVES).prop_map(str::to_owned);
    leaf.prop_recursive(4, 40, 6, |inner| {
        let field =
            ("[abt]", inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(field, 0..6)
                .prop_map(|fields| format!("{{{}}}", fields.join(","))),
        ]
    })
}

fn any_rules() -> impl Strategy<Value = Compare> {
    const PATHS: &[&str] = &["$.t", "$..t", "$[0]", "$..[*]", "$.a.b", "$.*", "$..a[1]", "$..a..b"];
    let path = prop::sample::select(PATHS).prop_map(|path| JsonPath::parse(path).unwrap());
    let rule =
        prop::sample::select(vec![ArrayRule::Ordered, ArrayRule::Set, ArrayRule::By("a".into())]);
    let ignore = prop::collection::vec(path.clone(), 0..3);
    let arrays = prop::collection::vec((path, rule), 0..3);
    let tolerance = prop::sample::select(vec![0.0, 1e-3]);
    (ignore, arrays, tolerance).prop_map(|(ignore, arrays, tolerance)| Compare {
        ignore,
        arrays,
        tolerance,
        ..rules()
    })
}

proptest! {
    #[test]
    fn comparing_is_symmetric(was in document(), is in document(), rules in any_rules()) {
        told_json(&rules, &was, &is);
    }

    #[test]
    fn white_space_and_key_order_never_count(text in document(), rules in any_rules()) {
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(told_json(&rules, &text, &pretty), Vec::<String>::new());
    }

    #[test]
    fn without_rules_unequal_documents_differ(was in document(), is in document()) {
        // Serde tells 1 and 1.0 apart, and -0.0 from 0.
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(&text.replace("1.0,", "1,"));
        let differs = !told_json(&rules(), &was, &is).is_empty();
        prop_assume!(!was.contains("1.0") && !is.contains("1.0"));
        prop_assert_eq!(differs, read(&was).unwrap() != read(&is).unwrap());
    }

    #[test]
    fn any_texts_are_compared(was in "[ab\n]{0,40}", is in "[ab\n]{0,40}") {
        let told = told(&rules(), &Reply::text(&was), &Reply::text(&is));
        prop_assert_eq!(told.is_empty(), was == is);
    }
}
