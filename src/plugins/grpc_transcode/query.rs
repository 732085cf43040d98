//! Queries and forms, and percent-encoding.

use std::borrow::Cow;

use ringgate_core::path::hex_pair;

/// Arguments that are looked at, as many as OpenResty does.
const ARGUMENTS_MAX: usize = 100;

/// The arguments of a query or a form, decoded. What is no UTF-8 is replaced.
pub(super) fn arguments(text: &[u8]) -> impl Iterator<Item = (String, String)> {
    let parts = text.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    parts.take(ARGUMENTS_MAX).map(|part| {
        let (name, value) = match memchr::memchr(b'=', part) {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &b""[..]),
        };
        (decoded(name, Plus::Space), decoded(value, Plus::Space))
    })
}

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Space,
    Itself,
}

fn decoded(text: &[u8], plus: Plus) -> String {
    text_of(decode(text, plus, false))
}

/// A segment of a path, decoded.
pub(super) fn segment(text: &[u8]) -> String {
    decoded(text, Plus::Itself)
}

/// Several segments: a slash that is encoded stays so, for it parts no segments.
pub(super) fn segments(text: &[u8]) -> String {
    text_of(decode(text, Plus::Itself, true))
}

fn text_of(bytes: Cow<'_, [u8]>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn decode(text: &[u8], plus: Plus, keep_slashes: bool) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        let pair = behind.get(..2).filter(|_| *byte == b'%').and_then(hex_pair);
        match pair.filter(|byte| !(keep_slashes && *byte == b'/')) {
            Some(byte) => {
                out.push(byte);
                rest = &behind[2..];
            }
            None => {
                out.push(if *byte == b'+' && plus == Plus::Space { b' ' } else { *byte });
                rest = behind;
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_decoded() {
        let all: Vec<_> = arguments(b"a=1&b=x+y%2B&&c&a=%C3%A9&d=%zz=%ff").collect();
        let expected = [("a", "1"), ("b", "x y+"), ("c", ""), ("a", "é"), ("d", "%zz=\u{fffd}")];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(arguments("a=1&".repeat(1000).as_bytes()).count(), ARGUMENTS_MAX);
        assert_eq!(segment(b"a%2Fb+c"), "a/b+c");
        assert_eq!(segments(b"a%2Fb/%20c"), "a%2Fb/ c");
    }
}
