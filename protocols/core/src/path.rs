//! Request paths, normalised once: what is matched is what is authorised and what is forwarded.
//!
//! The policy, by RFC 3986:
//!
//! | input | here |
//! |---|---|
//! | unreserved characters, percent-encoded (§2.3, §6.2.2.2) | decoded |
//! | other percent-encoded bytes (§6.2.2.1) | kept, hexadecimal digits in upper case |
//! | `%2F`, `%5C` | kept: data, never a separator |
//! | `%00`, raw control bytes, `%` without two digits | refused |
//! | `.` and `..` segments, `%2e` forms too (§5.2.4, §6.2.2.3) | resolved |
//! | `..` above the root | refused (§5.2.4 would drop it) |
//! | repeated slashes | merged, before dot segments are resolved, as nginx does |
//! | raw bytes that a path cannot hold (§3.3): 0x80 and above, space, `"<>\^` `` ` `` `{|}`, `#`, `?` | percent-encoded |
//! | `%25…` | kept; nothing is decoded twice |
//!
//! The canonical form is a fixed point: normalising it again changes nothing.

use std::borrow::Cow;
use std::fmt;

/// Why a path was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidPath {
    /// Does not start with `/`.
    NotAbsolute,
    /// A `%` without two hexadecimal digits behind it.
    Percent,
    /// An encoded NUL, or a control byte.
    Control,
    /// `..` above the root.
    AboveRoot,
}

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidPath::NotAbsolute => "path does not start with '/'",
            InvalidPath::Percent => "path has a '%' without two hexadecimal digits",
            InvalidPath::Control => "path has a control character",
            InvalidPath::AboveRoot => "path leads above the root",
        })
    }
}

impl std::error::Error for InvalidPath {}

/// Needs the careful walk, whatever stands around it: `%`, bytes to encode, control bytes.
const SPECIAL: u8 = 1;
/// `/`. One bit below [`AFTER_SLASH`], so that a shift lines a byte up with its successor.
const SLASH: u8 = 2;
/// `/` or `.`: needs the careful walk behind a `/`.
const AFTER_SLASH: u8 = 4;
/// RFC 3986 §2.3: means the same encoded and not.
const UNRESERVED: u8 = 8;
/// Not allowed raw (§3.3): to be percent-encoded.
const ENCODE: u8 = 16;
/// Below 0x20, and DEL.
const CONTROL: u8 = 32;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'/' => SLASH | AFTER_SLASH,
            b'.' => UNRESERVED | AFTER_SLASH,
            b'-' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => UNRESERVED,
            b'%' => SPECIAL,
            0..=0x1f | 0x7f => SPECIAL | CONTROL,
            b' '
            | b'"'
            | b'<'
            | b'>'
            | b'\\'
            | b'^'
            | b'`'
            | b'{'
            | b'|'
            | b'}'
            | b'#'
            | b'?'
            | 0x80.. => SPECIAL | ENCODE,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// Whether a byte needs no look at its neighbours and no change, in one pass without branches.
#[inline]
fn is_plain(path: &[u8]) -> bool {
    let mut found = 0;
    let mut before = 0;
    for byte in path {
        let class = CLASS[*byte as usize];
        found |= class & (SPECIAL | (before << 1) & AFTER_SLASH);
        before = class & SLASH;
    }
    found == 0
}

/// Normalises a path (no query). Borrows where nothing changes.
#[inline]
pub fn normalize(path: &[u8]) -> Result<Cow<'_, [u8]>, InvalidPath> {
    if path.first() != Some(&b'/') {
        return Err(InvalidPath::NotAbsolute);
    }
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    let canonical = rewrite(path)?;
    // `/.well-known` and `%20` need the careful walk and may come out as they were.
    Ok(if canonical == path { Cow::Borrowed(path) } else { Cow::Owned(canonical) })
}

/// Whether a segment is `.` or `..`, percent-encoded or not: whether [`normalize`] would lead
/// elsewhere than the text says.
pub fn has_dot_segment(path: &[u8]) -> bool {
    /// What is left behind a dot.
    fn dot(segment: &[u8]) -> Option<&[u8]> {
        match segment {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => Some(rest),
            _ => None,
        }
    }
    path.split(|byte| *byte == b'/').any(|segment| {
        dot(segment).is_some_and(|rest| rest.is_empty() || dot(rest).is_some_and(<[u8]>::is_empty))
    })
}

/// The careful walk. `path` starts with `/`.
#[cold]
fn rewrite(path: &[u8]) -> Result<Vec<u8>, InvalidPath> {
    let mut out = Vec::with_capacity(path.len() + 16);
    out.push(b'/');
    let mut at = 1;
    // Where the segment that is being written starts in `out`.
    let mut segment = 1;
    while let Some(byte) = path.get(at).copied() {
        at += 1;
        let class = CLASS[byte as usize];
        if class & SLASH != 0 {
            segment = close(&mut out, segment)?;
            if out.len() > segment {
                out.push(b'/');
                segment = out.len();
            }
        } else if byte == b'%' {
            let value = path.get(at..at + 2).and_then(hex_pair).ok_or(InvalidPath::Percent)?;
            at += 2;
            match value {
                0 => return Err(InvalidPath::Control),
                _ if CLASS[value as usize] & UNRESERVED != 0 => out.push(value),
                _ => encode(&mut out, value),
            }
        } else if class & CONTROL != 0 {
            return Err(InvalidPath::Control);
        } else if class & ENCODE != 0 {
            encode(&mut out, byte);
        } else {
            out.push(byte);
        }
    }
    close(&mut out, segment)?;
    Ok(out)
}

