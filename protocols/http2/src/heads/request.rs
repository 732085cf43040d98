//! Request heads (RFC 9113 §8.3.1, RFC 8441).

use std::borrow::Cow;

use ringgate_core::{
    BodyLength, Code, Fault, HeaderId, HeaderSet, Headers, Limits, Method, RequestHead, Scheme,
    Span, Version, authority, check_name, find_byte, find_invisible, find_path_end, path,
};

use super::section::{self, Pseudo, Reader};
use super::{Bounds, Failure, fields};
use crate::hpack::{Decoder, Encoder, Indexing, Name, StaticName};
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

/// A head as it came.
#[derive(Debug)]
pub(crate) struct RequestBlock {
    /// What it is, or why the client is told that it is not taken.
    pub(crate) request: Result<ParsedRequest, Fault>,
    /// The method is HEAD.
    pub(crate) to_head: bool,
    /// Bytes of content that have to follow, where that is known (RFC 9113 §8.1.1).
    pub(crate) content: Option<u64>,
}

/// What of a request is no usual field.
#[derive(Default)]
struct Request {
    method: Option<Method>,
    /// A method that the gateway does not know.
    other: Option<Span>,
    /// Whether it is one of HTTP's.
    scheme: Option<bool>,
    authority: Option<Span>,
    path: Option<Span>,
    /// Whether it is a WebSocket's.
    protocol: Option<bool>,
    host: Option<Span>,
    hosts: usize,
    /// Pieces of the cookie (RFC 9113 §8.2.3), and all of them joined where there are several.
    crumbs: usize,
    cookie: Vec<u8>,
    priority: Option<Priority>,
}

impl Reader for Request {
    const TRIMMED: bool = true;

    fn pseudo(
        &mut self,
        headers: &mut Headers,
        name: Pseudo,
        value: &[u8],
    ) -> Result<(), &'static str> {
        let again = match name {
            Pseudo::Method => {
                check_name(value).map_err(|_| "a method that is none")?;
                let method = Method::of(value);
                if method == Method::Other {
                    self.other = Some(headers.intern(value));
                }
                self.method.replace(method).is_some()
            }
            Pseudo::Scheme => {
                let is_ours =
                    [&b"http"[..], b"https"].iter().any(|s| value.eq_ignore_ascii_case(s));
                self.scheme.replace(is_ours).is_some()
            }
            Pseudo::Authority => self.authority.replace(headers.intern(value)).is_some(),
            Pseudo::Path if value.is_empty() => return Err("an empty path"),
            Pseudo::Path => self.path.replace(headers.intern(value)).is_some(),
            Pseudo::Protocol => {
                let is_websocket = value.eq_ignore_ascii_case(websocket::PROTOCOL);
                self.protocol.replace(is_websocket).is_some()
            }
            Pseudo::Status => return Err("a status in a request"),
        };
        if again { Err("a pseudo-header field twice") } else { Ok(()) }
    }

    fn keeps(
        &mut self,
        headers: &mut Headers,
        id: Option<HeaderId>,
        name: &[u8],
        value: &[u8],
    ) -> bool {
        match id {
            Some(HeaderId::Host) => {
                self.hosts += 1;
                self.host = Some(headers.intern(value));
                false
            }
            Some(HeaderId::Cookie) => {
                self.crumbs += 1;
                if self.crumbs == 1 {
                    return true;
                }
                if self.crumbs == 2 {
                    self.cookie
                        .extend_from_slice(headers.get(HeaderId::Cookie).unwrap_or_default());
                }
                self.cookie.extend_from_slice(b"; ");
                self.cookie.extend_from_slice(value);
                false
            }
            None if name == b"priority" => {
                self.priority.get_or_insert(Priority::default().update(value));
                true
            }
            _ => true,
        }
    }
}

