//! The chunked transfer coding (RFC 9112 §7.1), without I/O.

use std::ops::Range;

use memchr::memchr;

/// Bytes of extensions that one chunk may have. Nobody uses them but attackers.
const EXTENSION: usize = 256;
/// Bytes of extensions that one body may have.
const EXTENSIONS: usize = 16 * 1024;
/// Digits of a chunk size: all that a `u64` holds.
const DIGITS: u8 = 16;

/// Why a chunked body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkError {
    /// It breaks the grammar.
    Malformed(&'static str),
    /// Its trailers are above the limit.
    TrailersTooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a size of so many digits.
    Size(u8),
    /// In an extension of so many bytes.
    Extension(usize),
    /// The CR of a size line came.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of the trailer section.
    TrailerStart,
    /// The CR of the empty line came, and no trailer before it.
    LastLf,
    /// In a trailer line that starts at this byte of the section.
    Trailer(usize),
    End,
}

/// What a step of the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Where the data lies now: in one piece, whatever number of chunks it came in.
    pub data: Range<usize>,
    /// How many bytes were read. The rest is behind the body.
    pub used: usize,
}

/// Decodes in place, over any cut of the input.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Of the chunk under way: its size while that is read, then what is left of it.
    size: u64,
    extensions: usize,
    trailers: Vec<u8>,
    trailer_limit: usize,
}

impl Decoder {
    /// A decoder that takes trailers of at most so many bytes.
    pub fn new(trailer_limit: usize) -> Decoder {
        Decoder {
            state: State::Size(0),
            size: 0,
            extensions: 0,
            trailers: Vec::new(),
            trailer_limit,
        }
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        self.state == State::End
    }

    /// The trailer section as it came, its empty line included; empty where there was none.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Decodes `bytes` in place. The data of the first chunk stays where it is; that of further
    /// ones moves up to it, so that it leaves in one piece. Reads all bytes up to the body's end.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, ChunkError> {
        let mut data = 0..0;
        let mut at = 0;
        while at < bytes.len() && self.state != State::End {
            match self.state {
                State::Data => {
                    let n = usize::try_from(self.size)
                        .map_or(bytes.len() - at, |size| size.min(bytes.len() - at));
                    if data.is_empty() {
                        data = at..at + n;
                    } else {
                        bytes.copy_within(at..at + n, data.end);
                        data.end += n;
                    }
                    at += n;
                    self.size -= n as u64;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::Trailer(line) => at += self.trailer(line, &bytes[at..])?,
                _ => {
                    // A trailer's first byte is read again as part of its line.
                    self.step(bytes[at])?;
                    at += usize::from(!matches!(self.state, State::Trailer(_)));
                }
            }
        }
        Ok(Decoded { data, used: at })
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (State::Size(digits), _) if byte.is_ascii_hexdigit() => {
                if digits == DIGITS {
                    return Err(ChunkError::Malformed("chunk size overflows"));
                }
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                self.size = self.size << 4 | u64::from(digit);
                State::Size(digits + 1)
            }
            (State::Size(0), _) => return Err(ChunkError::Malformed("chunk size is missing")),
            (State::Size(_) | State::Extension(_), b'\r') => State::SizeLf,
            (State::Size(_), b';') => State::Extension(0),
            (State::Size(_), _) => return Err(ChunkError::Malformed("chunk size has odd bytes")),
            (State::Extension(n), b'\t' | b' '..=b'~' | 0x80..) => {
                self.extensions += 1;
                if n >= EXTENSION || self.extensions > EXTENSIONS {
                    return Err(ChunkError::Malformed("chunk extensions are too long"));
                }
                State::Extension(n + 1)
            }
            (State::SizeLf, b'\n') if self.size == 0 => State::TrailerStart,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart, _) => State::Trailer(0),
            (State::LastLf, b'\n') => State::End,
            _ => return Err(ChunkError::Malformed("chunk framing is broken")),
        };
        Ok(())
    }

    /// Collects a trailer line up to its end, and says how many bytes that took.
    fn trailer(&mut self, line: usize, bytes: &[u8]) -> Result<usize, ChunkError> {
        let found = memchr(b'\n', bytes);
        let n = found.map_or(bytes.len(), |at| at + 1);
        if self.trailers.len() + n > self.trailer_limit.saturating_add(2) {
            return Err(ChunkError::TrailersTooLarge);
        }
        self.trailers.extend_from_slice(&bytes[..n]);
        if found.is_some() {
            match &self.trailers[line..] {
                b"\r\n" => self.state = State::End,
                [.., b'\r', b'\n'] => self.state = State::Trailer(self.trailers.len()),
                _ => return Err(ChunkError::Malformed("trailer line ends without CR")),
            }
        }
        Ok(n)
    }
}

