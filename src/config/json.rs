//! JSON files: the value by `serde_json`, the lines by a walk over the same text.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::document::{Lines, Node};
use super::yaml::Failure;

/// Parses one JSON text. A key that stands twice is an error, as in YAML.
pub(super) fn parse(text: &str) -> Result<(Value, Lines), Failure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let fail = |error: serde_json::Error| (error.line() as u32, format!("not valid JSON: {error}"));
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut reader).map_err(fail)?;
    reader.end().map_err(fail)?;
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
    fn lines_in_document_order() {
        let (value, lines) = parse("{\"a\": [1,\n true, \"x:\\\"\"],\n\"b\":\n{}}").unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, true, "x:\""], "b": {}}));
        let seen: Vec<_> = lines.0.iter().map(|node| (node.line, node.size)).collect();
        assert_eq!(seen, [(1, 6), (1, 4), (1, 1), (2, 1), (2, 1), (3, 1)]);
    }
}
