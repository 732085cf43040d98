//! How streams and connections end: resets (RFC 9113 §5.4, §6.4), going away (§6.8), halves that are
//! dropped.

use std::task::{Context, Poll};
use std::time::Instant;

use super::stream::{self, wake};
use super::{End, Engine, GoAway};
use crate::code::{Breach, ErrorCode};
use crate::frame::{self, STREAM_MOST};

/// Streams that were reset here and are remembered: more than a peer can have had on its way when it
/// learnt of it.
const LATE: usize = 256;
/// The PING behind the first GOAWAY of a drain.
const LEAVING: [u8; 8] = *b"ringgate";

/// Whether the connection takes further streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Leaving {
    #[default]
    No,
    /// The peer was told that it ends; which stream is the last is still to be said, when all that
    /// was on its way has come (RFC 9113 §6.8).
    Told(Instant),
    /// Streams above the highest are passed over.
    Final(Instant),
}

/// What the number of a stream means now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was never opened.
    Idle,
    Live,
    /// What comes on it is to be passed over.
    Late,
    /// It has ended.
    Gone,
}

/// One of the two halves of a stream that tasks hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Reading,
    Writing,
}

impl Engine {
    pub(super) fn standing(&self, id: u32) -> Standing {
        let is_ours = self.is_server();
        if id == 0 || id.is_multiple_of(2) {
            return Standing::Idle;
        }
        if id > self.highest {
            return match self.leaving {
                Leaving::Final(_) if is_ours => Standing::Late,
                _ => Standing::Idle,
            };
        }
        if self.streams.get(id).is_some() {
            return Standing::Live;
        }
        // A node's late frames do no harm, whatever became of their streams.
        match !is_ours || id <= self.forgotten || self.late.contains(&id) {
            true => Standing::Late,
            false => Standing::Gone,
        }
    }

    /// Frames may still come on a stream that was reset here.
    fn comes_late(&mut self, id: u32) {
        if !self.is_server() {
            return;
        }
        if self.late.len() == LATE
            && let Some(oldest) = self.late.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
        self.late.push_back(id);
    }

    fn write_reset(&mut self, id: u32, code: ErrorCode) {
        frame::reset(self.out.buffer(16), id, code);
        self.touch();
    }

    /// A request that is not taken and not answered either.
    pub(super) fn turn_away(&mut self, id: u32, end: bool, code: ErrorCode) -> Result<(), Breach> {
        self.write_reset(id, code);
        if !end {
            self.comes_late(id);
        }
        self.flood.provoked()
    }

    /// The peer broke a rule on a stream, which ends (RFC 9113 §5.4.2). Too many of these end the
    /// connection.
    pub(super) fn stream_error(&mut self, id: u32, breach: Breach) -> Result<(), Breach> {
        let Some(stream) = self.streams.get(id).filter(|stream| !stream.is_closed()) else {
            return Ok(());
        };
        if !stream.ended {
            self.comes_late(id);
        }
        self.write_reset(id, breach.code);
        self.end_stream(id, End::Breach(breach));
        self.flood.provoked()
    }

    /// Gives a stream up.
    pub(crate) fn reset(&mut self, id: u32, code: ErrorCode) {
        let Some(stream) = self.streams.get(id).filter(|stream| !stream.is_closed()) else {
            return;
        };
        if !stream.ended {
            self.comes_late(id);
        }
        self.write_reset(id, code);
        self.end_stream(id, End::Left(code));
    }

