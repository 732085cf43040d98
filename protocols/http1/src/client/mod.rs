//! The node side of the gateway: connections that requests are sent on.

mod receive;
mod send;

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringgate_core::{
    Code, Fault, Limits, MEDIUM, Method, ReadIo, RequestHead, Retry, Upstream, WriteIo,
};

pub use receive::Receiver;
pub use send::Sender;

use crate::encode::{self, Told};
use crate::input::Input;
use crate::outgoing::{Framing, Outgoing};
use crate::output::Output;
use crate::scan::Bounds;

/// How long a receive stays posted on a connection that nobody uses, with its buffer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What bounds an exchange with a node.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    bounds: Bounds,
    /// The node takes no byte for so long.
    pub upstream_send: Duration,
    /// The node sends no byte for so long, once the request is sent.
    pub upstream_read: Duration,
}

impl Settings {
    /// The part of `limits` that concerns response heads, and the two waits.
    pub fn new(limits: &Limits, upstream_send: Duration, upstream_read: Duration) -> Settings {
        Settings { bounds: Bounds::from(limits), upstream_send, upstream_read }
    }
}

/// What the two halves of an exchange know of each other.
#[derive(Debug, Default)]
struct Link {
    /// The request is sent whole.
    sent: Cell<bool>,
    /// Counts sends, so that a wait for the answer knows of them.
    sends: Cell<u32>,
    /// A 101 came.
    raw: Cell<bool>,
    /// It has served before.
    reused: Cell<bool>,
}

impl Link {
    /// Whether a failure may come of the node having closed before the request reached it.
    fn retry(&self) -> Retry {
        if self.reused.get() { Retry::ReusedConnection } else { Retry::No }
    }
}

/// A connection to a node, free for a request.
///
/// Its halves are boxed: they move with every exchange.
pub struct ClientConnection<R, W> {
    input: Box<Input<R>>,
    output: Box<Output<W>>,
    link: Rc<Link>,
    settings: Settings,
}

impl<R: ReadIo + 'static, W: WriteIo + 'static> ClientConnection<R, W> {
    /// A fresh connection.
    pub fn new(reader: R, writer: W, settings: Settings) -> ClientConnection<R, W> {
        ClientConnection {
            input: Box::new(Input::new(reader)),
            output: Box::new(Output::new(writer)),
            link: Rc::default(),
            settings,
        }
    }

    /// Sets what bounds the next exchange: a route may have its own timeouts.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Whether it has served before.
    pub fn is_reused(&self) -> bool {
        self.link.reused.get()
    }

    /// Whether the node has closed it, or said something unasked: it cannot serve then. Costs no
    /// system call; what arrives later shows as [`Retry::ReusedConnection`].
    ///
    /// To be called before use, and about every second while idle: a buffer that is posted for
    /// the next answer goes back to the pool by it.
    pub fn is_stale(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match self.input.poll_armed(&mut cx) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Poll::Ready(_) => return true,
        }
        self.input.ended() || !self.input.bytes().is_empty() || !self.output.is_whole()
    }

    /// Returns when it cannot serve any more. Cancel-safe.
    pub async fn closed(&mut self) {
        if self.is_stale() {
            return;
        }
        match self.input.armed().await {
            Some(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Some(_) => return,
            None => {}
        }
        // Readable without having been asked for anything: an end, an error, or garbage.
        let _ = self.input.readable(Duration::from_secs(24 * 60 * 60)).await;
    }
}

impl<R: ReadIo + 'static, W: WriteIo + 'static> Upstream for ClientConnection<R, W> {
    type Send = Sender<W>;
    type Receive = Receiver<R>;

    async fn open(self, head: &RequestHead, end: bool) -> Result<(Sender<W>, Receiver<R>), Fault> {
        let told = encode::request_length(head.method, head.body, end);
        let Some(text) = encode::request(head, told) else {
            return Err(Fault::new(Code::Internal, "request line cannot be written"));
        };
        let framing = match told {
            Told::Nothing => Framing::Exact(0),
            Told::Length(length) => Framing::Exact(length),
            Told::Chunked => Framing::Chunked,
        };
        self.link.sent.set(false);
        let mut send = Sender::new(
            self.output,
            Outgoing::new(text, framing),
            self.link.clone(),
            self.settings.upstream_send,
        );
        let receive = Receiver::new(
            self.input,
            self.link,
            self.settings,
            head.method == Method::Head,
            head.upgrade.is_some(),
        );
        if end {
            ringgate_core::Transmit::send(&mut send, ringgate_core::Frame::End).await?;
        }
        Ok((send, receive))
    }

    /// The receive for the next answer is posted here already: it tells when the node closes
    /// meanwhile ([`ClientConnection::is_stale`]), and an answer needs just one either way.
    fn rejoin(send: Sender<W>, receive: Receiver<R>) -> Option<Self> {
        let settings = receive.settings();
        let link = receive.link().clone();
        let output = send.into_output()?;
        let mut input = receive.into_input()?;
        link.reused.set(true);
        input.arm(MEDIUM, PATIENCE.min(settings.upstream_read / 4));
        let mut connection = ClientConnection { input, output, link, settings };
        (!connection.is_stale()).then_some(connection)
    }
}
