//! Writes a value as YAML that people can go on with.

use serde_json::{Map, Value};

/// Columns that a list or mapping on one line may take.
const WIDTH: usize = 96;

/// A mapping's text in block style, its short parts on one line each.
pub(super) fn mapping(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (name, value) in map {
        out.push_str(&" ".repeat(indent));
        entry(name, value, indent, out);
    }
}

/// `name: value`, and what belongs to it on the lines below.
fn entry(name: &str, value: &Value, indent: usize, out: &mut String) {
    out.push_str(&scalar(name));
    out.push(':');
    below(value, indent, out);
}

fn below(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::String(text) if is_block(text) => {
            out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
            for line in text.lines() {
                out.push_str(&format!("{}{line}\n", " ".repeat(indent + 2)));
            }
        }
        Value::Array(list) if !fits(value, indent) && !list.is_empty() => {
            out.push('\n');
            for item in list {
                self::item(item, indent + 2, out);
            }
        }
        Value::Object(map) if !fits(value, indent) && !map.is_empty() => {
            out.push('\n');
            mapping(map, indent + 2, out);
        }
        value => {
            out.push(' ');
            flow(value, out);
            out.push('\n');
        }
    }
}

/// An item of a list.
pub(super) fn item(value: &Value, indent: usize, out: &mut String) {
    let dash = format!("{}- ", " ".repeat(indent));
    match value {
        Value::Object(map) if !fits(value, indent) && !map.is_empty() => {
            for (at, (name, value)) in map.iter().enumerate() {
                let start = if at == 0 { dash.clone() } else { " ".repeat(indent + 2) };
                out.push_str(&start);
                entry(name, value, indent + 2, out);
            }
        }
        value => {
            out.push_str(&dash);
            flow(value, out);
            out.push('\n');
        }
    }
}

/// Whether a value may stand on one line.
fn fits(value: &Value, indent: usize) -> bool {
    let nested = match value {
        Value::Object(map) => map.values().any(|value| value.is_object() && !is_small(value)),
        _ => false,
    };
    let mut text = String::new();
    flow(value, &mut text);
    !nested && text.len() + indent < WIDTH
}

fn is_small(value: &Value) -> bool {
    let mut text = String::new();
    flow(value, &mut text);
    text.len() < 60
}

/// On one line.
fn flow(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(&scalar(text)),
        Value::Array(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                flow(item, out);
            }
            out.push(']');
        }
        Value::Object(map) if map.is_empty() => out.push_str("{}"),
        Value::Object(map) => {
            out.push_str("{ ");
            for (at, (name, value)) in map.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                out.push_str(&scalar(name));
                out.push_str(": ");
                flow(value, out);
            }
            out.push_str(" }");
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Whether a text is best written line by line.
fn is_block(text: &str) -> bool {
    let plain = |line: &str| {
        !line.is_empty()
            && !line.starts_with([' ', '#'])
            && !line.ends_with(' ')
            && line.bytes().all(|byte| (0x20..0x7f).contains(&byte))
    };
    text.contains('\n')
        && !text.contains("${{")
        && !text.ends_with("\n\n")
        && text.lines().all(plain)
}

/// A text: bare where nothing can mistake it for anything else, else in double quotes. `${{` is
/// broken up, for it would be a variable of the environment.
fn scalar(text: &str) -> String {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '/';
    let follows = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-');
    let mut chars = text.chars();
    let bare = chars.next().is_some_and(starts) && chars.all(follows);
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if bare && !word {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for (at, c) in text.char_indices() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '$' if text[at..].starts_with("${{") => quoted.push_str("\\x24"),
            c if (' '..='~').contains(&c) => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            c if (c as u32) < 0x100 => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x1_0000 => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::Document;

    fn written(value: &Value) -> String {
        let mut out = String::new();
        mapping(value.as_object().unwrap(), 0, &mut out);
        out
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
            "[a-z#:{}$,\\[\\] \n\t\"'&*!|>%@`-]{0,120}".prop_map(Value::from),
            Just(json!("${{HOME}} and ${{")),
            Just(json!("-----BEGIN X-----\nabc\n-----END X-----\n")),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(".{0,12}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in value()) {
            let value = json!({"root": value, "x": [value.clone()]});
            let text = written(&value);
            let read = Document::parse("a.yaml", &text, &|name| Some(format!("filled {name}")));
            match read {
                Ok(read) => prop_assert_eq!(read.value, value, "{}", text),
                Err(problems) => prop_assert!(false, "{}\n{}", problems, text),
            }
        }
    }

    #[test]
    fn short_parts_stand_on_one_line() {
        let text = written(&json!({
            "id": "a", "uri": "/a*", "m": 5, "on": "on",
            "upstream": {"type": "roundrobin", "nodes": {"10.0.0.1:80": 1}},
            "key": "-----BEGIN KEY-----\nabc\n",
        }));
        assert_eq!(
            text,
            "id: a\nuri: \"/a*\"\nm: 5\n\"on\": \"on\"\n\
             upstream: { type: roundrobin, nodes: { \"10.0.0.1:80\": 1 } }\n\
             key: |\n  -----BEGIN KEY-----\n  abc\n"
        );
    }
}
