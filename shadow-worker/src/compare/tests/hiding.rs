//! Secrets in what is shown.

use super::*;

/// Everything that is shown of these two, where these places are secret.
fn shown(secrets: &[&str], rules: &Compare, was: &Reply, is: &Reply) -> String {
    let secrets: Vec<_> = secrets.iter().map(|path| JsonPath::parse(path).unwrap()).collect();
    let comparison = Comparer::new(rules).hiding(&secrets).compare(&was.side(), &is.side(), false);
    let values = comparison.differences.iter().flat_map(|one| [&one.primary, &one.other]);
    values.flatten().map(|value| &**value).collect::<Vec<_>>().join(" ")
}

fn shown_json(secrets: &[&str], was: &str, is: &str) -> String {
    shown(secrets, &rules(), &Reply::json(was), &Reply::json(is))
}

#[test]
fn secrets_are_masked_wherever_they_appear() {
    assert_eq!(shown_json(&["$.a"], r#"{"a":1,"b":1}"#, r#"{"a":2,"b":2}"#), "\"***\" \"***\" 1 2");
    assert_eq!(shown_json(&["$.a"], r#"{"a":{"b":1}}"#, r#"{"a":{"b":2}}"#), "\"***\" \"***\"");
    assert_eq!(
        shown_json(&["$..t"], "{}", r#"{"a":{"t":1,"u":[{"t":[2]},3]}}"#),
        r#"{"t":"***","u":[{"t":"***"},3]}"#
    );
    assert_eq!(shown_json(&["$[1]"], "[1,2,3]", "[1,3,2]"), r#"["***","***"] ["***","***"]"#);
    assert_eq!(shown_json(&["$.a[0].k"], r#"{"a":[{"k":1},2]}"#, r#"{"a":[2]}"#), r#"{"k":"***"}"#);
    assert_eq!(shown_json(&["$"], "1", "{}"), "\"***\" \"***\"");
}

#[test]
fn a_body_of_another_type_keeps_its_secrets() {
    let (json, text) = (Reply::json(r#"{"t":1}"#), Reply::text("x"));
    let rules = Compare { headers: Vec::new(), ..rules() };
    assert_eq!(shown(&["$.t"], &rules, &json, &text), r#"{"t":"***"} x"#);
    assert_eq!(shown(&["$.t"], &rules, &json, &Reply::json("")), r#"{"t":"***"}"#);
    assert_eq!(shown(&["$.t"], &rules, &Reply::json("{"), &json), r#"{ {"t":"***"}"#);
    assert_eq!(shown(&[], &rules, &json, &text), r#"{"t":1} x"#);
    let deep = Reply::text(&"[".repeat(1000));
    assert_eq!(
        shown(&["$.t"], &Compare { headers: Vec::new(), ..rules }, &deep, &Reply::text("")),
        ""
    );
}

#[test]
fn sets_show_no_more_than_others() {
    let rules = with_arrays(&[("$", ArrayRule::Set)]);
    let (was, is) = (Reply::json("[1]"), Reply::json("[2]"));
    assert_eq!(shown(&["$[7]"], &rules, &was, &is), "\"***\" \"***\"");
}
