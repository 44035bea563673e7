//! A shop's replies with a known set of differences, under fields that never agree.

use super::*;

/// Rules as somebody would write them for these replies.
fn rules() -> Compare {
    let noise = ["$..requestId", "$.meta.servedAt", "$.basket.lines[*].etag"];
    Compare {
        headers: vec![
            "content-type".into(),
            "cache-control".into(),
            "x-shop".into(),
            "x-only".into(),
        ],
        tolerance: 1e-6,
        arrays: vec![
            (JsonPath::parse("$.basket.lines").unwrap(), ArrayRule::By("sku".into())),
            (JsonPath::parse("$..tags").unwrap(), ArrayRule::Set),
        ],
        ..ignoring(&noise)
    }
}

/// Differences that must be found, one each: what stands in the primary's document, what stands in
/// the other's, and what is told.
const PLANTED: &[(&str, &str, &str)] = &[
    (r#""p01":1"#, r#""p01":2"#, "$.p01 value number +"),
    (r#""p02":2"#, r#""p02":1"#, "$.p02 value number -"),
    (r#""p03":1.5"#, r#""p03":1.50001"#, "$.p03 value number +"),
    (r#""p04":12345678901234567890"#, r#""p04":12345678901234567891"#, "$.p04 value number +"),
    (r#""p05":-1"#, r#""p05":1"#, "$.p05 value number +"),
    (r#""p06":"a""#, r#""p06":"A""#, "$.p06 value string"),
    (r#""p07":"a""#, r#""p07":"a ""#, "$.p07 value string"),
    (r#""p08":"""#, r#""p08":"\u0000""#, "$.p08 value string"),
    (r#""p09":true"#, r#""p09":false"#, "$.p09 value true → false"),
    (r#""p10":false"#, r#""p10":true"#, "$.p10 value false → true"),
    (r#""p11":1"#, r#""p11":"1""#, "$.p11 type number → string"),
    (r#""p12":null"#, r#""p12":0"#, "$.p12 type null → number"),
    (r#""p13":{}"#, r#""p13":[]"#, "$.p13 type object → array"),
    (r#""p14":[]"#, r#""p14":null"#, "$.p14 type array → null"),
    (r#""p15":false"#, r#""p15":null"#, "$.p15 type boolean → null"),
    (r#""p16":1"#, "", "$.p16 missing number"),
    (r#""p17":null"#, "", "$.p17 missing null"),
    (r#""p18":{"a":1}"#, "", "$.p18 missing object"),
    ("", r#""p19":"new""#, "$.p19 extra string"),
    ("", r#""p20":[1,2]"#, "$.p20 extra array"),
    (r#""p21":{"a":{"b":{"c":1}}}"#, r#""p21":{"a":{"b":{"c":2}}}"#, "$.p21.a.b.c value number +"),
    (r#""p22":{"a":{"b":1}}"#, r#""p22":{"a":{}}"#, "$.p22.a.b missing number"),
    (r#""p23":{"a b":1}"#, r#""p23":{"a b":2}"#, "$.p23['a b'] value number +"),
    (r#""p24":{"":1}"#, r#""p24":{"":2}"#, "$.p24[''] value number +"),
    (r#""p25":[1,2,3]"#, r#""p25":[1,9,3]"#, "$.p25[*] value number +"),
    (r#""p26":[1,2,3]"#, r#""p26":[1,2]"#, "$.p26[*] missing items -"),
    (r#""p27":[1,2,3]"#, r#""p27":[0,1,2,3]"#, "$.p27[*] extra items +"),
    (r#""p28":[1,2,3]"#, r#""p28":[2,3,1]"#, "$.p28 order items"),
    (
        r#""p29":[{"a":1},{"a":2}]"#,
        r#""p29":[{"a":1},{"a":"2"}]"#,
        "$.p29[*].a type number → string",
    ),
    (r#""p30":[[1,2],[3,4]]"#, r#""p30":[[1,2],[3,4,5]]"#, "$.p30[*][*] extra items +"),
    (r#""p31":[{"x":1},{"y":1}]"#, r#""p31":[{"y":1},{"x":1}]"#, "$.p31 order items"),
    (
        r#""p32":{"tags":["a","b"]}"#,
        r#""p32":{"tags":["b","a","c"]}"#,
        "$.p32.tags[*] extra items +",
    ),
    (
        r#""p33":{"tags":["a","a","b"]}"#,
        r#""p33":{"tags":["b","a"]}"#,
        "$.p33.tags[*] missing items -",
    ),
    (r#""p34":1e400"#, r#""p34":1e401"#, "$.p34 value number +"),
    (r#""p35":100"#, r#""p35":101"#, "$.p35 value number +"),
    (r#""p36":"é""#, r#""p36":"e\u0301""#, "$.p36 value string"),
    (r#""p37":{"requestIds":1}"#, r#""p37":{"requestIds":2}"#, "$.p37.requestIds value number +"),
    (r#""p38":{"servedAt":1}"#, r#""p38":{"servedAt":2}"#, "$.p38.servedAt value number +"),
    (r#""p39":[null]"#, r#""p39":[]"#, "$.p39[*] missing items -"),
    (
        r#""p40":[{"k":[{"v":true}]}]"#,
        r#""p40":[{"k":[{"v":false}]}]"#,
        "$.p40[*].k[*].v value true → false",
    ),
];

/// What is written differently and means the same, or does not count.
const EQUAL: &[(&str, &str)] = &[
    (r#""q01":1"#, r#""q01":1.0"#),
    (r#""q02":100"#, r#""q02":1e2"#),
    (r#""q03":0.1"#, r#""q03":0.10000000001"#),
    (r#""q04":{"a":1,"b":2}"#, r#""q04":{"b":2,"a":1}"#),
    (r#""q05":"a/b""#, r#""q05":"\u0061\/b""#),
    (r#""q06":[1,2]"#, r#""q06":[ 1 , 2 ]"#),
    (r#""q07":{"tags":["x","y",{"n":1}]}"#, r#""q07":{"tags":[{"n":1.0},"y","x"]}"#),
    (r#""q08":-0"#, r#""q08":0"#),
    (r#""q09":{"requestId":"0af7"}"#, r#""q09":{}"#),
    (r#""q10":[{"requestId":1,"a":1}]"#, r#""q10":[{"requestId":[2],"a":1}]"#),
    (r#""meta":{"servedAt":1700000000}"#, r#""meta":{"servedAt":"2026-01-01"}"#),
    (r#""q11":1,"q11":2"#, r#""q11":2"#),
];

const BASKETS: (&str, &str) = (
    r#""basket":{"lines":[{"sku":"a","n":1,"etag":"1"},{"sku":"b","n":2,"etag":"2"},{"sku":"c","n":3}]}"#,
    r#""basket":{"lines":[{"sku":"c","n":3,"etag":9},{"sku":"a","n":4,"etag":"8"},{"sku":"d","n":2}]}"#,
);

const TOLD_OF_BASKETS: &[&str] = &[
    "$.basket.lines order items",
    "$.basket.lines[*] extra items +",
    "$.basket.lines[*] missing items -",
    "$.basket.lines[*].n value number +",
];

fn document<'a>(pieces: impl Iterator<Item = &'a str>) -> String {
    let pieces: Vec<_> = pieces.filter(|piece| !piece.is_empty()).collect();
    format!("{{{}}}", pieces.join(","))
}

#[test]
fn all_that_was_planted_is_found_and_nothing_else() {
    let planted = PLANTED.iter().map(|(was, is, _)| (*was, *is));
    let pieces: Vec<_> = planted.chain(EQUAL.iter().copied()).chain([BASKETS]).collect();
    let was = document(pieces.iter().map(|(was, _)| *was));
    // The other side writes its fields from the last to the first.
    let is = document(pieces.iter().rev().map(|(_, is)| *is));
    let head = "Content-Type: application/json\r\nCache-Control: no-store\r\nDate: today\r\n";
    let was = Reply::new(200, &format!("{head}X-Shop: 1\r\nX-Shop: 2\r\nX-Only: a\r\n"), &was);
    let head =
        "content-encoding: gzip\r\nCONTENT-TYPE: application/json\r\ncache-control:  no-store \r\n";
    let is = Reply::new(201, &format!("{head}x-shop: 1, 3\r\n"), gzip(is.as_bytes()));

    let mut expected: Vec<_> = PLANTED.iter().map(|(_, _, told)| *told).collect();
    expected.extend(TOLD_OF_BASKETS);
    expected.extend([
        "status value 200 → 201",
        "header.x-shop value string",
        "header.x-only missing string",
    ]);
    expected.sort_unstable();
    let mut told = told(&rules(), &was, &is);
    told.sort();
    assert_eq!(told, expected);
}

#[test]
fn each_is_found_on_its_own() {
    for (was, is, expected) in PLANTED {
        let document = |piece: &str| document(EQUAL.iter().map(|(was, _)| *was).chain([piece]));
        assert_eq!(told_json(&rules(), &document(was), &document(is)), [*expected]);
    }
}
