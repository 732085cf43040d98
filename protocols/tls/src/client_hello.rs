//! The ClientHello (RFC 8446 §4.1.2), read before anything is answered: the name that the client
//! asks for decides which certificates and which policy it meets. Only what that takes is looked
//! at; the TLS library reads the message again for itself.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::alert::Alert;
use crate::record::{self, HANDSHAKE};

/// The longest ClientHello that is read.
pub const HELLO_MAX: usize = 64 * 1024;
/// Records that one may come in. Clients that cut it at 512 bytes need four.
const RECORDS_MAX: usize = 64;
/// Plain records, RFC 8446 §5.1.
const FRAGMENT_MAX: usize = 16 * 1024;

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The name (SNI, RFC 6066 §3) in lower case and without a trailing dot. [`None`]: none, or an
    /// address, which must not stand there.
    pub server_name: Option<Box<str>>,
    /// The offered protocols (ALPN, RFC 7301), each behind a byte with its length.
    protocols: Box<[u8]>,
    /// The offered versions; without the extension the one that the old field names.
    versions: Box<[u16]>,
}

/// Bytes that are no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidHello {
    /// What to tell the client.
    pub alert: Alert,
    /// What is wrong, for the log.
    pub detail: &'static str,
}

type Parsed<T> = Result<T, InvalidHello>;

fn invalid<T>(detail: &'static str) -> Parsed<T> {
    Err(InvalidHello { alert: Alert::DECODE_ERROR, detail })
}

impl ClientHello {
    /// Reads it from the first bytes of a connection. [`None`]: more must come.
    ///
    /// However the bytes are cut on their way, the same comes of them.
    ///
    /// # Errors
    /// Where no ClientHello can come of these bytes any more.
    pub fn parse(bytes: &[u8]) -> Parsed<Option<ClientHello>> {
        let Some(message) = Message::find(bytes)? else {
            return Ok(None);
        };
        match message {
            Message::Whole(body) => body_of(body),
            Message::Cut(message) => body_of(&message[4..]),
        }
        .map(Some)
    }

    /// The protocols that it offers, in its order of preference.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.protocols;
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first()?;
            let (name, behind) = behind.split_at_checked(usize::from(*len))?;
            rest = behind;
            Some(name)
        })
    }

    /// Whether it offers that version: 0x0303 is TLS 1.2, 0x0304 TLS 1.3.
    pub fn offers(&self, version: u16) -> bool {
        self.versions.contains(&version)
    }
}

/// The handshake message, out of its records.
enum Message<'a> {
    /// All in one record: its body.
    Whole(&'a [u8]),
    /// Over several, with its header.
    Cut(Vec<u8>),
}

impl Message<'_> {
    fn find(bytes: &[u8]) -> Parsed<Option<Message<'_>>> {
        let mut rest = bytes;
        let mut cut: Vec<u8> = Vec::new();
        for records in 0.. {
            let Some(fragment) = fragment(&mut rest)? else {
                return Ok(None);
            };
            if records == RECORDS_MAX {
                return invalid("ClientHello in too many records");
            }
            let whole = match records {
                0 => fragment,
                _ => {
                    cut.extend_from_slice(fragment);
                    &cut
                }
            };
            if let Some(length) = length_of(whole)?
                && whole.len() - 4 >= length
            {
                if whole.len() - 4 > length {
                    return Err(InvalidHello {
                        alert: Alert::UNEXPECTED_MESSAGE,
                        detail: "bytes behind the ClientHello in its record",
                    });
                }
                return Ok(Some(match records {
                    0 => Message::Whole(&fragment[4..]),
                    _ => Message::Cut(cut),
                }));
            }
            if records == 0 {
                cut.extend_from_slice(fragment);
            }
        }
        Ok(None)
    }
}

/// The payload of the next record, if it is there whole.
fn fragment<'a>(rest: &mut &'a [u8]) -> Parsed<Option<&'a [u8]>> {
    let bytes = *rest;
    match *bytes {
        [] => return Ok(None),
        // A record's header has neither this first bit nor this version.
        [0x80..=0xff, _, 1, ..] => {
            let (alert, detail) = (Alert::PROTOCOL_VERSION, "SSLv2 ClientHello");
            return Err(InvalidHello { alert, detail });
        }
        [0x80..=0xff, _] | [0x80..=0xff] => return Ok(None),
        [kind, ..] if kind != HANDSHAKE => {
            let (alert, detail) = (Alert::UNEXPECTED_MESSAGE, "no TLS handshake record");
            return Err(InvalidHello { alert, detail });
        }
        // All versions have this first byte; the second is not to be looked at, RFC 8446 §5.1.
        [_, major, ..] if major != 3 => {
            let (alert, detail) = (Alert::PROTOCOL_VERSION, "no TLS version in the record");
            return Err(InvalidHello { alert, detail });
        }
        _ => {}
    }
    let Some((header, behind)) = bytes.split_at_checked(record::HEADER) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if length == 0 {
        return invalid("empty handshake record");
    }
    if length > FRAGMENT_MAX {
        let (alert, detail) = (Alert::RECORD_OVERFLOW, "record above 16 KiB");
        return Err(InvalidHello { alert, detail });
    }
    let Some((fragment, behind)) = behind.split_at_checked(length) else {
        return Ok(None);
    };
    *rest = behind;
    Ok(Some(fragment))
}

