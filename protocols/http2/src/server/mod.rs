//! The client side of the gateway: connections that requests come on.

mod body;
mod client;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use ringgate_core::{
    Chunk, Code, ConnectionInfo, Exchange, Fault, Limits, ReadIo, Scheme, Timeouts, WriteIo,
};
use ringgate_io::Deadline;

pub use body::Body;
pub use client::Client;

use crate::fault;
use crate::flood::Flood;
use crate::heads::{self, ParsedRequest};
use crate::monitor::Monitor;
use crate::payload::Payload;
use crate::wire::{Transport, Wire};
use stream::{Shared, Stream};

/// Window of a stream: what a client may send of a body before somebody takes it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Window of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What h2 keeps of a stream's data on its way out.
const SEND_BUFFER: usize = 256 * 1024;
/// Streams that were reset here, and whose late frames are still taken.
const RESET_STREAMS: usize = 32;
/// Streams that a client opened and reset before they were looked at.
const PENDING_RESET_STREAMS: usize = 20;
/// Resets for a client's errors over a connection's life; [`Flood`] has a budget in time.
const ERROR_RESETS: usize = 256;

/// How long a client may take to answer the first GOAWAY of a drain.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);
/// How long and how much a client may go on sending behind the end of its connection.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER: usize = 1024 * 1024;

/// What the connections of a listener share.
#[derive(Debug)]
pub struct Settings {
    /// Bounds on what a client may send.
    pub limits: Limits,
    /// Bounds on its waits.
    pub timeouts: Timeouts,
    /// The scheme that requests come in with, whatever their `:scheme` says.
    pub scheme: Scheme,
    /// The gateway is draining: connections say so when they are next polled.
    pub draining: Cell<bool>,
}

impl Settings {
    /// Settings of a listener that is not draining.
    pub fn new(limits: Limits, timeouts: Timeouts, scheme: Scheme) -> Settings {
        Settings { limits, timeouts, scheme, draining: Cell::new(false) }
    }
}

/// What came on a connection.
#[allow(clippy::large_enum_variant)] // nearly all that comes is the large one
pub enum Incoming {
    /// A request.
    Request(ServerExchange),
    /// A request whose head cannot be taken. The client is still there to hear why; the connection
    /// goes on.
    Refused {
        /// What is wrong with it.
        fault: Fault,
        /// The way to say so.
        client: Client,
    },
}

/// An exchange of a [`ServerConnection`]. It lives on its own: neither half borrows from the
/// connection, but both only move while [`ServerConnection::next`] is polled.
pub type ServerExchange = Exchange<Body, Client>;

/// A connection from a client.
pub struct ServerConnection {
    /// Boxed: the connection moves, and is a part of the caller's task.
    h2: Box<h2::server::Connection<Transport, Payload>>,
    wire: Rc<Wire>,
    shared: Rc<Shared>,
    info: Rc<ConnectionInfo>,
    deadline: Deadline,
    requests: u64,
    /// Since when no further stream is taken.
    draining: Option<Instant>,
    /// Why the connection is being ended.
    ending: Option<Fault>,
}

/// Takes a connection over whose client has sent, or is about to send, the connection preface
/// (RFC 9113 §3.4); `received` came of it already.
///
/// # Errors
/// The client sends something else, leaves, or takes longer than `timeouts.handshake`.
pub async fn accept<R: ReadIo + 'static, W: WriteIo + 'static>(
    reader: R,
    writer: W,
    received: Chunk,
    settings: Rc<Settings>,
    info: Rc<ConnectionInfo>,
) -> Result<ServerConnection, Fault> {
    let wire = Wire::new(reader, writer, Some(received), settings.timeouts.send);
    let monitor = Rc::new(Monitor::of_server(Flood::new(settings.limits.resets_per_connection)));
    let transport = Transport::new(wire.clone(), monitor.clone());
    let deadline = Deadline::new();
    // Boxed, so that an open connection does not hold its room.
    let mut handshake = Box::pin(builder(&settings.limits).handshake(transport));
    let handshake = pin!(poll_fn(|cx| {
        wire.poll_send(cx);
        let polled = handshake.as_mut().poll(cx);
        wire.poll_send(cx);
        polled
    }));
    let h2 = match deadline.bound(settings.timeouts.handshake, handshake).await {
        Ok(Ok(h2)) => Box::new(h2),
        failed => {
            // In order, as far as the client lets it: it may be one of another protocol.
            linger(&wire, &deadline).await;
            return Err(match failed {
                Ok(Err(error)) => fault::of_client(&error),
                _ => Fault::new(Code::HeaderTimeout, "connection preface came too slowly"),
            });
        }
    };
    let shared = Rc::new(Shared::new(settings, monitor));
    Ok(ServerConnection {
        h2,
        wire,
        shared,
        info,
        deadline,
        requests: 0,
        draining: None,
        ending: None,
    })
}

