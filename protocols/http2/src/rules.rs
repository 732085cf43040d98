//! Rules on what a client may send that h2 answers with another error code than RFC 9113 asks for,
//! or does not see at all: lengths of frames, frames behind a request's end, the largest window,
//! pseudo-header fields in trailers.

use h2::Reason;

use crate::wire::frames::{FrameHead, flag, kind};

/// Streams whose request has not ended, at most. With more, frames behind an end are left to h2.
const OPEN: usize = 1024;
/// Streams that are known to have been opened, where HEADERS come behind their end.
const RECENT: usize = 32;
/// A window's most (RFC 9113 §6.9.1).
const WINDOW: u32 = 0x7fff_ffff;
/// SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW: u16 = 4;
/// Bytes of a setting.
const SETTING: usize = 6;
/// What is looked at of a block of trailers.
pub(crate) const TRAILERS: usize = 16 * 1024;
/// The entries of HPACK's static table that are pseudo-header fields (RFC 7541, appendix A).
const PSEUDO: std::ops::RangeInclusive<usize> = 1..=14;
/// How a Huffman-coded name begins that begins with a colon.
const CODED_COLON: u8 = 0x5c;

/// What ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) reason: Reason,
    pub(crate) what: &'static str,
}

/// Follows the frames of a client.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// The highest stream that was opened.
    highest: u32,
    /// The last streams that were opened, by their number.
    recent: [u32; RECENT],
    /// Streams whose request goes on, in no order.
    open: Vec<u32>,
    /// There were too many of them to remember.
    lost: bool,
    /// What is looked at of the frame under way.
    watched: Watched,
    /// Payload of it.
    kept: Vec<u8>,
    /// Streams with trailers that are none, until they are reset.
    malformed: Vec<u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Watched {
    #[default]
    Nothing,
    Settings,
    /// Of this stream; the flags are those of its HEADERS.
    Trailers {
        stream: u32,
        flags: u8,
        last: bool,
    },
}