/// Reads a request's head; `end`: no body follows.
pub(crate) fn read(
    decoder: &mut Decoder,
    block: &[u8],
    end: bool,
    scheme: Scheme,
    limits: &Limits,
) -> Result<RequestBlock, Failure> {
    let mut head = RequestHead::new(Method::Get, Version::Http2, scheme);
    let mut request = Request::default();
    let bounds = Bounds { bytes: limits.header_bytes, count: limits.header_count };
    let section = section::read(decoder, block, bounds, &mut head.headers, &mut request);
    let to_head = request.method == Some(Method::Head);
    let refused = |fault| Ok(RequestBlock { request: Err(fault), to_head, content: None });
    let length = match section {
        Ok(length) => length,
        Err(Failure::Refused(fault)) => return refused(fault),
        Err(failure) => return Err(failure),
    };
    request.check().map_err(Failure::Malformed)?;
    let tunnels = request.method == Some(Method::Connect);
    if end && !tunnels && length.is_some_and(|length| length > 0) {
        return Err(Failure::Malformed("a body that is missing"));
    }
    match request.finish(head, end, length, limits) {
        Ok(parsed) => {
            let content = if tunnels { None } else { length };
            Ok(RequestBlock { request: Ok(parsed), to_head, content })
        }
        Err(fault) => refused(fault),
    }
}

/// A head that cannot be taken; its stream ends, the connection goes on.
fn refused(code: Code, detail: &'static str) -> Fault {
    Fault::new(code, detail).on_stream()
}

impl Request {
    /// RFC 9113 §8.3.1, §8.5, RFC 8441 §4: what has to be there.
    fn check(&self) -> Result<(), &'static str> {
        let is_connect = self.method == Some(Method::Connect);
        match (self.method, self.protocol) {
            (None, _) => Err("no method"),
            (Some(_), Some(_)) if !is_connect => Err("a protocol without CONNECT"),
            (Some(_), None) if is_connect => Ok(()),
            _ if self.scheme.is_none() => Err("no scheme"),
            _ if self.path.is_none() => Err("no path"),
            _ => Ok(()),
        }
    }

    fn finish(
        self,
        mut head: RequestHead,
        end: bool,
        length: Option<u64>,
        limits: &Limits,
    ) -> Result<ParsedRequest, Fault> {
        let tunnels = self.method == Some(Method::Connect);
        if tunnels {
            if self.protocol != Some(true) {
                return Err(refused(Code::NotImplemented, "CONNECT"));
            }
            // From here on it is what it would be in HTTP/1.1: a GET that wants to switch.
            head.upgrade = Some(head.headers.intern(websocket::PROTOCOL));
        } else if let Some(other) = self.other {
            let name = head.headers.text(other).to_vec();
            head.set_method(&name);
        } else if let Some(method) = self.method {
            head.method = method;
        }
        // Which of the two it is, the connection says.
        if self.scheme == Some(false) {
            return Err(refused(Code::BadRequest, ":scheme"));
        }
        let most = limits.request_line.saturating_sub(head.method_name().len());
        set_target(&mut head, self.path.unwrap_or_default(), most)?;
        self.set_authority(&mut head)?;
        if self.crumbs > 1 {
            // Its pieces were taken already.
            let _ = head.headers.set(b"cookie", &self.cookie);
        }
        let mut expects_continue = false;
        for value in head.headers.values(HeaderId::Expect) {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(refused(Code::ExpectationFailed, "expectation"));
            }
            expects_continue = true;
        }
        if tunnels {
            // What follows is the tunnel's, not a body.
            head.headers.remove_known(HeaderSet::of(&[HeaderId::ContentLength]));
            websocket::complete(&mut head.headers);
            let priority = Priority::default();
            return Ok(ParsedRequest { head, expects_continue: false, priority });
        }
        head.body = match (length, end) {
            (Some(length), _) => BodyLength::Exact(length),
            (None, true) => BodyLength::Empty,
            (None, false) => BodyLength::Unknown,
        };
        expects_continue &= !head.body.is_empty();
        let priority = self.priority.unwrap_or_default();
        Ok(ParsedRequest { head, expects_continue, priority })
    }

    /// `:authority`, or `host` where there is none (RFC 9113 §8.3.1). Where there are both, they
    /// say the same: what reads the one and what reads the other would see two sites otherwise.
    fn set_authority(&self, head: &mut RequestHead) -> Result<(), Fault> {
        if self.hosts > 1 {
            return Err(refused(Code::BadRequest, "several hosts"));
        }
        let text = |span: Span| head.headers.text(span);
        if self.host.is_some_and(|host| !authority::is_valid(text(host))) {
            return Err(refused(Code::BadRequest, "host"));
        }
        let named = match (self.authority, self.host) {
            (Some(named), _) if !authority::is_valid(text(named)) => {
                return Err(refused(Code::BadRequest, ":authority"));
            }
            (Some(named), Some(host)) if !text(host).eq_ignore_ascii_case(text(named)) => {
                return Err(refused(Code::BadRequest, ":authority and host differ"));
            }
            (Some(named), _) | (None, Some(named)) => named,
            (None, None) => return Err(refused(Code::BadRequest, "no host")),
        };
        head.set_authority_span(named);
        Ok(())
    }
}

