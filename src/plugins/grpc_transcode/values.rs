//! What a request says, as values of a message's fields.

use std::collections::HashMap;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde_json::{Map, Value as Json};

/// How deep a request may reach into messages.
const DEPTH_MAX: usize = 64;

/// Elements that one field of a query or a form may come to.
const TEXTS_MAX: usize = 1000;

/// Whether texts of `bytes` fields are the bytes, as in APISIX, or Base64, as in protobuf's JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BytesAre {
    Text,
    Base64,
}

/// A field by its name in the definition, or as protobuf's JSON names it.
pub(super) fn field_of(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name))
}

/// Makes a message of a JSON object. Names that the message has not are passed over.
pub(super) fn message(
    descriptor: MessageDescriptor,
    object: &Map<String, Json>,
    bytes: BytesAre,
    depth: usize,
) -> Result<DynamicMessage, String> {
    if depth > DEPTH_MAX {
        return Err(format!("more than {DEPTH_MAX} messages within each other"));
    }
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, json) in object {
        if let Some(field) = field_of(&descriptor, name)
            && !json.is_null()
        {
            let value = of_json(&field, json, bytes, depth)
                .map_err(|reason| format!("{name}: {reason}"))?;
            set(&mut message, &field, value)?;
        }
    }
    Ok(message)
}

fn set(message: &mut DynamicMessage, field: &FieldDescriptor, value: Value) -> Result<(), String> {
    message.try_set_field(field, value).map_err(|error| error.to_string())
}

fn of_json(
    field: &FieldDescriptor,
    json: &Json,
    bytes: BytesAre,
    depth: usize,
) -> Result<Value, String> {
    if field.is_map() {
        let kind = field.kind();
        let (Some(entry), Json::Object(object)) = (kind.as_message(), json) else {
            return Err("expected an object".into());
        };
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let mut map = HashMap::new();
        for (name, json) in object {
            let name = map_key(&key.kind(), name)?;
            map.insert(name, one(&value.kind(), json, bytes, depth)?);
        }
        return Ok(Value::Map(map));
    }
    if field.is_list() {
        let single = std::slice::from_ref(json);
        let list = json.as_array().map_or(single, Vec::as_slice).iter();
        let values = list.map(|json| one(&field.kind(), json, bytes, depth));
        return Ok(Value::List(values.collect::<Result<_, _>>()?));
    }
    match json {
        // A field of a query that came several times.
        Json::Array(list) => match list.last() {
            Some(last) => one(&field.kind(), last, bytes, depth),
            None => Err("expected a value, got a list".into()),
        },
        json => one(&field.kind(), json, bytes, depth),
    }
}

fn one(kind: &Kind, json: &Json, bytes: BytesAre, depth: usize) -> Result<Value, String> {
    match (kind, json) {
        (Kind::Message(descriptor), Json::Object(object)) => {
            message(descriptor.clone(), object, bytes, depth + 1).map(Value::Message)
        }
        (Kind::Message(_), _) => Err("expected an object".into()),
        (_, Json::String(text)) => of_text(kind, text, bytes),
        (Kind::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Kind::String, Json::Bool(value)) => Ok(Value::String(value.to_string())),
        (_, Json::Number(number)) => of_text(kind, &number.to_string(), bytes),
        (kind, _) => Err(format!("expected {kind:?}")),
    }
}

/// A value that is no message, from its text.
pub(super) fn of_text(kind: &Kind, text: &str, bytes: BytesAre) -> Result<Value, String> {
    let expected = |what: &str| format!("expected {what}, got {:?}", shortened(text));
    macro_rules! number {
        ($variant:ident, $kind:ty, $what:literal) => {
            integer(text)
                .and_then(|number| <$kind>::try_from(number).ok())
                .map(Value::$variant)
                .ok_or_else(|| expected($what))
        };
    }
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => number!(I32, i32, "a 32-bit integer"),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => number!(I64, i64, "a 64-bit integer"),
        Kind::Uint32 | Kind::Fixed32 => number!(U32, u32, "an unsigned 32-bit integer"),
        Kind::Uint64 | Kind::Fixed64 => number!(U64, u64, "an unsigned 64-bit integer"),
        Kind::Double => text.parse().map(Value::F64).map_err(|_| expected("a number")),
        Kind::Float => text.parse().map(Value::F32).map_err(|_| expected("a number")),
        Kind::Bool => match text {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(expected("true or false")),
        },
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bytes => match bytes {
            BytesAre::Text => Ok(Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))),
            BytesAre::Base64 => base64(text)
                .map(|bytes| Value::Bytes(bytes.into()))
                .ok_or_else(|| expected("Base64")),
        },
        Kind::Enum(kind) => match kind.get_value_by_name(text) {
            Some(value) => Ok(Value::EnumNumber(value.number())),
            None => number!(EnumNumber, i32, "a name or number of the enumeration"),
        },
        Kind::Message(_) => Err(expected("an object")),
    }
}

