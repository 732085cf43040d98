//! Request heads (RFC 9113 §8.3.1, RFC 8441).

use std::borrow::Cow;

use bytes::Bytes;
use h2::ext::Protocol;
use http::uri::{Authority, PathAndQuery, Scheme as UriScheme, Uri};
use http::{HeaderValue, Request};
use ringgate_core::{
    BodyLength, Code, Fault, HeaderId, HeaderSet, Limits, Method, RequestHead, Scheme, Version,
    authority, path,
};

use super::{fields, refused};
use crate::priority::Priority;
use crate::websocket;

/// A request's head, and what of it concerns the stream.
#[derive(Debug)]
pub(crate) struct ParsedRequest {
    pub(crate) head: RequestHead,
    /// It waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub(crate) expects_continue: bool,
    /// How soon it is to be answered (RFC 9218).
    pub(crate) priority: Priority,
}

/// Takes a request over; `end`: no body follows.
pub(crate) fn request<B>(
    request: &Request<B>,
    end: bool,
    scheme: Scheme,
    limits: &Limits,
) -> Result<ParsedRequest, Fault> {
    let map = request.headers();
    if map.len() > limits.header_count {
        return Err(refused(Code::HeadersTooLarge, "too many fields"));
    }
    let method = request.method().as_str().as_bytes();
    let mut head = RequestHead::new(Method::Get, Version::Http2, scheme);
    if request.method() == http::Method::CONNECT {
        let protocol = request.extensions().get::<Protocol>();
        if protocol.is_none_or(|protocol| !is_websocket(protocol)) {
            return Err(refused(Code::NotImplemented, "CONNECT"));
        }
        // From here on it is what it would be in HTTP/1.1: a GET that wants to switch.
        head.upgrade = Some(head.headers.intern(websocket::PROTOCOL));
    } else {
        head.set_method(method);
    }
    // Which of the two it is, the connection says.
    if request.uri().scheme().is_some_and(|s| *s != UriScheme::HTTP && *s != UriScheme::HTTPS) {
        return Err(refused(Code::BadRequest, ":scheme"));
    }
    set_target(&mut head, request.uri(), limits.request_line.saturating_sub(method.len()))?;
    let named = authority_of(request)?;
    head.set_authority(named);

    let (mut crumbs, mut prioritized) = (0, false);
    let adopted = fields::adopt(&mut head.headers, map, |name| match *name {
        http::header::COOKIE => {
            // RFC 9113 §8.2.3: one field, whatever it was split into.
            crumbs += 1;
            crumbs == 1
        }
        http::header::HOST => false,
        _ => {
            prioritized |= name == "priority";
            true
        }
    });
    if adopted.is_err() {
        return Err(refused(Code::BadRequest, "a field has a control character"));
    }
    if crumbs > 1 {
        let joined = map.get_all(http::header::COOKIE).iter().map(HeaderValue::as_bytes);
        let joined = joined.collect::<Vec<_>>().join(&b"; "[..]);
        // Its pieces were taken already.
        let _ = head.headers.set(b"cookie", &joined);
    }
    let mut parsed = finish(head, end)?;
    if prioritized && let Some(field) = map.get("priority") {
        parsed.priority = parsed.priority.update(field.as_bytes());
    }
    Ok(parsed)
}

fn is_websocket(protocol: &Protocol) -> bool {
    protocol.as_str().as_bytes().eq_ignore_ascii_case(websocket::PROTOCOL)
}

fn set_target(head: &mut RequestHead, uri: &Uri, most: usize) -> Result<(), Fault> {
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str).as_bytes();
    if target.len() > most {
        return Err(refused(Code::UriTooLong, ":path above its limit"));
    }
    let span = head.headers.intern(target);
    head.set_target(span);
    let written = &target[..uri.path().len().min(target.len())];
    if let Some(query) = uri.query() {
        head.set_query_span(Some(span.part(target.len() - query.len(), target.len())));
    }
    if written == b"*" && head.method == Method::Options {
        head.set_path_span(span.part(0, 1));
        return Ok(());
    }
    match path::normalize(written) {
        Ok(Cow::Borrowed(_)) => head.set_path_span(span.part(0, written.len())),
        Ok(Cow::Owned(normal)) => head.set_path(&normal),
        Err(_) => return Err(refused(Code::BadRequest, "path")),
    }
    Ok(())
}

