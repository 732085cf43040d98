//! The answer.

use std::time::Instant;

use ringgate_core::{
    BodyLength, Chunk, Code, Fault, Frame, ReadIo, Respond, ResponseHead, WriteIo,
};

use crate::encode::{self, Persistence, Told};
use crate::fault;
use crate::incoming::fixed;
use crate::outgoing::{Batch, Framing, Misuse, Outgoing};

use super::gone;
use super::linger::DRAIN;
use super::shared::{Answer, Shared};

/// The way back to the client.
pub struct Client<'a, R, W> {
    shared: &'a Shared<R, W>,
    outgoing: Outgoing,
}

impl<'a, R: ReadIo + 'static, W: WriteIo + 'static> Client<'a, R, W> {
    pub(super) fn new(shared: &'a Shared<R, W>) -> Client<'a, R, W> {
        Client { shared, outgoing: Outgoing::idle() }
    }

    /// No request is taken after this one: the answer says `Connection: close`.
    pub fn close_after_this(&self) {
        self.shared.keep_alive.set(false);
    }

    /// How the body ends, and how that is told (RFC 9112 §6.1–6.3).
    fn framing(&self, head: &ResponseHead, end: bool) -> (Framing, Told) {
        let length = match head.body {
            BodyLength::Unknown if end => BodyLength::Empty,
            length => length,
        };
        match (head.status, length) {
            (..200 | 204, _) => (Framing::None, Told::Nothing),
            // These tell what there would be, where it is known.
            (304, BodyLength::Exact(length)) => (Framing::None, Told::Length(length)),
            (304, _) => (Framing::None, Told::Nothing),
            _ if self.shared.to_head.get() => match head.body {
                BodyLength::Exact(length) => (Framing::None, Told::Length(length)),
                BodyLength::Empty => (Framing::None, Told::Length(0)),
                BodyLength::Unknown => (Framing::None, Told::Nothing),
            },
            (_, BodyLength::Empty) => (Framing::Exact(0), Told::Length(0)),
            (_, BodyLength::Exact(length)) => (Framing::Exact(length), Told::Length(length)),
            (_, BodyLength::Unknown) if self.shared.old.get() => (Framing::Stream, Told::Nothing),
            (_, BodyLength::Unknown) => (Framing::Chunked, Told::Chunked),
        }
    }

    /// What is said of the connection (RFC 9112 §9.3), and done.
    fn persistence(&self, status: u16, framing: Framing) -> Persistence {
        if status == 101 {
            return Persistence::Upgrade;
        }
        let shared = self.shared;
        // Whether a client that still waits for 100 sends its body is not known: what comes next
        // could be either (RFC 9110 §10.1.1).
        if framing == Framing::Stream
            || shared.settings.draining.get()
            || shared.expects.get()
            // The rest of the body will not be waited for.
            || shared.missing.get() > DRAIN as u64
            || shared.source.take().is_some_and(|source| source.input.is_over())
        {
            shared.keep_alive.set(false);
        }
        match (shared.keep_alive.get(), shared.old.get()) {
            (false, _) => Persistence::Close,
            (true, true) => Persistence::KeepAlive,
            (true, false) => Persistence::Unsaid,
        }
    }

    async fn write(&mut self, batch: Batch) -> Result<(), Fault> {
        let Some(first) = batch.first else {
            self.settle();
            return Ok(());
        };
        let Some(mut output) = self.shared.output.take() else {
            return Err(Fault::new(Code::Internal, "answer is written twice at a time"));
        };
        let within = self.shared.settings.timeouts.send;
        let mut next = Some(first);
        let mut last = batch.second;
        while let Some(chunk) = next {
            if let Err(error) = output.send(chunk, within).await {
                self.shared.answer.set(Answer::Broken);
                return Err(fault::of_client_send(&error));
            }
            next = last.take();
        }
        drop(output);
        if self.shared.raw.get() {
            self.shared.last_sent.set(Some(Instant::now()));
        }
        self.settle();
        Ok(())
    }

    /// Marks the answer whole where it is.
    fn settle(&mut self) {
        if self.outgoing.is_done()
            && !self.outgoing.is_holding()
            && self.shared.answer.get() == Answer::Begun
        {
            self.shared.answer.set(Answer::Whole);
        }
    }

    fn misuse(&mut self, misuse: Misuse) -> Fault {
        self.shared.answer.set(Answer::Broken);
        match misuse {
            Misuse::TooMuch => Fault::new(Code::Internal, "answer is longer than it said"),
            Misuse::TooLittle => Fault::new(Code::Internal, "answer is shorter than it said"),
        }
    }

    async fn end_stream(&mut self) -> Result<(), Fault> {
        if let Some(mut output) = self.shared.output.take() {
            output.shutdown().await.map_err(|error| fault::of_client_send(&error))?;
        }
        Ok(())
    }

    async fn interim(&mut self, text: Chunk) -> Result<(), Fault> {
        let shared = self.shared;
        let Some(mut output) = shared.output.take() else {
            return Err(Fault::new(Code::Internal, "answer is written twice at a time"));
        };
        let within = shared.settings.timeouts.send;
        let mut result = output.send(text, within).await;
        if result.is_ok() && shared.continue_due.replace(false) {
            result = output.send(fixed("HTTP/1.1 100 Continue\r\n\r\n"), within).await;
        }
        result.map_err(|error| fault::of_client_send(&error))
    }
}

impl<R: ReadIo + 'static, W: WriteIo + 'static> Respond for Client<'_, R, W> {
    async fn inform(&mut self, head: &ResponseHead) -> Result<(), Fault> {
        if self.shared.old.get() || self.shared.answer.get() != Answer::None || !head.is_interim() {
            return Ok(());
        }
        if head.status == 100 {
            self.shared.expects.set(false);
        }
        self.interim(encode::response(head, Told::Nothing, Persistence::Unsaid)).await
    }

    async fn head(&mut self, head: ResponseHead, end: bool) -> Result<(), Fault> {
        if self.shared.answer.get() != Answer::None || head.is_interim() {
            return Err(Fault::new(Code::Internal, "a second final head"));
        }
        let (framing, told) = self.framing(&head, end);
        let persistence = self.persistence(head.status, framing);
        self.shared.answer.set(Answer::Begun);
        self.outgoing = Outgoing::new(encode::response(&head, told, persistence), framing);
        if head.status == 101 {
            self.shared.raw.set(true);
            self.outgoing.switch_to_stream();
            return self.flush().await;
        }
        if end {
            return self.send(Frame::End).await;
        }
        Ok(())
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Fault> {
        let ends = !matches!(frame, Frame::Data(_));
        let batch = self.outgoing.push(frame).map_err(|misuse| self.misuse(misuse))?;
        self.write(batch).await?;
        if ends && self.shared.raw.get() {
            self.end_stream().await?;
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
        if self.shared.answer.get() == Answer::Whole && !self.shared.raw.get() {
            return;
        }
        self.shared.answer.set(Answer::Broken);
        if let Some(mut output) = self.shared.output.take() {
            output.abort();
        }
    }

    async fn gone(&mut self) {
        gone::watch(self.shared).await;
    }
}
