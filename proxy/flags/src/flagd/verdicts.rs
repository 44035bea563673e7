//! Which variants a rule names.

use serde_json::Value;

use crate::logic::escape;

/// Calls `name` with each variant that a rule may come to as it is written, and where it stands. What
/// it computes, or takes from a common rule, is known only when it is evaluated.
pub(crate) fn each(rule: &Value, pointer: &str, name: &mut impl FnMut(&str, &str)) {
    match rule {
        Value::String(text) => name(text, pointer),
        Value::Bool(value) => name(if *value { "true" } else { "false" }, pointer),
        Value::Number(number) => name(&number.to_string(), pointer),
        Value::Object(map) if map.len() == 1 => {
            for (operator, operands) in map {
                let pointer = format!("{pointer}/{}", escape(operator));
                match operator.as_str() {
                    "if" | "?:" => each_branch(operands, &pointer, name),
                    "fractional" => each_bucket(operands, &pointer, name),
                    _ => {}
                }
            }
        }
        Value::Null | Value::Array(_) | Value::Object(_) => {}
    }
}

fn each_branch(operands: &Value, pointer: &str, name: &mut impl FnMut(&str, &str)) {
    let Value::Array(operands) = operands else { return each(operands, pointer, name) };
    for (at, operand) in operands.iter().enumerate() {
        let is_last = at + 1 == operands.len();
        if at % 2 == 1 || is_last {
            each(operand, &format!("{pointer}/{at}"), name);
        }
    }
}

fn each_bucket(operands: &Value, pointer: &str, name: &mut impl FnMut(&str, &str)) {
    for (at, operand) in operands.as_array().into_iter().flatten().enumerate() {
        if let Some(variant) = operand.as_array().and_then(|bucket| bucket.first()) {
            each(variant, &format!("{pointer}/{at}/0"), name);
        }
    }
}
