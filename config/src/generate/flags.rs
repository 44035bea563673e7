//! The schema of what flags are written with.

use serde_json::{Value as Json, json};

use super::{kind_schema, scalar};
use crate::fields::Kind;

/// A rule of a flag.
pub(super) fn rule() -> Json {
    let text = scalar(json!({ "type": "string" }));
    let texts = json!({ "anyOf": [text, { "type": "array", "items": text, "minItems": 1 }] });
    let weight = json!({ "type": "integer", "minimum": 0 });
    json!({
        "type": "object",
        "properties": {
            "group": texts,
            "not": texts,
            "users": texts,
            "percent": ramp(),
            "serve": { "anyOf": [text, { "type": "object", "additionalProperties": weight }] }
        },
        "required": ["serve"],
        "additionalProperties": false
    })
}

/// A percentage, or one that grows.
pub(super) fn ramp() -> Json {
    let [percent, moment] = [Kind::Percent, Kind::Moment].map(|kind| kind_schema(&kind, ""));
    json!({ "anyOf": [
        percent,
        {
            "type": "object",
            "properties": { "from": percent, "to": percent, "start": moment, "end": moment },
            "required": ["to", "start", "end"],
            "additionalProperties": false
        }
    ] })
}

/// A condition on flags.
pub(super) fn condition() -> Json {
    let value = json!({ "type": ["string", "boolean"] });
    let not = json!({
        "type": "object",
        "properties": { "not": value },
        "required": ["not"],
        "additionalProperties": false
    });
    let one = json!({ "anyOf": [
        scalar(json!({ "type": "string" })),
        { "type": "object", "additionalProperties": { "anyOf": [value, not] } }
    ] });
    json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}
