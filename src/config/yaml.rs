//! YAML 1.2 (core schema) to a value with lines, over the events of `saphyr-parser`.
//!
//! The loader is a loop with a stack of its own, so depth costs no call stack. What a hostile text
//! could multiply is bounded: depth, nodes, and what aliases copy.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

use super::document::{Lines, Node};
use super::scalar::{collection_tag, scalar};

/// Mappings and sequences inside one another.
const DEPTH_MAX: usize = 128;
/// Nodes of a document, copies through aliases included.
const NODES_MAX: usize = 8_000_000;
/// Bytes of text and nodes that all aliases of a document may copy together.
const ALIAS_WEIGHT_MAX: usize = 64 * 1024 * 1024;
/// Merges (`<<`) make a mapping take over the entries of another one.
const MERGE: &str = "<<";

/// A line and what is wrong there.
pub(super) type Failure = (u32, String);

/// Parses one document. An empty text is `null`.
pub(super) fn parse(text: &str) -> Result<(Value, Lines), Failure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut loader = Loader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            (error.marker().line() as u32, format!("not valid YAML: {}", error.info()))
        })?;
        loader.event(event, span.start.line() as u32)?;
    }
    Ok((loader.root.unwrap_or(Value::Null), Lines(loader.nodes)))
}

/// A mapping or sequence that is not closed yet.
struct Open {
    /// Its index in the nodes.
    at: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Map { map: Map<String, Value>, key: Option<(String, u32)>, merges: Vec<(Value, Vec<Node>)> },
}

/// What an anchor stands for.
struct Anchored {
    value: Value,
    nodes: Vec<Node>,
    weight: usize,
    depth: usize,
}

#[derive(Default)]
struct Loader {
    root: Option<Value>,
    open: Vec<Open>,
    nodes: Vec<Node>,
    anchors: HashMap<usize, Anchored>,
    copied: usize,
}

impl Loader {
    fn event(&mut self, event: Event<'_>, line: u32) -> Result<(), Failure> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err((line, "a second document in one file".into()))
            }
            Event::DocumentStart(_) => Ok(()),
            Event::Scalar(text, style, anchor, tag) => {
                if self.takes_key() {
                    return self.key(text, line);
                }
                let value = scalar(text, style, tag.as_deref()).map_err(|reason| (line, reason))?;
                let at = self.begin(line)?;
                self.finish(value, at, anchor, line)
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq").map_err(|reason| (line, reason))?;
                self.open(anchor, Content::List(Vec::new()), line)
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map").map_err(|reason| (line, reason))?;
                let map = Content::Map { map: Map::new(), key: None, merges: Vec::new() };
                self.open(anchor, map, line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(line),
            Event::Alias(anchor) => self.alias(anchor, line),
        }
    }

