//! What one shard counts: plain cells, no atomics, no locks. One finished request costs a handful
//! of additions and one or two histogram updates.
//!
//! Memory: the cells are about 1 KB; each histogram is [`super::latency`]'s, made at its first
//! value, so that an idle shard pays nothing for it.

use std::cell::{Cell, RefCell};

use ringgate_core::{Code, Version};

use super::labelled::LabelledSeries;
use super::latency::Latency;
use super::snapshot::Snapshot;
use super::tally::Tally;

/// A small enumeration that is an index and a label's value at once.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $doc])+ $variant),+ }

        impl $name {
            /// Every one of them, in the order of their indexes.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// How many there are.
            pub const COUNT: usize = [$($text),+].len();

            /// As metrics write it.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }
    };
}

labels! {
    /// What only grows. The name is the metric's, between `ringgate_` and `_total`.
    Counter {
        /// Client connections accepted.
        ConnectionsAccepted = "connections_accepted",
        /// Bytes received from clients.
        BytesIn = "bytes_received",
        /// Bytes sent to clients.
        BytesOut = "bytes_sent",
        /// Connections to nodes that came up.
        UpstreamOpened = "upstream_connections_opened",
        /// Requests that went over a pooled connection.
        UpstreamReused = "upstream_connections_reused",
        /// Connections to nodes that did not come up.
        UpstreamFailed = "upstream_connections_failed",
        /// Further tries of a request.
        Retries = "upstream_retries",
        /// Further tries that an upstream's retry budget did not allow.
        RetriesRefused = "upstream_retries_over_budget",
        /// Tasks that panicked; each ended its connection only.
        Panics = "panics",
        /// Access-log lines dropped because the disk side was behind.
        AccessLogDropped = "access_log_dropped_lines",
        /// Requests rejected by limit plugins.
        LimitRejected = "limit_rejections",
        /// TLS handshakes that ended well.
        Handshakes = "tls_handshakes",
        /// Of these, those that resumed a session.
        HandshakesResumed = "tls_handshakes_resumed",
    }
}

labels! {
    /// What goes up and down, per shard. The name is the metric's, after `ringgate_`.
    Gauge {
        /// Client connections open.
        ConnectionsActive = "connections_active",
        /// Requests under way.
        RequestsActive = "requests_active",
        /// Pooled connections to nodes that wait for a request.
        UpstreamIdle = "upstream_connections_idle",
        /// Bytes that buffer pools hold.
        PooledBytes = "pooled_bytes",
        /// Tasks alive.
        Tasks = "tasks",
        /// The generation of the plan that new requests get.
        PlanGeneration = "plan_generation",
    }
}

labels! {
    /// Why a connection was refused.
    Refusal {
        /// The limit on connections.
        Connections = "connections",
        /// The limit on handshakes under way.
        Handshakes = "handshakes",
        /// No descriptor left.
        Descriptors = "descriptors",
        /// No memory left.
        Memory = "memory",
        /// A PROXY header that is missing or must not be there.
        ProxyProtocol = "proxy_protocol",
        /// The gateway is ending.
        ShuttingDown = "shutting_down",
    }
}

labels! {
    /// What was spoken with the client.
    Protocol {
        /// HTTP/1.0
        Http10 = "http/1.0",
        /// HTTP/1.1
        Http11 = "http/1.1",
        /// HTTP/2
        Http2 = "h2",
        /// HTTP/3
        Http3 = "h3",
        /// WebSocket, over any version.
        WebSocket = "websocket",
        /// gRPC and gRPC-Web.
        Grpc = "grpc",
        /// TCP and TLS sessions.
        Tcp = "tcp",
        /// UDP sessions.
        Udp = "udp",
        /// MQTT sessions.
        Mqtt = "mqtt",
    }
}

impl From<Version> for Protocol {
    fn from(version: Version) -> Protocol {
        match version {
            Version::Http10 => Protocol::Http10,
            Version::Http11 => Protocol::Http11,
            Version::Http2 => Protocol::Http2,
            Version::Http3 => Protocol::Http3,
        }
    }
}

/// How statuses are grouped: `other`, then by their first digit.
pub const STATUS_CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The index into [`STATUS_CLASSES`]; 0 also stands for sessions that have no status.
#[inline]
pub const fn status_class(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => class as usize,
        _ => 0,
    }
}

/// A finished request or session.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// What was spoken with the client.
    pub protocol: Protocol,
    /// The status sent; 0 where there is none.
    pub status: u16,
    /// From the first byte of the head to the last of the answer.
    pub request_us: u64,
    /// What the node took of it; `None` where no node was asked.
    pub upstream_us: Option<u64>,
    /// Bytes received with it.
    pub bytes_in: u64,
    /// Bytes sent for it.
    pub bytes_out: u64,
}

type Cells<const N: usize> = [Cell<u64>; N];

fn cells<const N: usize>() -> Cells<N> {
    [const { Cell::new(0) }; N]
}

fn values<const N: usize>(cells: &Cells<N>) -> Vec<u64> {
    cells.iter().map(Cell::get).collect()
}

#[inline]
fn bump(cell: Option<&Cell<u64>>, by: u64) {
    if let Some(cell) = cell {
        cell.set(cell.get().wrapping_add(by));
    }
}

