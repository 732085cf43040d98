//! The request's body.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use h2::{Reason, RecvStream};
use http::{Response, StatusCode};
use ringgate_core::{BodyLength, Code, Fault, Frame, Receive};
use ringgate_io::Deadline;

use crate::fault;
use crate::incoming;

use super::stream::Stream;

/// How long a body may take before it must keep up `min_body_rate`.
const RATE_GRACE: Duration = Duration::from_secs(10);

/// The body of a request; behind a 101, the bytes that the client sends.
pub struct Body {
    stream: Rc<Stream>,
    recv: RefCell<RecvStream>,
    /// Looked at already.
    ahead: RefCell<Option<Result<Frame, Fault>>>,
    length: BodyLength,
    received: u64,
    /// For how long frames were waited for: what a slow node costs is not the client's.
    waited: Duration,
    ended: bool,
    /// Taken with the first wait.
    deadline: Option<Deadline>,
}

impl Body {
    pub(super) fn new(stream: Rc<Stream>, recv: RecvStream, length: BodyLength) -> Body {
        Body {
            stream,
            recv: RefCell::new(recv),
            ahead: RefCell::new(None),
            length,
            received: 0,
            waited: Duration::ZERO,
            ended: false,
            deadline: None,
        }
    }

    /// What is known of its length.
    pub fn length(&self) -> BodyLength {
        self.length
    }

    /// Behind an extended CONNECT nothing is a body; what comes is the tunnel's, once there is one.
    fn is_shut(&self) -> bool {
        self.ended || self.stream.tunnels && !self.stream.raw.get()
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Result<Frame, Fault>> {
        let most = self.stream.shared.settings.limits.header_count;
        let polled = incoming::poll_frame(&mut self.recv.borrow_mut(), cx, most);
        if let Poll::Ready(Ok(Frame::Trailers(_) | Frame::End)) = &polled
            && self.stream.shared.monitor.is_malformed(self.stream.id)
        {
            self.stream.respond.borrow_mut().send_reset(Reason::PROTOCOL_ERROR);
            let detail = "a pseudo-header field in trailers";
            return Poll::Ready(Err(Fault::bad_request(detail).on_stream()));
        }
        polled.map_err(|error| match error {
            incoming::Error::H2(error) => fault::of_client_body(&error),
            incoming::Error::Trailers(code) => Fault::new(code, "trailers").on_stream(),
        })
    }

    /// Tells a client that waits for it to go on (RFC 9110 §10.1.1): when the body is first asked
    /// for, and only where no final answer was begun.
    fn send_continue(&self) {
        if self.stream.expects.replace(false) && !self.stream.answered.get() {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::CONTINUE;
            // Where the stream has been reset, the wait will tell.
            let _ = self.stream.respond.borrow_mut().send_informational(response);
        }
    }

    async fn receive(&mut self) -> Result<Frame, Fault> {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = self.poll_frame(&mut cx) {
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
        let timeouts = &self.stream.shared.settings.timeouts;
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
        let rate = self.stream.shared.settings.timeouts.min_body_rate;
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
        match self.stream.shared.settings.limits.request_body {
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
        let ahead = self.ahead.get_mut().take();
        let frame = match ahead {
            Some(frame) => frame?,
            None => self.receive().await?,
        };
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
        // Fails only where the stream has ended meanwhile; h2 then returns the credit by itself.
        let _ = self.recv.get_mut().flow_control().release_capacity(bytes);
    }

    fn is_ready(&self) -> bool {
        let mut ahead = self.ahead.borrow_mut();
        if self.is_shut() || ahead.is_some() {
            return true;
        }
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = self.poll_frame(&mut cx) {
            *ahead = Some(frame);
        }
        ahead.is_some()
    }

    fn allow_pauses(&mut self) {
        self.stream.pauses.set(true);
    }
}
