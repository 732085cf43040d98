//! Response heads (RFC 9112 §4, §6.3).

use httparse::Status;
use ringgate_core::{BodyLength, HeaderId, ResponseHead};

use crate::scan::HeadError;

use super::framing::Framing;
use super::{adopt, elements, span_of, syntax, with_fields};

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

/// Parses a whole head of so many fields; `to_head`: it answers a HEAD request.
pub(crate) fn response(
    bytes: &[u8],
    fields: usize,
    to_head: bool,
) -> Result<ParsedResponse, HeadError> {
    with_fields(fields, |room| {
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut parsed, bytes, room) {
            Ok(Status::Complete(end)) if end == bytes.len() => {}
            Ok(_) => return Err(HeadError::Malformed("head has a line that is none")),
            Err(error) => return Err(syntax(error)),
        }
        let (Some(status @ 100..), Some(minor)) = (parsed.code, parsed.version) else {
            return Err(HeadError::Malformed("status line is malformed"));
        };
        let mut head = ResponseHead::new(status);
        let copy = head.headers.intern(bytes);
        adopt(&mut head.headers, bytes, copy, parsed.headers);
        head.set_reason_span(span_of(bytes, copy, reason(bytes)));
        finish(head, minor == 1, to_head)
    })
}

/// The reason phrase; httparse has checked its bytes but gives it only where it is ASCII.
fn reason(bytes: &[u8]) -> &[u8] {
    const BEFORE: usize = "HTTP/1.1 200 ".len();
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or(&[]);
    line.get(BEFORE..).unwrap_or(&[])
}

fn finish(
    mut head: ResponseHead,
    modern: bool,
    to_head: bool,
) -> Result<ParsedResponse, HeadError> {
    let mut framing = Framing::default();
    let mut close = false;
    let mut keep_alive = false;
    for (id, _, value) in head.headers.iter_known() {
        match id {
            Some(HeaderId::ContentLength) => framing.content_length(value)?,
            Some(HeaderId::TransferEncoding) if !modern => {
                return Err(HeadError::Malformed("transfer-encoding in HTTP/1.0"));
            }
            Some(HeaderId::TransferEncoding) => framing.transfer_encoding(value)?,
            Some(HeaderId::Connection) => {
                for option in elements(value) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            _ => {}
        }
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
