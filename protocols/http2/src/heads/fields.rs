//! Fields on their way out.

use ringgate_core::{HeaderId, HeaderSet, Headers};

use super::names;
use crate::hpack::{Encoder, Name};

/// Never sent: they concern one HTTP/1.1 connection (RFC 9113 §8.2.2), or have a pseudo-header.
const NEVER: HeaderSet = HeaderSet::of(&[
    HeaderId::Connection,
    HeaderId::Host,
    HeaderId::Http2Settings,
    HeaderId::KeepAlive,
    HeaderId::ProxyConnection,
    HeaderId::TransferEncoding,
    HeaderId::Upgrade,
]);

/// Writes the fields, less those that are never sent and those of `but`, and the length of the body
/// where that is told.
pub(super) fn write(
    encoder: &mut Encoder,
    headers: &Headers,
    but: HeaderSet,
    length: Option<u64>,
    out: &mut Vec<u8>,
) {
    let but = NEVER.union(but).with(HeaderId::ContentLength);
    for (id, name, value) in headers.iter_known() {
        match id {
            Some(id) if but.contains(id) => {}
            Some(HeaderId::Te) if value != b"trailers" => {}
            Some(id) => {
                encoder.field(names::written(id), value, names::indexing(Some(id), value), out);
            }
            None => write_unknown(encoder, name, value, out),
        }
    }
    if let Some(length) = length {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(length).as_bytes();
        let name = names::written(HeaderId::ContentLength);
        let indexing = names::indexing(Some(HeaderId::ContentLength), digits);
        encoder.field(name, digits, indexing, out);
    }
}

fn write_unknown(encoder: &mut Encoder, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let indexing = names::indexing(None, value);
    if !name.iter().any(u8::is_ascii_uppercase) {
        return encoder.field(Name::Literal(name), value, indexing, out);
    }
    // RFC 9113 §8.2.1: in lower case. Few names are longer.
    let mut short = [0; 64];
    match short.get_mut(..name.len()) {
        Some(lower) => {
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            encoder.field(Name::Literal(lower), value, indexing, out);
        }
        None => encoder.field(Name::Literal(&name.to_ascii_lowercase()), value, indexing, out),
    }
}
