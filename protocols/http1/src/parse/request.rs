//! Request heads (RFC 9112 §3).

use std::borrow::Cow;
use std::ops::Range;

use ringgate_core::{
    BodyLength, HeaderId, HeaderSet, Headers, Method, RequestHead, Scheme, Span, Version,
    authority, find_splitting, path, token_len,
};

use crate::scan::{Bounds, HeadError};

use super::framing::Framing;
use super::target::{self, Path};
use super::{elements, fields};

/// A request's head, and what of it concerns the connection.
#[derive(Debug)]
pub(crate) struct ParsedRequest {
    pub(crate) head: RequestHead,
    /// The client lets the connection be used again (RFC 9112 §9.3).
    pub(crate) keep_alive: bool,
    /// It waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub(crate) expects_continue: bool,
}

/// Parses the head that `bytes` begin with; it, and where it ends.
pub(crate) fn request(
    bytes: &[u8],
    scheme: Scheme,
    bounds: &Bounds,
) -> Result<(ParsedRequest, usize), HeadError> {
    let Line { method, target, version, end: line } = line(bytes)?;
    if line > bounds.line + 2 {
        return Err(HeadError::LineTooLong);
    }
    let mut head = RequestHead::new(Method::Get, version, scheme);
    let end = fields::adopt(&mut head.headers, bytes, line, bounds)?;
    // Spans are ranges of `bytes` from here on.
    head.headers.intern(&bytes[..end]);
    head.set_method(method);
    let facts = Facts::of(&head.headers, version)?;
    let target = Text { text: &bytes[target.clone()], span: Span::at(target) };
    let host =
        head.headers.span(HeaderId::Host).map(|span| Text { span, text: &bytes[span.range()] });
    set_target(&mut head, method, target, host)?;
    Ok((finish(head, facts)?, end))
}

/// A request line, taken apart.
struct Line<'a> {
    method: &'a [u8],
    target: Range<usize>,
    version: Version,
    /// Behind its CRLF.
    end: usize,
}

/// `method SP request-target SP HTTP-version CRLF`, with just these spaces (RFC 9112 §3).
fn line(bytes: &[u8]) -> Result<Line<'_>, HeadError> {
    const MALFORMED: HeadError = HeadError::Malformed("request line is malformed");
    let (method, rest) = bytes.split_at(token_len(bytes));
    if method.is_empty() || rest.first() != Some(&b' ') {
        return Err(MALFORMED);
    }
    let start = method.len() + 1;
    // What the target may have is looked at where it is taken apart.
    let len = find_splitting(&bytes[start..]).ok_or(MALFORMED)?;
    let target = start..start + len;
    let Some([b' ', rest @ ..]) = bytes.get(target.end..) else {
        return Err(MALFORMED);
    };
    let version = match rest {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b'\r', b'\n', ..] => {
            if *minor == b'0' {
                Version::Http10
            } else {
                Version::Http11
            }
        }
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n', ..]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(HeadError::Version);
        }
        _ => return Err(HeadError::Malformed("HTTP version is malformed")),
    };
    Ok(Line { method, end: target.end + " HTTP/1.1\r\n".len(), target, version })
}

/// What the fields say about the message and the connection.
#[derive(Default)]
struct Facts {
    framing: Framing,
    expects: bool,
    close: bool,
    keep_alive: bool,
    upgrade_named: bool,
}

/// The fields that say something about the message or the connection.
const STATEMENTS: HeaderSet = HeaderSet::of(&[
    HeaderId::Connection,
    HeaderId::ContentLength,
    HeaderId::Expect,
    HeaderId::TransferEncoding,
]);

impl Facts {
    fn of(headers: &Headers, version: Version) -> Result<Facts, HeadError> {
        let mut facts = Facts::default();
        let values = |id| headers.values(id);
        if headers.present().intersects(STATEMENTS) {
            for value in values(HeaderId::ContentLength) {
                facts.framing.content_length(value)?;
            }
            for value in values(HeaderId::TransferEncoding) {
                if version == Version::Http10 {
                    return Err(HeadError::Malformed("transfer-encoding in HTTP/1.0"));
                }
                facts.framing.transfer_encoding(value)?;
            }
            for value in values(HeaderId::Expect) {
                facts.expect(value)?;
            }
            for value in values(HeaderId::Connection) {
                facts.connection(value);
            }
        }
        match (values(HeaderId::Host).count(), version) {
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
                Ok(Cow::Borrowed(_)) => {
                    head.set_path_span(target.span.part(range.start, range.end));
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
