//! The configuration of `proxy-rewrite`.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::plugin::Schemas;

#[derive(Deserialize)]
pub(super) struct Conf {
    pub(super) uri: Option<String>,
    pub(super) method: Option<String>,
    pub(super) regex_uri: Option<Vec<String>>,
    pub(super) host: Option<String>,
    pub(super) headers: Option<Value>,
    #[serde(default)]
    pub(super) use_real_request_uri_unsafe: bool,
}

const METHODS: [&str; 14] = [
    "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "MKCOL", "COPY", "MOVE", "PROPFIND", "LOCK",
    "UNLOCK", "PATCH", "TRACE",
];

pub(super) fn schemas() -> &'static Schemas {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
        let one = json!([{"type": "string"}, {"type": "number"}]);
        let values = json!({
            "type": "object", "minProperties": 1,
            "patternProperties": {"^[^:]+$": {"oneOf": [
                {"type": "string"},
                {"type": "number"},
                {"type": "array", "minItems": 1, "items": {"oneOf": one}},
            ]}},
        });
        Schemas::conf(json!({
            "type": "object",
            "minProperties": 1,
            "properties": {
                "uri": {
                    "description": "new uri for upstream",
                    "type": "string", "minLength": 1, "maxLength": 4096, "pattern": r"^\/.*",
                },
                "method": {
                    "description": "proxy route method", "type": "string", "enum": METHODS,
                },
                "regex_uri": {
                    "description": "pairs of pattern and new uri, of lower priority than uri",
                    "type": "array", "minItems": 2,
                    "items": {"description": "regex uri", "type": "string"},
                },
                "host": {
                    "description": "new host for upstream",
                    "type": "string", "pattern": r"^[0-9a-zA-Z-.]+(:\d{1,5})?$",
                },
                "headers": {
                    "description": "new headers for request",
                    "oneOf": [
                        {
                            "type": "object", "minProperties": 1, "additionalProperties": false,
                            "properties": {
                                "add": values,
                                "set": values,
                                "remove": {
                                    "type": "array", "minItems": 1,
                                    "items": {"type": "string", "pattern": "^[^:]+$"},
                                },
                            },
                        },
                        {
                            "type": "object", "minProperties": 1,
                            "patternProperties": {"^[^:]+$": {"oneOf": one}},
                        },
                    ],
                },
                "use_real_request_uri_unsafe": {
                    "description": "use real_request_uri instead, THIS IS VERY UNSAFE.",
                    "type": "boolean", "default": false,
                },
            },
        }))
    });
    &SCHEMAS
}
