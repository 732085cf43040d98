//! The client side of the gateway: connections that requests come on.

mod body;
mod gone;
mod linger;
mod respond;
mod shared;

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ringgate_core::{
    BodyLength, Chunk, Code, ConnectionInfo, Exchange, Fault, Limits, ReadIo, SMALL, Scheme,
    Timeouts, WriteIo,
};

pub use body::Body;
pub use respond::Client;

use crate::fault;
use crate::incoming::Incoming;
use crate::parse::{self, ParsedRequest};
use crate::scan::{Bounds, HeadScan};
use shared::{Answer, Shared};

/// How long an idle connection keeps a small buffer posted before it gives it back and waits for
/// readiness only. Requests that follow one another closely then cost one operation, and a
/// connection that sleeps costs no buffer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an HTTP/2 client says first (RFC 9113 §3.4), up to where it looks like a head.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// What the connections of a listener share.
#[derive(Debug)]
pub struct Settings {
    /// Bounds on what a client may send.
    pub limits: Limits,
    /// Bounds on its waits.
    pub timeouts: Timeouts,
    /// The scheme that requests come in with.
    pub scheme: Scheme,
    /// The gateway is draining: every answer from now on closes its connection.
    pub draining: std::cell::Cell<bool>,
}

impl Settings {
    /// Settings of a listener that is not draining.
    pub fn new(limits: Limits, timeouts: Timeouts, scheme: Scheme) -> Settings {
        Settings { limits, timeouts, scheme, draining: std::cell::Cell::new(false) }
    }
}

/// An exchange of a [`ServerConnection`].
pub type ServerExchange<'a, R, W> = Exchange<Body<'a, R, W>, Client<'a, R, W>>;

/// A connection from a client.
pub struct ServerConnection<R, W> {
    shared: Shared<R, W>,
    info: Rc<ConnectionInfo>,
    requests: u64,
    /// No further request is served.
    over: bool,
    /// The client speaks HTTP/2.
    http2: bool,
}

impl<R: ReadIo + 'static, W: WriteIo + 'static> ServerConnection<R, W> {
    /// A connection on which nothing came yet.
    pub fn new(
        reader: R,
        writer: W,
        settings: Rc<Settings>,
        info: Rc<ConnectionInfo>,
    ) -> ServerConnection<R, W> {
        ServerConnection {
            shared: Shared::new(reader, writer, settings),
            info,
            requests: 0,
            over: false,
            http2: false,
        }
    }

