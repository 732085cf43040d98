//! Kong's consumers, their credentials and groups.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::plugins::Place;
use super::{RECORDS, Reader, names};
use crate::config::PluginScope;
use crate::config::schema::Kind;
use crate::import::draft::Plugins;
use crate::import::finish::object;
use crate::import::names::username;
use crate::import::object::{Object, text};

/// Consumers by the groups that the `acl` plugin names.
pub(super) fn groups(root: &Object<'_>) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let consumers = root.get("consumers").and_then(Value::as_array);
    for consumer in consumers.into_iter().flatten() {
        let Some(name) = name_of(consumer) else { continue };
        for acl in consumer.get("acls").and_then(Value::as_array).into_iter().flatten() {
            if let Some(group) = acl.get("group").and_then(text) {
                groups.entry(group).or_default().push(username(&name));
            }
        }
    }
    groups
}

fn name_of(consumer: &Value) -> Option<String> {
    ["username", "custom_id", "id"].iter().find_map(|key| text(consumer.get(key)?))
}

/// Reads groups and consumers.
pub(super) fn read<'a>(reader: &Reader<'a>, root: &Object<'a>) {
    // By their names, the ids that they are written under.
    let mut known = BTreeMap::new();
    // Members may be listed with their group.
    let mut members: BTreeMap<String, String> = BTreeMap::new();
    for group in root.objects("consumer_groups") {
        group.ignore(&RECORDS);
        group.ignore(&["tags"]);
        let names = names(&group, "name");
        let Some(name) = names.first().cloned() else {
            group.lose_whole("has no name");
            continue;
        };
        for (_, member) in group.items("consumers") {
            if let Some(member) = super::reference(member) {
                members.insert(member, name.clone());
            }
        }
        let plugins = reader.plugins_of("consumer_group", &names, &group, Place::Consumer);
        if let Some(lost) = &plugins.unguarded {
            group.lose_whole(format!("group {name} is left out: {lost} narrows what it may"));
            continue;
        }
        let id = reader.draft.id(Kind::ConsumerGroup, &name);
        // A group without plugins has nothing to give, and is there all the same.
        let value = json!({"id": id, "plugins": {}});
        known.insert(name, id);
        reader.draft.add(Kind::ConsumerGroup, &group.pointer, value, plugins);
    }
    for consumer in root.objects("consumers") {
        one(reader, &consumer, &known, &members);
    }
}

fn one<'a>(
    reader: &Reader<'a>,
    consumer: &Object<'a>,
    groups: &BTreeMap<String, String>,
    members: &BTreeMap<String, String>,
) {
    let draft = reader.draft;
    let names: Vec<String> =
        ["username", "custom_id", "id"].iter().filter_map(|key| consumer.text(key)).collect();
    consumer.ignore(&RECORDS);
    consumer.ignore(&["acls", "tags"]);
    let Some(name) = names.first() else {
        consumer.lose_whole("has neither username nor custom_id");
        return;
    };
    let written = username(name);
    if written != *name {
        let reason = format!("names hold letters, digits, - and _ only; written as {written}");
        draft.lose(&consumer.at("username"), reason);
    }
    let mut of: Vec<String> = consumer
        .items("groups")
        .into_iter()
        .filter_map(|(_, group)| super::reference(group))
        .collect();
    of.extend(names.iter().filter_map(|name| members.get(name).cloned()));
    of.dedup();
    of.retain(|group| {
        groups.contains_key(group) || {
            draft.lose(
                &consumer.at("groups"),
                format!("consumer group {group} is not in this file"),
            );
            false
        }
    });
    if of.len() > 1 {
        consumer.lose("groups", format!("a consumer is in one group here: {}", of[0]));
    }
    let plugins = reader.plugins_of("consumer", &names, consumer, Place::Consumer);
    if let Some(lost) = &plugins.unguarded {
        consumer.lose_whole(format!("consumer {name} is left out: {lost} narrows what it may"));
        return;
    }
    let credentials = credentials(reader, consumer, &written);
    let custom = consumer.text("custom_id").filter(|id| !id.contains(char::is_whitespace));
    let value = object([
        ("username", written.clone().into()),
        (
            "group_id",
            of.first()
                .and_then(|group| groups.get(group))
                .map_or(Value::Null, |id| id.as_str().into()),
        ),
        ("labels", custom.map_or(Value::Null, |id| json!({"custom_id": id}))),
        ("credentials", if credentials.is_empty() { Value::Null } else { credentials.into() }),
    ]);
    draft.add(Kind::Consumer, &consumer.pointer, value, plugins);
}

