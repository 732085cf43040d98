//! A node's answer.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ringgate_core::{Answer, Code, Fault, Frame, MEDIUM, ReadIo, Receive, ResponseHead};

use crate::fault;
use crate::incoming::Incoming;
use crate::input::Input;
use crate::parse::{self, ParsedResponse, ResponseBody};
use crate::scan::{HeadError, HeadScan};

use super::{Link, Settings};

/// Interim heads that one answer may have. Each is passed on, so they are a way to flood.
const INTERIM: u32 = 32;

/// A wait that somebody else bounds.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Receives an answer.
pub struct Receiver<R> {
    input: Box<Input<R>>,
    incoming: Incoming,
    link: Rc<Link>,
    settings: Settings,
    to_head: bool,
    may_upgrade: bool,
    /// The final head came.
    begun: bool,
    keep_alive: bool,
    interim: u32,
    /// A byte of the answer came.
    heard: bool,
}

impl<R: ReadIo + 'static> Receiver<R> {
    pub(super) fn new(
        input: Box<Input<R>>,
        link: Rc<Link>,
        settings: Settings,
        to_head: bool,
        may_upgrade: bool,
    ) -> Receiver<R> {
        Receiver {
            input,
            incoming: Incoming::none(),
            link,
            settings,
            to_head,
            may_upgrade,
            begun: false,
            keep_alive: false,
            interim: 0,
            heard: false,
        }
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
    }

    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// The reader, where the answer was read whole and nothing is behind it: bytes that nobody
    /// asked for are never taken for the next answer.
    pub(super) fn into_input(self) -> Option<Box<Input<R>>> {
        let whole = self.begun
            && self.keep_alive
            && self.incoming.is_read()
            && self.input.bytes().is_empty()
            && !self.input.ended();
        whole.then_some(self.input)
    }

    /// Receives more. While the request is still on its way, the node may be silent: the time
    /// runs from the last byte in either direction.
    async fn more(&mut self, capacity: usize) -> Result<usize, Fault> {
        loop {
            let sends = self.link.sends.get();
            let within = if self.link.raw.get() { LONG } else { self.settings.upstream_read };
            match self.input.recv(capacity, within).await {
                Ok(n) => {
                    self.heard |= n > 0;
                    return Ok(n);
                }
                Err(error)
                    if error.kind() == io::ErrorKind::TimedOut
                        && (self.link.raw.get()
                            || !self.link.sent.get()
                            || self.link.sends.get() != sends) => {}
                Err(error) => return Err(self.silent(fault::of_upstream_recv(&error))),
            }
        }
    }

    /// The fault with its word on trying again: a node that closed before it said anything may
    /// have closed before it heard anything.
    fn silent(&self, fault: Fault) -> Fault {
        match fault.code {
            Code::UpstreamClosed if !self.heard => fault.retry(self.link.retry()),
            _ => fault,
        }
    }

    async fn read_head(&mut self) -> Result<ParsedResponse, Fault> {
        let mut scan = HeadScan::default();
        self.heard |= !self.input.bytes().is_empty();
        loop {
            let bytes = self.input.bytes();
            let bounds = &self.settings.bounds;
            // As on the server's side: nearly all are whole and right at the first look.
            if scan.is_fresh()
                && let Ok((parsed, end)) = parse::response(bytes, self.to_head, bounds)
            {
                self.input.consume(end);
                return Ok(parsed);
            }
            let found = scan.advance(bytes, bounds).map_err(fault::of_response)?;
            if let Some(extent) = found {
                if extent.start > 0 {
                    return Err(invalid("empty line before the status line"));
                }
                let parsed = parse::response(&bytes[..extent.end], self.to_head, bounds);
                self.input.consume(extent.end);
                return parsed.map(|(parsed, _)| parsed).map_err(fault::of_response);
            }
            if !self.input.has_room() {
                return Err(fault::of_response(HeadError::TooLarge(
                    "head above the largest buffer",
                )));
            }
            if self.input.ended() || self.more(MEDIUM).await? == 0 {
                let fault = Fault::new(Code::UpstreamClosed, "closed before the head was whole");
                return Err(self.silent(fault));
            }
        }
    }

    fn begin(&mut self, body: ResponseBody) {
        let bounds = &self.settings.bounds;
        self.begun = true;
        self.incoming = match body {
            ResponseBody::None => Incoming::none(),
            ResponseBody::Exact(length) => Incoming::exact(length).eager(),
            ResponseBody::Chunked => Incoming::chunked(bounds.fields, bounds.count),
            ResponseBody::Close | ResponseBody::Raw => Incoming::stream(),
        };
        if body == ResponseBody::Raw {
            self.link.raw.set(true);
        }
    }
}

fn invalid(detail: &'static str) -> Fault {
    Fault::new(Code::UpstreamInvalid, detail)
}

impl<R: ReadIo + 'static> Receive for Receiver<R> {
    async fn frame(&mut self) -> Result<Frame, Fault> {
        if !self.begun {
            return Err(Fault::new(Code::Internal, "body is read before its head"));
        }
        loop {
            if let Some(frame) = self.incoming.next(&mut self.input).map_err(fault::of_response)? {
                return Ok(frame);
            }
            let n = match self.input.ended() {
                true => 0,
                false => self.more(self.incoming.capacity()).await?,
            };
            if n == 0 {
                return match self.incoming.end() {
                    true => Ok(Frame::End),
                    false => {
                        self.keep_alive = false;
                        Err(Fault::new(Code::UpstreamClosed, "closed within a body"))
                    }
                };
            }
            self.incoming.grow(n, self.input.filled());
        }
    }

    fn consumed(&mut self, _: usize) {}

    fn is_ready(&self) -> bool {
        self.incoming.is_ready(&self.input)
    }
}

impl<R: ReadIo + 'static> Answer for Receiver<R> {
    async fn head(&mut self) -> Result<ResponseHead, Fault> {
        if self.begun {
            return Err(Fault::new(Code::Internal, "a second final head is read"));
        }
        let parsed = self.read_head().await?;
        if parsed.head.is_interim() {
            self.interim += 1;
            if self.interim > INTERIM {
                return Err(invalid("too many interim heads"));
            }
            return Ok(parsed.head);
        }
        if parsed.body == ResponseBody::Raw && !self.may_upgrade {
            return Err(invalid("switches protocols unasked"));
        }
        self.keep_alive = parsed.keep_alive;
        self.begin(parsed.body);
        Ok(parsed.head)
    }
}
