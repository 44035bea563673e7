//! What rules come to.

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};

use super::*;

/// What a rule comes to for some data.
fn apply(rule: &Value, data: &Value) -> Value {
    let rule = Expression::compile(rule).unwrap_or_else(|flaws| panic!("{rule}: {flaws:?}"));
    rule.apply(data).expect("it ends soon")
}

/// Numbers of JSON are equal however they are written.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| is_same(l, r))
        }
        _ => left == right,
    }
}

/// Each row: a rule, its data, what it comes to.
#[track_caller]
fn check(rows: &Value) {
    for row in rows.as_array().expect("rows") {
        let come_to = apply(&row[0], &row[1]);
        assert!(is_same(&come_to, &row[2]), "{row} comes to {come_to}");
    }
}

#[test]
fn what_is_no_operation_is_itself() {
    check(&json!([
        [true, null, true],
        [7, null, 7],
        ["kiwi", null, "kiwi"],
        [null, {"a": 1}, null],
        [[1, "b", null], null, [1, "b", null]],
        [{}, null, {}],
        [{"a": 1, "b": {"var": "a"}}, {"a": 2}, {"a": 1, "b": {"var": "a"}}],
        [[{"var": "a"}, [{"+": [1, 2]}]], {"a": 5}, [5, [3]]],
    ]));
}

#[test]
fn values_are_equal_after_conversion() {
    check(&json!([
        [{"==": [1, "1"]}, null, true],
        [{"==": [1, " 1.0 "]}, null, true],
        [{"==": ["1", "1.0"]}, null, false],
        [{"==": [0, ""]}, null, true],
        [{"==": [0, false]}, null, true],
        [{"==": [true, "1"]}, null, true],
        [{"==": [true, "true"]}, null, false],
        [{"==": [null, 0]}, null, false],
        [{"==": [null, ""]}, null, false],
        [{"==": [null, false]}, null, false],
        [{"==": [null, null]}, null, true],
        [{"==": [null]}, null, true],
        [{"==": [[1], 1]}, null, true],
        [{"==": [[1, 2], "1,2"]}, null, true],
        [{"==": [[], 0]}, null, true],
        [{"==": [[1], [1]]}, null, false],
        [{"==": [{"var": "a"}, {"var": "a"}]}, {"a": [1]}, true],
        [{"==": ["x", 3]}, null, false],
        [{"!=": [1, "1"]}, null, false],
        [{"!=": [1, 2]}, null, true],
        [{"===": [1, 1.0]}, null, true],
        [{"===": [1, "1"]}, null, false],
        [{"===": [null, null]}, null, true],
        [{"===": [null]}, null, false],
        [{"!==": [1, "1"]}, null, true],
        [{"!==": ["a", "a"]}, null, false],
    ]));
}

#[test]
fn values_are_put_in_order() {
    check(&json!([
        [{"<": [1, 2]}, null, true],
        [{"<": ["11", 2]}, null, false],
        [{"<": ["11", "2"]}, null, true],
        [{"<": ["a", 2]}, null, false],
        [{">": ["a", 2]}, null, false],
        [{"<": [null, 1]}, null, true],
        [{"<": [-1]}, null, false],
        [{"<=": [2, "2"]}, null, true],
        [{">=": ["2", 2]}, null, true],
        [{">": [2, 2]}, null, false],
        [{"<": [1, 2, 3]}, null, true],
        [{"<": [1, 3, 3]}, null, false],
        [{"<=": [1, 3, 3]}, null, true],
        [{"<": [{"var": "low"}, {"var": "x"}, 9]}, {"low": 2, "x": "5"}, true],
        [{">": [3, 2, 1]}, null, true],
        [{">": [3, 1, 2]}, null, false],
        [{">=": [3, 3, 1]}, null, true],
        [{"<": [[1], 2]}, null, true],
        [{"<": [true, 2]}, null, true],
    ]));
}

#[test]
fn some_values_count_as_true() {
    check(&json!([
        [{"!!": [1]}, null, true],
        [{"!!": 0}, null, false],
        [{"!!": ""}, null, false],
        [{"!!": "0"}, null, true],
        [{"!!": [[]]}, null, false],
        [{"!!": [[0]]}, null, true],
        [{"!!": {"var": "o"}}, {"o": {}}, true],
        [{"!!": null}, null, false],
        [{"!": []}, null, true],
        [{"!": "a"}, null, false],
        [{"!": {"var": "missing"}}, {}, true],
        [{"and": [1, "", 3]}, null, ""],
        [{"and": [1, 2, 3]}, null, 3],
        [{"or": [0, "", 3, 4]}, null, 3],
        [{"or": [0, ""]}, null, ""],
        [{"and": []}, null, null],
        [{"and": [false, {"var": "not.looked.at"}]}, null, false],
    ]));
}

