//! The request's way to a node.

use std::rc::Rc;

use ringgate_core::{Fault, Frame, Transmit};

use crate::code::ErrorCode;
use crate::fault;
use crate::outgoing::{Outgoing, Stop};

use super::open::Link;

/// Sends a request.
pub struct StreamSender {
    outgoing: Outgoing,
    link: Rc<Link>,
}

impl StreamSender {
    pub(super) fn new(outgoing: Outgoing, link: Rc<Link>) -> StreamSender {
        StreamSender { outgoing, link }
    }

    fn sent(&self, result: Result<(), Stop>) -> Result<(), Fault> {
        self.link.sends.set(self.link.sends.get().wrapping_add(1));
        // A failed one is all that the node will get: from now on the answer is due.
        self.link.sent.set(self.outgoing.is_ended() || result.is_err());
        result.map_err(|stop| self.link.judge(fault::of_upstream_send(&stop)))
    }
}

impl Transmit for StreamSender {
    async fn send(&mut self, frame: Frame) -> Result<(), Fault> {
        let result = self.outgoing.send(frame, self.link.waits.upstream_send).await;
        self.sent(result)
    }

    /// What was handed over leaves when the connection's task has its turn.
    async fn flush(&mut self) -> Result<(), Fault> {
        let result = self.outgoing.check();
        self.sent(result)
    }

    fn reset(&mut self, _: &Fault) {
        self.outgoing.reset(ErrorCode::CANCEL);
    }
}
