//! The request's body.

use std::io;
use std::time::{Duration, Instant};

use ringgate_core::{BodyLength, Code, Fault, Frame, ReadIo, Receive, WriteIo};

use crate::fault;
use crate::incoming::{Incoming, fixed};

use super::PATIENCE;
use super::shared::{Answer, Shared};

/// How long a body may take before it must keep up `min_body_rate`.
const RATE_GRACE: Duration = Duration::from_secs(10);

/// The body of a request; after a 101, the bytes that the client sends.
pub struct Body<'a, R, W> {
    shared: &'a Shared<R, W>,
    length: BodyLength,
    /// For how long frames were waited for: what a slow node costs is not the client's.
    waited: Duration,
    raw: bool,
}

impl<'a, R: ReadIo + 'static, W: WriteIo + 'static> Body<'a, R, W> {
    pub(super) fn new(shared: &'a Shared<R, W>, length: BodyLength) -> Body<'a, R, W> {
        Body { shared, length, waited: Duration::ZERO, raw: false }
    }

    /// What is known of its length.
    pub fn length(&self) -> BodyLength {
        self.length
    }

    fn check_size(&self, received: u64) -> Result<(), Fault> {
        match self.shared.settings.limits.request_body {
            Some(most) if !self.raw => {
                let told = match self.length {
                    BodyLength::Exact(length) => length,
                    _ => 0,
                };
                match received.max(told) > most {
                    true => Err(Fault::new(Code::BodyTooLarge, "request body above its limit")),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Tells a client that waits for it to go on (RFC 9110 §10.1.1): when the body is first asked
    /// for, and only where no final answer was begun.
    async fn send_continue(&self) -> Result<(), Fault> {
        if !self.shared.expects.replace(false) || self.shared.answer.get() != Answer::None {
            return Ok(());
        }
        // Where an interim answer is being sent at this moment, that one sends it on.
        let Some(mut output) = self.shared.output.take() else {
            self.shared.continue_due.set(true);
            return Ok(());
        };
        let within = self.shared.settings.timeouts.send;
        let text = fixed("HTTP/1.1 100 Continue\r\n\r\n");
        output.send(text, within).await.map_err(|error| fault::of_client_send(&error))
    }

    /// How long the next byte may take: the idle bound, or until the rate would be too low.
    fn patience(&self, received: u64) -> Duration {
        let timeouts = &self.shared.settings.timeouts;
        if self.raw {
            return timeouts.stream_idle;
        }
        let enough = match received.checked_div(timeouts.min_body_rate) {
            None => return timeouts.body,
            Some(seconds) => Duration::from_secs(seconds).max(RATE_GRACE),
        };
        timeouts.body.min(enough.saturating_sub(self.waited).max(Duration::from_millis(1)))
    }

    /// Whether the rate has been too low for too long.
    fn is_too_slow(&self, received: u64) -> bool {
        let rate = self.shared.settings.timeouts.min_body_rate;
        !self.raw
            && self.waited > RATE_GRACE
            && u128::from(received) * 1000 < u128::from(rate) * self.waited.as_millis()
    }

    fn on_error(&self, error: &io::Error) -> Fault {
        match (error.kind(), self.raw) {
            (io::ErrorKind::TimedOut, true) => Fault::new(Code::IdleTimeout, "tunnel was idle"),
            (io::ErrorKind::TimedOut, false) => Fault::new(Code::BodyTimeout, "body stalled"),
            _ => Fault::new(Code::ClientGone, format!("receive: {error}")),
        }
    }

    /// Whether the other direction of a tunnel moved within so long.
    fn other_direction_moves(&self, within: Duration) -> bool {
        self.raw && self.shared.last_sent.get().is_some_and(|sent| sent.elapsed() < within)
    }

    async fn receive(&mut self) -> Result<Frame, Fault> {
        let shared = self.shared;
        let Some(mut source) = shared.source.take() else {
            return Err(Fault::new(Code::Internal, "body is read twice at a time"));
        };
        if shared.raw.get() && !self.raw {
            self.raw = true;
            source.incoming = Incoming::stream();
        }
        loop {
            let source = &mut *source;
            let frame = source.incoming.next(&mut source.input).map_err(fault::of_request)?;
            if let Some(frame) = frame {
                // Not before the last frame: whoever waits for this takes the source.
                if !matches!(frame, Frame::Data(_)) && !shared.body_read.get() {
                    shared.set_body_read();
                }
                shared.missing.set(source.incoming.remaining().unwrap_or(0));
                // A client that sends did not wait.
                shared.expects.set(false);
                self.check_size(source.incoming.received())?;
                return Ok(frame);
            }
            if source.input.ended() {
                return match source.incoming.end() {
                    true => Ok(Frame::End),
                    false => Err(Fault::new(Code::ClientGone, "closed within a body")),
                };
            }
            self.send_continue().await?;
            let received = source.incoming.received();
            let within = self.patience(received);
            let start = Instant::now();
            // An early answer drops this wait; the connection may go on all the same.
            let capacity = source.incoming.capacity();
            let result = source.input.recv_kept(capacity, PATIENCE, within).await;
            self.waited += start.elapsed();
            match result {
                Ok(n) => source.incoming.grow(n, source.input.filled()),
                Err(error)
                    if error.kind() == io::ErrorKind::TimedOut
                        && self.other_direction_moves(within) => {}
                Err(error) => return Err(self.on_error(&error)),
            }
            if self.is_too_slow(source.incoming.received() + source.input.bytes().len() as u64) {
                return Err(Fault::new(Code::BodyTimeout, "body came too slowly"));
            }
        }
    }
}

impl<R: ReadIo + 'static, W: WriteIo + 'static> Receive for Body<'_, R, W> {
    async fn frame(&mut self) -> Result<Frame, Fault> {
        let frame = match self.check_size(0) {
            Ok(()) => self.receive().await,
            Err(fault) => Err(fault),
        };
        if frame.is_err() {
            // Where the next request begins is not known any more: the answer says so.
            self.shared.keep_alive.set(false);
        }
        frame
    }

    fn consumed(&mut self, _: usize) {}

    fn is_ready(&self) -> bool {
        let Some(source) = self.shared.source.take() else {
            return false;
        };
        match self.shared.raw.get() {
            true => !source.input.bytes().is_empty() || source.input.ended(),
            false => source.incoming.is_ready(&source.input),
        }
    }
}
