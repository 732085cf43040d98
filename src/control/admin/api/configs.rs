//! `/apisix/admin/configs`: the whole configuration at once, as in APISIX's standalone mode, for a
//! store of kind `api`.

use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::{Answer, Asked, answer, bad, body, refused, tell};
use crate::config::entries::{Entries, Entry, Key};
use crate::config::schema::Kind;
use crate::config::{Checks, Document, resource};
use crate::control::editor::{Refused, Replacement};
use crate::plugin::field_checks;

const DIGEST: HeaderName = HeaderName::from_static("x-digest");
const MODIFIED: HeaderName = HeaderName::from_static("x-last-modified");
/// Bytes of a digest.
const DIGEST_MAX: usize = 1024;
/// What is told of a configuration with much that is wrong.
const ERRORS_MAX: usize = 100;
const YAML: &str = "application/yaml";

/// What was put last.
#[derive(Debug, Clone)]
pub(super) struct Digest {
    text: String,
    modified: u64,
}

fn last(asked: &Asked) -> Option<Digest> {
    asked.state.api.digest.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn with_digest(mut response: Response, digest: Option<&Digest>) -> Response {
    if let Some(digest) = digest {
        let headers = response.headers_mut();
        if let Ok(text) = HeaderValue::from_str(&digest.text) {
            headers.insert(DIGEST, text);
        }
        headers.insert(MODIFIED, digest.modified.into());
    }
    response
}

fn starts(headers: &HeaderMap, name: HeaderName, with: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.starts_with(with))
}

/// All there is, with the version of each kind.
pub(super) async fn get(asked: &Asked) -> Answer {
    let (editor, see_keys) = (asked.editor().clone(), asked.caller.may_write());
    let made = tokio::task::spawn_blocking(move || {
        let (entries, versions) = (editor.entries(), editor.versions());
        let mut all = Map::new();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Credential) {
            let plain = |kind: Kind, entry: &Entry| {
                let mut value = match see_keys {
                    true => editor.plain(kind, &entry.value),
                    false => editor.shown(kind, &entry.value),
                };
                if let (Kind::Ssl, false, Some(map)) = (kind, see_keys, value.as_object_mut()) {
                    map.shift_remove("key");
                    map.shift_remove("keys");
                }
                value
            };
            let mut list: Vec<Value> =
                entries.list(kind).map(|(_, entry)| plain(kind, entry)).collect();
            if kind == Kind::Consumer {
                list.extend(entries.list(Kind::Credential).map(|(id, entry)| {
                    let mut value = plain(Kind::Credential, entry);
                    value["id"] = (**id).into();
                    value
                }));
            }
            if !list.is_empty() {
                all.insert(kind.plural().into(), list.into());
            }
            let version = versions.get(&kind).copied().unwrap_or(0);
            all.insert(format!("{}_conf_version", kind.plural()), version.into());
        }
        Value::Object(all).to_string()
    });
    let text = made.await.map_err(|_| bad("the configuration could not be read"))?;
    // JSON is YAML.
    let wants_yaml = starts(&asked.headers, header::ACCEPT, YAML);
    let kind = if wants_yaml { YAML } else { "application/json" };
    let response = ([(header::CONTENT_TYPE, kind)], text).into_response();
    Ok(with_digest(response, last(asked).as_ref()))
}

/// The resources of a body, whatever it is written in.
fn parsed(asked: &Asked, bytes: &[u8]) -> Result<Map<String, Value>, Response> {
    if bytes.is_empty() {
        return Err(bad("invalid request body: empty request body"));
    }
    let value = if starts(&asked.headers, header::CONTENT_TYPE, YAML) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(body::invalid("it is not UTF-8", bytes));
        };
        let document = Document::parse("the body", text, &|_| None);
        let mut value =
            document.map_err(|problems| body::invalid(&problems.to_string(), bytes))?.value;
        let lists = value.as_object_mut().into_iter().flat_map(|map| map.values_mut());
        lists.filter_map(Value::as_array_mut).flatten().for_each(resource::fill_plugins);
        value
    } else {
        body::required(bytes)?
    };
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(body::invalid("expected an object", bytes)),
    }
}

/// What a body asks for.
fn replacement(map: &Map<String, Value>) -> Result<Replacement, String> {
    let mut replacement = Replacement::default();
    for (name, value) in map {
        if let Some(kind) = name.strip_suffix("_conf_version").and_then(Kind::of_key) {
            let version = value.as_u64().or_else(|| {
                let float = value.as_f64().filter(|float| *float >= 0.0 && float.fract() == 0.0);
                float.map(|float| float as u64)
            });
            let version = version.ok_or_else(|| format!("{name} must be a number"))?;
            replacement.versions.insert(kind, version);
        } else if let Some(kind) = Kind::of_key(name) {
            match value {
                Value::Array(list) => replacement.resources.push((kind, list.clone())),
                Value::Null => {}
                _ => return Err(format!("{name} must be an array")),
            }
        } else {
            return Err(format!("unknown key {name}"));
        }
    }
    Ok(replacement)
}

