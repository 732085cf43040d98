//! A body on its way in.

use std::task::{Context, Poll, ready};

use h2::RecvStream;
use ringgate_core::{Chunk, Code, Frame};

use crate::heads;

/// Why a body cannot go on.
#[derive(Debug)]
pub(crate) enum Error {
    /// The stream or its connection ended.
    H2(h2::Error),
    /// Its trailers cannot be taken.
    Trailers(Code),
}

/// The next frame; trailers have `most` fields.
pub(crate) fn poll_frame(
    recv: &mut RecvStream,
    cx: &mut Context<'_>,
    most: usize,
) -> Poll<Result<Frame, Error>> {
    loop {
        match ready!(recv.poll_data(cx)) {
            Some(Ok(bytes)) if bytes.is_empty() => {}
            Some(Ok(bytes)) => return Poll::Ready(Ok(Frame::Data(Chunk::from(bytes)))),
            Some(Err(error)) => return Poll::Ready(Err(Error::H2(error))),
            None => break,
        }
    }
    Poll::Ready(match ready!(recv.poll_trailers(cx)) {
        Ok(Some(map)) => match heads::incoming_trailers(&map, most) {
            Ok(trailers) => Ok(Frame::Trailers(trailers)),
            Err(code) => Err(Error::Trailers(code)),
        },
        Ok(None) => Ok(Frame::End),
        Err(error) => Err(Error::H2(error)),
    })
}
