//! `headers: {add, set, remove}` of the rewriting plugins.

use ringgate_core::{HeaderId, check_name, check_value};
use serde_json::{Map, Value as Json};

use super::text::Value;
use crate::plugin::ConfigError;

/// Fields that say how a message is framed: the gateway's to write, in either direction.
const FRAMING: [HeaderId; 3] =
    [HeaderId::ContentLength, HeaderId::TransferEncoding, HeaderId::Connection];

/// Operations of one configuration.
const OPERATIONS_MAX: usize = 256;

/// One field to write.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<[u8]>,
    /// Several: one field each.
    pub(super) values: Box<[Value]>,
}

/// What is done to fields, in this order.
#[derive(Debug, Default)]
pub(super) struct Operations {
    pub(super) add: Vec<Field>,
    pub(super) set: Vec<Field>,
    pub(super) remove: Vec<Box<[u8]>>,
}

impl Operations {
    /// From a configuration: `{add, set, remove}`, or the older flat form that only sets.
    pub(super) fn compile(conf: Option<&Json>) -> Result<Operations, ConfigError> {
        let mut operations = Operations::default();
        let Some(conf) = conf.and_then(Json::as_object) else { return Ok(operations) };
        let is_new = conf.get("add").is_some_and(|add| add.is_object() || add.is_array())
            || conf.get("set").is_some_and(Json::is_object)
            || conf.get("remove").is_some_and(Json::is_array);
        if !is_new {
            operations.set = fields(conf)?;
            return operations.bounded();
        }
        operations.add = match conf.get("add") {
            Some(Json::Object(add)) => fields(add)?,
            Some(Json::Array(lines)) => lines.iter().map(line).collect::<Result<_, _>>()?,
            _ => Vec::new(),
        };
        if let Some(set) = conf.get("set").and_then(Json::as_object) {
            operations.set = fields(set)?;
        }
        for name in conf.get("remove").and_then(Json::as_array).into_iter().flatten() {
            operations.remove.push(field_name(name.as_str().unwrap_or_default())?);
        }
        operations.bounded()
    }

    fn bounded(self) -> Result<Operations, ConfigError> {
        match self.add.len() + self.set.len() + self.remove.len() {
            0..=OPERATIONS_MAX => Ok(self),
            _ => Err(ConfigError::at("headers", format!("more than {OPERATIONS_MAX} fields"))),
        }
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.add.is_empty() && self.set.is_empty() && self.remove.is_empty()
    }
}

fn fields(conf: &Map<String, Json>) -> Result<Vec<Field>, ConfigError> {
    let compile = |(name, value): (&String, &Json)| {
        let checked = field_name(name)?;
        if HeaderId::of(&checked).is_some_and(|id| FRAMING.contains(&id)) {
            return Err(ConfigError::at("headers", format!("{name} is the gateway's to say")));
        }
        let values: Box<[Value]> = match value {
            Json::Array(values) => values.iter().map(field_value).collect::<Result<_, _>>()?,
            value => Box::new([field_value(value)?]),
        };
        Ok(Field { name: checked, values })
    };
    conf.iter().map(compile).collect()
}

/// `Set-Cookie: a=b`
fn line(line: &Json) -> Result<Field, ConfigError> {
    let line = line.as_str().unwrap_or_default();
    let Some((name, value)) = line.split_once(':') else {
        return Err(ConfigError::at("headers", format!("expected NAME: VALUE, got {line:?}")));
    };
    let mut fields = fields(&Map::from_iter([(name.trim().to_owned(), value.trim().into())]))?;
    fields.pop().ok_or_else(|| ConfigError::at("headers", "holds no field"))
}

fn field_name(name: &str) -> Result<Box<[u8]>, ConfigError> {
    check_name(name.as_bytes())
        .map_err(|_| ConfigError::at("headers", "invalid field character in header"))?;
    Ok(name.as_bytes().into())
}

fn field_value(value: &Json) -> Result<Value, ConfigError> {
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => return Err(ConfigError::at("headers", "invalid type as header value")),
    };
    check_value(text.as_bytes())
        .map_err(|_| ConfigError::at("headers", "invalid value character in header"))?;
    Value::compile(&text).map_err(|reason| ConfigError::at("headers", reason))
}
