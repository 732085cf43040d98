//! Messages as JSON.
//!
//! Two styles: APISIX's (lua-protobuf's tables through cjson), for calls that `service` and
//! `method` name; and protobuf's own JSON mapping, for calls by `google.api.http`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, SerializeOptions, Syntax, Value,
};

use super::conf::{Defaults, Int64, Options};

/// How often an `Any` may stand within another: each is decoded when it is written, which bounds
/// of decoding do not see.
const ANY_DEPTH_MAX: usize = 8;

/// Why a message cannot be written.
#[derive(Debug)]
pub(super) enum WriteError {
    /// It would be larger than so many bytes.
    TooLarge(usize),
    /// It has no JSON.
    Unfit(String),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::TooLarge(max) => write!(f, "an answer above {max} bytes of JSON"),
            WriteError::Unfit(reason) => f.write_str(reason),
        }
    }
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Apisix(Options),
    /// Protobuf's own; options that were configured bend it.
    Protobuf(Option<Options>),
}

/// Appends a message, or one field of it, to `out`, which may then have `max` bytes.
pub(super) fn write(
    message: &DynamicMessage,
    field: Option<&FieldDescriptor>,
    style: Style,
    out: &mut Vec<u8>,
    max: usize,
) -> Result<(), WriteError> {
    let mut writer = Writer { out, max };
    match style {
        Style::Apisix(options) => match field {
            Some(field) => writer.field(field, &message.get_field(field), options)?,
            None => writer.message(message, options)?,
        },
        Style::Protobuf(options) => {
            any_depth(message, 0)?;
            let mut said = SerializeOptions::new();
            if let Some(options) = options {
                said = said
                    .use_enum_numbers(!options.enum_names)
                    .stringify_64_bit_integers(options.int64 != Int64::Number)
                    .skip_default_fields(options.defaults == Defaults::None);
            }
            let unfit = |error: serde_json::Error| WriteError::Unfit(error.to_string());
            match field {
                None => {
                    let mut json = serde_json::Serializer::new(&mut writer);
                    message.serialize_with_options(&mut json, &said).map_err(unfit)?;
                }
                Some(field) => {
                    // One field of a message that holds nothing else.
                    let mut alone = DynamicMessage::new(message.descriptor());
                    alone.set_field(field, message.get_field(field).into_owned());
                    let part = |options: &SerializeOptions| {
                        let json = serde_json::value::Serializer;
                        let mut whole =
                            alone.serialize_with_options(json, options).map_err(unfit)?;
                        Ok(whole.get_mut(field.json_name()).map(serde_json::Value::take))
                    };
                    // A field that holds its default is asked for all the same.
                    let part = match part(&said)? {
                        Some(part) => Some(part),
                        None => part(&said.skip_default_fields(false))?,
                    };
                    serde_json::to_writer(&mut writer, &part).map_err(unfit)?;
                }
            }
        }
    }
    match writer.out.len() > max {
        true => Err(WriteError::TooLarge(max)),
        false => Ok(()),
    }
}

/// Writes up to its bound; beyond it, nothing.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    max: usize,
}

