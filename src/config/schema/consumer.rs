//! The schemas of consumers and their credentials.

use serde_json::{Value, json};

use super::parts::{closed, id, plugins, with_metadata, without};

pub(super) fn consumer() -> Value {
    let properties = with_metadata(json!({
        "username": {
            "type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[a-zA-Z0-9_\-]+$",
        },
        "group_id": id(),
        "plugins": plugins(),
        // In files, a consumer's credentials stand with it; each is checked by itself.
        "credentials": {"type": "array", "items": {"type": "object"}},
    }));
    let mut schema = closed(without(properties, &["name"]));
    schema["required"] = json!(["username"]);
    schema
}

pub(super) fn credential() -> Value {
    closed(with_metadata(json!({
        "id": {"oneOf": [
            id(),
            {
                "type": "string", "minLength": 15, "maxLength": 128,
                "pattern": "^[a-zA-Z0-9-_]+/credentials/[a-zA-Z0-9-_.]+$",
            },
        ]},
        "plugins": {"type": "object", "maxProperties": 1},
    })))
}
