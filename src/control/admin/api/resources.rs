//! GET, PUT, POST, PATCH and DELETE of resources.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::target::Target;
use super::{Answer, Asked, NO_CONSUMER, bad, body, failed, list, patch, refused, tell};
use crate::config::entries::{Entries, Entry, Key};
use crate::config::resource;
use crate::config::schema::{self, Kind};
use crate::control::editor::{Change, Refused, Written};

/// What every key begins with.
const PREFIX: &str = "/apisix/";
/// The longest time that something may be wanted for: a hundred years.
const TTL_MAX: f64 = 3_153_600_000.0;

/// Answers about resources.
pub(super) async fn serve(asked: Asked, body: Body) -> Answer {
    let Some(target) = Target::of(&asked.path) else {
        let name = asked.path.first().map_or("", String::as_str);
        let why = format!("Unsupported resource type: {name}");
        return Err(failed(StatusCode::NOT_FOUND, why));
    };
    if !target.takes(&asked.method) {
        let (method, what) = (&asked.method, target.kind.singular());
        let why = format!("not supported `{method}` method for {what}");
        return Err(failed(StatusCode::METHOD_NOT_ALLOWED, why));
    }
    if target.owner.is_none() && target.kind == Kind::Secret && asked.method != Method::GET {
        return Err(bad("missing secret id"));
    }
    if !target.place.is_empty() && asked.method != Method::PATCH {
        return Err(bad(format!("invalid sub-path: /{}", target.place.join("/"))));
    }
    let body = body::read(body).await?;
    let ttl = ttl(&asked)?;
    match asked.method {
        Method::GET | Method::HEAD => match &target.id {
            Some(id) => one(&asked, &target, id),
            None => list::list(asked, target).await,
        },
        Method::PUT => put(&asked, &target, body::required(&body)?, ttl).await,
        Method::POST => post(&asked, &target, body::required(&body)?, ttl).await,
        Method::PATCH => patch(&asked, &target, body::json(&body)?, ttl).await,
        Method::DELETE => delete(&asked, &target).await,
        _ => Err(failed(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")),
    }
}

/// `?ttl=`: how long it is to be there.
fn ttl(asked: &Asked) -> Result<Option<Duration>, Response> {
    let Some(text) = asked.argument("ttl") else { return Ok(None) };
    let wrong = || bad("invalid argument ttl: should be a number");
    let seconds: f64 = text.trim().parse().map_err(|_| wrong())?;
    if !seconds.is_finite() {
        return Err(wrong());
    }
    // As in etcd, what is not above zero means no end.
    Ok((seconds > 0.0).then(|| Duration::from_secs_f64(seconds.min(TTL_MAX))))
}

/// A resource as clients see it: secrets in plain text, private keys of nodes as they are stored,
/// those of `ssls` not at all.
pub(super) fn shown(asked: &Asked, key: &Key, entry: &Entry) -> Value {
    let mut value = asked.editor().shown(key.kind, &entry.value);
    if let (Kind::Ssl, Some(ssl)) = (key.kind, value.as_object_mut()) {
        ssl.shift_remove("key");
        ssl.shift_remove("keys");
    }
    json!({
        "key": name(key), "value": value,
        "createdIndex": entry.created, "modifiedIndex": entry.modified,
    })
}

/// `/apisix/routes/1`
fn name(key: &Key) -> String {
    format!("{PREFIX}{}", key.path())
}

fn one(asked: &Asked, target: &Target, id: &str) -> Answer {
    let key = Key::new(target.kind, target.key_id(id));
    match asked.editor().entries().at(&key) {
        Some(entry) => tell(StatusCode::OK, &shown(asked, &key, entry)),
        None => Err(refused(&Refused::NotFound)),
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What may not be sent, at the root or in what stands inside.
fn forbidden(value: &Value) -> Result<(), Response> {
    for (at, inside) in [
        ("", Some(value)),
        ("upstream.", value.get("upstream")),
        ("plugins.", value.get("plugins")),
    ] {
        let sent = |name: &&str| inside.is_some_and(|inside| !inside[*name].is_null());
        if let Some(name) = ["create_time", "update_time"].iter().find(|name| sent(name)) {
            // Two spaces, as in APISIX.
            return Err(bad(format!("the property is forbidden:  {at}{name}")));
        }
    }
    Ok(())
}

/// An id as text, where it can be one.
fn text(id: &Value) -> Option<String> {
    match id {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(match id.as_f64().filter(|id| id.fract() == 0.0) {
            // Lua writes 1.0 as 1.
            Some(whole) if id.is_f64() => format!("{whole:.0}"),
            _ => id.to_string(),
        }),
        _ => None,
    }
}

/// What the schema says of a value whose id cannot be told.
fn unnamed(kind: Kind, value: &Value, otherwise: &str) -> Response {
    match schema::schema(kind).sentence(value) {
        Some(sentence) => bad(format!("invalid configuration: {sentence}")),
        None => bad(otherwise),
    }
}

/// The key of a value that is put, with the id inside: as in the path, else as it was sent.
fn named(target: &Target, value: &mut Value) -> Result<Key, Response> {
    let kind = target.kind;
    let own = target.id.as_deref();
    match kind {
        Kind::Consumer => {
            let username = value["username"].as_str();
            return match (own, username) {
                (Some(own), Some(name)) if own != name => Err(bad("wrong username")),
                (_, Some(name)) if !name.is_empty() => Ok(Key::new(kind, name)),
                _ => Err(unnamed(kind, value, "missing username")),
            };
        }
        Kind::PluginMetadata => {
            let name = own.ok_or_else(|| bad("missing plugin name"))?;
            value["id"] = name.into();
            return Ok(Key::new(kind, name));
        }
        _ => {}
    }
    let what = kind.singular();
    let inside = value.get("id").filter(|id| !id.is_null()).cloned();
    let id = match (own, &inside) {
        (None, None) => return Err(bad(format!("missing {what} id"))),
        (Some(own), None) => own.to_owned(),
        (own, Some(inside)) => {
            let Some(id) = text(inside) else {
                return Err(unnamed(kind, value, &format!("wrong {what} id")));
            };
            match own {
                Some(own) if own != id && target.key_id(own) != id => {
                    return Err(bad(format!("wrong {what} id")));
                }
                Some(own) => own.to_owned(),
                None => id,
            }
        }
    };
    let key = Key::new(kind, target.key_id(&id));
    value["id"] = match kind {
        Kind::Secret => (*key.id).into(),
        // Of the path's and the body's, the path's comes first.
        _ if own.is_some() => id.into(),
        _ => inside.unwrap_or_default(),
    };
    Ok(key)
}

/// The schema of a secret is its manager's.
fn manager(target: &Target, value: &Value) -> Result<(), Response> {
    let Some(manager) = target.owner.as_deref().filter(|_| target.kind == Kind::Secret) else {
        return Ok(());
    };
    let Some(schema) = schema::secret_schema(manager) else {
        return Err(bad(format!("invalid secret manager: {manager}")));
    };
    match schema.sentence(value) {
        Some(sentence) => Err(bad(format!("invalid configuration: {sentence}"))),
        None => Ok(()),
    }
}

/// Whether the consumer of a credential is there.
fn owned(key: &Key, entries: &Entries) -> Result<(), Refused> {
    match key.owner() {
        Some(owner) if !entries.contains(Kind::Consumer, owner) => {
            Err(Refused::Invalid(NO_CONSUMER.into()))
        }
        _ => Ok(()),
    }
}

/// Sets when it was made and when it was changed.
fn stamp(kind: Kind, value: &mut Map<String, Value>, before: Option<&Entry>) {
    if kind == Kind::PluginMetadata {
        return;
    }
    let now = now();
    let made = before.and_then(|before| before.value.get("create_time")).cloned();
    value.insert("create_time".into(), made.unwrap_or_else(|| now.into()));
    value.insert("update_time".into(), now.into());
}

async fn put(asked: &Asked, target: &Target, value: Value, ttl: Option<Duration>) -> Answer {
    body::object(&value)?;
    let mut value = value;
    let key = named(target, &mut value)?;
    forbidden(&value)?;
    manager(target, &value)?;
    let named = key.clone();
    let plan = move |entries: &Entries| {
        owned(&key, entries)?;
        let mut value = value.clone();
        if let Some(map) = value.as_object_mut() {
            stamp(key.kind, map, entries.at(&key).map(|entry| &**entry));
        }
        Ok(vec![Change { key: key.clone(), value: Some(value) }])
    };
    let written = asked.editor().write(asked.author(), plan).await;
    wrote(asked, Some(named), target, written, ttl).await
}

async fn post(asked: &Asked, target: &Target, value: Value, ttl: Option<Duration>) -> Answer {
    body::object(&value)?;
    let (kind, editor) = (target.kind, asked.editor().clone());
    if target.id.is_some() || !value["id"].is_null() {
        return Err(bad(format!("wrong {} id, do not need it", kind.singular())));
    }
    forbidden(&value)?;
    let plan = move |entries: &Entries| {
        let mut value = value.clone();
        // In the turn of this write: nobody else takes it.
        let free = |number: &u64| !entries.contains(kind, &format!("{number:020}"));
        let number = (editor.revision() + 1..).find(free).unwrap_or_default();
        let id = format!("{number:020}");
        if let Some(map) = value.as_object_mut() {
            map.insert("id".into(), id.as_str().into());
            stamp(kind, map, None);
        }
        Ok(vec![Change { key: Key::new(kind, id), value: Some(value) }])
    };
    let written = asked.editor().write(asked.author(), plan).await;
    wrote(asked, None, target, written, ttl).await
}

async fn patch(
    asked: &Asked,
    target: &Target,
    value: Option<Value>,
    ttl: Option<Duration>,
) -> Answer {
    let what = target.kind.singular();
    let Some(id) = &target.id else { return Err(bad(format!("missing {what} id"))) };
    let Some(value) = value else { return Err(bad("missing new configuration")) };
    if target.place.is_empty() && !value.is_object() {
        return Err(bad("invalid configuration"));
    }
    let (key, own) = (Key::new(target.kind, target.key_id(id)), id.clone());
    let (place, editor) = (target.place.clone(), asked.editor().clone());
    let named = key.clone();
    let checked = target.clone();
    let plan = move |entries: &Entries| {
        let before = entries.at(&key).ok_or(Refused::NotFound)?;
        let stored = editor.plain(key.kind, &before.value);
        let mut after = patch::apply(stored, &place, &value).map_err(Refused::Invalid)?;
        if let Some(map) = after.as_object_mut() {
            // The path's id comes before the one inside, which may be a number.
            if map.get("id").and_then(text).is_some_and(|inside| inside == own) {
                map.insert("id".into(), own.as_str().into());
            }
            let made = before.value.get("create_time").cloned();
            map.entry("create_time").or_insert_with(|| made.unwrap_or_else(|| now().into()));
            if !place.is_empty() || value.get("update_time").is_none_or(Value::is_null) {
                map.insert("update_time".into(), now().into());
            }
        }
        if let Some(schema) = checked.owner.as_deref().and_then(schema::secret_schema)
            && checked.kind == Kind::Secret
            && let Some(sentence) = schema.sentence(&after)
        {
            return Err(Refused::Invalid(format!("invalid configuration: {sentence}")));
        }
        Ok(vec![Change { key: key.clone(), value: Some(after) }])
    };
    let written = asked.editor().write(asked.author(), plan).await;
    wrote(asked, Some(named), target, written, ttl).await
}

async fn delete(asked: &Asked, target: &Target) -> Answer {
    let what = target.kind.singular();
    let Some(id) = &target.id else { return Err(bad(format!("missing {what} id"))) };
    let key = Key::new(target.kind, target.key_id(id));
    let force = asked.argument("force") == Some("true");
    let gone = key.clone();
    let plan = move |entries: &Entries| {
        if !entries.contains(gone.kind, &gone.id) {
            return Err(Refused::NotFound);
        }
        if let Some(why) = resource::in_use(&gone, entries).filter(|_| !force) {
            return Err(Refused::InUse(why));
        }
        Ok(vec![Change { key: gone.clone(), value: None }])
    };
    let written = asked.editor().write(asked.author(), plan).await;
    written.map_err(|error| refused(&error))?;
    tell(StatusCode::OK, &json!({"key": name(&key), "deleted": "1"}))
}

/// The answer to a write of one resource, as it is stored. Without a key it is of the id inside.
async fn wrote(
    asked: &Asked,
    key: Option<Key>,
    target: &Target,
    written: Result<Vec<Written>, Refused>,
    ttl: Option<Duration>,
) -> Answer {
    let written = written.map_err(|error| refused(&error))?;
    let first = written.into_iter().next();
    let stored = first.and_then(|one| Some((one.created, one.entry?)));
    let Some((created, entry)) = stored else { return Err(refused(&Refused::NotFound)) };
    let key = key
        .unwrap_or_else(|| Key::new(target.kind, entry.value["id"].as_str().unwrap_or_default()));
    asked.state.api.expiries.set(&key, entry.modified, ttl).await.map_err(|why| {
        failed(StatusCode::SERVICE_UNAVAILABLE, format!("it was written, but without ttl: {why}"))
    })?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    tell(status, &json!({"key": name(&key), "value": entry.value}))
}
