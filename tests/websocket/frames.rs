//! Frames (RFC 6455 §5), as they are and as they should not be.

use std::io::{self, Read, Write};

use crate::h2::Duplex;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

const FIN: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame of a client, whole.
pub(crate) fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    head(FIN | opcode, payload.as_ref())
}

/// A frame that others follow.
pub(crate) fn part(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    head(opcode, payload.as_ref())
}

/// One with reserved bits.
pub(crate) fn reserved(bits: u8, opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    head(FIN | bits << 4 | opcode, payload.as_ref())
}

/// A Close with a code and a reason.
pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, [&code.to_be_bytes()[..], reason].concat())
}

fn head(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What a client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A frame: its first byte, its payload, whether it was masked.
    Frame(u8, Vec<u8>, bool),
    /// The connection has ended.
    End,
    /// Nothing came in time.
    Silence,
}

impl Heard {
    pub(crate) fn is_close(&self) -> bool {
        matches!(self, Heard::Frame(first, _, _) if first & 15 == CLOSE)
    }

    /// Short, for long payloads too.
    pub(crate) fn describe(&self) -> String {
        match self {
            Heard::Frame(first, payload, masked) => {
                let shown = &payload[..payload.len().min(40)];
                let sum = payload
                    .iter()
                    .fold(7u64, |sum, byte| sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte));
                let masked = if *masked { " masked" } else { "" };
                format!(
                    "{first:#04x}{masked} [{}] {sum:x} {:?}",
                    payload.len(),
                    shown.escape_ascii().to_string()
                )
            }
            other => format!("{other:?}"),
        }
    }
}

/// A WebSocket, from its handshake on.
pub(crate) struct Socket {
    stream: Box<dyn Duplex>,
    /// Read, and not a whole frame yet.
    buffer: Vec<u8>,
}

impl Socket {
    /// `read` came behind the handshake.
    pub(crate) fn new(stream: Box<dyn Duplex>, read: Vec<u8>) -> Socket {
        Socket { stream, buffer: read }
    }

    /// Sends bytes, where the other side may have left already.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// The next frame.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            if let Some(frame) = self.take() {
                return frame;
            }
            let mut piece = [0; 16 * 1024];
            match self.stream.read(&mut piece) {
                Ok(0) => return Heard::End,
                Ok(read) => self.buffer.extend(&piece[..read]),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Heard::Silence,
                    _ => return Heard::End,
                },
            }
        }
    }

    fn take(&mut self) -> Option<Heard> {
        let [first, second, ..] = *self.buffer else { return None };
        let (extended, masked) = (second & 0x7f, second & 0x80 != 0);
        let more = match extended {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = match more {
            0 => usize::from(extended),
            _ => {
                self.buffer.get(2..2 + more)?.iter().fold(0, |n, byte| n << 8 | usize::from(*byte))
            }
        };
        let begin = 2 + more + if masked { 4 } else { 0 };
        let payload = self.buffer.get(begin..begin + length)?.to_vec();
        self.buffer.drain(..begin + length);
        Some(Heard::Frame(first, payload, masked))
    }

    /// The next bytes, as they are.
    pub(crate) fn take_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.buffer);
        let read = bytes.len();
        bytes.resize(count, 0);
        self.stream.read_exact(&mut bytes[read..]).expect("so many bytes");
        bytes
    }

    /// What a message that is sent comes back as.
    pub(crate) fn echoed(&mut self, opcode: u8, payload: &[u8]) -> bool {
        self.send(&frame(opcode, payload));
        self.hear() == Heard::Frame(FIN | opcode, payload.to_vec(), false)
    }
}
