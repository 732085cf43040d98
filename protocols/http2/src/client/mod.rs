//! The node side of the gateway: connections that carry many requests at a time.

mod open;
mod receive;
mod send;
mod shared;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::client::Connection;
use ringgate_core::{Code, Fault, Limits, ReadIo, Scheme, WriteIo};

pub use open::ClientStream;
pub use receive::StreamReceiver;
pub use send::StreamSender;

use crate::fault;
use crate::monitor::Monitor;
use crate::payload::Payload;
use crate::wire::{Transport, Wire};
use shared::Shared;

/// Window of a stream: what a node may send of a body before the client takes it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Window of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What h2 keeps of a stream's data on its way out.
const SEND_BUFFER: usize = 256 * 1024;
/// Streams that are opened before the node has told how many it takes (RFC 9113 §6.5.2 recommends
/// that to be no less).
const FIRST_STREAMS: usize = 100;
/// Streams that were given up here, and whose late frames are still taken.
const RESET_STREAMS: usize = 32;

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
#[derive(Clone)]
pub struct Handle(Rc<Shared>);

/// What moves a connection. Its streams move only while it runs, in a task of its own.
pub struct Driver {
    connection: Connection<Transport, Payload>,
    wire: Rc<Wire>,
    shared: Rc<shared::State>,
}

/// Makes a connection of a byte stream to a node that speaks HTTP/2, by ALPN or prior knowledge
/// (RFC 9113 §3.2, §3.3). Waits for nothing: requests may be sent at once, before the node's
/// settings are known.
///
/// # Errors
/// The stream is broken.
pub async fn connect<R: ReadIo + 'static, W: WriteIo + 'static>(
    reader: R,
    writer: W,
    settings: Settings,
) -> Result<(Handle, Driver), Fault> {
    let wire = Wire::new(reader, writer, None, settings.send);
    let monitor = Rc::new(Monitor::of_client());
    let transport = Transport::new(wire.clone(), monitor.clone());
    let handshake = builder(&settings).handshake(transport);
    let (request, connection) = handshake.await.map_err(|error| fault::of_upstream(&error))?;
    let state = Rc::new(shared::State::new(monitor));
    let shared = Rc::new(Shared::new(request, state.clone(), settings));
    Ok((Handle(shared), Driver { connection, wire, shared: state }))
}

fn builder(settings: &Settings) -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(FIRST_STREAMS)
        .max_header_list_size(u32::try_from(settings.header_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(RESET_STREAMS);
    builder
}

impl Driver {
    /// Moves the connection to its end.
    ///
    /// # Errors
    /// What ended it, where that was not its last handle or a node that left in order. Its streams
    /// learn it by themselves.
    pub async fn run(mut self) -> Result<(), Fault> {
        let result = poll_fn(|cx| self.poll(cx)).await;
        self.shared.close();
        // Streams that are left learn of it by this.
        drop(self.connection);
        self.wire.close();
        result
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        // The room that a send has freed is there for what follows.
        self.wire.poll_send(cx);
        let polled = Pin::new(&mut self.connection).poll(cx);
        self.wire.poll_send(cx);
        self.shared.moved();
        match (polled, self.wire.send_error()) {
            (Poll::Ready(result), _) => {
                Poll::Ready(result.map_err(|error| fault::of_upstream(&error)))
            }
            (Poll::Pending, None) => Poll::Pending,
            (Poll::Pending, Some(kind)) => Poll::Ready(Err(fault::of_upstream_io(&kind.into()))),
        }
    }
}

impl Handle {
    /// Whether another request may be sent on it: it is neither broken nor does the node want to
    /// end it (GOAWAY).
    pub fn is_usable(&self) -> bool {
        self.0.state.is_usable()
    }

    /// How many further streams the node takes at the moment; 0 where the connection is not usable.
    pub fn room(&self) -> usize {
        self.0.room()
    }

    /// How many streams are under way.
    pub fn active(&self) -> usize {
        self.0.state.active()
    }

    /// Whether the node takes WebSockets (RFC 8441 §3). Not before its settings have come: see
    /// [`Handle::settings_came`].
    pub fn supports_extended_connect(&self) -> bool {
        self.0.supports_extended_connect()
    }

    /// Whether the node's settings are known.
    pub fn settings_came(&self) -> bool {
        self.0.state.monitor.settings_came()
    }

    /// Whether it has carried a request before.
    pub fn is_reused(&self) -> bool {
        self.0.state.has_served()
    }

    /// A way to send one request. It costs the node nothing until it is opened; where the node has
    /// no room then ([`Handle::room`]), it waits for a stream to end.
    pub fn stream(&self, waits: Waits) -> ClientStream {
        ClientStream::new(self.0.clone(), waits)
    }
}

/// A connection that cannot carry the request; nothing of it was sent.
fn unusable(detail: &'static str) -> Fault {
    Fault::new(Code::UpstreamClosed, detail).retry(ringgate_core::Retry::Yes)
}