async fn linger(wire: &Wire, deadline: &Deadline) {
    let mut most = LINGER;
    let lingering = pin!(poll_fn(|cx| wire.poll_linger(cx, &mut most)));
    let _ = deadline.bound(LINGER_TIME, lingering).await;
    wire.close();
}

fn builder(limits: &Limits) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(RESET_STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESET_STREAMS)
        .max_local_error_reset_streams(Some(ERROR_RESETS))
        .enable_connect_protocol();
    builder
}

/// What polling the connection brought.
enum Event {
    Incoming(Box<Incoming>),
    /// Another deadline is nearer now.
    Rearm,
    Over(Result<(), Fault>),
}

impl ServerConnection {
    /// The next request; `None` where the connection has ended well: the client closed it, or was
    /// idle too long, or it was drained. Cancel-safe.
    ///
    /// All streams move only while this is polled, so it is to be called again at once, and each
    /// exchange to be served by a task of its own: a request that is reset at once then never
    /// reaches a node.
    ///
    /// # Errors
    /// What ended the connection; whoever serves its exchanges learns it by itself.
    pub async fn next(&mut self) -> Result<Option<Incoming>, Fault> {
        loop {
            let within = self.patience();
            let deadline = std::mem::take(&mut self.deadline);
            let polled = {
                let event = pin!(poll_fn(|cx| self.poll_event(cx, within)));
                deadline.bound(within, event).await
            };
            self.deadline = deadline;
            match polled {
                Ok(Event::Incoming(incoming)) => return Ok(Some(*incoming)),
                Ok(Event::Rearm) => {}
                Ok(Event::Over(result)) => return result.map(|()| None),
                Err(_) => self.elapsed(),
            }
        }
    }

    /// No further stream is taken: the client is told by GOAWAY, streams under way end, then
    /// [`ServerConnection::next`] gives `None`.
    pub fn drain(&mut self) {
        if self.draining.is_none() {
            self.draining = Some(Instant::now());
            self.h2.graceful_shutdown();
        }
    }

    /// How many exchanges are under way.
    pub fn streams(&self) -> usize {
        self.shared.streams()
    }

    /// Closes the connection so that the client gets all that was sent: a client that is still
    /// sending would lose it to a reset otherwise. To be called when [`ServerConnection::next`]
    /// has given `None` or a fault.
    pub async fn close(self) {
        let ServerConnection { h2, wire, deadline, .. } = self;
        drop(h2);
        linger(&wire, &deadline).await;
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, within: Duration) -> Poll<Event> {
        // The room that a send has freed is there for what follows.
        self.wire.poll_send(cx);
        if self.shared.settings.draining.get() {
            self.drain();
        }
        let event = self.poll_streams(cx);
        self.wire.poll_send(cx);
        if event.is_ready() {
            return event;
        }
        if let Some(kind) = self.wire.send_error() {
            let error = io::Error::from(kind);
            return Poll::Ready(Event::Over(self.judge(fault::of_client_io(&error))));
        }
        match self.patience() + COARSE < within {
            true => Poll::Ready(Event::Rearm),
            false => Poll::Pending,
        }
    }

