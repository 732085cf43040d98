//! A header section on its way in: what every field is held to (RFC 9113 §8.2), and the bounds on
//! all of them.

use ringgate_core::{Code, Fault, HeaderId, Headers, check_value, is_token_byte};

use super::{Bounds, Failure, names};
use crate::hpack::{Decoder, Field, Name};

/// A block may come out so many times as large as may be taken; one that is larger is an attack.
const UNFOLDED: usize = 16;

/// Pseudo-header fields (RFC 9113 §8.3, RFC 8441 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pseudo {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Status,
}

impl Pseudo {
    fn of(name: &[u8]) -> Option<Pseudo> {
        Some(match name {
            b":method" => Pseudo::Method,
            b":scheme" => Pseudo::Scheme,
            b":authority" => Pseudo::Authority,
            b":path" => Pseudo::Path,
            b":protocol" => Pseudo::Protocol,
            b":status" => Pseudo::Status,
            _ => return None,
        })
    }
}

/// Who is told of fields that are well formed.
pub(super) trait Reader {
    /// Whether a value with white space around it is malformed (RFC 9113 §8.2.1). In a request's head it
    /// is; nodes that speak gRPC end a `grpc-message` so, and mean it.
    const TRIMMED: bool;

    /// A pseudo-header field; the error says what is wrong with it.
    fn pseudo(
        &mut self,
        headers: &mut Headers,
        name: Pseudo,
        value: &[u8],
    ) -> Result<(), &'static str>;

    /// Whether a field is to be among the others.
    fn keeps(
        &mut self,
        headers: &mut Headers,
        id: Option<HeaderId>,
        name: &[u8],
        value: &[u8],
    ) -> bool;
}

/// What a section said of the content's length.
type Length = Option<u64>;

/// Decodes a block into `headers`, and tells `reader` what it has to know.
pub(super) fn read(
    decoder: &mut Decoder,
    block: &[u8],
    bounds: Bounds,
    headers: &mut Headers,
    reader: &mut impl Reader,
) -> Result<Length, Failure> {
    let mut section = Section { bounds, size: 0, count: 0, regular: false, length: None };
    let mut wrong = None;
    let decoded = decoder.decode(block, |field| {
        section.size += field.name.as_bytes().len() + field.value.len() + 32;
        // What is too much is decoded only so that both tables stay the same.
        if wrong.is_none() && section.size <= bounds.bytes {
            wrong = section.take(&field, headers, reader).err();
        }
    });
    match wrong {
        _ if decoded.is_err() => Err(Failure::Undecoded),
        _ if section.size / UNFOLDED > bounds.bytes => Err(Failure::Unfolds),
        Some(what) => Err(Failure::Malformed(what)),
        None if section.size > bounds.bytes => Err(too_large("header section above its limit")),
        None if section.count > bounds.count => Err(too_large("too many fields")),
        None => Ok(section.length),
    }
}

fn too_large(detail: &'static str) -> Failure {
    Failure::Refused(Fault::new(Code::HeadersTooLarge, detail).on_stream())
}

struct Section {
    bounds: Bounds,
    size: usize,
    count: usize,
    /// A field came that is no pseudo-header field.
    regular: bool,
    length: Length,
}

impl Section {
    fn take<R: Reader>(
        &mut self,
        field: &Field<'_>,
        headers: &mut Headers,
        reader: &mut R,
    ) -> Result<(), &'static str> {
        let name = field.name.as_bytes();
        if let [b':', ..] = name {
            // RFC 9113 §8.3: in front, and none but those that are known.
            if self.regular {
                return Err("a pseudo-header field behind others");
            }
            let pseudo = Pseudo::of(name).ok_or("an unknown pseudo-header field")?;
            check_value(field.value).map_err(|_| "a field has a control character")?;
            return reader.pseudo(headers, pseudo, field.value);
        }
        self.regular = true;
        self.count += 1;
        if self.count > self.bounds.count {
            return Ok(());
        }
        let id = check_name(field.name)?;
        check_value(field.value).map_err(|_| "a field has a control character")?;
        if R::TRIMMED && is_padded(field.value) {
            return Err("a field with white space around its value");
        }
        if let Some(id) = id {
            let is_again = id == HeaderId::ContentLength && self.length.is_some();
            self.check(id, field.value)?;
            if is_again {
                return Ok(());
            }
        }
        if reader.keeps(headers, id, name, field.value) {
            push(headers, id, name, field.value);
        }
        Ok(())
    }

    /// RFC 9113 §8.2.2: nothing that is for an HTTP/1.1 connection. §8.1.1: one length.
    fn check(&mut self, id: HeaderId, value: &[u8]) -> Result<(), &'static str> {
        match id {
            HeaderId::Connection
            | HeaderId::KeepAlive
            | HeaderId::ProxyConnection
            | HeaderId::TransferEncoding
            | HeaderId::Upgrade => Err("a field for a connection"),
            HeaderId::Te if value != b"trailers" => Err("te is not trailers"),
            HeaderId::ContentLength => match (digits(value), self.length) {
                (None, _) => Err("content-length is no number"),
                (Some(told), Some(before)) if told != before => Err("two lengths"),
                (told, _) => {
                    self.length = told;
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }
}

/// Which one it is; a name is a token in lower case (RFC 9113 §8.2.1).
fn check_name(name: Name<'_>) -> Result<Option<HeaderId>, &'static str> {
    match name {
        Name::Static(name) => Ok(names::known(name)),
        Name::Literal([]) => Err("a field without a name"),
        Name::Literal(name) if !name.iter().all(|byte| IS_NAME_BYTE[usize::from(*byte)]) => {
            Err("a name that is none in lower case")
        }
        Name::Literal(name) => Ok(HeaderId::of(name)),
    }
}

static IS_NAME_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let this = byte as u8;
        table[byte] = is_token_byte(this) && !this.is_ascii_uppercase();
        byte += 1;
    }
    table
};

/// Adds a field as a line that HTTP/1.1 can take over as it stands.
fn push(headers: &mut Headers, id: Option<HeaderId>, name: &[u8], value: &[u8]) {
    let name = headers.intern(name);
    headers.intern(b": ");
    let value = headers.intern(value);
    headers.intern(b"\r\n");
    headers.adopt_ahead(id, name, value, true);
}

fn is_padded(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.first()) || is_space(value.last())
}

fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
