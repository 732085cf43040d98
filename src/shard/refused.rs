//! What is told of requests whose head was refused.

use ringgate_core::{Code, ConnectionInfo};

use super::observe::unix_millis;
use crate::telemetry::access_log::Record;

/// A request whose head was refused.
#[derive(Debug)]
pub struct Refused<'a> {
    /// The connection that it came on.
    pub connection: &'a ConnectionInfo,
    /// What came of its request line.
    pub line: &'a [u8],
    /// What it was answered with; 499: nobody was there to hear it.
    pub status: u16,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// Why.
    pub fault: Code,
}

/// The parts of a request line, as far as they can be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    pub(super) version: &'a str,
}

impl<'a> RequestLine<'a> {
    /// A line that is none is all target: nothing of it is lost in the log.
    pub(super) fn of(line: &'a [u8]) -> RequestLine<'a> {
        let unknown = RequestLine { method: b"", target: line, version: "" };
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(method), Some(target), version) if is_method(method) => {
                match version.unwrap_or_default() {
                    // The end of the line is missing, not wrong.
                    b"" => RequestLine { method, target, ..unknown },
                    version => match std::str::from_utf8(version) {
                        Ok(version) if is_version(version) => {
                            RequestLine { method, target, version }
                        }
                        _ => unknown,
                    },
                }
            }
            _ => unknown,
        }
    }

    fn path(&self) -> &'a [u8] {
        self.target.split(|byte| *byte == b'?').next().unwrap_or_default()
    }

    fn query(&self) -> Option<&'a [u8]> {
        let at = self.target.iter().position(|byte| *byte == b'?')?;
        Some(&self.target[at + 1..])
    }
}

/// RFC 9110 §9.1: a token; longer ones than this are no method that anybody uses.
fn is_method(text: &[u8]) -> bool {
    (1..=32).contains(&text.len()) && text.iter().all(|byte| byte.is_ascii_graphic())
}

fn is_version(text: &str) -> bool {
    text.len() <= 16
        && text.starts_with("HTTP/")
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl<'a> Refused<'a> {
    pub(super) fn record(&self, line: &RequestLine<'a>, micros: u64) -> Record<'a>
    where
        Self: 'a,
    {
        let connection = self.connection;
        Record {
            time_ms: unix_millis(),
            remote_addr: connection.peer.ip(),
            remote_port: connection.peer.port(),
            remote_user: b"",
            server_addr: Some(connection.local),
            method: line.method,
            scheme: if connection.tls.is_some() { "https" } else { "http" },
            host: b"",
            uri: line.path(),
            request_uri: line.target,
            query: line.query(),
            protocol: line.version,
            status: self.status,
            bytes_in: 0,
            bytes_out: self.sent,
            body_bytes_out: self.sent,
            request_us: micros,
            upstream_addr: None,
            upstream_status: None,
            grpc_status: None,
            upstream_us: None,
            route_id: "",
            service_id: "",
            consumer: "",
            user_agent: None,
            referer: None,
            forwarded_for: None,
            request_id: None,
            fault: Some(self.fault),
            connection: connection.id,
            tls: connection.tls.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_as_far_as_it_is_one() {
        let told = |line: &'static [u8]| {
            let line = RequestLine::of(line);
            (line.method, line.path(), line.query(), line.version)
        };
        assert_eq!(
            told(b"GET /a?b HTTP/9.9"),
            (&b"GET"[..], &b"/a"[..], Some(&b"b"[..]), "HTTP/9.9")
        );
        assert_eq!(told(b"GET /a"), (&b"GET"[..], &b"/a"[..], None, ""));
        assert_eq!(told(b"GET"), (&b""[..], &b"GET"[..], None, ""));
        assert_eq!(told(b""), (&b""[..], &b""[..], None, ""));
        assert_eq!(told(b"GET /a b c"), (&b""[..], &b"GET /a b c"[..], None, ""));
        let hello = b"\x16\x03\x01 \xff?x y";
        assert_eq!(told(hello), (&b""[..], &b"\x16\x03\x01 \xff"[..], Some(&b"x y"[..]), ""));
    }
}
