//! What several schemas share.

use serde_json::{Map, Value, json};

/// Names that hosts may have: `*`, `*.example.com`, addresses.
pub(super) const HOST_PATTERN: &str = r"^\*$|^\*?[0-9a-zA-Z-._\[\]:]+$";
const IPV4_SEGMENT: &str = "([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
const IPV6: &str = "([a-fA-F0-9]{0,4}:){1,8}(:[a-fA-F0-9]{0,4}){0,8}([a-fA-F0-9]{0,4})?";

/// Ids: titles are told where neither form fits.
pub(super) fn id() -> Value {
    json!({"anyOf": [
        {
            "title": "1 to 64 of a-z A-Z 0-9 - _ .",
            "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9-_.]+$",
        },
        {"title": "a number of at least 1", "type": "integer", "minimum": 1},
    ]})
}

pub(super) fn host() -> Value {
    json!({"type": "string", "pattern": HOST_PATTERN})
}

/// An address or a network.
pub(super) fn ip() -> Value {
    let ipv4 = [IPV4_SEGMENT; 4].join(r"\.");
    json!([
        {"title": "IPv4", "type": "string", "format": "ipv4"},
        {"title": "IPv4/CIDR", "type": "string", "pattern": format!("^{ipv4}/([12]?[0-9]|3[0-2])$")},
        {"title": "IPv6", "type": "string", "format": "ipv6"},
        {"title": "IPv6/CIDR", "type": "string", "pattern": format!("^{IPV6}/[0-9]{{1,3}}$")},
    ])
}

pub(super) fn address() -> Value {
    json!({"description": "client IP", "type": "string", "anyOf": ip()})
}

pub(super) fn url() -> Value {
    json!({
        "type": "string",
        "pattern": r"^[^\/]+:\/\/([\da-zA-Z.-]+|\[[\da-fA-F:]+\])(:\d+)?",
    })
}

pub(super) fn name() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 256})
}

pub(super) fn plugins() -> Value {
    json!({"type": "object"})
}

/// Seconds to connect, to send and to read.
pub(super) fn timeout() -> Value {
    json!({
        "type": "object",
        "properties": {
            "connect": {"type": "number", "exclusiveMinimum": 0},
            "send": {"type": "number", "exclusiveMinimum": 0},
            "read": {"type": "number", "exclusiveMinimum": 0},
        },
        "required": ["connect", "send", "read"],
    })
}

pub(super) fn script() -> Value {
    json!({"type": "string", "minLength": 10, "maxLength": 102_400})
}

pub(super) fn status(what: &str) -> Value {
    json!({
        "description": format!("{what} status, 1 to enable, 0 to disable"),
        "type": "integer", "enum": [1, 0], "default": 1,
    })
}

pub(super) const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"];

/// The properties that almost every resource has, and `more` of its own.
pub(super) fn with_metadata(more: Value) -> Value {
    let label = json!({
        "description": "value of label",
        "type": "string", "pattern": r"^\S+$", "maxLength": 256, "minLength": 1,
    });
    let metadata = json!({
        "id": id(),
        "name": name(),
        "desc": {"type": "string", "maxLength": 256},
        "labels": {
            "description": "key/value pairs to specify attributes",
            "type": "object",
            "patternProperties": {".*": label},
        },
        "create_time": {"type": "integer"},
        "update_time": {"type": "integer"},
    });
    let mut properties = Map::new();
    for part in [metadata, more] {
        if let Value::Object(part) = part {
            properties.extend(part);
        }
    }
    Value::Object(properties)
}

/// A schema's properties without some of them.
pub(super) fn without(mut properties: Value, names: &[&str]) -> Value {
    if let Some(properties) = properties.as_object_mut() {
        properties.retain(|name, _| !names.contains(&name.as_str()));
    }
    properties
}

/// An object with these properties and no others.
pub(super) fn closed(properties: Value) -> Value {
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// A list of at least one item, each once.
pub(super) fn set_of(item: Value) -> Value {
    json!({"type": "array", "items": item, "minItems": 1, "uniqueItems": true})
}
