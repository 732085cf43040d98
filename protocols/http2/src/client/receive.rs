//! A node's answer.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringgate_core::{Answer, Code, Fault, Frame, Receive, ResponseHead};
use ringgate_io::Deadline;

use crate::engine::{End, Half, Received};
use crate::fault;
use crate::heads;

use super::open::Link;
use super::{Connection, Waits};

/// A wait that somebody else bounds.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Receives an answer.
pub struct StreamReceiver {
    link: Rc<Link>,
    /// The request is a WebSocket's; its key, where it has one.
    tunnels: Option<Option<Vec<u8>>>,
    /// The final head was read.
    begun: bool,
    ended: bool,
    /// Taken with the first wait.
    deadline: Option<Deadline>,
}

impl StreamReceiver {
    pub(super) fn new(link: Rc<Link>, tunnels: Option<Option<Vec<u8>>>) -> StreamReceiver {
        StreamReceiver { link, tunnels, begun: false, ended: false, deadline: None }
    }

    /// What another stream of the connection needs.
    pub(super) fn again(&self) -> (Rc<Connection>, Waits) {
        (self.link.connection.clone(), self.link.waits)
    }

    /// Reads the next of what comes. While the request is still on its way, the node may be silent:
    /// the time runs from the last step in either direction.
    async fn read(&mut self) -> Result<Result<Option<Received>, End>, Fault> {
        let link = self.link.clone();
        let poll =
            |cx: &Context<'_>| link.connection.engine.borrow_mut().poll_read(link.stream, cx);
        if link.connection.engine.borrow().is_readable(link.stream)
            && let Poll::Ready(read) = poll(&Context::from_waker(Waker::noop()))
        {
            return Ok(read);
        }
        let deadline = self.deadline.take().unwrap_or_default();
        loop {
            let sends = link.sends.get();
            let within = if link.raw.get() { LONG } else { link.waits.upstream_read };
            let reads = pin!(poll_fn(|cx| poll(cx)));
            match deadline.bound(within, reads).await {
                Ok(read) => {
                    self.deadline = Some(deadline);
                    return Ok(read);
                }
                Err(_) if link.raw.get() || !link.sent.get() || link.sends.get() != sends => {}
                Err(_) => {
                    link.connection.silent_for(within);
                    return Err(Fault::new(Code::UpstreamReadTimeout, "node sent no byte"));
                }
            }
        }
    }
}

impl Receive for StreamReceiver {
    /// Cancel-safe.
    async fn frame(&mut self) -> Result<Frame, Fault> {
        if self.ended {
            return Ok(Frame::End);
        }
        if !self.begun {
            return Err(Fault::new(Code::Internal, "body is read before its head"));
        }
        let frame = match self.read().await?.map_err(fault::of_upstream)? {
            Some(Received::Data(chunk)) => return Ok(Frame::Data(chunk)),
            Some(Received::Trailers(trailers)) => Frame::Trailers(trailers),
            Some(Received::Refused(_)) => {
                return Err(Fault::new(Code::UpstreamInvalid, "trailers above their limits"));
            }
            // A final head was the last one.
            Some(Received::Head { .. }) | None => Frame::End,
        };
        self.ended = true;
        Ok(frame)
    }

    fn consumed(&mut self, bytes: usize) {
        self.link.connection.engine.borrow_mut().consumed(self.link.stream, bytes);
    }

    fn is_ready(&self) -> bool {
        self.ended || self.link.connection.engine.borrow().is_readable(self.link.stream)
    }
}

impl Answer for StreamReceiver {
    async fn head(&mut self) -> Result<ResponseHead, Fault> {
        if self.begun {
            return Err(Fault::new(Code::Internal, "a second final head is read"));
        }
        let read = self.read().await?;
        let (mut head, end) = match read {
            Ok(Some(Received::Head { head, end })) => (head, end),
            Ok(_) => return Err(Fault::new(Code::UpstreamInvalid, "a body before its head")),
            Err(end) => return Err(self.link.judge(fault::of_upstream(end))),
        };
        self.link.heard.set(true);
        if head.is_interim() {
            return Ok(head);
        }
        if let Some(key) = &self.tunnels
            && (200..300).contains(&head.status)
            && !end
        {
            heads::switch(&mut head, key.as_deref());
            self.link.raw.set(true);
        }
        (self.begun, self.ended) = (true, end);
        Ok(head)
    }
}

impl Drop for StreamReceiver {
    fn drop(&mut self) {
        let link = &self.link;
        link.connection.engine.borrow_mut().release(link.stream, Half::Reading);
    }
}