#[test]
fn conditions_choose() {
    check(&json!([
        [{"if": [true, "a", "b"]}, null, "a"],
        [{"if": [0, "a", "b"]}, null, "b"],
        [{"if": [0, "a", "yes", "b", "c"]}, null, "b"],
        [{"if": [0, "a", 0, "b"]}, null, null],
        [{"if": [0, "a"]}, null, null],
        [{"if": ["only"]}, null, "only"],
        [{"if": []}, null, null],
        [{"if": "only"}, null, "only"],
        [{"?:": [false, 1, 2]}, null, 2],
        [{"if": [{"<": [{"var": "t"}, 0]}, "ice", {"<": [{"var": "t"}, 100]}, "water", "steam"]},
            {"t": 50}, "water"],
        [{"if": [true, [{"var": "t"}]]}, {"t": 1}, [1]],
    ]));
}

#[test]
fn numbers_are_reckoned_with() {
    check(&json!([
        [{"+": [1, 2, 3]}, null, 6],
        [{"+": "3.5kg"}, null, 3.5],
        [{"+": []}, null, 0],
        [{"+": [1, null]}, null, null],
        [{"+": [true, 1]}, null, null],
        [{"-": [5, "2"]}, null, 3],
        [{"-": ["2"]}, null, -2],
        [{"-": "2x"}, null, null],
        [{"-": [null, 1]}, null, -1],
        [{"*": [2, "3", 4]}, null, 24],
        [{"*": ["7"]}, null, "7"],
        [{"/": [1, 4]}, null, 0.25],
        [{"/": [1, 0]}, null, null],
        [{"%": [7, 3]}, null, 1],
        [{"%": [-7, 3]}, null, -1],
        [{"%": [5.5, 2]}, null, 1.5],
        [{"max": [1, "30", 2]}, null, 30],
        [{"min": [1, -2, true]}, null, -2],
        [{"max": [1, "x"]}, null, null],
        [{"max": ["x", 1]}, null, null],
        [{"min": []}, null, null],
    ]));
}

#[test]
fn names_lead_into_data() {
    check(&json!([
        [{"var": "a"}, {"a": 1}, 1],
        [{"var": ["a"]}, {"a": 1}, 1],
        [{"var": "a.b.c"}, {"a": {"b": {"c": "deep"}}}, "deep"],
        [{"var": "a.1.0"}, {"a": [1, [2]]}, 2],
        [{"var": "a.2"}, {"a": [1]}, null],
        [{"var": "a.01"}, {"a": [1, 2]}, null],
        [{"var": 1}, ["x", "y"], "y"],
        [{"var": ["z", 26]}, {"a": 1}, 26],
        [{"var": ["z", {"+": [1, 1]}]}, {"a": 1}, 2],
        [{"var": ["a", 26]}, {"a": null}, null],
        [{"var": ["a.b", 26]}, {"a": null}, 26],
        [{"var": ["a.b", 26]}, {"a": "text"}, 26],
        [{"var": ""}, 5, 5],
        [{"var": []}, [1], [1]],
        [{"var": null}, "x", "x"],
        [{"var": {"var": "which"}}, {"which": "b", "b": 2}, 2],
        [{"var": [{"cat": ["a", ".", "b"]}, 9]}, {"a": {"b": 3}}, 3],
        [{"var": [{"var": "gone"}]}, {"a": 1}, {"a": 1}],
        [{"var": "a"}, null, null],
        [{"var": "a.b"}, {"a.b": 1}, 1],
        [{"var": "a.b"}, {"a.b": 1, "a": {"c": 2}}, null],
    ]));
}

