//! A connection to try a case on, and what a case may expect.

#![allow(unreachable_pub)]

use std::time::Duration;

use crate::h2::raw::{Event, PREFACE, RawFrame, code, flag, kind};
use crate::h2::{Edge, Peer, Transport, fields, hpack};

/// How a case went.
pub type Outcome = Result<(), String>;

/// A case.
pub struct Case {
    /// As the suite numbers it.
    pub section: &'static str,
    /// As the suite names it.
    pub name: &'static str,
    pub run: fn(&mut Spec) -> Outcome,
}

/// Writes a table of cases.
macro_rules! cases {
    ($($section:literal {$($name:literal => $run:expr;)+})+) => {
        #[allow(unreachable_pub)]
        /// By section and name.
        pub const CASES: &[crate::spec::Case] = &[$($(
            crate::spec::Case { section: $section, name: $name, run: $run },
        )+)+];
    };
}
pub(crate) use cases;

/// What a header block that cannot be decoded ends the connection with (RFC 9113 §4.3).
pub const NOT_DECODED: &[u32] = &[code::COMPRESSION_ERROR];

/// How long what has to come may take.
const SOON: Duration = Duration::from_secs(8);

/// A connection.
pub struct Spec<'e> {
    edge: &'e Edge,
    transport: Transport,
    pub peer: Peer,
}

impl<'e> Spec<'e> {
    pub fn new(edge: &'e Edge, transport: Transport) -> Spec<'e> {
        let peer = edge.connect(transport);
        peer.patience(SOON);
        Spec { edge, transport, peer }
    }

    /// Exchanges empty settings.
    pub fn greet(&mut self) {
        self.greet_with(&[]);
    }

    pub fn greet_with(&mut self, settings: &[(u16, u32)]) -> Vec<(u16, u32)> {
        self.peer.handshake(settings)
    }

    /// Sends a preface and empty settings and hears nothing yet.
    pub fn preface(&mut self) {
        let settings = RawFrame::new(kind::SETTINGS, 0, 0, []).bytes();
        self.bytes(&[PREFACE, &settings].concat());
    }

    /// A connection beside it.
    pub fn another(&self) -> Peer {
        self.edge.open(self.transport)
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.peer.try_bytes(bytes);
    }

    /// Sends a frame.
    pub fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) {
        self.peer.say(kind, flags, stream, payload);
    }

