//! Request heads (RFC 9112 §3).

use std::borrow::Cow;

use httparse::Status;
use ringgate_core::{
    BodyLength, HeaderId, Headers, Method, RequestHead, Scheme, Span, Version, path,
};

use crate::scan::HeadError;

use super::framing::Framing;
use super::target::{self, Path};
use super::{adopt, authority, elements, span_of, syntax, with_fields};

/// A request's head, and what of it concerns the connection.
#[derive(Debug)]
pub(crate) struct ParsedRequest {
    pub(crate) head: RequestHead,
    /// The client lets the connection be used again (RFC 9112 §9.3).
    pub(crate) keep_alive: bool,
    /// It waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub(crate) expects_continue: bool,
}

/// Parses a whole head of so many fields, from its first line to its empty line.
pub(crate) fn request(
    bytes: &[u8],
    fields: usize,
    scheme: Scheme,
) -> Result<ParsedRequest, HeadError> {
    with_fields(fields, |room| {
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, room) {
            Ok(Status::Complete(end)) if end == bytes.len() => {}
            Ok(_) => return Err(HeadError::Malformed("head has a line that is none")),
            Err(httparse::Error::Version) => return Err(version_error(bytes)),
            Err(error) => return Err(syntax(error)),
        }
        let (Some(method), Some(target), Some(minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(HeadError::Malformed("request line is malformed"));
        };
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let mut head = RequestHead::new(Method::Get, version, scheme);
        let copy = head.headers.intern(bytes);
        adopt(&mut head.headers, bytes, copy, parsed.headers);
        head.set_method(method.as_bytes());
        let facts = Facts::of(&head.headers, version)?;
        let target =
            Text { text: target.as_bytes(), span: span_of(bytes, copy, target.as_bytes()) };
        let host = parsed
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case("host"))
            .map(|field| Text { text: field.value, span: span_of(bytes, copy, field.value) });
        set_target(&mut head, method.as_bytes(), target, host)?;
        finish(head, facts)
    })
}

/// Whether it is a version that is not spoken here, or no version at all.
fn version_error(bytes: &[u8]) -> HeadError {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or(&[]);
    let mut parts = line.split(|byte| *byte == b' ').skip(2);
    match (parts.next(), parts.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None)
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            HeadError::Version
        }
        _ => HeadError::Malformed("HTTP version is malformed"),
    }
}

/// What the fields say about the message and the connection.
#[derive(Default)]
struct Facts {
    framing: Framing,
    hosts: usize,
    expects: bool,
    close: bool,
    keep_alive: bool,
    upgrade_named: bool,
}

impl Facts {
    fn of(headers: &Headers, version: Version) -> Result<Facts, HeadError> {
        let mut facts = Facts::default();
        for (id, _, value) in headers.iter_known() {
            match id {
                Some(HeaderId::Host) => facts.hosts += 1,
                Some(HeaderId::ContentLength) => facts.framing.content_length(value)?,
                Some(HeaderId::TransferEncoding) if version == Version::Http10 => {
                    return Err(HeadError::Malformed("transfer-encoding in HTTP/1.0"));
                }
                Some(HeaderId::TransferEncoding) => facts.framing.transfer_encoding(value)?,
                Some(HeaderId::Expect) => facts.expect(value)?,
                Some(HeaderId::Connection) => facts.connection(value),
                _ => {}
            }
        }
        match (facts.hosts, version) {
            (1, _) | (0, Version::Http10) => Ok(facts),
            (0, _) => Err(HeadError::Malformed("no host")),
            _ => Err(HeadError::Malformed("several hosts")),
        }
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(HeadError::Expectation);
        }
        self.expects = true;
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in elements(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade_named |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }
}

/// A text of the head with its place in the arena.
struct Text<'a> {
    text: &'a [u8],
    span: Span,
}

fn set_target(
    head: &mut RequestHead,
    method: &[u8],
    target: Text<'_>,
    host: Option<Text<'_>>,
) -> Result<(), HeadError> {
    let parts = target::split(method, target.text)?;
    head.set_target(target.span);
    head.set_query_span(parts.query.map(|query| target.span.part(query.start, query.end)));
    match parts.path {
        Path::Root => head.set_path(b"/"),
        Path::Asterisk => head.set_path(b"*"),
        Path::Written(range) => {
            let written = &target.text[range.clone()];
            match path::normalize(written) {
                Ok(Cow::Borrowed(normal)) => {
                    let span = target.span.part(range.start, range.end);
                    head.set_path_span(span_of(written, span, normal));
                }
                Ok(Cow::Owned(normal)) => head.set_path(&normal),
                Err(_) => return Err(HeadError::Malformed("path")),
            }
        }
    }
    if host.as_ref().is_some_and(|host| !authority::is_valid(host.text)) {
        return Err(HeadError::Malformed("host"));
    }
    match parts.authority {
        Some(range) => {
            let named = &target.text[range.clone()];
            // RFC 9112 §3.2.2 lets the target win over a Host that differs; but what reads the
            // one and what reads the other would then see two sites.
            if !authority::is_valid(named)
                || host.is_some_and(|host| !host.text.eq_ignore_ascii_case(named))
            {
                return Err(HeadError::Malformed("target and host differ"));
            }
            head.set_authority_span(target.span.part(range.start, range.end));
        }
        None => {
            if let Some(host) = host {
                head.set_authority_span(host.span);
            }
        }
    }
    Ok(())
}

fn finish(mut head: RequestHead, facts: Facts) -> Result<ParsedRequest, HeadError> {
    head.body = match facts.framing.length()? {
        None => BodyLength::Empty,
        Some(None) => BodyLength::Unknown,
        Some(Some(length)) => BodyLength::Exact(length),
    };
    let modern = head.version == Version::Http11;
    if modern && facts.upgrade_named && head.body.is_empty() {
        head.upgrade = upgrade(&mut head.headers);
    }
    Ok(ParsedRequest {
        keep_alive: !facts.close && (modern || facts.keep_alive),
        // RFC 9110 §10.1.1: ignored from HTTP/1.0, and without a body there is nothing to wait for.
        expects_continue: facts.expects && modern && !head.body.is_empty(),
        head,
    })
}

/// The protocol to switch to, where there is just one and it is not `h2c`: passed on, that would
/// open a way past all that is checked here (and RFC 9113 §3.1 has dropped it).
fn upgrade(headers: &mut Headers) -> Option<Span> {
    let is_protocol = |byte: &u8| ringgate_core::is_token_byte(*byte) || *byte == b'/';
    let protocol = headers.get(HeaderId::Upgrade)?;
    if protocol.is_empty()
        || !protocol.iter().all(is_protocol)
        || protocol.eq_ignore_ascii_case(b"h2c")
        || headers.get_all(b"upgrade").count() > 1
    {
        return None;
    }
    let lower = protocol.to_ascii_lowercase();
    Some(headers.intern(&lower))
}