/// Resolves the last segment of `out` where it is a dot segment; returns where the then last one
/// starts (§5.2.4).
fn close(out: &mut Vec<u8>, segment: usize) -> Result<usize, InvalidPath> {
    match &out[segment..] {
        b"." => out.truncate(segment),
        b".." if segment == 1 => return Err(InvalidPath::AboveRoot),
        b".." => {
            let parent = memchr::memrchr(b'/', &out[..segment - 1]).map_or(1, |slash| slash + 1);
            out.truncate(parent);
            return Ok(parent);
        }
        _ => {}
    }
    Ok(segment)
}

fn encode(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]);
}

/// The byte that two hexadecimal digits mean.
pub fn hex_pair(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    match *digits {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &str) -> Result<String, InvalidPath> {
        normalize(path.as_bytes()).map(|path| String::from_utf8(path.into_owned()).unwrap())
    }

    #[test]
    fn canonical_paths_are_borrowed() {
        for path in [
            "/",
            "/a/b/c",
            "/a/b/",
            "/.well-known/acme",
            "/a..b/.../c.",
            "/%20/%2F",
            "/a;b=c,d:e@f!$&'()*+",
            "/[x]",
        ] {
            assert!(matches!(normalize(path.as_bytes()), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    #[test]
    fn paths_are_brought_to_one_form() {
        for (path, canonical) in [
            ("/%61%2D%7e", "/a-~"),
            ("/a%2fb%5cc", "/a%2Fb%5Cc"),
            ("/a\\b", "/a%5Cb"),
            ("/a b\"<>^`{|}", "/a%20b%22%3C%3E%5E%60%7B%7C%7D"),
            ("/a#b?c", "/a%23b%3Fc"),
            ("/\u{e9}", "/%C3%A9"),
            ("//a///b//", "/a/b/"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/.", "/"),
            ("/a//../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/%2e/a", "/a"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/%25%32%65", "/%252e"),
            ("/a%0a", "/a%0A"),
            ("/..;/a", "/..;/a"),
            ("/a/..%2f..", "/a/..%2F.."),
        ] {
            assert_eq!(normal(path).as_deref(), Ok(canonical), "{path}");
        }
    }

    #[test]
    fn dot_segments_are_seen_however_they_are_written() {
        for path in ["/.", "/a/..", "/../a", "/a/%2e/b", "/%2E%2e", "/.%2e/", "..", "a/.%2E"] {
            assert!(has_dot_segment(path.as_bytes()), "{path}");
        }
        for path in ["", "/", "/...", "/a..", "/..a/.b", "/%252e", "/%2e%2e%2e", "/..%2f", "/..;"] {
            assert!(!has_dot_segment(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (path, error) in [
            ("", InvalidPath::NotAbsolute),
            ("a", InvalidPath::NotAbsolute),
            ("/%", InvalidPath::Percent),
            ("/%2", InvalidPath::Percent),
            ("/%zz", InvalidPath::Percent),
            ("/%+1", InvalidPath::Percent),
            ("/%%34", InvalidPath::Percent),
            ("/%00", InvalidPath::Control),
            ("/a\0", InvalidPath::Control),
            ("/a\tb", InvalidPath::Control),
            ("/a\x7f", InvalidPath::Control),
            ("/..", InvalidPath::AboveRoot),
            ("/a/../..", InvalidPath::AboveRoot),
            ("/%2e%2e/a", InvalidPath::AboveRoot),
            ("//../a", InvalidPath::AboveRoot),
        ] {
            assert_eq!(normal(path), Err(error), "{path:?}");
        }
    }

    proptest! {
        /// Where there is none, every segment stays where it is.
        #[test]
        fn nothing_moves_without_dot_segments(path in "/[./%2eEa]{0,20}") {
            if let (Ok(normal), false) = (normalize(path.as_bytes()), has_dot_segment(path.as_bytes())) {
                let segments = |path: &[u8]| {
                    path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()).count()
                };
                prop_assert_eq!(segments(&normal), segments(path.as_bytes()));
            }
        }

        #[test]
        fn normalising_twice_is_normalising_once(
            path in "/([a-cA-F2-5./%\\\\ ]|%2[eEfF5]|%5[cC]|%[0-9a-f]{2}|[\u{80}-\u{ff}]|//){0,24}"
        ) {
            if let Ok(once) = normalize(path.as_bytes()) {
                prop_assert_eq!(normalize(&once).unwrap(), once.clone());
                prop_assert!(once.starts_with(b"/"));
                prop_assert!(once.iter().all(|byte| (0x21..0x7f).contains(byte)));
                prop_assert!(!once.windows(2).any(|pair| pair == b"//"));
                prop_assert!(!once.split(|byte| *byte == b'/').any(|s| s == b"." || s == b".."));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(path in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = normalize(&path);
        }
    }
}
