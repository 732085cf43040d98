//! Heads: httparse for the syntax, and on top of it every check that it leaves out. A head is
//! copied once, into the arena of its [`Headers`]; all texts are spans of that copy.

mod authority;
mod framing;
mod request;
mod response;
mod target;
mod trailers;

use std::mem::MaybeUninit;

use httparse::Header;
use ringgate_core::{Headers, Span};

pub(crate) use request::{ParsedRequest, request};
pub(crate) use response::{ParsedResponse, ResponseBody, response};
pub(crate) use trailers::trailers;

use crate::scan::HeadError;

/// Fields that fit without an allocation.
const FIELDS: usize = 64;

/// Lends room for so many parsed fields.
fn with_fields<'b, T>(count: usize, parse: impl FnOnce(&mut [MaybeUninit<Header<'b>>]) -> T) -> T {
    if count <= FIELDS {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        parse(&mut fields[..count])
    } else {
        parse(&mut vec![MaybeUninit::uninit(); count])
    }
}

/// Where a part of `whole` lies in the arena, whose copy of `whole` is `copy`.
fn span_of(whole: &[u8], copy: Span, part: &[u8]) -> Span {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    copy.part(start, start + part.len())
}

/// Takes the parsed fields of `whole` over; httparse has checked names and values byte by byte.
fn adopt(headers: &mut Headers, whole: &[u8], copy: Span, fields: &[Header<'_>]) {
    for field in fields {
        let name = span_of(whole, copy, field.name.as_bytes());
        headers.adopt(name, span_of(whole, copy, field.value));
    }
}

/// The elements of a comma-separated list, without the spaces around them and without empty ones
/// (RFC 9110 §5.6.1).
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

fn syntax(error: httparse::Error) -> HeadError {
    HeadError::Malformed(match error {
        httparse::Error::HeaderName => "header name is not a token",
        httparse::Error::HeaderValue => "header value has a control character",
        httparse::Error::NewLine => "CR without LF",
        httparse::Error::Status => "status line is malformed",
        httparse::Error::Token => "request line is malformed",
        httparse::Error::TooManyHeaders => "more fields than lines",
        httparse::Error::Version => "HTTP version is malformed",
    })
}
