//! Files, right and wrong, and what their flags come to. The cases are those of flagd's own suite.

mod draws;

use std::sync::Arc;

use gnomon_config::{Config, Options};
use serde_json::{Map, Value, json};

use super::*;
use crate::{ErrorCode, FlagSet, JsonContext, Overrides, Reason, Resolution};

/// A file that has to be right.
#[track_caller]
fn read(file: &Value) -> Definitions {
    match Definitions::parse(&file.to_string()) {
        Ok(definitions) => definitions,
        Err(faults) => panic!("{file}: {faults:?}"),
    }
}

/// Where a file is wrong.
#[track_caller]
fn faults(text: &str) -> Vec<String> {
    let faults = Definitions::parse(text).expect_err("it is wrong");
    assert!(faults.iter().all(|fault| !fault.what.is_empty() && !fault.advice.is_empty()));
    faults.into_iter().map(|fault| fault.pointer).collect()
}

fn config() -> Arc<Config> {
    let text = "listen = \"127.0.0.1:8080\"\nroute.a.respond.status = 204\n";
    match gnomon_config::parse("test", text, &Options::default()) {
        Ok(loaded) => Arc::new(loaded.config),
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

/// The flags of a file.
struct Flags(FlagSet);

impl Flags {
    #[track_caller]
    fn of(file: &Value) -> Self {
        let set = FlagSet::compile(config(), &read(file), &Overrides::default());
        Self(set.expect("no name is there twice"))
    }

    /// One flag, on, with variants of these names that each stand for themselves.
    #[track_caller]
    fn one(variants: &[&str], default: Value, targeting: Value) -> Self {
        let variants: Map<String, Value> =
            variants.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
        Self::of(&json!({"flags": {"flag": {
            "state": "ENABLED", "variants": variants, "defaultVariant": default,
            "targeting": targeting,
        }}}))
    }

    fn ask(&self, name: &str, said: &Value, now: u64) -> Resolution {
        let flag = self.0.find(name).expect("there is such a flag");
        let said = said.as_object().expect("a context is an object");
        let terms = gnomon_config::model::Flags::default();
        self.0.evaluate(flag, &JsonContext { terms: &terms, said }, now)
    }

    /// A flag's variant for whoever says so, and why.
    fn get(&self, name: &str, said: &Value) -> (&str, Reason) {
        let resolution = self.ask(name, said, 0);
        assert_eq!(resolution.error, None);
        let flag = self.0.flag(self.0.find(name).expect("there is such a flag"));
        let variant = resolution.variant.map_or("", |at| &*flag.variants[usize::from(at)].name);
        (variant, resolution.reason)
    }

    /// Each row: what is said, the variant.
    #[track_caller]
    fn check(&self, name: &str, rows: &[(Value, &str)]) {
        for (said, expected) in rows {
            assert_eq!(self.get(name, said).0, *expected, "{name} {said}");
        }
    }
}

const MATCH: Reason = Reason::TargetingMatch;
#[test]
fn a_file_says_what_flags_are() {
    let definitions = read(&json!({
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "metadata": {"team": "shop", "version": 1},
        "flags": {
            "b": {"state": "DISABLED", "variants": {"on": true, "off": false}},
            "a": {
                "state": "ENABLED",
                "variants": {"z": {"deep": [1]}, "a": {}},
                "defaultVariant": "a",
                "targeting": {},
                "metadata": {"version": 2, "beta": true},
            },
        },
    }));
    let names: Vec<&str> = definitions.flags.iter().map(|flag| flag.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let [a, b] = &definitions.flags[..] else { panic!("two") };
    assert_eq!((a.enabled, b.enabled), (true, false));
    assert_eq!((a.targeting.is_none(), b.default), (true, None));
    let own = json!({"team": "shop", "version": 2, "beta": true});
    assert_eq!(Value::Object(a.metadata.clone()), own);
    assert_eq!(b.metadata, definitions.metadata);
}

#[test]
fn variants_stand_in_the_order_of_the_file() {
    let text = r#"{"flags": {"f": {"state": "ENABLED", "variants": {"z": 1, "a": 2, "m": 3},
        "defaultVariant": "m"}}}"#;
    let flag = Definitions::parse(text).expect("it is right").flags.remove(0);
    let names: Vec<&str> = flag.variants.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, flag.default), (vec!["z", "a", "m"], Some(2)));
}

