//! `${{NAME}}` and `${{NAME:=default}}`: variables of the environment in configuration files.
//!
//! As in APISIX, YAML is filled in as text, so that quoting decides the type (`"${{PORT}}"` stays
//! a string) and a value may hold a whole list; JSON is filled in after parsing.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::document::{Environment, FILE_BYTES_MAX, Lines};
use super::yaml::Failure;

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// A text with its variables filled in. Values of several lines move what follows them down; the
/// moves are kept, so that problems are told with the lines of the file.
pub(super) struct Filled<'a> {
    pub(super) text: Cow<'a, str>,
    /// Line of the filled text, lines that it has more than the file up to there.
    moves: Vec<(u32, u32)>,
}

impl Filled<'_> {
    /// The file's line for a line of the filled text.
    pub(super) fn line(&self, line: u32) -> u32 {
        let passed = self.moves.partition_point(|(at, _)| *at <= line);
        match passed.checked_sub(1).and_then(|index| self.moves.get(index)) {
            // Inside the value itself: the line that names the variable.
            Some(&(at, added)) => line.saturating_sub(added).max(at.saturating_sub(added)),
            None => line,
        }
    }

    /// Puts the file's lines in place of those of the filled text.
    pub(super) fn restore(&self, lines: &mut Lines) {
        if !self.moves.is_empty() {
            lines.0.iter_mut().for_each(|node| node.line = self.line(node.line));
        }
    }
}

/// One use of a variable.
struct Use<'a> {
    name: &'a str,
    default: Option<&'a str>,
}

impl Use<'_> {
    fn value(&self, environment: Environment<'_>) -> Option<String> {
        environment(self.name).or_else(|| self.default.map(str::to_string))
    }

    fn missing(&self) -> String {
        format!("can't find environment variable {}", self.name)
    }
}

/// The first use in a text: where it begins and ends. It may not span lines.
fn next(text: &str) -> Option<(usize, usize, Use<'_>)> {
    let mut from = 0;
    loop {
        let begin = from + text.get(from..)?.find(OPEN)?;
        from = begin + OPEN.len();
        let inside = text.get(from..)?.lines().next().unwrap_or_default();
        let Some(end) = inside.find(CLOSE) else { continue };
        let content = inside.get(..end)?.trim();
        if !content.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let (name, default) = match content.split_once(":=") {
            Some((name, default)) => (name.trim(), Some(default.trim())),
            None => (content, None),
        };
        return Some((begin, from + end + CLOSE.len(), Use { name, default }));
    }
}

/// Fills in a text. In a line that is a comment, an unknown variable is left as it stands.
pub(super) fn fill_text<'a>(
    text: &'a str,
    environment: Environment<'_>,
) -> Result<Filled<'a>, Failure> {
    if memchr::memmem::find(text.as_bytes(), OPEN.as_bytes()).is_none() {
        return Ok(Filled { text: Cow::Borrowed(text), moves: Vec::new() });
    }
    let mut filled = String::with_capacity(text.len());
    let mut moves = Vec::new();
    let mut rest = text;
    // Lines of the file and lines more than that, up to `rest`.
    let (mut line, mut added) = (1, 0);
    while let Some((begin, end, found)) = next(rest) {
        let before = rest.get(..begin).unwrap_or_default();
        filled.push_str(before);
        line += newlines(before);
        let comment =
            filled.lines().next_back().is_some_and(|line| line.trim_start().starts_with('#'))
                && !filled.ends_with('\n');
        match found.value(environment) {
            Some(value) => {
                filled.push_str(&value);
                for _ in 0..newlines(&value) {
                    added += 1;
                    moves.push((line + added, added));
                }
            }
            None if comment => filled.push_str(rest.get(begin..end).unwrap_or_default()),
            None => return Err((line, found.missing())),
        }
        if filled.len() as u64 > FILE_BYTES_MAX {
            return Err((line, "the variables expand to too much text".into()));
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    filled.push_str(rest);
    Ok(Filled { text: Cow::Owned(filled), moves })
}

fn newlines(text: &str) -> u32 {
    memchr::memchr_iter(b'\n', text.as_bytes()).count() as u32
}

/// Fills in the strings and keys of a parsed JSON file. What becomes a number or a boolean by it
/// is one, as in APISIX. The value is not deeper than its parser lets it be.
pub(super) fn fill_value(value: &mut Value, environment: Environment<'_>) -> Result<(), String> {
    match value {
        Value::String(text) => {
            if let Some(filled) = fill_string(text, environment)? {
                *value = match serde_json::from_str(&filled) {
                    Ok(typed @ (Value::Number(_) | Value::Bool(_))) => typed,
                    _ => Value::String(filled),
                };
            }
        }
        Value::Array(list) => {
            list.iter_mut().try_for_each(|item| fill_value(item, environment))?;
        }
        Value::Object(map) => {
            map.values_mut().try_for_each(|item| fill_value(item, environment))?;
            if map.keys().any(|key| next(key).is_some()) {
                let mut renamed = Map::new();
                for (key, item) in std::mem::take(map) {
                    let key = fill_string(&key, environment)?.unwrap_or(key);
                    if renamed.contains_key(&key) {
                        return Err(format!("duplicate key {key:?}"));
                    }
                    renamed.insert(key, item);
                }
                *map = renamed;
            }
        }
        _ => {}
    }
    Ok(())
}

fn fill_string(text: &str, environment: Environment<'_>) -> Result<Option<String>, String> {
    if next(text).is_none() {
        return Ok(None);
    }
    let filled = fill_text(text, environment).map_err(|(_, reason)| reason)?;
    Ok(Some(filled.text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn environment(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("1980".into()),
            "HOST" => Some("a.example".into()),
            "LINES" => Some("one\n  two\n  three".into()),
            _ => None,
        }
    }

    #[test]
    fn texts() {
        for (text, expected) in [
            ("no variable: $PORT ${PORT} {{x}}", "no variable: $PORT ${PORT} {{x}}"),
            ("p: ${{PORT}}", "p: 1980"),
            ("p: ${{ PORT }}:${{HOST}}", "p: 1980:a.example"),
            ("p: ${{NONE:=80}} ${{NONE:= a b }}", "p: 80 a b"),
            ("p: ${{PORT:=80}}", "p: 1980"),
            ("${{}} ${{ }} ${{PORT", "${{}} ${{ }} ${{PORT"),
            ("a: 1\n  # ${{NONE}} ${{PORT}}\n", "a: 1\n  # ${{NONE}} 1980\n"),
        ] {
            let filled = fill_text(text, &environment).map(|filled| filled.text.into_owned());
            assert_eq!(filled, Ok(expected.to_string()), "{text}");
        }
        let missing = fill_text("a: 1\nb: ${{NONE}}", &environment).err();
        assert_eq!(missing, Some((2, "can't find environment variable NONE".to_string())));
    }

    #[test]
    fn lines_stay_those_of_the_file() {
        let filled = fill_text("a: 1\nb: |\n  ${{LINES}}\nc: 1\n", &environment).unwrap();
        let lines: Vec<u32> = (1..=6).map(|line| filled.line(line)).collect();
        assert_eq!(lines, [1, 2, 3, 3, 3, 4]);
    }

    #[test]
    fn json_values() {
        let mut value =
            json!({"a": "${{PORT}}", "b": ["${{HOST}}:80"], "${{HOST}}:1": 1, "c": "80"});
        fill_value(&mut value, &environment).unwrap();
        assert_eq!(value, json!({"a": 1980, "b": ["a.example:80"], "a.example:1": 1, "c": "80"}));
    }
}
