//! Where a gRPC call is more than a request: its deadline, and how its client is told of errors.

use std::time::Duration;

use ringgate_core::{
    BodyLength, Code, Fault, Frame, HeaderId, RequestHead, Respond, ResponseHead, Version,
};
use ringgate_grpc::Status;
use serde_json::Value;

use super::answer;
use super::body::LocalBody;
use crate::plugin::{Cx, Outcome, ReplyBody};

/// Bytes of a refusal that are looked at for its message.
const TEXT_MAX: usize = 4096;

/// How long the client waits for its call. What a plugin made a call of counts too: it is the
/// request as it goes to the node.
pub(super) fn deadline(request: &RequestHead) -> Option<Duration> {
    match ringgate_grpc::is_grpc_request(request) {
        true => ringgate_grpc::deadline(&request.headers),
        false => None,
    }
}

/// Ends a call that is not done in time; the stream to the node goes with it.
pub(super) async fn within(
    left: Duration,
    call: impl Future<Output = Result<(), Fault>>,
) -> Result<(), Fault> {
    let late =
        || Fault::new(Code::DeadlineExceeded, "not done within its grpc-timeout").on_stream();
    if left.is_zero() {
        return Err(late());
    }
    ringgate_io::within(left, call).await.unwrap_or_else(|_| Err(late()))
}

/// Makes a refusal one that gRPC knows: 200, the status in the head, no body
/// (`doc/PROTOCOL-HTTP2.md`, *Trailers-Only*). Other fields stay (a challenge, what is left of a
/// quota). What is below 300, or a call's answer already, is left alone.
pub(super) fn trailers_only(head: &mut ResponseHead, body: &mut LocalBody, outcome: &mut Outcome) {
    let content_type = head.headers.get(HeaderId::ContentType);
    if head.status < 300 || content_type.is_some_and(ringgate_grpc::is_grpc) {
        return;
    }
    let (status, message) = told(head, body.bytes(), outcome.fault);
    ringgate_grpc::set_status(&mut head.headers, status, &message);
    head.set_status(200);
    // Our own text.
    let _ = head.headers.set(b"Content-Type", b"application/grpc");
    for name in [&b"content-length"[..], b"content-encoding", b"transfer-encoding"] {
        head.headers.remove(name);
    }
    head.body = BodyLength::Empty;
    *body = LocalBody::new(ReplyBody::Empty);
    outcome.grpc_status = Some(status);
}

/// Status and message of a refusal: of a fault what [`answer`] says, of a plugin's reply what its
/// status of HTTP means and what its text says.
fn told(head: &ResponseHead, body: &[u8], fault: Option<Code>) -> (Status, String) {
    if let Some(code) = fault {
        return (answer::grpc(code), answer::grpc_message(code).to_owned());
    }
    let reason = || String::from_utf8_lossy(head.reason()).into_owned();
    (Status::from_http(head.status), message(head, body).unwrap_or_else(reason))
}

/// The text of a refusal: `error_msg` or `message` of an object, or a plain text.
fn message(head: &ResponseHead, body: &[u8]) -> Option<String> {
    if body.is_empty() || body.len() > TEXT_MAX {
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

/// Ends an answer that was begun with trailers that tell the fault; `false`: it cannot, and the
/// client has to see a reset.
pub(super) async fn end<S: Respond>(
    fault: &Fault,
    request: &RequestHead,
    client: &mut S,
    cx: &mut Cx<'_>,
) -> bool {
    // HTTP/1.1 has trailers too, but a client of gRPC over it has nobody who reads them.
    if !matches!(request.version, Version::Http2 | Version::Http3) || fault.code == Code::ClientGone
    {
        return false;
    }
    let status = answer::grpc(fault.code);
    let trailers = ringgate_grpc::trailers(status, answer::grpc_message(fault.code));
    if client.send(Frame::Trailers(trailers)).await.is_err() || client.flush().await.is_err() {
        return false;
    }
    cx.outcome.grpc_status = Some(status);
    true
}

#[cfg(test)]
mod tests;
