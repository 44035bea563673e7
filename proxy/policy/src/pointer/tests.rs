//! What a scanner finds, however the document comes in pieces.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn scan<'p>(pointer: &str, pieces: impl IntoIterator<Item = &'p [u8]>) -> Option<Found> {
    let pointer = Pointer::parse(pointer).unwrap();
    let mut scanner = Scanner::new();
    pieces.into_iter().for_each(|piece| scanner.feed(&pointer, piece));
    scanner.value()
}

/// Whole, and byte by byte, which must be the same.
#[track_caller]
fn find(document: impl AsRef<[u8]>, pointer: &str) -> Option<Found> {
    let document = document.as_ref();
    let found = scan(pointer, [document]);
    assert_eq!(scan(pointer, document.chunks(1)), found, "byte by byte");
    found
}

const ORDER: &str = r#" { "id": 7, "note": "a \"quoted\" {[,:]} \\", "order": { "total": "12.50",
    "tax": -1.5e-1, "paid": true, "coupon": null, "items": [ {"sku":"x","n":2}, [], 3 ],
    "a/b": 1, "m~n": 2, "": 3, "0": 4, "späße": 5 }, "none": {}, "empty": "" } "#;

#[test]
fn what_stands_at_a_place_is_found() {
    let table = [
        ("/id", Some(Found::Number(7.0))),
        ("/order/total", Some(Found::Number(12.5))),
        ("/order/tax", Some(Found::Number(-0.15))),
        ("/order/paid", Some(Found::Bool(true))),
        ("/order/coupon", Some(Found::Null)),
        ("/order/items", Some(Found::Count(3))),
        ("/order/items/0", Some(Found::Count(2))),
        ("/order/items/0/n", Some(Found::Number(2.0))),
        ("/order/items/0/sku", Some(Found::Text(1))),
        ("/order/items/1", Some(Found::Count(0))),
        ("/order/items/2", Some(Found::Number(3.0))),
        ("/order/a~1b", Some(Found::Number(1.0))),
        ("/order/m~0n", Some(Found::Number(2.0))),
        ("/order/", Some(Found::Number(3.0))),
        ("/order/0", Some(Found::Number(4.0))),
        ("/order/späße", Some(Found::Number(5.0))),
        ("/none", Some(Found::Count(0))),
        ("/empty", Some(Found::Text(0))),
        ("", Some(Found::Count(5))),
        ("/order/items/3", None),
        ("/order/items/00", None),
        ("/order/items/n", None),
        ("/order/tot", None),
        ("/order/totals", None),
        ("/id/x", None),
        ("/note/0", None),
        ("/none/x", None),
        ("/nowhere", None),
    ];
    for (pointer, expected) in table {
        assert_eq!(find(ORDER, pointer), expected, "{pointer}");
    }
}

#[test]
fn a_document_may_be_nothing_but_a_value() {
    assert_eq!(find(" 12.5", ""), Some(Found::Number(12.5)));
    assert_eq!(find("0\n", ""), Some(Found::Number(0.0)));
    assert_eq!(find("\"-3\"", ""), Some(Found::Number(-3.0)));
    assert_eq!(find("\"false\"", ""), Some(Found::Bool(false)));
    assert_eq!(find("12.", ""), None);
    assert_eq!(find("12x", ""), None);
    assert_eq!(find("", ""), None);
}

