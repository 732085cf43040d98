//! DATA that comes (RFC 9113 §6.1), who reads it, and the credit for it (§6.9), which goes back when
//! the other side took it.

use std::task::{Context, Poll};

use ringgate_core::Chunk;

use super::ending::Standing;
use super::heads::BEHIND_THE_END;
use super::stream::{self, Received, wake};
use super::{CONNECTION_WINDOW, End, Engine, STREAM_WINDOW};
use crate::code::{Breach, ErrorCode};
use crate::frame::{self, FrameHead, flag};

/// A frame with less than this in it is a small one.
const SMALL_FRAME: u32 = 64;
/// Small frames that may wait for who reads. They are joined, so they cost little room, but each
/// costs work.
const SMALL_FRAMES: u32 = 16 * 1024;

/// A frame of DATA, of which the payload is to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload {
    stream: u32,
    /// Bytes that are still to come, padding too.
    left: u32,
    pad: u32,
    /// How long the padding is, is still to come.
    pad_due: bool,
    end: bool,
    /// It is for nobody.
    passed_over: bool,
}

impl Engine {
    /// The header of a frame of DATA came.
    pub(super) fn data(&mut self, head: &FrameHead) -> Result<(), Breach> {
        let FrameHead { stream: id, length, .. } = *head;
        if id == 0 {
            return Err(Breach::protocol("DATA on stream 0"));
        }
        let mut payload = Payload {
            stream: id,
            left: length,
            pad: 0,
            pad_due: head.has(flag::PADDED),
            end: head.has(flag::END_STREAM),
            passed_over: false,
        };
        if payload.pad_due && length == 0 {
            return Err(PADDING);
        }
        self.window -= i64::from(length);
        if self.window < 0 {
            return Err(OVERRUN);
        }
        match self.standing(id) {
            Standing::Idle => return Err(Breach::protocol("DATA on an idle stream")),
            Standing::Gone => return Err(BEHIND_THE_END),
            Standing::Late => {
                payload.passed_over = true;
                if payload.end {
                    self.late.retain(|late| *late != id);
                }
            }
            Standing::Live => payload.passed_over = !self.takes_data(id, length)?,
        }
        match payload.pad_due {
            true => self.reader.payload = Some(payload),
            false => self.data_begins(payload)?,
        }
        Ok(())
    }

