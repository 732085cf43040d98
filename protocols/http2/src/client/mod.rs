//! The node side of the gateway: connections that carry many requests at a time.

mod open;
mod receive;
mod send;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringgate_core::{Code, Fault, Limits, ReadIo, Retry, Scheme, Scope, WriteIo};

pub use open::ClientStream;
pub use receive::StreamReceiver;
pub use send::StreamSender;

use crate::engine::{End, Engine, Shared};
use crate::fault;
use crate::heads::Bounds;
use crate::wire::Wire;

/// What bounds a connection to a node.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What `:scheme` says: whether there is TLS in between.
    pub scheme: Scheme,
    /// Bytes of an answer's header section.
    pub header_bytes: usize,
    /// Fields of an answer's header section, and of its trailers.
    pub header_count: usize,
    /// The node's socket takes no byte for so long: the connection is lost.
    pub send: Duration,
}

impl Settings {
    /// The part of `limits` that concerns response heads, and the bound on sends.
    pub fn new(limits: &Limits, scheme: Scheme, send: Duration) -> Settings {
        Settings {
            scheme,
            header_bytes: limits.header_bytes,
            header_count: limits.header_count,
            send,
        }
    }
}

/// Bounds on the waits of one stream: a route may have its own.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// The node takes no byte of the request for so long.
    pub upstream_send: Duration,
    /// The node sends no byte of the answer for so long, once the request is sent.
    pub upstream_read: Duration,
}

/// A connection to a node, for whoever has requests. When the last handle and the last stream are
/// gone, the connection is closed.
pub struct Handle(Rc<Connection>);

/// What handles and streams have in common.
struct Connection {
    engine: Shared,
    scheme: Scheme,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.engine.borrow_mut().abandon();
    }
}

impl Clone for Handle {
    fn clone(&self) -> Handle {
        Handle(self.0.clone())
    }
}

/// What moves a connection. Its streams move only while it runs, in a task of its own.
pub struct Driver {
    engine: Shared,
    wire: Wire,
}

/// Makes a connection of a byte stream to a node that speaks HTTP/2, by ALPN or prior knowledge
/// (RFC 9113 §3.2, §3.3). Waits for nothing: requests may be sent at once, before the node's
/// settings are known.
///
/// # Errors
/// None so far.
pub async fn connect<R: ReadIo + 'static, W: WriteIo + 'static>(
    reader: R,
    writer: W,
    settings: Settings,
) -> Result<(Handle, Driver), Fault> {
    let wire = Wire::new(reader, writer, None, settings.send);
    let bounds = Bounds { bytes: settings.header_bytes, count: settings.header_count };
    let engine = Rc::new(RefCell::new(Engine::client(bounds)));
    let connection = Connection { engine: engine.clone(), scheme: settings.scheme };
    Ok((Handle(Rc::new(connection)), Driver { engine, wire }))
}

impl Driver {
    /// Moves the connection to its end.
    ///
    /// # Errors
    /// What ended it, where that was not its last handle or a node that left in order. Its streams
    /// learn it by themselves.
    pub async fn run(mut self) -> Result<(), Fault> {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        // What is left to say, for a node that listens.
        if !matches!(ended, Some(End::Io(_))) {
            let _ = poll_fn(|cx| self.wire.poll_shutdown(cx, &self.engine)).await;
        }
        ended.map_or(Ok(()), |end| Err(fault::of_upstream(end)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        let engine = &self.engine;
        engine.borrow_mut().begin(cx);
        self.wire.poll_turn(cx, engine, || false);
        let mut engine = engine.borrow_mut();
        engine.rest();
        if engine.streams() == 0 && (engine.users == 0 || engine.away().is_some()) {
            engine.leave();
            engine.end(End::Closed);
            return Poll::Ready(None);
        }
        match engine.over() {
            // A node that closes while nothing is asked of it does so in order.
            Some(End::Closed) if engine.streams() == 0 => Poll::Ready(None),
            Some(end) => Poll::Ready(Some(end)),
            None => Poll::Pending,
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.engine.borrow_mut().end(End::Closed);
    }
}

impl Connection {
    /// What a failure says about trying again. `heard`: something of the answer came.
    fn judge(&self, fault: Fault, stream: u32, heard: bool) -> Fault {
        if fault.code != Code::UpstreamClosed || heard {
            return fault;
        }
        let engine = self.engine.borrow();
        // RFC 9113 §6.8: not worked on, and never will be.
        if engine.was_left_out(stream) {
            let detail = format!("node went away before it took the stream ({})", fault.detail);
            return Fault::new(Code::UpstreamRefused, detail).retry(Retry::Yes);
        }
        // A node that resets a stream has seen it; one that closes may not have.
        if fault.scope == Scope::Connection && fault.retry == Retry::No && engine.has_served() {
            return fault.retry(Retry::ReusedConnection);
        }
        fault
    }

    /// A stream heard nothing for so long. Where nothing at all came meanwhile, the node is not
    /// there any more: further requests are not to wait for it.
    fn silent_for(&self, time: Duration) {
        let mut engine = self.engine.borrow_mut();
        let heard = ringgate_io::now().saturating_duration_since(engine.heard());
        if heard >= time.saturating_sub(ringgate_io::TICK * 2) {
            engine.give_up();
        }
    }
}

impl Handle {
    /// Whether another request may be sent on it: it is neither broken nor does the node want to
    /// end it (GOAWAY).
    pub fn is_usable(&self) -> bool {
        self.0.engine.borrow().is_usable()
    }

    /// How many further streams the node takes at the moment; 0 where the connection is not usable.
    pub fn room(&self) -> usize {
        self.0.engine.borrow().room()
    }

    /// How many streams are under way.
    pub fn active(&self) -> usize {
        self.0.engine.borrow().streams()
    }

    /// Whether the node takes WebSockets (RFC 8441 §3). Not before its settings have come: see
    /// [`Handle::settings_came`].
    pub fn supports_extended_connect(&self) -> bool {
        self.0.engine.borrow().takes_extended_connect()
    }

    /// Whether the node's settings are known.
    pub fn settings_came(&self) -> bool {
        self.0.engine.borrow().settings_came()
    }

    /// Whether it has carried a request before.
    pub fn is_reused(&self) -> bool {
        self.0.engine.borrow().has_served()
    }

    /// A way to send one request. It costs the node nothing until it is opened; where the node has
    /// no room then ([`Handle::room`]), it waits for a stream to end.
    pub fn stream(&self, waits: Waits) -> ClientStream {
        ClientStream::new(self.0.clone(), waits)
    }
}

/// A connection that cannot carry the request; nothing of it was sent.
fn unusable(detail: &'static str) -> Fault {
    Fault::new(Code::UpstreamClosed, detail).retry(Retry::Yes)
}
