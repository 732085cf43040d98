//! The schemas of routes and services.

use serde_json::{Value, json};

use super::parts::{
    METHODS, address, closed, host, id, plugins, script, set_of, status, timeout, with_metadata,
};
use super::upstream;

pub(super) fn route() -> Value {
    let mut schema = closed(with_metadata(json!({
        "uri": {"type": "string", "minLength": 1, "maxLength": 4096},
        "uris": set_of(json!({"description": "HTTP uri", "type": "string"})),
        "priority": {"type": "integer", "default": 0},
        "methods": {
            "type": "array", "uniqueItems": true,
            "items": {"description": "HTTP method", "type": "string", "enum": METHODS},
        },
        "host": host(),
        "hosts": set_of(host()),
        "remote_addr": address(),
        "remote_addrs": set_of(address()),
        "timeout": timeout(),
        "vars": {"type": "array"},
        "filter_func": {"type": "string", "minLength": 10, "pattern": "^function"},
        "script": script(),
        "script_id": id(),
        "plugins": plugins(),
        "plugin_config_id": id(),
        "upstream": upstream::upstream(),
        "service_id": id(),
        "upstream_id": id(),
        "enable_websocket": {
            "description": "enable websocket for request",
            "type": "boolean",
        },
        "status": status("route"),
        "ringgate": closed(json!({
            "per_try_timeout": {
                "description": "seconds that one try may take",
                "type": "number", "exclusiveMinimum": 0,
            },
            "via": {"description": "whether Via is added", "type": "boolean"},
            "alt_svc": {"description": "whether HTTP/3 is announced", "type": "boolean"},
        })),
    })));
    schema["allOf"] = json!([
        {"oneOf": [{"required": ["uri"]}, {"required": ["uris"]}]},
        at_most_one("host", "hosts"),
        at_most_one("remote_addr", "remote_addrs"),
    ]);
    schema["anyOf"] = [
        ["plugins", "uri"],
        ["upstream", "uri"],
        ["upstream_id", "uri"],
        ["service_id", "uri"],
        ["plugins", "uris"],
        ["upstream", "uris"],
        ["upstream_id", "uris"],
        ["service_id", "uris"],
        ["script", "uri"],
        ["script", "uris"],
    ]
    .map(|names| json!({"required": names}))
    .to_vec()
    .into();
    schema["not"] = json!({"anyOf": [
        {"required": ["script", "plugins"]},
        {"required": ["script", "plugin_config_id"]},
    ]});
    schema
}

fn at_most_one(one: &str, many: &str) -> Value {
    json!({"oneOf": [
        {"not": {"anyOf": [{"required": [one]}, {"required": [many]}]}},
        {"required": [one]},
        {"required": [many]},
    ]})
}

pub(super) fn service() -> Value {
    closed(with_metadata(json!({
        "plugins": plugins(),
        "upstream": upstream::upstream(),
        "upstream_id": id(),
        "script": script(),
        "enable_websocket": {
            "description": "enable websocket for request",
            "type": "boolean",
        },
        "hosts": set_of(host()),
    })))
}
