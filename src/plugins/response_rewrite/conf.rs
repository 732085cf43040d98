//! The configuration of `response-rewrite`.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::plugin::Schemas;

#[derive(Deserialize)]
pub(super) struct Conf {
    pub(super) headers: Option<Value>,
    pub(super) body: Option<String>,
    #[serde(default)]
    pub(super) body_base64: bool,
    pub(super) status_code: Option<u16>,
    pub(super) vars: Option<Value>,
    pub(super) filters: Option<Vec<FilterConf>>,
    #[serde(default = "max_resp_body_size")]
    pub(super) max_resp_body_size: usize,
}

#[derive(Deserialize)]
pub(super) struct FilterConf {
    pub(super) regex: String,
    #[serde(default = "once")]
    pub(super) scope: String,
    pub(super) replace: String,
    #[serde(default = "options")]
    pub(super) options: String,
}

fn max_resp_body_size() -> usize {
    64 * 1024 * 1024
}

fn once() -> String {
    "once".to_owned()
}

fn options() -> String {
    "jo".to_owned()
}

fn filter() -> Value {
    json!({
        "description": "filter that modifies response body",
        "type": "object",
        "required": ["regex", "replace"],
        "properties": {
            "regex": {
                "description": "match pattern on response body",
                "type": "string", "minLength": 1,
            },
            "scope": {
                "description": "regex substitution range",
                "type": "string", "enum": ["once", "global"], "default": "once",
            },
            "replace": {"description": "regex substitution content", "type": "string"},
            "options": {"description": "regex options", "type": "string", "default": "jo"},
        },
    })
}

pub(super) fn schemas() -> &'static Schemas {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
        let values = json!({
            "type": "object", "minProperties": 1,
            "patternProperties": {"^[^:]+$": {"oneOf": [{"type": "string"}, {"type": "number"}]}},
        });
        let operations = json!({"properties": {
            "add": {
                "type": "array", "minItems": 1,
                "items": {"type": "string", "pattern": "^[^:]+:[^:]*[^/]$"},
            },
            "set": values,
            "remove": {
                "type": "array", "minItems": 1,
                "items": {"type": "string", "pattern": "^[^:]+$"},
            },
        }});
        Schemas::conf(json!({
            "type": "object",
            "properties": {
                "max_resp_body_size": {
                    "description": "bytes of a body that filters see",
                    "type": "integer", "minimum": 1, "default": 67_108_864,
                },
                "headers": {
                    "description": "new headers for response", "anyOf": [values, operations],
                },
                "body": {"description": "new body for response", "type": "string"},
                "body_base64": {
                    "description": "whether the new body is base64",
                    "type": "boolean", "default": false,
                },
                "status_code": {
                    "description": "new status code for response",
                    "type": "integer", "minimum": 200, "maximum": 598,
                },
                "vars": {"type": "array"},
                "filters": {
                    "description": "substitutions in the response body",
                    "type": "array", "minItems": 1, "items": filter(),
                },
            },
            "dependencies": {
                "body": {"not": {"required": ["filters"]}},
                "filters": {"not": {"required": ["body"]}},
            },
        }))
    });
    &SCHEMAS
}