    /// The next request; `None` where the client closed, was idle too long, or is not to send
    /// another. The exchange before it is finished first ([`ServerConnection::finish`]).
    ///
    /// A fault is of the request's head; where it is the client's doing and the client is still
    /// there, [`ServerConnection::refuse`] gives the way to tell it. No request comes behind one.
    pub async fn next(&mut self) -> Result<Option<ServerExchange<'_, R, W>>, Fault> {
        if !self.finish().await {
            return Ok(None);
        }
        // Until the head is whole, the answer to what came is the last one.
        self.over = true;
        let Some(parsed) = self.read_head().await? else {
            return Ok(None);
        };
        self.over = false;
        Ok(Some(self.begin(parsed)))
    }

    /// The way to answer a request whose head was refused. The connection closes after it.
    pub fn refuse(&mut self) -> Client<'_, R, W> {
        self.over = true;
        self.shared.refuse();
        Client::new(&self.shared)
    }

    /// Whether the client speaks HTTP/2, with prior knowledge (RFC 9113 §3.3): known once
    /// [`ServerConnection::next`] gave no request.
    pub fn is_http2(&self) -> bool {
        self.http2
    }

    /// The stream of such a client, with what came on it.
    pub fn into_stream(mut self) -> Option<(R, W, Chunk)> {
        let (reader, received) = self.shared.source.take_out()?.input.into_parts()?;
        let writer = self.shared.output.take_out()?.into_writer()?;
        Some((reader, writer, received))
    }

    /// What came of the request line of a head that was refused, without its end: for the log.
    pub fn refused_line(&mut self) -> &[u8] {
        let bytes = self.shared.source.get_mut().map_or(&[][..], |source| source.input.bytes());
        let mut lines = bytes.split(|byte| matches!(byte, b'\r' | b'\n'));
        lines.find(|line| !line.is_empty()).unwrap_or_default()
    }

    /// No request is taken after the one under way: its answer says `Connection: close`.
    pub fn close_after_this(&mut self) {
        self.shared.keep_alive.set(false);
    }

    /// Reads a head that is whole, or waits for it. The deadline runs from its first byte.
    async fn read_head(&mut self) -> Result<Option<ParsedRequest>, Fault> {
        let settings = self.shared.settings.clone();
        let (limits, timeouts) = (&settings.limits, &settings.timeouts);
        let bounds = Bounds::from(limits);
        let Some(source) = self.shared.source.get_mut() else {
            return Ok(None);
        };
        let input = &mut source.input;
        let mut scan = HeadScan::default();
        let mut deadline = None;
        loop {
            let bytes = input.bytes();
            // A head that is whole and right at the first look, as nearly all are, needs no search
            // for its end. Otherwise that decides what is wrong, wherever the head was cut.
            if scan.is_fresh()
                && let Ok((parsed, end)) = parse::request(bytes, settings.scheme, &bounds)
            {
                input.consume(end);
                return Ok(Some(parsed));
            }
            if let Some(extent) = scan.advance(bytes, &bounds).map_err(fault::of_request)? {
                let head = &bytes[extent.start..extent.end];
                if self.requests == 0 && extent.start == 0 && head == HTTP2_PREFACE {
                    self.http2 = true;
                    return Ok(None);
                }
                let parsed = parse::request(head, settings.scheme, &bounds);
                // What is refused stays: its first line is told (`refused_line`).
                let (parsed, _) = parsed.map_err(fault::of_request)?;
                input.consume(extent.end);
                return Ok(Some(parsed));
            }
            if let Some(blank) = scan.skip_blank(bytes.len()) {
                input.consume(blank);
                match input.recv_kept(SMALL, PATIENCE, timeouts.idle).await {
                    Ok(1..) => {}
                    // Closed, reset or idle between requests: nobody is owed a word.
                    Ok(0) | Err(_) => return Ok(None),
                }
                continue;
            }
            if !input.has_room() {
                return Err(Fault::new(Code::HeadersTooLarge, "head above the largest buffer"));
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + timeouts.header);
            let within = deadline.saturating_duration_since(Instant::now());
            match input.recv(SMALL, within).await {
                Ok(1..) if Instant::now() <= deadline + TICK => {}
                Ok(0) => return Err(Fault::new(Code::ClientGone, "closed within a head")),
                Err(error) if error.kind() != io::ErrorKind::TimedOut => {
                    return Err(Fault::new(Code::ClientGone, format!("receive: {error}")));
                }
                _ => return Err(Fault::new(Code::HeaderTimeout, "head came too slowly")),
            }
        }
    }

    fn begin(&mut self, parsed: ParsedRequest) -> ServerExchange<'_, R, W> {
        self.requests += 1;
        let shared = &mut self.shared;
        let settings = shared.settings.clone();
        let limits = &settings.limits;
        let last = limits.requests_per_connection.is_some_and(|most| self.requests >= most);
        // Such a body is refused unread, so that no request can come behind it.
        let oversized = match (parsed.head.body, limits.request_body) {
            (BodyLength::Exact(length), Some(most)) => length > most,
            _ => false,
        };
        shared.begin(&parsed, parsed.keep_alive && !last && !oversized);
        if let Some(source) = shared.source.get_mut() {
            source.incoming = match parsed.head.body {
                BodyLength::Empty => Incoming::none(),
                BodyLength::Exact(length) => Incoming::exact(length),
                BodyLength::Unknown => Incoming::chunked(limits.header_bytes, limits.header_count),
            };
            shared.body_read.set(source.incoming.is_read());
            shared.missing.set(source.incoming.remaining().unwrap_or(0));
        }
        let shared = &self.shared;
        Exchange {
            body: Body::new(shared, parsed.head.body),
            head: parsed.head,
            client: Client::new(shared),
            connection: self.info.clone(),
        }
    }

    /// Ends the exchange under way, if there is one; whether another request may come. A small
    /// rest of a body that nobody read is read and thrown away for that.
    pub async fn finish(&mut self) -> bool {
        if self.over {
            return false;
        }
        match self.shared.answer.get() {
            Answer::None if self.requests == 0 => return true,
            Answer::Whole => {}
            Answer::None | Answer::Begun | Answer::Broken => {
                self.over = true;
                return false;
            }
        }
        self.over = self.shared.raw.get()
            // While draining too: whoever was not told that this was the last one may ask again.
            || !self.shared.keep_alive.get()
            || (!self.shared.body_read.get() && !linger::drain(&mut self.shared).await);
        !self.over
    }

    /// Closes the connection so that the client gets all of its answer: a client that is still
    /// sending would lose it to a reset otherwise (RFC 9112 §9.6). An answer that broke off ends
    /// with a reset on purpose.
    pub async fn close(mut self) {
        linger::close(&mut self.shared).await;
    }
}

/// A deadline may come so much late (see [`ringgate_core::ReadIo`]).
const TICK: Duration = Duration::from_millis(100);
