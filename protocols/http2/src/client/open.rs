//! Opening a stream.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use ringgate_core::{BodyLength, Code, Fault, HeaderId, Method, RequestHead, Upstream};

use crate::fault;
use crate::heads;
use crate::outgoing::Outgoing;
use crate::priority::Priority;

use super::receive::StreamReceiver;
use super::send::StreamSender;
use super::shared::{Entered, Shared};
use super::{Waits, unusable};

/// What the two halves of an exchange know of each other.
pub(super) struct Link {
    pub(super) entered: Entered,
    pub(super) stream: u32,
    pub(super) waits: Waits,
    /// The request is a HEAD.
    pub(super) to_head: bool,
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
        self.entered.shared().state.judge(fault, self.stream, self.heard.get())
    }
}

/// A way to send one request.
pub struct ClientStream {
    shared: Rc<Shared>,
    waits: Waits,
}

impl ClientStream {
    pub(super) fn new(shared: Rc<Shared>, waits: Waits) -> ClientStream {
        ClientStream { shared, waits }
    }

    /// Waits until `ready`; the connection may end meanwhile.
    async fn until(
        &self,
        mut ready: impl FnMut(&Shared) -> bool,
        late: &'static str,
    ) -> Result<(), Fault> {
        let state = &self.shared.state;
        let waited = poll_fn(|cx| {
            if !state.is_usable() {
                return Poll::Ready(Err(unusable("connection to the node has ended")));
            }
            if ready(&self.shared) {
                return Poll::Ready(Ok(()));
            }
            state.wait(cx);
            Poll::Pending
        });
        match ringgate_io::within(self.waits.upstream_send, pin!(waited)).await {
            Ok(waited) => waited,
            Err(_) => Err(Fault::new(Code::UpstreamBusy, late)),
        }
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
        let shared = &self.shared;
        let tunnels = head.upgrade().is_some();
        if tunnels {
            // Rare, and its room would be every request's.
            let settings = |shared: &Shared| shared.state.monitor.settings_came();
            Box::pin(self.until(settings, "node did not send its settings in time")).await?;
            if !shared.supports_extended_connect() {
                let detail = "node takes no WebSockets over HTTP/2 (RFC 8441)";
                return Err(Fault::new(Code::UpstreamInvalid, detail));
            }
        }
        if shared.room() == 0 {
            let room = |shared: &Shared| shared.room() > 0;
            Box::pin(self.until(room, "node had no room for another stream in time")).await?;
        }
        let Some(request) = heads::outgoing_request(head, shared.settings.scheme, end) else {
            return Err(Fault::new(Code::Internal, "request cannot be written in HTTP/2"));
        };
        let key = tunnels.then(|| head.headers.get(HeaderId::SecWebSocketKey).map(<[u8]>::to_vec));
        let end = end && !tunnels;
        let entered = shared.enter();
        let opened = shared.request().send_request(request, end);
        let (response, send) = opened.map_err(|error| {
            shared.state.give_up();
            fault::of_upstream(&error).retry(ringgate_core::Retry::Yes)
        })?;
        let length = match head.body {
            BodyLength::Exact(length) if !tunnels => Some(length),
            _ => None,
        };
        let link = Rc::new(Link {
            stream: send.stream_id().as_u32(),
            entered,
            waits: self.waits,
            to_head: head.method == Method::Head,
            sent: Cell::new(end),
            sends: Cell::new(0),
            heard: Cell::new(false),
            raw: Cell::new(false),
        });
        let monitor = shared.state.monitor.clone();
        let outgoing = Outgoing::new(send, monitor, Priority::default(), length, end);
        Ok((StreamSender::new(outgoing, link.clone()), StreamReceiver::new(response, link, key)))
    }

    /// Another stream of the connection, where that still takes one.
    fn rejoin(send: StreamSender, receive: StreamReceiver) -> Option<Self> {
        let link = receive.into_link();
        drop(send);
        let shared = link.entered.shared().clone();
        let waits = link.waits;
        shared.state.is_usable().then(|| ClientStream { shared, waits })
    }
}
