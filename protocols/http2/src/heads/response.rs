//! Response heads (RFC 9113 §8.3.2).

use ringgate_core::{BodyLength, HeaderId, HeaderSet, Headers, ResponseHead};

use super::section::{self, Pseudo, Reader};
use super::{Bounds, Failure, fields};
use crate::hpack::{Decoder, Encoder};
use crate::websocket;

/// Fields of a WebSocket handshake that HTTP/2 does without (RFC 8441 §5).
const HANDSHAKE: HeaderSet = HeaderSet::of(&[HeaderId::SecWebSocketAccept]);

/// Writes a final or an interim head, with the length of its body where that is told.
pub(crate) fn outgoing(
    encoder: &mut Encoder,
    head: &ResponseHead,
    length: Option<u64>,
    switches: bool,
    out: &mut Vec<u8>,
) {
    let (status, but) = match switches {
        true => (200, HANDSHAKE),
        false => (head.status, HeaderSet::EMPTY),
    };
    encoder.begin(out);
    encoder.status(status, out);
    fields::write(encoder, &head.headers, but, length, out);
}

/// A head as it came.
#[derive(Debug)]
pub(crate) struct ResponseBlock {
    pub(crate) head: ResponseHead,
    /// Bytes of content that have to follow, where that is known (RFC 9113 §8.1.1).
    pub(crate) content: Option<u64>,
}

#[derive(Default)]
struct Response {
    status: Option<u16>,
}

impl Reader for Response {
    const TRIMMED: bool = false;

    fn pseudo(&mut self, _: &mut Headers, name: Pseudo, value: &[u8]) -> Result<(), &'static str> {
        let (Pseudo::Status, [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'], None) =
            (name, value, self.status)
        else {
            return Err("a status that is none");
        };
        let [a, b, c] = [a, b, c].map(|digit| u16::from(*digit - b'0'));
        self.status = Some(a * 100 + b * 10 + c);
        Ok(())
    }

    fn keeps(&mut self, _: &mut Headers, _: Option<HeaderId>, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

/// Reads a head; `end`: no body follows; `to_head`: the request is a HEAD, whose answer tells what
/// there would be.
pub(crate) fn read(
    decoder: &mut Decoder,
    block: &[u8],
    end: bool,
    to_head: bool,
    bounds: Bounds,
) -> Result<ResponseBlock, Failure> {
    let mut head = ResponseHead::new(0);
    let mut response = Response::default();
    let length = section::read(decoder, block, bounds, &mut head.headers, &mut response)?;
    let status = response.status.ok_or(Failure::Malformed("no status"))?;
    head.set_status(status);
    head.body = match (status, length) {
        (..200 | 204, _) => BodyLength::Empty,
        // Also where none is sent: a HEAD's or a 304's answer tells what there would be.
        (_, Some(length)) => BodyLength::Exact(length),
        (304, None) => BodyLength::Empty,
        (_, None) if end && !to_head => BodyLength::Empty,
        (_, None) => BodyLength::Unknown,
    };
    let content = match status {
        204 | 304 => Some(0),
        _ if to_head => Some(0),
        _ => length,
    };
    Ok(ResponseBlock { head, content })
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
