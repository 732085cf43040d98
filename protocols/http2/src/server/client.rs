//! The answer.

use std::rc::Rc;
use std::time::{Duration, Instant};

use ringgate_core::{BodyLength, Code, Fault, Frame, Respond, ResponseHead};

use crate::fault;
use crate::outgoing::{Outgoing, Stop};
use crate::priority::Priority;

use super::stream::Stream;

/// The way back to the client.
pub struct Client {
    stream: Rc<Stream>,
    outgoing: Outgoing,
    priority: Priority,
    /// The final head was sent.
    begun: bool,
    /// The answer is one that has no body, whatever comes.
    bodiless: bool,
}

impl Client {
    pub(super) fn new(stream: Rc<Stream>, priority: Priority) -> Client {
        let outgoing = Outgoing::new(stream.engine.clone(), stream.id, None, false);
        Client { stream, outgoing, priority, begun: false, bodiless: false }
    }

    fn within(&self) -> Duration {
        self.stream.settings.timeouts.send
    }

    /// The length that is told, and whether there is no body at all (RFC 9110 §6.4.1, §8.6).
    fn framing(&self, head: &ResponseHead) -> (Option<u64>, bool) {
        let told = match head.body {
            BodyLength::Exact(length) => Some(length),
            BodyLength::Empty | BodyLength::Unknown => None,
        };
        match head.status {
            ..200 | 204 => (None, true),
            304 => (told, true),
            _ => (told, self.stream.to_head),
        }
    }

    /// Writes a head when there is room for it.
    async fn write(
        &mut self,
        head: &ResponseHead,
        length: Option<u64>,
        switches: bool,
        end: bool,
    ) -> Result<(), Fault> {
        let room = self.outgoing.room(self.within()).await;
        let id = self.outgoing.id();
        let written = room.and_then(|()| {
            let mut engine = self.outgoing.engine().borrow_mut();
            Ok(engine.answer(id, head, length, switches, end)?)
        });
        written.map_err(|stop| fault::of_client_send(&stop))
    }

    fn sent(&self, result: Result<(), Stop>) -> Result<(), Fault> {
        match result {
            Ok(()) => {
                if self.stream.pauses.get() {
                    self.stream.last_sent.set(Some(Instant::now()));
                }
                Ok(())
            }
            Err(stop) => Err(fault::of_client_send(&stop)),
        }
    }
}

impl Respond for Client {
    async fn inform(&mut self, head: &ResponseHead) -> Result<(), Fault> {
        if self.stream.answered.get() || !head.is_interim() {
            return Ok(());
        }
        if head.status == 100 {
            self.stream.expects.set(false);
        }
        self.write(head, None, false, false).await
    }

    /// A 101 is sent as the 200 that opens an extended CONNECT's tunnel. Another answer of 2xx to
    /// one would open it too, though the node has not switched: it becomes a 502 (RFC 8441 §5).
    async fn head(&mut self, mut head: ResponseHead, end: bool) -> Result<(), Fault> {
        if self.stream.answered.replace(true) || head.is_interim() {
            return Err(Fault::new(Code::Internal, "a second final head").on_stream());
        }
        let switches = head.status == 101;
        if switches && !self.stream.tunnels {
            return Err(Fault::new(Code::Internal, "101 to a request of HTTP/2").on_stream());
        }
        if self.stream.tunnels && (200..300).contains(&head.status) {
            head = ResponseHead::new(502);
            head.body = BodyLength::Exact(0);
        }
        let (length, bodiless) = match switches {
            true => (None, false),
            false => self.framing(&head),
        };
        if let Some(field) = head.headers.get_named(b"priority") {
            let priority = self.priority.update(field);
            self.stream.engine.borrow_mut().prioritize(self.stream.id, priority);
        }
        self.bodiless = bodiless || head.body == BodyLength::Exact(0);
        let end = !switches && (end || self.bodiless);
        self.write(&head, length, switches, end).await?;
        self.stream.raw.set(switches);
        if switches {
            self.stream.pauses.set(true);
        }
        self.outgoing.begin(length, end);
        self.begun = true;
        Ok(())
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Fault> {
        if !self.begun {
            return Err(Fault::new(Code::Internal, "a body before its head").on_stream());
        }
        if self.bodiless {
            return Ok(());
        }
        let result = self.outgoing.send(frame, self.within()).await;
        self.sent(result)
    }

    /// What was handed over leaves when the connection's task has its turn.
    async fn flush(&mut self) -> Result<(), Fault> {
        self.sent(self.outgoing.check())
    }

    fn reset(&mut self, fault: &Fault) {
        if !self.outgoing.is_ended() {
            self.outgoing.reset(fault::reset_code(fault));
        }
    }

    async fn gone(&mut self) {
        self.outgoing.gone().await;
    }
}
