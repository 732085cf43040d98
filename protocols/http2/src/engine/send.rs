//! What goes: heads are written at once where there is room, data is handed over to its stream and
//! gathered in the order of [`Schedule`](super::schedule::Schedule) as far as windows let it.

use std::task::{Context, Poll};

use ringgate_core::{Chunk, Headers, RequestHead, ResponseHead, Scheme};

use super::stream::{self, Stream, wake};
use super::{End, Engine, STREAM_WINDOW};
use crate::frame::{self, HEAD, STREAM_MOST};
use crate::heads;
use crate::priority::Priority;

/// What a stream may have handed over that waits, so that the task need not take each piece by
/// itself, and so that what ends the body goes with the last of it.
pub(crate) const PARKED: usize = 16 * 1024;
/// Pieces smaller than this are joined.
const PIECE: usize = 1024;
/// Room that a head mostly needs.
const HEAD_ROOM: usize = 512;

impl Engine {
    /// Whether there is room for a head; if not, `cx` is woken when there is.
    pub(crate) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.out.room() > 0 || self.over.is_some() {
            return Poll::Ready(());
        }
        self.wait(cx);
        Poll::Pending
    }

    /// Opens a stream for a request; `None`: there are no numbers left. To be called where there is
    /// room for another stream ([`Engine::room`]).
    pub(crate) fn open(
        &mut self,
        head: &RequestHead,
        scheme: Scheme,
        end: bool,
        to_head: bool,
    ) -> Option<u32> {
        let id = if self.highest == 0 { 1 } else { self.highest + 2 };
        if id > STREAM_MOST {
            self.give_up();
            return None;
        }
        self.highest = id;
        let stream = Stream {
            handles: 2,
            counted: true,
            to_head,
            window: i64::from(STREAM_WINDOW),
            send_window: i64::from(self.peer.window),
            sent: end,
            ..Stream::default()
        };
        self.streams.insert(id, stream);
        let most = self.max_frame();
        let encoder = &mut self.encoder;
        frame::header_block(self.out.buffer(HEAD_ROOM), id, end, most, |out| {
            heads::outgoing_request(encoder, head, scheme, end, out);
        });
        self.touch();
        Some(id)
    }

    /// Sends a head of an answer, final or not.
    pub(crate) fn answer(
        &mut self,
        id: u32,
        head: &ResponseHead,
        length: Option<u64>,
        switches: bool,
        end: bool,
    ) -> Result<(), End> {
        self.open_stream(id)?;
        let most = self.max_frame();
        let encoder = &mut self.encoder;
        frame::header_block(self.out.buffer(HEAD_ROOM), id, end, most, |out| {
            heads::outgoing_response(encoder, head, length, switches, out);
        });
        if end {
            self.was_sent(id);
        }
        self.touch();
        Ok(())
    }

    /// Ends a body with trailers. To be called where all of it is gathered.
    pub(crate) fn trail(&mut self, id: u32, trailers: &Headers) -> Result<(), End> {
        self.open_stream(id)?;
        let most = self.max_frame();
        let encoder = &mut self.encoder;
        frame::header_block(self.out.buffer(HEAD_ROOM), id, true, most, |out| {
            heads::outgoing_trailers(encoder, trailers, out);
        });
        self.was_sent(id);
        self.touch();
        Ok(())
    }

    /// Says how soon a stream gets to send.
    pub(crate) fn prioritize(&mut self, id: u32, priority: Priority) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.priority = priority;
        }
    }

    /// Hands data over to a stream.
    pub(crate) fn hand_over(&mut self, id: u32, chunk: Chunk) -> Result<(), End> {
        let stream = self.open_stream(id)?;
        stream.queued += chunk.len();
        match stream.queue.back_mut() {
            // Each keeps all of its buffer.
            Some(last) if chunk.len() < PIECE => {
                if !last.append(chunk.bytes()) {
                    stream.queue.push_back(Chunk::copy_of(chunk.bytes()));
                }
            }
            _ => stream.queue.push_back(chunk),
        }
        self.line_up(id);
        self.touch();
        Ok(())
    }

    /// Ends a body.
    pub(crate) fn finish(&mut self, id: u32) -> Result<(), End> {
        let stream = self.open_stream(id)?;
        stream.ending = true;
        if stream.queued == 0 {
            frame::data_head(self.out.buffer(HEAD), id, 0, true);
            self.was_sent(id);
        } else {
            // Mostly it can go, and nobody has to wait for that.
            self.pump();
        }
        self.touch();
        Ok(())
    }

    /// Returns when no more than `most` of what was handed over waits; the end only when all is
    /// gathered.
    pub(crate) fn poll_sent(
        &mut self,
        id: u32,
        most: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<(), End>> {
        self.has_run(id);
        let Some(stream) = self.streams.get_mut(id) else {
            return Poll::Ready(Err(End::Closed));
        };
        match stream.over {
            _ if stream.sent => Poll::Ready(Ok(())),
            Some(end) => Poll::Ready(Err(end)),
            None if stream.queued <= most && !stream.ending => Poll::Ready(Ok(())),
            None => {
                stream::wait(&mut stream.writer, cx);
                Poll::Pending
            }
        }
    }

    /// Why nothing can be sent on a stream any more, where that is so before its end.
    pub(crate) fn stopped(&self, id: u32) -> Result<(), End> {
        match self.streams.get(id) {
            Some(stream) if !stream.sent => stream.over.map_or(Ok(()), Err),
            _ => Ok(()),
        }
    }

    /// The writer of a stream has run since it was told that there is room, or will not any more.
    pub(crate) fn has_run(&mut self, id: u32) {
        if self.schedule.answered(id) {
            self.touch();
        }
    }

    /// Counts what went of a stream, so that a wait knows of it.
    pub(crate) fn steps(&self, id: u32) -> u32 {
        self.streams.get(id).map_or(0, |stream| stream.steps)
    }

    /// A stream that can still send.
    fn open_stream(&mut self, id: u32) -> Result<&mut Stream, End> {
        let over = self.over;
        match self.streams.get_mut(id) {
            Some(stream) => match stream.over {
                Some(end) => Err(end),
                None if stream.sent => Err(End::Closed),
                None => Ok(stream),
            },
            None => Err(over.unwrap_or(End::Closed)),
        }
    }

    /// Gives a stream its place among those that have data to send and a window for it.
    pub(super) fn line_up(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(id)
            && stream.rank.is_none()
            && stream.queued > 0
            && stream.send_window > 0
            && stream.over.is_none()
        {
            stream.rank = Some(self.schedule.enter(id, stream.priority));
        }
    }

    /// Gathers data as long as there is any, room, and a window.
    pub(crate) fn pump(&mut self) {
        while self.send_window > 0
            && self.out.room() > PIECE
            && let Some(id) = self.schedule.next()
        {
            self.gather(id);
        }
    }

    /// One frame of DATA.
    fn gather(&mut self, id: u32) {
        let room = (self.out.room() - HEAD).min(self.max_frame());
        let window = usize::try_from(self.send_window).unwrap_or(0);
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let Some(rank) = stream.rank.take() else {
            return;
        };
        self.schedule.leave(rank);
        let own = usize::try_from(stream.send_window).unwrap_or(0);
        let length = stream.queued.min(own).min(window).min(room);
        if length == 0 {
            return;
        }
        let ends = stream.ending && length == stream.queued;
        let out = self.out.buffer(HEAD + length);
        frame::data_head(out, id, length, ends);
        let mut left = length;
        while left > 0
            && let Some(chunk) = stream.queue.front_mut()
        {
            let taken = left.min(chunk.len());
            out.extend_from_slice(&chunk.bytes()[..taken]);
            chunk.advance(taken);
            left -= taken;
            if chunk.is_empty() {
                stream.queue.pop_front();
            }
        }
        stream.queued -= length;
        stream.send_window -= length as i64;
        stream.steps = stream.steps.wrapping_add(1);
        if stream.queued <= PARKED && stream.writer.is_some() {
            wake(&mut stream.writer);
            if !stream.ending {
                self.schedule.call(id, rank);
            }
        }
        self.send_window -= length as i64;
        self.flood.sends(length);
        match ends {
            true => self.was_sent(id),
            false => self.line_up(id),
        }
    }
}
