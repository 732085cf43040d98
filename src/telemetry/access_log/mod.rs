//! The access log: a line per request, in JSON or in nginx's format strings, gathered per shard
//! and handed to the disk side in blocks.
//!
//! Bytes that peers chose (targets, agents, referers, ids) are escaped and cut, so that no line can
//! be forged and each has a bound: 4 KiB a field before escaping, six times that behind it.

mod escape;
mod format;
mod json;
mod writer;

use std::net::{IpAddr, SocketAddr};

use ringgate_core::{Code, TlsInfo};

pub use format::{Field, FormatError, LogFormat};
pub use writer::{AccessLog, BLOCK_AFTER, BLOCK_BYTES};

/// All that is known of a finished request.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Milliseconds since 1970, when the request ended.
    pub time_ms: u64,
    /// The client, as the gateway believes it (after trusted forwarding headers).
    pub remote_addr: IpAddr,
    /// Its port.
    pub remote_port: u16,
    /// The user of Basic authentication, or empty.
    pub remote_user: &'a [u8],
    /// The gateway's own address on this connection.
    pub server_addr: Option<SocketAddr>,
    /// The method.
    pub method: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host asked for, without its port.
    pub host: &'a [u8],
    /// The path as it was matched.
    pub uri: &'a [u8],
    /// The target as the client sent it.
    pub request_uri: &'a [u8],
    /// The query, without `?`.
    pub query: Option<&'a [u8]>,
    /// `HTTP/1.1` and so on.
    pub protocol: &'a str,
    /// The status sent; 0 where none was.
    pub status: u16,
    /// Bytes received with the request.
    pub bytes_in: u64,
    /// Bytes sent, the head among them.
    pub bytes_out: u64,
    /// Bytes of the answer's body.
    pub body_bytes_out: u64,
    /// The whole request.
    pub request_us: u64,
    /// The node asked last.
    pub upstream_addr: Option<SocketAddr>,
    /// What it answered.
    pub upstream_status: Option<u16>,
    /// What it took.
    pub upstream_us: Option<u64>,
    /// What a gRPC call ended with.
    pub grpc_status: Option<u8>,
    /// The route that matched, or empty.
    pub route_id: &'a str,
    /// Its service, or empty.
    pub service_id: &'a str,
    /// The consumer, or empty.
    pub consumer: &'a str,
    /// `User-Agent`
    pub user_agent: Option<&'a [u8]>,
    /// `Referer`
    pub referer: Option<&'a [u8]>,
    /// `X-Forwarded-For`
    pub forwarded_for: Option<&'a [u8]>,
    /// The request's id, where a plugin gave or took one.
    pub request_id: Option<&'a [u8]>,
    /// What ended it early.
    pub fault: Option<Code>,
    /// The connection's number in this process.
    pub connection: u64,
    /// What its TLS handshake agreed on.
    pub tls: Option<&'a TlsInfo>,
}

#[cfg(test)]
pub(crate) fn example() -> Record<'static> {
    Record {
        time_ms: 951_782_400_007,
        remote_addr: IpAddr::from([192, 0, 2, 1]),
        remote_port: 4711,
        remote_user: b"",
        server_addr: Some(SocketAddr::from(([192, 0, 2, 9], 9080))),
        method: b"GET",
        scheme: "http",
        host: b"example.com",
        uri: b"/a b",
        request_uri: b"/a%20b?x=1",
        query: Some(b"x=1"),
        protocol: "HTTP/1.1",
        status: 200,
        bytes_in: 80,
        bytes_out: 300,
        body_bytes_out: 128,
        request_us: 1_234_567,
        upstream_addr: Some(SocketAddr::from(([127, 0, 0, 1], 1980))),
        upstream_status: Some(200),
        upstream_us: Some(1_000),
        grpc_status: None,
        route_id: "1",
        service_id: "",
        consumer: "jack",
        user_agent: Some(b"curl/8"),
        referer: None,
        forwarded_for: None,
        request_id: None,
        fault: None,
        connection: 7,
        tls: None,
    }
}
