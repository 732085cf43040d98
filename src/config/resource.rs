//! One resource by itself, checked before it is stored. What is wrong is told in one sentence, in
//! APISIX's words where it has any: clients show and compare them.

use std::net::Ipv6Addr;

use serde_json::{Map, Value};

use super::checks::{Checks, PluginScope};
use super::entries::{Entries, Key};
use super::schema::{self, Kind, Violation};
use super::{references, semantics};

/// Gives the empty tables of a resource and of its plugins the shape that their schemas ask for.
/// Before a resource is checked or read; what comes from outside has to go through here.
pub fn shape(kind: Kind, value: &mut Value, checks: &Checks<'_>) {
    schema::schema(kind).shape(value);
    if kind == Kind::PluginMetadata {
        let name = value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        return checks.plugins.shape(&name, value, PluginScope::Metadata);
    }
    for (name, conf) in
        value.get_mut("plugins").and_then(Value::as_object_mut).into_iter().flatten()
    {
        checks.plugins.shape(name, conf, plugin_scope(kind));
    }
    // In files, a consumer's credentials stand with it.
    let credentials = value.get_mut("credentials").filter(|_| kind == Kind::Consumer);
    for credential in credentials.and_then(Value::as_array_mut).into_iter().flatten() {
        shape(Kind::Credential, credential, checks);
    }
}

/// As which plugins of a kind's resources are checked.
fn plugin_scope(kind: Kind) -> PluginScope {
    match kind {
        Kind::Consumer | Kind::Credential => PluginScope::Consumer,
        Kind::StreamRoute => PluginScope::Stream,
        _ => PluginScope::Http,
    }
}

/// Makes plugins without a configuration (`key-auth:`) ones with an empty one: YAML's null is an
/// empty table to APISIX's reader (lyaml).
pub fn fill_plugins(value: &mut Value) {
    let plugins = value.get_mut("plugins").and_then(Value::as_object_mut);
    for conf in plugins.into_iter().flat_map(Map::values_mut).filter(|conf| conf.is_null()) {
        *conf = Value::Object(Map::new());
    }
    let credentials = value.get_mut("credentials").and_then(Value::as_array_mut);
    credentials.into_iter().flatten().for_each(fill_plugins);
}