#[test]
fn flags_may_be_listed() {
    let flag = json!({"key": "b", "state": "ENABLED", "variants": {"on": true}});
    let mut other = flag.clone();
    other["key"] = json!("a");
    let definitions = read(&json!({"flags": [flag, other]}));
    let names: Vec<&str> = definitions.flags.iter().map(|flag| flag.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let wrong = json!({"flags": [flag, flag, {}, {"key": 1}, 7]}).to_string();
    assert_eq!(faults(&wrong), ["/flags/2", "/flags/3/key", "/flags/4", "/flags/1"]);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = r#"{
        "metadata": {"list": []},
        "$evaluators": {"bad": {"nope": 1}, "bad": {"nope": 2}},
        "flags": {
            "": {"state": "ENABLED", "variants": {"on": true}},
            "state": {"state": "enabled", "variants": {"on": true}},
            "nothing": {},
            "kinds": {"state": 1, "variants": [], "defaultVariant": 2, "targeting": "on",
                "metadata": {"deep": {}}},
            "empty": {"state": "ENABLED", "variants": {}},
            "twice": {"state": "ENABLED", "state": "DISABLED",
                "variants": {"on": true, "": false, "on": 1}},
            "default": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "off"},
            "a/b~c": {"state": "ENABLED", "variants": {"on": true},
                "targeting": {"if": [{"$ref": "gone"}, "on", {"nope": 1}]}},
            "rule": {"state": "ENABLED", "variants": {"on": true},
                "targeting": {"if": [true, "off", {"fractional": [["on"], ["of"]]}]}},
            "bool": {"state": "ENABLED", "variants": {"true": 1, "3": 2},
                "targeting": {"if": [1, true, 2, false, 3, 3, 4, 4, null]}},
            "none": 5
        }
    }"#;
    assert_eq!(
        faults(text),
        [
            "/metadata/list",
            "/$evaluators/bad",
            "/$evaluators/bad/nope",
            "/flags/",
            "/flags/state/state",
            "/flags/nothing",
            "/flags/nothing",
            "/flags/kinds/state",
            "/flags/kinds/variants",
            "/flags/kinds/defaultVariant",
            "/flags/kinds/targeting",
            "/flags/kinds/metadata/deep",
            "/flags/kinds/variants",
            "/flags/empty/variants",
            "/flags/twice/state",
            "/flags/twice/variants/on",
            "/flags/twice/variants",
            "/flags/default/defaultVariant",
            "/flags/a~1b~0c/targeting/if/0/$ref",
            "/flags/a~1b~0c/targeting/if/2/nope",
            "/flags/none",
        ]
    );
}

#[test]
fn a_verdict_that_is_no_variant_is_told_and_refuses_nothing() {
    let text = r#"{"flags": {"cart": {"state": "ENABLED", "variants": {"on": true, "off": false},
        "targeting": {"if": [{"var": "beta"}, "On", "off"]}}}}"#;
    let (_, doubts) = Definitions::read(text).expect("flagd takes it as well");
    let said: Vec<String> = doubts.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "flag `cart`: the flag has no variant `On` (at /flags/cart/targeting/if/1); name one of its \
          variants: on, off"
        ]
    );
}

#[test]
fn what_is_no_set_of_flags_is_refused() {
    for (text, pointer) in [
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ("{}", ""),
        ("{\"flags\": 1}", "/flags"),
        ("{\"flags\": {}} {}", ""),
        ("{\"flags\": {}, \"$evaluators\": []}", "/$evaluators"),
        ("{\"flags\": {}, \"metadata\": 1}", "/metadata"),
        ("{\"flags\": {}, \"flags\": {}}", "/flags"),
    ] {
        assert_eq!(faults(text), [pointer], "{text}");
    }
    assert_eq!(read(&json!({"flags": {}})), Definitions::default());
}

