//! What a flag can be.

use serde_json::{Map, Number, Value as Json};

use crate::{
    check::guessing,
    code,
    fields::Field,
    model::{
        Name,
        flag::{VARIANTS_MAX, VariantValue},
    },
    names,
    problem::{Place, Problem, Wrong},
    read::{Placed, Reader, Scope},
    tree::{Entry, Node, Value},
};

/// The variants of a flag.
pub(super) struct Variants {
    pub(super) all: Vec<(Name, VariantValue)>,
    /// Whether nothing is wrong with them.
    pub(super) is_known: bool,
}

impl Variants {
    /// The variant of a name; that there is none is told.
    pub(super) fn find(
        &self,
        reader: &mut Reader<'_, '_>,
        name: &str,
        place: Place,
    ) -> Option<usize> {
        let found = self.all.iter().position(|(known, _)| **known == *name);
        if found.is_none() && self.is_known {
            let wrong = Wrong::new(code::REFERENCE, format!("there is no variant `{name}`"));
            let names = self.all.iter().map(|(name, _)| &**name);
            reader.tell(guessing(wrong, name, names).at(place));
        }
        found
    }

    /// The variants that are true and false, if there are just these.
    pub(super) fn booleans(&self) -> Option<(usize, usize)> {
        match self.all.as_slice() {
            [(_, VariantValue::Bool(true)), (_, VariantValue::Bool(false))] => Some((0, 1)),
            [(_, VariantValue::Bool(false)), (_, VariantValue::Bool(true))] => Some((1, 0)),
            _ => None,
        }
    }
}

pub(super) fn all(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Variants {
    let told = reader.sources.problems.len();
    let read = reader.value(scope, "variants", listed).unwrap_or_default();
    let place = scope.entry("variants").map_or(scope.place, |entry| entry.key_place);
    if read.is_empty() && reader.sources.problems.len() == told {
        reader.tell(Problem::error(code::FLAG, place, "a flag has at least one variant"));
    }
    if read.len() > VARIANTS_MAX {
        let message = format!("there are more than {VARIANTS_MAX} variants");
        reader.tell(Problem::error(code::FLAG, place, message));
    }
    if let Some((first, rest)) = read.split_first() {
        let kind = kind(&first.value.1);
        for other in rest.iter().filter(|other| self::kind(&other.value.1) != kind) {
            let problem = Problem::error(code::FLAG, other.place, "variants are all of one kind");
            let label = format!("this is {}", self::kind(&other.value.1));
            reader.tell(problem.label(label).related(first.place, format!("this is {kind}")));
        }
    }
    let is_known = reader.sources.problems.len() == told;
    Variants { all: read.into_iter().map(|variant| variant.value).collect(), is_known }
}

const fn kind(value: &VariantValue) -> &'static str {
    match value {
        VariantValue::Bool(_) => "a boolean",
        VariantValue::Text(_) => "a text",
        VariantValue::Integer(_) | VariantValue::Float(_) => "a number",
        VariantValue::Json(_) => "JSON",
    }
}

type Variant = Placed<(Name, VariantValue)>;

fn listed(reader: &mut Reader<'_, '_>, field: &'static Field, node: &Node) -> Option<Vec<Variant>> {
    let Some(table) = node.as_table() else {
        return reader.mistyped(field, node, "a table such as { on = true, off = false }");
    };
    let variants = table.entries.iter().filter_map(|entry| variant(reader, field, entry));
    Some(variants.collect())
}

fn variant(reader: &mut Reader<'_, '_>, field: &'static Field, entry: &Entry) -> Option<Variant> {
    let name = reader.check(entry.key_place, names::name(&entry.key));
    let value = match &entry.node.value {
        Value::Bool(truth) => Some(VariantValue::Bool(*truth)),
        Value::Text(text) => Some(VariantValue::Text(text.as_str().into())),
        Value::Integer(number) => Some(VariantValue::Integer(*number)),
        Value::Float(number) if number.is_finite() => Some(VariantValue::Float(*number)),
        Value::List(_) | Value::Table(_) => {
            json(reader, field, &entry.node).map(|json| VariantValue::Json(json.to_string().into()))
        }
        Value::Float(_) | Value::Date(_) | Value::Foreign(_) => {
            reader.mistyped(field, &entry.node, "a boolean, a text, a number, a list or a table")
        }
    };
    Some(Placed { value: (name?, value?), place: entry.node.place })
}

/// A value as JSON, which knows no dates and only numbers that are some.
fn json(reader: &mut Reader<'_, '_>, field: &'static Field, node: &Node) -> Option<Json> {
    match &node.value {
        Value::Bool(truth) => Some(Json::Bool(*truth)),
        Value::Text(text) => Some(Json::String(text.clone())),
        Value::Integer(number) => Some(Json::Number((*number).into())),
        Value::Float(number) if number.is_finite() => Number::from_f64(*number).map(Json::Number),
        Value::List(items) => {
            let items: Vec<Option<Json>> =
                items.iter().map(|item| json(reader, field, item)).collect();
            items.into_iter().collect::<Option<Vec<Json>>>().map(Json::Array)
        }
        Value::Table(table) => {
            let mut map = Some(Map::new());
            for entry in &table.entries {
                let value = json(reader, field, &entry.node);
                map = map.zip(value).map(|(mut map, value)| {
                    map.insert(entry.key.clone(), value);
                    map
                });
            }
            map.map(Json::Object)
        }
        Value::Float(_) | Value::Date(_) | Value::Foreign(_) => {
            reader.mistyped(field, node, "what JSON can say")
        }
    }
}
