//! The schema of health checks (`checks` of an upstream).

use serde_json::{Value, json};

use super::parts::{METHODS, host};

pub(super) fn checks() -> Value {
    json!({
        "type": "object",
        "properties": {"active": active(), "passive": passive()},
        "anyOf": [{"required": ["active"]}, {"required": ["active", "passive"]}],
    })
}

fn statuses(default: Value) -> Value {
    json!({
        "type": "array", "minItems": 1, "uniqueItems": true, "default": default,
        "items": {"type": "integer", "minimum": 200, "maximum": 599},
    })
}

fn times(minimum: u8, default: u8) -> Value {
    json!({"type": "integer", "minimum": minimum, "maximum": 254, "default": default})
}

fn kind() -> Value {
    json!({"type": "string", "enum": ["http", "https", "tcp"], "default": "http"})
}

/// With the gateway's own `grpc`.
fn active_kind() -> Value {
    json!({"type": "string", "enum": ["http", "https", "tcp", "grpc"], "default": "http"})
}

fn active() -> Value {
    let interval = json!({"type": "integer", "minimum": 1, "default": 1});
    json!({
        "type": "object",
        "properties": {
            "type": active_kind(),
            "timeout": {"type": "number", "default": 1},
            "concurrency": {"type": "integer", "default": 10},
            "host": host(),
            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            "http_method": {"type": "string", "enum": METHODS, "default": "GET"},
            "http_path": {"type": "string", "default": "/"},
            "http_req_body": {"type": "string", "default": ""},
            "https_verify_certificate": {"type": "boolean", "default": true},
            "healthy": {
                "type": "object",
                "properties": {
                    "interval": interval,
                    "http_statuses": statuses(json!([200, 302])),
                    "successes": times(1, 2),
                },
            },
            "unhealthy": {
                "type": "object",
                "properties": {
                    "interval": interval,
                    "http_statuses": statuses(json!([429, 404, 500, 501, 502, 503, 504, 505])),
                    "http_failures": times(1, 5),
                    "tcp_failures": times(1, 2),
                    "timeouts": times(1, 3),
                },
            },
            "req_headers": {"type": "array", "minItems": 1, "items": {"type": "string"}},
            "ringgate": {
                "type": "object",
                "properties": {
                    "grpc_service": {
                        "description": "the service that a grpc probe asks for",
                        "type": "string", "maxLength": 256,
                    },
                },
                "additionalProperties": false,
            },
        },
    })
}

fn passive() -> Value {
    let good = json!([
        200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307,
        308,
    ]);
    json!({
        "type": "object",
        "properties": {
            "type": kind(),
            "healthy": {
                "type": "object",
                "properties": {"http_statuses": statuses(good), "successes": times(0, 5)},
            },
            "unhealthy": {
                "type": "object",
                "properties": {
                    "http_statuses": statuses(json!([429, 500, 503])),
                    "tcp_failures": times(0, 2),
                    "timeouts": times(0, 7),
                    "http_failures": times(0, 5),
                },
            },
        },
    })
}
