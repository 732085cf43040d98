//! The request's way to a node.

use std::rc::Rc;
use std::time::Duration;

use ringgate_core::{Code, Fault, Frame, Transmit, WriteIo};

use crate::fault;
use crate::outgoing::{Batch, Misuse, Outgoing};
use crate::output::Output;

use super::Link;

/// Sends a request.
pub struct Sender<W> {
    output: Box<Output<W>>,
    outgoing: Outgoing,
    link: Rc<Link>,
    within: Duration,
    raw: bool,
}

impl<W: WriteIo + 'static> Sender<W> {
    pub(super) fn new(
        output: Box<Output<W>>,
        outgoing: Outgoing,
        link: Rc<Link>,
        within: Duration,
    ) -> Sender<W> {
        Sender { output, outgoing, link, within, raw: false }
    }

    /// The writer, where the request is sent whole.
    pub(super) fn into_output(self) -> Option<Box<Output<W>>> {
        let whole = self.outgoing.is_done()
            && !self.outgoing.is_holding()
            && self.output.is_whole()
            && !self.link.raw.get();
        whole.then_some(self.output)
    }

    async fn write(&mut self, batch: Batch) -> Result<(), Fault> {
        let Batch { first: mut next, second: mut last } = batch;
        while let Some(chunk) = next {
            if let Err(error) = self.output.send(chunk, self.within).await {
                // All that it will get: from now on the answer is due.
                self.link.sent.set(true);
                return Err(fault::of_upstream_send(&error).retry(self.link.retry()));
            }
            self.link.sends.set(self.link.sends.get().wrapping_add(1));
            next = last.take();
        }
        self.link.sent.set(self.outgoing.is_done() && !self.outgoing.is_holding());
        Ok(())
    }
}

impl<W: WriteIo + 'static> Transmit for Sender<W> {
    async fn send(&mut self, frame: Frame) -> Result<(), Fault> {
        if self.link.raw.get() && !self.raw {
            self.raw = true;
            self.outgoing.switch_to_stream();
        }
        let ends = !matches!(frame, Frame::Data(_));
        let batch = self.outgoing.push(frame).map_err(|misuse| match misuse {
            Misuse::TooMuch => Fault::new(Code::Internal, "request is longer than it said"),
            Misuse::TooLittle => Fault::new(Code::Internal, "request is shorter than it said"),
        })?;
        self.write(batch).await?;
        if ends && self.raw {
            self.output.shutdown().await.map_err(|error| fault::of_upstream_send(&error))?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        match self.outgoing.flush() {
            None => Ok(()),
            held => self.write(Batch { first: held, second: None }).await,
        }
    }

    fn reset(&mut self, _: &Fault) {
        self.output.abort();
    }
}
