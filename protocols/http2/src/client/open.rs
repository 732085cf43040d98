//! Opening a stream.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use ringgate_core::{
    BodyLength, Code, Fault, HeaderId, Method, RequestHead, Upstream, find_invisible,
};

use crate::engine::Engine;
use crate::outgoing::Outgoing;

use super::receive::StreamReceiver;
use super::send::StreamSender;
use super::{Connection, Waits, unusable};

/// What the two halves of an exchange know of each other.
pub(super) struct Link {
    pub(super) connection: Rc<Connection>,
    pub(super) stream: u32,
    pub(super) waits: Waits,
    /// The request is sent whole.
    pub(super) sent: Cell<bool>,
    /// Counts steps of the request, so that a wait for the answer knows of them.
    pub(super) sends: Cell<u32>,
    /// Something of the answer came.
    pub(super) heard: Cell<bool>,
    /// The tunnel is open: bytes in both directions.
    pub(super) raw: Cell<bool>,
}

impl Link {
    /// The fault with its word on trying again.
    pub(super) fn judge(&self, fault: Fault) -> Fault {
        self.connection.judge(fault, self.stream, self.heard.get())
    }
}

/// A way to send one request.
pub struct ClientStream {
    connection: Rc<Connection>,
    waits: Waits,
}

impl ClientStream {
    pub(super) fn new(connection: Rc<Connection>, waits: Waits) -> ClientStream {
        ClientStream { connection, waits }
    }

    /// Waits until `ready`; the connection may end meanwhile.
    async fn until(
        &self,
        mut ready: impl FnMut(&Engine) -> bool,
        late: &'static str,
    ) -> Result<(), Fault> {
        let waited = poll_fn(|cx| {
            let mut engine = self.connection.engine.borrow_mut();
            if !engine.is_usable() {
                return Poll::Ready(Err(unusable("connection to the node has ended")));
            }
            if ready(&engine) {
                return Poll::Ready(Ok(()));
            }
            engine.wait(cx);
            Poll::Pending
        });
        match ringgate_io::within(self.waits.upstream_send, pin!(waited)).await {
            Ok(waited) => waited,
            Err(_) => Err(Fault::new(Code::UpstreamBusy, late)),
        }
    }

    /// Waits until a stream may be opened, where that is not so already.
    async fn admitted(&self, tunnels: bool) -> Result<(), Fault> {
        let engine = &self.connection.engine;
        if tunnels {
            let came = |engine: &Engine| engine.settings_came();
            Box::pin(self.until(came, "node did not send its settings in time")).await?;
            if !engine.borrow().takes_extended_connect() {
                let detail = "node takes no WebSockets over HTTP/2 (RFC 8441)";
                return Err(Fault::new(Code::UpstreamInvalid, detail));
            }
        }
        let has_room = |engine: &Engine| engine.room() > 0 && engine.out.room() > 0;
        let is_admitted = has_room(&engine.borrow());
        if !is_admitted {
            // Rare, and its room would be every request's.
            let late = "node had no room for another stream in time";
            Box::pin(self.until(has_room, late)).await?;
        }
        Ok(())
    }
}

impl Upstream for ClientStream {
    type Send = StreamSender;
    type Receive = StreamReceiver;

    /// A request that wants to switch to a WebSocket is sent as an extended CONNECT (RFC 8441);
    /// the answer is then the 101 that HTTP/1.1 would give.
    async fn open(
        self,
        head: &RequestHead,
        end: bool,
    ) -> Result<(StreamSender, StreamReceiver), Fault> {
        let tunnels = head.upgrade().is_some();
        self.admitted(tunnels).await?;
        if find_invisible(head.authority()).is_some() {
            return Err(Fault::new(Code::Internal, "request cannot be written in HTTP/2"));
        }
        let ClientStream { connection, waits } = self;
        let key = tunnels.then(|| head.headers.get(HeaderId::SecWebSocketKey).map(<[u8]>::to_vec));
        let end = end && !tunnels;
        let to_head = head.method == Method::Head;
        let opened = connection.engine.borrow_mut().open(head, connection.scheme, end, to_head);
        let Some(stream) = opened else {
            return Err(unusable("connection to the node has no streams left"));
        };
        let length = match head.body {
            BodyLength::Exact(length) if !tunnels => Some(length),
            _ => None,
        };
        let outgoing = Outgoing::new(connection.engine.clone(), stream, length, end);
        let link = Rc::new(Link {
            connection,
            stream,
            waits,
            sent: Cell::new(end),
            sends: Cell::new(0),
            heard: Cell::new(false),
            raw: Cell::new(false),
        });
        Ok((StreamSender::new(outgoing, link.clone()), StreamReceiver::new(link, key)))
    }

    /// Another stream of the connection, where that still takes one.
    fn rejoin(send: StreamSender, receive: StreamReceiver) -> Option<Self> {
        let (connection, waits) = receive.again();
        drop((send, receive));
        let is_usable = connection.engine.borrow().is_usable();
        is_usable.then(|| ClientStream { connection, waits })
    }
}
