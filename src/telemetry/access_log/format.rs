//! `access_log.format`: `json`, `combined`, or a string with nginx's variables.

use std::fmt;
use std::io::Write;

use super::{Record, escape, json};
use crate::route::TlsVariable;
use crate::telemetry::clock::Calendar;

macro_rules! fields {
    ($($variant:ident = $name:literal,)+) => {
        /// A variable of a format string.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)] // nginx's and APISIX's names
        pub enum Field { $($variant),+ }

        impl Field {
            /// Every one of them.
            pub const ALL: &'static [Field] = &[$(Field::$variant),+];

            /// The name behind `$`.
            pub const fn name(self) -> &'static str {
                match self { $(Field::$variant => $name),+ }
            }
        }
    };
}

fields! {
    RemoteAddr = "remote_addr",
    RemotePort = "remote_port",
    RemoteUser = "remote_user",
    ServerAddr = "server_addr",
    ServerPort = "server_port",
    TimeLocal = "time_local",
    TimeIso8601 = "time_iso8601",
    Msec = "msec",
    Request = "request",
    RequestMethod = "request_method",
    Scheme = "scheme",
    Host = "host",
    HttpHost = "http_host",
    Uri = "uri",
    RequestUri = "request_uri",
    Args = "args",
    QueryString = "query_string",
    IsArgs = "is_args",
    ServerProtocol = "server_protocol",
    Status = "status",
    RequestLength = "request_length",
    BytesSent = "bytes_sent",
    BodyBytesSent = "body_bytes_sent",
    RequestTime = "request_time",
    UpstreamAddr = "upstream_addr",
    UpstreamStatus = "upstream_status",
    UpstreamResponseTime = "upstream_response_time",
    GrpcStatus = "grpc_status",
    RouteId = "route_id",
    ServiceId = "service_id",
    ConsumerName = "consumer_name",
    HttpUserAgent = "http_user_agent",
    HttpReferer = "http_referer",
    HttpXForwardedFor = "http_x_forwarded_for",
    RequestId = "request_id",
    Fault = "fault",
    Connection = "connection",
    SslProtocol = "ssl_protocol",
    SslCipher = "ssl_cipher",
    SslServerName = "ssl_server_name",
    SslSessionReused = "ssl_session_reused",
    SslClientVerify = "ssl_client_verify",
    SslClientSDn = "ssl_client_s_dn",
    SslClientIDn = "ssl_client_i_dn",
    SslClientSerial = "ssl_client_serial",
    SslClientFingerprint = "ssl_client_fingerprint",
}

const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status \
                        $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";
/// Bytes of a format string, and pieces that it may have.
const FORMAT_MAX: usize = 8 * 1024;
const PIECES_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Field(Field),
}

/// A format, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    /// `None`: JSON.
    pieces: Option<Box<[Piece]>>,
}

/// Why a format does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatError {
    /// There is no such variable.
    UnknownVariable(String),
    /// A `$` without a name behind it.
    NoName,
    /// Above its bounds.
    TooLong,
    /// It would break lines apart.
    ControlCharacter,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::UnknownVariable(name) => write!(f, "unknown variable ${name}"),
            FormatError::NoName => f.write_str("a $ without the name of a variable behind it"),
            FormatError::TooLong => write!(f, "above {FORMAT_MAX} bytes or {PIECES_MAX} pieces"),
            FormatError::ControlCharacter => f.write_str("a control character"),
        }
    }
}

impl std::error::Error for FormatError {}

impl LogFormat {
    /// The fixed set of fields as JSON.
    pub const JSON: LogFormat = LogFormat { pieces: None };

