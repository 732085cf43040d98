//! `$env://NAME` in plugins' configurations and credentials (APISIX's `core/env.lua`): the value of
//! a variable of the environment, or with `$env://NAME/FIELD` a field of it, read as a JSON object.
//!
//! References are resolved where a plan is compiled, in every text of a configuration. One that
//! cannot be resolved stays as it stands, as in APISIX; a credential that holds one matches nothing.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;

use crate::telemetry::error_log;

/// Variables of the environment by their names.
pub type Environment = fn(&str) -> Option<String>;

const ENV: &str = "$env://";
const SECRET: &str = "$secret://";
/// References that are remembered as told; beyond them, each is told every time.
const TOLD_MAX: usize = 1024;

/// Whether a text is a reference to where a value is, and no value. The name of the environment may
/// be in any case, as in APISIX.
pub(super) fn is_reference(text: &str) -> bool {
    in_environment(text).is_some() || text.starts_with(SECRET)
}

/// Whether any text of a configuration is a reference.
pub fn has_reference(conf: &Value) -> bool {
    match conf {
        Value::String(text) => is_reference(text),
        Value::Array(list) => list.iter().any(has_reference),
        Value::Object(map) => map.values().any(has_reference),
        _ => false,
    }
}

/// A configuration with its references resolved, as far as they can be. One without references is
/// not copied.
pub fn resolved<'v>(conf: &'v Value, environment: Environment) -> Cow<'v, Value> {
    if !has_reference(conf) {
        return Cow::Borrowed(conf);
    }
    let mut conf = conf.clone();
    fill(&mut conf, environment);
    Cow::Owned(conf)
}

fn fill(conf: &mut Value, environment: Environment) {
    match conf {
        Value::String(text) if is_reference(text) => match value(text, environment) {
            Ok(found) => *conf = found,
            Err(reason) => tell(text, &reason),
        },
        Value::Array(list) => list.iter_mut().for_each(|item| fill(item, environment)),
        Value::Object(map) => map.values_mut().for_each(|item| fill(item, environment)),
        _ => {}
    }
}

/// What follows `$env://`.
fn in_environment(text: &str) -> Option<&str> {
    let start = text.get(..ENV.len())?;
    start.eq_ignore_ascii_case(ENV).then(|| &text[ENV.len()..])
}

/// What a reference stands for. An error never holds the value.
fn value(reference: &str, environment: Environment) -> Result<Value, String> {
    let Some(path) = in_environment(reference) else {
        return Err("references to secret managers are not served by this version".to_owned());
    };
    let (name, field) = path.split_once('/').unwrap_or((path, ""));
    let missing = || format!("can't find environment variable {name}");
    let text = environment(name).ok_or_else(missing)?;
    if field.is_empty() {
        return Ok(Value::String(text));
    }
    let object: Value =
        serde_json::from_str(&text).map_err(|_| format!("{name} does not hold JSON"))?;
    match object.get(field) {
        Some(Value::Null) | None => Err(format!("{name} has no field {field}")),
        Some(found) => Ok(found.clone()),
    }
}

/// Warns of a reference, once in the process's life: a plan is compiled with every change.
fn tell(reference: &str, reason: &str) {
    static TOLD: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.contains(reference) {
        return;
    }
    if told.len() < TOLD_MAX {
        told.insert(reference.to_owned());
    }
    drop(told);
    let detail = format_args!("failed to resolve secret reference: {reference}, err: {reason}");
    error_log::warn("config", "secret_reference", detail);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("k1".into()),
            "KEYS" => Some(r#"{"main": "k2", "n": 3, "none": null}"#.into()),
            _ => None,
        }
    }

    #[test]
    fn references_are_resolved_as_in_apisix() {
        for (text, expected) in [
            ("$env://KEY", json!("k1")),
            ("$ENV://KEY", json!("k1")),
            ("$Env://KEY/", json!("k1")),
            ("$env://KEYS/main", json!("k2")),
            ("$env://KEYS/n", json!(3)),
        ] {
            let conf = json!({"a": [{"b": text}], "c": 1});
            let expected = json!({"a": [{"b": expected}], "c": 1});
            assert_eq!(*resolved(&conf, environment), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_stays_a_reference() {
        for text in [
            "$env://NONE",
            "$env://",
            "$env://KEY/main",
            "$env://KEYS/other",
            "$env://KEYS/none",
            "$secret://vault/1/key",
        ] {
            let conf = json!({"key": text});
            let after = resolved(&conf, environment);
            assert_eq!(*after, conf);
            assert!(has_reference(&after), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_touched() {
        let conf = json!({"a": "$env:/KEY", "b": "x $env://KEY", "c": "$envé", "$env://KEY": 1});
        assert!(!has_reference(&conf));
        assert!(matches!(resolved(&conf, environment), Cow::Borrowed(_)));
    }
}
