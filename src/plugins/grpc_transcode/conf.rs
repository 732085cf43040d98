//! The configuration, and what its options mean.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::resources::Id;
use crate::plugin::Schemas;

/// Schemas, as in APISIX; `ringgate` is this gateway's own.
pub(super) fn schemas() -> &'static Schemas {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
        let options = |description: &str, names: Value| json!({"description": description, "type": "string", "enum": names});
        Schemas::conf(json!({
            "type": "object",
            "properties": {
                "proto_id": {"anyOf": [
                    {
                        "type": "string", "minLength": 1, "maxLength": 64,
                        "pattern": "^[a-zA-Z0-9-_.]+$",
                    },
                    {"type": "integer", "minimum": 1},
                ]},
                "service": {"description": "the grpc service name", "type": "string"},
                "method": {
                    "description": "the method name in the grpc service.", "type": "string",
                },
                "deadline": {
                    "description": "deadline for grpc, millisecond", "type": "number", "default": 0,
                },
                "pb_option": {
                    "type": "array", "minItems": 1,
                    "items": {"type": "string", "anyOf": [
                        options(
                            "how 64-bit integers are written",
                            json!(["int64_as_number", "int64_as_string", "int64_as_hexstring"]),
                        ),
                        options("how enumerations are written", json!(["enum_as_name", "enum_as_value"])),
                        options("which defaults are written", json!([
                            "auto_default_values", "no_default_values", "use_default_values",
                            "use_default_metatable",
                        ])),
                        options("without effect", json!(["enable_hooks", "disable_hooks"])),
                    ]},
                },
                "show_status_in_body": {
                    "description": "show decoded grpc-status-details-bin in response body",
                    "type": "boolean", "default": false,
                },
                "status_detail_type": {
                    "description": "the message type of the grpc-status-details-bin's details",
                    "type": "string",
                },
                "ringgate": {
                    "type": "object",
                    "properties": {
                        "http_rules": {
                            "description": "whether the option google.api.http of methods says \
                                            which requests call them",
                            "type": "boolean", "default": false,
                        },
                    },
                    "additionalProperties": false,
                },
            },
            "additionalProperties": true,
            "required": ["proto_id"],
        }))
    });
    &SCHEMAS
}

#[derive(Deserialize)]
pub(super) struct Conf {
    pub(super) proto_id: Id,
    pub(super) service: Option<String>,
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) deadline: f64,
    pub(super) pb_option: Option<Vec<String>>,
    #[serde(default)]
    pub(super) show_status_in_body: bool,
    pub(super) status_detail_type: Option<String>,
    #[serde(default)]
    pub(super) ringgate: Extras,
}

#[derive(Default, Deserialize)]
pub(super) struct Extras {
    #[serde(default)]
    pub(super) http_rules: bool,
}

/// How 64-bit integers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Int64 {
    Number,
    Text,
    Hex,
}

/// Which fields are written that the message does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defaults {
    /// Those of proto3.
    Proto3,
    None,
    All,
}

/// `pb_option`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) enum_names: bool,
    pub(super) int64: Int64,
    pub(super) defaults: Defaults,
}

impl Options {
    /// APISIX's defaults, with those of a list in their place. Hooks are Lua's: they have no
    /// effect here. Neither has a metatable on what JSON shows, so `use_default_metatable` shows no
    /// defaults.
    pub(super) fn of(list: &[String]) -> Options {
        let mut options =
            Options { enum_names: true, int64: Int64::Number, defaults: Defaults::Proto3 };
        for option in list {
            match &**option {
                "enum_as_name" => options.enum_names = true,
                "enum_as_value" => options.enum_names = false,
                "int64_as_number" => options.int64 = Int64::Number,
                "int64_as_string" => options.int64 = Int64::Text,
                "int64_as_hexstring" => options.int64 = Int64::Hex,
                "auto_default_values" => options.defaults = Defaults::Proto3,
                "no_default_values" | "use_default_metatable" => options.defaults = Defaults::None,
                "use_default_values" => options.defaults = Defaults::All,
                _ => {}
            }
        }
        options
    }
}
