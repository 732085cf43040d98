//! Where a gRPC call is more than a request: its deadline, and how its client is told of errors.

use std::time::Duration;

use super::answer;
use super::body::LocalBody;
use super::phases::{self, Chains, Frames};
use crate::plugin::{Cx, Direction, Outcome, ReplyBody};
use ringgate_core::{
    BodyLength, Code, Fault, Frame, HeaderId, RequestHead, Respond, ResponseHead, Version,
};

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
    let (status, message) = answer::in_grpc(head, body.bytes(), outcome.fault);
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

/// Ends an answer that was begun with trailers that tell the fault, through the plugins that look
/// at frames: they may tell it in another way. `false`: nobody can, and the client has to see a
/// reset.
pub(super) async fn end<S: Respond>(
    fault: &Fault,
    request: &RequestHead,
    client: &mut S,
    chains: Chains<'_>,
    cx: &mut Cx<'_>,
) -> bool {
    let framed = matches!(request.version, Version::Http2 | Version::Http3);
    // A deadline may have cut a send short, and only frames survive that.
    if !ringgate_grpc::is_grpc_request(request)
        || fault.code == Code::ClientGone
        || (fault.code == Code::DeadlineExceeded && !framed)
    {
        return false;
    }
    let status = answer::grpc(fault.code);
    let trailers = ringgate_grpc::trailers(status, answer::grpc_message(fault.code));
    let (mut frames, last) = (Frames::new(), Frame::Trailers(trailers));
    let told = phases::frame(chains, request, Direction::Response, last, &mut frames, cx).await;
    // HTTP/1.1 has trailers too, but a client of gRPC over it has nobody who reads them.
    let bare = frames.iter().any(|frame| matches!(frame, Frame::Trailers(_))) && !framed;
    if told.is_err() || frames.is_empty() || bare {
        return false;
    }
    for frame in frames {
        if client.send(frame).await.is_err() {
            return false;
        }
    }
    cx.outcome.grpc_status = Some(status);
    client.flush().await.is_ok()
}

#[cfg(test)]
mod tests;
