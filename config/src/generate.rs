//! What is written from the rows: the reference, the schema for editors, the manual.

mod flags;
mod man;

pub use man::man;

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use crate::{
    code,
    fields::{self, Effect, FIELDS, Field, Kind, Preset},
};

/// Names that stand in for `*` in examples, by the table they are keys of.
const EXAMPLES: &[(&str, &str)] = &[
    ("listener", "default"),
    ("upstream", "shop"),
    ("versions", "v1"),
    ("route", "shop"),
    ("shadow", "shop-v2"),
    ("rollout", "shop"),
    ("test", "checkout"),
    ("kpi", "orders"),
    ("group", "staff"),
    ("flag", "new-cart"),
    ("token", "ci"),
    ("client", "ann"),
    ("user", "monitor"),
];

/// Where the remark behind a key begins.
const REMARK_COLUMN: usize = 40;

/// A path with names in the place of `*`.
#[must_use]
pub fn concrete(path: &str) -> String {
    let mut keys: Vec<&str> = Vec::new();
    for key in path.split('.') {
        let parent = keys.last().copied().unwrap_or_default();
        let example = EXAMPLES.iter().find(|(table, _)| *table == parent);
        keys.push(if key == "*" { example.map_or("name", |(_, name)| name) } else { key });
    }
    keys.join(".")
}

/// A file with every key and its default, which loads.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "#:schema ../gnomon.schema.json\n\
         # Every key with its default. What has no default stands behind a `#`, with an example.\n\
         # A quantity with a unit is a string that carries it; a bare number is a count. Any scalar\n\
         # may be { env = \"NAME\", default = \"...\" } or { file = \"path\" }.\n\
         # Written from config/src/fields/rows.rs.\n\n",
    );
    for field in FIELDS.iter().filter(|field| field.effect != Effect::Later) {
        let hidden = if is_hidden(field) { "# " } else { "" };
        if field.kind == Kind::Keyed {
            continue;
        }
        if field.is_table() {
            if has_keys(field.path) {
                let _ = write!(out, "\n# {}\n{hidden}[{}]\n", field.doc, concrete(field.path));
            }
            continue;
        }
        let (hash, value) = match field.preset {
            Preset::Default(value) | Preset::Shown(value) => (hidden, value),
            Preset::Commented(value) => ("# ", value),
        };
        let line = format!("{hash}{} = {value}", field.key());
        let _ = writeln!(out, "{line:REMARK_COLUMN$} # {}", remark(field));
    }
    crate::format("reference.toml", &out).unwrap_or(out)
}

fn remark(field: &Field) -> String {
    let mut remark = field.doc.to_owned();
    if let Some(words) = words(&field.kind).filter(|words| !remark.contains(words.as_str())) {
        remark = format!("{words}: {remark}");
    }
    if field.effect == Effect::Restart {
        remark.push_str(" (needs a restart)");
    }
    remark
}

/// What there is to choose from, if there is a choice that the doc does not explain.
fn words(kind: &Kind) -> Option<String> {
    if let Kind::OneOrMany(inner) = kind {
        return words(inner);
    }
    Some(takes(kind)).filter(|words| words.contains(" | "))
}

/// Whether the row, or a table around it, stands behind a `#`.
fn is_hidden(field: &Field) -> bool {
    let around = |table: &&Field| {
        table.is_table()
            && (field.path == table.path || field.path.starts_with(&format!("{}.", table.path)))
    };
    FIELDS.iter().filter(around).any(|table| matches!(table.preset, Preset::Commented(_)))
}

fn has_keys(path: &str) -> bool {
    fields::keys_of(path).any(|field| !field.is_table() && field.effect != Effect::Later)
}

/// A JSON schema, draft 4: the newest that editors' TOML plug-ins read.
#[must_use]
pub fn schema() -> String {
    let mut root = table_schema("");
    root["$schema"] = json!("http://json-schema.org/draft-04/schema#");
    root["title"] = json!("gnomon configuration");
    root["definitions"] = json!({
        "outside": { "anyOf": [
            {
                "type": "object",
                "properties": {
                    "env": { "type": "string" },
                    "default": { "type": ["string", "number", "boolean"] }
                },
                "required": ["env"],
                "additionalProperties": false
            },
            { "$ref": "#/definitions/file" }
        ] },
        "file": {
            "type": "object",
            "properties": { "file": { "type": "string" } },
            "required": ["file"],
            "additionalProperties": false
        }
    });
    format!("{root:#}\n")
}

