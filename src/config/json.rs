//! JSON: the value by `serde_json`, after APISIX's parser; of files the lines too, by a walk over
//! the same text.

use std::fmt::Write;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::document::{Lines, Node};
use super::yaml::Failure;

/// Bytes that escaping a control character adds.
const ESCAPING: usize = 5;

/// A text that is no JSON.
#[derive(Debug)]
pub(crate) struct NoJson {
    /// Why. Its own line and column may be those of another text.
    pub(crate) error: serde_json::Error,
    /// How many bytes are before the end of what is wrong.
    pub(crate) at: usize,
}

impl NoJson {
    /// Why, without where.
    pub(crate) fn reason(&self) -> String {
        let mut told = self.error.to_string();
        told.truncate(told.find(" at line ").unwrap_or(told.len()));
        told
    }
}

/// Reads a JSON text as APISIX's parser (lua-cjson) does: control characters may stand in strings
/// as they are, all but NUL.
pub(crate) fn read<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, serde_json::Error>,
) -> Result<T, NoJson> {
    let wrong = |error: serde_json::Error, text: &str, escaped: &[usize]| {
        let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
        let at = lines.map(str::len).sum::<usize>() + error.column();
        let before = escaped.iter().filter(|start| **start < at).count();
        NoJson { error, at: at.saturating_sub(before * ESCAPING) }
    };
    // Texts seldom have any, so they are looked for only where one cannot be read.
    read(text).or_else(|error| match escaped(text) {
        (_, starts) if starts.is_empty() => Err(wrong(error, text, &[])),
        (text, starts) => read(&text).map_err(|error| wrong(error, &text, &starts)),
    })
}

/// The value of a JSON text.
pub(crate) fn value(text: &str) -> Result<Value, NoJson> {
    read(text, |text| serde_json::from_str(text))
}

/// A text with the control characters in its strings escaped, and where that was done.
fn escaped(text: &str) -> (String, Vec<usize>) {
    let (mut out, mut starts, mut copied) = (String::new(), Vec::new(), 0);
    let (mut in_string, mut after_backslash) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if after_backslash => after_backslash = false,
            b'\\' => after_backslash = in_string,
            b'"' => in_string = !in_string,
            1..0x20 if in_string => {
                out.push_str(text.get(copied..at).unwrap_or_default());
                starts.push(out.len());
                let _ = write!(out, "\\u{byte:04x}");
                copied = at + 1;
            }
            _ => {}
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    (out, starts)
}

/// Parses the JSON text of a file. A key that stands twice is an error, as in YAML.
pub(super) fn parse(text: &str) -> Result<(Value, Lines), Failure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let strict = |text: &str| {
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Strict.deserialize(&mut reader)?;
        reader.end().map(|()| value)
    };
    let value = read(text, strict).map_err(|wrong| {
        let before = text.as_bytes().get(..wrong.at).unwrap_or(text.as_bytes());
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let reason = wrong.reason();
        (line as u32, format!("not valid JSON: {reason} at line {line} column {column}"))
    })?;
    Ok((value, lines(text.as_bytes())))
}

/// Reads a [`Value`] whose objects have each key once.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
            }
            let value = entries.next_value_seed(Strict)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// The lines of a text that is known to be JSON.
fn lines(text: &[u8]) -> Lines {
    let mut nodes: Vec<Node> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut line = 1;
    let mut at = 0;
    let mut key = None;
    while let Some(&byte) = text.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'\n' => line += 1,
            b'{' | b'[' => {
                open.push(nodes.len());
                nodes.push(Node { line: key.take().unwrap_or(line), size: 1 });
            }
            b'}' | b']' => {
                let size = open.pop().map(|index| (index, nodes.len() - index));
                if let Some((index, size)) = size {
                    nodes[index].size = size as u32;
                }
            }
            b'"' => {
                at = string_end(text, at);
                let rest = text.get(at..).unwrap_or_default();
                if rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':') {
                    key = Some(line);
                } else {
                    nodes.push(Node { line: key.take().unwrap_or(line), size: 1 });
                }
                let string = text.get(start..at).unwrap_or_default();
                line += string.iter().filter(|byte| **byte == b'\n').count() as u32;
            }
            b',' | b':' => {}
            byte if byte.is_ascii_whitespace() => {}
            _ => {
                let rest = text.get(start..).unwrap_or_default();
                let ends = |byte: &u8| b",]}".contains(byte) || byte.is_ascii_whitespace();
                at = start + rest.iter().position(ends).unwrap_or(rest.len());
                nodes.push(Node { line: key.take().unwrap_or(line), size: 1 });
            }
        }
    }
    Lines(nodes)
}

/// Past the closing quote of the string whose first byte is at `at`.
fn string_end(text: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_lines() {
        for (text, expected) in [
            (
                "{\n\"a\": 1,\n\"a\": 2}",
                (3, "not valid JSON: duplicate key \"a\" at line 3 column 3"),
            ),
            ("{\n", (2, "not valid JSON: EOF while parsing an object at line 2 column 0")),
            ("{} {}", (1, "not valid JSON: trailing characters at line 1 column 4")),
        ] {
            let (line, reason) = parse(text).unwrap_err();
            assert_eq!((line, reason.as_str()), expected);
        }
    }

    #[test]
    fn control_characters_may_stand_in_strings() {
        let text = "{\n\"a\": \"x\ny\t\u{1f}\\\"\r\",\n\"b\":\n1}";
        let (value, lines) = parse(text).unwrap();
        assert_eq!(value, serde_json::json!({"a": "x\ny\t\u{1f}\"\r", "b": 1}));
        let seen: Vec<_> = lines.0.iter().map(|node| node.line).collect();
        assert_eq!(seen, [1, 2, 4]);
        for (text, expected) in [
            ("{\"a\": \"\n\n\",\n 1}", (4, "key must be a string at line 4 column 2")),
            ("\"\n\\\n\"", (3, "invalid escape at line 3 column 0")),
            ("{\"a\": \"\n", (2, "EOF while parsing a string at line 2 column 0")),
        ] {
            let (line, reason) = parse(text).unwrap_err();
            assert_eq!((line, reason), (expected.0, format!("not valid JSON: {}", expected.1)));
        }
        assert!(value_of("\"\0\"").is_err(), "NUL ends a text to cjson");
        assert!(value_of("\n[\t1,\r2]\u{1}").is_err(), "outside of strings they are nothing");
    }

    fn value_of(text: &str) -> Result<Value, NoJson> {
        super::value(text)
    }

    #[test]
    fn lines_in_document_order() {
        let (value, lines) = parse("{\"a\": [1,\n true, \"x:\\\"\"],\n\"b\":\n{}}").unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, true, "x:\""], "b": {}}));
        let seen: Vec<_> = lines.0.iter().map(|node| (node.line, node.size)).collect();
        assert_eq!(seen, [(1, 6), (1, 4), (1, 1), (2, 1), (2, 1), (3, 1)]);
    }
}
