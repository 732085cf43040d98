//! Field lines (RFC 9112 §5).

use ringgate_core::{HeaderId, Headers, Span, check_name, find_byte, find_control};

use crate::scan::{Bounds, HeadError};

/// Takes the fields over that begin at `at`, up to the empty line that ends them; how far that
/// was. The text is to be interned as the first of these headers, up to there.
///
/// No space before the colon, no folded lines, no control byte but the tab, and CRLF alone ends a
/// line.
pub(super) fn adopt(
    headers: &mut Headers,
    text: &[u8],
    at: usize,
    bounds: &Bounds,
) -> Result<usize, HeadError> {
    const NAME: HeadError = HeadError::Malformed("header name is not a token");
    let mut line = at;
    loop {
        let rest = text.get(line..).unwrap_or(&[]);
        if let [b'\r', b'\n', ..] = rest {
            // The empty line does not count.
            return match line - at > bounds.fields {
                true => Err(HeadError::TooLarge("too many bytes")),
                false => Ok(line + 2),
            };
        }
        if headers.len() == bounds.count {
            return Err(HeadError::TooLarge("too many fields"));
        }
        // Should this line have none, what is before the next one's is no name either.
        let colon = find_byte(rest, b':').ok_or(NAME)?;
        let name = &rest[..colon];
        let id = HeaderId::of(name);
        if id.is_none() {
            check_name(name).map_err(|_| NAME)?;
        }
        let start = skip_spaces(rest, colon + 1);
        let end = start + line_end(&rest[start..])?;
        let trimmed = start + trimmed_len(&rest[start..end]);
        let is_line = start == colon + 2 && rest[colon + 1] == b' ' && trimmed == end;
        let span = |from, to| Span::at(line + from..line + to);
        headers.adopt_ahead(id, span(0, colon), span(start, trimmed), is_line);
        line += end + 2;
    }
}

/// Where the CRLF is that ends this text, which has no other control byte but the tab.
#[inline(always)]
pub(super) fn line_end(text: &[u8]) -> Result<usize, HeadError> {
    let end = find_control(text).unwrap_or(text.len());
    match text.get(end..) {
        Some([b'\r', b'\n', ..]) => Ok(end),
        Some([b'\r', ..]) => Err(HeadError::Malformed("CR without LF")),
        _ => Err(HeadError::Malformed("a line has a control character")),
    }
}

/// Where the value begins.
#[inline]
fn skip_spaces(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = line.get(at) {
        at += 1;
    }
    at
}

/// How long the text is without spaces at its end.
#[inline]
fn trimmed_len(text: &[u8]) -> usize {
    let mut len = text.len();
    while let Some(b' ' | b'\t') = text.get(len.wrapping_sub(1)) {
        len -= 1;
    }
    len
}
