//! The schemas of what holds plugins only, and of what every plugin's configuration may have.

use serde_json::{Value, json};

use super::parts::{closed, plugins, with_metadata, without};

fn plugin_set(properties: Value) -> Value {
    let mut schema = closed(properties);
    schema["required"] = json!(["id", "plugins"]);
    schema
}

pub(super) fn consumer_group() -> Value {
    plugin_set(with_metadata(json!({"plugins": plugins()})))
}

pub(super) fn plugin_config() -> Value {
    plugin_set(with_metadata(json!({"name": {"type": "string"}, "plugins": plugins()})))
}

pub(super) fn global_rule() -> Value {
    let properties = with_metadata(json!({"plugins": plugins()}));
    plugin_set(without(properties, &["name", "desc", "labels"]))
}

/// The plugin's own schema says the rest.
pub(super) fn plugin_metadata() -> Value {
    json!({
        "type": "object",
        "properties": {"id": {"type": "string", "minLength": 1, "maxLength": 256}},
        "required": ["id"],
    })
}

/// `_meta` of a plugin's configuration.
pub(super) fn meta() -> Value {
    closed(json!({
        "disable": {"type": "boolean"},
        "error_response": {"oneOf": [{"type": "string"}, {"type": "object"}]},
        "priority": {
            "description": "priority of plugins by customized order",
            "type": "integer",
        },
        "filter": {
            "description": "whether the plugin is run for a request",
            "type": "array",
        },
        "pre_function": {
            "description": "function that runs before the plugin in each phase",
            "type": "string",
        },
    }))
}
