//! The schema of upstreams, standing alone or inside a route, service or stream route.

use serde_json::{Value, json};

use super::parts::{closed, host, id, name, timeout, with_metadata};
use super::{health, ssl};

pub(super) fn upstream() -> Value {
    let mut schema = closed(with_metadata(json!({
        "nodes": nodes(),
        "retries": {"type": "integer", "minimum": 0},
        "retry_timeout": {"type": "number", "minimum": 0},
        "timeout": timeout(),
        "tls": tls(),
        "keepalive_pool": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "default": 320, "minimum": 1},
                "idle_timeout": {"type": "number", "default": 60, "minimum": 0},
                "requests": {"type": "integer", "default": 1000, "minimum": 1},
            },
        },
        "type": {
            "description": "algorithms of load balancing",
            "type": "string", "default": "roundrobin",
            "enum": ["roundrobin", "chash", "least_conn", "ewma"],
        },
        "checks": health::checks(),
        "hash_on": {
            "type": "string", "default": "vars",
            "enum": ["vars", "header", "cookie", "consumer", "vars_combinations"],
        },
        "key": {
            "description": "the key of chash for dynamic load balancing",
            "type": "string",
        },
        "scheme": {
            "description": "grpc, grpcs, http, https, h2c, h2, h3 for HTTP; tcp, tls, udp for \
                            streams; kafka",
            "default": "http",
            "enum": [
                "grpc", "grpcs", "http", "https", "tcp", "tls", "udp", "kafka", "h2c", "h2", "h3",
            ],
        },
        "discovery_type": {"description": "discovery type", "type": "string"},
        "discovery_args": {
            "type": "object",
            "properties": {
                "namespace_id": {"description": "namespace id", "type": "string"},
                "group_name": {"description": "group name", "type": "string"},
            },
        },
        "pass_host": {
            "description": "mod of host passing",
            "type": "string", "enum": ["pass", "node", "rewrite"], "default": "pass",
        },
        "upstream_host": host(),
        "service_name": name(),
        "ringgate": extras(),
    })));
    schema["oneOf"] =
        json!([{"required": ["nodes"]}, {"required": ["service_name", "discovery_type"]}]);
    schema
}

/// `{"host:port": weight}`, or a list of nodes.
fn nodes() -> Value {
    let weight = json!({"description": "weight of node", "type": "integer", "minimum": 0});
    json!({"anyOf": [
        {"title": "a mapping of host:port to weight", "type": "object",
         "patternProperties": {".*": weight}},
        {
            "title": "a list of nodes",
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "host": host(),
                    "port": {
                        "description": "port of node",
                        "type": "integer", "minimum": 1, "maximum": 65535,
                    },
                    "weight": weight,
                    "priority": {
                        "description": "priority of node",
                        "type": "integer", "default": 0,
                    },
                    "metadata": {"description": "metadata of node", "type": "object"},
                },
                "required": ["host", "weight"],
            },
        },
    ]})
}

fn tls() -> Value {
    json!({
        "type": "object",
        "properties": {
            "client_cert_id": id(),
            "client_cert": ssl::certificate(),
            "client_key": ssl::private_key(),
            "verify": {
                "description": "Turn on server certificate verification",
                "type": "boolean", "default": false,
            },
        },
        "dependencies": {
            "client_cert": {"required": ["client_key"]},
            "client_key": {"required": ["client_cert"]},
            "client_cert_id": {"not": {"required": ["client_cert", "client_key"]}},
        },
    })
}

/// What only this gateway knows of an upstream.
fn extras() -> Value {
    closed(json!({
        "slow_start": {
            "description": "seconds in which a new node comes to its full weight",
            "type": "number", "minimum": 0,
        },
        "retry_budget": {
            "description": "share of requests that may be retries, and how many a second always may",
            "type": "object",
            "properties": {
                "ratio": {"type": "number", "minimum": 0, "maximum": 1},
                "min_per_second": {"type": "integer", "minimum": 0},
            },
            "additionalProperties": false,
        },
        "kill_on_remove": {
            "description": "whether sessions with a node end when it is removed",
            "type": "boolean",
        },
        "proxy_protocol": {
            "description": "version of the PROXY header that nodes get",
            "type": "integer", "enum": [1, 2],
        },
        "ca": {
            "description": "certificates that nodes must come from with tls.verify",
            "type": "string",
        },
    }))
}