/// The line before a chunk's data, behind the CRLF of the one before it where that is owed.
pub(crate) struct SizeLine {
    text: [u8; 20],
    start: usize,
}

impl SizeLine {
    pub(crate) fn new(size: usize, after_chunk: bool) -> SizeLine {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"                  \r\n";
        let mut start = 18;
        let mut rest = size;
        loop {
            start -= 1;
            text[start] = HEX[rest & 15];
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        if after_chunk {
            start -= 2;
            text[start..start + 2].copy_from_slice(b"\r\n");
        }
        SizeLine { text, start }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8]) -> Result<(Vec<u8>, Vec<u8>, usize, bool), ChunkError> {
        let mut decoder = Decoder::new(64);
        let mut bytes = input.to_vec();
        let decoded = decoder.decode(&mut bytes)?;
        let data = bytes[decoded.data].to_vec();
        Ok((data, decoder.trailers().to_vec(), decoded.used, decoder.is_done()))
    }

    #[test]
    fn joins_chunks_and_stops_at_the_end() {
        let (data, trailers, used, done) =
            decode(b"5;x=\"y\"\r\nhello\r\n006\r\n world\r\n0\r\n\r\nGET").unwrap();
        assert_eq!((&data[..], &trailers[..], done), (&b"hello world"[..], &b""[..], true));
        assert_eq!(used, 34);
        let (data, trailers, used, done) = decode(b"0\r\na: b\r\nc: d\r\n\r\nX").unwrap();
        assert_eq!((data.len(), used, done), (0, 17, true));
        assert_eq!(trailers, b"a: b\r\nc: d\r\n\r\n");
        assert!(!decode(b"5\r\nhello\r\n0\r\n").unwrap().3);
    }

    #[test]
    fn refuses_what_another_parser_may_read_otherwise() {
        for bad in [
            &b"\r\nhello"[..],
            b"5\nhello\r\n",
            b"5 \r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b"-1\r\n",
            b"5\r\nhelloX",
            b"5\r\nhello\n",
            b"5\r\nhello\rX",
            b"5\rXhello",
            b"00000000000000005\r\n",
            b"10000000000000000\r\n",
            b"5;a\0b\r\n",
            b"5;a\nb\r\n",
            b"0\r\n\n",
            b"0\r\na: b\n\r\n",
            b"0\r\n\rX",
        ] {
            assert!(decode(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let mut long = b"5;".to_vec();
        long.resize(300, b'x');
        assert_eq!(decode(&long), Err(ChunkError::Malformed("chunk extensions are too long")));
        let mut long = b"0\r\na: ".to_vec();
        long.resize(300, b'x');
        assert_eq!(decode(&long), Err(ChunkError::TrailersTooLarge));
    }

    #[test]
    fn size_lines() {
        assert_eq!(SizeLine::new(0, false).bytes(), b"0\r\n");
        assert_eq!(SizeLine::new(255, true).bytes(), b"\r\nff\r\n");
        assert_eq!(SizeLine::new(usize::MAX, true).bytes(), b"\r\nffffffffffffffff\r\n");
    }
}
