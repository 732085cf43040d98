//! A client that says whatever a test wants it to, frame by frame (RFC 9113 §4, §6), over any
//! blocking stream.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::hpack::{self, Decoder, Field};

/// The client's connection preface (§3.4), without the SETTINGS behind it.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames (§6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const PRIORITY_UPDATE: u8 = 16;
}

/// Flags of frames (§6).
pub mod flag {
    pub const NONE: u8 = 0;
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 32;
}

/// Error codes (§7).
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// Settings (§6.5.2).
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl RawFrame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> RawFrame {
        RawFrame { kind, flags, stream, payload: payload.into() }
    }

    /// As it stands on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.has(flag::END_STREAM)
    }

    /// The error code of an RST_STREAM or a GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The last stream of a GOAWAY.
    pub fn last_stream(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }

    /// The settings of a SETTINGS.
    pub fn settings(&self) -> Vec<(u16, u32)> {
        let number = |part: &[u8]| part.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        self.payload.chunks(6).map(|part| (number(&part[..2]) as u16, number(&part[2..]))).collect()
    }
}

/// What a client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Frame(RawFrame),
    /// The server has ended the connection, whatever way.
    Closed,
    /// Nothing came in time.
    Silence,
}

/// An answer that was read whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawAnswer {
    /// Status codes of interim heads.
    pub interim: Vec<u16>,
    pub status: u16,
    pub fields: Vec<Field>,
    pub body: Vec<u8>,
    pub trailers: Option<Vec<Field>>,
    /// What the stream was reset with.
    pub reset: Option<u32>,
}

impl RawAnswer {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(this, _)| this == name).map(|(_, value)| value.as_str())
    }
}

/// The test's end of a connection. It says nothing by itself, not even acknowledgements; [`open`]
/// makes one that has exchanged settings.
///
/// [`open`]: RawClient::open
pub struct RawClient<S> {
    stream: S,
    decoder: Decoder,
    /// Read, and not a whole frame yet.
    buffer: Vec<u8>,
    /// DATA that comes opens the windows again.
    pub opens_windows: bool,
}

impl RawClient<TcpStream> {
    /// Connects, and exchanges empty settings.
    pub fn open(address: SocketAddr) -> RawClient<TcpStream> {
        let mut client = RawClient::connect(address);
        client.handshake(&[]);
        client
    }

    /// Connects and says nothing. What it waits for comes within 20 s or not at all.
    pub fn connect(address: SocketAddr) -> RawClient<TcpStream> {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        RawClient::over(stream)
    }

    /// Bounds the wait for what comes.
    pub fn patience(&self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).unwrap();
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl<S: Read + Write> RawClient<S> {
    /// A client over a stream that is there already, a TLS session for one.
    pub fn over(stream: S) -> RawClient<S> {
        RawClient { stream, decoder: Decoder::default(), buffer: Vec::new(), opens_windows: true }
    }

    /// Sends the preface with these settings, and reads the server's until it has taken ours.
    pub fn handshake(&mut self, settings: &[(u16, u32)]) -> Vec<(u16, u32)> {
        self.bytes(PREFACE);
        self.settings(settings);
        let mut theirs = Vec::new();
        loop {
            let frame = self.next().expect("a server that greets");
            match frame.kind {
                kind::SETTINGS if frame.has(flag::ACK) => return theirs,
                kind::SETTINGS => {
                    theirs = frame.settings();
                    self.frame(kind::SETTINGS, flag::ACK, 0, []);
                }
                _ => {}
            }
        }
    }

    /// Sends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.try_bytes(bytes).unwrap();
    }