    /// Compiles `json`, `combined`, or a string with `$variable` or `${variable}`.
    pub fn compile(format: &str) -> Result<LogFormat, FormatError> {
        match format {
            "json" => return Ok(LogFormat::JSON),
            "combined" => return LogFormat::compile(COMBINED),
            _ => {}
        }
        if format.len() > FORMAT_MAX {
            return Err(FormatError::TooLong);
        }
        if format.chars().any(|c| c.is_control() && c != '\t') {
            return Err(FormatError::ControlCharacter);
        }
        let mut pieces = Vec::new();
        let mut rest = format;
        while let Some((text, behind)) = rest.split_once('$') {
            if !text.is_empty() {
                pieces.push(Piece::Text(text.as_bytes().into()));
            }
            let (name, left) = variable(behind)?;
            let field = Field::ALL.iter().find(|field| field.name() == name);
            let unknown = || FormatError::UnknownVariable(name.to_owned());
            pieces.push(Piece::Field(*field.ok_or_else(unknown)?));
            rest = left;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.as_bytes().into()));
        }
        if pieces.len() > PIECES_MAX {
            return Err(FormatError::TooLong);
        }
        Ok(LogFormat { pieces: Some(pieces.into()) })
    }

    /// Appends one line, its line feed included.
    pub(super) fn render(&self, record: &Record<'_>, calendar: &mut Calendar, out: &mut Vec<u8>) {
        match &self.pieces {
            None => json::render(record, calendar, out),
            Some(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.extend_from_slice(text),
                        Piece::Field(field) => render_field(*field, record, calendar, out),
                    }
                }
            }
        }
        out.push(b'\n');
    }
}

fn variable(behind: &str) -> Result<(&str, &str), FormatError> {
    let (name, left) = match behind.strip_prefix('{') {
        Some(inside) => inside.split_once('}').ok_or(FormatError::NoName)?,
        None => {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            behind.split_at(behind.find(|c| !is_name(c)).unwrap_or(behind.len()))
        }
    };
    if name.is_empty() { Err(FormatError::NoName) } else { Ok((name, left)) }
}

/// Seconds with three digits, as nginx writes durations.
fn seconds(us: u64, out: &mut Vec<u8>) {
    let ms = us / 1_000;
    put(out, format_args!("{}.{:03}", ms / 1_000, ms % 1_000));
}

fn put(out: &mut Vec<u8>, value: fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = out.write_fmt(value);
}

fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Bytes of the peer or of the configuration; `-` stands for none, as in nginx.
fn text(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() { out.push(b'-') } else { escape::nginx(bytes, out) }
}

fn or_dash<T>(value: Option<T>, out: &mut Vec<u8>, write: impl FnOnce(T, &mut Vec<u8>)) {
    match value {
        Some(value) => write(value, out),
        None => out.push(b'-'),
    }
}

fn render_field(field: Field, r: &Record<'_>, calendar: &mut Calendar, out: &mut Vec<u8>) {
    match field {
        Field::RemoteAddr => put(out, format_args!("{}", r.remote_addr)),
        Field::RemotePort => number(u64::from(r.remote_port), out),
        Field::RemoteUser => text(r.remote_user, out),
        Field::ServerAddr => {
            or_dash(r.server_addr, out, |a, out| put(out, format_args!("{}", a.ip())))
        }
        Field::ServerPort => or_dash(r.server_addr, out, |a, out| number(a.port().into(), out)),
        Field::TimeLocal => calendar.clf(r.time_ms, out),
        Field::TimeIso8601 => calendar.iso(r.time_ms, out),
        Field::Msec => seconds(r.time_ms.saturating_mul(1_000), out),
        Field::Request => request(r, out),
        Field::RequestMethod => text(r.method, out),
        Field::Scheme => text(r.scheme.as_bytes(), out),
        Field::Host | Field::HttpHost => text(r.host, out),
        Field::Uri => text(r.uri, out),
        Field::RequestUri => text(r.request_uri, out),
        Field::Args | Field::QueryString => text(r.query.unwrap_or_default(), out),
        Field::IsArgs => out.extend_from_slice(if r.query.is_some() { b"?" } else { b"" }),
        Field::ServerProtocol => text(r.protocol.as_bytes(), out),
        Field::Status => put(out, format_args!("{:03}", r.status)),
        Field::RequestLength => number(r.bytes_in, out),
        Field::BytesSent => number(r.bytes_out, out),
        Field::BodyBytesSent => number(r.body_bytes_out, out),
        Field::RequestTime => seconds(r.request_us, out),
        Field::UpstreamAddr => {
            or_dash(r.upstream_addr, out, |a, out| put(out, format_args!("{a}")))
        }
        Field::UpstreamStatus => or_dash(r.upstream_status, out, |s, out| number(s.into(), out)),
        Field::UpstreamResponseTime => or_dash(r.upstream_us, out, seconds),
        Field::GrpcStatus => or_dash(r.grpc_status, out, |s, out| number(s.into(), out)),
        Field::RouteId => text(r.route_id.as_bytes(), out),
        Field::ServiceId => text(r.service_id.as_bytes(), out),
        Field::ConsumerName => text(r.consumer.as_bytes(), out),
        Field::HttpUserAgent => text(r.user_agent.unwrap_or_default(), out),
        Field::HttpReferer => text(r.referer.unwrap_or_default(), out),
        Field::HttpXForwardedFor => text(r.forwarded_for.unwrap_or_default(), out),
        Field::RequestId => text(r.request_id.unwrap_or_default(), out),
        Field::Fault => text(r.fault.map_or("", |code| code.name()).as_bytes(), out),
        Field::Connection => number(r.connection, out),
        Field::SslProtocol
        | Field::SslCipher
        | Field::SslServerName
        | Field::SslSessionReused
        | Field::SslClientVerify
        | Field::SslClientSDn
        | Field::SslClientIDn
        | Field::SslClientSerial
        | Field::SslClientFingerprint => {
            let value = r.tls.and_then(|tls| TlsVariable::of(field.name())?.value(tls));
            text(value.as_deref().unwrap_or_default(), out);
        }
    }
}

