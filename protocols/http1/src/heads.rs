//! Heads without a connection, for tools, tests and benchmarks.

use ringgate_core::{BodyLength, Chunk, Code, Fault, Limits, RequestHead, ResponseHead, Scheme};

use crate::encode::{self, Persistence, Told};
use crate::scan::Bounds;
use crate::{fault, parse};

/// Parses a request's head, which stands whole at the start of `bytes`, within the default limits.
pub fn request(bytes: &[u8]) -> Result<RequestHead, Fault> {
    parse::request(bytes, Scheme::Http, &Bounds::from(&Limits::default()))
        .map(|(parsed, _)| parsed.head)
        .map_err(fault::of_request)
}

/// Parses a response's head, which stands whole at the start of `bytes`, within the default
/// limits.
pub fn response(bytes: &[u8]) -> Result<ResponseHead, Fault> {
    parse::response(bytes, false, &Bounds::from(&Limits::default()))
        .map(|(parsed, _)| parsed.head)
        .map_err(fault::of_response)
}

/// Writes a request's head, as a node gets it.
pub fn write_request(head: &RequestHead) -> Result<Chunk, Fault> {
    encode::request(head, encode::request_length(head.method, head.body, false))
        .ok_or_else(|| Fault::new(Code::Internal, "request line cannot be written"))
}

/// Writes a response's head, as a client gets it.
pub fn write_response(head: &ResponseHead) -> Chunk {
    let told = match head.body {
        BodyLength::Empty => Told::Nothing,
        BodyLength::Exact(length) => Told::Length(length),
        BodyLength::Unknown => Told::Chunked,
    };
    encode::response(head, told, Persistence::Unsaid)
}
