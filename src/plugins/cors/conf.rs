//! The configuration of `cors`.

use std::sync::LazyLock;

use ringgate_core::check_value;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::plugin::{BuildCx, ConfigError, Schemas};

const ORIGINS: &str = r"^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$";

#[derive(Deserialize)]
pub(super) struct Conf {
    #[serde(default = "any")]
    pub(super) allow_origins: String,
    #[serde(default = "any")]
    pub(super) allow_methods: String,
    #[serde(default = "any")]
    pub(super) allow_headers: String,
    pub(super) expose_headers: Option<String>,
    #[serde(default = "max_age")]
    pub(super) max_age: i64,
    #[serde(default)]
    pub(super) allow_credential: bool,
    pub(super) allow_origins_by_regex: Option<Vec<String>>,
    pub(super) allow_origins_by_metadata: Option<Vec<String>>,
    pub(super) timing_allow_origins: Option<String>,
    pub(super) timing_allow_origins_by_regex: Option<Vec<String>>,
}

fn any() -> String {
    "*".to_owned()
}

fn max_age() -> i64 {
    5
}

impl Conf {
    pub(super) fn read(conf: &Value, cx: &BuildCx) -> Result<Conf, ConfigError> {
        let conf: Conf = cx.read(conf)?;
        let texts = [
            ("allow_origins", Some(&conf.allow_origins)),
            ("allow_methods", Some(&conf.allow_methods)),
            ("allow_headers", Some(&conf.allow_headers)),
            ("expose_headers", conf.expose_headers.as_ref()),
            ("timing_allow_origins", conf.timing_allow_origins.as_ref()),
        ];
        let texts = || texts.into_iter().filter_map(|(field, text)| Some((field, text?)));
        if conf.allow_credential && texts().any(|(_, text)| text == "*") {
            let reason = "you can not set '*' for other option when 'allow_credential' is true";
            return Err(ConfigError::at("", reason));
        }
        for (field, text) in texts() {
            check_value(text.as_bytes())
                .map_err(|error| ConfigError::at(field, error.to_string()))?;
        }
        Ok(conf)
    }
}

pub(super) fn schemas() -> &'static Schemas {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
        let list = json!({
            "type": "array", "minItems": 1, "uniqueItems": true,
            "items": {"type": "string", "minLength": 1, "maxLength": 4096},
        });
        let conf = json!({
            "type": "object",
            "properties": {
                "allow_origins": {
                    "description": "origins, parted by commas; '*': all, without credentials; \
                                    '**': all, with them",
                    "type": "string", "pattern": ORIGINS, "default": "*",
                },
                "allow_methods": {"type": "string", "default": "*"},
                "allow_headers": {"type": "string", "default": "*"},
                "expose_headers": {"type": "string"},
                "max_age": {
                    "description": "seconds that a preflight may be kept; -1: not at all",
                    "type": "integer", "default": 5,
                },
                "allow_credential": {"type": "boolean", "default": false},
                "allow_origins_by_regex": list,
                "allow_origins_by_metadata": list,
                "timing_allow_origins": {"type": "string", "pattern": ORIGINS},
                "timing_allow_origins_by_regex": list,
            },
        });
        Schemas::conf(conf).with_metadata(json!({
            "type": "object",
            "properties": {"allow_origins": {
                "type": "object",
                "additionalProperties": {"type": "string", "pattern": ORIGINS},
            }},
        }))
    });
    &SCHEMAS
}