fn table_schema(path: &str) -> Json {
    let mut properties = Map::new();
    let mut rest = json!(false);
    for field in fields::keys_of(path).filter(|field| field.effect != Effect::Later) {
        let mut schema = kind_schema(&field.kind, field.path);
        schema["description"] = json!(field.doc);
        if let Some(default) = field.default().filter(|_| !field.is_table()) {
            schema["default"] = from_toml(default);
        }
        match field.key() {
            "*" => rest = schema,
            key => {
                properties.insert(key.to_owned(), schema);
            }
        }
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": rest })
}

fn kind_schema(kind: &Kind, path: &str) -> Json {
    let pattern = |pattern: &str| scalar(json!({ "type": "string", "pattern": pattern }));
    match kind {
        Kind::Bool => scalar(json!({ "type": "boolean" })),
        Kind::Integer { min, max } => {
            scalar(json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        Kind::Duration { .. } => pattern(r"^(0|([0-9]+(\.[0-9]+)?(d|h|ms|us|ns|m|s))+)$"),
        Kind::Size { .. } => pattern("^(0|[0-9]+([KMG]i?B|kB|B))$"),
        Kind::Share => pattern(r"^[0-9]+(\.[0-9]+)?%$"),
        Kind::Percent => scalar(json!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 100 },
            { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$" }
        ] })),
        Kind::Points => pattern(r"^[0-9]+(\.[0-9]+)?pp$"),
        Kind::Worse { points: false } => pattern(r"^[0-9]+(\.[0-9]+)?%$"),
        Kind::Worse { points: true } => {
            pattern(r"^[0-9]+(\.[0-9]+)?(%|pp)( *\+ *[0-9]+(\.[0-9]+)?(%|pp))?$")
        }
        Kind::Step => step_schema(),
        Kind::Certificate => certificate_schema(),
        Kind::Rule => flags::rule(),
        Kind::Ramp => flags::ramp(),
        Kind::Flags => flags::condition(),
        Kind::Moment => scalar(json!({ "type": "string" })),
        Kind::Value => json!({}),
        Kind::Text | Kind::Form(_) => scalar(json!({ "type": "string" })),
        Kind::Choice { now, .. } => scalar(json!({ "enum": now })),
        Kind::IntegerOr(_) => scalar(json!({ "type": ["integer", "string"] })),
        Kind::BoolOr(_) => scalar(json!({ "type": ["boolean", "string"] })),
        Kind::Number { max } => scalar(json!({ "type": "number", "minimum": 0, "maximum": max })),
        Kind::Secret => json!({ "$ref": "#/definitions/file" }),
        Kind::Condition => condition_schema(),
        Kind::OneOrMany(inner) => {
            let inner = kind_schema(inner, path);
            json!({ "anyOf": [inner, { "type": "array", "items": inner }] })
        }
        Kind::Map(inner) => {
            json!({ "type": "object", "additionalProperties": kind_schema(inner, path) })
        }
        Kind::Table | Kind::Keyed => table_schema(path),
        Kind::TableOr(short) => {
            json!({ "anyOf": [kind_schema(short, path), table_schema(path)] })
        }
    }
}

fn scalar(schema: Json) -> Json {
    json!({ "anyOf": [schema, { "$ref": "#/definitions/outside" }] })
}

fn condition_schema() -> Json {
    let text = scalar(json!({ "type": "string" }));
    let one = |key: &str, kind: &str| {
        json!({
            "type": "object",
            "properties": { key: { "type": kind } },
            "required": [key],
            "additionalProperties": false
        })
    };
    let many = json!({ "type": "array", "items": text, "minItems": 1 });
    json!({ "anyOf": [text, many, one("present", "boolean"), one("regex", "string")] })
}

fn certificate_schema() -> Json {
    let file = scalar(json!({ "type": "string" }));
    json!({
        "type": "object",
        "properties": { "cert": file, "key": file, "ocsp": file },
        "required": ["cert", "key"],
        "additionalProperties": false
    })
}

