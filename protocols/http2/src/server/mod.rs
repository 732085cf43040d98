//! The client side of the gateway: connections that requests come on.

mod body;
mod client;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringgate_core::{
    Chunk, Code, ConnectionInfo, Exchange, Fault, Limits, ReadIo, Scheme, Timeouts, WriteIo,
};
use ringgate_io::Deadline;

pub use body::Body;
pub use client::Client;

use crate::code::Breach;
use crate::engine::{Accepted, End, Engine, Half, Shared};
use crate::fault;
use crate::flood::Flood;
use crate::wire::Wire;
use stream::Stream;

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
    engine: Owned,
    wire: Wire,
    settings: Rc<Settings>,
    info: Rc<ConnectionInfo>,
    deadline: Deadline,
    requests: u64,
    /// Why the connection is being ended, where it was not the client that broke a rule.
    ending: Option<Fault>,
}

/// The engine of a connection that its task moves: without that, its streams are over.
struct Owned(Shared);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.borrow_mut().end(End::Closed);
    }
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
    let mut wire = Wire::new(reader, writer, Some(received), settings.timeouts.send);
    let flood = Flood::new(settings.limits.resets_per_connection);
    let engine = Engine::server(settings.clone(), flood);
    let engine = Owned(Rc::new(RefCell::new(engine)));
    let deadline = Deadline::new();
    let begun = {
        let begins = pin!(poll_fn(|cx| {
            engine.0.borrow_mut().begin(cx);
            wire.poll_turn(cx, &engine.0, || engine.0.borrow().has_begun());
            let mut engine = engine.0.borrow_mut();
            engine.rest();
            match engine.over() {
                Some(end) => Poll::Ready(Err(end)),
                None if engine.has_begun() => Poll::Ready(Ok(())),
                None => Poll::Pending,
            }
        }));
        deadline.bound(settings.timeouts.handshake, begins).await
    };
    let fault = match begun {
        Ok(Ok(())) => {
            let (requests, ending) = (0, None);
            return Ok(ServerConnection {
                engine,
                wire,
                settings,
                info,
                deadline,
                requests,
                ending,
            });
        }
        Ok(Err(end)) => fault::of_client(end),
        Err(_) => Fault::new(Code::HeaderTimeout, "connection preface came too slowly"),
    };
    // In order, as far as the client lets it: it may be one of another protocol.
    linger(&mut wire, &engine.0, &deadline).await;
    Err(fault)
}

async fn linger(wire: &mut Wire, engine: &Shared, deadline: &Deadline) {
    let mut most = LINGER;
    let lingering = pin!(poll_fn(|cx| wire.poll_linger(cx, engine, &mut most)));
    let _ = deadline.bound(LINGER_TIME, lingering).await;
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
        self.engine.0.borrow_mut().drain();
    }

    /// How many exchanges are under way.
    pub fn streams(&self) -> usize {
        self.engine.0.borrow().streams()
    }

    /// Closes the connection so that the client gets all that was sent: a client that is still
    /// sending would lose it to a reset otherwise. To be called when [`ServerConnection::next`]
    /// has given `None` or a fault.
    pub async fn close(mut self) {
        linger(&mut self.wire, &self.engine.0, &self.deadline).await;
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, within: Duration) -> Poll<Event> {
        let engine = &self.engine.0;
        engine.borrow_mut().begin(cx);
        if self.settings.draining.get() {
            engine.borrow_mut().drain();
        }
        self.wire.poll_turn(cx, engine, || {
            let engine = engine.borrow();
            engine.has_accepted() || engine.is_done()
        });
        engine.borrow_mut().rest();
        let accepted = engine.borrow_mut().accept();
        if let Some(accepted) = accepted {
            return Poll::Ready(Event::Incoming(Box::new(self.begin(*accepted))));
        }
        let (over, is_done) = (engine.borrow().over(), engine.borrow().is_done());
        match over {
            Some(end) => {
                let fault = self.ending.take().unwrap_or_else(|| fault::of_client(end));
                Poll::Ready(Event::Over(self.judge(fault)))
            }
            None if is_done => Poll::Ready(Event::Over(Ok(()))),
            None if self.patience() + COARSE < within => Poll::Ready(Event::Rearm),
            None => Poll::Pending,
        }
    }

    /// A client that has all its answers may leave as it likes: whatever of ours it does not take
    /// then, an acknowledgement for one, is none that it misses.
    fn judge(&self, fault: Fault) -> Result<(), Fault> {
        match fault.code {
            Code::ClientGone if self.streams() == 0 => Ok(()),
            _ => Err(fault),
        }
    }

    /// How long nothing needs to happen.
    fn patience(&self) -> Duration {
        let timeouts = &self.settings.timeouts;
        let now = ringgate_io::now();
        let left = |since: Instant, most: Duration| {
            most.saturating_sub(now.saturating_duration_since(since))
        };
        let engine = self.engine.0.borrow();
        let mut within = match engine.idle_since() {
            Some(since) => left(since, timeouts.idle),
            // Streams have deadlines of their own.
            None => timeouts.idle,
        };
        if let Some(since) = engine.due_since() {
            within = within.min(left(since, timeouts.header));
        }
        if let Some(since) = engine.draining_since()
            && engine.idle_since().is_some()
        {
            within = within.min(left(since, DRAIN_PATIENCE));
        }
        within
    }

    /// A deadline came: whichever it was, what it is for may have moved meanwhile.
    fn elapsed(&mut self) {
        let timeouts = &self.settings.timeouts;
        let now = ringgate_io::now();
        let is_past = |since: Instant, most: Duration| now.saturating_duration_since(since) >= most;
        let mut engine = self.engine.0.borrow_mut();
        if let Some(since) = engine.due_since()
            && is_past(since, timeouts.header)
        {
            let what = "a header block came too slowly";
            let fault = Fault::new(Code::HeaderTimeout, what);
            engine.breach(Breach::new(fault::reset_code(&fault), what));
            self.ending = Some(fault);
        } else if let Some(since) = engine.idle_since() {
            if engine.draining_since().is_some_and(|since| is_past(since, DRAIN_PATIENCE)) {
                engine.leave();
            } else if is_past(since, timeouts.idle) {
                engine.drain();
            }
        }
    }

    fn begin(&mut self, accepted: Accepted) -> Incoming {
        self.requests += 1;
        let limit = self.settings.limits.requests_per_connection;
        if limit.is_some_and(|most| self.requests >= most) {
            self.drain();
        }
        let Accepted { stream: id, request, to_head } = accepted;
        let stream = |tunnels: bool, expects: bool| {
            Rc::new(Stream {
                engine: self.engine.0.clone(),
                settings: self.settings.clone(),
                id,
                to_head,
                tunnels,
                expects: Cell::new(expects),
                answered: Cell::new(false),
                raw: Cell::new(false),
                pauses: Cell::new(false),
                last_sent: Cell::new(None),
            })
        };
        match request {
            Ok(parsed) => {
                let stream = stream(parsed.head.upgrade.is_some(), parsed.expects_continue);
                let body = Body::new(stream.clone(), parsed.head.body);
                Incoming::Request(Exchange {
                    head: parsed.head,
                    body,
                    client: Client::new(stream, parsed.priority),
                    connection: self.info.clone(),
                })
            }
            Err(fault) => {
                let client = Client::new(stream(false, false), Default::default());
                // Nobody is going to read what follows.
                self.engine.0.borrow_mut().release(id, Half::Reading);
                Incoming::Refused { fault, client }
            }
        }
    }
}

/// Deadlines that differ by less are not worth another.
const COARSE: Duration = Duration::from_millis(200);
