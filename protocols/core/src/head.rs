//! Request and response heads, the same for every HTTP version.

use std::fmt;

use crate::find::{find_byte, find_either};
use crate::headers::{Headers, Span};

/// The HTTP version that a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
    /// HTTP/3
    Http3,
}

impl Version {
    /// As nginx's `$server_protocol` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
            Version::Http3 => "HTTP/3.0",
        }
    }
}

/// The scheme that a request came in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port that an authority without one means.
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

macro_rules! methods {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A request method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)] // each variant is its method's name
        pub enum Method {
            $($variant,)+
            /// Another token; [`RequestHead::method_name`] tells it.
            Other,
        }

        impl Method {
            /// The method of that name. Names are case-sensitive (RFC 9110 §9.1).
            pub fn of(name: &[u8]) -> Method {
                $(if name == $name.as_bytes() { return Method::$variant; })+
                Method::Other
            }

            /// Its name; empty for [`Method::Other`].
            pub const fn name(self) -> &'static str {
                match self { $(Method::$variant => $name,)+ Method::Other => "" }
            }
        }
    };
}

methods! {
    Get = "GET", Post = "POST", Put = "PUT", Delete = "DELETE", Head = "HEAD",
    Options = "OPTIONS", Patch = "PATCH", Connect = "CONNECT", Trace = "TRACE", Purge = "PURGE",
}

impl Method {
    /// Whether repeating the request does no more than doing it once (RFC 9110 §9.2.2).
    pub const fn is_idempotent(self) -> bool {
        matches!(
            self,
            Method::Get
                | Method::Head
                | Method::Put
                | Method::Delete
                | Method::Options
                | Method::Trace
        )
    }
}

/// How a body's length is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    Empty,
    /// Told in advance, in bytes.
    Exact(u64),
    /// Ends with its last chunk, frame, or the connection.
    Unknown,
}

impl BodyLength {
    /// Whether there is no body, or an empty one.
    pub const fn is_empty(self) -> bool {
        matches!(self, BodyLength::Empty | BodyLength::Exact(0))
    }
}

/// The head of a request.
///
/// Its texts are spans of the headers' arena. `path` is normalised once, by the codec that made
/// the head ([`crate::path`]): what is matched is what is authorised and what is forwarded.
#[derive(Clone)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The version it came in.
    pub version: Version,
    /// The scheme it came in with.
    pub scheme: Scheme,
    /// How its body's length is told.
    pub body: BodyLength,
    /// The fields; `host` is not among them for HTTP/2 and HTTP/3, use [`RequestHead::authority`].
    pub headers: Headers,
    /// The protocol that the client wants to switch to (`websocket`): `Upgrade` in HTTP/1.1,
    /// `:protocol` in HTTP/2 and HTTP/3 (RFC 8441, RFC 9220). Lower case.
    pub upgrade: Option<Span>,
    method_name: Span,
    target: Span,
    path: Span,
    query: Option<Span>,
    authority: Span,
}

impl RequestHead {
    /// A head with an empty path; the codec sets the rest.
    pub fn new(method: Method, version: Version, scheme: Scheme) -> RequestHead {
        RequestHead {
            method,
            version,
            scheme,
            body: BodyLength::Empty,
            headers: Headers::new(),
            upgrade: None,
            method_name: Span::default(),
            target: Span::default(),
            path: Span::default(),
            query: None,
            authority: Span::default(),
        }
    }

    /// Sets the method by its name.
    pub fn set_method(&mut self, name: &[u8]) {
        self.method = Method::of(name);
        if self.method == Method::Other {
            self.method_name = self.headers.intern(name);
        }
    }

    /// The method's name.
    pub fn method_name(&self) -> &[u8] {
        match self.method {
            Method::Other => self.headers.text(self.method_name),
            known => known.name().as_bytes(),
        }
    }

    /// The request target as it came (nginx's `$request_uri`).
    pub fn target(&self) -> &[u8] {
        self.headers.text(self.target)
    }

    /// Sets the target as it came.
    pub fn set_target(&mut self, target: Span) {
        self.target = target;
    }

    /// The normalised path, percent-encoded, starting with `/` (or `*` for `OPTIONS *`; empty for
    /// CONNECT).
    #[inline]
    pub fn path(&self) -> &[u8] {
        self.headers.text(self.path)
    }

    /// Sets the path to a span of the arena.
    pub fn set_path_span(&mut self, path: Span) {
        self.path = path;
    }

    /// Sets the path. The caller has normalised it.
    pub fn set_path(&mut self, path: &[u8]) {
        self.path = self.headers.intern(path);
    }

