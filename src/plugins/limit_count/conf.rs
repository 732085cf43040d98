//! The configuration of `limit-count`.

use std::sync::LazyLock;

use ringgate_core::RequestHead;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::limit_key::KeyType;
use super::super::text::with_scratch;
use crate::limit::{LIMIT_MAX, WINDOW_MAX};
use crate::plugin::{BuildCx, ConfigError, Cx, Schemas};
use crate::route::Template;

/// Rules of one configuration.
const RULES_MAX: usize = 64;

#[derive(Deserialize)]
pub(super) struct Conf {
    pub(super) count: Option<Value>,
    pub(super) time_window: Option<Value>,
    #[serde(default = "fixed")]
    pub(super) window_type: String,
    pub(super) rules: Option<Vec<RuleConf>>,
    pub(super) group: Option<String>,
    #[serde(default = "remote_addr")]
    pub(super) key: String,
    #[serde(default)]
    pub(super) key_type: KeyType,
    #[serde(default = "rejected_code")]
    pub(super) rejected_code: u16,
    pub(super) rejected_msg: Option<String>,
    #[serde(default = "local")]
    policy: String,
    #[serde(default)]
    pub(super) allow_degradation: bool,
    #[serde(default = "yes")]
    pub(super) show_limit_quota_header: bool,
}

#[derive(Deserialize)]
pub(super) struct RuleConf {
    pub(super) count: Value,
    pub(super) time_window: Value,
    pub(super) key: String,
    pub(super) header_prefix: Option<String>,
}

fn fixed() -> String {
    "fixed".to_owned()
}

fn local() -> String {
    "local".to_owned()
}

fn remote_addr() -> String {
    "remote_addr".to_owned()
}

fn rejected_code() -> u16 {
    503
}

fn yes() -> bool {
    true
}

impl Conf {
    /// What a schema cannot say, in APISIX's words where it has any.
    pub(super) fn read(conf: &Value, cx: &BuildCx) -> Result<Conf, ConfigError> {
        let conf: Conf = cx.read(conf)?;
        if conf.policy != "local" {
            let reason = format!("policy {} is not in this version; use local", conf.policy);
            return Err(ConfigError::at("policy", reason));
        }
        let Some(rules) = &conf.rules else { return Ok(conf) };
        if conf.group.is_some() {
            let reason = "group and rules cannot be specified at the same time";
            return Err(ConfigError::at("rules", reason));
        }
        if rules.is_empty() || rules.len() > RULES_MAX {
            return Err(ConfigError::at("rules", format!("expected 1 to {RULES_MAX} rules")));
        }
        for (index, rule) in rules.iter().enumerate() {
            if rules[..index].iter().any(|other| other.key == rule.key) {
                let reason = format!("duplicate key '{}' in rules", rule.key);
                return Err(ConfigError::at("rules", reason));
            }
        }
        Ok(conf)
    }
}

/// A count or a time: fixed, or told by variables.
pub(super) enum Number {
    Fixed(u64),
    Variable(Template, u64),
}

impl Number {
    pub(super) fn count(value: &Value) -> Result<Number, ConfigError> {
        Number::compile(value, "count", LIMIT_MAX)
    }

    pub(super) fn window(value: &Value) -> Result<Number, ConfigError> {
        Number::compile(value, "time_window", WINDOW_MAX.as_secs())
    }

    fn compile(value: &Value, field: &str, max: u64) -> Result<Number, ConfigError> {
        let fixed = |number: u64| match number {
            1.. if number <= max => Ok(Number::Fixed(number)),
            _ => Err(ConfigError::at(field, format!("expected 1 to {max}, got {number}"))),
        };
        match value {
            Value::String(text) => {
                let template =
                    Template::compile(text).map_err(|reason| ConfigError::at(field, reason))?;
                match template.constant() {
                    None => Ok(Number::Variable(template, max)),
                    Some(text) => {
                        fixed(parse(text).map_err(|reason| ConfigError::at(field, reason))?)
                    }
                }
            }
            value => fixed(value.as_u64().unwrap_or(0)),
        }
    }

    /// Its value for a request, at most what can be counted.
    pub(super) fn value(&self, rq: &RequestHead, cx: &Cx<'_>) -> Result<u64, &'static str> {
        match self {
            Number::Fixed(number) => Ok(*number),
            Number::Variable(template, max) => with_scratch(|text| {
                template.render(&cx.subject(rq), text);
                Ok(parse(text)?.min(*max))
            }),
        }
    }
}

/// The largest integer that APISIX can tell from its neighbours (2^53-1); it counts no further.
const INTEGER_MAX: u64 = 9_007_199_254_740_991;

/// A number as it stands in a request, in APISIX's words.
fn parse(text: &[u8]) -> Result<u64, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "resolved value is not a number")?.trim();
    match text.parse() {
        Ok(0) => Err("resolved value must be a positive number, got: 0"),
        Ok(number) if number > INTEGER_MAX => Err("resolved value exceeds safe integer range"),
        Ok(number) => Ok(number),
        Err(_) => match text.parse::<f64>() {
            Ok(number) if number <= 0.0 => Err("resolved value must be a positive number"),
            Ok(number) if number.fract() != 0.0 => Err("resolved value must be an integer"),
            Ok(number) if number > INTEGER_MAX as f64 => {
                Err("resolved value exceeds safe integer range")
            }
            // `1e3`, `5.0`
            Ok(number) => Ok(number as u64),
            Err(_) => Err("resolved value is not a number"),
        },
    }
}

pub(super) fn schemas() -> &'static Schemas {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
        let metadata = json!({
            "type": "object",
            "properties": {
                "limit_header": {"type": "string", "default": "X-RateLimit-Limit"},
                "remaining_header": {"type": "string", "default": "X-RateLimit-Remaining"},
                "reset_header": {"type": "string", "default": "X-RateLimit-Reset"},
            },
        });
        Schemas::conf(conf_schema())
            .with_metadata(metadata)
            .encrypting(&["redis_password", "sentinel_password"])
    });
    &SCHEMAS
}

fn conf_schema() -> Value {
    let number = json!({"oneOf": [
        {"type": "integer", "exclusiveMinimum": 0},
        {"type": "string"},
    ]});
    json!({
        "type": "object",
        "properties": {
            "count": number,
            "time_window": number,
            "window_type": {"type": "string", "enum": ["fixed", "sliding"], "default": "fixed"},
            "rules": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "count": number,
                        "time_window": number,
                        "key": {"type": "string"},
                        "header_prefix": {
                            "description": "prefix for rate limit headers",
                            "type": "string",
                        },
                    },
                    "required": ["count", "time_window", "key"],
                },
            },
            "group": {"type": "string"},
            "key": {"type": "string", "default": "remote_addr"},
            "key_type": {
                "type": "string", "enum": ["var", "var_combination", "constant"], "default": "var",
            },
            "rejected_code": {
                "type": "integer", "minimum": 200, "maximum": 599, "default": 503,
            },
            "rejected_msg": {"type": "string", "minLength": 1},
            "policy": {
                "type": "string", "default": "local",
                "enum": ["local", "redis", "redis-cluster", "redis-sentinel"],
            },
            "allow_degradation": {"type": "boolean", "default": false},
            "show_limit_quota_header": {"type": "boolean", "default": true},
            "sync_interval": {"type": "number", "default": -1},
        },
        "oneOf": [{"required": ["count", "time_window"]}, {"required": ["rules"]}],
    })
}