fn request(r: &Record<'_>, out: &mut Vec<u8>) {
    text(r.method, out);
    out.push(b' ');
    text(r.request_uri, out);
    out.push(b' ');
    text(r.protocol.as_bytes(), out);
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    fn line(format: &str, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        let format = LogFormat::compile(format).expect("a format");
        format.render(record, &mut Calendar::default(), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn combined_is_nginx_s() {
        assert_eq!(
            line("combined", &example()),
            "192.0.2.1 - - [29/Feb/2000:00:00:00 +0000] \"GET /a%20b?x=1 HTTP/1.1\" 200 128 \
             \"-\" \"curl/8\"\n"
        );
    }

    #[test]
    fn every_variable_compiles_and_renders() {
        for field in Field::ALL {
            let text = line(&format!("<${{{}}}>", field.name()), &example());
            assert!(text.starts_with('<') && text.ends_with(">\n"), "{text}");
        }
        let text = line(
            "$upstream_addr $upstream_response_time $request_time $uri$is_args$args",
            &example(),
        );
        assert_eq!(text, "127.0.0.1:1980 0.001 1.234 /a b?x=1\n");
    }

    #[test]
    fn tls_is_told_as_nginx_tells_it() {
        let tls = ringgate_core::TlsInfo {
            server_name: Some("a.test".into()),
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            resumed: true,
            policy: 0,
            ssl_ids: None,
            client: ringgate_core::ClientCertificate::NotAsked,
        };
        let format = "$ssl_protocol $ssl_cipher $ssl_server_name $ssl_session_reused \
                      $ssl_client_verify $ssl_client_s_dn";
        let text = line(format, &Record { tls: Some(&tls), ..example() });
        assert_eq!(text, "TLSv1.3 TLS_AES_128_GCM_SHA256 a.test r NONE -\n");
        assert_eq!(line(format, &example()), "- - - - - -\n");
    }

    #[test]
    fn peers_cannot_forge_lines() {
        let agent = b"x\"\n1.2.3.4 - - forged\r\\";
        let record = Record { user_agent: Some(agent), uri: b"/\n", ..example() };
        let text = line("$uri \"$http_user_agent\"", &record);
        assert_eq!(text, "/\\x0A \"x\\x22\\x0A1.2.3.4 - - forged\\x0D\\x5C\"\n");
    }

    #[test]
    fn mistakes_are_told() {
        let error = |format: &str| LogFormat::compile(format).expect_err("a mistake");
        assert_eq!(error("$nothing"), FormatError::UnknownVariable("nothing".into()));
        assert_eq!(error("a $ b"), FormatError::NoName);
        assert_eq!(error("${host"), FormatError::NoName);
        assert_eq!(error("a\nb"), FormatError::ControlCharacter);
        assert_eq!(error(&"$host".repeat(300)), FormatError::TooLong);
    }
}