impl std::io::Write for &mut Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.out.len() <= self.max {
            self.out.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if self.out.len() <= self.max {
            self.out.extend_from_slice(bytes);
        }
    }

    fn json(&mut self, value: &impl serde::Serialize) -> Result<(), WriteError> {
        serde_json::to_writer(self, value).map_err(|error| WriteError::Unfit(error.to_string()))
    }

    fn message(&mut self, message: &DynamicMessage, options: Options) -> Result<(), WriteError> {
        self.put(b"{");
        let mut first = true;
        for field in message.descriptor().fields() {
            if !(message.has_field(&field) || shows_default(&field, options.defaults)) {
                continue;
            }
            if self.out.len() > self.max {
                return Err(WriteError::TooLarge(self.max));
            }
            if !std::mem::take(&mut first) {
                self.put(b",");
            }
            self.json(&field.name())?;
            self.put(b":");
            self.field(&field, &message.get_field(&field), options)?;
        }
        self.put(b"}");
        Ok(())
    }

    fn field(
        &mut self,
        field: &FieldDescriptor,
        value: &Value,
        options: Options,
    ) -> Result<(), WriteError> {
        match value {
            Value::List(list) => {
                self.put(b"[");
                for (index, value) in list.iter().enumerate() {
                    if index > 0 {
                        self.put(b",");
                    }
                    self.value(&field.kind(), value, options)?;
                }
                self.put(b"]");
            }
            Value::Map(map) => {
                let kind = field.kind();
                let Some(entry) = kind.as_message() else {
                    return Err(WriteError::Unfit("a map without entries".into()));
                };
                let kind = entry.map_entry_value_field().kind();
                // In an order, so that the same message is always written alike.
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(key, _)| *key);
                self.put(b"{");
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    if index > 0 {
                        self.put(b",");
                    }
                    self.json(&key_text(key))?;
                    self.put(b":");
                    self.value(&kind, value, options)?;
                }
                self.put(b"}");
            }
            value => self.value(&field.kind(), value, options)?,
        }
        Ok(())
    }

    fn value(&mut self, kind: &Kind, value: &Value, options: Options) -> Result<(), WriteError> {
        match value {
            Value::Message(message) => self.message(message, options),
            Value::Bool(value) => self.json(value),
            Value::I32(value) => self.json(value),
            Value::U32(value) => self.json(value),
            Value::I64(value) => self.int64(*value < 0, value.unsigned_abs(), options.int64),
            Value::U64(value) => self.int64(false, *value, options.int64),
            Value::F32(value) if value.is_finite() => self.json(value),
            Value::F64(value) if value.is_finite() => self.json(value),
            // JSON has no number for these; so protobuf's mapping writes them.
            Value::F32(value) => self.json(&not_finite(f64::from(*value))),
            Value::F64(value) => self.json(&not_finite(*value)),
            Value::String(text) => self.json(text),
            Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.json(&text),
                Err(_) => self.json(&STANDARD.encode(bytes)),
            },
            Value::EnumNumber(number) => {
                let named = kind.as_enum().and_then(|kind| kind.get_value(*number));
                match named.filter(|_| options.enum_names) {
                    Some(named) => self.json(&named.name()),
                    None => self.json(number),
                }
            }
            Value::List(_) | Value::Map(_) => Err(WriteError::Unfit("a list in a list".into())),
        }
    }

    /// As lua-protobuf has it: what fits 32 bits is a number always, the rest a text behind `#`.
    fn int64(&mut self, negative: bool, value: u64, style: Int64) -> Result<(), WriteError> {
        let sign = if negative { "-" } else { "" };
        let small = match negative {
            true => value <= 1 << 31,
            false => value <= u64::from(u32::MAX),
        };
        let text = match style {
            _ if small => format!("{sign}{value}"),
            Int64::Number => format!("{sign}{value}"),
            Int64::Text => format!("\"#{sign}{value}\""),
            Int64::Hex => format!("\"#{sign}0x{value:X}\""),
        };
        self.put(text.as_bytes());
        Ok(())
    }
}

/// Whether a field is written that the message does not hold: messages and members of a oneof are
/// not there then, with any option.
fn shows_default(field: &FieldDescriptor, defaults: Defaults) -> bool {
    let is_proto3 = field.parent_file().syntax() == Syntax::Proto3;
    let shown = match defaults {
        Defaults::None => false,
        Defaults::Proto3 => is_proto3,
        Defaults::All => true,
    };
    let single = !field.is_list() && !field.is_map();
    shown
        && field.containing_oneof().is_none()
        && !(single && matches!(field.kind(), Kind::Message(_)))
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn not_finite(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "NaN",
        value if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

/// Refuses a message in which `Any`s stand too deep within each other.
fn any_depth(message: &DynamicMessage, depth: usize) -> Result<(), WriteError> {
    if depth > ANY_DEPTH_MAX {
        let reason = format!("google.protobuf.Any within Any, more than {ANY_DEPTH_MAX} times");
        return Err(WriteError::Unfit(reason));
    }
    let descriptor = message.descriptor();
    if descriptor.full_name() == "google.protobuf.Any" {
        let url = message.get_field_by_name("type_url");
        let name = url.as_ref().and_then(|url| url.as_str()?.rsplit('/').next());
        let kind = name.and_then(|name| descriptor.parent_pool().get_message_by_name(name));
        let bytes = message.get_field_by_name("value");
        if let (Some(kind), Some(bytes)) = (kind, bytes.as_ref().and_then(|b| b.as_bytes()))
            && let Ok(inner) = DynamicMessage::decode(kind, bytes.clone())
        {
            any_depth(&inner, depth + 1)?;
        }
        return Ok(());
    }
    for (_, value) in message.fields() {
        match value {
            Value::Message(inner) => any_depth(inner, depth)?,
            Value::List(list) => {
                for inner in list.iter().filter_map(Value::as_message) {
                    any_depth(inner, depth)?;
                }
            }
            Value::Map(map) => {
                for inner in map.values().filter_map(Value::as_message) {
                    any_depth(inner, depth)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
