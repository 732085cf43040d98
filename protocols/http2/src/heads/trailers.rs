//! Trailers (RFC 9110 §6.5, RFC 9113 §8.1).

use http::HeaderMap;
use ringgate_core::{Code, HeaderSet, Headers, trailers::is_allowed};

use super::fields;

/// The trailers that came, less those that must not be any (RFC 9110 §6.5.1). `None`: more than
/// `most` fields, or one that is none.
pub(crate) fn incoming(map: &HeaderMap, most: usize) -> Result<Headers, Code> {
    let mut headers = Headers::new();
    if map.len() > most {
        return Err(Code::HeadersTooLarge);
    }
    match fields::adopt(&mut headers, map, |name| is_allowed(name.as_str().as_bytes())) {
        Ok(()) => Ok(headers),
        Err(_) => Err(Code::BadRequest),
    }
}

/// The trailers to send.
pub(crate) fn outgoing(headers: &Headers) -> HeaderMap {
    fields::outgoing(headers, HeaderSet::EMPTY, None)
}
