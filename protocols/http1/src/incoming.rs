//! A body on its way in, without I/O: which of the bytes that came are data.

use ringgate_core::{Chunk, Frame, HUGE, Headers, MEDIUM, ReadIo};

use crate::chunked::Decoder;
use crate::fault;
use crate::input::Input;
use crate::parse;
use crate::scan::HeadError;

/// How the body ends.
#[derive(Debug)]
enum Ending {
    /// It has.
    Done,
    /// After so many bytes.
    Exact(u64),
    /// With its last chunk.
    Chunked(Decoder),
    /// With the stream.
    Stream,
}

/// The body under way.
#[derive(Debug)]
pub(crate) struct Incoming {
    ending: Ending,
    trailers: Option<Headers>,
    trailer_count: usize,
    /// Capacity of the next buffer.
    stage: usize,
    received: u64,
}

impl Incoming {
    fn new(ending: Ending) -> Incoming {
        Incoming { ending, trailers: None, trailer_count: 0, stage: MEDIUM, received: 0 }
    }

    pub(crate) fn none() -> Incoming {
        Incoming::new(Ending::Done)
    }

    pub(crate) fn exact(length: u64) -> Incoming {
        Incoming::new(if length == 0 { Ending::Done } else { Ending::Exact(length) })
    }

    pub(crate) fn chunked(trailer_bytes: usize, trailer_count: usize) -> Incoming {
        let ending = Ending::Chunked(Decoder::new(trailer_bytes));
        Incoming { trailer_count, ..Incoming::new(ending) }
    }

    pub(crate) fn stream() -> Incoming {
        Incoming::new(Ending::Stream)
    }

    /// Trusts the sender with large buffers from the start.
    #[must_use]
    pub(crate) fn eager(mut self) -> Incoming {
        if let Ending::Exact(length) = self.ending {
            self.stage = length.min(HUGE as u64) as usize;
        }
        self
    }

    /// Whether all of it was read; trailers may still have to be handed out.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.ending, Ending::Done)
    }

    /// How many bytes are known to be missing.
    pub(crate) fn remaining(&self) -> Option<u64> {
        match &self.ending {
            Ending::Done => Some(0),
            Ending::Exact(remaining) => Some(*remaining),
            _ => None,
        }
    }

    /// Bytes of data so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The capacity that the next buffer should have: it grows fourfold while buffers come full,
    /// and shrinks again when they do not.
    pub(crate) fn capacity(&self) -> usize {
        match self.ending {
            Ending::Exact(remaining) => (self.stage as u64).min(remaining) as usize,
            _ => self.stage,
        }
    }

    /// Learns from a receive of `n` bytes.
    pub(crate) fn grow(&mut self, n: usize, filled: bool) {
        if filled {
            self.stage = (self.stage * 4).min(HUGE);
        } else if n < self.stage / 16 {
            self.stage = (self.stage / 4).max(MEDIUM);
        }
    }

    /// The next frame, out of what is there. `None`: more has to come.
    pub(crate) fn next<R: ReadIo + 'static>(
        &mut self,
        input: &mut Input<R>,
    ) -> Result<Option<Frame>, HeadError> {
        let there = input.bytes().len();
        let taken = match &mut self.ending {
            Ending::Done => {
                return Ok(Some(self.trailers.take().map_or(Frame::End, Frame::Trailers)));
            }
            _ if there == 0 => return Ok(None),
            Ending::Exact(remaining) => {
                let n = usize::try_from(*remaining).map_or(there, |rest| rest.min(there));
                *remaining -= n as u64;
                if *remaining == 0 {
                    self.ending = Ending::Done;
                }
                input.take(0..n, n)
            }
            Ending::Stream => input.take(0..there, there),
            Ending::Chunked(decoder) => {
                let decoded =
                    input.edit(|bytes| decoder.decode(bytes)).map_err(fault::of_chunks)?;
                if decoder.is_done() {
                    if !decoder.trailers().is_empty() {
                        self.trailers =
                            Some(parse::trailers(decoder.trailers(), self.trailer_count)?);
                    }
                    self.ending = Ending::Done;
                }
                if decoded.data.is_empty() {
                    input.consume(decoded.used);
                    None
                } else {
                    input.take(decoded.data, decoded.used)
                }
            }
        };
        match taken {
            Some(chunk) => {
                self.received += chunk.len() as u64;
                Ok(Some(Frame::Data(chunk)))
            }
            None if self.is_read() => {
                Ok(Some(self.trailers.take().map_or(Frame::End, Frame::Trailers)))
            }
            None => Ok(None),
        }
    }

    /// The stream ended. Whether the body may end with it.
    pub(crate) fn end(&mut self) -> bool {
        let whole = matches!(self.ending, Ending::Done | Ending::Stream);
        self.ending = Ending::Done;
        whole
    }

    /// Whether the next frame can be made of what is there; mostly true where it is.
    pub(crate) fn is_ready<R: ReadIo + 'static>(&self, input: &Input<R>) -> bool {
        self.is_read() || !input.bytes().is_empty()
    }
}

/// A chunk of text that is always the same.
pub(crate) fn fixed(text: &'static str) -> Chunk {
    Chunk::from(text)
}
