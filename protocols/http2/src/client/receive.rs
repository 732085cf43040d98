//! A node's answer.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::RecvStream;
use h2::client::ResponseFuture;
use http::{HeaderMap, Response, StatusCode};
use ringgate_core::{Answer, Code, Fault, Frame, Receive, ResponseHead};
use ringgate_io::Deadline;

use crate::fault;
use crate::heads;
use crate::incoming;

use super::open::Link;

/// Interim heads that one answer may have. Each is passed on, so they are a way to flood.
const INTERIM: u32 = 32;

/// A wait that somebody else bounds.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Receives an answer.
pub struct StreamReceiver {
    response: ResponseFuture,
    /// Behind the final head.
    recv: RefCell<Option<RecvStream>>,
    link: Rc<Link>,
    /// The request is a WebSocket's; its key, where it has one.
    tunnels: Option<Option<Vec<u8>>>,
    /// Looked at already.
    ahead: RefCell<Option<Result<Frame, Fault>>>,
    ended: bool,
    interim: u32,
    /// Taken with the first wait.
    deadline: Option<Deadline>,
}

/// A head as h2 gives it.
enum Head {
    Interim(Response<()>),
    Final(Response<RecvStream>),
}

impl StreamReceiver {
    pub(super) fn new(
        response: ResponseFuture,
        link: Rc<Link>,
        tunnels: Option<Option<Vec<u8>>>,
    ) -> StreamReceiver {
        StreamReceiver {
            response,
            recv: RefCell::new(None),
            link,
            tunnels,
            ahead: RefCell::new(None),
            ended: false,
            interim: 0,
            deadline: None,
        }
    }

    pub(super) fn into_link(self) -> Rc<Link> {
        self.link
    }

    /// Waits for `poll`. While the request is still on its way, the node may be silent: the time
    /// runs from the last step in either direction.
    async fn wait<T>(
        &mut self,
        mut poll: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Fault> {
        let deadline = self.deadline.take().unwrap_or_default();
        loop {
            let link = self.link.clone();
            let sends = link.sends.get();
            let within = if link.raw.get() { LONG } else { link.waits.upstream_read };
            let waited = pin!(poll_fn(|cx| poll(self, cx)));
            match deadline.bound(within, waited).await {
                Ok(value) => {
                    self.deadline = Some(deadline);
                    return Ok(value);
                }
                Err(_) if link.raw.get() || !link.sent.get() || link.sends.get() != sends => {}
                Err(_) => {
                    link.entered.shared().state.silent_for(within);
                    return Err(Fault::new(Code::UpstreamReadTimeout, "node sent no byte"));
                }
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, h2::Error>> {
        match self.response.poll_informational(cx) {
            Poll::Ready(Some(Ok(interim))) => return Poll::Ready(Ok(Head::Interim(interim))),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
            Poll::Ready(None) | Poll::Pending => {}
        }
        Pin::new(&mut self.response).poll(cx).map_ok(Head::Final)
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Result<Frame, Fault>> {
        let mut recv = self.recv.borrow_mut();
        let Some(recv) = &mut *recv else {
            return Poll::Ready(Err(Fault::new(Code::Internal, "body is read before its head")));
        };
        let most = self.link.entered.shared().settings.header_count;
        incoming::poll_frame(recv, cx, most).map_err(|error| match error {
            incoming::Error::H2(error) => fault::of_upstream(&error),
            incoming::Error::Trailers(_) => invalid("trailers"),
        })
    }

    fn read(&self, status: StatusCode, map: &HeaderMap, end: bool) -> Option<ResponseHead> {
        let most = self.link.entered.shared().settings.header_count;
        heads::incoming_response(status, map, end, self.link.to_head, most)
    }
}

fn invalid(detail: &'static str) -> Fault {
    Fault::new(Code::UpstreamInvalid, detail)
}

const FIELDS: &str = "too many fields, or one with a control character";

impl Receive for StreamReceiver {
    /// Cancel-safe.
    async fn frame(&mut self) -> Result<Frame, Fault> {
        if self.ended {
            return Ok(Frame::End);
        }
        let ahead = self.ahead.get_mut().take();
        let frame = match ahead {
            Some(frame) => frame?,
            None => self.wait(|this, cx| this.poll_frame(cx)).await??,
        };
        self.ended = !matches!(frame, Frame::Data(_));
        Ok(frame)
    }

    fn consumed(&mut self, bytes: usize) {
        if let Some(recv) = self.recv.get_mut() {
            // Fails only where the stream has ended meanwhile; h2 then returns the credit by
            // itself.
            let _ = recv.flow_control().release_capacity(bytes);
        }
    }

    fn is_ready(&self) -> bool {
        let mut ahead = self.ahead.borrow_mut();
        if self.ended || ahead.is_some() {
            return true;
        }
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = self.poll_frame(&mut cx) {
            *ahead = Some(frame);
        }
        ahead.is_some()
    }
}

impl Answer for StreamReceiver {
    async fn head(&mut self) -> Result<ResponseHead, Fault> {
        if self.recv.get_mut().is_some() {
            return Err(Fault::new(Code::Internal, "a second final head is read"));
        }
        let polled = self.wait(Self::poll_head).await?;
        let head = polled.map_err(|error| self.link.judge(fault::of_upstream(&error)))?;
        self.link.heard.set(true);
        let response = match head {
            Head::Interim(response) => {
                // RFC 9113 §8.6: the switch is HTTP/1.1's.
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    return Err(invalid("101 in HTTP/2"));
                }
                self.interim += 1;
                if self.interim > INTERIM {
                    return Err(invalid("too many interim heads"));
                }
                let head = self.read(response.status(), response.headers(), false);
                return head.ok_or_else(|| invalid(FIELDS));
            }
            Head::Final(response) => response,
        };
        let end = response.body().is_end_stream();
        let head = self.read(response.status(), response.headers(), end);
        let mut head = head.ok_or_else(|| invalid(FIELDS))?;
        if let Some(key) = &self.tunnels
            && (200..300).contains(&head.status)
            && !end
        {
            heads::switch(&mut head, key.as_deref());
            self.link.raw.set(true);
        }
        self.ended = end;
        *self.recv.get_mut() = Some(response.into_body());
        Ok(head)
    }
}
