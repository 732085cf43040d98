//! The schema of certificates.

use serde_json::{Value, json};

use super::parts::{HOST_PATTERN, closed, status, with_metadata, without};

pub(super) fn certificate() -> Value {
    json!({"type": "string", "minLength": 128, "maxLength": 65_536})
}

pub(super) fn private_key() -> Value {
    json!({"type": "string", "minLength": 64, "maxLength": 65_536})
}

/// As it is, or where it is. Titles are told where neither fits.
fn or_reference(mut text: Value, title: &str) -> Value {
    text["title"] = json!(title);
    let reference = json!({
        "title": "a reference such as $env://NAME",
        "type": "string", "pattern": r"^\$(secret|env|ENV)://",
    });
    json!({"oneOf": [text, reference]})
}

pub(super) fn ssl() -> Value {
    let cert = || or_reference(certificate(), "PEM of 128 to 65536 characters");
    let key = || or_reference(private_key(), "PEM of 64 to 65536 characters");
    let sni = json!({"type": "string", "pattern": HOST_PATTERN});
    let properties = with_metadata(json!({
        "type": {
            "description": "server: shown to clients; client: shown to upstream nodes",
            "type": "string", "default": "server", "enum": ["server", "client"],
        },
        "cert": cert(),
        "key": key(),
        "sni": sni,
        "snis": {"type": "array", "items": sni, "minItems": 1},
        "certs": {"type": "array", "items": cert()},
        "keys": {"type": "array", "items": key()},
        "client": {
            "type": "object",
            "properties": {
                "ca": cert(),
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