/// How long the message is that begins here, where its header is there.
fn length_of(message: &[u8]) -> Parsed<Option<usize>> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(InvalidHello {
            alert: Alert::UNEXPECTED_MESSAGE,
            detail: "another handshake message than a ClientHello",
        });
    }
    let [_, high, middle, low, ..] = *message else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    match length > HELLO_MAX {
        true => invalid("ClientHello above 64 KiB"),
        false => Ok(Some(length)),
    }
}

/// Takes fields off the front of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Parsed<&'a [u8]> {
        let Some((field, rest)) = self.0.split_at_checked(n) else {
            return invalid("ClientHello field ends too early");
        };
        self.0 = rest;
        Ok(field)
    }

    fn byte(&mut self) -> Parsed<u8> {
        Ok(self.take(1)?[0])
    }

    fn short(&mut self) -> Parsed<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector behind a length of one byte.
    fn vector8(&mut self) -> Parsed<Fields<'a>> {
        let length = self.byte()?;
        self.take(usize::from(length)).map(Fields)
    }

    /// A vector behind a length of two bytes.
    fn vector16(&mut self) -> Parsed<Fields<'a>> {
        let length = self.short()?;
        self.take(usize::from(length)).map(Fields)
    }

    fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// That nothing is behind.
    fn end(&self) -> Parsed<()> {
        if self.is_done() { Ok(()) } else { invalid("bytes behind a ClientHello field") }
    }
}

fn body_of(body: &[u8]) -> Parsed<ClientHello> {
    let mut fields = Fields(body);
    let legacy = fields.short()?;
    fields.take(32)?; // random
    if fields.vector8()?.0.len() > 32 {
        return invalid("session id above 32 bytes");
    }
    let suites = fields.vector16()?.0.len();
    if suites == 0 || suites % 2 != 0 {
        return invalid("cipher suites of odd length, or none");
    }
    // Without compression is what every client must offer.
    if !fields.vector8()?.0.contains(&0) {
        let (alert, detail) = (Alert::ILLEGAL_PARAMETER, "compression is asked for");
        return Err(InvalidHello { alert, detail });
    }
    let mut hello =
        ClientHello { server_name: None, protocols: Box::default(), versions: Box::default() };
    let mut seen = [false; 3];
    // Old clients leave the extensions out, length and all.
    let mut extensions = if fields.is_done() { Fields(&[]) } else { fields.vector16()? };
    fields.end()?;
    while !extensions.is_done() {
        let kind = extensions.short()?;
        let content = extensions.vector16()?;
        let place = match kind {
            SERVER_NAME => 0,
            ALPN => 1,
            SUPPORTED_VERSIONS => 2,
            _ => continue,
        };
        if std::mem::replace(&mut seen[place], true) {
            let (alert, detail) = (Alert::ILLEGAL_PARAMETER, "extension comes twice");
            return Err(InvalidHello { alert, detail });
        }
        match place {
            0 => hello.server_name = server_name(content)?,
            1 => hello.protocols = protocols(content)?,
            _ => hello.versions = versions(content)?,
        }
    }
    if !seen[2] {
        // Later versions are not asked for by this field, RFC 8446 §4.2.1.
        hello.versions = [legacy.min(0x0303)].into();
    }
    Ok(hello)
}

fn server_name(mut content: Fields<'_>) -> Parsed<Option<Box<str>>> {
    let mut list = content.vector16()?;
    content.end()?;
    if list.is_done() {
        return invalid("empty list of server names");
    }
    let mut found = None;
    while !list.is_done() {
        if list.byte()? != 0 {
            // How long a name of another kind is nobody knows; there are none.
            break;
        }
        let name = list.vector16()?.0;
        if found.replace(name).is_some() {
            let (alert, detail) = (Alert::ILLEGAL_PARAMETER, "two server names");
            return Err(InvalidHello { alert, detail });
        }
    }
    found.map_or(Ok(None), dns_name)
}

/// The name in lower case; none for an address.
fn dns_name(name: &[u8]) -> Parsed<Option<Box<str>>> {
    let is_label_byte = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(is_label_byte)
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
    };
    let stripped = name.strip_suffix(b".").unwrap_or(name);
    if let Ok(text) = std::str::from_utf8(name)
        && (text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok())
    {
        return Ok(None);
    }
    if stripped.len() > 253 || !stripped.split(|b| *b == b'.').all(is_label) {
        let (alert, detail) = (Alert::ILLEGAL_PARAMETER, "server name is no DNS name");
        return Err(InvalidHello { alert, detail });
    }
    let lower = stripped.to_ascii_lowercase();
    Ok(String::from_utf8(lower).ok().map(String::into_boxed_str))
}

fn protocols(mut content: Fields<'_>) -> Parsed<Box<[u8]>> {
    let list = content.vector16()?;
    content.end()?;
    if list.is_done() {
        return invalid("empty list of protocols");
    }
    let mut rest = Fields(list.0);
    while !rest.is_done() {
        if rest.vector8()?.is_done() {
            return invalid("protocol without a name");
        }
    }
    Ok(list.0.into())
}

fn versions(mut content: Fields<'_>) -> Parsed<Box<[u16]>> {
    let mut list = content.vector8()?;
    content.end()?;
    let mut versions = Vec::with_capacity(list.0.len() / 2);
    while !list.is_done() {
        versions.push(list.short()?);
    }
    if versions.is_empty() {
        return invalid("empty list of versions");
    }
    Ok(versions.into())
}

#[cfg(test)]
#[path = "client_hello_tests.rs"]
mod tests;
