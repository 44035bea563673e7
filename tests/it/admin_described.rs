//! What the admin API says is what its own description says.

use e2e::{Origin, Running, on_each_driver};
use serde_json::Value;

use super::{GET, between};

/// Whatever of `value` is not as `schema` has it, with where.
fn faults(api: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.trim_start_matches('#');
        let target = api.pointer(pointer).unwrap_or_else(|| panic!("{name} leads nowhere"));
        faults(api, target, value, place, found);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = |one: &Value| {
            let mut wrong = Vec::new();
            faults(api, one, value, place, &mut wrong);
            wrong.is_empty()
        };
        if !any.iter().any(fits) {
            found.push(format!("{place}: {value} is none of them"));
        }
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{place}: {value} is not {}", schema["const"]));
    }
    let is_right = match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("null") => value.is_null(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(other) => panic!("{place}: no type {other} is known"),
        None => true,
    };
    if !is_right {
        found.push(format!("{place}: {value} is no {}", schema["type"]));
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        let of = schema["prefixItems"].get(at).or_else(|| schema.get("items"));
        faults(api, of.unwrap_or(&Value::Null), item, &format!("{place}[{at}]"), found);
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{place}: {name} is missing"));
        }
    }
    for (name, field) in fields {
        let known = schema["properties"].get(name);
        let rest = schema.get("additionalProperties").filter(|rest| rest.is_object());
        match known.or(rest) {
            Some(of) => faults(api, of, field, &format!("{place}.{name}"), found),
            None if schema["properties"].is_object() => {
                found.push(format!("{place}: nothing is said of {name}"));
            }
            None => {}
        }
    }
}

#[test]
fn what_is_read_is_as_it_is_described() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("v1"), Origin::named("v2"));
        let more = "flags.by = \"header:x-user\"\nflag.cart.percent = 50\n\
                    kpi.orders = { of = \"shop\", from = \"late\" }\n\
                    shadow.twin = { from = \"shop@v1\", to = \"shop@v2\" }\n\
                    rollout.up = { from = \"shop@v1\", to = \"shop@v2\", steps = [\"5% for 20m\"] }\n";
        let config = between(&stable, &canary, 0.0).replace(", v2 = 0", "");
        let proxy = Running::start(driver, &format!("{config}{more}"));
        for _ in 0..20 {
            let _ = proxy.ask(GET);
        }
        proxy.act("/v1/flags/cart/set", "{\"percent\": 60, \"reason\": \"a test\"}");
        let api: Value = serde_json::from_str(&proxy.call("GET", "/v1/openapi.json", "").1)
            .expect("the description is JSON");
        let mut seen = 0;
        for (path, methods) in api["paths"].as_object().expect("it has paths") {
            let content = &methods["get"]["responses"]["200"]["content"]["application/json"];
            let Some(schema) = content.get("schema") else { continue };
            let name = match path.split('/').nth(2) {
                Some("shadows") => "twin",
                Some("rollouts") => "up",
                _ => "cart",
            };
            let mut asked = path.replace("{name}", name).replace("{id}", "none");
            if path == "/v1/route" {
                asked.push_str("?url=http://shop/");
            }
            let (status, text) = proxy.call("GET", &asked, "");
            let value: Value = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{asked}: {error}: {text}"));
            let refused = &methods["get"]["responses"]["default"]["content"]["application/json"];
            let schema = if status == 200 { schema } else { &refused["schema"] };
            seen += usize::from(status == 200);
            let mut found = Vec::new();
            faults(&api, schema, &value, &asked, &mut found);
            assert!(found.is_empty(), "{found:#?}");
        }
        assert!(seen >= 20, "only {seen} were answered");
    });
}
