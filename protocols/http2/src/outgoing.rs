//! A body on its way out: data goes to h2 when it is the stream's turn and its windows are open.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::{Reason, SendStream};
use ringgate_core::{Chunk, Frame};
use ringgate_io::Deadline;

use crate::heads;
use crate::monitor::Monitor;
use crate::payload::Payload;
use crate::priority::Priority;

/// The most that is held back, so that what ends the body can go with it.
const HELD: usize = 16 * 1024;

/// Why a body cannot go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The peer reset the stream, or ended the connection.
    Reset(Reason),
    /// The connection broke.
    Broken(h2::Error),
    /// The peer took nothing for too long.
    TimedOut,
    /// There is more of it than was told.
    TooMuch,
    /// There is less of it than was told.
    TooLittle,
    /// It has ended already.
    Ended,
}

/// What is sent on a stream behind its head.
pub(crate) struct Outgoing {
    stream: SendStream<Payload>,
    monitor: Rc<Monitor>,
    id: u32,
    priority: Priority,
    /// The last of what was sent, for as long as it may be the body's end.
    held: Option<Chunk>,
    /// What is left of the length that was told.
    left: Option<u64>,
    ended: bool,
    /// Taken with the first wait.
    deadline: Option<Deadline>,
}

impl Outgoing {
    /// `length`: what was told of it.
    pub(crate) fn new(
        stream: SendStream<Payload>,
        monitor: Rc<Monitor>,
        priority: Priority,
        length: Option<u64>,
        ended: bool,
    ) -> Outgoing {
        let id = stream.stream_id().as_u32();
        monitor.schedule.enter(id);
        Outgoing { stream, monitor, id, priority, held: None, left: length, ended, deadline: None }
    }

    /// Whether the body was sent to its end.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Sends a frame; each step forward may take `within`.
    pub(crate) async fn send(&mut self, frame: Frame, within: Duration) -> Result<(), Stop> {
        match frame {
            Frame::Data(chunk) if chunk.is_empty() => Ok(()),
            Frame::Data(_) if self.ended => Err(Stop::Ended),
            Frame::Data(chunk) => {
                if let Some(left) = &mut self.left {
                    *left = left.checked_sub(chunk.len() as u64).ok_or(Stop::TooMuch)?;
                }
                self.flush(within).await?;
                let mut chunk = chunk;
                let front = chunk.len().saturating_sub(HELD);
                if front > 0 {
                    let front = chunk.split_to(front);
                    self.push(front, false, within).await?;
                }
                self.held = Some(chunk);
                Ok(())
            }
            Frame::Trailers(_) | Frame::End if self.ended => Ok(()),
            Frame::Trailers(_) | Frame::End if self.left.is_some_and(|left| left > 0) => {
                Err(Stop::TooLittle)
            }
            Frame::Trailers(trailers) if !trailers.is_empty() => {
                self.flush(within).await?;
                self.ended = true;
                let trailers = heads::outgoing_trailers(&trailers);
                self.stream.send_trailers(trailers).map_err(|error| self.stopped(error))
            }
            Frame::Trailers(_) | Frame::End => match self.held.take() {
                Some(held) => self.push(held, true, within).await,
                None => {
                    self.ended = true;
                    let end = self.stream.send_data(Payload::empty(), true);
                    end.map_err(|error| self.stopped(error))
                }
            },
        }
    }

    /// Sends what is held back.
    pub(crate) async fn flush(&mut self, within: Duration) -> Result<(), Stop> {
        match self.held.take() {
            Some(held) => self.push(held, false, within).await,
            None => Ok(()),
        }
    }

    /// The stream is of no use any more.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.ended = true;
        self.held = None;
        self.stream.send_reset(reason);
    }

    /// Returns when the peer has reset the stream, or the connection is gone.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        self.stream.poll_reset(cx).map(|reset| match reset {
            Ok(reason) => {
                // Also what was handed over before the stream was known here.
                self.monitor.schedule.forget(self.id);
                Stop::Reset(reason)
            }
            Err(error) => Stop::Broken(error),
        })
    }

    async fn push(&mut self, mut chunk: Chunk, end: bool, within: Duration) -> Result<(), Stop> {
        // Nearly always there is room, and nothing to wait for.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(pushed) = self.poll_push(&mut cx, &mut chunk, end) {
            return pushed;
        }
        while !chunk.is_empty() {
            let deadline = self.deadline.take().unwrap_or_default();
            let polled = {
                let mut waiting = Waiting { outgoing: self, is_waiting: false };
                let pushed = pin!(poll_fn(|cx| {
                    let before = chunk.len();
                    let polled = waiting.outgoing.poll_push(cx, &mut chunk, end);
                    waiting.is_waiting = polled.is_pending();
                    match polled {
                        // The time runs anew with each step.
                        Poll::Pending if chunk.len() < before => Poll::Ready(Ok(())),
                        polled => polled,
                    }
                }));
                deadline.bound(within, pushed).await
            };
            self.deadline = Some(deadline);
            match polled {
                Ok(result) => result?,
                Err(_) => return Err(Stop::TimedOut),
            }
        }
        Ok(())
    }

    fn poll_push(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Chunk,
        end: bool,
    ) -> Poll<Result<(), Stop>> {
        let schedule = &self.monitor.schedule;
        while !chunk.is_empty() {
            let Poll::Ready(granted) = schedule.poll_turn(cx, self.id, self.priority, chunk.len())
            else {
                // Nothing else would tell of a reset meanwhile. Who does not wait any more must not
                // keep a place before those who do.
                return self.poll_gone(cx).map(|stop| {
                    self.monitor.schedule.leave(self.id);
                    Err(stop)
                });
            };
            self.stream.reserve_capacity(granted);
            let capacity = self.stream.capacity().min(granted);
            if capacity == 0 {
                // The stream's own window is shut.
                schedule.pass();
                match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Stop::Broken(error))),
                    Poll::Ready(None) => return Poll::Ready(Err(self.why_closed(cx))),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let piece = chunk.split_to(capacity);
            schedule.hand_over(self.id, capacity);
            self.ended = end && chunk.is_empty();
            if let Err(error) = self.stream.send_data(Payload(piece), self.ended) {
                return Poll::Ready(Err(self.stopped(error)));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn why_closed(&mut self, cx: &mut Context<'_>) -> Stop {
        match self.poll_gone(cx) {
            Poll::Ready(stop) => stop,
            Poll::Pending => Stop::Reset(Reason::CANCEL),
        }
    }

    /// Why h2 did not take something: mostly because the stream was reset meanwhile.
    fn stopped(&mut self, error: h2::Error) -> Stop {
        let mut cx = Context::from_waker(Waker::noop());
        match self.poll_gone(&mut cx) {
            Poll::Ready(stop) => stop,
            Poll::Pending => Stop::Broken(error),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.monitor.schedule.exit(self.id);
    }
}

/// Gives the place among those who wait up, when the wait is dropped.
struct Waiting<'o> {
    outgoing: &'o mut Outgoing,
    is_waiting: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_waiting {
            self.outgoing.monitor.schedule.leave(self.outgoing.id);
        }
    }
}