#[test]
fn no_file_is_larger_than_it_may_be() {
    let flag = json!({"state": "ENABLED", "variants": {"on": true}});
    let flags = |number| -> Map<String, Value> {
        (0..number).map(|number| (format!("f{number}"), flag.clone())).collect()
    };
    assert_eq!(read(&json!({"flags": flags(FLAGS_MAX)})).flags.len(), FLAGS_MAX);
    assert_eq!(faults(&json!({"flags": flags(FLAGS_MAX + 1)}).to_string()), ["/flags"]);
    let variants = |number| -> Map<String, Value> {
        (0..number).map(|number| (format!("v{number:03}"), json!(number))).collect()
    };
    let file = |number| {
        let flag =
            json!({"state": "ENABLED", "variants": variants(number), "defaultVariant": "v254"});
        json!({"flags": {"f": flag}})
    };
    assert_eq!(read(&file(VARIANTS_MAX)).flags[0].default, Some(254));
    assert_eq!(faults(&file(VARIANTS_MAX + 1).to_string()), ["/flags/f/variants"]);
    assert_eq!(faults(&" ".repeat(BYTES_MAX + 1)), [""]);
    assert_eq!(faults(&"[".repeat(100_000)), [""]);
    let wrong: Map<String, Value> = (0..500).map(|at| (format!("f{at}"), json!(1))).collect();
    assert_eq!(faults(&json!({"flags": wrong}).to_string()).len(), 100);
}

#[test]
fn what_is_surely_not_meant_is_said_and_does_no_harm() {
    let text = json!({"flags": {"f": {
        "state": "ENABLED", "variants": {"true": 1, "false": "x"}, "defaultVarient": "true",
        "targeting": {"or": [
            {"starts_with": ["a"]},
            {"sem_ver": ["newest", "===", "1.0.0"]},
            {"fractional": [["true", 1.5], 7, [], ["false", "5"]]},
            {"fractional": {"var": "x"}},
        ]},
    }}});
    let (definitions, doubts) = Definitions::read(&text.to_string()).expect("it is right");
    assert_eq!(definitions.flags.len(), 1);
    let mut places: Vec<&str> = doubts.iter().map(|doubt| doubt.pointer.as_str()).collect();
    places.sort_unstable();
    let or = "/flags/f/targeting/or";
    assert_eq!(
        places,
        [
            "/flags/f/defaultVarient",
            &format!("{or}/0/starts_with"),
            &format!("{or}/1/sem_ver"),
            &format!("{or}/1/sem_ver"),
            &format!("{or}/2/fractional/0"),
            &format!("{or}/2/fractional/1"),
            &format!("{or}/2/fractional/2"),
            &format!("{or}/2/fractional/3"),
            &format!("{or}/3/fractional"),
            "/flags/f/variants",
        ]
    );
    assert!(doubts.iter().all(|doubt| doubt.flag.as_deref() == Some("f")));
}

#[test]
fn a_flag_without_targeting_is_static() {
    let file = json!({"flags": {
        "plain": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"},
        "empty": {"state": "ENABLED", "variants": {"zero": "", "more": "x"},
            "defaultVariant": "zero", "targeting": {}},
        "none": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": null},
        "unnamed": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": ""},
        "absent": {"state": "ENABLED", "variants": {"small": 10, "big": 1000}},
        "off": {"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"},
    }});
    let flags = Flags::of(&file);
    for (name, expected) in [
        ("plain", ("on", Reason::Static)),
        ("empty", ("zero", Reason::Static)),
        ("none", ("", Reason::Default)),
        ("unnamed", ("", Reason::Default)),
        ("absent", ("", Reason::Default)),
        ("off", ("", Reason::Disabled)),
    ] {
        assert_eq!(flags.get(name, &json!({})), expected, "{name}");
    }
}

#[test]
fn a_rule_names_a_variant() {
    let key = json!({"==": [{"var": "targetingKey"}, "u-1"]});
    let flags = Flags::one(&["hit", "miss"], json!("miss"), json!({"if": [key, "hit", null]}));
    assert_eq!(flags.get("flag", &json!({"targetingKey": "u-1"})), ("hit", MATCH));
    assert_eq!(flags.get("flag", &json!({"targetingKey": "u-2"})), ("miss", Reason::Default));
    assert_eq!(flags.get("flag", &json!({})), ("miss", Reason::Default));
    // Without a default, nothing is chosen, whether the rule says null or nothing.
    let email = json!({"==": ["a@example.com", {"var": ["email"]}]});
    for rule in [json!({"if": [email, "hit", null]}), json!({"if": [email, "hit"]})] {
        let flags = Flags::one(&["hit", "miss"], Value::Null, rule);
        assert_eq!(flags.get("flag", &json!({"email": "a@example.com"})), ("hit", MATCH));
        assert_eq!(flags.get("flag", &json!({"email": "b@example.com"})), ("", Reason::Default));
    }
}