    /// What stands behind the `?`, without it.
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|span| self.headers.text(span))
    }

    /// Sets the query to a span of the arena.
    pub fn set_query_span(&mut self, query: Option<Span>) {
        self.query = query;
    }

    /// Sets the query, without `?`.
    pub fn set_query(&mut self, query: Option<&[u8]>) {
        self.query = query.map(|query| self.headers.intern(query));
    }

    /// Host and port as the client named them: `:authority`, the target's, or `Host`. Empty where
    /// an HTTP/1.0 client named none.
    pub fn authority(&self) -> &[u8] {
        self.headers.text(self.authority)
    }

    /// The authority without its port and without an IPv6 literal's brackets' outside; as it came,
    /// not lower-cased.
    pub fn host(&self) -> &[u8] {
        split_authority(self.authority()).0
    }

    /// Where [`RequestHead::host`] lies in the headers' arena.
    pub fn host_span(&self) -> Span {
        self.authority.part(0, self.host().len())
    }

    /// Sets the authority to a span of the arena.
    pub fn set_authority_span(&mut self, authority: Span) {
        self.authority = authority;
    }

    /// Sets the authority.
    pub fn set_authority(&mut self, authority: &[u8]) {
        self.authority = self.headers.intern(authority);
    }

    /// The protocol to switch to, in lower case.
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.upgrade.map(|span| self.headers.text(span))
    }
}

/// Splits an authority into host and port text. Brackets stay with an IPv6 literal.
pub fn split_authority(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let after_literal = match find_either(authority, b':', b']') {
        None => return (authority, None),
        // As most are: a name and a port.
        Some(at) if authority[at] == b':' && !authority[at..].contains(&b']') => {
            return (&authority[..at], Some(&authority[at + 1..]));
        }
        _ => memchr::memrchr(b']', authority).map_or(0, |at| at + 1),
    };
    match find_byte(&authority[after_literal..], b':') {
        Some(at) => {
            let at = after_literal + at;
            (&authority[..at], Some(&authority[at + 1..]))
        }
        None => (authority, None),
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &String::from_utf8_lossy(self.method_name()))
            .field("target", &String::from_utf8_lossy(self.target()))
            .field("path", &String::from_utf8_lossy(self.path()))
            .field("authority", &String::from_utf8_lossy(self.authority()))
            .field("version", &self.version)
            .field("body", &self.body)
            .field("headers", &self.headers)
            .finish()
    }
}

/// The head of a response.
#[derive(Clone)]
pub struct ResponseHead {
    /// The status code, 100 to 999.
    pub status: u16,
    /// How its body's length is told.
    pub body: BodyLength,
    /// The fields.
    pub headers: Headers,
    reason: Span,
}

impl ResponseHead {
    /// A head without fields.
    pub fn new(status: u16) -> ResponseHead {
        ResponseHead {
            status,
            body: BodyLength::Unknown,
            headers: Headers::new(),
            reason: Span::default(),
        }
    }

    /// The reason phrase as it came, or the standard one.
    pub fn reason(&self) -> &[u8] {
        match self.headers.text(self.reason) {
            [] => reason_phrase(self.status).as_bytes(),
            reason => reason,
        }
    }

    /// Sets the reason phrase to a span of the arena.
    pub fn set_reason_span(&mut self, reason: Span) {
        self.reason = reason;
    }

    /// Sets the status, and the reason phrase to the standard one.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
        self.reason = Span::default();
    }

    /// Whether it is an interim one, with another to follow (RFC 9110 §15.2). 101 is final here:
    /// after it the connection is no longer HTTP.
    pub const fn is_interim(&self) -> bool {
        self.status >= 100 && self.status < 200 && self.status != 101
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("body", &self.body)
            .field("headers", &self.headers)
            .finish()
    }
}

/// The standard reason phrase of a status (RFC 9110 §15 and IANA's registry).
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_split_at_the_port() {
        for (authority, host, port) in [
            ("a.example", "a.example", None),
            ("a.example:80", "a.example", Some("80")),
            ("[::1]:8080", "[::1]", Some("8080")),
            ("[::1]", "[::1]", None),
            ("", "", None),
        ] {
            let expected = (host.as_bytes(), port.map(str::as_bytes));
            assert_eq!(split_authority(authority.as_bytes()), expected);
        }
    }

    #[test]
    fn unknown_methods_keep_their_name() {
        let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Http);
        head.set_method(b"PROPFIND");
        assert_eq!(head.method, Method::Other);
        assert_eq!(head.method_name(), b"PROPFIND");
        head.set_method(b"get");
        assert_eq!(head.method, Method::Other, "methods are case-sensitive");
        head.set_method(b"GET");
        assert_eq!(head.method_name(), b"GET");
    }
}
