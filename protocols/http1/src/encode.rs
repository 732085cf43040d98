//! Heads in their written form (RFC 9112 §3, §4). Order and case of the fields are kept; those
//! that frame the message are never copied but written from what is known.

use ringgate_core::{
    Chunk, HeaderId, HeaderSet, Lease, Method, RequestHead, ResponseHead, SMALL, find_splitting,
};

/// How the body's length is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Length(u64),
    Chunked,
}

/// What is said about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// As the version has it.
    Unsaid,
    Close,
    KeepAlive,
    Upgrade,
}

/// Fields that are never copied: they frame the message, or are for one connection.
const FRAMING: HeaderSet = HeaderSet::of(&[
    HeaderId::Connection,
    HeaderId::ContentLength,
    HeaderId::KeepAlive,
    HeaderId::ProxyConnection,
    HeaderId::TransferEncoding,
]);

/// Lets `write` fill a pooled buffer; a head that does not fit makes it grow.
fn build(write: impl FnOnce(&mut Vec<u8>)) -> Chunk {
    let mut lease = Lease::with_capacity(SMALL);
    let mut storage = lease.take_storage();
    write(&mut storage);
    lease.restore(storage);
    lease.freeze()
}

/// A response head. The version is ours, whatever the client's (RFC 9110 §6.2).
pub(crate) fn response(head: &ResponseHead, told: Told, persistence: Persistence) -> Chunk {
    build(|out| {
        status_line(out, head);
        let switching = matches!(head.status, 101 | 426);
        let but = if switching { FRAMING } else { FRAMING.with(HeaderId::Upgrade) };
        head.headers.write_lines(out, but);
        match persistence {
            Persistence::Unsaid => {}
            Persistence::Close => out.extend_from_slice(b"Connection: close\r\n"),
            Persistence::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            Persistence::Upgrade => out.extend_from_slice(b"Connection: upgrade\r\n"),
        }
        length(out, told);
        out.extend_from_slice(b"\r\n");
    })
}

fn status_line(out: &mut Vec<u8>, head: &ResponseHead) {
    if head.status == 200 && head.reason() == b"OK" {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
}

/// A request head. `None` where a part of its first line, as rewritten, could split it.
pub(crate) fn request(head: &RequestHead, told: Told) -> Option<Chunk> {
    let (method, path) = (head.method_name(), head.path());
    let query = head.query();
    let names_host = head.headers.has(HeaderId::Host);
    let splits = |text| find_splitting(text).is_some();
    if path.is_empty()
        || splits(path)
        || query.is_some_and(splits)
        || head.method == Method::Other && (method.is_empty() || splits(method))
        || !names_host && splits(head.authority())
    {
        return None;
    }
    Some(build(|out| {
        out.extend_from_slice(method);
        out.push(b' ');
        out.extend_from_slice(path);
        if let Some(query) = query {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        if !names_host {
            field(out, b"Host", head.authority());
        }
        head.headers.write_lines(out, FRAMING.with(HeaderId::Upgrade));
        match (head.upgrade(), head.headers.has(HeaderId::Te)) {
            (Some(protocol), te) => {
                field(out, b"Upgrade", protocol);
                field(out, b"Connection", if te { b"upgrade, te" } else { b"upgrade" });
            }
            // RFC 9110 §10.1.4
            (None, true) => field(out, b"Connection", b"te"),
            (None, false) => {}
        }
        length(out, told);
        out.extend_from_slice(b"\r\n");
    }))
}

/// How a request's length is told. No body means no field, except where the method lets expect
/// one (RFC 9110 §8.6).
pub(crate) fn request_length(method: Method, length: ringgate_core::BodyLength, end: bool) -> Told {
    use ringgate_core::BodyLength::{Empty, Exact, Unknown};
    match length {
        Exact(length) => Told::Length(length),
        Unknown if !end => Told::Chunked,
        Unknown | Empty => match method {
            Method::Post | Method::Put | Method::Patch => Told::Length(0),
            _ => Told::Nothing,
        },
    }
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn length(out: &mut Vec<u8>, told: Told) {
    match told {
        Told::Nothing => {}
        Told::Length(length) => {
            field(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        Told::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}
