//! Paths read, refused, and held against places.

use super::{PathStep::*, *};

fn path(text: &str) -> JsonPath {
    let path = JsonPath::parse(text).unwrap();
    assert_eq!(path.to_string(), text);
    path
}

fn field(name: &str) -> Step {
    Step::Field(name.into())
}

#[test]
fn every_form_of_step_is_read() {
    assert_eq!(path("$").steps(), []);
    assert_eq!(path("$.a.b-c").steps(), [field("a"), field("b-c")]);
    assert_eq!(path("$.größe").steps(), [field("größe")]);
    assert_eq!(path("$['a b']").steps(), [field("a b")]);
    assert_eq!(path("$[\"it's\"]['a']").steps(), [field("it's"), field("a")]);
    assert_eq!(path(r#"$['\'\\\"\u00e9']"#).steps(), [field("'\\\"é")]);
    assert_eq!(path("$['']").steps(), [field("")]);
    assert_eq!(path("$[*][0][17]").steps(), [Step::AnyIndex, Step::Index(0), Step::Index(17)]);
    assert_eq!(path("$.*.a").steps(), [Step::AnyField, field("a")]);
    assert_eq!(path("$..id").steps(), [Step::Deep, field("id")]);
    assert_eq!(path("$..*").steps(), [Step::Deep, Step::AnyField]);
    assert_eq!(path("$..[*]").steps(), [Step::Deep, Step::AnyIndex]);
    assert_eq!(path("$..['a b']").steps(), [Step::Deep, field("a b")]);
    let deepest = format!("${}", ".a".repeat(STEPS_MAX));
    assert_eq!(path(&deepest).steps().len(), STEPS_MAX);
}

#[test]
fn what_is_no_path_is_told_with_its_place() {
    for (text, at, word) in [
        ("", 0, "begins with `$`"),
        ("a.b", 0, "begins with `$`"),
        ("$a", 1, "`.` or `[`"),
        ("$.", 2, "missing"),
        ("$..", 3, "missing"),
        ("$...a", 3, "missing before"),
        ("$.a.[0]", 4, "missing before"),
        ("$.a b", 3, "quoted"),
        ("$.a.b]", 5, "quoted"),
        ("$.a*", 3, "quoted"),
        ("$.*b", 3, "`.` or `[`"),
        ("$[", 2, "`]` is missing"),
        ("$[0", 3, "`]` is missing"),
        ("$[a]", 2, "quoted name"),
        ("$[]", 2, "quoted name"),
        ("$[-1]", 2, "from the first item"),
        ("$[01]", 2, "leading zeros"),
        ("$[99999999999999999999999]", 2, "too large"),
        ("$[1:2]", 3, "not known"),
        ("$['a','b']", 5, "not known"),
        ("$[?(@.a)]", 2, "not known"),
        ("$[0 ]", 3, "`]` comes here"),
        ("$['a", 4, "quote"),
        ("$['a\\n']", 4, "are known"),
        ("$['\\u12']", 3, "four digits"),
        ("$['\\u+123']", 3, "four digits"),
        ("$['\\ud800']", 3, "four digits"),
        ("$.é\u{e9}!", 6, "quoted"),
    ] {
        let bad = JsonPath::parse(text).unwrap_err();
        assert!(bad.at == at && bad.what.contains(word), "{text}: {bad}");
    }
    let long = format!("$.{}", "a".repeat(BYTES_MAX));
    assert_eq!(JsonPath::parse(&long).unwrap_err().at, BYTES_MAX);
    let deep = format!("${}", ".a".repeat(STEPS_MAX + 1));
    assert_eq!(JsonPath::parse(&deep).unwrap_err().at, 1 + 2 * STEPS_MAX);
}

#[test]
fn a_pushed_field_is_read_as_the_same() {
    for name in ["a", "a b", "", "it's", "\\", "\"", "\n\u{7f}\u{9f}", "größe", "😀", "a.b[*]", "*"]
    {
        let mut text = String::from("$");
        push_field(&mut text, name);
        assert_eq!(path(&text).steps(), [field(name)], "{text}");
        assert!(!text.contains(char::is_control));
    }
}

#[test]
fn paths_lead_where_they_say() {
    for (text, way, leads) in [
        ("$", &[][..], true),
        ("$", &[Field("a")], false),
        ("$.a", &[Field("a")], true),
        ("$.a", &[Field("b")], false),
        ("$.a", &[Index(0)], false),
        ("$.a", &[Field("a"), Field("a")], false),
        ("$.*", &[Field("x")], true),
        ("$.*", &[Index(1)], false),
        ("$[*]", &[Index(7)], true),
        ("$[7]", &[Index(7)], true),
        ("$[7]", &[Index(8)], false),
        ("$.a[*].b", &[Field("a"), Index(3), Field("b")], true),
        ("$..b", &[Field("b")], true),
        ("$..b", &[Field("a"), Index(3), Field("b")], true),
        ("$..b", &[Field("b"), Field("c")], false),
        ("$..b", &[Field("b"), Field("b")], true),
        ("$.a..b", &[Field("b")], false),
        ("$.a..b..c", &[Field("a"), Field("b"), Field("b"), Index(0), Field("c")], true),
        ("$..[*]", &[Field("a"), Index(0)], true),
        ("$..[*]", &[Field("a")], false),
        ("$..*", &[], false),
        ("$..*", &[Index(0), Field("a")], true),
    ] {
        assert_eq!(path(text).matches(way), leads, "{text} {way:?}");
    }
    let deepest = path(&format!("${}", ".a".repeat(STEPS_MAX)));
    assert!(deepest.matches(&[Field("a"); STEPS_MAX]));
    assert!(!deepest.matches(&[Field("a"); STEPS_MAX - 1]));
}

#[test]
fn a_walk_knows_the_first_path_and_finds_back() {
    let paths = [path("$.a[1]"), path("$..c"), path("$.a[*]")];
    let matcher = Matcher::new(&paths);
    let mut walk = matcher.walk();
    walk.leave();
    walk.enter_field("a");
    assert_eq!(walk.first_match(), None);
    walk.enter_index(1);
    assert_eq!(walk.first_match(), Some(0));
    walk.enter_field("c");
    assert_eq!(walk.first_match(), Some(1));
    walk.leave();
    walk.leave();
    walk.enter_item();
    assert_eq!(walk.first_match(), Some(2));
    walk.leave();
    walk.enter_either(4, 1);
    assert_eq!(walk.first_match(), Some(0));
    walk.leave();
    walk.enter_some_item();
    assert_eq!(walk.first_match(), Some(0));
}

#[test]
fn a_walk_of_no_paths_goes_anywhere() {
    let matcher = Matcher::default();
    let mut walk = matcher.walk();
    walk.enter_field("a");
    walk.enter_index(0);
    assert!(!walk.is_match() && !walk.is_alive());
    walk.leave();
    walk.leave();
    walk.leave();
    assert!(matcher.is_empty());
}

#[test]
fn what_can_lead_nowhere_is_dead() {
    let matcher = Matcher::new(&[path("$.a.b")]);
    let mut walk = matcher.walk();
    assert!(walk.is_alive());
    walk.enter_field("x");
    assert!(!walk.is_alive());
    walk.leave();
    walk.enter_field("a");
    assert!(walk.is_alive());
}
