//! Configurations of plugins that several sources make: changes of paths and fields.

use serde_json::{Map, Value, json};

/// Joins two configurations of one plugin on one object, where that can be.
pub(super) fn merged(name: &str, before: &Value, more: &Value) -> Option<Value> {
    match name {
        "proxy-rewrite" | "response-rewrite" => join(before, more),
        _ => None,
    }
}

/// Both together, where they set different things.
fn join(before: &Value, more: &Value) -> Option<Value> {
    let mut joined = before.as_object()?.clone();
    for (key, value) in more.as_object()? {
        match (joined.get_mut(key), value) {
            (None, value) => _ = joined.insert(key.clone(), value.clone()),
            (Some(old), value) if old == value => {}
            (Some(Value::Object(_)), Value::Object(_)) if key == "headers" || key == "set" => {
                let both = join(&joined[key], value)?;
                joined.insert(key.clone(), both);
            }
            (Some(Value::Array(old)), Value::Array(new)) if key == "add" || key == "remove" => {
                old.extend(new.iter().cloned());
            }
            _ => return None,
        }
    }
    // A path is changed in one way or in the other.
    let both_paths = joined.contains_key("uri") && joined.contains_key("regex_uri");
    (!both_paths).then_some(Value::Object(joined))
}

/// Fields to set, to add and to remove, as `proxy-rewrite` and `response-rewrite` take them.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) set: Map<String, Value>,
    pub(super) add: Vec<(String, String)>,
    pub(super) remove: Vec<String>,
}

impl Fields {
    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// As `headers` of `proxy-rewrite`, whose `add` is a mapping.
    pub(super) fn of_request(self) -> Option<Value> {
        if self.is_empty() {
            return None;
        }
        let mut headers = Map::new();
        if !self.add.is_empty() {
            let add: Map<String, Value> =
                self.add.into_iter().map(|(name, value)| (name, value.into())).collect();
            headers.insert("add".into(), add.into());
        }
        if !self.set.is_empty() {
            headers.insert("set".into(), self.set.into());
        }
        if !self.remove.is_empty() {
            headers.insert("remove".into(), self.remove.into());
        }
        Some(json!({ "headers": headers }))
    }

    /// As `headers` of `response-rewrite`, whose `add` is a list of lines.
    pub(super) fn of_response(self) -> Option<Value> {
        if self.is_empty() {
            return None;
        }
        let mut headers = Map::new();
        if !self.add.is_empty() {
            let add: Vec<String> =
                self.add.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
            headers.insert("add".into(), add.into());
        }
        if !self.set.is_empty() {
            headers.insert("set".into(), self.set.into());
        }
        if !self.remove.is_empty() {
            headers.insert("remove".into(), self.remove.into());
        }
        Some(json!({ "headers": headers }))
    }
}

/// Whether a text would be taken for one with variables.
pub(super) fn has_variables(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '{') {
            return true;
        }
    }
    false
}

/// `regex_uri` that takes prefixes off, the longest first, and puts `base` before the rest.
pub(super) fn strip_prefixes(prefixes: &[String], base: &str) -> Vec<String> {
    let base = base.trim_end_matches('/');
    let mut prefixes: Vec<&str> =
        prefixes.iter().map(|prefix| prefix.trim_end_matches('/')).collect();
    prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
    prefixes.dedup();
    let mut pairs = Vec::new();
    for prefix in prefixes {
        let pattern = regex::escape(prefix);
        if !base.is_empty() {
            pairs.extend([format!("^{pattern}$"), base.to_owned()]);
        }
        pairs.extend([format!("^{pattern}/?(.*)$"), format!("{base}/$1")]);
    }
    pairs
}

/// `regex_uri` that puts a text before the path.
pub(super) fn add_prefix(base: &str) -> Vec<String> {
    vec!["^(/.*)$".into(), format!("{}$1", base.trim_end_matches('/'))]
}

/// A replacement as Go and Envoy write it, as `regex_uri` takes it: `${1}` and `\1` are `$1`.
pub(super) fn replacement(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek().is_some_and(char::is_ascii_digit) => out.push('$'),
            '$' if chars.peek() == Some(&'{') => {
                let inside: String = chars.clone().skip(1).take_while(|c| *c != '}').collect();
                if !inside.is_empty() && inside.bytes().all(|byte| byte.is_ascii_digit()) {
                    out.push('$');
                    out.push_str(&inside);
                    for _ in 0..inside.len() + 2 {
                        chars.next();
                    }
                } else {
                    out.push(c);
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_joined_where_they_do_not_contradict() {
        let join = |before: Value, more: Value| merged("proxy-rewrite", &before, &more);
        assert_eq!(
            join(
                json!({"uri": "/a", "headers": {"set": {"A": "1"}, "remove": ["X"]}}),
                json!({"headers": {"set": {"B": "2"}, "remove": ["Y"]}}),
            ),
            Some(
                json!({"uri": "/a", "headers": {"set": {"A": "1", "B": "2"}, "remove": ["X", "Y"]}})
            ),
        );
        assert_eq!(join(json!({"uri": "/a"}), json!({"uri": "/b"})), None);
        assert_eq!(join(json!({"uri": "/a"}), json!({"regex_uri": ["a", "b"]})), None);
        assert_eq!(merged("cors", &json!({}), &json!({})), None);
    }

    #[test]
    fn prefixes_are_taken_off_the_longest_first() {
        assert_eq!(strip_prefixes(&["/a".into()], "/"), ["^/a/?(.*)$", "/$1"]);
        assert_eq!(
            strip_prefixes(&["/a".into(), "/a/b/".into()], "/v1/"),
            ["^/a/b$", "/v1", "^/a/b/?(.*)$", "/v1/$1", "^/a$", "/v1", "^/a/?(.*)$", "/v1/$1"]
        );
        assert_eq!(replacement("/a/${1}/$2/\\3/${name}"), "/a/$1/$2/$3/${name}");
    }
}
