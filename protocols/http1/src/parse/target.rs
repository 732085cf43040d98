//! Request targets (RFC 9112 §3.2).

use std::ops::Range;

use ringgate_core::{find_byte, find_invisible, find_path_end};

use crate::scan::HeadError;

/// What a target is made of, as ranges of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Of an absolute form.
    pub(super) authority: Option<Range<usize>>,
    pub(super) path: Path,
    /// Without the `?`.
    pub(super) query: Option<Range<usize>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// As written, not normalised.
    Written(Range<usize>),
    /// An absolute form without one: `/`.
    Root,
    /// `*`.
    Asterisk,
}

/// Takes a target apart.
pub(super) fn split(method: &[u8], target: &[u8]) -> Result<Target, HeadError> {
    // Only visible ASCII: anything else has to be percent-encoded (RFC 3986 §2). A fragment is
    // never sent (RFC 9112 §3.2), and some parsers end the path there.
    let question = match find_path_end(target) {
        None => None,
        Some(at) if target[at] == b'?' && is_query(&target[at..]) => Some(at),
        Some(_) => return Err(HeadError::Malformed("target has a byte that it must not have")),
    };
    if method == b"CONNECT" {
        return Err(HeadError::NotImplemented("CONNECT"));
    }
    match target {
        [b'/', ..] => Ok(from_path(target, 0, question, None)),
        b"*" if method == b"OPTIONS" => {
            Ok(Target { authority: None, path: Path::Asterisk, query: None })
        }
        _ => absolute(method, target, question),
    }
}

fn is_query(text: &[u8]) -> bool {
    find_invisible(text).is_none() && find_byte(text, b'#').is_none()
}

fn absolute(method: &[u8], target: &[u8], question: Option<usize>) -> Result<Target, HeadError> {
    let scheme = ["http://", "https://"].iter().map(|scheme| scheme.len()).find(|len| {
        target.get(..*len).is_some_and(|start| {
            start.eq_ignore_ascii_case(b"http://") || start.eq_ignore_ascii_case(b"https://")
        })
    });
    let start = scheme.ok_or(HeadError::Malformed("target form"))?;
    let end = target[start..]
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .map_or(target.len(), |at| start + at);
    let mut parts = from_path(target, end, question, Some(start..end));
    if matches!(&parts.path, Path::Written(path) if path.is_empty()) {
        // RFC 9112 §3.2.4: OPTIONS without path and query means the server as a whole.
        let whole_server = method == b"OPTIONS" && parts.query.is_none();
        parts.path = if whole_server { Path::Asterisk } else { Path::Root };
    }
    Ok(parts)
}

/// The first `?` is never before the path: neither a scheme nor an authority has one.
fn from_path(
    target: &[u8],
    start: usize,
    question: Option<usize>,
    authority: Option<Range<usize>>,
) -> Target {
    Target {
        authority,
        path: Path::Written(start..question.unwrap_or(target.len())),
        query: question.map(|at| at + 1..target.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

    fn parts<'a>(method: &str, target: &'a str) -> Option<Parts<'a>> {
        let split = split(method.as_bytes(), target.as_bytes()).ok()?;
        let path = match split.path {
            Path::Written(range) => Some(&target[range]),
            Path::Root => Some("(root)"),
            Path::Asterisk => Some("(asterisk)"),
        };
        Some((split.authority.map(|r| &target[r]), path, split.query.map(|r| &target[r])))
    }

    #[test]
    fn forms() {
        for (method, target, expected) in [
            ("GET", "/a/b?c=d?e", (None, Some("/a/b"), Some("c=d?e"))),
            ("GET", "/?", (None, Some("/"), Some(""))),
            ("GET", "http://h:1/p?q", (Some("h:1"), Some("/p"), Some("q"))),
            ("GET", "HTTPS://h", (Some("h"), Some("(root)"), None)),
            ("GET", "http://h?q", (Some("h"), Some("(root)"), Some("q"))),
            ("OPTIONS", "*", (None, Some("(asterisk)"), None)),
            ("OPTIONS", "http://h", (Some("h"), Some("(asterisk)"), None)),
        ] {
            assert_eq!(parts(method, target), Some(expected), "{target}");
        }
        for (method, target) in [
            ("GET", "*"),
            ("GET", "a"),
            ("GET", "h:80"),
            ("GET", "ftp://h/"),
            ("GET", "/a#b"),
            ("GET", "/\u{e9}"),
            ("GET", "/a\tb"),
            ("GET", ""),
            ("CONNECT", "h:80"),
            ("GET", "?q"),
            ("OPTIONS", "**"),
            ("GET", "http:/h"),
        ] {
            assert_eq!(parts(method, target), None, "{target}");
        }
    }
}
