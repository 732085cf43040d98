//! The ways to a WebSocket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::frames::Socket;
use crate::h2::raw::{Event, RawFrame, flag, kind};
use crate::h2::{Duplex, Edge, NAME, Peer, Transport};
use crate::support::{Resources, SOON, upstream};

/// How a client opens one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// HTTP/1.1, in the clear or over TLS.
    Upgrade(Transport),
    /// Extended CONNECT.
    Connect(Transport),
}

/// All of them.
pub(crate) const WAYS: [Way; 4] = [
    Way::Upgrade(Transport::Clear),
    Way::Upgrade(Transport::Tls),
    Way::Connect(Transport::Clear),
    Way::Connect(Transport::Tls),
];

/// A gateway in front of a node that takes WebSockets and speaks `scheme`.
pub(crate) fn gateway(node: SocketAddr, scheme: &str) -> Edge {
    Edge::start(resources(node, scheme))
}

pub(crate) fn resources(node: SocketAddr, scheme: &str) -> Resources {
    let mut upstream = upstream(&[node]);
    upstream["scheme"] = json!(scheme);
    Resources::new().route(json!({
        "id": "ws", "uri": "/*", "enable_websocket": true, "upstream": upstream,
    }))
}

/// The key of RFC 6455 §1.3, and what proves that it was understood.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const PROOF: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The answer to a handshake.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
}

impl Answered {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(this, _)| this.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Opens a WebSocket through a gateway.
#[track_caller]
pub(crate) fn open(edge: &Edge, way: Way, fields: &[(&str, &str)]) -> Socket {
    let (answered, socket) = handshake(edge, way, fields);
    let status = if matches!(way, Way::Connect(_)) { 200 } else { 101 };
    assert_eq!(answered.status, status, "{way:?}: {answered:?}\n{}", edge.gateway.log());
    socket
}

/// Opens one where it is let, and tells what the gateway said.
#[track_caller]
pub(crate) fn handshake(edge: &Edge, way: Way, fields: &[(&str, &str)]) -> (Answered, Socket) {
    match way {
        Way::Upgrade(transport) => {
            let stream = TcpStream::connect(edge.address(transport)).unwrap();
            upgrade(prepared(stream), fields, |stream| match transport {
                Transport::Clear => Box::new(stream),
                Transport::Tls => Box::new(edge.secure(stream, b"http/1.1")),
            })
        }
        Way::Connect(transport) => connect(edge.open(transport), fields),
    }
}

/// Opens one at a server without a gateway.
#[track_caller]
pub(crate) fn bare(address: SocketAddr, fields: &[(&str, &str)]) -> Socket {
    let stream = prepared(TcpStream::connect(address).unwrap());
    let (answered, socket) = upgrade(stream, fields, |stream| Box::new(stream));
    assert_eq!(answered.status, 101);
    socket
}

fn prepared(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

fn upgrade(
    stream: TcpStream,
    fields: &[(&str, &str)],
    dress: impl FnOnce(TcpStream) -> Box<dyn Duplex>,
) -> (Answered, Socket) {
    let mut stream = dress(stream);
    let mut request = format!(
        "GET /chat HTTP/1.1\r\nHost: {NAME}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    for (name, value) in fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.flush().unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).expect("a head"), 1, "{}", head.escape_ascii());
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let fields = lines.filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let answered = Answered { status, fields };
    if status == 101 {
        assert_eq!(answered.field("sec-websocket-accept"), Some(PROOF));
    }
    (answered, Socket::new(stream, Vec::new()))
}

fn connect(mut peer: Peer, fields: &[(&str, &str)]) -> (Answered, Socket) {
    let mut head = vec![
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/chat"),
        (":authority", NAME),
        ("sec-websocket-version", "13"),
    ];
    head.extend(fields);
    peer.headers(1, &head, false);
    let frame = peer.next_of(kind::HEADERS).expect("an answer");
    let fields = peer.decode(&frame.payload);
    let status = fields[0].1.parse().unwrap();
    let stream =
        Tunnel { peer, ended: frame.has(flag::END_STREAM), ahead: Vec::new(), room: WINDOWS };
    (Answered { status, fields }, Socket::new(Box::new(stream), Vec::new()))
}

/// What may be sent on a stream and on a connection before the gateway gives more room: its
/// settings, and what it says behind them.
const WINDOWS: [i64; 2] = [256 * 1024, 1024 * 1024];

/// The stream of an extended CONNECT, as bytes.
struct Tunnel {
    peer: Peer,
    ended: bool,
    /// Came while room was waited for.
    ahead: Vec<u8>,
    /// Of the stream and of the connection.
    room: [i64; 2],
}

impl Tunnel {
    /// Takes the next frame.
    fn turn(&mut self) -> io::Result<()> {
        match self.peer.event() {
            Event::Frame(RawFrame { kind: kind::DATA, flags, payload, .. }) => {
                if !payload.is_empty() {
                    self.peer.say(kind::WINDOW_UPDATE, 0, 0, (payload.len() as u32).to_be_bytes());
                    self.peer.say(kind::WINDOW_UPDATE, 0, 1, (payload.len() as u32).to_be_bytes());
                }
                self.ended |= flags & flag::END_STREAM != 0;
                self.ahead.extend(payload);
            }
            Event::Frame(RawFrame { kind: kind::WINDOW_UPDATE, stream, payload, .. }) => {
                let which = usize::from(stream == 0);
                self.room[which] += i64::from(u32::from_be_bytes(payload.try_into().unwrap()));
            }
            Event::Frame(RawFrame { kind: kind::RST_STREAM | kind::GOAWAY, stream, .. }) => {
                // A GOAWAY of a drain lets the stream go on.
                self.ended |= stream != 0;
            }
            Event::Frame(_) => {}
            Event::Closed => self.ended = true,
            Event::Silence => return Err(io::ErrorKind::TimedOut.into()),
        }
        Ok(())
    }
}

impl Read for Tunnel {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.ahead.is_empty() {
            if self.ended {
                return Ok(0);
            }
            self.turn()?;
        }
        let taken = into.len().min(self.ahead.len());
        into[..taken].copy_from_slice(&self.ahead[..taken]);
        self.ahead.drain(..taken);
        Ok(taken)
    }
}

impl Write for Tunnel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while self.room[0].min(self.room[1]) <= 0 {
            if self.ended {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.turn()?;
        }
        let room = self.room[0].min(self.room[1]) as usize;
        let taken = bytes.len().min(room).min(16 * 1024);
        self.room = self.room.map(|room| room - taken as i64);
        self.peer.try_bytes(&RawFrame::new(kind::DATA, 0, 1, &bytes[..taken]).bytes())?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
