//! Texts that plugins make of configuration and request: replacements of regular expressions,
//! values with variables and captures, queries without an argument, regular expressions as
//! OpenResty's options say.

use std::cell::RefCell;

use regex::bytes::{Captures, Regex, RegexBuilder};
use ringgate_core::path::hex_pair;

use crate::route::{Subject, Template};

/// Replacements and values have at most so many parts.
const PARTS_MAX: usize = 256;

/// A regular expression with the options of `ngx.re`: `i`, `m`, `s`, `x` and `u` mean what they
/// mean there; `j`, `o`, `a`, `d` tell PCRE how to work and change nothing here, except `a`, which
/// anchors. The language is the regex crate's: linear in time, without look-around and back
/// references; those are refused.
pub(super) fn regex(pattern: &str, options: &str) -> Result<Regex, String> {
    let anchored;
    let mut text = pattern;
    if options.contains('a') {
        anchored = format!("\\A(?:{pattern})");
        text = &anchored;
    }
    if let Some(unknown) = options.chars().find(|option| !"imsxujoadDU".contains(*option)) {
        return Err(format!("unknown flag \"{unknown}\" (flags \"{options}\")"));
    }
    RegexBuilder::new(text)
        .case_insensitive(options.contains('i'))
        .multi_line(options.contains('m'))
        .dot_matches_new_line(options.contains('s'))
        .ignore_whitespace(options.contains('x'))
        .swap_greed(options.contains('U'))
        .unicode(options.contains('u'))
        .build()
        .map_err(|error| error.to_string())
}

/// What a match is replaced by: `$1`, `${1}`, `$0`, and `$$` for a dollar, as in `ngx.re.sub`.
#[derive(Debug)]
pub(super) struct Replacement(Box<[Piece]>);

#[derive(Debug)]
enum Piece {
    Text(Box<str>),
    Capture(usize),
}

impl Replacement {
    pub(super) fn compile(text: &str) -> Result<Replacement, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            let behind = &rest[at + 1..];
            if let Some((number, length)) = capture(behind) {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
                }
                pieces.push(Piece::Capture(number));
                rest = &behind[length..];
            } else {
                plain.push('$');
                rest = behind.strip_prefix('$').unwrap_or(behind);
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into()));
        }
        if pieces.len() > PARTS_MAX {
            return Err(format!("more than {PARTS_MAX} captures"));
        }
        Ok(Replacement(pieces.into()))
    }

    /// The same where every `$` has to mean something, as nginx checks it beforehand.
    pub(super) fn strict(text: &str) -> Result<Replacement, String> {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let behind = &rest[at + 1..];
            rest = match (behind.strip_prefix('$'), capture(behind)) {
                (Some(behind), _) => behind,
                (None, Some((_, length))) => &behind[length..],
                (None, None) => {
                    return Err(format!("invalid capturing variable name found in \"{text}\""));
                }
            };
        }
        Replacement::compile(text)
    }

    pub(super) fn append(&self, captures: &Captures<'_>, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Capture(number) => {
                    if let Some(group) = captures.get(*number) {
                        out.extend_from_slice(group.as_bytes());
                    }
                }
            }
        }
    }
}

