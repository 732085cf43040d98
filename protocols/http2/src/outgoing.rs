//! The sending half of a stream: data is handed over to the engine, and waits for it are bounded.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringgate_core::{Frame, Headers};
use ringgate_io::Deadline;

use crate::code::ErrorCode;
use crate::engine::{End, Half, PARKED, Shared};

/// Why a body cannot go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The stream or its connection is over.
    Over(End),
    /// The peer took nothing for too long.
    TimedOut,
    /// There is more of it than was told.
    TooMuch,
    /// There is less of it than was told.
    TooLittle,
    /// It has ended already.
    Ended,
}

impl From<End> for Stop {
    fn from(end: End) -> Stop {
        Stop::Over(end)
    }
}

/// What is sent on a stream.
pub(crate) struct Outgoing {
    engine: Shared,
    id: u32,
    /// What is left of the length that was told.
    left: Option<u64>,
    ended: bool,
    /// Taken with the first wait.
    deadline: Option<Deadline>,
}

impl Outgoing {
    /// Holds the stream's sending half. `length`: what was told of the body.
    pub(crate) fn new(engine: Shared, id: u32, length: Option<u64>, ended: bool) -> Outgoing {
        Outgoing { engine, id, left: length, ended, deadline: None }
    }

    pub(crate) fn engine(&self) -> &Shared {
        &self.engine
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The head is sent, which told this of the body.
    pub(crate) fn begin(&mut self, length: Option<u64>, ended: bool) {
        self.left = length;
        self.ended = ended;
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
                self.engine.borrow_mut().hand_over(self.id, chunk)?;
                self.sent(PARKED, within).await
            }
            Frame::Trailers(_) | Frame::End if self.ended => Ok(()),
            Frame::Trailers(_) | Frame::End if self.left.is_some_and(|left| left > 0) => {
                Err(Stop::TooLittle)
            }
            Frame::Trailers(trailers) if !trailers.is_empty() => {
                self.ended = true;
                self.trail(&trailers, within).await
            }
            Frame::Trailers(_) | Frame::End => {
                self.ended = true;
                self.engine.borrow_mut().finish(self.id)?;
                self.sent(0, within).await
            }
        }
    }

    async fn trail(&mut self, trailers: &Headers, within: Duration) -> Result<(), Stop> {
        self.engine.borrow_mut().pump();
        self.sent(0, within).await?;
        self.room(within).await?;
        Ok(self.engine.borrow_mut().trail(self.id, trailers)?)
    }

    /// Why nothing can be sent any more, where that is so. What was handed over leaves by itself.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        Ok(self.engine.borrow().stopped(self.id)?)
    }

    /// Returns when there is room for a head.
    pub(crate) async fn room(&mut self, within: Duration) -> Result<(), Stop> {
        self.wait(within, |engine, cx| engine.borrow_mut().poll_room(cx).map(Ok)).await
    }

    /// Returns when no more than `most` of what was handed over waits.
    async fn sent(&mut self, most: usize, within: Duration) -> Result<(), Stop> {
        let id = self.id;
        self.wait(within, |engine, cx| engine.borrow_mut().poll_sent(id, most, cx)).await
    }

    async fn wait(
        &mut self,
        within: Duration,
        poll: impl Fn(&Shared, &Context<'_>) -> Poll<Result<(), End>>,
    ) -> Result<(), Stop> {
        // Nearly always there is nothing to wait for.
        if let Poll::Ready(result) = poll(&self.engine, &Context::from_waker(Waker::noop())) {
            return Ok(result?);
        }
        let _waiting = Waiting(self.engine.clone(), self.id);
        let deadline = self.deadline.take().unwrap_or_default();
        let result = loop {
            let steps = self.engine.borrow().steps(self.id);
            let waiting = pin!(poll_fn(|cx| poll(&self.engine, cx)));
            match deadline.bound(within, waiting).await {
                Ok(result) => break result.map_err(Stop::Over),
                // The time runs anew with each step.
                Err(_) if self.engine.borrow().steps(self.id) != steps => {}
                Err(_) => break Err(Stop::TimedOut),
            }
        };
        self.deadline = Some(deadline);
        result
    }

    /// The stream is of no use any more.
    pub(crate) fn reset(&mut self, code: ErrorCode) {
        self.ended = true;
        self.engine.borrow_mut().reset(self.id, code);
    }

    /// Returns when the peer has reset the stream, or the connection is gone. Cancel-safe.
    pub(crate) async fn gone(&self) {
        poll_fn(|cx| self.engine.borrow_mut().poll_gone(self.id, cx).map(drop)).await;
    }
}

/// Others do not wait for who has given its wait up.
struct Waiting(Shared, u32);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.borrow_mut().has_run(self.1);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.engine.borrow_mut().release(self.id, Half::Writing);
    }
}
