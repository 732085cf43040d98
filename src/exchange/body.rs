//! Bodies that do not come from a connection: local replies, buffered ones.

use std::future::poll_fn;

use bytes::Bytes;
use ringgate_core::{Chunk, Code, Fault, Frame, Headers, Receive};

use crate::plugin::ReplyBody;

/// A body that is here already, or comes from a plugin's source.
pub(super) struct LocalBody {
    body: ReplyBody,
    trailers: Option<Headers>,
}

impl LocalBody {
    pub(super) fn new(body: ReplyBody) -> LocalBody {
        LocalBody { body, trailers: None }
    }

    pub(super) fn whole(bytes: Bytes) -> LocalBody {
        LocalBody::new(match bytes.is_empty() {
            true => ReplyBody::Empty,
            false => ReplyBody::Whole(Chunk::from(bytes)),
        })
    }

    /// With trailers behind it.
    pub(super) fn with_trailers(self, trailers: Option<Headers>) -> LocalBody {
        LocalBody { trailers, ..self }
    }

    /// Its bytes, where they are here already.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.body {
            ReplyBody::Whole(chunk) => chunk.bytes(),
            _ => &[],
        }
    }
}

impl Receive for LocalBody {
    async fn frame(&mut self) -> Result<Frame, Fault> {
        match &mut self.body {
            ReplyBody::Stream(source) => {
                let frame = poll_fn(|task| source.poll_frame(task)).await?;
                if !matches!(frame, Frame::Data(_)) {
                    self.body = ReplyBody::Empty;
                }
                Ok(frame)
            }
            whole => match std::mem::replace(whole, ReplyBody::Empty) {
                ReplyBody::Whole(chunk) if !chunk.is_empty() => Ok(Frame::Data(chunk)),
                _ => Ok(self.trailers.take().map_or(Frame::End, Frame::Trailers)),
            },
        }
    }

    fn consumed(&mut self, _bytes: usize) {}

    fn is_ready(&self) -> bool {
        !matches!(self.body, ReplyBody::Stream(_))
    }
}

/// Reads a body whole, with the trailers behind it.
pub(super) async fn collect(
    body: &mut impl Receive,
    max: usize,
    too_large: Code,
) -> Result<(Bytes, Option<Headers>), Fault> {
    let mut whole = Vec::new();
    loop {
        match body.frame().await? {
            Frame::Data(chunk) => {
                if whole.len() + chunk.len() > max {
                    let detail = format!("a body above {max} bytes, which is to be whole");
                    return Err(Fault::new(too_large, detail));
                }
                whole.extend_from_slice(chunk.bytes());
                body.consumed(chunk.len());
            }
            Frame::Trailers(trailers) => return Ok((Bytes::from(whole), Some(trailers))),
            Frame::End => return Ok((Bytes::from(whole), None)),
        }
    }
}