#[test]
fn a_value_that_counts_as_nothing_may_be_meant() {
    let file = |zero: Value, other: Value| {
        json!({
            "flags": {"flag": {
                "state": "ENABLED", "variants": {"zero": zero, "other": other},
                "targeting": {"if": [{"$ref": "is staff"}, "zero"]}, "defaultVariant": "zero",
            }},
            "$evaluators": {"is staff": {"==": ["a@example.com", {"var": ["email"]}]}},
        })
    };
    for (zero, other) in [
        (json!(false), json!(true)),
        (json!(""), json!("x")),
        (json!(0), json!(1)),
        (json!(0.0), json!(1.0)),
        (json!({}), json!({"a": 1})),
    ] {
        let flags = Flags::of(&file(zero, other));
        assert_eq!(flags.get("flag", &json!({"email": "a@example.com"})), ("zero", MATCH));
        assert_eq!(flags.get("flag", &json!({"email": "x"})), ("zero", Reason::Default));
    }
}

#[test]
fn true_and_false_name_variants() {
    let rule = json!({"==": [{"var": "x"}, 1]});
    let flags = Flags::one(&["true", "false"], json!("false"), rule);
    assert_eq!(flags.get("flag", &json!({"x": 1})), ("true", MATCH));
    assert_eq!(flags.get("flag", &json!({"x": 2})), ("false", MATCH));
    let flags = Flags::one(&["1", "2.5"], json!("1"), json!({"+": [{"var": "x"}]}));
    assert_eq!(flags.get("flag", &json!({"x": 2.5})), ("2.5", MATCH));
}

#[test]
fn what_names_no_variant_is_an_error() {
    let flags = Flags::one(&["on"], json!("on"), json!({"var": "x"}));
    assert_eq!(flags.get("flag", &json!({"x": "on"})), ("on", MATCH));
    for wrong in [json!("off"), json!(true), json!(1), json!([]), json!(["on"]), json!({"a": 1})] {
        let resolution = flags.ask("flag", &json!({"x": wrong}), 0);
        assert_eq!(resolution, Resolution::failed(ErrorCode::General), "{wrong}");
    }
}

#[test]
fn a_rule_without_end_is_an_error() {
    let many: Vec<u32> = (0..300).collect();
    let rule = json!({"map": [many, {"map": [many, 1]}]});
    let flags = Flags::one(&["on"], json!("on"), json!({"if": [rule, "on"]}));
    assert_eq!(flags.ask("flag", &json!({}), 0), Resolution::failed(ErrorCode::General));
}

#[test]
fn versions_are_compared() {
    let version = json!({"var": "version"});
    let is = |relation: &str, than: &str| json!({"sem_ver": [version, relation, than]});
    let names = ["equal", "greater", "lesser", "minor", "major", "match", "none"];
    let said = |version: Value| json!({"version": version});
    let flags = |rule: Value| Flags::one(&names, json!("none"), rule);
    flags(json!({"if": [
        is("=", "2.0.0"), "equal", is(">", "2.0.0"), "greater", is("<", "2.0.0"), "lesser", "none",
    ]}))
    .check(
        "flag",
        &[
            (said(json!("2.0.0")), "equal"),
            (said(json!("2.1.0")), "greater"),
            (said(json!("1.9.0")), "lesser"),
            (said(json!("2.0.0-alpha")), "lesser"),
            (said(json!("2.0.0.0")), "none"),
        ],
    );
    flags(json!({"if": [is("~", "3.0.0"), "minor", is("^", "3.0.0"), "major", "none"]})).check(
        "flag",
        &[
            (said(json!("3.0.1")), "minor"),
            (said(json!("3.1.0")), "major"),
            (said(json!("4.0.0")), "none"),
        ],
    );
    for (rule, matching, other) in [
        (is("=", "v1.0.0"), vec![json!("1.0.0"), json!("v1.0.0"), json!("V1.0.0")], json!("2.0.0")),
        (is("=", "1.0.0+build"), vec![json!("1.0.0"), json!("1.0.0+other")], json!("2.0.0")),
        (is(">", "1.1"), vec![json!(1.2), json!(2), json!("1.2")], json!(1.1)),
        (
            is("^", "1"),
            vec![json!("1.5.0"), json!("1.0.0"), json!("1.0"), json!("1"), json!(1), json!(1.2)],
            json!("2.0.0"),
        ),
    ] {
        let flags = flags(json!({"if": [rule, "match", "none"]}));
        for version in matching {
            flags.check("flag", &[(said(version), "match")]);
        }
        flags.check("flag", &[(said(other), "none")]);
    }
}

