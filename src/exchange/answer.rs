//! The one place that turns a [`Fault`] into what the client sees.
//!
//! The text for outside is APISIX's where it has one, and never holds the fault's detail: that is
//! for the log.

use ringgate_core::{Code, Fault, HeaderId, ResponseHead};
use ringgate_grpc::Status;
use serde_json::Value;

use crate::plugin::Reply;

/// Bytes of a refusal that are looked at for its message.
const MESSAGE_MAX: usize = 4096;

/// Body of APISIX's answer where no route matches.
pub const ROUTE_NOT_FOUND: &str = "404 Route Not Found";

/// The status that a fault means; `None`: nobody is there to get one, or the connection just ends.
pub fn status(code: Code) -> Option<u16> {
    Some(match code {
        Code::BadRequest | Code::ClientCertificate => 400,
        Code::UriTooLong => 414,
        Code::HeadersTooLarge => 431,
        Code::BodyTooLarge => 413,
        Code::HeaderTimeout | Code::BodyTimeout => 408,
        Code::Misdirected => 421,
        Code::SendTimeout
        | Code::IdleTimeout
        | Code::ClientGone
        | Code::HandshakeFailed
        | Code::Excessive => return None,
        Code::NoService => 404,
        Code::VersionUnsupported => 505,
        Code::NotImplemented => 501,
        Code::ExpectationFailed => 417,
        Code::ConnectFailed
        | Code::UpstreamClosed
        | Code::UpstreamInvalid
        | Code::UpstreamTls
        | Code::UpstreamRefused => 502,
        Code::ConnectTimeout
        | Code::UpstreamSendTimeout
        | Code::UpstreamReadTimeout
        | Code::DeadlineExceeded => 504,
        Code::NoNode | Code::UpstreamBusy | Code::Overloaded | Code::ShuttingDown => 503,
        Code::Plugin | Code::Internal => 500,
    })
}

/// The text for outside.
fn text(code: Code) -> &'static str {
    match code {
        Code::BadRequest => "400 Bad Request",
        // APISIX's words, for which its users look.
        Code::ClientCertificate => "400 client certificate was not present",
        Code::Misdirected => "421 Misdirected Request",
        Code::UriTooLong => "414 Request-URI Too Large",
        Code::HeadersTooLarge => "431 Request Header Fields Too Large",
        Code::BodyTooLarge => "413 Request Entity Too Large",
        Code::HeaderTimeout | Code::BodyTimeout => "408 Request Time-out",
        Code::NoService => "404 Not Found",
        Code::VersionUnsupported => "505 HTTP Version Not Supported",
        Code::NotImplemented => "501 Not Implemented",
        Code::ExpectationFailed => "417 Expectation Failed",
        Code::ConnectFailed
        | Code::UpstreamClosed
        | Code::UpstreamInvalid
        | Code::UpstreamTls
        | Code::UpstreamRefused => "502 Bad Gateway",
        Code::ConnectTimeout
        | Code::UpstreamSendTimeout
        | Code::UpstreamReadTimeout
        | Code::DeadlineExceeded => "504 Gateway Time-out",
        Code::NoNode => "503 no valid upstream node",
        Code::UpstreamBusy | Code::Overloaded | Code::ShuttingDown => {
            "503 Service Temporarily Unavailable"
        }
        Code::Plugin
        | Code::Internal
        | Code::SendTimeout
        | Code::IdleTimeout
        | Code::ClientGone
        | Code::HandshakeFailed
        | Code::Excessive => "500 Internal Server Error",
    }
}

/// What a fault means to a gRPC client. Where the fault has a status of HTTP that gRPC's
/// `http-grpc-status-mapping.md` knows, it is that mapping's, as with Envoy, so that a client sees
/// the same whether the gateway or something behind it could not go on; the others say in gRPC's
/// terms what happened.
pub fn grpc(code: Code) -> Status {
    match code {
        // The one code that says more than its status.
        Code::ClientCertificate => Status::Unauthenticated,
        Code::DeadlineExceeded => Status::DeadlineExceeded,
        Code::UriTooLong | Code::HeadersTooLarge | Code::BodyTooLarge => Status::ResourceExhausted,
        Code::NotImplemented | Code::VersionUnsupported => Status::Unimplemented,
        Code::HeaderTimeout
        | Code::BodyTimeout
        | Code::SendTimeout
        | Code::IdleTimeout
        | Code::ClientGone => Status::Cancelled,
        Code::Plugin | Code::Internal => Status::Internal,
        other => status(other).map_or(Status::Unavailable, Status::from_http),
    }
}

/// The message that goes with [`grpc()`]: the text for outside, without the number of HTTP.
pub fn grpc_message(code: Code) -> &'static str {
    match code {
        Code::DeadlineExceeded => "Deadline Exceeded",
        code => text(code).split_once(' ').map_or("", |(_, words)| words),
    }
}

/// An answer of HTTP in gRPC's terms. A fault is told as [`grpc()`] says; of any other answer the
/// status means what gRPC's mapping says (so a limit's refusal, 429 or 503, is `UNAVAILABLE`), and
/// its text is the message.
pub fn in_grpc(head: &ResponseHead, body: &[u8], fault: Option<Code>) -> (Status, String) {
    if let Some(code) = fault {
        return (grpc(code), grpc_message(code).to_owned());
    }
    let reason = || String::from_utf8_lossy(head.reason()).into_owned();
    (Status::from_http(head.status), message(head, body).unwrap_or_else(reason))
}

/// The text of a refusal: `error_msg` or `message` of an object, or a plain text.
fn message(head: &ResponseHead, body: &[u8]) -> Option<String> {
    if body.is_empty() || body.len() > MESSAGE_MAX {
        return None;
    }
    if let Ok(Value::Object(object)) = serde_json::from_slice(body) {
        let said = ["error_msg", "message"].iter().find_map(|key| object.get(*key)?.as_str());
        return said.map(str::to_owned);
    }
    let media_type = head.headers.get(HeaderId::ContentType).unwrap_or_default();
    let plain = media_type.is_empty() || media_type.starts_with(b"text/plain");
    let text = std::str::from_utf8(body).ok().map(str::trim);
    text.filter(|text| plain && !text.is_empty()).map(str::to_owned)
}

/// The answer to a fault before a head was sent; `None`: the connection just ends.
pub fn reply(fault: &Fault) -> Option<Reply> {
    Some(Reply::error(status(fault.code)?, text(fault.code)))
}

/// The answer to `OPTIONS *`.
pub fn options() -> Reply {
    let mut reply = Reply::status(200);
    // Our own text.
    let _ = reply.head.headers.append(b"Allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
    reply
}

/// The answer where no route matches.
pub fn route_not_found() -> Reply {
    Reply::error(404, ROUTE_NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_begin_with_their_status() {
        for code in Code::ALL {
            if let Some(status) = status(*code) {
                assert!(text(*code).starts_with(&status.to_string()), "{}", code.name());
            }
        }
    }

    #[test]
    fn details_stay_inside() {
        let reply = reply(&Fault::new(Code::Internal, "secret")).unwrap();
        assert!(!format!("{reply:?}").contains("secret"));
    }
}
