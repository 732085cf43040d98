//! One resource by itself, checked before it is stored. What is wrong is told in one sentence, in
//! APISIX's words where it has any: clients show and compare them.

use serde_json::Value;

use super::checks::{Checks, PluginScope};
use super::entries::{Entries, Key};
use super::schema::{self, Kind, Violation};
use super::{references, semantics};

/// Whether a resource is what its schema, its plugins and the rest of its checks ask for. What it
/// refers to is not looked at.
///
/// # Errors
/// With what APISIX's Admin API would answer as `error_msg`.
pub fn check(key: &Key, value: &Value, checks: &Checks<'_>) -> Result<(), String> {
    if let Some(sentence) = schema::schema(key.kind).sentence(value) {
        return Err(format!("invalid configuration: {sentence}"));
    }
    identity(key, value)?;
    if let Some(violation) = semantics::check(key.kind, value).into_iter().next() {
        return Err(semantic(key.kind, violation));
    }
    plugins(key, value, checks)?;
    for field in checks.fields.iter().filter(|field| field.kind == key.kind) {
        let Some(value) = value.get(field.field) else { continue };
        if let Some((_, reason)) = (field.check)(value).err().and_then(|v| v.into_iter().next()) {
            return Err(match field.field {
                // It says so itself.
                "vars" => reason,
                "filter_func" => format!("failed to load 'filter_func' string: {reason}"),
                other => format!("invalid configuration: property \"{other}\": {reason}"),
            });
        }
    }
    Ok(())
}

/// The id inside must be the key's.
fn identity(key: &Key, value: &Value) -> Result<(), String> {
    let (field, expected) = match key.kind {
        Kind::Consumer => ("username", &*key.id),
        Kind::Credential => ("id", key.id.rsplit('/').next().unwrap_or_default()),
        _ => ("id", &*key.id),
    };
    let same = match value.get(field) {
        None => key.kind != Kind::Consumer,
        Some(Value::String(id)) => id == expected || *id == *key.id,
        Some(Value::Number(id)) => id.to_string() == expected,
        Some(_) => false,
    };
    match (same, field) {
        (true, _) => Ok(()),
        (false, "username") => Err("wrong username".into()),
        (false, _) => Err(format!("wrong {} id", key.kind.singular())),
    }
}

/// What APISIX says without its usual beginning is left as it is.
fn semantic(kind: Kind, (pointer, reason): Violation) -> String {
    let own = kind == Kind::Ssl || pointer.ends_with("/pass_host") || reason == "missing key";
    if own { reason } else { format!("invalid configuration: {}", sentence(&pointer, &reason)) }
}

/// What leads to a place, and what is wrong there.
pub(crate) fn sentence(pointer: &str, reason: &str) -> String {
    let mut sentence = String::new();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        sentence.push_str(&match token.parse::<usize>() {
            Ok(index) => format!("failed to validate item {}: ", index + 1),
            Err(_) => format!("property \"{token}\" validation failed: "),
        });
    }
    sentence + reason
}

fn plugins(key: &Key, value: &Value, checks: &Checks<'_>) -> Result<(), String> {
    let (scope, beginning) = match key.kind {
        Kind::PluginMetadata => {
            return match checks.plugins.sentence(&key.id, value, PluginScope::Metadata) {
                None => Ok(()),
                Some(unknown) if unknown.starts_with("unknown plugin") => {
                    Err("invalid plugin name".into())
                }
                Some(wrong) => Err(format!("invalid configuration: {wrong}")),
            };
        }
        Kind::Consumer | Kind::Credential => {
            (PluginScope::Consumer, "invalid plugins configuration: ")
        }
        Kind::StreamRoute => (PluginScope::Stream, ""),
        _ => (PluginScope::Http, ""),
    };
    for (name, conf) in value.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        let Some(wrong) = checks.plugins.sentence(name, conf, scope) else { continue };
        return Err(match wrong.starts_with("unknown plugin") {
            true => format!("{beginning}{wrong}"),
            false => format!(
                "{beginning}failed to check the configuration of plugin {name} err: {wrong}"
            ),
        });
    }
    Ok(())
}

/// Whether everything that a resource refers to is there.
///
/// # Errors
/// With what APISIX's Admin API would answer.
pub fn check_references(key: &Key, value: &Value, entries: &Entries) -> Result<(), String> {
    if key.owner().is_some_and(|owner| !entries.contains(Kind::Consumer, owner)) {
        return Err("consumer not found".into());
    }
    let exists = |kind: Kind, id: &str| entries.contains(kind, id);
    let is_client = |id: &str| {
        let kind = entries.get(Kind::Ssl, id).and_then(|ssl| ssl.value.get("type"));
        kind.and_then(Value::as_str) == Some("client")
    };
    let missing = references::missing(key.kind, value, &exists, &is_client);
    missing.into_iter().next().map_or(Ok(()), |(_, reason)| Err(reason))
}

