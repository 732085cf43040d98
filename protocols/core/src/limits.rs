//! Limits and timeouts, with the defaults that users see (`limits:` and `timeouts:` of the
//! bootstrap file). What each does past its bound is said with it.

use std::time::Duration;

/// Bounds on what one peer may make the gateway hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request line: 414.
    pub request_line: usize,
    /// Bytes of a header section: 431. Also the most memory that one head costs.
    pub header_bytes: usize,
    /// Fields of a header section, trailers included: 431.
    pub header_count: usize,
    /// Bytes of a request body: 413. `None`: no limit, bodies are streamed.
    pub request_body: Option<u64>,
    /// Bytes that a plugin may buffer of a body: 413.
    pub buffered_body: usize,
    /// Requests on one connection: then `Connection: close` or GOAWAY.
    pub requests_per_connection: Option<u64>,
    /// Connections per shard: refused and counted. `None`: 90 % of the descriptors.
    pub connections: Option<usize>,
    /// TLS and QUIC handshakes under way per shard: refused and counted.
    pub pending_handshakes: usize,
    /// Concurrent streams of an HTTP/2 or HTTP/3 connection: refused.
    pub streams: u32,
    /// Resets by a client in 30 s: GOAWAY 0xb.
    pub resets_per_connection: u32,
    /// Connections to one node, over all shards: 503 past the wait.
    pub upstream_connections: usize,
    /// Requests that wait for a connection to one node, over all shards: 503.
    pub upstream_waiting: usize,
    /// Bytes of an MQTT packet: DISCONNECT 0x95.
    pub mqtt_packet: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_line: 16 * 1024,
            header_bytes: 64 * 1024,
            header_count: 128,
            request_body: None,
            buffered_body: 1024 * 1024,
            requests_per_connection: None,
            connections: None,
            pending_handshakes: 1024,
            streams: 128,
            resets_per_connection: 200,
            upstream_connections: 1024,
            upstream_waiting: 1024,
            mqtt_packet: 256 * 1024,
        }
    }
}

/// How long each wait may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// TLS and QUIC handshakes: closed.
    pub handshake: Duration,
    /// First byte to the end of the request head: 408, closed.
    pub header: Duration,
    /// Between two reads of a request body: 408, closed.
    pub body: Duration,
    /// Bytes per second that a request body must keep up after 10 s: 408, closed. 0: off.
    pub min_body_rate: u64,
    /// Keep-alive: closed; HTTP/2 and HTTP/3 by GOAWAY.
    pub idle: Duration,
    /// The client takes no byte: reset.
    pub send: Duration,
    /// Connecting to a node: 504, or another try.
    pub upstream_connect: Duration,
    /// The node takes no byte: 504, or another try.
    pub upstream_send: Duration,
    /// The node sends no byte: 504, or another try.
    pub upstream_read: Duration,
    /// A TCP session or tunnel without a byte: closed.
    pub stream_idle: Duration,
    /// A UDP session without a datagram: closed.
    pub udp_session: Duration,
    /// The PROXY header: closed.
    pub proxy_protocol: Duration,
    /// Draining: then connections are closed.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Timeouts {
            handshake: seconds(10),
            header: seconds(10),
            body: seconds(60),
            min_body_rate: 240,
            idle: seconds(75),
            send: seconds(60),
            upstream_connect: seconds(6),
            upstream_send: seconds(60),
            upstream_read: seconds(60),
            stream_idle: seconds(600),
            udp_session: seconds(60),
            proxy_protocol: seconds(3),
            shutdown: seconds(30),
        }
    }
}