#[test]
fn missing_names_are_listed() {
    check(&json!([
        [{"missing": ["a", "b"]}, {"a": 1}, ["b"]],
        [{"missing": [["a", "b"]]}, {"b": 1}, ["a"]],
        [{"missing": "a"}, {"a": ""}, ["a"]],
        [{"missing": ["a", "b"]}, {"a": 0, "b": false}, []],
        [{"missing": ["a.b"]}, {"a": {"b": 1}}, []],
        [{"missing": {"merge": ["a", {"if": [true, "b"]}]}}, {"a": 1}, ["b"]],
        [{"missing": []}, null, []],
        [{"missing_some": [1, ["a", "b"]]}, {"a": 1}, []],
        [{"missing_some": [2, ["a", "b", "c"]]}, {"a": 1}, ["b", "c"]],
        [{"missing_some": [0, ["a"]]}, null, []],
        [{"missing_some": [1, "a"]}, null, []],
    ]));
}

#[test]
fn lists_are_gone_through() {
    check(&json!([
        [{"map": [{"var": "n"}, {"*": [{"var": ""}, 2]}]}, {"n": [1, 2]}, [2, 4]],
        [{"map": [5, 1]}, null, []],
        [{"filter": [{"var": "n"}, {">": [{"var": ""}, 1]}]}, {"n": [1, 2, 3]}, [2, 3]],
        [{"filter": [{"var": "n"}, {"==": [{"var": "k"}, 1]}]}, {"n": [{"k": 1}, {"k": 2}], "k": 1},
            [{"k": 1}]],
        [{"filter": [null, true]}, null, []],
        [{"reduce": [{"var": "n"}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 10]},
            {"n": [1, 2]}, 13],
        [{"reduce": [{"var": "n"}, {"var": "current.k"}]}, {"n": [{"k": 1}, {"k": 2}]}, 2],
        [{"reduce": [null, 1, "start"]}, null, "start"],
        [{"reduce": [[], 1]}, null, null],
        [{"all": [{"var": "n"}, {">": [{"var": ""}, 0]}]}, {"n": [1, 2]}, true],
        [{"all": [{"var": "n"}, {">": [{"var": ""}, 1]}]}, {"n": [1, 2]}, false],
        [{"all": [[], true]}, null, false],
        [{"none": [{"var": "n"}, {">": [{"var": ""}, 2]}]}, {"n": [1, 2]}, true],
        [{"none": [[1], true]}, null, false],
        [{"none": [[], true]}, null, true],
        [{"none": [null, true]}, null, true],
        [{"some": [{"var": "n"}, {"in": [{"var": "k"}, "xyz"]}]}, {"n": [{"k": "a"}, {"k": "y"}]},
            true],
        [{"some": [[], true]}, null, false],
        [{"merge": [[1], 2, [[3]], []]}, null, [1, 2, [3]]],
        [{"merge": []}, null, []],
        [{"in": ["a", ["a", "b"]]}, null, true],
        [{"in": [1, ["1"]]}, null, false],
        [{"in": [null, [null]]}, null, true],
        [{"in": [[1], [[1]]]}, null, false],
        [{"in": ["an", "banana"]}, null, true],
        [{"in": [1, "a1"]}, null, true],
        [{"in": ["", "a"]}, null, true],
        [{"in": ["a", ""]}, null, false],
        [{"in": ["", ""]}, null, false],
        [{"in": ["a", null]}, null, false],
        [{"in": ["a", {"var": "o"}]}, {"o": {"a": 1}}, false],
        [{"in": [3, 123]}, null, false],
    ]));
}

#[test]
fn texts_are_cut_and_joined() {
    check(&json!([
        [{"cat": ["a", 1, null, true, [1, [2, null]], 1.5]}, null, "a1true1,2,1.5"],
        [{"cat": "a"}, null, "a"],
        [{"cat": []}, null, ""],
        [{"cat": ["a", {"var": "o"}]}, {"o": {"x": 1}}, "a[object Object]"],
        [{"substr": ["jsonlogic", 4]}, null, "logic"],
        [{"substr": ["jsonlogic", -5]}, null, "logic"],
        [{"substr": ["jsonlogic", 0, 4]}, null, "json"],
        [{"substr": ["jsonlogic", -5, 2]}, null, "lo"],
        [{"substr": ["jsonlogic", 1, -5]}, null, "son"],
        [{"substr": ["jsonlogic", 1, -50]}, null, ""],
        [{"substr": ["jsonlogic", -50, 4]}, null, "json"],
        [{"substr": ["jsonlogic", 50]}, null, ""],
        [{"substr": ["jsonlogic", 1, 0]}, null, ""],
        [{"substr": ["jsonlogic", "x", "2"]}, null, "js"],
        [{"substr": ["jsonlogic", 0, 1e300]}, null, "jsonlogic"],
        [{"substr": [12345, 1, 2]}, null, "23"],
        [{"substr": ["grüße", 2, 2]}, null, "üß"],
        [{"log": "said"}, null, "said"],
        [{"starts_with": ["abcd", "ab"]}, null, true],
        [{"starts_with": ["abcd", "bc"]}, null, false],
        [{"ends_with": [{"var": "mail"}, "@example.com"]}, {"mail": "a@example.com"}, true],
        [{"ends_with": [1, "1"]}, null, null],
        [{"starts_with": ["abcd"]}, null, null],
        [{"starts_with": ["a", "a", "a"]}, null, null],
        [{"sem_ver": ["1.2.3", ">=", "v1.2"]}, null, true],
        [{"sem_ver": [1.2, ">", "1.1"]}, null, true],
        [{"sem_ver": [2, "^", "2.9.1"]}, null, true],
        [{"sem_ver": ["2.0.0.0", "=", "2.0.0"]}, null, null],
        [{"sem_ver": ["1.0.0", "===", "1.0.0"]}, null, null],
        [{"sem_ver": ["1.0.0", "="]}, null, null],
        [{"sem_ver": [null, "=", "1.0.0"]}, null, null],
        [{"sem_ver": [true, "=", "1.0.0"]}, null, null],
    ]));
}

