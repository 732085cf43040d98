//! Empty tables. Lua has one kind of table, so APISIX's validator takes an empty one for an object
//! and for a list: `"labels": []` and `"methods": {}` are fine there. Here a value is given the
//! shape that its schema asks for before anything looks at it, and this is the only place that
//! knows of it.

use regex::Regex;
use serde_json::{Map, Value, json};

/// Makes `[]` an object where the schema wants one, and `{}` a list.
pub(super) fn shape(schema: &Value, value: &mut Value) {
    if holds_empty(value) {
        walk(schema, value);
    }
}

/// Most values have no empty table and need no walk.
fn holds_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty() || list.iter().any(holds_empty),
        Value::Object(map) => map.is_empty() || map.values().any(holds_empty),
        _ => false,
    }
}

fn walk(schema: &Value, value: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    match value {
        Value::Array(list) if list.is_empty() => {
            if takes(keywords, "object") && !takes(keywords, "array") {
                *value = json!({});
            }
            return;
        }
        Value::Object(map) if map.is_empty() => {
            if takes(keywords, "array") && !takes(keywords, "object") {
                *value = json!([]);
            }
            return;
        }
        Value::Array(list) => {
            let items = keywords.get("items");
            for (index, item) in list.iter_mut().enumerate() {
                let schema = match items {
                    Some(Value::Array(each)) => each.get(index),
                    schema => schema,
                };
                schema.into_iter().for_each(|schema| walk(schema, item));
            }
        }
        Value::Object(map) => {
            map.iter_mut().for_each(|(name, value)| member(keywords, name, value))
        }
        _ => return,
    }
    for branch in branches(keywords) {
        walk(branch, value);
    }
}

/// A member of an object, by the schemas that its name leads to.
fn member(keywords: &Map<String, Value>, name: &str, value: &mut Value) {
    if !holds_empty(value) {
        return;
    }
    if let Some(schema) = keywords.get("properties").and_then(|all| all.get(name)) {
        return walk(schema, value);
    }
    let patterns = keywords.get("patternProperties").and_then(Value::as_object);
    let fits = |pattern: &str| Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(name));
    match patterns.into_iter().flatten().find(|(pattern, _)| fits(pattern)) {
        Some((_, schema)) => walk(schema, value),
        None => {
            let more = keywords.get("additionalProperties");
            more.into_iter().for_each(|schema| walk(schema, value));
        }
    }
}

/// The schemas of which some hold for the same value.
fn branches(keywords: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|name| keywords.get(name));
    let lists = lists.filter_map(Value::as_array).flatten();
    lists.chain(["then", "else"].into_iter().filter_map(|name| keywords.get(name)))
}

/// Whether a schema takes a type: as it says itself, else as one of its branches does. Without a
/// word of types anywhere it takes what it is given.
fn takes(keywords: &Map<String, Value>, wanted: &str) -> bool {
    match keywords.get("type") {
        Some(Value::String(name)) => name == wanted,
        Some(Value::Array(names)) => names.iter().any(|name| name == wanted),
        _ => {
            let mut branches = branches(keywords).filter_map(Value::as_object).peekable();
            // What says something of members is of objects, what says something of items of lists.
            let other: &[&str] = match wanted {
                "object" => &["items"],
                _ => &["properties", "patternProperties", "additionalProperties"],
            };
            let of_other = other.iter().any(|name| keywords.contains_key(*name));
            match branches.peek() {
                None => !of_other,
                Some(_) => branches.any(|branch| takes(branch, wanted)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_what_the_schema_wants() {
        let schema = json!({
            "type": "object",
            "properties": {
                "labels": {"type": "object", "patternProperties": {"^a": {"type": "array"}}},
                "methods": {"type": "array", "items": {"type": "object"}},
                "pair": {"items": [{"type": "array"}, {"type": "object"}]},
                "nodes": {"anyOf": [{"type": "object"}, {"type": "array"}]},
                "either": {"oneOf": [{"type": "string"}, {"type": "object"}]},
                "types": {"type": ["string", "array"]},
                "untyped": {"anyOf": [{"type": "object"}, {"properties": {"a": {}}}]},
                "any": {},
                "uri": {"type": "string"},
            },
            "additionalProperties": {"type": "array"},
            "then": {"properties": {"late": {"type": "object"}}},
        });
        for (given, shaped) in [
            (json!([]), json!({})),
            (json!({"labels": []}), json!({"labels": {}})),
            (json!({"labels": {"a": {}, "b": {}}}), json!({"labels": {"a": [], "b": {}}})),
            (json!({"methods": {}}), json!({"methods": []})),
            (json!({"methods": [[], {}]}), json!({"methods": [{}, {}]})),
            (json!({"pair": [{}, [], []]}), json!({"pair": [[], {}, []]})),
            (json!({"nodes": {}}), json!({"nodes": {}})),
            (json!({"nodes": []}), json!({"nodes": []})),
            (json!({"either": []}), json!({"either": {}})),
            (json!({"types": {}}), json!({"types": []})),
            (json!({"untyped": []}), json!({"untyped": {}})),
            (json!({"any": [], "more": {}}), json!({"any": [], "more": []})),
            (json!({"late": []}), json!({"late": {}})),
            (json!({"uri": []}), json!({"uri": []})),
            (
                json!({"labels": [1], "methods": {"a": 1}}),
                json!({"labels": [1], "methods": {"a": 1}}),
            ),
        ] {
            let mut value = given.clone();
            shape(&schema, &mut value);
            assert_eq!(value, shaped, "{given}");
        }
    }
}