/// `1` or `{1}`: the number, and how long its text is.
fn capture(text: &str) -> Option<(usize, usize)> {
    let (digits, around) = match text.strip_prefix('{') {
        Some(inner) => (inner, 2),
        None => (text, 0),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number = digits[..end].parse().ok()?;
    (around == 0 || digits[end..].starts_with('}')).then_some((number, end + around))
}

/// A value with `$variables` and the captures `$1`… of the plugin's regular expression. Both are
/// filled in at once: what a client sends is never read as a template.
#[derive(Debug)]
pub(super) enum Value {
    Constant(Box<[u8]>),
    Parts(Box<[Part]>),
}

#[derive(Debug)]
pub(super) enum Part {
    Template(Template),
    Capture(usize),
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `use_it` with an empty buffer that is kept for the next time.
pub(super) fn with_scratch<R>(use_it: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    /// A buffer above this is not kept.
    const KEPT: usize = 64 * 1024;
    let mut buffer = SCRATCH.take();
    buffer.clear();
    let result = use_it(&mut buffer);
    if buffer.capacity() <= KEPT {
        SCRATCH.replace(buffer);
    }
    result
}

impl Value {
    pub(super) fn compile(text: &str) -> Result<Value, String> {
        let mut parts = Vec::new();
        let mut from = 0;
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let dollar = at + found;
            at = dollar + 1;
            let escaped = text[..dollar].ends_with('\\');
            if let (false, Some((number, length))) = (escaped, capture(&text[at..])) {
                if dollar > from {
                    parts.push(Part::Template(Template::compile(&text[from..dollar])?));
                }
                parts.push(Part::Capture(number));
                at += length;
                from = at;
            }
        }
        if from < text.len() {
            parts.push(Part::Template(Template::compile(&text[from..])?));
        }
        if parts.len() > PARTS_MAX {
            return Err(format!("more than {PARTS_MAX} captures"));
        }
        Ok(match &*parts {
            [] => Value::Constant(Box::default()),
            [Part::Template(template)] if template.constant().is_some() => {
                Value::Constant(template.constant().unwrap_or_default().into())
            }
            _ => Value::Parts(parts.into()),
        })
    }

    /// Writes the value behind `out`.
    pub(super) fn append(
        &self,
        subject: &Subject<'_>,
        captures: Option<&Captures<'_>>,
        out: &mut Vec<u8>,
    ) {
        let parts = match self {
            Value::Constant(text) => return out.extend_from_slice(text),
            Value::Parts(parts) => parts,
        };
        for part in parts {
            match part {
                Part::Template(template) => _ = template.render(subject, out),
                Part::Capture(number) => {
                    if let Some(group) = captures.and_then(|captures| captures.get(*number)) {
                        out.extend_from_slice(group.as_bytes());
                    }
                }
            }
        }
    }
}

/// A query without every argument of a name; [`None`] where it has none.
pub(super) fn without_argument(query: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let is_other = |argument: &&[u8]| {
        let end = memchr::memchr(b'=', argument).unwrap_or(argument.len());
        !is_text(&argument[..end], name)
    };
    let arguments = || query.split(|byte| *byte == b'&');
    if arguments().all(|argument| is_other(&argument)) {
        return None;
    }
    let mut rest = Vec::with_capacity(query.len());
    for argument in arguments().filter(is_other) {
        if !rest.is_empty() {
            rest.push(b'&');
        }
        rest.extend_from_slice(argument);
    }
    Some(rest)
}

/// Whether the encoded text means `plain`.
fn is_text(encoded: &[u8], plain: &[u8]) -> bool {
    let mut at = 0;
    let mut wanted = plain.iter();
    while let Some(byte) = encoded.get(at) {
        let (byte, length) = match byte {
            b'+' => (b' ', 1),
            b'%' => match encoded.get(at + 1..at + 3).and_then(hex_pair) {
                Some(byte) => (byte, 3),
                None => (b'%', 1),
            },
            byte => (*byte, 1),
        };
        if wanted.next() != Some(&byte) {
            return false;
        }
        at += length;
    }
    wanted.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringgate_core::{ConnectionInfo, Method, RequestHead, Scheme, Version};

    #[test]
    fn replacements_read_captures() {
        let regex = regex("^/(a+)/(b+)?", "jo").unwrap();
        let captures = regex.captures(b"/aa/c").unwrap();
        for (text, expected) in [
            ("/$1x", "/aax"),
            ("/${1}0$2$9", "/aa0"),
            ("$0", "/aa/"),
            ("a$$b$", "a$b$"),
            ("${x}$y", "${x}$y"),
        ] {
            let mut out = Vec::new();
            Replacement::compile(text).unwrap().append(&captures, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
        for (text, valid) in
            [("/$1${2}$$$0", true), ("/$`1", false), ("/$", false), ("${x}", false), ("", true)]
        {
            assert_eq!(Replacement::strict(text).is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn options_are_openresty_s() {
        assert!(regex("ABC", "jo").unwrap().find(b"xabc").is_none());
        assert!(regex("ABC", "joi").unwrap().is_match(b"xabc"));
        assert!(!regex("abc", "a").unwrap().is_match(b"xabc"));
        assert!(regex("a.c", "s").unwrap().is_match(b"a\nc"));
        assert!(regex("a", "q").is_err());
        assert!(regex("(?=a)", "").is_err());
    }

    #[test]
    fn client_text_is_never_a_template() {
        let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Http);
        head.headers.append(b"X-A", b"$http_secret").unwrap();
        head.headers.append(b"Secret", b"s").unwrap();
        let connection = ConnectionInfo {
            peer: "1.2.3.4:5".parse().unwrap(),
            local: "127.0.0.1:80".parse().unwrap(),
            tls: None,
            id: 1,
        };
        let subject = Subject::new(&head, &connection);
        let regex = regex("(.*)", "").unwrap();
        let captures = regex.captures(b"$http_secret").unwrap();
        for (text, expected) in [
            ("<$1|$http_x_a>", "<$http_secret|$http_secret>"),
            ("$1${1}", "$http_secret$http_secret"),
            ("\\$1 $remote_addr", "\\$1 1.2.3.4"),
            ("plain", "plain"),
            ("", ""),
        ] {
            let mut out = Vec::new();
            Value::compile(text).unwrap().append(&subject, Some(&captures), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn arguments_go_by_their_meaning() {
        for (query, expected) in [
            ("a=1&b=2", Some("b=2")),
            ("%61=1&a&b=2&a=", Some("b=2")),
            ("a=1", Some("")),
            ("aa=1&b=a", None),
            ("%6=1", None),
        ] {
            let rest = without_argument(query.as_bytes(), b"a");
            assert_eq!(rest.as_deref(), expected.map(str::as_bytes), "{query}");
        }
    }
}
