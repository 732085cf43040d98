//! A parsed configuration file: its value, and the line of every node.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::error::{Problem, Problems};
use super::{env, json, toml, yaml};

/// Bytes of a configuration file. Files are the operator's own; the bound keeps a wrong path (a
/// core dump, a log) from being read into memory.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One node in document order: where it stands, and how many nodes it has in all, so that a
/// sibling is one step away. Eight bytes a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) line: u32,
    pub(super) size: u32,
}

/// The lines of a value's nodes, in the order of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lines(pub(super) Vec<Node>);

/// A file's value with the line of each of its nodes.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file's name as the user gave it.
    pub file: Arc<str>,
    /// What it says.
    pub value: Value,
    pub(super) lines: Lines,
}

/// The variables of the environment that `${{NAME}}` may name.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variables of this process.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads a configuration file, up to [`FILE_BYTES_MAX`].
pub fn read(path: &Path) -> Result<String, Problems> {
    let fail = |reason: String| {
        let file = path.to_string_lossy().into();
        Problems::of(Problem { file, line: 0, path: String::new(), reason })
    };
    // A pipe that nobody writes to would keep whoever opens it waiting.
    let file = std::fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(|error| fail(error.to_string()))?;
    let is = file.metadata().map_err(|error| fail(error.to_string()))?;
    if !is.is_file() {
        return Err(fail("not a file".into()));
    }
    if is.len() > FILE_BYTES_MAX {
        return Err(fail(format!("larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    let mut bytes = Vec::with_capacity(is.len() as usize);
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| fail("not UTF-8 text".into()))
}

impl Document {
    /// Parses YAML, or JSON where the name ends in `.json`. `${{NAME}}` and `${{NAME:=default}}`
    /// stand for variables of the environment, as in APISIX.
    pub fn parse(
        file: &str,
        text: &str,
        environment: Environment<'_>,
    ) -> Result<Document, Problems> {
        let name: Arc<str> = file.into();
        let fail = |(line, reason): (u32, String)| {
            Problems::of(Problem { file: name.clone(), line, path: String::new(), reason })
        };
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(fail((0, format!("larger than {} MiB", FILE_BYTES_MAX >> 20))));
        }
        let (value, lines) = if file.ends_with(".json") {
            let (mut value, lines) = json::parse(text).map_err(fail)?;
            env::fill_value(&mut value, environment).map_err(|reason| fail((0, reason)))?;
            (value, lines)
        } else {
            let filled = env::fill_text(text, environment).map_err(fail)?;
            yaml::parse(&filled.text)
                .map(|(value, mut lines)| {
                    filled.restore(&mut lines);
                    (value, lines)
                })
                .map_err(|(line, reason)| fail((filled.line(line), reason)))?
        };
        Ok(Document { file: name, value, lines })
    }

    /// Parses TOML, as other gateways write it. Resource files are none.
    pub fn parse_toml(file: &str, text: &str) -> Result<Document, Problems> {
        let name: Arc<str> = file.into();
        let parsed = match text.len() as u64 > FILE_BYTES_MAX {
            true => Err((0, format!("larger than {} MiB", FILE_BYTES_MAX >> 20))),
            false => toml::parse(text),
        };
        match parsed {
            Ok((value, lines)) => Ok(Document { file: name, value, lines }),
            Err((line, reason)) => {
                Err(Problems::of(Problem { file: name, line, path: String::new(), reason }))
            }
        }
    }

    /// The line of the node that a JSON pointer names (or of its nearest parent that exists), and
    /// its path as users read it.
    pub fn locate(&self, pointer: &str) -> (u32, String) {
        let mut node = &self.value;
        let mut at = Some(0);
        let mut line = self.line_at(0);
        let mut path = String::new();
        for token in tokens(pointer) {
            // Past the end of what exists, only the path goes on.
            let Some(index) = at else {
                push_key(&mut path, &token);
                continue;
            };
            let (position, child) = match node {
                Value::Array(list) => {
                    let position = token.parse::<usize>().ok();
                    path.push_str(&format!("[{token}]"));
                    (position, position.and_then(|position| list.get(position)))
                }
                Value::Object(map) => {
                    push_key(&mut path, &token);
                    (map.keys().position(|key| *key == token), map.get(&token))
                }
                _ => {
                    push_key(&mut path, &token);
                    (None, None)
                }
            };
            at = match (position, child) {
                (Some(position), Some(child)) => {
                    node = child;
                    self.child(index, position)
                }
                _ => None,
            };
            if let Some(index) = at {
                line = self.line_at(index);
            }
        }
        (line, path)
    }

    /// The lines of all items of the list under a key of the root, at once: each by itself would
    /// be counted from the first.
    pub(super) fn lines_of(&self, key: &str) -> Vec<u32> {
        let Value::Object(map) = &self.value else { return Vec::new() };
        let (Some(position), Some(Value::Array(list))) =
            (map.keys().position(|other| other == key), map.get(key))
        else {
            return Vec::new();
        };
        let mut at = self.child(0, position).map_or(usize::MAX, |list| list + 1);
        let mut lines = Vec::with_capacity(list.len());
        while let Some(node) = self.lines.0.get(at).filter(|_| lines.len() < list.len()) {
            lines.push(node.line);
            at += node.size as usize;
        }
        lines
    }

    /// A problem at a JSON pointer.
    pub fn problem(&self, pointer: &str, reason: impl Into<String>) -> Problem {
        let (line, path) = self.locate(pointer);
        Problem { file: self.file.clone(), line, path, reason: reason.into() }
    }

    /// The index of the node that is the `position`th child of the node at `index`.
    fn child(&self, index: usize, position: usize) -> Option<usize> {
        let mut child = index + 1;
        for _ in 0..position {
            child += self.lines.0.get(child)?.size as usize;
        }
        self.lines.0.get(child).map(|_| child)
    }

    fn line_at(&self, index: usize) -> u32 {
        self.lines.0.get(index).map_or(0, |node| node.line)
    }
}

/// The tokens of a JSON pointer, unescaped.
fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

/// `pointer` one step further down.
pub fn join(pointer: &str, token: impl std::fmt::Display) -> String {
    let token = token.to_string().replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{token}")
}

fn push_key(path: &mut String, key: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if key.is_empty() || !key.bytes().all(plain) {
        path.push_str(&format!("[{key:?}]"));
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
routes:
  - uri: /a
    upstream:
      nodes:
        \"127.0.0.1:80\": 1
  -
    uri: /b
    methods: [GET,
      PUT]
";

    #[test]
    fn lines_and_paths() {
        for (file, text) in [("a.yaml", TEXT.to_string())] {
            let document = Document::parse(file, &text, &|_| None).unwrap();
            for (pointer, line, path) in [
                ("", 1, ""),
                ("/routes", 1, "routes"),
                ("/routes/0/uri", 2, "routes[0].uri"),
                ("/routes/0/upstream", 3, "routes[0].upstream"),
                (
                    "/routes/0/upstream/nodes/127.0.0.1:80",
                    5,
                    "routes[0].upstream.nodes[\"127.0.0.1:80\"]",
                ),
                ("/routes/1/uri", 7, "routes[1].uri"),
                ("/routes/1/methods/1", 9, "routes[1].methods[1]"),
                ("/routes/1/vars/0", 7, "routes[1].vars.0"),
                ("/routes/7", 1, "routes[7]"),
            ] {
                assert_eq!(document.locate(pointer), (line, path.to_string()), "{pointer}");
            }
        }
    }

    #[test]
    fn json_lines_are_known_too() {
        let text = "{\n \"routes\": [\n  {\"uri\": \"/a\"},\n  {\n\"uri\": 5}]}";
        let document = Document::parse("a.json", text, &|_| None).unwrap();
        assert_eq!(document.locate("/routes/1/uri"), (5, "routes[1].uri".into()));
        assert_eq!(document.locate("/routes/0"), (3, "routes[0]".into()));
    }

    #[test]
    fn pointers_escape() {
        assert_eq!(join("/a", "b/c~d"), "/a/b~1c~0d");
        assert_eq!(tokens("/a/b~1c~0d").collect::<Vec<_>>(), ["a", "b/c~d"]);
    }
}
