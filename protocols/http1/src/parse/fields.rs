//! Field lines (RFC 9112 §5).

use ringgate_core::{HeaderId, Headers, Span, check_name, find_byte, find_control};

use crate::scan::HeadError;

/// Takes the fields of `section` over, from its byte `at` up to the empty line that ends it.
/// `copy` is the section in the arena.
///
/// No space before the colon, no folded lines, no control byte but the tab, and CRLF alone ends a
/// line.
pub(super) fn adopt(
    headers: &mut Headers,
    section: &[u8],
    copy: Span,
    mut at: usize,
) -> Result<(), HeadError> {
    loop {
        let line = section.get(at..).unwrap_or(&[]);
        if let [b'\r', b'\n', rest @ ..] = line {
            return match rest.is_empty() {
                true => Ok(()),
                false => Err(HeadError::Malformed("head has a line that is none")),
            };
        }
        const NAME: HeadError = HeadError::Malformed("header name is not a token");
        // Should the line have none, what is before the next line's is no name either.
        let colon = find_byte(line, b':').ok_or(NAME)?;
        let name = &line[..colon];
        let id = HeaderId::of(name);
        if id.is_none() {
            check_name(name).map_err(|_| NAME)?;
        }
        let value = skip_spaces(line, colon + 1);
        let end = value + line_end(&line[value..])?;
        let trimmed = trim_spaces(&line[value..end]);
        headers.adopt_known(
            id,
            copy.part(at, at + colon),
            copy.part(at + value, at + value + trimmed),
        );
        at += end + 2;
    }
}

/// Where the CRLF is that ends this text, which has no other control byte but the tab.
#[inline]
pub(super) fn line_end(text: &[u8]) -> Result<usize, HeadError> {
    let end = find_control(text).unwrap_or(text.len());
    match text.get(end..) {
        Some([b'\r', b'\n', ..]) => Ok(end),
        Some([b'\r', ..]) => Err(HeadError::Malformed("CR without LF")),
        _ => Err(HeadError::Malformed("a control character")),
    }
}

#[inline]
fn skip_spaces(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = line.get(at) {
        at += 1;
    }
    at
}

/// How long the text is without spaces at its end.
#[inline]
fn trim_spaces(mut text: &[u8]) -> usize {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text.len()
}