#[test]
fn what_is_wrong_is_said_all_at_once() {
    let rule = json!({"if": [{"nope": 1}, {"$ref": "gone"}, {"or": [{"": []}, {"$ref": 5}]}]});
    let flaws = Expression::compile(&rule).expect_err("nothing of it is right");
    let places: Vec<&str> = flaws.iter().map(|flaw| flaw.pointer.as_str()).collect();
    assert_eq!(places, ["/if/0/nope", "/if/1/$ref", "/if/2/or/0/", "/if/2/or/1/$ref"]);
    assert!(flaws.iter().all(|flaw| !flaw.what.is_empty() && !flaw.advice.is_empty()));
}

/// An operation in itself, so many levels deep.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!("end"), |rule, _| json!({"!": rule}))
}

#[test]
fn rules_have_so_many_levels() {
    let is_right = |rule: &Value| Expression::compile(rule).is_ok();
    assert!(is_right(&nested(DEPTH_MAX)));
    assert!(!is_right(&nested(DEPTH_MAX + 1)));
    let list = (1..DEPTH_MAX).fold(json!(1), |list, _| json!([list]));
    assert!(is_right(&list));
    assert!(!is_right(&json!([list])));
    let flaws = Expression::compile(&json!([nested(99), nested(99)])).expect_err("too deep");
    assert_eq!(flaws.len(), 2, "{flaws:?}");
}

fn compiler(rules: Value) -> Compiler {
    let Value::Object(rules) = rules else { panic!("{rules} are no rules") };
    Compiler::new(rules)
}

#[test]
fn common_rules_are_used_by_name() {
    let mut compiler = compiler(json!({
        "is staff": {"ends_with": [{"var": "mail"}, "@example.com"]},
        "is beta": {"or": [{"$ref": "is staff"}, {"var": "beta"}]},
    }));
    let rule = json!({"if": [{"$ref": "is beta"}, "on", "off"]});
    let rule = compiler.compile(&rule, "").expect("it is right");
    assert_eq!(compiler.take_flaws(), []);
    for (data, expected) in [
        (json!({"mail": "a@example.com"}), "on"),
        (json!({"mail": "a@example.org"}), "off"),
        (json!({"beta": true}), "on"),
    ] {
        assert_eq!(rule.apply(&data), Ok(json!(expected)), "{data}");
    }
}

#[test]
fn no_common_rule_refers_to_itself() {
    let mut compiler = compiler(json!({
        "a": {"!": {"$ref": "b"}}, "b": {"!": {"$ref": "c"}}, "c": {"!": {"$ref": "a"}},
        "d": {"$ref": "d"}, "fine": true,
    }));
    let flaws = compiler.take_flaws();
    let places: Vec<&str> = flaws.iter().map(|flaw| flaw.pointer.as_str()).collect();
    assert_eq!(places, ["/$evaluators/c/!/$ref", "/$evaluators/d/$ref"]);
    assert!(compiler.compile(&json!({"$ref": "fine"}), "/x").is_some());
}

