//! The API's own description, OpenAPI 3.1. A test writes it from the table of rights, a table of
//! what each route says, and the sources of the types; and fails where the file says anything else.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

/// `GET /v1/openapi.json`.
pub(super) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], FILE).into_response()
}

const FILE: &str = include_str!("../api/openapi.json");

#[cfg(test)]
mod operations;
#[cfg(test)]
mod schema;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Map, Value, json};

    use super::{
        super::rights::RIGHTS,
        operations::{OPERATIONS, Operation},
        schema::Sources,
    };

    fn document() -> Value {
        let mut sources = Sources::read();
        let mut paths = Map::new();
        for right in RIGHTS {
            let of = |it: &&Operation| (it.0, it.1) == (right.method, right.path);
            let operation = OPERATIONS.iter().find(of);
            let (.., summary, query, body, reply) =
                operation.unwrap_or_else(|| panic!("say in OPERATIONS what {right:?} does"));
            let refused = sources.schema_of("Refused");
            let content = match *reply {
                text if text.contains('/') => json!({ text: {} }),
                of => json!({ "application/json": { "schema": sources.schema_of(of) } }),
            };
            let mut parameters: Vec<Value> = right
                .path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .map(|name| {
                    let name = name.trim_start_matches('*');
                    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
                })
                .collect();
            parameters.extend(query.split_whitespace().map(
                |name| json!({ "name": name, "in": "query", "schema": { "type": "string" } }),
            ));
            let mut written = json!({
                "summary": summary,
                "x-gnomon-role": right.needs.map(crate::control::api::series::Role::name),
                "parameters": parameters,
                "responses": {
                    "200": { "description": "as asked", "content": content },
                    "default": {
                        "description": "refused; nothing has changed",
                        "content": { "application/json": { "schema": refused } }
                    }
                },
                "security": if right.needs.is_some() { json!([{ "token": [] }, {}]) } else { json!([]) },
            });
            if !body.is_empty() {
                let schema = sources.schema_of(body);
                written["requestBody"] =
                    json!({ "content": { "application/json": { "schema": schema } } });
            }
            let path = right.path.replace("{*", "{");
            let entry = paths.entry(path).or_insert_with(|| json!({}));
            entry[right.method.to_lowercase()] = written;
        }
        assert_eq!(OPERATIONS.len(), RIGHTS.len(), "an operation without a row");
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "gnomon admin API",
                "version": "1",
                "description": "Reading is by GET, acting by POST. Over TCP a POST carries `x-gnomon: 1`. \
                    x-gnomon-role is what a caller needs: read < rollout < config < admin; null: nothing.",
            },
            "paths": paths,
            "components": {
                "schemas": sources.all(),
                "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            },
        })
    }

    #[test]
    fn the_file_says_what_the_routes_and_the_types_say() {
        let fresh = format!("{:#}\n", document());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/control/api/openapi.json");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written == fresh, "UPDATE=1 cargo test -p gnomon openapi writes it anew");
    }
}