    /// The same, where the server may have closed.
    pub fn try_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a frame.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) {
        let frame = RawFrame::new(kind, flags, stream, payload);
        self.bytes(&frame.bytes());
    }

    pub fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.frame(kind::SETTINGS, flag::NONE, 0, payload);
    }

    /// Sends a head of literals, in as many frames as it needs.
    pub fn headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        stream: u32,
        fields: &[(N, V)],
        end: bool,
    ) {
        let ends = if end { flag::END_STREAM } else { 0 };
        self.block(stream, &hpack::block(fields), ends, 16 * 1024);
    }

    /// Sends a header block in pieces of at most `piece` bytes.
    pub fn block(&mut self, stream: u32, block: &[u8], flags: u8, piece: usize) {
        let mut pieces = block.chunks(piece).peekable();
        let first = pieces.next().unwrap_or_default();
        let ends = |last: bool| if last { flag::END_HEADERS } else { 0 };
        self.frame(kind::HEADERS, flags | ends(pieces.peek().is_none()), stream, first);
        while let Some(piece) = pieces.next() {
            self.frame(kind::CONTINUATION, ends(pieces.peek().is_none()), stream, piece);
        }
    }

    /// Sends a request for `path`, with more fields; the body follows, or not.
    pub fn request(
        &mut self,
        stream: u32,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        end: bool,
    ) {
        self.headers(stream, &request(method, path, more), end);
    }

    /// Sends a GET.
    pub fn get(&mut self, stream: u32, path: &str) {
        self.request(stream, "GET", path, &[], true);
    }

    pub fn data(&mut self, stream: u32, payload: impl Into<Vec<u8>>, end: bool) {
        self.frame(kind::DATA, if end { flag::END_STREAM } else { 0 }, stream, payload);
    }

    pub fn reset(&mut self, stream: u32, code: u32) {
        self.frame(kind::RST_STREAM, flag::NONE, stream, code.to_be_bytes());
    }

    pub fn window(&mut self, stream: u32, increment: u32) {
        self.frame(kind::WINDOW_UPDATE, flag::NONE, stream, increment.to_be_bytes());
    }

    pub fn ping(&mut self, payload: [u8; 8]) {
        self.frame(kind::PING, flag::NONE, 0, payload);
    }

    /// The next frame; `None`: the server closed, or was silent for too long.
    pub fn next(&mut self) -> Option<RawFrame> {
        match self.event() {
            Event::Frame(frame) => Some(frame),
            Event::Closed | Event::Silence => None,
        }
    }

    /// What comes next.
    pub fn event(&mut self) -> Event {
        loop {
            if let Some(frame) = self.take() {
                return Event::Frame(frame);
            }
            let mut piece = [0; 16 * 1024];
            match self.stream.read(&mut piece) {
                Ok(0) => return Event::Closed,
                Ok(read) => self.buffer.extend(&piece[..read]),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Event::Silence,
                    _ => return Event::Closed,
                },
            }
        }
    }

    fn take(&mut self) -> Option<RawFrame> {
        let head = self.buffer.get(..9)?;
        let length = head[..3].iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7fff_ffff;
        let (kind, flags) = (head[3], head[4]);
        let payload = self.buffer.get(9..9 + length)?.to_vec();
        self.buffer.drain(..9 + length);
        Some(RawFrame { kind, flags, stream, payload })
    }

    /// The next frame of that kind; others before it are thrown away.
    pub fn next_of(&mut self, kind: u8) -> Option<RawFrame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The code of the GOAWAY that comes next; `None`: closed without a word.
    pub fn goodbye(&mut self) -> Option<u32> {
        self.next_of(kind::GOAWAY).map(|frame| frame.code())
    }

    /// Reads header blocks of the server.
    pub fn decode(&mut self, block: &[u8]) -> Vec<Field> {
        self.decoder.read(block)
    }

    /// Reads the answers to these streams, which may come in any order and mixed.
    ///
    /// # Panics
    /// Where the server closes before they are whole.
    pub fn answers(&mut self, streams: &[u32]) -> Vec<RawAnswer> {
        let mut answers = vec![RawAnswer::default(); streams.len()];
        let mut open = streams.len();
        while open > 0 {
            let frame = self.next().expect("an answer, not an end");
            let answer = streams.iter().position(|stream| *stream == frame.stream);
            if frame.kind == kind::HEADERS {
                let fields = self.decode(&frame.payload);
                if let Some(at) = answer {
                    answers[at].take_head(fields);
                }
            }
            if frame.kind == kind::GOAWAY {
                panic!("GOAWAY {} instead of an answer", frame.code());
            }
            let Some(at) = answer else {
                continue;
            };
            match frame.kind {
                kind::DATA => {
                    answers[at].body.extend(&frame.payload);
                    if self.opens_windows && !frame.payload.is_empty() {
                        self.window(0, frame.payload.len() as u32);
                        self.window(frame.stream, frame.payload.len() as u32);
                    }
                }
                kind::RST_STREAM => {
                    answers[at].reset = Some(frame.code());
                    open -= 1;
                }
                _ => {}
            }
            if frame.ends_stream() {
                open -= 1;
            }
        }
        answers
    }

    /// Reads the answer to one stream.
    pub fn answer(&mut self, stream: u32) -> RawAnswer {
        self.answers(&[stream]).remove(0)
    }
}

impl RawAnswer {
    fn take_head(&mut self, fields: Vec<Field>) {
        let status = fields.iter().find(|(name, _)| name == ":status");
        match status.map(|(_, status)| status.parse().unwrap()) {
            Some(interim @ 100..200) => self.interim.push(interim),
            Some(status) => {
                self.status = status;
                self.fields = fields;
            }
            None => self.trailers = Some(fields),
        }
    }
}

/// The fields of a request to `test.example`.
pub fn request<'a>(
    method: &'a str,
    path: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "test.example"),
        (":path", path),
    ];
    fields.extend(more);
    fields
}
