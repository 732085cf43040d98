//! Length-prefixed messages (`doc/PROTOCOL-HTTP2.md`, *Length-Prefixed-Message*): a byte of flags,
//! four bytes of length in network order, then the message.

use std::fmt;

use bytes::Bytes;

/// Bytes before a message.
pub const PREFIX: usize = 5;

/// The flag of a message that is compressed as `grpc-encoding` says.
const COMPRESSED: u8 = 1;

/// One message of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The byte of flags, as it came.
    pub flags: u8,
    /// The message.
    pub payload: Bytes,
}

impl Message {
    /// Whether it is compressed as `grpc-encoding` says.
    pub fn is_compressed(&self) -> bool {
        self.flags & COMPRESSED != 0
    }

    /// Whether it is gRPC-Web's frame of trailers.
    pub fn is_trailers(&self) -> bool {
        self.flags & crate::web::TRAILERS != 0
    }
}

/// Why a body is no sequence of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramingError {
    /// A message is larger than is taken.
    TooLarge {
        /// What its prefix says.
        len: u32,
        /// What is taken.
        max: usize,
    },
    /// Flags that nobody has defined.
    Flags(u8),
    /// The body ends inside a message.
    Cut,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FramingError::TooLarge { len, max } => {
                write!(f, "a message of {len} bytes, more than {max}")
            }
            FramingError::Flags(flags) => write!(f, "a message with the flags {flags:#04x}"),
            FramingError::Cut => f.write_str("the body ends inside a message"),
        }
    }
}

impl std::error::Error for FramingError {}

/// Takes the bytes of a body as they come and gives the messages that are whole. It holds one
/// message at most, and no more room than came for it.
#[derive(Debug)]
pub struct MessageReader {
    max: usize,
    flags: u8,
    prefix: [u8; PREFIX],
    /// How much of the prefix is there.
    filled: usize,
    body: Vec<u8>,
}

impl MessageReader {
    /// A reader of gRPC's messages of at most `max` bytes.
    pub fn new(max: usize) -> MessageReader {
        MessageReader { max, flags: COMPRESSED, prefix: [0; PREFIX], filled: 0, body: Vec::new() }
    }

    /// The same for gRPC-Web, where the trailers are a frame too.
    pub fn web(max: usize) -> MessageReader {
        MessageReader { flags: COMPRESSED | crate::web::TRAILERS, ..MessageReader::new(max) }
    }

    /// The next whole message of `bytes`, which are advanced over what was taken; `None`: they are
    /// all taken. Behind an error there is nothing more to read.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, FramingError> {
        if self.filled < PREFIX {
            let taken = bytes.len().min(PREFIX - self.filled);
            let (front, rest) = bytes.split_at(taken);
            self.prefix[self.filled..self.filled + taken].copy_from_slice(front);
            self.filled += taken;
            *bytes = rest;
            // Before its length is there: a stream of something else is told at its first byte.
            if self.filled > 0 && self.prefix[0] & !self.flags != 0 {
                return Err(FramingError::Flags(self.prefix[0]));
            }
            if self.filled < PREFIX {
                return Ok(None);
            }
        }
        let [flags, len @ ..] = self.prefix;
        let len = u32::from_be_bytes(len);
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        if wanted > self.max {
            return Err(FramingError::TooLarge { len, max: self.max });
        }
        let missing = wanted - self.body.len();
        if bytes.len() < missing {
            self.body.extend_from_slice(bytes);
            *bytes = &[];
            return Ok(None);
        }
        let (front, rest) = bytes.split_at(missing);
        *bytes = rest;
        let mut payload = std::mem::take(&mut self.body);
        payload.extend_from_slice(front);
        self.filled = 0;
        Ok(Some(Message { flags, payload: Bytes::from(payload) }))
    }

    /// Whether the body may end here.
    pub fn finish(&self) -> Result<(), FramingError> {
        if self.filled == 0 { Ok(()) } else { Err(FramingError::Cut) }
    }
}

/// Follows messages that pass by, to know whether one is whole where they break off.
#[derive(Debug, Default)]
pub struct Boundary {
    prefix: [u8; PREFIX],
    filled: usize,
    /// What is missing of the message.
    missing: usize,
}

impl Boundary {
    /// These bytes passed.
    pub fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.missing == 0 {
                self.prefix[self.filled] = bytes[0];
                self.filled += 1;
                bytes = &bytes[1..];
                if self.filled == PREFIX {
                    let [_, len @ ..] = self.prefix;
                    self.missing = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
                    self.filled = 0;
                }
            }
            let passing = bytes.len().min(self.missing);
            self.missing -= passing;
            bytes = &bytes[passing..];
        }
    }

    /// Whether the last message is whole.
    pub fn is_reached(&self) -> bool {
        self.filled == 0 && self.missing == 0
    }
}

/// What stands before a message of `len` bytes. Lengths above 4 GiB cannot be told; nobody has
/// such messages.
pub fn prefix(flags: u8, len: usize) -> [u8; PREFIX] {
    let [a, b, c, d] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [flags, a, b, c, d]
}

/// An uncompressed message with its prefix.
pub fn framed(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(PREFIX + message.len());
    out.extend_from_slice(&prefix(0, message.len()));
    out.extend_from_slice(message);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(reader: &mut MessageReader, mut bytes: &[u8]) -> Result<Vec<Message>, FramingError> {
        let mut messages = Vec::new();
        while let Some(message) = reader.next(&mut bytes)? {
            messages.push(message);
        }
        Ok(messages)
    }

    #[test]
    fn errors_are_told_as_early_as_they_show() {
        let mut reader = MessageReader::new(4);
        assert_eq!(read(&mut reader, b"{"), Err(FramingError::Flags(b'{')));
        let mut reader = MessageReader::new(4);
        assert_eq!(read(&mut reader, &[0x80]), Err(FramingError::Flags(0x80)));
        let mut reader = MessageReader::new(4);
        assert_eq!(
            read(&mut reader, &[0, 0, 0, 0, 5]),
            Err(FramingError::TooLarge { len: 5, max: 4 })
        );
        let mut reader = MessageReader::new(4);
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(read(&mut reader, &[1, 0, 0, 0, 2, 7]), Ok(vec![]));
        assert_eq!(reader.finish(), Err(FramingError::Cut));
        let messages = read(&mut reader, &[8, 0, 0, 0, 0, 0]).unwrap();
        assert!(messages[0].is_compressed() && !messages[0].is_trailers());
        assert_eq!((&*messages[0].payload, messages.len()), (&[7, 8][..], 2));
        assert!(messages[1].payload.is_empty());
        let mut reader = MessageReader::web(4);
        assert!(read(&mut reader, &[0x80, 0, 0, 0, 0]).unwrap()[0].is_trailers());
    }

    proptest! {
        /// However a body is cut, the same messages come out.
        #[test]
        fn any_cut_gives_the_same_messages(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
            cuts in proptest::collection::vec(1usize..12, 0..64),
        ) {
            let body: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
            let mut reader = MessageReader::new(40);
            let (mut rest, mut got) = (&body[..], Vec::new());
            let mut boundary = Boundary::default();
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (front, behind) = rest.split_at(cut.min(rest.len()));
                got.extend(read(&mut reader, front).expect("messages"));
                boundary.advance(front);
                prop_assert_eq!(boundary.is_reached(), reader.finish().is_ok());
                rest = behind;
            }
            reader.finish().expect("whole");
            let payloads: Vec<_> = got.iter().map(|message| message.payload.to_vec()).collect();
            prop_assert_eq!(payloads, messages);
        }
    }
}
