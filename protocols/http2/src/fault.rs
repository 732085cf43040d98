//! What an error of a stream or a connection is, by whose it is.

use std::io;

use h2::Reason;
use ringgate_core::{Code, Fault, Retry};

use crate::outgoing::Stop;

/// A client's byte stream.
pub(crate) fn of_client_io(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::TimedOut => Fault::new(Code::SendTimeout, "client took no byte"),
        _ => Fault::new(Code::ClientGone, error.to_string()),
    }
}

/// A client's connection.
pub(crate) fn of_client(error: &h2::Error) -> Fault {
    match error.get_io() {
        Some(error) => of_client_io(error),
        None if error.is_remote() => Fault::new(Code::ClientGone, error.to_string()),
        None if error.reason() == Some(Reason::ENHANCE_YOUR_CALM) => {
            Fault::new(Code::Excessive, error.to_string())
        }
        None if error.is_library() => Fault::bad_request(error.to_string()),
        None => Fault::new(Code::Internal, error.to_string()),
    }
}

/// What a client sends on a stream. An error of the whole connection is told by the connection:
/// once, however many streams end with it.
pub(crate) fn of_client_body(error: &h2::Error) -> Fault {
    if error.is_go_away() && !error.is_remote() {
        return Fault::new(Code::ClientGone, format!("its connection was ended: {error}"))
            .on_stream();
    }
    of_client(error).on_stream()
}

/// What is sent to a client on a stream.
pub(crate) fn of_client_send(stop: &Stop) -> Fault {
    match stop {
        Stop::Reset(reason) => Fault::new(Code::ClientGone, format!("reset: {reason}")),
        Stop::Broken(error) => of_client_body(error),
        Stop::TimedOut => Fault::new(Code::SendTimeout, "client opened no window"),
        stop => misuse("answer", stop),
    }
    .on_stream()
}

/// What is sent to a node on a stream.
pub(crate) fn of_upstream_send(stop: &Stop) -> Fault {
    match stop {
        Stop::Reset(reason) => of_reason(*reason),
        Stop::Broken(error) => of_upstream(error),
        Stop::TimedOut => Fault::new(Code::UpstreamSendTimeout, "node opened no window"),
        stop => misuse("request", stop),
    }
}

/// A node's byte stream.
pub(crate) fn of_upstream_io(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::TimedOut => Fault::new(Code::UpstreamSendTimeout, "node took no byte"),
        _ => Fault::new(Code::UpstreamClosed, error.to_string()),
    }
}

/// A node's stream or connection.
pub(crate) fn of_upstream(error: &h2::Error) -> Fault {
    match (error.get_io(), error.reason()) {
        (Some(error), _) => of_upstream_io(error),
        (None, Some(reason)) if error.is_reset() && error.is_remote() => of_reason(reason),
        (None, Some(_)) if error.is_library() => {
            Fault::new(Code::UpstreamInvalid, error.to_string())
        }
        _ => Fault::new(Code::UpstreamClosed, error.to_string()),
    }
}

/// A node's reset.
fn of_reason(reason: Reason) -> Fault {
    match reason {
        // RFC 9113 §8.7: nothing of it was acted on.
        Reason::REFUSED_STREAM => {
            Fault::new(Code::UpstreamRefused, "node refused the stream").retry(Retry::Yes)
        }
        reason => Fault::new(Code::UpstreamClosed, format!("node reset the stream: {reason}")),
    }
    .on_stream()
}

fn misuse(what: &str, stop: &Stop) -> Fault {
    let how = match stop {
        Stop::TooMuch => "is longer than it said",
        Stop::TooLittle => "is shorter than it said",
        _ => "goes on behind its end",
    };
    Fault::new(Code::Internal, format!("{what} {how}"))
}

/// What a client's stream is reset with.
pub(crate) fn reset_reason(fault: &Fault) -> Reason {
    match fault.code {
        Code::BadRequest => Reason::PROTOCOL_ERROR,
        Code::Excessive => Reason::ENHANCE_YOUR_CALM,
        Code::ClientGone
        | Code::SendTimeout
        | Code::IdleTimeout
        | Code::HeaderTimeout
        | Code::BodyTimeout => Reason::CANCEL,
        _ => Reason::INTERNAL_ERROR,
    }
}
