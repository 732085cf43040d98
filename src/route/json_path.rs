//! Paths into JSON, as `post_arg.PATH` has them: names, `*`, `[*]`, `[0]`, `['name']`, and `..name`
//! at any depth. Filters and slices of JSONPath are refused.

use serde_json::Value;

/// Steps of a path.
const STEPS_MAX: usize = 32;
/// Values that a path may lead to; further ones are not looked at.
const FOUND_MAX: usize = 10_000;

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
    All,
    /// A name at any depth.
    Deep(String),
}

impl JsonPath {
    pub(super) fn compile(text: &str) -> Result<JsonPath, String> {
        let invalid = || format!("invalid expression: {text:?} is no path that is understood");
        let mut steps = Vec::new();
        // What begins a path is behind a dot already.
        let (mut rest, mut deep) = match text.strip_prefix('.') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let mut named = true;
        loop {
            if named {
                let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
                let (name, behind) = rest.split_at(end);
                steps.push(match (name, deep) {
                    ("", _) => return Err(invalid()),
                    ("*", false) => Step::All,
                    (name, false) => Step::Name(name.to_owned()),
                    (name, true) => Step::Deep(name.to_owned()),
                });
                rest = behind;
            } else if let Some(inside) = rest.strip_prefix('[') {
                let (inside, behind) = inside.split_once(']').ok_or_else(invalid)?;
                let quoted = ['\'', '"'].into_iter().find_map(|quote| {
                    inside.strip_prefix(quote).and_then(|inside| inside.strip_suffix(quote))
                });
                steps.push(match (inside, quoted) {
                    ("*", _) => Step::All,
                    (_, Some(name)) => Step::Name(name.to_owned()),
                    (number, None) => Step::Index(number.parse().map_err(|_| invalid())?),
                });
                rest = behind;
            }
            // Several of any depth could lead to each value in many ways.
            let deep_ones = steps.iter().filter(|step| matches!(step, Step::Deep(_))).count();
            if steps.len() > STEPS_MAX || deep_ones > 1 {
                return Err(invalid());
            }
            (named, deep, rest) = match rest.as_bytes() {
                [] => return Ok(JsonPath(steps)),
                [b'.', b'.', ..] => (true, true, &rest[2..]),
                [b'.', ..] => (true, false, &rest[1..]),
                [b'[', ..] => (false, false, rest),
                _ => return Err(invalid()),
            };
        }
    }

    /// Whether it leads to one value at most.
    pub(super) fn is_plain(&self) -> bool {
        self.0.iter().all(|step| matches!(step, Step::Name(_)))
    }

    /// What it leads to.
    pub(super) fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in found {
                match step {
                    Step::Name(name) => next.extend(value.get(name)),
                    Step::Index(index) => next.extend(value.get(index)),
                    Step::All => next.extend(children(value)),
                    Step::Deep(name) => deep(value, name, &mut next),
                }
                next.truncate(FOUND_MAX);
            }
            found = next;
        }
        found
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(list) => Box::new(list.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Every value of a name in a value; JSON nests no deeper than its parser allows.
fn deep<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    if found.len() >= FOUND_MAX {
        return;
    }
    found.extend(value.get(name));
    children(value).for_each(|child| deep(child, name, found));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let value = json!({"a": {"b": [{"c": 1}, {"c": 2}], "c": 3}, "x y": 4});
        for (path, found) in [
            ("a.c", vec![3]),
            ("a.b[*].c", vec![1, 2]),
            ("a.b[1].c", vec![2]),
            ("a.b.*.c", vec![1, 2]),
            ("..c", vec![]),
            (".c", vec![3, 1, 2]),
            ("a..c", vec![3, 1, 2]),
            ("['x y']", vec![]),
            ("a.none.c", vec![]),
            ("a.b[7]", vec![]),
        ] {
            let Ok(compiled) = JsonPath::compile(path) else {
                assert!(["..c", "['x y']"].contains(&path), "{path}");
                continue;
            };
            let values: Vec<_> =
                compiled.find(&value).into_iter().filter_map(Value::as_i64).collect();
            assert_eq!(values, found, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in [
            "",
            "a.",
            "messages[.content[*].type",
            "a]",
            "a[",
            "a[1:2]",
            "a[?(@.b)]",
            "a[b]",
            ".a..b",
        ] {
            assert!(JsonPath::compile(path).is_err(), "{path}");
        }
    }
}
