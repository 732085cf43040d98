//! Fields.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use ringgate_core::{HeaderId, HeaderSet, Headers, WELL_KNOWN};

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

/// The well-known names as h2 takes them; none of them costs an allocation.
static NAMES: LazyLock<[HeaderName; WELL_KNOWN]> =
    LazyLock::new(|| HeaderId::ALL.map(|id| HeaderName::from_static(id.name())));

/// The fields to send, less those that never are and those of `but`, and the length of the body
/// where that is told. All values share one buffer.
pub(super) fn outgoing(headers: &Headers, but: HeaderSet, length: Option<u64>) -> HeaderMap {
    let but = NEVER.union(but).with(HeaderId::ContentLength);
    let sent = || headers.iter_known().filter(|(id, _, _)| !id.is_some_and(|id| but.contains(id)));
    let mut digits = itoa::Buffer::new();
    let length = length.map(|length| digits.format(length).as_bytes());
    let size: usize = sent().map(|(_, _, value)| value.len()).sum();
    let mut text = Vec::with_capacity(size + length.map_or(0, <[u8]>::len));
    sent().for_each(|(_, _, value)| text.extend_from_slice(value));
    text.extend_from_slice(length.unwrap_or_default());
    let text = Bytes::from(text);
    let mut map = HeaderMap::with_capacity(headers.len() + 1);
    let mut at = 0;
    for (id, name, value) in sent() {
        let value = text.slice(at..at + value.len());
        at += value.len();
        let name = match id {
            Some(id) => NAMES[id as usize].clone(),
            // Writes it in lower case.
            None => match HeaderName::from_bytes(name) {
                Ok(name) => name,
                Err(_) => continue,
            },
        };
        // Headers hold no name or value that h2 would not take, except these.
        if id == Some(HeaderId::Te) && value != "trailers" {
            continue;
        }
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            map.append(name, value);
        }
    }
    if length.is_some()
        && let Ok(value) = HeaderValue::from_maybe_shared(text.slice(at..))
    {
        map.insert(http::header::CONTENT_LENGTH, value);
    }
    map
}

/// Adds what came, less what `keep` says no to.
pub(super) fn adopt(
    headers: &mut Headers,
    map: &HeaderMap,
    mut keep: impl FnMut(&HeaderName) -> bool,
) -> Result<(), ringgate_core::InvalidField> {
    for (name, value) in map {
        if keep(name) {
            headers.append(name.as_str().as_bytes(), value.as_bytes())?;
        }
    }
    Ok(())
}

/// The length that a content-length tells; h2 has checked that it is one and that there is no
/// other.
pub(super) fn content_length(map: &HeaderMap) -> Option<u64> {
    std::str::from_utf8(map.get(http::header::CONTENT_LENGTH)?.as_bytes()).ok()?.parse().ok()
}