    /// Whether a stream takes DATA; where it does not, the frame is passed over.
    fn takes_data(&mut self, id: u32, length: u32) -> Result<bool, Breach> {
        let is_server = self.is_server();
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(false);
        };
        match stream.over {
            Some(End::Reset(_)) if is_server => return Err(BEHIND_THE_END),
            Some(_) => return Ok(false),
            None if stream.ended => return Err(BEHIND_THE_END),
            None => {}
        }
        if !is_server && !stream.headed {
            self.stream_error(id, Breach::protocol("DATA before a head"))?;
            return Ok(false);
        }
        stream.window -= i64::from(length);
        match stream.window < 0 {
            true => Err(OVERRUN),
            false => Ok(true),
        }
    }

    /// How much of the frame is data is known now.
    fn data_begins(&mut self, mut payload: Payload) -> Result<(), Breach> {
        let data = payload.left - payload.pad;
        if data == 0 && !payload.end {
            self.flood.empty_data()?;
        }
        if !payload.passed_over
            && let Some(stream) = self.streams.get_mut(payload.stream)
        {
            if data < SMALL_FRAME && !payload.end {
                stream.small += 1;
                if stream.small > SMALL_FRAMES {
                    return Err(Breach::excessive("too many small DATA frames"));
                }
            }
            // RFC 9113 §8.1.1.
            let wrong = match &mut stream.expected {
                Some(left) if u64::from(data) > *left => Some("a body above its length"),
                Some(left) => {
                    *left -= u64::from(data);
                    (payload.end && *left > 0).then_some("a body below its length")
                }
                None => None,
            };
            if let Some(what) = wrong {
                payload.passed_over = true;
                self.stream_error(payload.stream, Breach::protocol(what))?;
            }
        }
        let at_once = if payload.passed_over { payload.left } else { payload.pad };
        self.refund(payload.stream, at_once);
        self.goes_on_or_ends(payload);
        Ok(())
    }

    fn goes_on_or_ends(&mut self, payload: Payload) {
        if payload.left > 0 {
            self.reader.payload = Some(payload);
            return;
        }
        if payload.end
            && !payload.passed_over
            && let Some(stream) = self.streams.get_mut(payload.stream)
        {
            stream.ended = true;
            wake(&mut stream.reader);
            self.settle(payload.stream);
        }
    }

    /// More of the payload came.
    pub(super) fn data_goes_on(
        &mut self,
        chunk: &mut Chunk,
        capacity: usize,
    ) -> Result<(), Breach> {
        let Some(mut payload) = self.reader.payload.take() else {
            return Ok(());
        };
        if payload.pad_due {
            payload.pad_due = false;
            payload.pad = u32::from(chunk.bytes()[0]);
            payload.left -= 1;
            chunk.advance(1);
            if payload.pad > payload.left {
                return Err(PADDING);
            }
            self.refund(payload.stream, 1);
            return self.data_begins(payload);
        }
        let count = match payload.left - payload.pad {
            0 => chunk.len().min(payload.pad as usize),
            data => {
                let count = chunk.len().min(data as usize);
                if !payload.passed_over {
                    self.deliver(payload.stream, chunk, count, capacity);
                }
                count
            }
        };
        if payload.left == payload.pad {
            payload.pad -= count as u32;
        }
        payload.left -= count as u32;
        chunk.advance(count);
        self.goes_on_or_ends(payload);
        Ok(())
    }

    /// Adds the first `count` bytes to what came on a stream.
    fn deliver(&mut self, id: u32, chunk: &Chunk, count: usize, capacity: usize) {
        let taken = match self.streams.get_mut(id) {
            Some(stream) if stream.over.is_none() && !stream.unread => stream,
            // Nobody will return the credit.
            _ => {
                self.refund(id, count as u32);
                return;
            }
        };
        taken.owed += count;
        // A slice keeps all of its buffer, so a small one is copied.
        if count * 4 >= capacity {
            let piece = chunk.clone().split_to(count);
            taken.received.push_back(Received::Data(piece));
        } else {
            let bytes = &chunk.bytes()[..count];
            let joined = match taken.received.back_mut() {
                Some(Received::Data(last)) => last.append(bytes),
                _ => false,
            };
            if !joined {
                taken.received.push_back(Received::Data(Chunk::copy_of(bytes)));
            }
        }
        wake(&mut taken.reader);
    }

    /// The next of what came; `None`: it has ended.
    pub(crate) fn poll_read(
        &mut self,
        id: u32,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Received>, End>> {
        let Some(stream) = self.streams.get_mut(id) else {
            return Poll::Ready(Err(End::Closed));
        };
        if let Some(received) = stream.received.pop_front() {
            if stream.received.is_empty() {
                stream.small = 0;
            }
            return Poll::Ready(Ok(Some(received)));
        }
        match stream.over {
            _ if stream.ended => Poll::Ready(Ok(None)),
            Some(end) => Poll::Ready(Err(end)),
            None => {
                stream::wait(&mut stream.reader, cx);
                Poll::Pending
            }
        }
    }

    /// Whether there is something to read.
    pub(crate) fn is_readable(&self, id: u32) -> bool {
        self.streams.get(id).is_none_or(|stream| {
            !stream.received.is_empty() || stream.ended || stream.over.is_some()
        })
    }

    /// So much of what came was taken by the other side.
    pub(crate) fn consumed(&mut self, id: u32, bytes: usize) {
        if let Some(stream) = self.streams.get_mut(id) {
            let bytes = bytes.min(stream.owed);
            stream.owed -= bytes;
            if self.refund(id, bytes as u32) {
                self.touch();
            }
        }
    }

    /// Returns credit; the peer is told at half a window. Whether it was.
    pub(super) fn refund(&mut self, id: u32, bytes: u32) -> bool {
        let mut told = false;
        self.credit += bytes;
        self.window += i64::from(bytes);
        if self.credit >= CONNECTION_WINDOW / 2 {
            let credit = std::mem::take(&mut self.credit);
            frame::window_update(self.out.buffer(16), 0, credit);
            told = true;
        }
        if let Some(stream) = self.streams.get_mut(id)
            && !stream.ended
            && stream.over.is_none()
            && !stream.unread
        {
            stream.credit += bytes;
            stream.window += i64::from(bytes);
            if stream.credit >= STREAM_WINDOW / 2 {
                let credit = std::mem::take(&mut stream.credit);
                frame::window_update(self.out.buffer(16), id, credit);
                told = true;
            }
        }
        told
    }
}

const PADDING: Breach = Breach::protocol("DATA with more padding than payload");
const OVERRUN: Breach = Breach::new(ErrorCode::FLOW_CONTROL_ERROR, "DATA above the window");
