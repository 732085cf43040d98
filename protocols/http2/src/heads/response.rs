//! Response heads (RFC 9113 §8.3.2).

use http::{HeaderMap, Response, StatusCode};
use ringgate_core::{BodyLength, HeaderId, HeaderSet, Headers, ResponseHead};

use super::fields;
use crate::websocket;

/// Fields of a WebSocket handshake that HTTP/2 does without (RFC 8441 §5).
const HANDSHAKE: HeaderSet = HeaderSet::of(&[HeaderId::SecWebSocketAccept]);

/// A final head to send, with the length of its body where that is told.
pub(crate) fn outgoing(head: &ResponseHead, length: Option<u64>, switches: bool) -> Response<()> {
    let mut response = Response::new(());
    let (status, but) = match switches {
        true => (200, HANDSHAKE),
        false => (head.status, HeaderSet::EMPTY),
    };
    // Statuses have three digits here.
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = fields::outgoing(&head.headers, but, length);
    response
}

/// An interim head to send.
pub(crate) fn interim(head: &ResponseHead) -> Response<()> {
    outgoing(head, None, false)
}

/// Takes a head over; `end`: no body follows; `to_head`: the request is a HEAD, whose answer tells
/// what there would be. `None`: a field is none.
pub(crate) fn incoming(
    status: StatusCode,
    map: &HeaderMap,
    end: bool,
    to_head: bool,
    most: usize,
) -> Option<ResponseHead> {
    let mut head = ResponseHead::new(status.as_u16());
    if map.len() > most {
        return None;
    }
    // h2 lets no field through that is for an HTTP/1.1 connection.
    fields::adopt(&mut head.headers, map, |_| true).ok()?;
    head.body = match (status.as_u16(), fields::content_length(map)) {
        (..200 | 204, _) => BodyLength::Empty,
        // Also where none is sent: a HEAD's or a 304's answer tells what there would be.
        (_, Some(length)) => BodyLength::Exact(length),
        (304, None) => BodyLength::Empty,
        (_, None) if end && !to_head => BodyLength::Empty,
        (_, None) => BodyLength::Unknown,
    };
    Some(head)
}

/// Makes the answer to an extended CONNECT what it would be in HTTP/1.1: a 101 that fits `key`.
pub(crate) fn switch(head: &mut ResponseHead, key: Option<&[u8]>) {
    head.set_status(101);
    head.body = BodyLength::Empty;
    let set = |headers: &mut Headers, name: &[u8], value: &[u8]| {
        // Our own text.
        let _ = headers.set(name, value);
    };
    set(&mut head.headers, b"upgrade", websocket::PROTOCOL);
    if let Some(key) = key {
        set(&mut head.headers, b"sec-websocket-accept", websocket::accept(key).as_bytes());
    }
}
