//! Defaults. APISIX's validator writes them into what it checks, so what it holds, and what its
//! Control API tells, has them all. Nothing here needs them but for showing the same.

use serde_json::Value;

/// Puts in what a schema says is there where nothing is.
pub(super) fn fill(schema: &Value, value: &mut Value) {
    let all = schema.get("properties").and_then(Value::as_object);
    if let Value::Object(map) = value {
        for (name, schema) in all.into_iter().flatten() {
            match (map.get_mut(name), schema.get("default")) {
                (Some(value), _) => fill(schema, value),
                (None, Some(default)) => _ = map.insert(name.clone(), default.clone()),
                (None, None) => {}
            }
        }
    }
    if let (Value::Array(list), Some(items)) = (&mut *value, schema.get("items")) {
        list.iter_mut().for_each(|item| fill(items, item));
    }
    // Of several forms that of the value.
    for forms in ["anyOf", "oneOf"].into_iter().filter_map(|name| schema.get(name)?.as_array()) {
        let form = if value.is_array() { "array" } else { "object" };
        let of_form = |schema: &&Value| schema.get("type").is_some_and(|name| name == form);
        forms.iter().find(of_form).into_iter().for_each(|schema| fill(schema, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::{Kind, schema};
    use serde_json::json;

    #[test]
    fn what_is_not_said_is_there() {
        let mut value = json!({"uri": "/", "priority": 5, "upstream": {
            "nodes": [{"host": "a", "weight": 1}], "checks": {"active": {"healthy": {}}},
        }});
        fill(schema(Kind::Route).value(), &mut value);
        assert_eq!((&value["priority"], &value["status"]), (&json!(5), &json!(1)));
        let upstream = &value["upstream"];
        assert_eq!(upstream["scheme"], "http");
        assert_eq!(upstream["nodes"], json!([{"host": "a", "weight": 1, "priority": 0}]));
        assert_eq!(upstream["checks"]["active"]["healthy"]["successes"], 2);
        assert!(upstream.get("timeout").is_none() && upstream["checks"].get("passive").is_none());
    }
}