impl Rules {
    /// A frame comes. Whether its payload is to be seen ([`Rules::payload`]).
    pub(crate) fn comes(&mut self, head: &FrameHead) -> Result<bool, Breach> {
        check_length(head)?;
        let ends = head.has(flag::END_STREAM);
        match head.kind {
            kind::DATA if ends => self.end(head)?,
            kind::DATA => self.check_open(head)?,
            kind::HEADERS if head.stream > self.highest => {
                self.highest = head.stream;
                self.recent[recent(head.stream)] = head.stream;
                if !ends {
                    self.begin(head.stream);
                }
            }
            kind::HEADERS => {
                self.check_open(head)?;
                if ends {
                    self.end(head)?;
                }
                self.kept.clear();
                self.watched = Watched::Trailers {
                    stream: head.stream,
                    flags: head.flags,
                    last: head.has(flag::END_HEADERS),
                };
                return Ok(true);
            }
            kind::CONTINUATION => {
                if let Watched::Trailers { last, .. } = &mut self.watched {
                    *last = head.has(flag::END_HEADERS);
                    return Ok(true);
                }
            }
            kind::RST_STREAM => self.forget(head.stream),
            kind::SETTINGS if head.length > 0 => {
                self.kept.clear();
                self.watched = Watched::Settings;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    /// The payload of the frame goes on; `ends`: to its end.
    pub(crate) fn payload(&mut self, bytes: &[u8], ends: bool) -> Result<(), Breach> {
        match self.watched {
            Watched::Nothing => return Ok(()),
            Watched::Settings => {
                self.kept.extend_from_slice(bytes);
                let whole = self.kept.len() / SETTING * SETTING;
                let (settings, _) = self.kept[..whole].as_chunks::<SETTING>();
                if settings.iter().any(is_too_wide) {
                    let what = "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1";
                    return Err(Breach { reason: Reason::FLOW_CONTROL_ERROR, what });
                }
                self.kept.drain(..whole);
            }
            Watched::Trailers { stream, flags, last } => {
                let room = TRAILERS.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if !(ends && last) {
                    return Ok(());
                }
                if has_pseudo(block(&self.kept, flags)) && self.malformed.len() < OPEN {
                    self.malformed.push(stream);
                }
            }
        }
        if ends {
            self.watched = Watched::Nothing;
            self.kept = Vec::new();
        }
        Ok(())
    }

    /// Payload that is remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.kept.len()
    }

    /// Whether the stream's trailers are malformed.
    pub(crate) fn is_malformed(&self, stream: u32) -> bool {
        self.malformed.contains(&stream)
    }

    /// The stream was reset here.
    pub(crate) fn was_reset(&mut self, stream: u32) {
        self.malformed.retain(|malformed| *malformed != stream);
    }

    fn begin(&mut self, stream: u32) {
        match self.open.len() {
            OPEN.. => self.lost = true,
            _ => self.open.push(stream),
        }
    }

    fn forget(&mut self, stream: u32) {
        if let Some(at) = self.open.iter().position(|open| *open == stream) {
            self.open.swap_remove(at);
        }
    }

    /// A request ends. Streams that were reset here stay open: frames may be on their way.
    fn end(&mut self, head: &FrameHead) -> Result<(), Breach> {
        self.check_open(head)?;
        self.forget(head.stream);
        Ok(())
    }

    /// RFC 9113 §5.1: half-closed and closed streams take neither DATA nor HEADERS.
    fn check_open(&self, head: &FrameHead) -> Result<(), Breach> {
        let stream = head.stream;
        let is_idle = stream == 0 || stream > self.highest || stream.is_multiple_of(2);
        // A stream that never was is h2's to tell.
        if is_idle || self.lost || self.open.contains(&stream) {
            return Ok(());
        }
        // A head on a stream that was left out is another error.
        if head.kind == kind::HEADERS && self.recent[recent(stream)] != stream {
            return Ok(());
        }
        let what = "a frame behind the end of its stream";
        Err(Breach { reason: Reason::STREAM_CLOSED, what })
    }
}

fn recent(stream: u32) -> usize {
    (stream >> 1) as usize % RECENT
}

fn check_length(head: &FrameHead) -> Result<(), Breach> {
    let fits = match head.kind {
        kind::PRIORITY => head.length == 5,
        kind::RST_STREAM | kind::WINDOW_UPDATE => head.length == 4,
        kind::SETTINGS if head.has(flag::ACK) => head.length == 0,
        kind::SETTINGS => head.length.is_multiple_of(SETTING as u32),
        kind::PING => head.length == 8,
        kind::GOAWAY => head.length >= 8,
        _ => true,
    };
    match fits {
        true => Ok(()),
        false => Err(Breach {
            reason: Reason::FRAME_SIZE_ERROR,
            what: "a frame that is not as long as its kind",
        }),
    }
}

fn is_too_wide(setting: &[u8; SETTING]) -> bool {
    let [i, d, a, b, c, e] = *setting;
    u16::from_be_bytes([i, d]) == INITIAL_WINDOW && u32::from_be_bytes([a, b, c, e]) > WINDOW
}

/// The header block in a HEADERS with those flags, and in what continued it.
fn block(payload: &[u8], flags: u8) -> &[u8] {
    const PADDED: u8 = 8;
    const PRIORITY: u8 = 32;
    // Padding stands at the end of the first frame; where that is not the last, h2 has the block.
    let (pad, rest) = match payload.split_first() {
        Some((pad, rest)) if flags & PADDED != 0 => (usize::from(*pad), rest),
        _ => (0, payload),
    };
    let skipped = if flags & PRIORITY != 0 { 5 } else { 0 };
    rest.get(skipped..rest.len().saturating_sub(pad)).unwrap_or_default()
}

/// Whether a block names a pseudo-header field: by the static table, or as a literal. What it
/// refers to in the dynamic table is not known here; h2 leaves such a field out.
fn has_pseudo(mut block: &[u8]) -> bool {
    while let Some(first) = block.first().copied() {
        let (bits, is_literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let Some(index) = integer(&mut block, bits) else {
            return false;
        };
        let is_size = (0x20..0x40).contains(&first);
        if !is_size && PSEUDO.contains(&index) {
            return true;
        }
        if !is_literal {
            continue;
        }
        if index == 0 {
            match string(&mut block) {
                Some((true, [first, ..])) if first >> 1 == CODED_COLON => return true,
                Some((false, [b':', ..])) => return true,
                Some(_) => {}
                None => return false,
            }
        }
        if string(&mut block).is_none() {
            return false;
        }
    }
    false
}

/// An integer with a prefix of so many bits (RFC 7541 §5.1).
fn integer(block: &mut &[u8], bits: u8) -> Option<usize> {
    let (first, mut rest) = block.split_first()?;
    let most = (1usize << bits) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        for shift in [0, 7, 14, 21] {
            let (byte, behind) = rest.split_first()?;
            rest = behind;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *block = rest;
                return Some(value);
            }
        }
        return None;
    }
    *block = rest;
    Some(value)
}

/// A string, and whether it is Huffman-coded (RFC 7541 §5.2).
fn string<'b>(block: &mut &'b [u8]) -> Option<(bool, &'b [u8])> {
    let coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some((coded, text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::follow;
    use crate::wire::frames::frame;

    #[test]
    fn breaches_are_found_wherever_the_bytes_are_cut() {
        let (head, data) = (frame(kind::HEADERS, 4, 1, &[0x82]), frame(kind::DATA, 1, 1, b"x"));
        let late = [&head[..], &data, &data].concat();
        let trailers = frame(kind::HEADERS, 5, 1, &[0x40, 1, b'x', 0]);
        let wide = frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9, 0, 4, 0x80, 0, 0, 0]);
        for (bytes, reason) in [
            (frame(kind::PING, 0, 0, &[0; 7]), Some(Reason::FRAME_SIZE_ERROR)),
            (wide, Some(Reason::FLOW_CONTROL_ERROR)),
            (late, Some(Reason::STREAM_CLOSED)),
            ([&head[..], &trailers, &data].concat(), Some(Reason::STREAM_CLOSED)),
            ([&head[..], &data].concat(), None),
            ([&head[..], &trailers].concat(), None),
            // A stream that was reset here is still sent to.
            ([&head[..], &frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), &data].concat(), None),
        ] {
            for piece in 1..=bytes.len() {
                let followed = follow(&bytes, piece);
                assert_eq!(
                    followed.breach.map(|breach| breach.reason),
                    reason,
                    "{bytes:x?} {piece}"
                );
                assert!(followed.rules.kept.is_empty() || reason.is_some());
            }
        }
        let padded = frame(kind::HEADERS, 0x2d, 1, &[2, 0, 0, 0, 0, 1, 0x84, 0, 0]);
        let parts = [
            frame(kind::HEADERS, 1, 1, &[0x40, 1, b'x']),
            frame(kind::CONTINUATION, 0, 1, &[0]),
            frame(kind::CONTINUATION, 4, 1, &[0x84]),
        ];
        for malformed in [padded, parts.concat()] {
            let bytes = [&head[..], &malformed].concat();
            for piece in 1..=bytes.len() {
                let mut rules = follow(&bytes, piece).rules;
                assert!(rules.is_malformed(1) && !rules.is_malformed(3), "{piece}");
                rules.was_reset(1);
                assert!(!rules.is_malformed(1));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            frames in proptest::collection::vec(
                (0u8..11, any::<u8>(), 0u32..6, proptest::collection::vec(any::<u8>(), 0..40)),
                0..12,
            ),
            piece in 1usize..60,
        ) {
            let bytes: Vec<u8> = frames
                .iter()
                .flat_map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload))
                .collect();
            let (one, other) = (follow(&bytes, piece), follow(&bytes, usize::MAX));
            prop_assert_eq!(one.breach, other.breach);
            prop_assert!(one.rules.remembered() <= TRAILERS);
        }
    }

    #[test]
    fn pseudo_header_fields_are_found_however_they_are_written() {
        // By reference, with a name of the table, as they are, Huffman-coded.
        for block in [
            &[0x82][..],
            &[0x04, 0x01, b'/'],
            &[0x44, 0x01, b'/'],
            &[0x14, 0x01, b'/'],
            &[0x00, 0x02, b':', b'a', 0x00],
            &[0x00, 0x82, 0xb8, 0x7f, 0x00],
            // Behind another field, a new size, and one of the dynamic table.
            &[0x00, 0x01, b'x', 0x01, b'y', 0x20, 0xbe, 0x82],
        ] {
            assert!(has_pseudo(block), "{block:x?}");
        }
        for block in [
            &[][..],
            &[0x90],
            &[0x22],
            &[0xbe],
            &[0x00, 0x01, b'x', 0x01, b':'],
            &[0x0f, 0x00, 0x01, b'y'],
            // Cut off: h2 says so.
            &[0x00, 0x7f, 0xff],
            &[0x00, 0x05, b':'],
        ] {
            assert!(!has_pseudo(block), "{block:x?}");
        }
    }
}
