//! Frames on their way out.

use super::{HEAD, flag, kind};
use crate::code::ErrorCode;

fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, l, m, n] = (length as u32).to_be_bytes();
    let [a, b, c, d] = stream.to_be_bytes();
    out.extend_from_slice(&[l, m, n, kind, flags, a, b, c, d]);
}

/// The header of a DATA frame, whose payload follows.
pub(crate) fn data_head(out: &mut Vec<u8>, stream: u32, length: usize, end: bool) {
    head(out, length, kind::DATA, if end { flag::END_STREAM } else { 0 }, stream);
}

/// A header block in as many frames of at most `most` bytes as it needs (RFC 9113 §4.3).
pub(crate) fn header_block(
    out: &mut Vec<u8>,
    stream: u32,
    end: bool,
    most: usize,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    let flags = if end { flag::END_STREAM } else { 0 };
    head(out, 0, kind::HEADERS, flags | flag::END_HEADERS, stream);
    write(out);
    let length = out.len() - start - HEAD;
    let [_, l, m, n] = (length.min(most) as u32).to_be_bytes();
    out[start..start + 3].copy_from_slice(&[l, m, n]);
    if length > most {
        out[start + 4] = flags;
        let rest = out.split_off(start + HEAD + most);
        let mut pieces = rest.chunks(most).peekable();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
            head(out, piece.len(), kind::CONTINUATION, flags, stream);
            out.extend_from_slice(piece);
        }
    }
}

pub(crate) fn settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    head(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(crate) fn settings_ack(out: &mut Vec<u8>) {
    head(out, 0, kind::SETTINGS, flag::ACK, 0);
}

pub(crate) fn ping(out: &mut Vec<u8>, ack: bool, payload: &[u8]) {
    head(out, payload.len(), kind::PING, if ack { flag::ACK } else { 0 }, 0);
    out.extend_from_slice(payload);
}

pub(crate) fn go_away(out: &mut Vec<u8>, last: u32, code: ErrorCode) {
    head(out, 8, kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
}

pub(crate) fn reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    head(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.0.to_be_bytes());
}

pub(crate) fn window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    head(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::FrameHead;
    use super::*;

    #[test]
    fn a_long_block_goes_on_in_further_frames() {
        for (length, lengths) in [
            (0, &[0][..]),
            (10, &[10]),
            (11, &[10, 1]),
            (30, &[10, 10, 10]),
            (31, &[10, 10, 10, 1]),
        ] {
            let mut out = b"before".to_vec();
            header_block(&mut out, 7, true, 10, |out| out.extend(0..length));
            let (mut rest, mut block, mut seen) = (&out[6..], Vec::new(), Vec::new());
            while let Some(bytes) = rest.first_chunk() {
                let head = FrameHead::read(bytes);
                let is_first = seen.is_empty();
                seen.push(head.length);
                block.extend(&rest[HEAD..head.whole()]);
                rest = &rest[head.whole()..];
                assert_eq!(head.kind, if is_first { kind::HEADERS } else { kind::CONTINUATION });
                assert_eq!(head.has(flag::END_HEADERS), rest.is_empty());
                assert_eq!((head.has(flag::END_STREAM), head.stream), (is_first, 7));
            }
            assert_eq!((&seen[..], block), (lengths, (0..length).collect()));
        }
    }
}