/// Whether a resource is what its schema, its plugins and the rest of its checks ask for. What it
/// refers to is not looked at.
///
/// # Errors
/// With what APISIX's Admin API would answer as `error_msg`.
pub fn check(key: &Key, value: &Value, checks: &Checks<'_>) -> Result<(), String> {
    // Before its schema, where APISIX would say which branch of which part did not match.
    for (one, many) in [("host", "hosts"), ("remote_addr", "remote_addrs")] {
        let both = [one, many].iter().all(|name| value.get(name).is_some());
        if key.kind == Kind::Route && both {
            return Err(format!("only one of {one} or {many} is allowed"));
        }
    }
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
        Some(Value::Number(id)) => {
            id.to_string() == expected || id.as_f64() == expected.parse().ok()
        }
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
    let own = kind == Kind::Ssl
        || pointer.ends_with("/pass_host")
        || reason == "missing key"
        || reason.starts_with("invalid port ");
    match own {
        true => reason,
        // The key is checked by itself there.
        false if pointer.ends_with("/key") => format!("invalid configuration: {reason}"),
        false => format!("invalid configuration: {}", sentence(&pointer, &reason)),
    }
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
    let beginning = match key.kind {
        Kind::PluginMetadata => {
            return match checks.plugins.sentence(&key.id, value, PluginScope::Metadata) {
                None => Ok(()),
                Some(unknown) if unknown.starts_with("unknown plugin") => {
                    Err("invalid plugin name".into())
                }
                Some(wrong) => Err(format!("invalid configuration: {wrong}")),
            };
        }
        Kind::Consumer | Kind::Credential => "invalid plugins configuration: ",
        _ => "",
    };
    let scope = plugin_scope(key.kind);
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

/// What only those who write are refused for, beside references: a file or a store may have it.
///
/// # Errors
/// With what APISIX's Admin API would answer.
pub fn check_write(key: &Key, value: &Value, entries: &Entries) -> Result<(), String> {
    check_references(key, value, entries)?;
    let upstream = match key.kind {
        Kind::Upstream => Some(value),
        _ => value.get("upstream"),
    };
    let nodes = upstream.and_then(|upstream| upstream.get("nodes")).and_then(Value::as_array);
    let hosts = nodes.into_iter().flatten().filter_map(|node| node.get("host")?.as_str());
    if hosts.into_iter().any(|host| host.parse::<Ipv6Addr>().is_ok()) {
        let reason = "IPv6 address must be enclosed with '[' and ']'";
        return Err(format!("invalid configuration: {reason}"));
    }
    if key.kind == Kind::GlobalRule { alone(key, value, entries) } else { Ok(()) }
}

/// Whether no other global rule has a plugin of this one.
fn alone(key: &Key, value: &Value, entries: &Entries) -> Result<(), String> {
    let Some(own) = value.get("plugins").and_then(Value::as_object) else { return Ok(()) };
    for (id, other) in entries.list(Kind::GlobalRule).filter(|(id, _)| **id != key.id) {
        let theirs = other.value.get("plugins");
        let both = own.keys().find(|name| theirs.is_some_and(|all| all.get(name).is_some()));
        if let Some(name) = both {
            return Err(format!("plugin '{name}' already exists in global rule with id '{id}'"));
        }
    }
    Ok(())
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
            (
                "upstreams/1",
                json!({"type": "chash", "key": "no", "hash_on": "cookie", "nodes": nodes}),
                "",
            ),
            (
                "upstreams/1",
                json!({"type": "chash", "key": "$a", "hash_on": "cookie", "nodes": nodes}),
                "invalid configuration: failed to match pattern \"^[a-zA-Z0-9-_]+$\" with \"$a\"",
            ),
            (
                "upstreams/1",
                json!({"type": "chash", "key": "not_support", "nodes": nodes}),
                "invalid configuration: failed to match pattern \"^((uri|server_name|server_addr|\
                 request_uri|remote_port|remote_addr|query_string|host|hostname|mqtt_client_id)|\
                 arg_[0-9a-zA-z_-]+)$\" with \"not_support\"",
            ),
            ("upstreams/1", json!({"nodes": {"a:65536": 1}}), "invalid port 65536"),
            ("upstreams/1", json!({"nodes": [{"host": "127.0.0.1:80", "weight": 1}]}), ""),
            (
                "upstreams/1",
                json!({"nodes": [{"host": "127.0.0.1:80", "port": 1, "weight": 1}]}),
                "invalid configuration: property \"nodes\" validation failed: failed to validate \
                 item 1: property \"host\" validation failed: expected a host without a port, got \
                 127.0.0.1:80",
            ),
            (
                "routes/1",
                json!({"uri": "/", "plugins": {}, "host": "a", "hosts": ["b"]}),
                "only one of host or hosts is allowed",
            ),
            (
                "routes/1",
                json!({"uri": "/", "plugins": {}, "remote_addr": "::1", "remote_addrs": ["::2"]}),
                "only one of remote_addr or remote_addrs is allowed",
            ),
            (
                "ssls/1",
                json!({"sni": "a", "cert": "$ENV://A", "key": "$env://A",
                    "certs": ["https://APISIX_TEST_SSL_CERTS"], "keys": ["$ENV://A"]}),
                "invalid configuration: property \"certs\" validation failed: failed to validate \
                 item 1: string too short, expected at least 128, got 29",
            ),
            ("routes/1", json!({"id": 1, "uri": "/", "plugins": {}}), ""),
            (
                "routes/0",
                json!({"id": 0, "uri": "/"}),
                "invalid configuration: property \"id\" validation failed: object matches none of \
                 the required",
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
    fn empty_tables_are_shaped_with_those_of_plugins() {
        let checks = Checks { plugins: &REGISTRY, fields: &field_checks() };
        let mut route = json!({"methods": {}, "labels": [], "plugins": {
            "key-auth": [], "response-rewrite": {"headers": [], "vars": {}},
        }});
        shape(Kind::Route, &mut route, &checks);
        assert_eq!(
            route,
            json!({"methods": [], "labels": {}, "plugins": {
                "key-auth": {}, "response-rewrite": {"headers": {}, "vars": []},
            }})
        );
        let mut ssl = json!({"cert": "$env://A", "certs": {}, "keys": {}});
        shape(Kind::Ssl, &mut ssl, &checks);
        let sentence = schema::schema(Kind::Ssl).sentence(&ssl);
        assert_eq!(sentence.as_deref(), Some("then clause did not match"));
    }

    #[test]
    fn what_only_writes_are_refused_for() {
        let mut entries = Entries::default();
        let value = json!({"id": "1", "plugins": {"limit-count": {}, "cors": {}}});
        let entry = Entry { value, created: 1, modified: 1 };
        entries.set(&Key::of_path("global_rules/1").unwrap(), Some(Arc::new(entry)));
        let told = |path: &str, value: Value| {
            check_write(&Key::of_path(path).unwrap(), &value, &entries).err().unwrap_or_default()
        };
        let both = json!({"plugins": {"prometheus": {}, "limit-count": {}}});
        assert_eq!(told("global_rules/1", both.clone()), "");
        assert_eq!(
            told("global_rules/2", both),
            "plugin 'limit-count' already exists in global rule with id '1'"
        );
        assert_eq!(told("global_rules/2", json!({"plugins": {"prometheus": {}}})), "");
        let bracketless = json!({"nodes": [{"host": "::1", "port": 80, "weight": 1}]});
        let why = "invalid configuration: IPv6 address must be enclosed with '[' and ']'";
        assert_eq!(told("upstreams/1", bracketless.clone()), why);
        assert_eq!(told("routes/1", json!({"upstream": bracketless})), why);
        let fine = json!({"nodes": [{"host": "[::1]", "port": 80, "weight": 1}]});
        assert_eq!(told("upstreams/1", fine), "");
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
        put("protos/1", json!({}));
        put("routes/calls", json!({"plugins": {"grpc-transcode": {"proto_id": 1}}}));
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
        assert_eq!(
            user("protos/1").as_deref(),
            Some("can not delete this proto, route [calls] is still using it now")
        );
        assert_eq!(user("ssls/server"), None);
        assert_eq!(user("routes/2"), None);
    }
}
