//! What the end of a stream or a connection is, by whose it is.

use std::io;

use ringgate_core::{Code, Fault, Retry};

use crate::code::{Breach, ErrorCode};
use crate::engine::End;
use crate::outgoing::Stop;

/// A client's byte stream.
fn of_client_io(kind: io::ErrorKind) -> Fault {
    match kind {
        io::ErrorKind::TimedOut => Fault::new(Code::SendTimeout, "client took no byte"),
        _ => Fault::new(Code::ClientGone, kind.to_string()),
    }
}

fn of_client_breach(breach: Breach) -> Fault {
    match breach.code {
        ErrorCode::ENHANCE_YOUR_CALM => Fault::new(Code::Excessive, breach.what),
        _ => Fault::bad_request(breach.to_string()),
    }
}

/// A client's connection.
pub(crate) fn of_client(end: End) -> Fault {
    match end {
        End::Io(kind) => of_client_io(kind),
        End::Breach(breach) | End::Connection(breach) => of_client_breach(breach),
        End::Reset(code) | End::Left(code) => {
            Fault::new(Code::ClientGone, format!("reset: {code}"))
        }
        End::Closed => Fault::new(Code::ClientGone, "closed"),
    }
}

/// What a client sends on a stream. An error of the whole connection is told by the connection:
/// once, however many streams end with it.
pub(crate) fn of_client_body(end: End) -> Fault {
    match end {
        End::Connection(breach) => {
            Fault::new(Code::ClientGone, format!("its connection was ended: {breach}"))
        }
        end => of_client(end),
    }
    .on_stream()
}

/// What is sent to a client on a stream. One that breaks a rule meanwhile gets no answer: why, the
/// reset has told.
pub(crate) fn of_client_send(stop: &Stop) -> Fault {
    match stop {
        Stop::Over(End::Breach(breach)) => Fault::new(Code::ClientGone, format!("reset: {breach}")),
        Stop::Over(end) => of_client_body(*end),
        Stop::TimedOut => Fault::new(Code::SendTimeout, "client opened no window"),
        stop => misuse("answer", stop),
    }
    .on_stream()
}

/// What is sent to a node on a stream.
pub(crate) fn of_upstream_send(stop: &Stop) -> Fault {
    match stop {
        Stop::Over(end) => of_upstream(*end),
        Stop::TimedOut => Fault::new(Code::UpstreamSendTimeout, "node opened no window"),
        stop => misuse("request", stop),
    }
}

/// A node's stream or connection.
pub(crate) fn of_upstream(end: End) -> Fault {
    match end {
        End::Io(io::ErrorKind::TimedOut) => {
            Fault::new(Code::UpstreamSendTimeout, "node took no byte")
        }
        End::Io(kind) => Fault::new(Code::UpstreamClosed, kind.to_string()),
        End::Reset(code) => of_reset(code),
        End::Breach(breach) | End::Connection(breach) => {
            Fault::new(Code::UpstreamInvalid, breach.to_string())
        }
        End::Left(code) => Fault::new(Code::UpstreamClosed, format!("given up: {code}")),
        End::Closed => Fault::new(Code::UpstreamClosed, "node closed the connection"),
    }
}

/// A node's reset.
fn of_reset(code: ErrorCode) -> Fault {
    match code {
        // RFC 9113 §8.7: nothing of it was acted on.
        ErrorCode::REFUSED_STREAM => {
            Fault::new(Code::UpstreamRefused, "node refused the stream").retry(Retry::Yes)
        }
        code => Fault::new(Code::UpstreamClosed, format!("node reset the stream: {code}")),
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
pub(crate) fn reset_code(fault: &Fault) -> ErrorCode {
    match fault.code {
        Code::BadRequest => ErrorCode::PROTOCOL_ERROR,
        Code::Excessive => ErrorCode::ENHANCE_YOUR_CALM,
        Code::ClientGone
        | Code::SendTimeout
        | Code::IdleTimeout
        | Code::HeaderTimeout
        | Code::BodyTimeout => ErrorCode::CANCEL,
        _ => ErrorCode::INTERNAL_ERROR,
    }
}
