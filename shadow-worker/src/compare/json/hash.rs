//! One number for all values that are the same by the rules, but for their tolerance.

use std::hash::{DefaultHasher, Hash, Hasher};

use gnomon_config::model::ArrayRule;

use super::{differ::Differ, number, read::Value};

impl Differ<'_, '_> {
    /// The hash of a value at the current place. What is ignored leaves no trace.
    pub(super) fn hash(&mut self, value: &Value<'_>) -> u64 {
        if !self.look() || self.is_ignored() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        value.type_name().hash(&mut hasher);
        match value {
            Value::Null => {}
            Value::Bool(truth) => truth.hash(&mut hasher),
            Value::Number(number) => number::hash(number, &mut hasher),
            Value::Text(text) => text.hash(&mut hasher),
            Value::Array(items) => {
                let is_ordered = *self.array_rule() == ArrayRule::Ordered;
                let mut sum = items.len() as u64;
                for (ix, item) in items.iter().enumerate() {
                    self.enter_item(is_ordered.then_some((ix, ix)));
                    let item = self.hash(item);
                    self.leave();
                    if is_ordered {
                        item.hash(&mut hasher);
                    }
                    sum = sum.wrapping_add(item);
                }
                sum.hash(&mut hasher);
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.enter_field(name);
                    if !self.is_ignored() {
                        name.hash(&mut hasher);
                        self.hash(value).hash(&mut hasher);
                    }
                    self.leave();
                }
            }
        }
        hasher.finish()
    }
}