/// The same as in HTTP/1.1: only visible ASCII, and no fragment.
fn set_target(head: &mut RequestHead, span: Span, most: usize) -> Result<(), Fault> {
    if span.len() > most {
        return Err(refused(Code::UriTooLong, ":path above its limit"));
    }
    let bad = refused(Code::BadRequest, "path");
    let target = head.headers.text(span);
    let end = match find_path_end(target) {
        None => target.len(),
        Some(at) if target[at] == b'?' && is_query(&target[at..]) => at,
        Some(_) => return Err(bad),
    };
    let (written, whole) = (&target[..end], target.len());
    let path = match written {
        b"*" if head.method == Method::Options && end == whole => None,
        _ => match path::normalize(written) {
            Ok(Cow::Borrowed(_)) => None,
            Ok(Cow::Owned(normal)) => Some(normal),
            Err(_) => return Err(bad),
        },
    };
    head.set_target(span);
    head.set_query_span((end < whole).then(|| span.part(end + 1, whole)));
    match path {
        None => head.set_path_span(span.part(0, end)),
        Some(normal) => head.set_path(&normal),
    }
    Ok(())
}

fn is_query(text: &[u8]) -> bool {
    find_invisible(text).is_none() && find_byte(text, b'#').is_none()
}

/// Writes a request's head; `end`: no body follows.
pub(crate) fn outgoing(
    encoder: &mut Encoder,
    head: &RequestHead,
    scheme: Scheme,
    end: bool,
    out: &mut Vec<u8>,
) {
    let websocket = head.upgrade().is_some();
    let (method, but): (&[u8], _) = match websocket {
        // RFC 8441 §5: the key proves nothing here.
        true => (b"CONNECT", HeaderSet::of(&[HeaderId::SecWebSocketKey])),
        false => (head.method_name(), HeaderSet::EMPTY),
    };
    let length = match head.body {
        _ if websocket => None,
        BodyLength::Exact(length) => Some(length),
        // RFC 9110 §8.6: told where the method lets expect a body.
        _ if end && matches!(head.method, Method::Post | Method::Put | Method::Patch) => Some(0),
        _ => None,
    };
    encoder.begin(out);
    let mut pseudo = |name, value: &[u8], indexing| {
        encoder.field(Name::Static(name), value, indexing, out);
    };
    pseudo(StaticName::Method, method, Indexing::Incremental);
    pseudo(StaticName::Scheme, scheme.name().as_bytes(), Indexing::Incremental);
    if !head.authority().is_empty() {
        pseudo(StaticName::Authority, head.authority(), Indexing::Incremental);
    }
    match head.query() {
        None if is_plain(head.path()) => pseudo(StaticName::Path, head.path(), Indexing::Without),
        query => pseudo(StaticName::Path, &target(head.path(), query), Indexing::Without),
    }
    if websocket {
        encoder.field(Name::Literal(b":protocol"), websocket::PROTOCOL, Indexing::Without, out);
    }
    fields::write(encoder, &head.headers, but, length, out);
}

/// Whether a part of a target has only bytes that a URI may hold (RFC 3986 §2).
fn is_plain(text: &[u8]) -> bool {
    !text.iter().any(|byte| is_encoded(*byte))
}

/// HTTP/1.1 clients send some of them in queries all the same.
const fn is_encoded(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#' | ..=0x20 | 0x7f..
    )
}

/// Path and query as one, with those bytes percent-encoded that no URI holds.
fn target(path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len() + 1 + query.map_or(0, <[u8]>::len));
    push_encoded(&mut out, path);
    if let Some(query) = query {
        out.push(b'?');
        push_encoded(&mut out, query);
    }
    out
}

fn push_encoded(out: &mut Vec<u8>, text: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if is_plain(text) {
        return out.extend_from_slice(text);
    }
    for byte in text {
        if is_encoded(*byte) {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
        } else {
            out.push(*byte);
        }
    }
}
