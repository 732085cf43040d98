//! Where a head ends, looked for only in the bytes that are new: a head that comes byte by byte
//! costs no more than one that comes whole.

use memchr::memchr_iter;
use ringgate_core::Limits;

/// Why a head is refused. What it becomes depends on whose head it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// It breaks the grammar, or two statements in it disagree.
    Malformed(&'static str),
    /// Its first line is above the limit.
    LineTooLong,
    /// Its fields are above the limits.
    TooLarge(&'static str),
    /// An HTTP version that this codec does not speak.
    Version,
    /// A method or transfer coding that is not spoken here.
    NotImplemented(&'static str),
    /// An `Expect` that is not `100-continue`.
    Expectation,
}

/// Bounds on a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) line: usize,
    pub(crate) fields: usize,
    pub(crate) count: usize,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Bounds {
        Bounds {
            line: limits.request_line,
            fields: limits.header_bytes,
            count: limits.header_count,
        }
    }
}

/// Where a whole head lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Its first byte, behind empty lines.
    pub(crate) start: usize,
    /// Behind its empty line.
    pub(crate) end: usize,
}

/// Empty lines that a server skips before a request line (RFC 9112 §2.2).
const BLANK_LINES: u8 = 2;

/// Finds line ends, in order, and counts.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    /// Where the head starts.
    start: usize,
    /// Where the line under way starts.
    line: usize,
    /// How far line ends were looked for.
    scanned: usize,
    /// Behind the first line; 0 before.
    fields_at: usize,
    lines: usize,
    blank: u8,
}

impl HeadScan {
    /// Goes on over `bytes`, which begin where they began before. `None`: more is needed.
    pub(crate) fn advance(
        &mut self,
        bytes: &[u8],
        bounds: &Bounds,
    ) -> Result<Option<Extent>, HeadError> {
        let from = self.scanned;
        for found in memchr_iter(b'\n', &bytes[from..]) {
            let at = from + found;
            self.check_length(at + 1, bounds)?;
            // RFC 9112 §2.2 lets a recipient take a bare LF for a line end; where the next hop
            // does and we do not, or the other way round, requests are smuggled. So nobody's is.
            if at == self.line || bytes[at - 1] != b'\r' {
                return Err(HeadError::Malformed("line ends without CR"));
            }
            self.scanned = at + 1;
            let empty = at == self.line + 1;
            self.line = at + 1;
            match (empty, self.fields_at) {
                (true, 0) => {
                    self.blank += 1;
                    if self.blank > BLANK_LINES {
                        return Err(HeadError::Malformed("empty lines before the head"));
                    }
                    self.start = at + 1;
                }
                (true, _) => {
                    return Ok(Some(Extent { start: self.start, end: at + 1 }));
                }
                (false, 0) => {
                    self.fields_at = at + 1;
                    self.lines = 1;
                }
                (false, _) => {
                    self.lines += 1;
                    if self.lines - 1 > bounds.count {
                        return Err(HeadError::TooLarge("too many fields"));
                    }
                }
            }
        }
        self.scanned = bytes.len();
        self.check_length(bytes.len(), bounds)?;
        Ok(None)
    }

    fn check_length(&self, end: usize, bounds: &Bounds) -> Result<(), HeadError> {
        match self.fields_at {
            0 if end - self.start > bounds.line + 2 => Err(HeadError::LineTooLong),
            0 => Ok(()),
            // The empty line does not count.
            at if end - at > bounds.fields + 2 => Err(HeadError::TooLarge("too many bytes")),
            _ => Ok(()),
        }
    }

    /// Nothing was looked at yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.scanned == 0
    }

    /// How many bytes of empty lines came, where nothing else did. They are forgotten (but stay
    /// counted), and the bytes are to be consumed: a client that sends CRLF behind a body is idle.
    pub(crate) fn skip_blank(&mut self, len: usize) -> Option<usize> {
        if self.start != len {
            return None;
        }
        let blank = self.blank;
        *self = HeadScan { blank, ..HeadScan::default() };
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { line: 20, fields: 30, count: 2 };

    fn scan(bytes: &[u8]) -> Result<Option<Extent>, HeadError> {
        let whole = HeadScan::default().advance(bytes, &BOUNDS);
        let mut scan = HeadScan::default();
        let dribbled = (1..=bytes.len())
            .map(|n| scan.advance(&bytes[..n], &BOUNDS))
            .find(|result| !matches!(result, Ok(None)))
            .unwrap_or(Ok(None));
        assert_eq!(whole, dribbled, "{}", String::from_utf8_lossy(bytes));
        whole
    }

    #[test]
    fn finds_the_end_and_counts() {
        let extent = |start, end| Ok(Some(Extent { start, end }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\n\r\n"), extent(0, 18));
        assert_eq!(scan(b"\r\nA\r\nb: c\r\n\r\nbody\n"), extent(2, 13));
        assert_eq!(scan(b"A\r\nb: c\r\n"), Ok(None));
        assert_eq!(scan(b""), Ok(None));
    }

    #[test]
    fn keeps_the_limits() {
        assert_eq!(scan(&[b'a'; 23]), Err(HeadError::LineTooLong));
        assert_eq!(
            scan(b"A\r\nb:c\r\nb:c\r\nb:c\r\n"),
            Err(HeadError::TooLarge("too many fields"))
        );
        let mut long = b"A\r\nb:".to_vec();
        long.resize(60, b'x');
        assert_eq!(scan(&long), Err(HeadError::TooLarge("too many bytes")));
        assert!(scan(b"A\nb: c\r\n").is_err());
        assert!(scan(b"\n").is_err());
        assert!(scan(b"A\r\n\n").is_err());
        assert!(scan(b"\r\n\r\n\r\nA").is_err());
    }
}