/// The counters, gauges and histograms of one shard.
pub struct ShardMetrics {
    shard: usize,
    counters: Cells<{ Counter::COUNT }>,
    gauges: Cells<{ Gauge::COUNT }>,
    refusals: Cells<{ Refusal::COUNT }>,
    requests: [Cells<{ STATUS_CLASSES.len() }>; Protocol::COUNT],
    faults: Cells<{ Code::ALL.len() }>,
    request: RefCell<Latency>,
    upstream: RefCell<Latency>,
    labelled: RefCell<LabelledSeries>,
}

impl ShardMetrics {
    /// The metrics of shard `shard`; `series_max` bounds each labelled metric.
    pub fn new(shard: usize, series_max: usize) -> ShardMetrics {
        ShardMetrics {
            shard,
            counters: cells(),
            gauges: cells(),
            refusals: cells(),
            requests: std::array::from_fn(|_| cells()),
            faults: cells(),
            request: RefCell::new(Latency::new()),
            upstream: RefCell::new(Latency::new()),
            labelled: RefCell::new(LabelledSeries::new(series_max)),
        }
    }

    /// Adds to a counter.
    #[inline]
    pub fn add(&self, counter: Counter, by: u64) {
        bump(self.counters.get(counter as usize), by);
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&self, gauge: Gauge, value: u64) {
        if let Some(cell) = self.gauges.get(gauge as usize) {
            cell.set(value);
        }
    }

    /// Raises a gauge by one.
    #[inline]
    pub fn raise(&self, gauge: Gauge) {
        bump(self.gauges.get(gauge as usize), 1);
    }

    /// Lowers a gauge by one; 0 stays 0.
    #[inline]
    pub fn lower(&self, gauge: Gauge) {
        if let Some(cell) = self.gauges.get(gauge as usize) {
            cell.set(cell.get().saturating_sub(1));
        }
    }

    /// A gauge's value.
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.gauges.get(gauge as usize).map_or(0, Cell::get)
    }

    /// A counter's value.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(counter as usize).map_or(0, Cell::get)
    }

    /// A connection was refused.
    #[inline]
    pub fn refused(&self, why: Refusal) {
        bump(self.refusals.get(why as usize), 1);
    }

    /// A fault ended something.
    #[inline]
    pub fn fault(&self, code: Code) {
        bump(self.faults.get(code as usize), 1);
    }

    /// A request ended, however.
    #[inline]
    pub fn done(&self, done: &Done) {
        if let Some(row) = self.requests.get(done.protocol as usize) {
            bump(row.get(status_class(done.status)), 1);
        }
        self.add(Counter::BytesIn, done.bytes_in);
        self.add(Counter::BytesOut, done.bytes_out);
        if let Ok(mut latency) = self.request.try_borrow_mut() {
            latency.record(done.request_us);
        }
        if let Some(upstream_us) = done.upstream_us
            && let Ok(mut latency) = self.upstream.try_borrow_mut()
        {
            latency.record(upstream_us);
        }
    }

    /// The series of the `prometheus` plugin; not to be kept borrowed over an await.
    pub fn labelled(&self) -> &RefCell<LabelledSeries> {
        &self.labelled
    }

    /// All requests so far: less than [`ShardMetrics::snapshot`], and so asked for more often.
    pub fn tally(&self) -> Tally {
        let of_class = |class: usize| self.requests.iter().map(|row| row[class].get()).sum();
        Tally { requests: std::array::from_fn(of_class), latency: self.request.borrow().clone() }
    }

    /// A copy for the control side.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            shards: vec![(self.shard, values(&self.gauges))],
            counters: values(&self.counters),
            refusals: values(&self.refusals),
            requests: self.requests.iter().map(values).collect(),
            faults: values(&self.faults),
            request: self.request.borrow().clone(),
            upstream: self.upstream.borrow().clone(),
            labelled: self.labelled.borrow().snapshot(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::cpu_ns;
    use super::*;

    #[test]
    fn every_status_has_a_class() {
        for (status, class) in
            [(0, "other"), (101, "1xx"), (200, "2xx"), (404, "4xx"), (599, "5xx"), (999, "other")]
        {
            assert_eq!(STATUS_CLASSES[status_class(status)], class);
        }
    }

    #[test]
    fn fault_codes_index_their_table() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(*code as usize, index);
        }
    }

    #[test]
    fn a_gauge_never_wraps_below_zero() {
        let metrics = ShardMetrics::new(0, 10);
        metrics.lower(Gauge::Tasks);
        metrics.raise(Gauge::Tasks);
        assert_eq!(metrics.gauge(Gauge::Tasks), 1);
    }

    /// Prints what one request costs; run it with `--release -- --ignored --nocapture`.
    #[test]
    #[ignore = "measures: cargo test --release cost_of_one_request -- --ignored --nocapture"]
    fn cost_of_one_request() {
        let metrics = ShardMetrics::new(0, 10_000);
        let rounds = 5_000_000_u64;
        let start = cpu_ns();
        for i in 0..rounds {
            metrics.done(std::hint::black_box(&Done {
                protocol: Protocol::Http11,
                status: 200,
                request_us: 50 + i % 4_000,
                upstream_us: Some(40 + i % 3_000),
                bytes_in: 100,
                bytes_out: 200,
            }));
        }
        println!("{} ps per request", (cpu_ns() - start) * 1_000 / rounds);
    }
}
