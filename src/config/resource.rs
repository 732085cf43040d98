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
mod tests;
