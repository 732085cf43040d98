//! What an error of a head, a body or the stream is, by whose it is.

use std::io;

use ringgate_core::{Code, Fault};

use crate::chunked::ChunkError;
use crate::scan::HeadError;

/// A request head's.
pub(crate) fn of_request(error: HeadError) -> Fault {
    match error {
        HeadError::Malformed(detail) => Fault::bad_request(detail),
        HeadError::LineTooLong => Fault::new(Code::UriTooLong, "request line above its limit"),
        HeadError::TooLarge(detail) => Fault::new(Code::HeadersTooLarge, detail),
        HeadError::Version => Fault::new(Code::VersionUnsupported, "HTTP version"),
        HeadError::NotImplemented(detail) => Fault::new(Code::NotImplemented, detail),
        HeadError::Expectation => Fault::new(Code::ExpectationFailed, "expectation"),
    }
}

/// A response head's.
pub(crate) fn of_response(error: HeadError) -> Fault {
    let detail = match error {
        HeadError::Malformed(detail)
        | HeadError::TooLarge(detail)
        | HeadError::NotImplemented(detail) => detail,
        HeadError::LineTooLong => "status line above its limit",
        HeadError::Version => "HTTP version",
        HeadError::Expectation => "expectation",
    };
    Fault::new(Code::UpstreamInvalid, detail)
}

/// A chunked body's, as a head's.
pub(crate) fn of_chunks(error: ChunkError) -> HeadError {
    match error {
        ChunkError::Malformed(detail) => HeadError::Malformed(detail),
        ChunkError::TrailersTooLarge => HeadError::TooLarge("trailers above their limit"),
    }
}

fn timed_out(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

/// A failed send to the client.
pub(crate) fn of_client_send(error: &io::Error) -> Fault {
    match timed_out(error) {
        true => Fault::new(Code::SendTimeout, "client took no byte"),
        false => Fault::new(Code::ClientGone, format!("send: {error}")),
    }
}

/// A failed send to the node.
pub(crate) fn of_upstream_send(error: &io::Error) -> Fault {
    match timed_out(error) {
        true => Fault::new(Code::UpstreamSendTimeout, "node took no byte"),
        false => Fault::new(Code::UpstreamClosed, format!("send: {error}")),
    }
}

/// A failed receive from the node.
pub(crate) fn of_upstream_recv(error: &io::Error) -> Fault {
    match timed_out(error) {
        true => Fault::new(Code::UpstreamReadTimeout, "node sent no byte"),
        false => Fault::new(Code::UpstreamClosed, format!("receive: {error}")),
    }
}
