//! nginx's and APISIX's variables.

use std::borrow::Cow;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use ringgate_core::{BodyLength, ConnectionInfo, HeaderId, RequestHead, path, split_authority};

use super::fields;
use super::tls::TlsVariable;

/// Variables that do not follow from the head and the connection: the consumer, the route, the
/// node, what a body says. Names come without `$`.
pub trait Context {
    /// The variable's value; [`None`] where it has none now.
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// Whether a variable that is a list (`graphql_root_fields`) has the item; for `has`.
    fn list_has(&self, name: &str, item: &[u8]) -> bool {
        let _ = (name, item);
        false
    }
}

/// What routes and expressions look at.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The request's head; its path is normalised.
    pub head: &'a RequestHead,
    /// The connection that it came on. A plugin that corrects the client's address (`real-ip`)
    /// passes a corrected copy.
    pub connection: &'a ConnectionInfo,
    /// Where the other variables come from.
    pub extra: Option<&'a dyn Context>,
}

impl<'a> Subject<'a> {
    /// A subject without further variables.
    pub fn new(head: &'a RequestHead, connection: &'a ConnectionInfo) -> Subject<'a> {
        Subject { head, connection, extra: None }
    }
}

/// A variable, compiled from its name.
///
/// Known here: `uri`, `document_uri`, `request_uri`, `real_request_uri`, `args`, `query_string`,
/// `is_args`, `arg_NAME`, `http_NAME`, `cookie_NAME`, `host`, `http_host`, `remote_addr`,
/// `remote_port`, `server_addr`, `server_port`, `scheme`, `https`, `request_method`, `method`,
/// `request`, `server_protocol`, `content_type`, `content_length`, and of TLS `ssl_protocol`,
/// `ssl_cipher`, `ssl_server_name`, `ssl_session_reused`, `ssl_client_verify`,
/// `ssl_client_s_dn`, `ssl_client_i_dn`, `ssl_client_serial`, `ssl_client_fingerprint`. Everything
/// else (`consumer_name`, `route_id`, `service_id`, `balancer_ip`, `graphql_name`,
/// `post_arg_NAME`, `uri_param_NAME`…) is asked of the subject's [`Context`], and absent without
/// one.
///
/// Where it differs from nginx: `uri` stays percent-encoded, as it is matched and forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Uri,
    RequestUri,
    RealRequestUri,
    Args,
    IsArgs,
    Arg(Box<[u8]>),
    /// Lower case, with dashes.
    Header(Box<[u8]>, Option<HeaderId>),
    Cookie(Box<[u8]>),
    Host,
    HttpHost,
    RemoteAddr,
    RemotePort,
    ServerAddr,
    ServerPort,
    Scheme,
    Https,
    Method,
    Request,
    Protocol,
    ContentLength,
    Tls(TlsVariable),
    Context(Box<str>),
}

impl Variable {
    /// The variable of that name, with or without `$`.
    pub fn compile(name: &str) -> Variable {
        let name = name.strip_prefix('$').unwrap_or(name);
        Variable(match name {
            "uri" | "document_uri" => Kind::Uri,
            "request_uri" => Kind::RequestUri,
            "real_request_uri" => Kind::RealRequestUri,
            "args" | "query_string" => Kind::Args,
            "is_args" => Kind::IsArgs,
            "host" => Kind::Host,
            "http_host" => Kind::HttpHost,
            "remote_addr" => Kind::RemoteAddr,
            "remote_port" => Kind::RemotePort,
            "server_addr" => Kind::ServerAddr,
            "server_port" => Kind::ServerPort,
            "scheme" => Kind::Scheme,
            "https" => Kind::Https,
            "request_method" | "method" => Kind::Method,
            "request" => Kind::Request,
            "server_protocol" => Kind::Protocol,
            "content_type" => header("content-type"),
            "content_length" => Kind::ContentLength,
            _ => match name.split_once('_') {
                Some(("arg", arg)) => Kind::Arg(arg.as_bytes().into()),
                Some(("http", name)) => header(name),
                Some(("ssl", _)) => {
                    TlsVariable::of(name).map_or_else(|| Kind::Context(name.into()), Kind::Tls)
                }
                Some(("cookie", cookie)) => Kind::Cookie(cookie.as_bytes().into()),
                _ => Kind::Context(name.into()),
            },
        })
    }

