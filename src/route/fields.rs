//! Arguments, headers and cookies by name.

use std::borrow::Cow;

use ringgate_core::path::hex_pair;
use ringgate_core::{HeaderId, Headers};

/// The first argument of that name, decoded as APISIX's `get_uri_args` does: `%XX`, and `+` for a
/// space. Names are case-sensitive. Without `=` the value is empty.
pub(super) fn argument<'a>(query: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    query.split(|byte| *byte == b'&').find_map(|argument| {
        let end = memchr::memchr(b'=', argument).unwrap_or(argument.len());
        (*decoded(&argument[..end]) == *name)
            .then(|| decoded(argument.get(end + 1..).unwrap_or_default()))
    })
}

fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => match text.get(at..at + 2).and_then(hex_pair) {
                Some(byte) => {
                    out.push(byte);
                    at += 2;
                }
                None => out.push(b'%'),
            },
            byte => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

/// The header of that name (lower case, with dashes); several of one name are joined as nginx
/// joins them. A name with underscores is found only where none with dashes is there.
pub(super) fn header<'a>(
    headers: &'a Headers,
    name: &[u8],
    id: Option<HeaderId>,
) -> Option<Cow<'a, [u8]>> {
    if let Some(id) = id {
        let first = headers.get(id)?;
        let separator: &[u8] = if id == HeaderId::Cookie { b"; " } else { b", " };
        return Some(joined(first, headers.get_all(name).skip(1), separator));
    }
    let mut dashed = headers.get_all(name);
    if let Some(first) = dashed.next() {
        return Some(joined(first, dashed, b", "));
    }
    let twin = |other: &[u8]| {
        other.len() == name.len()
            && other.iter().zip(name).all(|(byte, wanted)| {
                byte.eq_ignore_ascii_case(wanted) || (*byte == b'_' && *wanted == b'-')
            })
    };
    memchr::memchr(b'-', name)?;
    headers.iter().find(|(other, _)| twin(other)).map(|(_, value)| Cow::Borrowed(value))
}

fn joined<'a>(
    first: &'a [u8],
    rest: impl Iterator<Item = &'a [u8]>,
    separator: &[u8],
) -> Cow<'a, [u8]> {
    let mut all = Cow::Borrowed(first);
    for value in rest {
        let all = all.to_mut();
        all.extend_from_slice(separator);
        all.extend_from_slice(value);
    }
    all
}

/// The first cookie of that name, over every `Cookie` field (HTTP/2 splits them).
pub(super) fn cookie<'a>(headers: &'a Headers, name: &[u8]) -> Option<&'a [u8]> {
    headers.has(HeaderId::Cookie).then_some(())?;
    headers.get_all(b"cookie").flat_map(|field| field.split(|byte| *byte == b';')).find_map(
        |pair| {
            let equals = memchr::memchr(b'=', pair)?;
            (pair[..equals].trim_ascii() == name).then(|| pair[equals + 1..].trim_ascii())
        },
    )
}