fn step_schema() -> Json {
    let share = kind_schema(&Kind::Share, "");
    json!({ "anyOf": [
        { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%( +for +[0-9a-z.]+)?$" },
        {
            "type": "object",
            "properties": {
                "weight": share,
                "shadow": share,
                "hold": kind_schema(&Kind::Duration { zero: true }, ""),
                "approve": kind_schema(&Kind::Bool, "")
            },
            "additionalProperties": false
        }
    ] })
}

fn from_toml(text: &str) -> Json {
    let parsed: Option<toml::Table> = toml::from_str(&format!("value = {text}")).ok();
    parsed.and_then(|table| serde_json::to_value(table.get("value")?).ok()).unwrap_or_default()
}

/// The manual: every key in tables, every code with its paragraph.
#[must_use]
pub fn manual() -> String {
    let mut out = String::from(MANUAL);
    keys_of_table(&mut out, "", "the top level");
    for table in FIELDS.iter().filter(|field| field.is_table() && field.kind != Kind::Keyed) {
        if has_keys(table.path) {
            keys_of_table(&mut out, table.path, table.doc);
        }
    }
    out.push_str(
        "\n## Known, but not in this version\n\n\
         These are refused (G004) and never ignored.\n\n| key | |\n|---|---|\n",
    );
    for field in FIELDS.iter().filter(|field| field.effect == Effect::Later) {
        let _ = writeln!(out, "| `{}` | {} |", field.path, field.doc);
    }
    for field in FIELDS {
        if let Kind::Choice { later, .. } | Kind::OneOrMany(Kind::Choice { later, .. }) =
            &field.kind
            && !later.is_empty()
        {
            let _ = writeln!(out, "| `{}` = {} | {} |", field.path, later.join(", "), field.doc);
        }
    }
    out.push_str("\n## Problems\n\n`gnomon explain CODE` prints the same.\n");
    for (code, text) in code::ALL {
        let _ = write!(out, "\n**{code}** {text}\n");
    }
    out
}

fn keys_of_table(out: &mut String, path: &str, doc: &str) {
    let title = if path.is_empty() { doc.to_owned() } else { format!("[{path}]") };
    let _ = write!(out, "\n### {title}\n\n");
    if !path.is_empty() {
        let _ = write!(out, "{doc}\n\n");
    }
    out.push_str("| key | takes | default | meaning |\n|---|---|---|---|\n");
    for field in fields::keys_of(path) {
        if field.is_table() || field.effect == Effect::Later {
            continue;
        }
        let default = match field.preset {
            Preset::Default(value) => format!("`{value}`"),
            Preset::Shown(value) | Preset::Commented(value) => format!("none; e.g. `{value}`"),
        };
        let restart = if field.effect == Effect::Restart { " **Needs a restart.**" } else { "" };
        let row = format!(
            "`{}` ¦ {} ¦ {default} ¦ {}{restart}",
            field.key(),
            takes(&field.kind),
            field.doc
        );
        // A bar of ours would end the cell of the table.
        let _ = writeln!(out, "| {} |", row.replace('|', "\\|").replace('¦', "|"));
    }
}

fn takes(kind: &Kind) -> String {
    use crate::units::show_size;
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer { min, max } if *max == i64::from(u32::MAX) => format!("number, from {min}"),
        Kind::Integer { min, max } => format!("number, {min} to {max}"),
        Kind::Duration { zero: true } => "duration or 0s".to_owned(),
        Kind::Duration { zero: false } => "duration".to_owned(),
        Kind::Size { max: u64::MAX, .. } => "size".to_owned(),
        Kind::Size { min, max } => format!("size, {} to {}", show_size(*min), show_size(*max)),
        Kind::Share => "share".to_owned(),
        Kind::Percent => "number of percent".to_owned(),
        Kind::Points => "percentage points".to_owned(),
        Kind::Worse { points: true } => "allowance".to_owned(),
        Kind::Worse { points: false } => "allowance in percent".to_owned(),
        Kind::Step => "step".to_owned(),
        Kind::Certificate => "{ cert, key, ocsp }".to_owned(),
        Kind::Rule => "rule".to_owned(),
        Kind::Ramp => "number of percent, or a table".to_owned(),
        Kind::Flags => "condition on flags".to_owned(),
        Kind::Moment => "date or moment".to_owned(),
        Kind::Value => "value".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Form(form) => (*form).to_owned(),
        Kind::Choice { now, .. } => now.join(" | "),
        Kind::IntegerOr(form) => format!("number | {form}"),
        Kind::BoolOr(form) => format!("bool | {form}"),
        Kind::Number { max } => format!("number, 0 to {max}"),
        Kind::Secret => "{ file = … } only".to_owned(),
        Kind::Condition => "condition".to_owned(),
        Kind::OneOrMany(inner) => format!("one or a list of: {}", takes(inner)),
        Kind::Map(inner) => format!("table of: {}", takes(inner)),
        Kind::Table | Kind::TableOr(_) | Kind::Keyed => "table".to_owned(),
    }
}

/// The part of the manual that no row knows.
const MANUAL: &str = include_str!("generate/manual.md");
