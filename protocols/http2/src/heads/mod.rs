//! Heads and trailers between header blocks and what the gateway has, without anything in between:
//! fields are checked while they are decoded, as strictly as in HTTP/1.1, and go where they stay.

mod fields;
mod names;
mod request;
mod response;
mod section;
mod trailers;

pub(crate) use request::{
    ParsedRequest, RequestBlock, outgoing as outgoing_request, read as read_request,
};
pub(crate) use response::{
    ResponseBlock, outgoing as outgoing_response, read as read_response, switch,
};
pub(crate) use trailers::{outgoing as outgoing_trailers, read as read_trailers};

use ringgate_core::Fault;

/// Bounds on a header section.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes, as SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113 §6.5.2).
    pub(crate) bytes: usize,
    /// Fields.
    pub(crate) count: usize,
}

/// Why a header block is not taken.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot be decoded: the connection ends (RFC 9113 §4.3).
    Undecoded,
    /// So much comes out of it that it can only be meant to: the connection ends.
    Unfolds,
    /// Malformed: the stream ends (RFC 9113 §8.1.1).
    Malformed(&'static str),
    /// The sender is there to hear why not.
    Refused(Fault),
}