    /// A stream is over before its time.
    pub(super) fn end_stream(&mut self, id: u32, end: End) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        if !stream.is_closed() {
            stream.over = Some(end);
            stream.queue.clear();
            stream.queued = 0;
            if let Some(rank) = stream.rank.take() {
                self.schedule.leave(rank);
            }
            stream.wake_all();
        }
        self.settle(id);
    }

    /// Our direction of a stream has ended.
    pub(super) fn was_sent(&mut self, id: u32) {
        let is_server = self.is_server();
        if let Some(stream) = self.streams.get_mut(id) {
            stream.sent = true;
            wake(&mut stream.writer);
            if stream.handles == 0 && !stream.ended && stream.over.is_none() {
                return self.reset(id, unread_code(is_server));
            }
        }
        self.settle(id);
    }

    /// Drops a stream that has ended and that nobody holds.
    pub(super) fn settle(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| stream.is_closed()) else {
            return;
        };
        let (is_held, was_counted) = (stream.handles > 0, std::mem::take(&mut stream.counted));
        self.streams.open -= u32::from(was_counted);
        if !is_held {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: u32) {
        self.served = true;
        self.streams.remove(id);
        self.wake_waiting();
        let leaves = self.leaving != Leaving::No || self.away.is_some() || self.users == 0;
        if leaves && self.streams.len() == 0 {
            // It is what the task has waited for, to end the connection.
            self.call();
        }
    }

    /// A half of a stream is dropped; with the last one, what is left of the stream is given up.
    pub(crate) fn release(&mut self, id: u32, half: Half) {
        let is_server = self.is_server();
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        stream.handles = stream.handles.saturating_sub(1);
        let handles = stream.handles;
        if half == Half::Reading {
            stream.received.clear();
            stream.unread = true;
            let owed = std::mem::take(&mut stream.owed);
            if self.refund(id, owed as u32) {
                self.touch();
            }
        }
        let Some(stream) = self.streams.get(id) else {
            return;
        };
        if handles > 0 {
            return;
        }
        match stream.over {
            None if stream.sent && !stream.ended => self.reset(id, unread_code(is_server)),
            // It is whole, and leaves when windows let it.
            None if stream.ending && !stream.sent => {}
            None if !stream.is_closed() => self.reset(id, ErrorCode::CANCEL),
            _ => self.settle(id),
        }
    }

    /// Returns when a stream is over before its time.
    pub(crate) fn poll_gone(&mut self, id: u32, cx: &Context<'_>) -> Poll<End> {
        let Some(stream) = self.streams.get_mut(id) else {
            return Poll::Ready(End::Closed);
        };
        if let Some(end) = stream.over {
            return Poll::Ready(end);
        }
        stream::wait(&mut stream.watcher, cx);
        Poll::Pending
    }

    /// The peer broke a rule of the connection (RFC 9113 §5.4.1).
    pub(crate) fn breach(&mut self, breach: Breach) {
        if self.over.is_none() {
            let last = if self.is_server() { self.highest } else { 0 };
            frame::go_away(self.out.buffer(32), last, breach.code);
            self.end(End::Connection(breach));
        }
    }

    /// The connection is over; all its streams learn it.
    pub(crate) fn end(&mut self, end: End) {
        if self.over.is_some() {
            return;
        }
        self.over = Some(end);
        self.block = None;
        self.due_since = None;
        while let Some(accepted) = self.accepted.pop_front() {
            // Nobody has looked at it.
            self.streams.remove(accepted.stream);
        }
        for id in self.streams.ids() {
            self.end_stream(id, end);
        }
        self.wake_waiting();
        self.call();
    }

    /// No further stream is taken: says so, and waits for what is on its way.
    pub(crate) fn drain(&mut self) {
        if self.leaving == Leaving::No && self.over.is_none() {
            self.leaving = Leaving::Told(Instant::now());
            let out = self.out.buffer(64);
            frame::go_away(out, STREAM_MOST, ErrorCode::NO_ERROR);
            frame::ping(out, false, &LEAVING);
            self.call();
        }
    }

    /// A PING was answered.
    pub(super) fn was_answered(&mut self, payload: &[u8]) {
        if payload == LEAVING
            && let Leaving::Told(_) = self.leaving
        {
            self.leave();
        }
    }

    /// Says which stream is the last. A client's is none.
    pub(crate) fn leave(&mut self) {
        let since = match self.leaving {
            Leaving::Final(_) => return,
            Leaving::Told(since) => since,
            Leaving::No => Instant::now(),
        };
        self.leaving = Leaving::Final(since);
        let last = if self.is_server() { self.highest } else { 0 };
        frame::go_away(self.out.buffer(32), last, ErrorCode::NO_ERROR);
        self.call();
    }

    /// Nobody is left to open a stream.
    pub(crate) fn abandon(&mut self) {
        self.users = 0;
        self.call();
    }

    /// Since when the connection is being drained.
    pub(crate) fn draining_since(&self) -> Option<Instant> {
        match self.leaving {
            Leaving::No => None,
            Leaving::Told(since) | Leaving::Final(since) => Some(since),
        }
    }

    /// Whether nothing is left to do on a connection that takes no further streams.
    pub(crate) fn is_done(&self) -> bool {
        let leaves = matches!(self.leaving, Leaving::Final(_)) || self.away.is_some();
        leaves && self.streams.len() == 0 && self.accepted.is_empty()
    }

    /// What a failure of a stream has to do with a GOAWAY that came.
    pub(crate) fn was_left_out(&self, id: u32) -> bool {
        self.away.is_some_and(|GoAway { last }| id > last)
    }
}

/// What tells a peer to stop that is still sending, though our direction has ended. For a server that
/// is no error: it has answered without what is still to come (RFC 9113 §8.1).
fn unread_code(is_server: bool) -> ErrorCode {
    if is_server { ErrorCode::NO_ERROR } else { ErrorCode::CANCEL }
}