    fn poll_streams(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            let polled = self.h2.poll_accept(cx);
            if let Some(breach) = self.shared.monitor.breach()
                && self.ending.is_none()
            {
                let fault = match breach.reason {
                    Reason::ENHANCE_YOUR_CALM => {
                        Fault::new(Code::Excessive, format!("too many {}", breach.what))
                    }
                    _ => Fault::bad_request(breach.what),
                };
                self.end(fault, breach.reason);
                continue;
            }
            return match polled {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok((request, respond)))) => match self.begin(request, respond) {
                    Some(incoming) => Poll::Ready(Event::Incoming(Box::new(incoming))),
                    None => continue,
                },
                Poll::Ready(ended) => {
                    let result = match (self.ending.take(), ended) {
                        (Some(fault), _) => Err(fault),
                        (None, Some(Err(error))) => self.judge(fault::of_client(&error)),
                        (None, _) => Ok(()),
                    };
                    Poll::Ready(Event::Over(result))
                }
            };
        }
    }

    /// A client that has all its answers may leave as it likes: whatever of ours it does not take
    /// then, an acknowledgement for one, is none that it misses.
    fn judge(&self, fault: Fault) -> Result<(), Fault> {
        match fault.code {
            Code::ClientGone if self.shared.streams() == 0 => Ok(()),
            _ => Err(fault),
        }
    }

    /// How long nothing needs to happen.
    fn patience(&self) -> Duration {
        let timeouts = &self.shared.settings.timeouts;
        let now = ringgate_io::now();
        let left = |since: Instant, most: Duration| {
            most.saturating_sub(now.saturating_duration_since(since))
        };
        let mut within = match self.shared.idle_since() {
            Some(since) => left(since, timeouts.idle),
            // Streams have deadlines of their own.
            None => timeouts.idle,
        };
        if let Some(since) = self.shared.monitor.due_since() {
            within = within.min(left(since, timeouts.header));
        }
        if let Some(since) = self.draining
            && self.shared.idle_since().is_some()
        {
            within = within.min(left(since, DRAIN_PATIENCE));
        }
        within
    }

    /// A deadline came: whichever it was, what it is for may have moved meanwhile.
    fn elapsed(&mut self) {
        let timeouts = &self.shared.settings.timeouts;
        let now = ringgate_io::now();
        let is_past = |since: Instant, most: Duration| now.saturating_duration_since(since) >= most;
        if let Some(since) = self.shared.monitor.due_since()
            && is_past(since, timeouts.header)
        {
            let fault = Fault::new(Code::HeaderTimeout, "a header block came too slowly");
            let reason = fault::reset_reason(&fault);
            self.end(fault, reason);
        } else if let Some(since) = self.shared.idle_since() {
            if self.draining.is_some_and(|since| is_past(since, DRAIN_PATIENCE)) {
                self.h2.abrupt_shutdown(Reason::NO_ERROR);
            } else if is_past(since, timeouts.idle) {
                self.drain();
            }
        }
    }

    fn end(&mut self, fault: Fault, reason: Reason) {
        if self.ending.is_none() {
            self.h2.abrupt_shutdown(reason);
            self.ending = Some(fault);
        }
    }

    /// `None`: the client has reset it already.
    fn begin(
        &mut self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Payload>,
    ) -> Option<Incoming> {
        let mut cx = Context::from_waker(Waker::noop());
        if respond.poll_reset(&mut cx).is_ready() {
            return None;
        }
        self.requests += 1;
        let settings = &self.shared.settings;
        if settings.limits.requests_per_connection.is_some_and(|most| self.requests >= most) {
            self.drain();
        }
        let settings = &self.shared.settings;
        let end = request.body().is_end_stream();
        let parsed = heads::request(&request, end, settings.scheme, &settings.limits);
        let to_head = request.method() == http::Method::HEAD;
        let stream = |parsed: Option<&ParsedRequest>| {
            Rc::new(Stream {
                shared: self.shared.enter(),
                id: request.body().stream_id().as_u32(),
                respond: RefCell::new(respond),
                priority: parsed.map(|parsed| parsed.priority).unwrap_or_default(),
                to_head,
                tunnels: parsed.is_some_and(|parsed| parsed.head.upgrade.is_some()),
                expects: Cell::new(parsed.is_some_and(|parsed| parsed.expects_continue)),
                answered: Cell::new(false),
                raw: Cell::new(false),
                pauses: Cell::new(false),
                last_sent: Cell::new(None),
            })
        };
        Some(match parsed {
            Ok(parsed) => {
                let stream = stream(Some(&parsed));
                let body = Body::new(stream.clone(), request.into_body(), parsed.head.body);
                Incoming::Request(Exchange {
                    head: parsed.head,
                    body,
                    client: Client::new(stream),
                    connection: self.info.clone(),
                })
            }
            Err(fault) => Incoming::Refused { fault, client: Client::new(stream(None)) },
        })
    }
}

/// Deadlines that differ by less are not worth another.
const COARSE: Duration = Duration::from_millis(200);