#[test]
fn names_are_compared_as_they_are_meant() {
    assert_eq!(find(r#"{"\u0061\/\ud83d\ude00": 1}"#, "/a~1😀"), Some(Found::Number(1.0)));
    assert_eq!(find(r#"{"\t": "\u00e4\n"}"#, "/\t"), Some(Found::Text(3)));
    assert_eq!(find(r#"{"a": {"a": 1}, "b": {"a": 2}}"#, "/b/a"), Some(Found::Number(2.0)));
    assert_eq!(find(r#"{"a": 1, "a": 2}"#, "/a"), Some(Found::Number(1.0)), "the first counts");
}

#[test]
fn a_malformed_document_tells_nothing() {
    for before in [
        "{\"b\" 1, ",
        "{\"b\": 01, ",
        "{\"b\": 1.e5, ",
        "{\"b\": tru, ",
        "{\"b\": +1, ",
        "{,",
        "{\"b\": \"\n\", ",
        "{\"b\": \"\\x\", ",
        "{\"b\": \"\\ud800\", ",
        "{\"b\": \"\\udc00\", ",
        "{\"b\": \"\\ud800\\u0041\", ",
        "{\"b\": [1 2], ",
        "{\"b\": [1}, ",
        "{\"b\": {1: 2}, ",
        "{\"b\": [1,], ",
        "{\"b\": {\"c\": 1,}, ",
        "{b: 1, ",
        "\u{feff}{",
        "{\"b\": \"\\u12g4\", ",
    ] {
        assert_eq!(find(format!("{before}\"a\": 7}}"), "/a"), None, "{before}");
    }
    assert_eq!(find("{\"a\": 7", "/a"), None, "it may have been 70");
    assert_eq!(find("{\"a\": 7,", "/a"), Some(Found::Number(7.0)), "what follows is not looked at");
    assert_eq!(find("{\"a\": 7x}", "/a"), None);
    assert_eq!(find("{\"a\": 1e999}", "/a"), None);
}

#[test]
fn what_it_follows_is_bounded() {
    let nest =
        |depth: usize| format!("{{\"b\": {}{}, \"a\": 1}}", "[".repeat(depth), "]".repeat(depth));
    let most = usize::from(DEPTH_MAX) - 1;
    assert_eq!(find(nest(most), "/a"), Some(Found::Number(1.0)));
    assert_eq!(find(nest(most + 1), "/a"), None);

    let digits = |count: usize| format!("{{\"a\": {}}}", "1".repeat(count));
    assert!(find(digits(NUMBER_MAX), "/a").is_some());
    assert_eq!(find(digits(NUMBER_MAX + 1), "/a"), None);
    let text = format!("{{\"a\": \"{}\"}}", "1".repeat(NUMBER_MAX + 1));
    assert_eq!(find(text, "/a"), Some(Found::Text(33)));

    let most = CONTENT_MAX as usize;
    let long = |length: usize| {
        let (begin, end) = ("{\"b\": \"", "\", \"a\": 1}");
        format!("{begin}{}{end}", "x".repeat(length - begin.len() - end.len()))
    };
    assert_eq!(find(long(most), "/a"), Some(Found::Number(1.0)));
    assert_eq!(find(long(most + 1), "/a"), None);

    let pointer = Pointer::parse("/a").unwrap();
    let mut scanner = Scanner::new();
    scanner.feed(&pointer, b"{\"a\": 1,");
    assert!(scanner.is_over());
    scanner.feed(&pointer, b"}}}}");
    assert_eq!(scanner.value(), Some(Found::Number(1.0)));
}

#[test]
fn a_pointer_that_leads_nowhere_is_refused() {
    assert_eq!(Pointer::parse("order"), Err(BadPointer::Start));
    assert_eq!(Pointer::parse("/a~2"), Err(BadPointer::Escape));
    assert_eq!(Pointer::parse("/a~"), Err(BadPointer::Escape));
    assert_eq!(Pointer::parse("/items/-"), Err(BadPointer::Behind));
    assert_eq!(Pointer::parse(&"/a".repeat(17)), Err(BadPointer::Long));
    assert_eq!(Pointer::parse(&format!("/{}", "a".repeat(256))), Err(BadPointer::Long));
    assert!(Pointer::parse(&"/a".repeat(16)).is_ok());
}

/// A document with few and odd names, so that pointers often lead somewhere.
fn documents() -> impl Strategy<Value = Value> {
    let text =
        || prop::sample::select(vec!["", "a", "b", "0", "1", "a/b", "m~n", "ä", "\"\\\n", "😀"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |it| it.is_finite()).prop_map(Value::from),
        text().prop_map(Value::from),
        "[0-9.e+-]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 5, move |inner| {
        let members = prop::collection::vec((text(), inner.clone()), 0..5);
        let object = |members: Vec<(&str, Value)>| {
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::Array),
            members.prop_map(move |members| Value::Object(object(members))),
        ]
    })
}

fn pointers() -> impl Strategy<Value = String> {
    let steps = vec!["", "a", "b", "0", "1", "2", "a~1b", "m~0n", "ä", "\"\\\n", "😀", "01"];
    prop::collection::vec(prop::sample::select(steps), 0..5)
        .prop_map(|steps| steps.iter().map(|step| format!("/{step}")).collect())
}

/// What somebody finds who has the whole document.
fn expected(document: &Value, pointer: &str) -> Option<Found> {
    Some(match document.pointer(pointer)? {
        Value::Null => Found::Null,
        Value::Bool(it) => Found::Bool(*it),
        Value::Number(it) => Found::Number(it.as_f64()?),
        Value::String(it) => {
            let is_number = it.starts_with(|first: char| first.is_ascii_digit() || first == '-');
            match it.parse::<f64>().ok().filter(|it| is_number && it.is_finite()) {
                Some(number) => Found::Number(number),
                None => Found::Text(u32::try_from(it.len()).unwrap()),
            }
        }
        Value::Array(all) => Found::Count(u32::try_from(all.len()).unwrap()),
        Value::Object(all) => Found::Count(u32::try_from(all.len()).unwrap()),
    })
}

/// With every letter beyond ASCII as an escape.
fn escaped(text: &str) -> String {
    let letter = |letter: char| match letter.is_ascii() {
        true => letter.to_string(),
        false => {
            letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }
    };
    text.chars().map(letter).collect()
}

fn pieces<'t>(text: &'t [u8], cuts: &[prop::sample::Index]) -> Vec<&'t [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_agrees_with_who_has_the_whole_document(
        document in documents(),
        pointer in pointers(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        is_pretty: bool,
        is_escaped: bool,
    ) {
        let text = if is_pretty { format!("{document:#}") } else { document.to_string() };
        let text = if is_escaped { escaped(&text) } else { text };
        let found = scan(&pointer, pieces(text.as_bytes(), &cuts));
        prop_assert_eq!(found, expected(&document, &pointer), "{} in {}", pointer, text);
    }

    #[test]
    fn any_split_of_anything_gives_the_same(
        mut text in documents().prop_map(|document| document.to_string().into_bytes()),
        faults in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        pointer in pointers(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        for (place, byte) in faults {
            let place = place.index(text.len());
            text[place] = byte;
        }
        let whole = scan(&pointer, [&text[..]]);
        prop_assert_eq!(scan(&pointer, pieces(&text, &cuts)), whole);
        prop_assert_eq!(scan(&pointer, text.chunks(1)), whole);
    }
}