/// An integer: decimal or behind `0x`, with lua-protobuf's `#` before it or without; `1.0` is one.
fn integer(text: &str) -> Option<i128> {
    let bare = text.strip_prefix('#').unwrap_or(text);
    let (negative, digits) = match bare.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, bare),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let number = match hex {
        Some(hex) => i128::from(u64::from_str_radix(hex, 16).ok()?),
        None => match digits.parse::<u64>() {
            Ok(number) => i128::from(number),
            Err(_) => {
                let number = digits.parse::<f64>().ok()?;
                // Up to here every integer has a number of its own.
                let exact = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
                exact.then_some(number as i128)?
            }
        },
    };
    Some(if negative { -number } else { number })
}

/// Base64 of either alphabet, padded or not, as protobuf's JSON takes it.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    const ANY: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = |alphabet| GeneralPurpose::new(alphabet, ANY);
    let alphabet = match text.contains(['-', '_']) {
        true => &alphabet::URL_SAFE,
        false => &alphabet::STANDARD,
    };
    engine(alphabet).decode(text).ok()
}

fn map_key(kind: &Kind, text: &str) -> Result<MapKey, String> {
    of_text(kind, text, BytesAre::Text)?.into_map_key().ok_or_else(|| "no key of a map".to_owned())
}

fn shortened(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(end, _)| &text[..end])
}

/// Sets a field by a path with dots to a text, as a query does: a list grows by it, messages on
/// the way are made. Paths that the message has not are passed over.
pub(super) fn set_path(
    message: &mut DynamicMessage,
    path: &str,
    text: &str,
    bytes: BytesAre,
) -> Result<(), String> {
    let (mut message, mut names) = (message, path.split('.').take(DEPTH_MAX).peekable());
    while let Some(name) = names.next() {
        let Some(field) = field_of(&prost_reflect::ReflectMessage::descriptor(message), name)
        else {
            return Ok(());
        };
        if names.peek().is_some() {
            let inside = !field.is_list() && !field.is_map();
            if !inside || field.kind().as_message().is_none() {
                return Ok(());
            }
            let Some(inner) = message.get_field_mut(&field).as_message_mut() else {
                return Ok(());
            };
            message = inner;
            continue;
        }
        if field.is_map() {
            return Ok(());
        }
        let value =
            leaf(&field.kind(), text, bytes).map_err(|reason| format!("{path}: {reason}"))?;
        if !field.is_list() {
            return set(message, &field, value);
        }
        if let Some(list) = message.get_field_mut(&field).as_list_mut() {
            if list.len() >= TEXTS_MAX {
                return Err(format!("{path}: more than {TEXTS_MAX} values"));
            }
            list.push(value);
        }
        return Ok(());
    }
    Ok(())
}

/// A text as a value, or as a message that protobuf's JSON writes as a text: a time, a wrapper.
fn leaf(kind: &Kind, text: &str, bytes: BytesAre) -> Result<Value, String> {
    let Kind::Message(descriptor) = kind else { return of_text(kind, text, bytes) };
    let json = match descriptor.full_name() {
        "google.protobuf.BoolValue" => Json::Bool(match text {
            "true" => true,
            "false" => false,
            _ => return Err(format!("expected true or false, got {:?}", shortened(text))),
        }),
        "google.protobuf.Timestamp"
        | "google.protobuf.Duration"
        | "google.protobuf.FieldMask"
        | "google.protobuf.StringValue"
        | "google.protobuf.BytesValue"
        | "google.protobuf.Int32Value"
        | "google.protobuf.Int64Value"
        | "google.protobuf.UInt32Value"
        | "google.protobuf.UInt64Value"
        | "google.protobuf.FloatValue"
        | "google.protobuf.DoubleValue" => Json::String(text.to_owned()),
        name => return Err(format!("{name} cannot be said in one text")),
    };
    let message = DynamicMessage::deserialize(descriptor.clone(), json);
    message.map(Value::Message).map_err(|error| error.to_string())
}
