//! gRPC-Web (`doc/PROTOCOL-WEB.md`): gRPC for those who see no trailers. They are the last frame
//! of the body, and where the client asks for text, the body is in Base64.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ringgate_core::{Headers, InvalidField};

use crate::message::{PREFIX, prefix};

/// The flag of the frame that holds the trailers.
pub const TRAILERS: u8 = 0x80;

/// Trailers as a frame: `name:value` lines, names in lower case, each ended by CRLF.
pub fn trailer_frame(trailers: &Headers) -> Bytes {
    let mut out = vec![0; PREFIX];
    for (name, value) in trailers.iter() {
        out.extend(name.iter().map(u8::to_ascii_lowercase));
        out.push(b':');
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    let head = prefix(TRAILERS, out.len() - PREFIX);
    out[..PREFIX].copy_from_slice(&head);
    Bytes::from(out)
}

/// Reads the payload of such a frame. Lines without a colon are passed over.
pub fn parse_trailers(payload: &[u8]) -> Result<Headers, InvalidField> {
    let mut trailers = Headers::new();
    for line in payload.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            trailers.append(&line[..colon], line[colon + 1..].trim_ascii())?;
        }
    }
    Ok(trailers)
}

/// A piece of a body as text. Each piece is padded by itself: a client reads a message as soon as
/// it is there, and takes padding between pieces.
pub fn encode_text(bytes: &[u8]) -> Bytes {
    Bytes::from(STANDARD.encode(bytes))
}

/// A body that is no Base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextError;

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body is not Base64")
    }
}

impl std::error::Error for TextError {}

/// Decodes a body of text that comes in any pieces; padding may stand behind any four characters
/// of it, line ends are passed over.
#[derive(Debug, Default)]
pub struct TextDecoder {
    quad: [u8; 4],
    filled: usize,
}

impl TextDecoder {
    /// Decodes what can be decoded by now and appends it to `out`; at most three characters are
    /// held back.
    pub fn decode(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), TextError> {
        out.reserve(text.len() / 4 * 3 + 3);
        for byte in text.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
            self.quad[self.filled] = *byte;
            self.filled += 1;
            if self.filled == self.quad.len() {
                let mut decoded = [0; 3];
                let len = STANDARD.decode_slice(self.quad, &mut decoded).map_err(|_| TextError)?;
                out.extend_from_slice(&decoded[..len]);
                self.filled = 0;
            }
        }
        Ok(())
    }

    /// Whether the body may end here.
    pub fn finish(&self) -> Result<(), TextError> {
        if self.filled == 0 { Ok(()) } else { Err(TextError) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::MessageReader;
    use crate::status::Status;
    use crate::trailers::{status_of, trailers};

    #[test]
    fn trailers_go_into_a_frame_and_come_out() {
        let mut fields = trailers(Status::NotFound, "no such thing");
        fields.append(b"X-More", b"a: b").unwrap();
        let frame = trailer_frame(&fields);
        let text = "grpc-status:5\r\ngrpc-message:no such thing\r\nx-more:a: b\r\n";
        assert_eq!(&frame[..PREFIX], &[0x80, 0, 0, 0, text.len() as u8]);
        assert_eq!(&frame[PREFIX..], text.as_bytes());
        let message = MessageReader::web(1024).next(&mut &frame[..]).unwrap().unwrap();
        let read = parse_trailers(&message.payload).unwrap();
        assert_eq!((status_of(&read), read.len()), (Some(Status::NotFound), 3));
        assert!(parse_trailers(b"a b:c\r\n").is_err());
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for bad in ["A", "A===", "AA=A", "!!!!", "AAAA=", "=AAA", "QUI"] {
            let (mut decoder, mut out) = (TextDecoder::default(), Vec::new());
            let decoded = decoder.decode(bad.as_bytes(), &mut out);
            assert!(decoded.and(decoder.finish()).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Pieces that were encoded each by itself decode, however the text is cut on its way.
        #[test]
        fn any_cut_of_any_pieces_decodes(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..6),
            cuts in proptest::collection::vec(1usize..9, 0..64),
        ) {
            let text: Vec<u8> = pieces.iter().flat_map(|piece| encode_text(piece)).collect();
            let (mut decoder, mut out, mut rest) = (TextDecoder::default(), Vec::new(), &text[..]);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (front, behind) = rest.split_at(cut.min(rest.len()));
                decoder.decode(front, &mut out).expect("Base64");
                rest = behind;
            }
            decoder.finish().expect("whole");
            prop_assert_eq!(out, pieces.concat());
        }
    }
}
