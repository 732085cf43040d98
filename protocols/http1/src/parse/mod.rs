//! Heads, byte by byte by the grammar, and every check that goes beyond it. A head is copied once,
//! into the arena of its [`ringgate_core::Headers`]; all texts are spans of that copy.

mod fields;
mod framing;
mod request;
mod response;
mod target;
mod trailers;

pub(crate) use request::{ParsedRequest, request};
pub(crate) use response::{ParsedResponse, ResponseBody, response};
pub(crate) use trailers::trailers;

/// The elements of a comma-separated list, without the spaces around them and without empty ones
/// (RFC 9110 §5.6.1).
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}
