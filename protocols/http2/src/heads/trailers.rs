//! Trailers (RFC 9110 §6.5, RFC 9113 §8.1).

use ringgate_core::{HeaderId, HeaderSet, Headers, trailers::is_allowed};

use super::section::{self, Pseudo, Reader};
use super::{Bounds, Failure, fields};
use crate::hpack::{Decoder, Encoder};

struct Trailers;

impl Reader for Trailers {
    const TRIMMED: bool = false;

    fn pseudo(&mut self, _: &mut Headers, _: Pseudo, _: &[u8]) -> Result<(), &'static str> {
        Err("a pseudo-header field in trailers")
    }

    fn keeps(&mut self, _: &mut Headers, _: Option<HeaderId>, name: &[u8], _: &[u8]) -> bool {
        is_allowed(name)
    }
}

/// The trailers that came, less those that must not be any (RFC 9110 §6.5.1).
pub(crate) fn read(
    decoder: &mut Decoder,
    block: &[u8],
    bounds: Bounds,
) -> Result<Headers, Failure> {
    let mut headers = Headers::new();
    section::read(decoder, block, bounds, &mut headers, &mut Trailers)?;
    Ok(headers)
}

/// Writes the trailers to send.
pub(crate) fn outgoing(encoder: &mut Encoder, headers: &Headers, out: &mut Vec<u8>) {
    encoder.begin(out);
    fields::write(encoder, headers, HeaderSet::EMPTY, None, out);
}
