//! Entry points for the fuzzer: each panics where something that must hold does not.

use crate::message::{FramingError, Message, MessageReader, framed};
use crate::web::{TextDecoder, TextError, encode_text, parse_trailers, trailer_frame};
use crate::{decode_message, encode_message, flavour, format_timeout, parse_timeout};

/// Message bytes that are taken.
const MESSAGE_MAX: usize = 4096;

/// Gives `bytes` to `take` in pieces whose size `step` says.
fn in_pieces<E>(
    bytes: &[u8],
    step: usize,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    bytes.chunks(step.max(1)).try_for_each(&mut take)
}

fn messages(body: &[u8], step: usize, web: bool) -> Result<Vec<Message>, FramingError> {
    let mut reader = match web {
        true => MessageReader::web(MESSAGE_MAX),
        false => MessageReader::new(MESSAGE_MAX),
    };
    let mut messages = Vec::new();
    in_pieces(body, step, |mut piece| {
        while let Some(message) = reader.next(&mut piece)? {
            assert!(message.payload.len() <= MESSAGE_MAX, "a message above the bound");
            messages.push(message);
        }
        assert!(piece.is_empty(), "bytes were left");
        Ok(())
    })?;
    reader.finish().map(|()| messages)
}

/// Messages of a body: however it is cut, the same ones come out. The first byte says how.
pub fn fuzz_grpc_messages(input: &[u8]) {
    let Some((cut, body)) = input.split_first() else { return };
    for web in [false, true] {
        let whole = messages(body, usize::MAX, web);
        assert_eq!(whole, messages(body, usize::from(*cut), web), "a cut changed it");
        let Ok(whole) = whole else { continue };
        if whole.iter().all(|message| message.flags == 0) {
            let again: Vec<u8> = whole.iter().flat_map(|m| framed(&m.payload)).collect();
            assert_eq!(again, body, "it is not written as it was read");
        }
        for message in whole.iter().filter(|message| message.is_trailers()) {
            if let Ok(trailers) = parse_trailers(&message.payload) {
                let frame = trailer_frame(&trailers);
                let read = messages(&frame, usize::MAX, true);
                // What is written may be larger than what was read by a few spaces at most.
                if let Ok([message]) = read.as_deref() {
                    let again = parse_trailers(&message.payload).expect("trailers of our own");
                    assert_eq!(again.len(), trailers.len());
                }
            }
        }
    }
}

/// gRPC-Web's text: however it is cut, the same bytes come out. The first byte says how.
pub fn fuzz_grpc_web_text(input: &[u8]) {
    let Some((cut, text)) = input.split_first() else { return };
    let decode = |step: usize| -> Result<Vec<u8>, TextError> {
        let (mut decoder, mut out) = (TextDecoder::default(), Vec::new());
        in_pieces(text, step, |piece| decoder.decode(piece, &mut out))?;
        decoder.finish().map(|()| out)
    };
    let whole = decode(usize::MAX);
    assert_eq!(whole, decode(usize::from(*cut)), "a cut changed it");
    if let Ok(bytes) = whole {
        let (mut decoder, mut again) = (TextDecoder::default(), Vec::new());
        decoder.decode(&encode_text(&bytes), &mut again).expect("Base64 of our own");
        assert_eq!(again, bytes);
    }
}

/// The values of gRPC's fields.
pub fn fuzz_grpc_fields(input: &[u8]) {
    let decoded = decode_message(input);
    let encoded = encode_message(&decoded);
    assert!(encoded.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "no field value");
    if let Some(timeout) = parse_timeout(input) {
        let again = parse_timeout(format_timeout(timeout).as_bytes()).expect("a value of our own");
        assert!(again >= timeout, "a call would end early");
    }
    flavour(input);
    crate::Status::parse(input);
}
