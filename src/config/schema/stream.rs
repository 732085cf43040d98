//! The schemas of stream routes and of protobuf definitions.

use serde_json::{Value, json};

use super::parts::{HOST_PATTERN, closed, id, ip, plugins, with_metadata};
use super::upstream;

pub(super) fn stream_route() -> Value {
    closed(with_metadata(json!({
        "remote_addr": {"description": "client IP", "type": "string", "anyOf": ip()},
        "server_addr": {"description": "server IP", "type": "string", "anyOf": ip()},
        "server_port": {
            "description": "server port",
            "type": "integer", "minimum": 1, "maximum": 65535,
        },
        "sni": {
            "description": "server name indication",
            "type": "string", "pattern": HOST_PATTERN,
        },
        "upstream": upstream::upstream(),
        "upstream_id": id(),
        "service_id": id(),
        "plugins": plugins(),
        "protocol": protocol(),
    })))
}

fn protocol() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "superior_id": id(),
            "conf": {"description": "protocol-specific configuration", "type": "object"},
            "logger": {
                "type": "array",
                "items": {
                    "properties": {
                        "name": {"type": "string"},
                        "filter": {"description": "logger filter rules", "type": "array"},
                        "conf": {"description": "logger plugin configuration", "type": "object"},
                    },
                    "dependencies": {"name": ["conf"]},
                    "additionalProperties": false,
                },
            },
        },
        "required": ["name"],
    })
}

pub(super) fn proto() -> Value {
    let mut schema = closed(with_metadata(json!({
        "content": {"type": "string", "minLength": 1, "maxLength": 1_048_576},
    })));
    schema["required"] = json!(["content"]);
    schema
}