    /// Its value; [`None`] where the request has none.
    pub fn value<'a>(&self, subject: &Subject<'a>) -> Option<Cow<'a, [u8]>> {
        let head = subject.head;
        let text = |text: &'static str| Some(Cow::Borrowed(text.as_bytes()));
        match &self.0 {
            Kind::Uri => Some(head.path().into()),
            Kind::RequestUri => Some(request_uri(head)),
            Kind::RealRequestUri => Some(head.target().into()),
            Kind::Args => head.query().map(Cow::Borrowed),
            Kind::IsArgs => {
                text(if head.query().is_some_and(|q| !q.is_empty()) { "?" } else { "" })
            }
            Kind::Arg(name) => fields::argument(head.query()?, name),
            Kind::Header(name, id) => fields::header(&head.headers, name, *id),
            Kind::Cookie(name) => fields::cookie(&head.headers, name).map(Cow::Borrowed),
            Kind::Host => Some(host(head)),
            Kind::HttpHost => match head.authority() {
                [] => head.headers.get(HeaderId::Host).map(Cow::Borrowed),
                authority => Some(authority.into()),
            },
            Kind::Scheme => text(head.scheme.name()),
            Kind::Https => text(if subject.connection.tls.is_some() { "on" } else { "" }),
            Kind::Method => Some(head.method_name().into()),
            Kind::Protocol => text(head.version.name()),
            Kind::Tls(part) => part.value(subject.connection.tls.as_deref()?),
            Kind::Context(name) => subject.extra?.variable(name),
            Kind::ContentLength => match head.headers.get(HeaderId::ContentLength) {
                Some(length) => Some(length.into()),
                None => self.written(subject),
            },
            Kind::RemoteAddr
            | Kind::RemotePort
            | Kind::ServerAddr
            | Kind::ServerPort
            | Kind::Request => self.written(subject),
        }
    }

    /// Writes its value behind `out`; nothing where the request has none. Returns whether it has.
    pub fn append(&self, subject: &Subject<'_>, out: &mut Vec<u8>) -> bool {
        let connection = subject.connection;
        let head = subject.head;
        let written = match &self.0 {
            Kind::RemoteAddr => write!(out, "{}", address(connection.peer)),
            Kind::RemotePort => write!(out, "{}", connection.peer.port()),
            Kind::ServerAddr => write!(out, "{}", address(connection.local)),
            Kind::ServerPort => write!(out, "{}", connection.local.port()),
            Kind::ContentLength if !head.headers.has(HeaderId::ContentLength) => match head.body {
                BodyLength::Exact(length) => write!(out, "{length}"),
                BodyLength::Empty | BodyLength::Unknown => return false,
            },
            Kind::Request => {
                for part in [head.method_name(), b" ", head.target(), b" "] {
                    out.extend_from_slice(part);
                }
                out.write_all(head.version.name().as_bytes())
            }
            _ => match self.value(subject) {
                Some(value) => out.write_all(&value),
                None => return false,
            },
        };
        written.is_ok() // writing to a Vec cannot fail
    }

    /// The client's address, where that is what this variable means: spares its text.
    pub(super) fn address(&self, subject: &Subject<'_>) -> Option<IpAddr> {
        match self.0 {
            Kind::RemoteAddr => Some(address(subject.connection.peer)),
            Kind::ServerAddr => Some(address(subject.connection.local)),
            _ => None,
        }
    }

    /// Whether it is a list that has the item; for `has`.
    pub(super) fn list_has(&self, subject: &Subject<'_>, item: &[u8]) -> bool {
        match (&self.0, subject.extra) {
            (Kind::Context(name), Some(context)) => context.list_has(name, item),
            _ => false,
        }
    }

    fn written<'a>(&self, subject: &Subject<'a>) -> Option<Cow<'a, [u8]>> {
        let mut out = Vec::new();
        self.append(subject, &mut out).then_some(Cow::Owned(out))
    }
}

fn header(name: &str) -> Kind {
    let name = name.to_ascii_lowercase().replace('_', "-").into_bytes();
    let id = HeaderId::of(&name);
    Kind::Header(name.into(), id)
}

/// An IPv4 client of a dual-stack socket is an IPv4 client.
fn address(socket: SocketAddr) -> IpAddr {
    socket.ip().to_canonical()
}

/// As nginx's `$host`: lower case, without port and without the root's dot.
fn host(head: &RequestHead) -> Cow<'_, [u8]> {
    let host = bare_host(head.host());
    match host.iter().any(u8::is_ascii_uppercase) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    }
}

/// A host without the root's dot (`a.example.`).
pub(super) fn bare_host(host: &[u8]) -> &[u8] {
    match host {
        [bare @ .., b'.'] if !bare.is_empty() => bare,
        _ => host,
    }
}

/// The host of `host[:port]` in configuration.
pub(super) fn configured_host(host: &str) -> &[u8] {
    bare_host(split_authority(host.as_bytes()).0)
}

/// As APISIX's `request_uri`: normalised, but not rewritten, so that no spelling gets around a
/// rule. What came in is `real_request_uri`.
fn request_uri(head: &RequestHead) -> Cow<'_, [u8]> {
    let target = origin_form(head.target());
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    match path::normalize(&target[..end]) {
        Ok(Cow::Owned(mut canonical)) => {
            canonical.extend_from_slice(&target[end..]);
            Cow::Owned(canonical)
        }
        Ok(Cow::Borrowed(_)) | Err(_) => Cow::Borrowed(target),
    }
}

/// The path and query of a target in absolute form (RFC 9112 §3.2.2); others as they are.
fn origin_form(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    let Some(scheme) = memchr::memmem::find(target, b"://") else { return target };
    let authority = &target[scheme + 3..];
    match memchr::memchr2(b'/', b'?', authority) {
        Some(end) if authority[end] == b'/' => &authority[end..],
        _ => b"/",
    }
}