/// Makes everything what the body says.
pub(super) async fn put(asked: &Asked, bytes: &[u8]) -> Answer {
    if asked.editor().store() != "api" {
        let why = "whole configurations are taken by a store of kind api only (store.kind)";
        return Err(refused(&Refused::ReadOnly(why.into())));
    }
    let digest = asked.headers.get(DIGEST).and_then(|digest| digest.to_str().ok());
    let Some(digest) = digest.filter(|digest| !digest.is_empty()) else {
        return Err(bad("missing digest header"));
    };
    if digest.len() > DIGEST_MAX {
        return Err(bad("the digest header is too long"));
    }
    let map = parsed(asked, bytes)?;
    if let Some(last) = last(asked).filter(|last| last.text == digest) {
        return Ok(with_digest(StatusCode::NO_CONTENT.into_response(), Some(&last)));
    }
    let replacement = replacement(&map).map_err(bad)?;
    let written = asked.editor().replace(asked.author(), replacement).await;
    written.map_err(|error| refused(&error))?;
    let modified = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    let digest = Digest { text: digest.to_owned(), modified };
    let mut last = asked.state.api.digest.lock().unwrap_or_else(PoisonError::into_inner);
    *last = Some(digest.clone());
    drop(last);
    Ok(with_digest(StatusCode::ACCEPTED.into_response(), Some(&digest)))
}

/// Whether everything of a body could be put, and if not, all that is wrong.
pub(super) fn validate(asked: &Asked, bytes: &[u8]) -> Answer {
    let map = parsed(asked, bytes)?;
    let mut replacement = replacement(&map).map_err(bad)?;
    let fields = field_checks();
    let checks = Checks { plugins: &asked.state.api.plugins, fields: &fields };
    let (mut errors, mut entries) = (Vec::new(), Entries::default());
    let mut good = Vec::new();
    let mut wrong = |kind: Kind, index: usize, id: &str, why: String| {
        errors.push(json!({
            "resource_type": kind.plural(), "index": index, "resource_id": id, "error": why,
        }));
    };
    for (kind, list) in &mut replacement.resources {
        for (index, value) in list.iter_mut().enumerate() {
            let named = key(*kind, value);
            // What has no id is in nobody's way.
            let key = named.clone().unwrap_or_else(|| unnamed(*kind, index));
            let id = named.as_ref().map_or("", |key| &key.id);
            if named.is_some() && entries.contains(key.kind, &key.id) {
                let what = match key.kind {
                    Kind::Consumer => "username",
                    Kind::Credential => "credential id",
                    _ => "id",
                };
                let why = format!("found duplicate {what} {id} in {}", kind.plural());
                wrong(*kind, index, id, why);
                continue;
            }
            resource::shape(key.kind, value, &checks);
            let entry = Entry { value: value.clone(), created: 1, modified: 1 };
            match resource::check(&key, value, &checks) {
                Ok(()) => good.push((*kind, index, key.clone(), entry.value.clone())),
                Err(why) => wrong(*kind, index, id, why),
            }
            entries.set(&key, Some(entry.into()));
        }
    }
    for (kind, index, key, value) in good {
        if let Err(why) = resource::check_write(&key, &value, &entries) {
            let id =
                if value.get("id").is_some() || kind == Kind::Consumer { &*key.id } else { "" };
            wrong(kind, index, id, why);
        }
    }
    if errors.is_empty() {
        return tell(StatusCode::OK, &json!({}));
    }
    errors.truncate(ERRORS_MAX);
    let body = json!({"error_msg": "Configuration validation failed", "errors": errors});
    Err(answer(StatusCode::BAD_REQUEST, &body))
}

/// The key of what has no id, as APISIX names it.
fn unnamed(kind: Kind, index: usize) -> Key {
    Key::new(kind, format!("arr_{}", index + 1))
}

/// The key of a resource of a list.
fn key(kind: Kind, value: &Value) -> Option<Key> {
    let text = |name: &str| match value.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let id = match kind {
        Kind::Consumer => match text("id").filter(|id| id.contains("/credentials/")) {
            Some(id) => return Some(Key::new(Kind::Credential, id)),
            None => text("username")?,
        },
        _ => text("id")?,
    };
    (!id.is_empty()).then(|| Key::new(kind, id))
}