/// `:authority`, or `host` where there is none (RFC 9113 §8.3.1). Where there are both, they say
/// the same: what reads the one and what reads the other would see two sites otherwise.
fn authority_of<B>(request: &Request<B>) -> Result<&[u8], Fault> {
    let mut hosts = request.headers().get_all(http::header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(refused(Code::BadRequest, "several hosts"));
    }
    if host.is_some_and(|host| !authority::is_valid(host)) {
        return Err(refused(Code::BadRequest, "host"));
    }
    let named = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    match (named, host) {
        (Some(named), _) if !authority::is_valid(named) => {
            Err(refused(Code::BadRequest, ":authority"))
        }
        (Some(named), Some(host)) if !host.eq_ignore_ascii_case(named) => {
            Err(refused(Code::BadRequest, ":authority and host differ"))
        }
        (Some(named), _) => Ok(named),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(refused(Code::BadRequest, "no host")),
    }
}

fn finish(mut head: RequestHead, end: bool) -> Result<ParsedRequest, Fault> {
    let mut expects = false;
    for value in head.headers.values(HeaderId::Expect) {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(refused(Code::ExpectationFailed, "expectation"));
        }
        expects = true;
    }
    if head.upgrade.is_some() {
        // What follows is the tunnel's, not a body.
        head.headers.remove_known(HeaderSet::of(&[HeaderId::ContentLength]));
        websocket::complete(&mut head.headers);
        let priority = Priority::default();
        return Ok(ParsedRequest { head, expects_continue: false, priority });
    }
    let told = head.headers.get(HeaderId::ContentLength);
    let told = told.and_then(|told| std::str::from_utf8(told).ok()?.parse().ok());
    head.body = match (told, end) {
        (Some(length), _) => BodyLength::Exact(length),
        (None, true) => BodyLength::Empty,
        (None, false) => BodyLength::Unknown,
    };
    Ok(ParsedRequest {
        expects_continue: expects && !head.body.is_empty(),
        head,
        priority: Priority::default(),
    })
}

/// A request to send. `None` where a part of it, as rewritten, cannot be written.
pub(crate) fn outgoing(head: &RequestHead, scheme: Scheme, end: bool) -> Option<Request<()>> {
    let websocket = head.upgrade().is_some();
    let mut request = Request::new(());
    let (but, method) = match websocket {
        // RFC 8441 §5: the key proves nothing here.
        true => (HeaderSet::of(&[HeaderId::SecWebSocketKey]), http::Method::CONNECT),
        false => (HeaderSet::EMPTY, http::Method::from_bytes(head.method_name()).ok()?),
    };
    let length = match head.body {
        _ if websocket => None,
        BodyLength::Exact(length) => Some(length),
        // RFC 9110 §8.6: told where the method lets expect a body.
        _ if end && matches!(head.method, Method::Post | Method::Put | Method::Patch) => Some(0),
        _ => None,
    };
    *request.method_mut() = method;
    *request.uri_mut() = uri(head, scheme)?;
    *request.headers_mut() = fields::outgoing(&head.headers, but, length);
    if websocket {
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    Some(request)
}

fn uri(head: &RequestHead, scheme: Scheme) -> Option<Uri> {
    let mut parts = http::uri::Parts::default();
    let query = head.query().unwrap_or_default();
    let mut target = Vec::with_capacity(head.path().len() + 1 + query.len());
    target.extend_from_slice(head.path());
    if head.query().is_some() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let target = Bytes::from(target);
    let parsed = match PathAndQuery::from_maybe_shared(target.clone()) {
        Ok(parsed) if parsed.as_str().len() == target.len() => parsed,
        _ => PathAndQuery::from_maybe_shared(encoded(&target)).ok()?,
    };
    parts.path_and_query = Some(parsed);
    if !head.authority().is_empty() {
        let authority = Bytes::copy_from_slice(head.authority());
        parts.authority = Some(Authority::from_maybe_shared(authority).ok()?);
        parts.scheme = Some(match scheme {
            Scheme::Http => UriScheme::HTTP,
            Scheme::Https => UriScheme::HTTPS,
        });
    }
    Uri::from_parts(parts).ok()
}

/// A target with those bytes percent-encoded that no URI holds (RFC 3986 §2): HTTP/1.1 clients
/// send some of them in queries all the same.
#[cold]
fn encoded(target: &[u8]) -> Bytes {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(target.len() + 16);
    for byte in target {
        match byte {
            b'"'
            | b'<'
            | b'>'
            | b'\\'
            | b'^'
            | b'`'
            | b'{'
            | b'|'
            | b'}'
            | b'#'
            | ..=0x20
            | 0x7f.. => out.extend_from_slice(&[
                b'%',
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]),
            byte => out.push(*byte),
        }
    }
    Bytes::from(out)
}
