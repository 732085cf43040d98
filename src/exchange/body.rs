//! Bodies that do not come from a connection: local replies, buffered ones.

use std::future::poll_fn;

use bytes::Bytes;
use ringgate_core::{Chunk, Code, Fault, Frame, Receive};

use crate::plugin::ReplyBody;

/// A body that is here already, or comes from a plugin's source.
pub(super) struct LocalBody(ReplyBody);

impl LocalBody {
    pub(super) fn new(body: ReplyBody) -> LocalBody {
        LocalBody(body)
    }

    pub(super) fn whole(bytes: Bytes) -> LocalBody {
        match bytes.is_empty() {
            true => LocalBody(ReplyBody::Empty),
            false => LocalBody(ReplyBody::Whole(Chunk::from(bytes))),
        }
    }
}

impl Receive for LocalBody {
    async fn frame(&mut self) -> Result<Frame, Fault> {
        match &mut self.0 {
            ReplyBody::Stream(source) => {
                let frame = poll_fn(|task| source.poll_frame(task)).await?;
                if !matches!(frame, Frame::Data(_)) {
                    self.0 = ReplyBody::Empty;
                }
                Ok(frame)
            }
            whole => match std::mem::replace(whole, ReplyBody::Empty) {
                ReplyBody::Whole(chunk) if !chunk.is_empty() => Ok(Frame::Data(chunk)),
                _ => Ok(Frame::End),
            },
        }
    }

    fn consumed(&mut self, _bytes: usize) {}

    fn is_ready(&self) -> bool {
        !matches!(self.0, ReplyBody::Stream(_))
    }
}

/// Reads a body whole. Trailers are dropped: what is sent on has a length of its own.
pub(super) async fn collect(
    body: &mut impl Receive,
    max: usize,
    too_large: Code,
) -> Result<Bytes, Fault> {
    let mut whole = Vec::new();
    loop {
        match body.frame().await? {
            Frame::Data(chunk) => {
                if whole.len() + chunk.len() > max {
                    let detail = format!("a body above {max} bytes, which a plugin buffers");
                    return Err(Fault::new(too_large, detail));
                }
                whole.extend_from_slice(chunk.bytes());
                body.consumed(chunk.len());
            }
            Frame::Trailers(_) | Frame::End => return Ok(Bytes::from(whole)),
        }
    }
}