/// A kind of credential: Kong's key, the plugin, and how it is read.
type Credential = (&'static str, &'static str, fn(&Object<'_>) -> Result<Value, String>);

const CREDENTIALS: [Credential; 4] = [
    ("keyauth_credentials", "key-auth", key),
    ("basicauth_credentials", "basic-auth", basic),
    ("jwt_secrets", "jwt-auth", jwt),
    ("hmacauth_credentials", "hmac-auth", hmac),
];

fn credentials(reader: &Reader<'_>, consumer: &Object<'_>, username: &str) -> Vec<Value> {
    let mut written = Vec::new();
    for (key, plugin, read) in CREDENTIALS {
        for credential in consumer.objects(key) {
            credential.ignore(&RECORDS);
            credential.ignore(&["tags", "consumer"]);
            let conf = match read(&credential) {
                Ok(conf) => conf,
                Err(reason) => {
                    credential.lose_whole(reason);
                    continue;
                }
            };
            let mut plugins = Plugins::default();
            let origin = credential.pointer.clone();
            plugins.put_in(reader.draft, &origin, plugin, conf, false, PluginScope::Consumer);
            if plugins.map.is_empty() {
                credential.forget();
                continue;
            }
            let mut map = Map::new();
            let number = written.len() + 1;
            map.insert("id".into(), format!("{username}-{plugin}-{number}").into());
            if let Some(Value::String(id)) = map.get_mut("id") {
                *id = reader.draft.id(Kind::Credential, id);
            }
            map.insert("plugins".into(), plugins.map.into());
            written.push(Value::Object(map));
        }
    }
    consumer.without(
        &["oauth2_credentials", "mtls_auth_credentials"],
        "credentials of this kind are not known",
    );
    written
}

fn key(credential: &Object<'_>) -> Result<Value, String> {
    credential.without(&["ttl"], "keys do not end by themselves");
    let key = credential.text("key").ok_or("has no key: Kong would make one")?;
    Ok(json!({"key": key}))
}

fn basic(credential: &Object<'_>) -> Result<Value, String> {
    let name = credential.text("username").ok_or("has no username")?;
    let password = credential.text("password").ok_or("has no password")?;
    let hashed = password.len() == 40 && password.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hashed {
        return Err("the password is hashed, and the text itself is needed".into());
    }
    Ok(json!({"username": name, "password": password}))
}

fn jwt(credential: &Object<'_>) -> Result<Value, String> {
    let key = credential.text("key").ok_or("has no key: Kong would make one")?;
    let algorithm = credential.text("algorithm").unwrap_or_else(|| "HS256".into());
    Ok(object([
        ("key", key.into()),
        ("algorithm", algorithm.into()),
        ("secret", credential.text("secret").map_or(Value::Null, Value::from)),
        ("public_key", credential.text("rsa_public_key").map_or(Value::Null, Value::from)),
    ]))
}

fn hmac(credential: &Object<'_>) -> Result<Value, String> {
    let name = credential.text("username").ok_or("has no username")?;
    let secret = credential.text("secret").ok_or("has no secret: Kong would make one")?;
    Ok(json!({"key_id": name, "secret_key": secret}))
}
