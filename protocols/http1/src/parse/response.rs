//! Response heads (RFC 9112 §4, §6.3).

use std::ops::Range;

use ringgate_core::{BodyLength, HeaderId, ResponseHead, Span};

use crate::scan::{Bounds, HeadError};

use super::framing::Framing;
use super::{elements, fields};

/// How the body of a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseBody {
    None,
    Exact(u64),
    Chunked,
    /// With the connection.
    Close,
    /// It is no longer HTTP: 101.
    Raw,
}

/// A response's head, and what of it concerns the connection.
#[derive(Debug)]
pub(crate) struct ParsedResponse {
    pub(crate) head: ResponseHead,
    pub(crate) body: ResponseBody,
    /// The connection can be used again after the body.
    pub(crate) keep_alive: bool,
}

/// Parses the head that `bytes` begin with; it, and where it ends. `to_head`: it answers a HEAD
/// request.
pub(crate) fn response(
    bytes: &[u8],
    to_head: bool,
    bounds: &Bounds,
) -> Result<(ParsedResponse, usize), HeadError> {
    let Line { status, modern, reason, end: line } = line(bytes)?;
    if line > bounds.line + 2 {
        return Err(HeadError::LineTooLong);
    }
    let mut head = ResponseHead::new(status);
    let end = fields::adopt(&mut head.headers, bytes, line, bounds)?;
    // Spans are ranges of `bytes` from here on.
    head.headers.intern(&bytes[..end]);
    head.set_reason_span(Span::at(reason));
    Ok((finish(head, modern, to_head)?, end))
}

/// A status line, taken apart.
struct Line {
    status: u16,
    modern: bool,
    reason: Range<usize>,
    /// Behind its CRLF.
    end: usize,
}

/// `HTTP-version SP status-code SP [ reason-phrase ] CRLF`; also without the second space, as some
/// write it where there is no reason.
fn line(bytes: &[u8]) -> Result<Line, HeadError> {
    const MALFORMED: HeadError = HeadError::Malformed("status line is malformed");
    let [
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        b'1',
        b'.',
        minor @ (b'0' | b'1'),
        b' ',
        hundreds @ b'1'..=b'9',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
        rest @ ..,
    ] = bytes
    else {
        return Err(MALFORMED);
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    let status = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
    let start = match rest {
        [b' ', ..] => bytes.len() - rest.len() + 1,
        [b'\r', b'\n', ..] => bytes.len() - rest.len(),
        _ => return Err(MALFORMED),
    };
    let reason = start..start + fields::line_end(&bytes[start..])?;
    Ok(Line { status, modern: *minor == b'1', end: reason.end + 2, reason })
}

fn finish(
    mut head: ResponseHead,
    modern: bool,
    to_head: bool,
) -> Result<ParsedResponse, HeadError> {
    let mut framing = Framing::default();
    let mut close = false;
    let mut keep_alive = false;
    let values = |id| head.headers.values(id);
    for value in values(HeaderId::ContentLength) {
        framing.content_length(value)?;
    }
    for value in values(HeaderId::TransferEncoding) {
        if !modern {
            return Err(HeadError::Malformed("transfer-encoding in HTTP/1.0"));
        }
        framing.transfer_encoding(value)?;
    }
    for option in values(HeaderId::Connection).flat_map(elements) {
        close |= option.eq_ignore_ascii_case(b"close");
        keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    let told = framing.length()?;
    let bodiless = head.status < 200 || head.status == 204;
    if bodiless && told == Some(None) {
        return Err(HeadError::Malformed("transfer-encoding where no body can be"));
    }
    let body = match (head.status, told) {
        (101, _) => ResponseBody::Raw,
        _ if to_head || bodiless || head.status == 304 => ResponseBody::None,
        (_, Some(None)) => ResponseBody::Chunked,
        (_, Some(Some(length))) => ResponseBody::Exact(length),
        (_, None) => ResponseBody::Close,
    };
    head.body = match told {
        // Also where none is sent: a HEAD's or a 304's answer tells what there would be.
        Some(Some(length)) if !bodiless => BodyLength::Exact(length),
        _ if bodiless || head.status == 304 => BodyLength::Empty,
        _ => BodyLength::Unknown,
    };
    // A length where there is no body: if bytes follow after all, they must not be the next
    // answer (RFC 9110 §8.6 forbids it; `0` is common and harmless).
    let untrue = bodiless && matches!(told, Some(Some(1..)));
    Ok(ParsedResponse {
        keep_alive: !close
            && !untrue
            && (modern || keep_alive)
            && !matches!(body, ResponseBody::Close | ResponseBody::Raw),
        head,
        body,
    })
}