#[test]
fn operators_that_are_given_something_else_come_to_nothing() {
    let said = json!({"num": 123, "version": "1.0.0", "odd": "not-a-version"});
    for rule in [
        json!({"sem_ver": [{"var": "odd"}, "=", "1.0.0"]}),
        json!({"sem_ver": [{"var": "version"}, "===", "1.0.0"]}),
        json!({"sem_ver": [{"var": "version"}, "="]}),
        json!({"starts_with": [{"var": "num"}, "abc"]}),
        json!({"ends_with": [{"var": "num"}, "xyz"]}),
        json!({"starts_with": ["abc"]}),
        json!({"ends_with": ["xyz"]}),
    ] {
        let flags = Flags::one(&["true", "false", "default"], json!("default"), rule.clone());
        assert_eq!(flags.get("flag", &said), ("default", Reason::Default), "{rule}");
    }
}

#[test]
fn texts_are_told_by_their_ends() {
    let id = json!({"var": "id"});
    let rule = json!({"if": [
        {"starts_with": [id, "abc"]}, "prefix", {"ends_with": [id, "xyz"]}, "postfix", "none",
    ]});
    let flags = Flags::one(&["prefix", "postfix", "none"], json!("none"), rule);
    let said = |id: &str| json!({"id": id});
    flags.check(
        "flag",
        &[
            (said("abcdef"), "prefix"),
            (said("uvwxyz"), "postfix"),
            (said("abcxyz"), "prefix"),
            (said("lmnopq"), "none"),
        ],
    );
}

#[test]
fn a_rule_may_ask_for_the_time_and_for_its_flag() {
    let time = json!({"var": "$flagd.timestamp"});
    let rule = json!({"if": [{"<": [1000, time, 2000]}, {"var": "$flagd.flagKey"}, "early"]});
    let flags = Flags::one(&["flag", "early"], json!("early"), rule);
    for (now, expected) in [(1000, 1), (1001, 0), (1999, 0), (2000, 1)] {
        let place = flags.ask("flag", &json!({"$flagd": {"timestamp": 1500}}), now).variant;
        let names = ["flag", "early"].map(|name| {
            let flag = &flags.0.flags()[0];
            flag.variants.iter().position(|variant| &*variant.name == name)
        });
        assert_eq!(place.map(usize::from), names[expected], "{now}");
    }
    // A ramp that nobody has to turn.
    let weight = json!({"/": [{"-": [time, 1000]}, 10]});
    let rest = json!({"-": [100, weight]});
    let rule = json!({"fractional": [["new", weight], ["old", rest]]});
    let flags = Flags::one(&["new", "old"], json!("old"), rule);
    let users: Vec<Value> =
        (0..1000).map(|user| json!({"targetingKey": format!("u{user}")})).collect();
    let share = |now| {
        let is_new = |said: &&Value| {
            let flag = &flags.0.flags()[0];
            let variant = flags.ask("flag", said, now).variant.expect("one of them");
            &*flag.variants[usize::from(variant)].name == "new"
        };
        users.iter().filter(is_new).count()
    };
    assert_eq!((share(1000), share(2000)), (0, 1000));
    assert!((400..600).contains(&share(1500)), "{}", share(1500));
}
