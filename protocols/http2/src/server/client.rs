//! The answer.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ringgate_core::{BodyLength, Code, Fault, Frame, Respond, ResponseHead};

use crate::fault;
use crate::heads;
use crate::outgoing::{Outgoing, Stop};

use super::stream::Stream;

/// The way back to the client.
pub struct Client {
    stream: Rc<Stream>,
    /// Once the final head was sent.
    outgoing: Option<Outgoing>,
    /// The answer is one that has no body, whatever comes.
    bodiless: bool,
}

impl Client {
    pub(super) fn new(stream: Rc<Stream>) -> Client {
        Client { stream, outgoing: None, bodiless: false }
    }

    fn within(&self) -> Duration {
        self.stream.shared.settings.timeouts.send
    }

    /// The length that is told, and whether there is no body at all (RFC 9110 §6.4.1, §8.6).
    fn framing(&self, head: &ResponseHead) -> (Option<u64>, bool) {
        let told = match head.body {
            BodyLength::Exact(length) => Some(length),
            BodyLength::Empty | BodyLength::Unknown => None,
        };
        match head.status {
            ..200 | 204 => (None, true),
            304 => (told, true),
            _ => (told, self.stream.to_head),
        }
    }

    /// Why h2 took no head: mostly because the stream or its connection has ended meanwhile.
    fn not_taken(&self, error: &h2::Error) -> Fault {
        let mut cx = Context::from_waker(Waker::noop());
        match self.stream.respond.borrow_mut().poll_reset(&mut cx) {
            Poll::Ready(Ok(reason)) => {
                Fault::new(Code::ClientGone, format!("reset: {reason}")).on_stream()
            }
            Poll::Ready(Err(error)) => fault::of_client_body(&error),
            Poll::Pending => fault::of_client_body(error),
        }
    }

    fn sent(&self, result: Result<(), Stop>) -> Result<(), Fault> {
        match result {
            Ok(()) => {
                if self.stream.pauses.get() {
                    self.stream.last_sent.set(Some(Instant::now()));
                }
                Ok(())
            }
            Err(stop) => Err(fault::of_client_send(&stop)),
        }
    }
}

impl Respond for Client {
    async fn inform(&mut self, head: &ResponseHead) -> Result<(), Fault> {
        if self.stream.answered.get() || !head.is_interim() {
            return Ok(());
        }
        if head.status == 100 {
            self.stream.expects.set(false);
        }
        let response = heads::interim(head);
        let sent = self.stream.respond.borrow_mut().send_informational(response);
        sent.map_err(|error| self.not_taken(&error))
    }

    /// A 101 is sent as the 200 that opens an extended CONNECT's tunnel. Another answer of 2xx to
    /// one would open it too, though the node has not switched: it becomes a 502 (RFC 8441 §5).
    async fn head(&mut self, mut head: ResponseHead, end: bool) -> Result<(), Fault> {
        if self.stream.answered.replace(true) || head.is_interim() {
            return Err(Fault::new(Code::Internal, "a second final head").on_stream());
        }
        let switches = head.status == 101;
        if switches && !self.stream.tunnels {
            return Err(Fault::new(Code::Internal, "101 to a request of HTTP/2").on_stream());
        }
        if self.stream.tunnels && (200..300).contains(&head.status) {
            head = ResponseHead::new(502);
            head.body = BodyLength::Exact(0);
        }
        let (length, bodiless) = match switches {
            true => (None, false),
            false => self.framing(&head),
        };
        let mut priority = self.stream.priority;
        if let Some(field) = head.headers.get_named(b"priority") {
            priority = priority.update(field);
        }
        self.bodiless = bodiless || head.body == BodyLength::Exact(0);
        let end = !switches && (end || self.bodiless);
        let response = heads::outgoing_response(&head, length, switches);
        let sent = self.stream.respond.borrow_mut().send_response(response, end);
        let send = sent.map_err(|error| self.not_taken(&error))?;
        self.stream.raw.set(switches);
        if switches {
            self.stream.pauses.set(true);
        }
        let monitor = self.stream.shared.monitor.clone();
        self.outgoing = Some(Outgoing::new(send, monitor, priority, length, end));
        Ok(())
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Fault> {
        let within = self.within();
        match &mut self.outgoing {
            None => Err(Fault::new(Code::Internal, "a body before its head").on_stream()),
            Some(_) if self.bodiless => Ok(()),
            Some(outgoing) => {
                let result = outgoing.send(frame, within).await;
                self.sent(result)
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        let within = self.within();
        match &mut self.outgoing {
            Some(outgoing) => {
                let result = outgoing.flush(within).await;
                self.sent(result)
            }
            None => Ok(()),
        }
    }

    fn reset(&mut self, fault: &Fault) {
        let reason = fault::reset_reason(fault);
        match &mut self.outgoing {
            Some(outgoing) if outgoing.is_ended() => {}
            Some(outgoing) => outgoing.reset(reason),
            None => self.stream.respond.borrow_mut().send_reset(reason),
        }
    }

    async fn gone(&mut self) {
        poll_fn(|cx| match &mut self.outgoing {
            Some(outgoing) => outgoing.poll_gone(cx).map(drop),
            None => self.stream.respond.borrow_mut().poll_reset(cx).map(drop),
        })
        .await;
    }
}
