//! The schemas of secret managers.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::parts::url;
use super::{Schema, own};

/// What every secret has; its manager's schema says the rest.
pub(super) fn any() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": {
                "type": "string", "maxLength": 128,
                "pattern": "^(vault|aws|gcp)/[a-zA-Z0-9-_.]+$",
            },
        },
        "required": ["id"],
    })
}

static VAULT: LazyLock<Schema> = LazyLock::new(|| {
    own(json!({
        "type": "object",
        "properties": {
            "uri": url(),
            "prefix": {"type": "string"},
            "token": {"type": "string"},
            "namespace": {"type": "string"},
        },
        "required": ["uri", "prefix", "token"],
    }))
});

static AWS: LazyLock<Schema> = LazyLock::new(|| {
    own(json!({
        "type": "object",
        "properties": {
            "access_key_id": {"type": "string"},
            "secret_access_key": {"type": "string"},
            "session_token": {"type": "string"},
            "region": {"type": "string", "default": "us-east-1"},
            "endpoint_url": url(),
        },
        "required": ["access_key_id", "secret_access_key"],
    }))
});

static GCP: LazyLock<Schema> = LazyLock::new(|| {
    own(json!({
        "type": "object",
        "properties": {
            "auth_config": {
                "type": "object",
                "properties": {
                    "client_email": {"type": "string"},
                    "private_key": {"type": "string"},
                    "project_id": {"type": "string"},
                    "token_uri": {
                        "type": "string", "default": "https://oauth2.googleapis.com/token",
                    },
                    "scope": {
                        "type": "array", "items": {"type": "string"},
                        "default": ["https://www.googleapis.com/auth/cloud-platform"],
                    },
                    "entries_uri": {
                        "type": "string", "default": "https://secretmanager.googleapis.com/v1",
                    },
                },
                "required": ["client_email", "private_key", "project_id"],
            },
            "ssl_verify": {"type": "boolean", "default": true},
            "auth_file": {"type": "string"},
        },
        "oneOf": [{"required": ["auth_config"]}, {"required": ["auth_file"]}],
    }))
});

pub(super) fn schema(manager: &str) -> Option<&'static Schema> {
    match manager {
        "vault" => Some(&VAULT),
        "aws" => Some(&AWS),
        "gcp" => Some(&GCP),
        _ => None,
    }
}
