//! Paths as other gateways match them, as a URI and an expression.

use serde_json::{Value, json};

/// What a path asks for: the URI that a route is filed by, and what has to hold besides.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PathRule {
    pub(super) uri: String,
    /// A `vars` comparison; none where the URI says it all.
    pub(super) var: Option<Value>,
}

impl PathRule {
    /// Every path.
    pub(super) fn any() -> PathRule {
        PathRule { uri: "/*".into(), var: None }
    }

    /// Paths that start with a text.
    pub(super) fn prefix(path: &str) -> PathRule {
        let path = if path.is_empty() { "/" } else { path };
        match plain(path) {
            whole if whole.len() == path.len() => PathRule { uri: format!("{path}*"), var: None },
            _ => PathRule::regex(&format!("^{}", regex::escape(path))),
        }
    }

    /// One path.
    pub(super) fn exact(path: &str) -> PathRule {
        match plain(path) {
            whole if whole.len() == path.len() && !path.is_empty() => {
                PathRule { uri: path.to_owned(), var: None }
            }
            _ => PathRule::regex(&format!("^{}$", regex::escape(path))),
        }
    }

    /// Paths that a regular expression matches; filed by what it begins with.
    pub(super) fn regex(pattern: &str) -> PathRule {
        let literal = literal(pattern);
        let literal = plain(&literal);
        let uri = if literal.starts_with('/') { format!("{literal}*") } else { "/*".into() };
        PathRule { uri, var: Some(json!(["uri", "~~", pattern])) }
    }
}

/// As much of a literal path as a URI can hold: `*`, and `:` behind a slash, mean something there.
fn plain(path: &str) -> &str {
    let star = path.find('*').unwrap_or(path.len());
    let parameter = path.find("/:").map_or(path.len(), |at| at + 1);
    &path[..star.min(parameter)]
}

/// What every match of an anchored pattern begins with.
fn literal(pattern: &str) -> String {
    let Some(rest) = pattern.strip_prefix('^') else { return String::new() };
    // An alternative may begin otherwise.
    if rest.contains('|') || rest.starts_with("(?") {
        return String::new();
    }
    let mut literal = String::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        let next = match c {
            '\\' => match chars.peek() {
                Some(escaped) if escaped.is_ascii_punctuation() => {
                    let escaped = *escaped;
                    chars.next();
                    escaped
                }
                _ => break,
            },
            '.' | '[' | ']' | '(' | ')' | '{' | '}' | '*' | '+' | '?' | '$' | '^' => break,
            // Paths are compared in their canonical form, which encodes these.
            c if !c.is_ascii_graphic() || "\"<>`%".contains(c) => break,
            c => c,
        };
        // What is repeated may be missing.
        if matches!(chars.peek(), Some('*' | '?' | '{')) {
            break;
        }
        literal.push(next);
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris_and_expressions() {
        let var = |pattern: &str| Some(json!(["uri", "~~", pattern]));
        for (rule, uri, var) in [
            (PathRule::prefix("/a"), "/a*", None),
            (PathRule::prefix(""), "/*", None),
            (PathRule::prefix("/a/:x"), "/a/*", var(r"^/a/:x")),
            (PathRule::prefix("/a*b"), "/a*", var(r"^/a\*b")),
            (PathRule::exact("/a/b"), "/a/b", None),
            (PathRule::exact("/a/:b"), "/a/*", var("^/a/:b$")),
            (PathRule::regex(r"^/a/(\d+)$"), "/a/*", var(r"^/a/(\d+)$")),
            (PathRule::regex(r"^/a\.b/c?"), "/a.b/*", var(r"^/a\.b/c?")),
            (PathRule::regex(r"^/(a|b)"), "/*", var(r"^/(a|b)")),
            (PathRule::regex(r"\.php$"), "/*", var(r"\.php$")),
            (PathRule::regex(r"^/ab*"), "/a*", var(r"^/ab*")),
            (PathRule::regex(r"^/:x/y"), "/*", var(r"^/:x/y")),
        ] {
            assert_eq!(rule, PathRule { uri: uri.into(), var });
        }
    }
}