    /// Sends several frames at once: none of them is answered before the last was sent.
    pub fn say_all(&mut self, frames: &[RawFrame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(RawFrame::bytes).collect();
        self.bytes(&bytes);
    }

    /// Sends the head of a request without a body.
    pub fn get(&mut self, stream: u32) {
        self.say_all(&[get(stream)]);
    }

    /// Sends the head of a request whose body follows.
    pub fn post(&mut self, stream: u32) {
        self.say_all(&[post(stream)]);
    }

    /// Sends a head of these fields.
    pub fn head(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) {
        self.say_all(&[head(stream, fields, end)]);
    }

    /// The connection is ended with one of the codes, and closed.
    pub fn connection_error(&mut self, codes: &[u32]) -> Outcome {
        loop {
            match self.peer.event() {
                Event::Frame(frame) if frame.kind == kind::GOAWAY => {
                    let code = frame.code();
                    if !codes.contains(&code) {
                        return Err(format!("GOAWAY {code}, not one of {codes:?}"));
                    }
                    return self.closed();
                }
                Event::Frame(_) => {}
                other => return Err(format!("{other:?}, not GOAWAY {codes:?}")),
            }
        }
    }

    /// The connection is closed.
    pub fn closed(&mut self) -> Outcome {
        loop {
            match self.peer.event() {
                Event::Closed => return Ok(()),
                Event::Silence => return Err("the connection stays open".into()),
                Event::Frame(_) => {}
            }
        }
    }

    /// The stream is reset with one of the codes, or the connection is ended with it.
    pub fn stream_error(&mut self, stream: u32, codes: &[u32]) -> Outcome {
        loop {
            match self.peer.event() {
                Event::Frame(frame)
                    if frame.kind == kind::GOAWAY
                        || frame.kind == kind::RST_STREAM && frame.stream == stream =>
                {
                    let code = frame.code();
                    return match codes.contains(&code) {
                        true => Ok(()),
                        false => Err(format!("code {code}, not one of {codes:?}: {frame:?}")),
                    };
                }
                Event::Frame(_) => {}
                other => return Err(format!("{other:?}, not an error {codes:?}")),
            }
        }
    }

    /// A ping is answered: all before it was taken.
    pub fn alive(&mut self) -> Outcome {
        self.say(kind::PING, 0, 0, *b"h2spec!!");
        self.pong(*b"h2spec!!")
    }

    pub fn pong(&mut self, payload: [u8; 8]) -> Outcome {
        let frame = self.expect(kind::PING)?;
        match frame.has(flag::ACK) && frame.payload == payload {
            true => Ok(()),
            false => Err(format!("{frame:?} is not the answer to {payload:?}")),
        }
    }

    /// An answer of 2xx comes whole.
    pub fn answered(&mut self, stream: u32) -> Outcome {
        let answer = self.peer.answer(stream);
        match answer.status == 200 && answer.reset.is_none() {
            true => Ok(()),
            false => Err(format!("{answer:?}")),
        }
    }

    /// The next frame of that kind.
    pub fn expect(&mut self, wanted: u8) -> Result<RawFrame, String> {
        loop {
            match self.peer.event() {
                Event::Frame(frame) if frame.kind == wanted => return Ok(frame),
                Event::Frame(frame) if frame.kind == kind::GOAWAY => {
                    return Err(format!("GOAWAY {}, not a frame of kind {wanted}", frame.code()));
                }
                Event::Frame(_) => {}
                other => return Err(format!("{other:?}, not a frame of kind {wanted}")),
            }
        }
    }

    /// The GOAWAY that comes next.
    pub fn expect_goaway(&mut self) -> Result<RawFrame, String> {
        loop {
            match self.peer.event() {
                Event::Frame(frame) if frame.kind == kind::GOAWAY => return Ok(frame),
                Event::Frame(_) => {}
                other => return Err(format!("{other:?}, not a GOAWAY")),
            }
        }
    }

    /// The next DATA is that long.
    pub fn data_of(&mut self, length: usize) -> Outcome {
        let frame = self.expect(kind::DATA)?;
        match frame.payload.len() == length {
            true => Ok(()),
            false => Err(format!("DATA of {}, not of {length}", frame.payload.len())),
        }
    }

    /// The settings that were just sent are acknowledged.
    pub fn acknowledged(&mut self) -> Outcome {
        let frame = self.expect(kind::SETTINGS)?;
        if frame.has(flag::ACK) { Ok(()) } else { Err(format!("{frame:?}, not an ACK")) }
    }
}

/// A head of these fields.
pub fn head(stream: u32, fields: &[(&str, &str)], end: bool) -> RawFrame {
    let flags = flag::END_HEADERS | if end { flag::END_STREAM } else { 0 };
    RawFrame::new(kind::HEADERS, flags, stream, hpack::block(fields))
}

/// The head of a request without a body.
pub fn get(stream: u32) -> RawFrame {
    head(stream, &fields("GET", "/", &[]), true)
}

/// The head of a request whose body follows.
pub fn post(stream: u32) -> RawFrame {
    head(stream, &fields("POST", "/", &[]), false)
}

/// The header block of a GET.
pub fn block() -> Vec<u8> {
    hpack::block(&fields("GET", "/", &[]))
}

/// DATA.
pub fn data(stream: u32, payload: &[u8], end: bool) -> RawFrame {
    RawFrame::new(kind::DATA, if end { flag::END_STREAM } else { 0 }, stream, payload)
}

/// The payload of a PRIORITY (RFC 7540 §6.3), weight as on the wire.
pub fn priority(depends_on: u32, exclusive: bool, weight: u8) -> Vec<u8> {
    let first = depends_on | if exclusive { 1 << 31 } else { 0 };
    [&first.to_be_bytes()[..], &[weight]].concat()
}
