//! Reading a mapping field by field, so that every problem in it is found and unknown keys are
//! told with what was likely meant.

use std::time::Duration;

use serde_json::{Map, Value};

use super::document::{Document, join};
use super::error::Problems;
use super::values;

/// The mapping at one place of a document. Reading a key makes it known; [`Fields::done`] tells
/// of those that nobody read.
pub(super) struct Fields<'a> {
    pub(super) document: &'a Document,
    pub(super) problems: &'a mut Problems,
    map: Option<&'a Map<String, Value>>,
    pointer: String,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The mapping that `value` should be. `null` is an empty one.
    pub(super) fn new(
        document: &'a Document,
        problems: &'a mut Problems,
        value: Option<&'a Value>,
        pointer: String,
    ) -> Fields<'a> {
        let map = match value {
            None | Some(Value::Null) => None,
            Some(Value::Object(map)) => Some(map),
            Some(other) => {
                let reason = format!("expected a mapping, got {}", kind(other));
                problems.push(document.problem(&pointer, reason));
                None
            }
        };
        Fields { document, problems, map, pointer, known: Vec::new() }
    }

    /// Tells of unknown keys.
    pub(super) fn done(self) {
        for key in self.map.into_iter().flat_map(Map::keys) {
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let hint = values::nearest(key, self.known.iter().copied())
                .map_or(String::new(), |nearest| format!(", did you mean `{nearest}`?"));
            let reason = format!("unknown key{hint}");
            self.problems.push(self.document.problem(&join(&self.pointer, key), reason));
        }
    }

    /// The pointer of a key.
    pub(super) fn at(&self, key: &str) -> String {
        join(&self.pointer, key)
    }

    /// The line of a key, or of the mapping where it is left out.
    pub(super) fn line(&self, key: &str) -> u32 {
        self.document.locate(&self.at(key)).0
    }

    /// A problem with a key.
    pub(super) fn fail(&mut self, key: &str, reason: impl Into<String>) {
        self.problems.push(self.document.problem(&join(&self.pointer, key), reason));
    }

    /// The value of a key; `null` is as if it was left out.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.map?.get(key).filter(|value| !value.is_null())
    }

    /// The mapping under a key, read by `read`.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> T {
        let value = self.get(key);
        let mut fields = Fields::new(self.document, self.problems, value, join(&self.pointer, key));
        let read = read(&mut fields);
        fields.done();
        read
    }

    /// The items of the list under a key, each with its pointer.
    pub(super) fn items(&mut self, key: &'static str) -> Option<Vec<(String, &'a Value)>> {
        match self.get(key)? {
            Value::Array(list) => {
                let pointer = self.at(key);
                let item = |(index, item)| (join(&pointer, index), item);
                Some(list.iter().enumerate().map(item).collect())
            }
            other => {
                self.fail(key, format!("expected a list, got {}", kind(other)));
                None
            }
        }
    }

    /// A list of texts, each read by `parse`. What does not parse is told and left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let items = self.items(key)?;
        let mut list = Vec::with_capacity(items.len());
        for (pointer, item) in items {
            match text(item).ok_or_else(|| expected("a text", item)).and_then(|t| parse(&t)) {
                Ok(item) => list.push(item),
                Err(reason) => self.problems.push(self.document.problem(&pointer, reason)),
            }
        }
        Some(list)
    }

    /// A text, read by `parse`.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.get(key)?;
        match text(value).ok_or_else(|| expected("a text", value)).and_then(|text| parse(&text)) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.fail(key, reason);
                None
            }
        }
    }

    /// A text as it stands.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.parsed(key, |text| Ok(text.to_string()))
    }

    /// `true` or `false`.
    pub(super) fn bool(&mut self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        if value.as_bool().is_none() {
            self.fail(key, expected("true or false", value));
        }
        value.as_bool()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.parsed(key, |text| {
            words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
                let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let hint = values::nearest(text, list.iter().copied())
                    .map_or(String::new(), |nearest| format!(", did you mean `{nearest}`?"));
                format!("expected {}, got {text}{hint}", list.join(" | "))
            })
        })
    }

    /// A duration of at least a millisecond into `slot`.
    pub(super) fn duration(&mut self, key: &'static str, slot: &mut Duration) {
        let read = self.parsed(key, |text| match values::duration(text)? {
            Duration::ZERO => Err("must be longer than 0".into()),
            duration => Ok(duration),
        });
        *slot = read.unwrap_or(*slot);
    }

    /// A count within bounds into `slot`.
    pub(super) fn count<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        slot: &mut T,
        min: u64,
        max: u64,
    ) {
        let read = self.parsed(key, |text| {
            let number = text.parse::<u64>().map_err(|_| "expected a whole number".to_string())?;
            bounded(number, min, max)
        });
        if let Some(value) = read {
            *slot = value;
        }
    }

    /// A size within bounds into `slot`.
    pub(super) fn size<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        slot: &mut T,
        min: u64,
        max: u64,
    ) {
        if let Some(value) = self.parsed(key, |text| bounded(values::size(text)?, min, max)) {
            *slot = value;
        }
    }

    /// As [`Fields::count`] and [`Fields::size`], but `off` takes the bound away.
    pub(super) fn or_off<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        slot: &mut Option<T>,
        min: u64,
        max: u64,
    ) {
        let read = self.parsed(key, |text| match text {
            "off" => Ok(None),
            text => bounded(values::size(text)?, min, max).map(Some),
        });
        if let Some(value) = read {
            *slot = value;
        }
    }
}

fn bounded<T: TryFrom<u64>>(number: u64, min: u64, max: u64) -> Result<T, String> {
    if number < min {
        return Err(format!("must be at least {min}"));
    }
    if number > max {
        return Err(format!("must be at most {max}"));
    }
    T::try_from(number).map_err(|_| "too large".into())
}

/// A scalar's text: numbers may stand where a text is expected.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `expected X, got Y`.
pub(super) fn expected(what: &str, value: &Value) -> String {
    format!("expected {what}, got {}", kind(value))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