    /// Whether the next node is a key.
    fn takes_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, text: Cow<'_, str>, line: u32) -> Result<(), Failure> {
        if let Some(Open { content: Content::Map { map, key, .. }, .. }) = self.open.last_mut() {
            if map.contains_key(text.as_ref()) {
                return Err((line, format!("duplicate key {text:?}")));
            }
            *key = Some((text.into_owned(), line));
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, content: Content, line: u32) -> Result<(), Failure> {
        if self.takes_key() {
            return Err((line, "a key must be plain text".into()));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err((line, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let at = self.begin(line)?;
        self.open.push(Open { at, anchor, content });
        Ok(())
    }

    /// Takes the place of a node. What stands under a key has the line of the key.
    fn begin(&mut self, line: u32) -> Result<usize, Failure> {
        if self.nodes.len() >= NODES_MAX {
            return Err((line, format!("more than {NODES_MAX} values")));
        }
        let line = match self.open.last() {
            Some(Open { content: Content::Map { key: Some((_, line)), .. }, .. }) => *line,
            _ => line,
        };
        self.nodes.push(Node { line, size: 1 });
        Ok(self.nodes.len() - 1)
    }

    fn close(&mut self, line: u32) -> Result<(), Failure> {
        let Some(Open { at, anchor, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(list) => Value::Array(list),
            Content::Map { mut map, merges, .. } => {
                for (source, nodes) in merges {
                    self.merge(&mut map, source, &nodes, line)?;
                }
                Value::Object(map)
            }
        };
        self.finish(value, at, anchor, line)
    }

    /// A node is complete: its size, its anchor, its parent.
    fn finish(&mut self, value: Value, at: usize, anchor: usize, line: u32) -> Result<(), Failure> {
        self.nodes[at].size = (self.nodes.len() - at) as u32;
        if anchor > 0 {
            let nodes = self.nodes[at..].to_vec();
            let (weight, depth) = measure(&value);
            self.spend(weight, line)?;
            let anchored = Anchored { value: value.clone(), nodes, weight, depth };
            self.anchors.insert(anchor, anchored);
        }
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open { content: Content::List(list), .. }) => list.push(value),
            Some(Open { content: Content::Map { map, key, merges }, .. }) => match key.take() {
                // The entries come at the end of the mapping; until then their lines wait too.
                Some((key, _)) if key == MERGE => merges.push((value, self.nodes.split_off(at))),
                Some((key, _)) => {
                    map.insert(key, value);
                }
                None => return Err((line, "a value without a key".into())),
            },
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, line: u32) -> Result<(), Failure> {
        if self.takes_key() {
            return Err((line, "an alias cannot be a key".into()));
        }
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err((line, "an alias to something that is not complete yet".into()));
        };
        let weight = anchored.weight;
        // An alias inside an anchor inside an alias…: depth adds up without any nesting to see.
        if self.open.len() + anchored.depth > DEPTH_MAX {
            return Err((line, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.spend(weight, line)?;
        let at = self.begin(line)?;
        let Some(anchored) = self.anchors.get(&anchor) else { return Ok(()) };
        if self.nodes.len() + anchored.nodes.len() > NODES_MAX {
            return Err((line, format!("more than {NODES_MAX} values")));
        }
        let value = anchored.value.clone();
        self.nodes.extend_from_slice(anchored.nodes.get(1..).unwrap_or_default());
        self.finish(value, at, 0, line)
    }

    fn spend(&mut self, weight: usize, line: u32) -> Result<(), Failure> {
        self.copied += weight;
        if self.copied > ALIAS_WEIGHT_MAX {
            let limit = ALIAS_WEIGHT_MAX >> 20;
            return Err((line, format!("anchors and aliases expand to more than {limit} MiB")));
        }
        Ok(())
    }

    /// `<<: *other` or `<<: [*one, *two]`: entries that the mapping does not have itself.
    fn merge(
        &mut self,
        map: &mut Map<String, Value>,
        source: Value,
        nodes: &[Node],
        line: u32,
    ) -> Result<(), Failure> {
        let mut at = 1;
        match source {
            Value::Object(entries) => {
                for (key, value) in entries {
                    let size = nodes.get(at).map_or(1, |node| node.size as usize);
                    if !map.contains_key(&key) {
                        self.nodes.extend_from_slice(nodes.get(at..at + size).unwrap_or_default());
                        map.insert(key, value);
                    }
                    at += size;
                }
                Ok(())
            }
            Value::Array(list) => {
                for item in list {
                    let size = nodes.get(at).map_or(1, |node| node.size as usize);
                    let inside = nodes.get(at..at + size).unwrap_or_default();
                    self.merge(map, item, inside, line)?;
                    at += size;
                }
                Ok(())
            }
            _ => {
                let line = nodes.first().map_or(line, |node| node.line);
                Err((line, "<< takes a mapping or a list of mappings".into()))
            }
        }
    }
}

/// Bytes that a copy of the value costs, roughly, and how deep it is.
fn measure(value: &Value) -> (usize, usize) {
    let node = size_of::<Value>();
    let sum = |children: &mut dyn Iterator<Item = (usize, &Value)>| {
        children.fold((node, 1), |(weight, depth), (extra, child)| {
            let (child_weight, child_depth) = measure(child);
            (weight + extra + child_weight, depth.max(child_depth + 1))
        })
    };
    match value {
        Value::String(text) => (node + text.len(), 1),
        Value::Array(list) => sum(&mut list.iter().map(|child| (0, child))),
        Value::Object(map) => sum(&mut map.iter().map(|(key, child)| (node + key.len(), child))),
        _ => (node, 1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Result<Value, String> {
        parse(text)
            .map(|(value, lines)| {
                assert_eq!(lines.0.first().map_or(0, |node| node.size) as usize, lines.0.len());
                value
            })
            .map_err(|(line, reason)| format!("{line}: {reason}"))
    }

    #[test]
    fn core_schema_scalars() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("True", json!(true)),
            ("yes", json!("yes")),
            ("off", json!("off")),
            ("12", json!(12)),
            ("-12", json!(-12)),
            ("+12", json!(12)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("0xZZ", json!("0xZZ")),
            ("017", json!(17)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1.", json!(1.0)),
            ("1e3", json!(1000.0)),
            ("1e", json!("1e")),
            (".", json!(".")),
            ("1.2.3.4", json!("1.2.3.4")),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!(18446744073709551616.0)),
            ("'12'", json!("12")),
            ("!!str 12", json!("12")),
            ("!!int '12'", json!(12)),
            ("{a: [1, x], \"b\": {}}", json!({"a": [1, "x"], "b": {}})),
            ("a: |\n  x\n  y\n", json!({"a": "x\ny\n"})),
            ("1980: x", json!({"1980": "x"})),
        ] {
            assert_eq!(value(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn aliases_and_merges() {
        for (text, expected) in [
            ("a: &x {k: 1}\nb: *x", json!({"a": {"k": 1}, "b": {"k": 1}})),
            (
                "a: &x {k: 1, l: [2]}\nb:\n  <<: *x\n  k: 3\n  z: 0",
                json!({"a": {"k": 1, "l": [2]}, "b": {"k": 3, "z": 0, "l": [2]}}),
            ),
            (
                "a: &x {k: 1}\nb: &y {m: 2}\nc: {<<: [*x, *y]}",
                json!({"a": {"k": 1}, "b": {"m": 2}, "c": {"k": 1, "m": 2}}),
            ),
        ] {
            assert_eq!(value(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn errors_have_lines() {
        let laughs: String =
            std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_string())
                .chain((1..12).map(|i| {
                    format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "))
                }))
                .collect();
        let tower: String = std::iter::once("a0: &a0 [x]\n".to_string())
            .chain((1..300).map(|i| format!("a{i}: &a{i} [*a{}]\n", i - 1)))
            .collect();
        for (text, expected) in [
            ("a: 1\nb: 2\na: 3", "3: duplicate key \"a\""),
            ("a: 1\nb: !x 2", "2: tag !x is not supported"),
            ("a: .inf", "1: .inf is not a number that a configuration can hold"),
            ("[a]: 1", "1: a key must be plain text"),
            ("a: &x [*x]", "1: an alias to something that is not complete yet"),
            ("a: 1\n---\nb: 2", "2: a second document in one file"),
            ("<<: 5", "1: << takes a mapping or a list of mappings"),
            (&laughs, "6: anchors and aliases expand to more than 64 MiB"),
            (&tower, "127: nested deeper than 128 levels"),
            (&"[".repeat(200), "1: nested deeper than 128 levels"),
        ] {
            assert_eq!(value(text), Err(expected.to_string()), "{text:.60}");
        }
        let broken = value("a: [1, 2\nb: }").unwrap_err();
        assert!(broken.starts_with("2: not valid YAML: "), "{broken}");
    }
}
