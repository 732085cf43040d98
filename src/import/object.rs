//! Reading a source's objects so that nothing is left out in silence.

use std::cell::{Cell, RefCell};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::draft::Draft;
use crate::config::join;

/// An object of the source. Keys that nobody read are losses when it is dropped.
pub(super) struct Object<'a> {
    pub(super) draft: &'a Draft<'a>,
    pub(super) pointer: String,
    map: &'a Map<String, Value>,
    seen: RefCell<Vec<&'a str>>,
    told: Cell<bool>,
}

impl<'a> Object<'a> {
    /// The object that a value should be; where it is none, that is a loss.
    pub(super) fn new(
        draft: &'a Draft<'a>,
        value: &'a Value,
        pointer: String,
    ) -> Option<Object<'a>> {
        match value {
            Value::Object(map) => Some(Object {
                draft,
                pointer,
                map,
                seen: RefCell::default(),
                told: Cell::new(false),
            }),
            other => {
                draft.lose(&pointer, format!("expected a mapping, got {}", kind(other)));
                None
            }
        }
    }

    /// An object without keys, for one that was left out.
    pub(super) fn empty(draft: &'a Draft<'a>, pointer: String) -> Object<'a> {
        static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        let (map, seen, told) = (&*EMPTY, RefCell::default(), Cell::new(true));
        Object { draft, pointer, map, seen, told }
    }

    /// The value of a key; `null` is as if it was left out.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        let (key, value) = self.map.get_key_value(key)?;
        self.seen.borrow_mut().push(key);
        Some(value).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// The keys, whoever reads them.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.map.keys().map(String::as_str)
    }

    /// The pointer of a key.
    pub(super) fn at(&self, key: &str) -> String {
        join(&self.pointer, key)
    }

    /// Notes that what a key says is lost.
    pub(super) fn lose(&self, key: &str, reason: impl Into<String>) {
        let _ = self.get(key);
        self.draft.lose(&self.at(key), reason);
    }

    /// Notes that the object as a whole is lost; its keys are not told besides.
    pub(super) fn lose_whole(&self, reason: impl Into<String>) {
        self.told.set(true);
        self.draft.lose(&self.pointer, reason);
    }

    /// Nothing of it is told: it has no effect in the source either.
    pub(super) fn forget(&self) {
        self.told.set(true);
    }

    /// Keys that mean nothing for what the gateway does.
    pub(super) fn ignore(&self, keys: &[&str]) {
        keys.iter().for_each(|key| _ = self.get(key));
    }

    /// Keys that are not carried over for a reason of their own, where they are given.
    pub(super) fn without(&self, keys: &[&str], reason: &str) {
        for key in keys.iter().filter(|key| self.get(key).is_some_and(|value| !is_empty(value))) {
            self.lose(key, reason);
        }
    }

    /// A key with one value that is as here; another one is lost.
    pub(super) fn only(&self, key: &str, usual: &Value, reason: &str) {
        if self.get(key).is_some_and(|value| value != usual) {
            self.lose(key, reason);
        }
    }

    fn expected<T>(&self, key: &str, what: &str, value: &Value) -> Option<T> {
        self.lose(key, format!("expected {what}, got {}", kind(value)));
        None
    }

    /// A text; numbers and booleans may stand where one is expected.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        text(value).or_else(|| self.expected(key, "a text", value))
    }

    pub(super) fn bool(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        match value {
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            value => value.as_bool().or_else(|| self.expected(key, "true or false", value)),
        }
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        let value = self.get(key)?;
        let number = match value {
            Value::Number(number) => number.as_u64().or_else(|| {
                let float = number.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0);
                float.map(|float| float as u64)
            }),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.or_else(|| self.expected(key, "a whole number", value))
    }

    pub(super) fn integer(&self, key: &str) -> Option<i64> {
        let value = self.get(key)?;
        value.as_i64().or_else(|| self.expected(key, "a whole number", value))
    }

    pub(super) fn float(&self, key: &str) -> Option<f64> {
        let value = self.get(key)?;
        value.as_f64().or_else(|| self.expected(key, "a number", value))
    }

    /// The object under a key.
    pub(super) fn object(&self, key: &str) -> Option<Object<'a>> {
        Object::new(self.draft, self.get(key)?, self.at(key))
    }

    /// The items of the list under a key, with their pointers.
    pub(super) fn items(&self, key: &str) -> Vec<(String, &'a Value)> {
        match self.get(key) {
            None => Vec::new(),
            Some(Value::Array(list)) => {
                let pointer = self.at(key);
                let item = |(index, item)| (join(&pointer, index), item);
                list.iter().enumerate().map(item).collect()
            }
            Some(other) => self.expected(key, "a list", other).unwrap_or_default(),
        }
    }

    /// The objects of the list under a key.
    pub(super) fn objects(&self, key: &str) -> Vec<Object<'a>> {
        let items = self.items(key).into_iter();
        items.filter_map(|(pointer, item)| Object::new(self.draft, item, pointer)).collect()
    }

    /// The objects of the mapping under a key, by their names.
    pub(super) fn named(&self, key: &str) -> Vec<(&'a str, Object<'a>)> {
        let Some(Value::Object(map)) = self.get(key) else {
            if let Some(other) = self.get(key) {
                let _ = self.expected::<()>(key, "a mapping", other);
            }
            return Vec::new();
        };
        let pointer = self.at(key);
        let object = |(name, value): (&'a String, &'a Value)| {
            let object = Object::new(self.draft, value, join(&pointer, name))?;
            Some((name.as_str(), object))
        };
        map.iter().filter_map(object).collect()
    }

    /// Lists of texts by their names, such as fields of a request.
    pub(super) fn named_lists(&self, key: &str) -> Vec<(String, Vec<String>)> {
        let Some(object) = self.get(key).and(self.object(key)) else { return Vec::new() };
        object.keys().map(|name| (name.to_owned(), object.texts(name))).collect()
    }

    /// Texts by their names.
    pub(super) fn named_texts(&self, key: &str) -> Vec<(String, String)> {
        let Some(object) = self.get(key).and(self.object(key)) else { return Vec::new() };
        object.keys().filter_map(|name| Some((name.to_owned(), object.text(name)?))).collect()
    }

    /// The texts of the list under a key; one text is a list of one.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        if let Some(one @ (Value::String(_) | Value::Number(_))) = self.get(key) {
            return text(one).into_iter().collect();
        }
        let mut texts = Vec::new();
        for (pointer, item) in self.items(key) {
            match text(item) {
                Some(text) => texts.push(text),
                None => self.draft.lose(&pointer, format!("expected a text, got {}", kind(item))),
            }
        }
        texts
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        if self.told.get() {
            return;
        }
        let seen = self.seen.borrow();
        for (key, value) in self.map {
            if !seen.contains(&key.as_str()) && !is_empty(value) {
                self.draft.lose(&self.at(key), "has no equivalent, or is not known");
            }
        }
    }
}

/// Whether a value says nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// A scalar's text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
