//! What PATCH makes of a value, as APISIX does it.

use serde_json::{Map, Value};

/// Depth that is merged; more than a body can have.
const DEPTH: usize = 200;

/// Merges a value in, or puts it at a place.
pub(super) fn apply(mut stored: Value, place: &[String], value: &Value) -> Result<Value, String> {
    let Some((last, steps)) = place.split_last() else {
        merge(&mut stored, value, DEPTH);
        return Ok(stored);
    };
    let wrong = |upto: usize| {
        let path = place.get(..upto).unwrap_or_default().join("/");
        format!("invalid sub-path: /{path}")
    };
    let mut at = &mut stored;
    for (number, step) in steps.iter().enumerate() {
        let Value::Object(map) = at else { return Err(wrong(number)) };
        at = map.entry(step.as_str()).or_insert_with(|| Value::Object(Map::new()));
        if !at.is_object() {
            return Err(wrong(number + 1));
        }
    }
    let Value::Object(map) = at else { return Err(wrong(place.len())) };
    match value {
        Value::Null => _ = map.shift_remove(last),
        value => _ = map.insert(last.clone(), value.clone()),
    }
    Ok(stored)
}

/// Objects are merged, `null` removes, everything else replaces.
fn merge(into: &mut Value, from: &Value, depth: usize) {
    let (Value::Object(map), Value::Object(changes)) = (&mut *into, from) else {
        *into = from.clone();
        return;
    };
    for (name, change) in changes {
        match change {
            Value::Null => _ = map.shift_remove(name),
            Value::Object(_) if depth > 0 => {
                let place = map.entry(name.as_str()).or_insert(Value::Null);
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                merge(place, change, depth - 1);
            }
            change => _ = map.insert(name.clone(), change.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_values_are_merged() {
        let stored = json!({"a": {"nodes": {"x:1": 1, "y:1": 2}, "list": [1, 2]}, "b": 1, "c": []});
        let patch = json!({"a": {"nodes": {"x:1": null, "z:1": 3}, "list": [3]}, "b": null,
            "c": {"d": 1}, "e": {"f": {"g": null, "h": 1}}});
        let merged = apply(stored, &[], &patch).unwrap();
        assert_eq!(
            merged,
            json!({"a": {"nodes": {"y:1": 2, "z:1": 3}, "list": [3]}, "c": {"d": 1},
                "e": {"f": {"h": 1}}})
        );
    }

    #[test]
    fn places_are_replaced() {
        let stored = json!({"upstream": {"nodes": {"x:1": 1}}, "uri": "/a", "list": [1]});
        let at = |place: &str, value: Value| {
            let place: Vec<String> = place.split('/').map(str::to_owned).collect();
            apply(stored.clone(), &place, &value)
        };
        let nodes = json!({"y:1": 5});
        assert_eq!(at("upstream/nodes", nodes.clone()).unwrap()["upstream"]["nodes"], nodes);
        assert_eq!(at("uri", json!("/b")).unwrap()["uri"], "/b");
        assert_eq!(at("labels/a", json!("b")).unwrap()["labels"], json!({"a": "b"}));
        assert!(at("uri", Value::Null).unwrap().get("uri").is_none());
        assert_eq!(at("uri/x", json!(1)), Err("invalid sub-path: /uri".into()));
        assert_eq!(at("list/0", json!(1)), Err("invalid sub-path: /list".into()));
        assert_eq!(at("uri/x/y", json!(1)), Err("invalid sub-path: /uri".into()));
    }
}
