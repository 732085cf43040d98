//! The schema of certificates.

use serde_json::{Value, json};

use super::parts::{HOST_PATTERN, closed, status, with_metadata, without};

pub(super) fn certificate() -> Value {
    json!({"type": "string", "minLength": 128, "maxLength": 65_536})
}

pub(super) fn private_key() -> Value {
    json!({"type": "string", "minLength": 64, "maxLength": 65_536})
}

pub(super) fn ssl() -> Value {
    let sni = json!({"type": "string", "pattern": HOST_PATTERN});
    let properties = with_metadata(json!({
        "type": {
            "description": "server: shown to clients; client: shown to upstream nodes",
            "type": "string", "default": "server", "enum": ["server", "client"],
        },
        "cert": certificate(),
        "key": private_key(),
        "sni": sni,
        "snis": {"type": "array", "items": sni, "minItems": 1},
        "certs": {"type": "array", "items": certificate()},
        "keys": {"type": "array", "items": private_key()},
        "client": {
            "type": "object",
            "properties": {
                "ca": certificate(),
                "depth": {"type": "integer", "minimum": 0, "default": 1},
                "skip_mtls_uri_regex": {
                    "type": "array", "minItems": 1, "uniqueItems": true,
                    "items": {
                        "description": "uri regular expression to skip mtls",
                        "type": "string",
                    },
                },
            },
            "required": ["ca"],
        },
        "status": status("ssl"),
        "ssl_protocols": {
            "description": "set ssl protocols",
            "type": "array", "maxItems": 3, "uniqueItems": true,
            "items": {"enum": ["TLSv1.1", "TLSv1.2", "TLSv1.3"]},
        },
        "ringgate": closed(json!({
            "early_data": {"description": "whether 0-RTT is taken", "type": "boolean"},
            "ocsp_response": {
                "description": "OCSP response that is stapled to cert, DER in Base64",
                "type": "string", "maxLength": 65_536,
            },
            "ocsp_responses": {
                "description": "OCSP responses that are stapled to certs",
                "type": "array", "items": {"type": "string", "maxLength": 65_536},
            },
        })),
    }));
    let mut schema = closed(without(properties, &["name"]));
    schema["if"] = json!({"properties": {"type": {"enum": ["server"]}}});
    schema["then"] = json!({"oneOf": [
        {"required": ["sni", "key", "cert"]},
        {"required": ["snis", "key", "cert"]},
    ]});
    schema["else"] = json!({"required": ["key", "cert"]});
    schema
}