/// Who still refers to a resource, in the words that APISIX refuses to delete it with. For the
/// Admin API's DELETE without `force`.
pub fn in_use(key: &Key, entries: &Entries) -> Option<String> {
    let what = key.kind.singular();
    let (id, user) = entries.iter().find_map(|(other, entry)| {
        let targets = references::targets(other.kind, &entry.value);
        let refers = targets.into_iter().any(|(kind, id)| kind == key.kind && *id == *key.id);
        refers.then(|| (other.id, other.kind.singular()))
    })?;
    let directly = if key.kind == Kind::Service { " directly" } else { "" };
    Some(format!("can not delete this {what}{directly}, {user} [{id}] is still using it now"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::entries::Entry;
    use crate::plugin::field_checks;
    use crate::plugins::REGISTRY;
    use serde_json::json;
    use std::sync::Arc;

    fn told(path: &str, value: Value) -> String {
        let checks = Checks { plugins: &REGISTRY, fields: &field_checks() };
        check(&Key::of_path(path).unwrap(), &value, &checks).err().unwrap_or_default()
    }

    #[test]
    fn in_the_words_of_apisix() {
        let nodes = json!({"127.0.0.1:80": 1});
        for (path, value, expected) in [
            (
                "routes/1",
                json!({"uri": "/a", "upstream": {"type": "roundrobin", "nodes": nodes}}),
                "",
            ),
            ("routes/1", json!({"id": "2", "uri": "/a", "plugins": {}}), "wrong route id"),
            (
                "routes/1",
                json!({"uri": 5}),
                "invalid configuration: property \"uri\" validation failed: wrong type: expected \
                 string, got number",
            ),
            (
                "routes/1",
                json!({"uri": "/", "zzz": 1}),
                "invalid configuration: additional properties forbidden, found zzz",
            ),
            ("routes/1", json!({"uri": "/", "plugins": {"x": {}}}), "unknown plugin [x]"),
            (
                "routes/1",
                json!({"uri": "/", "plugins": {"limit-count": {"count": 1, "time_window": "a"}}}),
                "failed to check the configuration of plugin limit-count err: property \
                 \"time_window\" validation failed: ",
            ),
            (
                "consumers/bob",
                json!({"username": "bob", "plugins": {"key-auth": {"key": "k"}}}),
                "",
            ),
            ("consumers/bob", json!({"username": "jack"}), "wrong username"),
            (
                "consumers/bob",
                json!({"username": "bob", "plugins": {"x": {}}}),
                "invalid plugins configuration: unknown plugin [x]",
            ),
            (
                "consumers/bob",
                json!({"username": "bob", "plugins": {"key-auth": {"key": 1}}}),
                "invalid plugins configuration: failed to check the configuration of plugin \
                 key-auth err: property \"key\" validation failed: wrong type: expected string, \
                 got number",
            ),
            (
                "routes/1",
                json!({"uri": "/", "plugins": {}, "vars": [["a"]]}),
                "failed to validate the 'vars' expression: ",
            ),
            ("upstreams/1", json!({"type": "chash", "nodes": nodes}), "missing key"),
            (
                "upstreams/1",
                json!({"nodes": nodes, "pass_host": "rewrite"}),
                "`upstream_host` can't be empty when `pass_host` is `rewrite`",
            ),
            ("plugin_metadata/none", json!({"id": "none"}), "invalid plugin name"),
            ("consumers/bob/credentials/1", json!({"id": "1", "plugins": {}}), ""),
        ] {
            let told = told(path, value.clone());
            match expected.ends_with(' ') {
                true => assert!(told.starts_with(expected), "{path} {value}: {told}"),
                false => assert_eq!(told, expected, "{path} {value}"),
            }
        }
    }

    #[test]
    fn references_both_ways() {
        let mut entries = Entries::default();
        let mut put = |path: &str, value: Value| {
            let entry = Entry { value, created: 1, modified: 1 };
            entries.set(&Key::of_path(path).unwrap(), Some(Arc::new(entry)));
        };
        put("upstreams/1", json!({}));
        put("services/s", json!({}));
        put("ssls/server", json!({}));
        put("ssls/client", json!({"type": "client"}));
        put("routes/2", json!({"upstream_id": 1, "service_id": "s"}));
        put("upstreams/tls", json!({"tls": {"client_cert_id": "client"}}));
        let missing = |path: &str, value: Value| {
            let key = Key::of_path(path).unwrap();
            check_references(&key, &value, &entries).err().unwrap_or_default()
        };
        assert_eq!(missing("routes/3", json!({"upstream_id": "1"})), "");
        assert_eq!(
            missing("routes/3", json!({"upstream_id": 77})),
            "failed to fetch upstream info by upstream id [77], response code: 404"
        );
        assert_eq!(
            missing("upstreams/3", json!({"tls": {"client_cert_id": "server"}})),
            "failed to fetch ssl info by ssl id [server], wrong ssl type"
        );
        assert_eq!(missing("consumers/none/credentials/1", json!({})), "consumer not found");

        let user = |path: &str| in_use(&Key::of_path(path).unwrap(), &entries);
        assert_eq!(
            user("upstreams/1").as_deref(),
            Some("can not delete this upstream, route [2] is still using it now")
        );
        assert_eq!(
            user("services/s").as_deref(),
            Some("can not delete this service directly, route [2] is still using it now")
        );
        assert_eq!(
            user("ssls/client").as_deref(),
            Some("can not delete this ssl, upstream [tls] is still using it now")
        );
        assert_eq!(user("ssls/server"), None);
        assert_eq!(user("routes/2"), None);
    }
}
