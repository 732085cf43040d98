//! The request's body.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ringgate_core::{BodyLength, Code, Fault, Frame, Receive, ResponseHead};
use ringgate_io::Deadline;

use crate::engine::{Half, Received};
use crate::fault;

use super::stream::Stream;

/// How long a body may take before it must keep up `min_body_rate`.
const RATE_GRACE: Duration = Duration::from_secs(10);

/// The body of a request; behind a 101, the bytes that the client sends.
pub struct Body {
    stream: Rc<Stream>,
    length: BodyLength,
    received: u64,
    /// For how long frames were waited for: what a slow node costs is not the client's.
    waited: Duration,
    ended: bool,
    /// Taken with the first wait.
    deadline: Option<Deadline>,
}

impl Body {
    pub(super) fn new(stream: Rc<Stream>, length: BodyLength) -> Body {
        Body { stream, length, received: 0, waited: Duration::ZERO, ended: false, deadline: None }
    }

    /// What is known of its length.
    pub fn length(&self) -> BodyLength {
        self.length
    }

    /// Behind an extended CONNECT nothing is a body; what comes is the tunnel's, once there is one.
    fn is_shut(&self) -> bool {
        self.ended || self.stream.tunnels && !self.stream.raw.get()
    }

    fn poll_frame(&self, cx: &Context<'_>) -> Poll<Result<Frame, Fault>> {
        let polled = self.stream.engine.borrow_mut().poll_read(self.stream.id, cx);
        polled.map(|read| match read {
            Ok(Some(Received::Data(chunk))) => Ok(Frame::Data(chunk)),
            Ok(Some(Received::Trailers(trailers))) => Ok(Frame::Trailers(trailers)),
            Ok(Some(Received::Refused(code))) => Err(Fault::new(code, "trailers").on_stream()),
            // A head is an answer's.
            Ok(None | Some(Received::Head { .. })) => Ok(Frame::End),
            Err(end) => Err(fault::of_client_body(end)),
        })
    }

    /// Tells a client that waits for it to go on (RFC 9110 §10.1.1): when the body is first asked
    /// for, and only where no final answer was begun.
    fn send_continue(&self) {
        if self.stream.expects.replace(false) && !self.stream.answered.get() {
            let head = ResponseHead::new(100);
            // Where the stream has been reset, the wait will tell.
            let _ =
                self.stream.engine.borrow_mut().answer(self.stream.id, &head, None, false, false);
        }
    }

    async fn receive(&mut self) -> Result<Frame, Fault> {
        if let Poll::Ready(frame) = self.poll_frame(&Context::from_waker(Waker::noop())) {
            return frame;
        }
        self.send_continue();
        loop {
            let within = self.patience();
            let start = Instant::now();
            let deadline = self.deadline.take().unwrap_or_default();
            let polled = {
                let frame = pin!(poll_fn(|cx| self.poll_frame(cx)));
                deadline.bound(within, frame).await
            };
            self.deadline = Some(deadline);
            self.waited += start.elapsed();
            match polled {
                Ok(frame) => return frame,
                Err(_) if self.other_direction_moves(within) => {}
                Err(_) if self.stream.pauses.get() => {
                    return Err(Fault::new(Code::IdleTimeout, "stream was idle").on_stream());
                }
                Err(_) => return Err(Fault::new(Code::BodyTimeout, "body stalled").on_stream()),
            }
        }
    }

    /// How long the next frame may take: the idle bound, or until the rate would be too low.
    fn patience(&self) -> Duration {
        let timeouts = &self.stream.settings.timeouts;
        if self.stream.pauses.get() {
            return timeouts.stream_idle;
        }
        let enough = match self.received.checked_div(timeouts.min_body_rate) {
            None => return timeouts.body,
            Some(seconds) => Duration::from_secs(seconds).max(RATE_GRACE),
        };
        timeouts.body.min(enough.saturating_sub(self.waited).max(Duration::from_millis(1)))
    }

    /// Whether the rate has been too low for too long.
    fn is_too_slow(&self) -> bool {
        let rate = self.stream.settings.timeouts.min_body_rate;
        !self.stream.pauses.get()
            && self.waited > RATE_GRACE
            && u128::from(self.received) * 1000 < u128::from(rate) * self.waited.as_millis()
    }

    /// Whether the other direction of a stream moved within so long.
    fn other_direction_moves(&self, within: Duration) -> bool {
        self.stream.pauses.get()
            && self.stream.last_sent.get().is_some_and(|sent| sent.elapsed() < within)
    }

    fn check_size(&self) -> Result<(), Fault> {
        match self.stream.settings.limits.request_body {
            Some(most) if !self.stream.raw.get() && self.received > most => {
                Err(Fault::new(Code::BodyTooLarge, "request body above its limit").on_stream())
            }
            _ => Ok(()),
        }
    }
}

impl Receive for Body {
    /// Cancel-safe.
    async fn frame(&mut self) -> Result<Frame, Fault> {
        if self.is_shut() {
            return Ok(Frame::End);
        }
        let frame = self.receive().await?;
        match &frame {
            Frame::Data(chunk) => {
                // A client that sends did not wait.
                self.stream.expects.set(false);
                self.received += chunk.len() as u64;
                self.check_size()?;
                if self.is_too_slow() {
                    let fault = Fault::new(Code::BodyTimeout, "body came too slowly");
                    return Err(fault.on_stream());
                }
            }
            Frame::Trailers(_) | Frame::End => self.ended = true,
        }
        Ok(frame)
    }

    fn consumed(&mut self, bytes: usize) {
        self.stream.engine.borrow_mut().consumed(self.stream.id, bytes);
    }

    fn is_ready(&self) -> bool {
        self.is_shut() || self.stream.engine.borrow().is_readable(self.stream.id)
    }

    fn allow_pauses(&mut self) {
        self.stream.pauses.set(true);
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.stream.engine.borrow_mut().release(self.stream.id, Half::Reading);
    }
}
