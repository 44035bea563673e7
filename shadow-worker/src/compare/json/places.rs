//! Every place that a document has, as far as it counts.

use gnomon_config::json_path::Walk;

use super::{
    super::differences::{Paths, Place},
    differ::Rules,
    read::Value,
};

pub(super) fn collect(rules: &Rules, value: &Value<'_>, paths: &mut Paths) {
    Collector { ignore: rules.ignore.walk(), place: Place::root(), paths }.value(value);
}

struct Collector<'r, 'p> {
    ignore: Walk<'r>,
    place: Place,
    paths: &'p mut Paths,
}

impl Collector<'_, '_> {
    fn value(&mut self, value: &Value<'_>) {
        if self.ignore.is_match() || !self.paths.are_wanted() {
            return;
        }
        self.paths.add(self.place.path());
        match value {
            Value::Array(items) => {
                for (ix, item) in items.iter().enumerate() {
                    self.ignore.enter_index(ix);
                    self.place.enter_item();
                    self.value(item);
                    self.place.leave();
                    self.ignore.leave();
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.ignore.enter_field(name);
                    self.place.enter_field(name);
                    self.value(value);
                    self.place.leave();
                    self.ignore.leave();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
        }
    }
}
