//! What draws come to: the buckets are flagd's.

use serde_json::{Map, Value, json};

use super::{Flags, MATCH};
use crate::{ErrorCode, Reason, Resolution};

const ALL: [&str; 5] = ["clubs", "diamonds", "hearts", "spades", "wild"];

fn quarters(by: &Value) -> Value {
    json!({"fractional": [
        by, ["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25],
    ]})
}

#[test]
fn draws_fall_as_they_do_in_flagd() {
    let name = |name: &str| json!({"user": {"name": name}});
    let by = json!({"cat": [{"var": "$flagd.flagKey"}, {"var": "user.name"}]});
    let flag = |targeting: Value| {
        let variants: Map<String, Value> =
            ALL.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
        json!({"state": "ENABLED", "variants": variants, "defaultVariant": "wild",
            "targeting": targeting})
    };
    let shared = quarters(&json!({"cat": ["shared-seed", {"var": "user.name"}]}));
    let flags = Flags::of(&json!({"flags": {
        "fractional-flag": flag(quarters(&by)),
        "a": flag(shared.clone()),
        "b": flag(shared),
    }}));
    let rows = [
        (name("jack"), "hearts"),
        (name("queen"), "spades"),
        (name("ten"), "clubs"),
        (name("nine"), "diamonds"),
        (name("3"), "clubs"),
        (json!({"user": {"name": 3}}), "clubs"),
    ];
    flags.check("fractional-flag", &rows);
    assert_eq!(flags.get("fractional-flag", &name("jack")).1, MATCH);
    for flag in ["a", "b"] {
        let rows = [
            (name("seven"), "hearts"),
            (name("eight"), "diamonds"),
            (name("nine"), "clubs"),
            (name("two"), "spades"),
        ];
        flags.check(flag, &rows);
    }
}

#[test]
fn hashes_at_the_edges_fall_on_their_side() {
    let rule = json!({"fractional": [{"var": "targetingKey"}, ["lower", 50], ["upper", 50]]});
    let flags = Flags::one(&["lower", "upper"], json!("lower"), rule);
    for (key, expected) in [
        ("ejOoVL", "lower"),
        ("bY9fO-", "lower"),
        ("SI7p-", "lower"),
        ("6LvT0", "upper"),
        ("ceQdGm", "upper"),
    ] {
        assert_eq!(flags.get("flag", &json!({"targetingKey": key})), (expected, MATCH), "{key}");
    }
}

#[test]
fn a_weight_that_is_not_there_is_one() {
    let variants = json!({"heads": "heads", "tails": "tails", "draw": "draw"});
    let flag = |rule: Value| {
        json!({"state": "ENABLED", "variants": variants, "defaultVariant": "draw",
            "targeting": {"fractional": rule}})
    };
    let flags = Flags::of(&json!({"flags": {
        "fractional-flag-shorthand": flag(json!([["heads"], ["tails", 1]])),
        "null": flag(json!([null, ["heads", null], ["tails", 0]])),
        "single": flag(json!([["tails", 1]])),
    }}));
    let key = |key: &str| json!({"targetingKey": key});
    let rows = [(key("jon@company.com"), "heads"), (key("jane@company.com"), "tails")];
    flags.check("fractional-flag-shorthand", &rows);
    flags.check("null", &[(key("anybody"), "heads"), (json!({}), "draw")]);
    flags.check("single", &[(key("anybody"), "tails")]);
}

#[test]
fn parts_of_a_draw_may_be_computed() {
    let said = |key: &str, tier: &str| json!({"targetingKey": key, "tier": tier, "color": tier});
    let by = json!({"var": "targetingKey"});
    let is_premium = json!({"==": [{"var": "tier"}, "premium"]});
    let names = ["premium", "standard", "red", "green", "blue", "fallback"];
    let flags = |rule: Value| Flags::one(&names, json!("fallback"), json!({"fractional": rule}));
    let variant = json!({"if": [is_premium, "premium", "standard"]});
    flags(json!([by, [variant, 50], ["standard", 50]])).check(
        "flag",
        &[
            (said("jon@company.com", "premium"), "premium"),
            (said("jon@company.com", "basic"), "standard"),
            (said("user1", "premium"), "standard"),
            (said("user1", "basic"), "standard"),
        ],
    );
    let named = flags(json!([by, [{"var": "color"}, 50], ["blue", 50]]));
    named.check(
        "flag",
        &[
            (said("jon@company.com", "red"), "red"),
            (said("jon@company.com", "green"), "green"),
            (said("user1", "red"), "blue"),
            (json!({"targetingKey": "jon@company.com"}), "fallback"),
        ],
    );
    let unknown = named.ask("flag", &said("jon@company.com", "yellow"), 0);
    assert_eq!(unknown, Resolution::failed(ErrorCode::General));
    let weight = json!({"if": [is_premium, 100, 0]});
    flags(json!([by, ["red", weight], ["blue", 10]])).check(
        "flag",
        &[
            (said("jon@company.com", "premium"), "red"),
            (said("jon@company.com", "basic"), "blue"),
            (said("user1", "premium"), "red"),
            (said("user1", "basic"), "blue"),
        ],
    );
    let whole = json!({"if": [is_premium, ["red", 100], ["green"]]});
    flags(json!([by, whole, ["blue", 0]]))
        .check("flag", &[(said("x", "premium"), "red"), (said("x", "basic"), "green")]);
}

#[test]
fn a_draw_may_be_a_condition() {
    for (rule, expected) in
        [(json!([[false, 0], [true, 100]]), "big"), (json!([[false, 100], [true, 0]]), "small")]
    {
        let rule = json!({"if": [{"fractional": rule}, "big", "small"]});
        let flags = Flags::one(&["big", "small"], Value::Null, rule);
        flags.check("flag", &[(json!({"targetingKey": "some-targeting-key"}), expected)]);
    }
}

#[test]
fn a_draw_that_cannot_be_made_is_the_default() {
    let key = json!({"targetingKey": "any-user", "number": 5, "list": [1], "half": 0.5});
    let by = json!({"var": "targetingKey"});
    let most = i32::MAX;
    for (rule, said) in [
        (json!([{"var": "missing"}, ["one", 50], ["two", 50]]), json!({})),
        (json!([["one", 50], ["two", 50]]), json!({})),
        (json!([["one", 50], ["two", 50]]), json!({"targetingKey": ""})),
        (json!([["one", 50], ["two", 50]]), json!({"targetingKey": 5})),
        (json!([by, ["one", 0], ["two", 0]]), key.clone()),
        (json!([by]), key.clone()),
        (json!([]), key.clone()),
        (json!([by, ["one", most], ["two", 1]]), key.clone()),
        (json!([by, ["one", i64::from(most) + 1]]), key.clone()),
        (json!([by, ["one", {"var": "half"}]]), key.clone()),
        (json!([by, ["one", {"cat": "5"}]]), key.clone()),
        (json!([by, "one", "two"]), key.clone()),
        (json!([by, ["one", 1], []]), key.clone()),
        (json!([{"var": "number"}, ["one"]]), key.clone()),
        (json!([{"var": "list"}, ["one"]]), key.clone()),
        (json!([by, [{"var": "list"}]]), key.clone()),
    ] {
        let rule = json!({"fractional": rule});
        let flags = Flags::one(&["one", "two", "default"], json!("default"), rule.clone());
        assert_eq!(flags.get("flag", &said), ("default", Reason::Default), "{rule}");
    }
    let rule = json!({"fractional": [by, ["one", -50], ["two", 100]]});
    let flags = Flags::one(&["one", "two"], json!("one"), rule);
    assert_eq!(flags.get("flag", &key), ("two", MATCH));
    let rule = json!({"fractional": [by, ["one", most]]});
    let flags = Flags::one(&["one", "two"], json!("two"), rule);
    assert_eq!(flags.get("flag", &key), ("one", MATCH));
}
