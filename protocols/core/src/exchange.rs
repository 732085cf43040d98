//! The two seams that everything hangs on: what the client side of an exchange is, and what the
//! upstream side is. `serve` is written once against these traits; a protocol is added behind them.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::fault::Fault;
use crate::head::{RequestHead, ResponseHead};
use crate::headers::Headers;
use crate::lease::Chunk;
use crate::tls::TlsInfo;

/// A piece of a body.
#[derive(Debug)]
pub enum Frame {
    /// Some bytes, at least one.
    Data(Chunk),
    /// The trailers; the body ends with them.
    Trailers(Headers),
    /// The body ends.
    End,
}

/// What is known of the connection that a request came on.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// The peer's address, as the socket or a trusted PROXY header tells it.
    pub peer: SocketAddr,
    /// The address that the peer connected to.
    pub local: SocketAddr,
    /// What its TLS handshake agreed on; [`None`]: there is no TLS in between.
    pub tls: Option<Rc<TlsInfo>>,
    /// Unique in this process.
    pub id: u64,
}

/// A head and two halves that move at the same time (gRPC both ways, early answers): what the
/// client sends, and what it gets.
pub struct Exchange<R, S> {
    /// The request's head.
    pub head: RequestHead,
    /// The request's body.
    pub body: R,
    /// The way back to the client.
    pub client: S,
    /// The connection it came on.
    pub connection: Rc<ConnectionInfo>,
}

/// One direction of a body, from the client or from a node.
#[allow(async_fn_in_trait)] // one thread: no future here is ever Send
pub trait Receive {
    /// The next frame. Behind [`Frame::End`] or [`Frame::Trailers`], always `End`.
    ///
    /// Not to be dropped half-way where the connection goes on: bytes may be lost with it.
    async fn frame(&mut self) -> Result<Frame, Fault>;

    /// The other side took so many bytes: returns the flow-control credit.
    fn consumed(&mut self, bytes: usize);

    /// Whether the next [`Receive::frame`] returns without waiting for the peer.
    fn is_ready(&self) -> bool;

    /// What comes is a stream of messages, not a body that is on its way: from now on it may pause
    /// as long as a tunnel may, and there is no rate that it has to keep up.
    fn allow_pauses(&mut self) {}
}

/// The way back to the client.
#[allow(async_fn_in_trait)] // one thread: no future here is ever Send
pub trait Respond {
    /// Sends an interim (1xx) head; left out where the client's protocol has none (HTTP/1.0).
    async fn inform(&mut self, head: &ResponseHead) -> Result<(), Fault>;

    /// Sends the final head; with `end`, no body follows. May be held back until the first frame
    /// or [`Respond::flush`], so that both leave in one send. After a 101 (or 200 to an extended
    /// CONNECT) frames are raw bytes in both directions.
    async fn head(&mut self, head: ResponseHead, end: bool) -> Result<(), Fault>;

    /// Sends a frame of the body; returns when there is room for another: backpressure. A small
    /// one may be held back until the next frame or [`Respond::flush`].
    async fn send(&mut self, frame: Frame) -> Result<(), Fault>;

    /// Sends what is held back. To be called before waiting for anything else.
    async fn flush(&mut self) -> Result<(), Fault>;

    /// Ends the exchange in the middle of an answer: the client must see that it is not whole.
    fn reset(&mut self, fault: &Fault);

    /// Returns when the client left. Cancel-safe.
    async fn gone(&mut self);
}

/// The way to a node: frames up.
#[allow(async_fn_in_trait)] // one thread: no future here is ever Send
pub trait Transmit {
    /// Sends a frame of the request's body; returns when there is room for another. A small one
    /// may be held back until the next frame or [`Transmit::flush`].
    async fn send(&mut self, frame: Frame) -> Result<(), Fault>;

    /// Sends what is held back. To be called before waiting for anything else.
    async fn flush(&mut self) -> Result<(), Fault>;

    /// Gives the request up.
    fn reset(&mut self, fault: &Fault);
}

/// What a node answers: heads, interim ones first, then a body.
#[allow(async_fn_in_trait)] // one thread: no future here is ever Send
pub trait Answer: Receive {
    /// The next head; the last one is not [`ResponseHead::is_interim`].
    async fn head(&mut self) -> Result<ResponseHead, Fault>;
}

/// A way to send one request: a leased HTTP/1.1 connection, a stream of HTTP/2 or HTTP/3.
#[allow(async_fn_in_trait)] // one thread: no future here is ever Send
pub trait Upstream: Sized {
    /// The request's half.
    type Send: Transmit;
    /// The answer's half.
    type Receive: Answer;

    /// Sends the head; with `end`, no body follows. What is sent may be held back until the first
    /// frame or [`Transmit::flush`].
    async fn open(
        self,
        head: &RequestHead,
        end: bool,
    ) -> Result<(Self::Send, Self::Receive), Fault>;

    /// What is left when both halves are done: the connection, where it can serve again.
    fn rejoin(send: Self::Send, receive: Self::Receive) -> Option<Self>;
}
