//! From a request to the message of a call.

use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};
use ringgate_core::{HeaderId, Method as Verb, RequestHead};
use serde_json::{Map, Value};

use super::method::{Body, Rule};
use super::query::arguments;
use super::values::{self, BytesAre, set_path};

/// As APISIX makes it: of a body of JSON; else of a form where the request is a `POST`; else of
/// the query. A `POST` without a body has its query instead of an empty form.
pub(super) fn apisix(
    input: &MessageDescriptor,
    rq: &RequestHead,
    body: &[u8],
) -> Result<DynamicMessage, String> {
    let media_type = rq.headers.get(HeaderId::ContentType).unwrap_or_default();
    let is_json = memchr::memmem::find(media_type, b"application/json").is_some();
    let has_body = matches!(rq.method, Verb::Post | Verb::Put | Verb::Patch) && !body.is_empty();
    if is_json && has_body {
        let object: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| format!("the body is no JSON object: {error}"))?;
        return values::message(input.clone(), &object, BytesAre::Text, 0);
    }
    let form = rq.method == Verb::Post && has_body;
    let text = if form { body } else { rq.query().unwrap_or_default() };
    let mut message = DynamicMessage::new(input.clone());
    for (name, value) in arguments(text) {
        set_path(&mut message, &name, &value, BytesAre::Text)?;
    }
    Ok(message)
}

/// As a rule of `google.api.http` says: of the body, of the query where the body is not all of it,
/// and of the path, which counts most.
pub(super) fn by_rule(
    rule: &Rule,
    path: &[(&str, String)],
    rq: &RequestHead,
    body: &[u8],
) -> Result<DynamicMessage, String> {
    let input = &rule.method.input;
    let mut message = match &rule.body {
        Body::None => DynamicMessage::new(input.clone()),
        _ if body.trim_ascii().is_empty() => DynamicMessage::new(input.clone()),
        Body::Whole => read(input, serde_json::from_slice(body))?,
        Body::Field(field) => read(
            input,
            serde_json::from_slice::<Value>(body)
                .map(|part| Value::Object(Map::from_iter([(field.json_name().to_owned(), part)]))),
        )?,
    };
    if !matches!(rule.body, Body::Whole) {
        for (name, value) in arguments(rq.query().unwrap_or_default()) {
            let first = name.split('.').next().unwrap_or_default();
            let in_body = match &rule.body {
                Body::Field(field) => first == field.name() || first == field.json_name(),
                _ => false,
            };
            if !in_body && !path.iter().any(|(field, _)| *field == name) {
                set_path(&mut message, &name, &value, BytesAre::Base64)?;
            }
        }
    }
    for (field, value) in path {
        set_path(&mut message, field, value, BytesAre::Base64)?;
    }
    Ok(message)
}

fn read(
    input: &MessageDescriptor,
    json: serde_json::Result<Value>,
) -> Result<DynamicMessage, String> {
    let json = json.map_err(|error| format!("the body is no JSON: {error}"))?;
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    DynamicMessage::deserialize_with_options(input.clone(), json, &options)
        .map_err(|error| error.to_string())
}
