//! Frame headers in a stream of bytes (RFC 9113 §4.1), wherever it is cut.

/// What stands before a frame's payload, and where that is short, its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// Bytes of payload.
    pub(crate) length: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    /// The first eight bytes of the payload, zero where it has fewer; only of the kinds below.
    start: [u8; START],
}

/// How much of a payload is kept.
const START: usize = 8;
/// Bytes of a frame header.
const HEAD: usize = 9;

/// Kinds of frames (RFC 9113 §6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames (RFC 9113 §6).
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
}

impl FrameHead {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The first number of the payload: an error code, a window's increment, a last stream.
    pub(crate) fn number(&self) -> u32 {
        let [a, b, c, d, ..] = self.start;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The second one: a GOAWAY's code.
    pub(crate) fn code(&self) -> u32 {
        let [.., a, b, c, d] = self.start;
        u32::from_be_bytes([a, b, c, d])
    }
}

/// Who is told of frames.
pub(crate) trait FrameSink {
    /// A frame comes; whether its payload is to be told too. Not where its beginning was kept.
    fn frame(&mut self, head: &FrameHead) -> bool;

    /// More of the payload; `ends`: the last of it.
    fn payload(&mut self, bytes: &[u8], ends: bool);
}

/// Frames alone.
impl<F: FnMut(&FrameHead)> FrameSink for F {
    fn frame(&mut self, head: &FrameHead) -> bool {
        self(head);
        false
    }

    fn payload(&mut self, _: &[u8], _: bool) {}
}

/// Finds frame headers.
#[derive(Debug)]
pub(crate) struct FrameScan {
    head: [u8; HEAD + START],
    have: u8,
    need: u8,
    /// Bytes to pass over.
    skip: u32,
    /// The kind of frame that they belong to.
    kind: u8,
    /// They are told.
    told: bool,
}

impl FrameScan {
    /// A stream that begins with `preface` bytes of something else.
    pub(crate) fn behind(preface: u32) -> FrameScan {
        FrameScan {
            head: [0; HEAD + START],
            have: 0,
            need: HEAD as u8,
            skip: preface,
            kind: kind::DATA,
            told: false,
        }
    }

    /// Whether what came ends within a frame other than DATA: one that is due.
    pub(crate) fn is_within_control(&self) -> bool {
        self.have > 0 || self.skip > 0 && self.kind != kind::DATA
    }

    /// Goes on over `bytes`, which follow what came before, and tells each frame when its header
    /// (and the start of a short payload) is there.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut sink: impl FrameSink) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = bytes.len().min(self.skip as usize);
                self.skip -= skipped as u32;
                if self.told {
                    sink.payload(&bytes[..skipped], self.skip == 0);
                }
                bytes = &bytes[skipped..];
                continue;
            }
            let (have, need) = (usize::from(self.have), usize::from(self.need));
            let taken = bytes.len().min(need - have);
            self.head[have..have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken as u8;
            bytes = &bytes[taken..];
            if self.have < self.need {
                return;
            }
            let length = u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]]);
            if self.need == HEAD as u8 && keeps_start(self.head[3]) && length > 0 {
                self.need += length.min(START as u32) as u8;
                continue;
            }
            let [_, _, _, kind, flags, a, b, c, d, start @ ..] = self.head;
            let head = FrameHead {
                length,
                kind,
                flags,
                stream: u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff,
                start,
            };
            self.skip = length - u32::from(self.need - HEAD as u8);
            *self = FrameScan { kind, ..FrameScan::behind(self.skip) };
            self.told = sink.frame(&head);
            if self.told && length == 0 {
                sink.payload(&[], true);
            }
        }
    }
}

fn keeps_start(kind: u8) -> bool {
    matches!(kind, kind::RST_STREAM | kind::GOAWAY | kind::WINDOW_UPDATE)
}

/// A frame as it is on the wire.
#[cfg(test)]
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_wherever_the_stream_is_cut() {
        let mut stream = b"preface!".to_vec();
        stream.extend(frame(kind::SETTINGS, 0, 0, &[0; 6]));
        stream.extend(frame(kind::WINDOW_UPDATE, 0, 3, &7u32.to_be_bytes()));
        stream.extend(frame(kind::DATA, flag::END_STREAM, 0x8000_0005, b""));
        stream.extend(frame(kind::RST_STREAM, 0, 5, &[]));
        stream.extend(frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 11, b'x', b'y']));
        stream.extend(frame(kind::DATA, 0, 7, &[1; 300]));
        let seen = |cut: usize| {
            let mut scan = FrameScan::behind(8);
            let mut seen = Vec::new();
            for piece in stream.chunks(cut) {
                scan.feed(piece, |head: &FrameHead| seen.push(*head));
            }
            assert!(!scan.is_within_control());
            seen
        };
        let whole = seen(stream.len());
        let told: Vec<_> =
            whole.iter().map(|head| (head.kind, head.length, head.stream, head.number())).collect();
        assert_eq!(
            told,
            [(4, 6, 0, 0), (8, 4, 3, 7), (0, 0, 5, 0), (3, 0, 5, 0), (7, 10, 0, 9), (0, 300, 7, 0)]
        );
        for cut in 1..stream.len() {
            assert_eq!(seen(cut), whole, "{cut}");
        }
    }
}