#[test]
fn common_rules_of_common_rules_are_counted_each_time() {
    let mut rules = Map::new();
    rules.insert("r0".to_owned(), json!({"var": "x"}));
    for level in 1..40 {
        let below = json!({"$ref": format!("r{}", level - 1)});
        rules.insert(format!("r{level}"), json!({"or": [below, below]}));
    }
    let flaws = Compiler::new(rules).take_flaws();
    assert!(flaws.iter().all(|flaw| flaw.what.contains("parts")), "{flaws:?}");
    assert!(!flaws.is_empty());
}

#[test]
fn a_chain_of_common_rules_has_so_many_levels() {
    let link = |at: usize| (format!("r{at:05}"), json!({"!": {"$ref": format!("r{:05}", at + 1)}}));
    let mut rules: Map<String, Value> = (0..20_000).map(link).collect();
    rules.insert("r20000".to_owned(), json!(true));
    let flaws = Compiler::new(rules).take_flaws();
    assert!(flaws.iter().all(|flaw| flaw.what.contains("levels")), "{:?}", flaws.first());
    assert_eq!(flaws.len(), FLAWS_MAX);
}

#[test]
fn a_rule_that_changes_changes_what_refers_to_it() {
    let printed = |text: &str| {
        let mut compiler = compiler(json!({"r": {"==": [{"var": "x"}, text]}}));
        format!("{:?}", compiler.compile(&json!({"$ref": "r"}), ""))
    };
    assert_eq!(printed("a"), printed("a"));
    assert_ne!(printed("a"), printed("b"));
}

/// Rules that grow without end as far as they may.
#[test]
fn an_evaluation_ends() {
    let many: Vec<u32> = (0..1000).collect();
    let long = "x".repeat(100_000);
    let grow = |by: Value| json!({"reduce": [{"var": "many"}, by, {"var": "long"}]});
    let all = json!({"var": "accumulator"});
    let rules = [
        json!({"map": [{"var": "many"}, {"map": [many, 1]}]}),
        json!({"some": [{"var": "many"}, {"all": [many, {"none": [many, false]}]}]}),
        grow(json!({"cat": [all, all]})),
        grow(json!({"merge": [all, all]})),
        grow(json!([all, all])),
        grow(json!([all])),
        grow(json!({"map": [[all], {"var": ""}]})),
        json!({"reduce": [{"var": "many"}, {"var": ""}]}),
        json!({"cat": [{"map": [{"var": "many"}, long]}, "x"]}),
        json!({"some": [{"var": "many"}, {"in": ["y", long]}]}),
        json!({"some": [{"var": "many"}, {"==": [long, 1]}]}),
        json!({"some": [{"var": "many"}, {"substr": [long, 5, 0]}]}),
        json!({"map": [{"var": "many"}, {"fractional": [long, ["a", 1]]}]}),
        json!({"map": [{"var": "many"}, {"in": [1, many]}]}),
    ];
    let data = json!({"many": many, "long": long});
    for rule in rules {
        let result = Expression::compile(&rule).expect("it is right").apply(&data);
        assert_eq!(result, Err(ErrorCode::General), "{rule:.200}");
    }
}

/// Any JSON; often a rule.
fn any_rule() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9. -]{0,8}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop_oneof![Just("a"), Just("a.b"), Just(""), Just("accumulator"), Just("list.1")]
            .prop_map(|name| json!({"var": name})),
    ];
    leaf.prop_recursive(6, 64, 4, |inner| {
        let names: Vec<&str> = op::NAMES.iter().map(|(name, _)| *name).collect();
        let operator = prop::sample::select([&names[..], &["fractional", "$ref", "nope"]].concat());
        let operands = vec(inner.clone(), 0..4).prop_map(Value::from);
        prop_oneof![
            8 => (operator.clone(), operands).prop_map(|(name, all)| json!({name: all})),
            2 => (operator, inner.clone()).prop_map(|(name, only)| json!({name: only})),
            1 => vec(inner.clone(), 0..4).prop_map(Value::from),
            1 => (inner.clone(), inner).prop_map(|(a, b)| json!({"a": a, "b": b})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_rule_makes_it_panic(rule in any_rule(), data in any_rule()) {
        match Expression::compile(&rule) {
            Ok(expression) => drop(expression.apply(&data)),
            Err(flaws) => prop_assert!(!flaws.is_empty()),
        }
    }

    #[test]
    fn a_rule_comes_to_the_same_each_time(rule in any_rule(), data in any_rule()) {
        if let Ok(expression) = Expression::compile(&rule) {
            prop_assert_eq!(expression.apply(&data), expression.apply(&data));
        }
    }
}
