//! What an explanation does not show: keys, passwords, tokens.

use serde_json::Value;

use crate::config::schema::Kind;

/// What stands in place of a secret.
pub(super) const MASKED: &str = "***";

/// Fields of requests whose values are secrets.
const FIELDS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "apikey", "x-api-key"];

/// Ends of the names of settings whose values are secrets.
const ENDINGS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "private_key",
    "secret_key",
    "access_key",
    "api_key",
    "apikey",
    "client_key",
    "signature",
];

/// A plugin's configuration without secrets: the fields that are stored encrypted (paths with
/// dots), and whatever is named like one.
pub(super) fn configuration(mut conf: Value, encrypted: &[&str]) -> Value {
    for path in encrypted {
        let mut at = Some(&mut conf);
        for part in path.split('.') {
            at = at.and_then(|value| value.get_mut(part));
        }
        if let Some(value) = at {
            hide(value);
        }
    }
    by_name(&mut conf, false, 0);
    conf
}

/// A resource as it is stored, without secrets: those of its plugins, private keys, and whatever is
/// named like one. `encrypted` tells the fields of a plugin that are stored encrypted.
pub(crate) fn resource(
    kind: Kind,
    mut value: Value,
    encrypted: impl Fn(&str) -> &'static [&'static str],
) -> Value {
    if kind == Kind::Ssl {
        ["key", "keys"].iter().filter_map(|field| value.get_mut(field).map(hide)).for_each(drop);
    }
    if kind == Kind::PluginMetadata {
        let name = value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        value = configuration(value, encrypted(&name));
    }
    let plugins = value.get_mut("plugins").and_then(Value::as_object_mut);
    for (name, conf) in plugins.into_iter().flatten() {
        *conf = configuration(conf.take(), encrypted(name));
    }
    by_name(&mut value, false, 0);
    value
}

/// A variable's value, unless it is a secret of the request.
pub(super) fn variable(name: &str, value: String) -> String {
    let name = name.trim_start_matches('$').to_ascii_lowercase();
    let secret = match name.split_once('_') {
        Some(("http", field)) => is_secret_field(field),
        Some(("cookie", _)) => true,
        Some(("arg", argument)) => is_secret_field(argument) || is_secret_name(argument),
        _ => false,
    };
    if secret { MASKED.into() } else { value }
}

fn is_secret_field(name: &str) -> bool {
    let dashed = name.to_ascii_lowercase().replace('_', "-");
    FIELDS.contains(&&*dashed)
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Configurations nest no deeper than their parsers let them; the bound is for the call stack.
const DEPTH_MAX: usize = 128;

/// `fields`: these are fields of a request or an answer by their names.
fn by_name(value: &mut Value, fields: bool, depth: usize) {
    match value {
        _ if depth > DEPTH_MAX => hide(value),
        Value::Object(map) => {
            for (name, value) in map {
                let is_text = matches!(value, Value::String(_) | Value::Array(_));
                if is_text && (is_secret_name(name) || fields && is_secret_field(name)) {
                    hide(value);
                } else {
                    by_name(value, fields || name.ends_with("headers"), depth + 1);
                }
            }
        }
        Value::Array(list) => {
            for item in list {
                match item {
                    // `Name: value` in lists of fields to add.
                    Value::String(text) => {
                        if let Some((name, _)) = text.split_once(':')
                            && is_secret_field(name.trim())
                        {
                            *text = format!("{name}: {MASKED}");
                        }
                    }
                    item => by_name(item, fields, depth + 1),
                }
            }
        }
        _ => {}
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Array(list) => list.iter_mut().for_each(hide),
        Value::String(text) if is_reference(text) => {}
        value => *value = MASKED.into(),
    }
}

/// Whether it says where the secret is, and is none itself.
fn is_reference(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["$secret://", "$env://"].iter().any(|start| lower.starts_with(start))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_masked_and_the_rest_is_not() {
        let conf = json!({
            "key": "k1", "nested": {"deep": "x"}, "redis_password": "p", "header": "apikey",
            "client_secret": "$secret://vault/1/x", "auth_token": "t", "count": 5,
            "headers": {"set": {"Authorization": "Bearer x", "X-A": "b"}, "add": ["Cookie: a=b", "X-B: c"]},
            "keyring": ["a", "b"], "passwords": "kept", "hide_credentials": true, "cookie": "jwt",
        });
        let expected = json!({
            "key": "***", "nested": {"deep": "***"}, "redis_password": "***", "header": "apikey",
            "client_secret": "$secret://vault/1/x", "auth_token": "***", "count": 5,
            "headers": {"set": {"Authorization": "***", "X-A": "b"}, "add": ["Cookie: ***", "X-B: c"]},
            "keyring": ["***", "***"], "passwords": "kept", "hide_credentials": true, "cookie": "jwt",
        });
        assert_eq!(configuration(conf, &["key", "nested.deep", "keyring", "absent.x"]), expected);
    }

    #[test]
    fn resources_are_shown_without_secrets() {
        let fields = |plugin: &str| -> &'static [&'static str] {
            if plugin == "key-auth" { &["key"] } else { &[] }
        };
        let shown = |kind, value| resource(kind, value, fields);
        let ssl = json!({"cert": "c", "key": "k", "keys": ["a"], "certs": ["b"]});
        let expected = json!({"cert": "c", "key": "***", "keys": ["***"], "certs": ["b"]});
        assert_eq!(shown(Kind::Ssl, ssl), expected);
        let consumer = json!({"username": "jack", "plugins": {"key-auth": {"key": "k"}}});
        assert_eq!(shown(Kind::Consumer, consumer)["plugins"]["key-auth"]["key"], json!("***"));
        let metadata = json!({"id": "key-auth", "key": "k", "log_format": {}});
        assert_eq!(shown(Kind::PluginMetadata, metadata)["key"], json!("***"));
        let upstream = json!({"tls": {"client_cert": "c", "client_key": "k"}, "key": "uri"});
        let expected = json!({"tls": {"client_cert": "c", "client_key": "***"}, "key": "uri"});
        assert_eq!(shown(Kind::Upstream, upstream), expected);
        let secret = json!({"uri": "http://v", "token": "t"});
        assert_eq!(shown(Kind::Secret, secret), json!({"uri": "http://v", "token": "***"}));
    }

    #[test]
    fn values_of_variables_that_are_keys_are_masked() {
        for (name, shown) in [
            ("arg_a", "v"),
            ("http_x_version", "v"),
            ("remote_addr", "v"),
            ("http_authorization", "***"),
            ("$http_APIKEY", "***"),
            ("cookie_session", "***"),
            ("arg_apikey", "***"),
            ("arg_access_token", "***"),
        ] {
            assert_eq!(variable(name, "v".into()), shown, "{name}");
        }
    }
}
