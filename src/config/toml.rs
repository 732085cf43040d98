//! TOML files, for importers: the value, and the line of each of its nodes.

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Lines, Node};
use super::yaml::Failure;

/// Parses one TOML text. Its parser bounds how deep it nests.
pub(super) fn parse(text: &str) -> Result<(Value, Lines), Failure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let breaks: Vec<usize> = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
    let line = |at: usize| breaks.partition_point(|end| *end < at) as u32 + 1;
    let root = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (line(at), format!("not valid TOML: {}", error.message()))
    })?;
    let mut nodes = vec![Node { line: 1, size: 0 }];
    let value = table(root.get_ref(), &mut nodes, &line)?;
    if let Some(root) = nodes.first_mut() {
        root.line = 1;
    }
    let size = nodes.len() as u32;
    if let Some(root) = nodes.first_mut() {
        root.size = size;
    }
    Ok((value, Lines(nodes)))
}

fn table(
    table: &DeTable<'_>,
    nodes: &mut Vec<Node>,
    line: &dyn Fn(usize) -> u32,
) -> Result<Value, Failure> {
    let mut map = Map::new();
    for (key, item) in table {
        // A table's own place may be its first header's or its parent's: the key's is the nearest.
        let item = node(item, key.span().start, nodes, line)?;
        map.insert(key.get_ref().to_string(), item);
    }
    Ok(Value::Object(map))
}

/// A value with its nodes, as deep as the text nests.
fn node(
    item: &Spanned<DeValue<'_>>,
    at: usize,
    nodes: &mut Vec<Node>,
    line: &dyn Fn(usize) -> u32,
) -> Result<Value, Failure> {
    let index = nodes.len();
    nodes.push(Node { line: line(at), size: 0 });
    let wrong = |what: &str| (line(item.span().start), format!("not valid TOML: {what}"));
    let value = match item.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map(Value::from)
            .map_err(|_| wrong("a number out of range"))?,
        DeValue::Float(digits) => {
            let number = digits.as_str().parse().ok().and_then(Number::from_f64);
            Value::Number(number.ok_or_else(|| wrong("not a number that can be held"))?)
        }
        DeValue::Array(list) => {
            let mut items = Vec::new();
            for item in list.iter() {
                items.push(node(item, item.span().start, nodes, line)?);
            }
            Value::Array(items)
        }
        DeValue::Table(inner) => table(inner, nodes, line)?,
    };
    let size = (nodes.len() - index) as u32;
    if let Some(node) = nodes.get_mut(index) {
        node.size = size;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::Document;

    const TEXT: &str = "\
# comment
[http.routers.a]
rule = \"Host(`a`)\"
priority = 0x10

[[http.list]]
x = 1.5
[[http.list]]
y = [1,
  { z = true }]

[http.routers.b]
rule = '''
b'''
";

    #[test]
    fn values_and_lines() {
        let document = Document::parse_toml("a.toml", TEXT).unwrap();
        let expected = json!({"http": {
            "routers": {"a": {"rule": "Host(`a`)", "priority": 16}, "b": {"rule": "b"}},
            "list": [{"x": 1.5}, {"y": [1, {"z": true}]}],
        }});
        assert_eq!(document.value, expected);
        for (pointer, line) in [
            ("/http/routers/a", 2),
            ("/http/routers/a/priority", 4),
            ("/http/list/0/x", 7),
            ("/http/list/1/y/1/z", 10),
            ("/http/routers/b/rule", 13),
        ] {
            assert_eq!(document.locate(pointer).0, line, "{pointer}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line) in [
            ("a = 1\nb = \n", 2),
            ("a = 1\na = 2\n", 2),
            ("x = 99999999999999999999", 1),
            ("a = 1\nx = nan", 2),
            (&format!("a = {}", "[".repeat(5000)), 1),
        ] {
            let problems = Document::parse_toml("a.toml", text).unwrap_err();
            let first = problems.iter().next().unwrap();
            assert_eq!(first.line, line, "{first}");
        }
    }
}
