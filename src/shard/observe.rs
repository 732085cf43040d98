//! What a shard tells of its exchanges: counters, log lines.

use std::time::{SystemTime, UNIX_EPOCH};

use ringgate_core::{Fault, HeaderId, RequestHead, Side};

use super::Shard;
use super::refused::{Refused, RequestLine};
use crate::plugin::Cx;
use crate::telemetry::access_log::Record;
use crate::telemetry::{Counter, Done, Gauge, Protocol, Snapshot, error_log};

impl Shard {
    /// Counts a fault and writes its line: what was the client's doing only where debugging.
    pub fn fault(&self, fault: &Fault, request: &RequestHead, cx: &Cx<'_>) {
        self.metrics.fault(fault.code);
        let level = match fault.side() {
            Side::Downstream => error_log::Level::Debug,
            Side::Upstream => error_log::Level::Warn,
            Side::Gateway => error_log::Level::Error,
        };
        if error_log::is_on(level) {
            self.write_fault(level, "", fault, request, cx);
        }
    }

    /// Writes that a request is tried again, and why.
    pub fn retrying(&self, fault: &Fault, request: &RequestHead, cx: &Cx<'_>) {
        self.metrics.add(Counter::Retries, 1);
        let level = error_log::Level::Info;
        if error_log::is_on(level) {
            self.write_fault(level, "trying again: ", fault, request, cx);
        }
    }

    fn write_fault(
        &self,
        level: error_log::Level,
        what: &str,
        fault: &Fault,
        request: &RequestHead,
        cx: &Cx<'_>,
    ) {
        let route = cx.route.map_or("-", |route| &route.id);
        let method = String::from_utf8_lossy(request.method_name());
        let path = String::from_utf8_lossy(request.path());
        let client = cx.connection.peer;
        let detail = &fault.detail;
        error_log::log(
            level,
            fault.side().name(),
            fault.code.name(),
            format_args!(
                "{what}{detail} (client {client}, route {route}, {method} {})",
                path.escape_debug()
            ),
        );
    }

    /// Counts an exchange that is over and writes its access log line.
    pub fn observe(&self, request: &RequestHead, cx: &Cx<'_>) {
        let outcome = &cx.outcome;
        self.metrics.done(&Done {
            protocol: request.version.into(),
            status: outcome.status,
            request_us: outcome.total_micros,
            upstream_us: outcome.node_status.map(|_| outcome.node_micros),
            bytes_in: outcome.request_bytes,
            bytes_out: outcome.response_bytes,
        });
        self.trial.observe(cx.plan, outcome.status, outcome.total_micros);
        if let Some(log) = &self.access_log {
            let dropped = log.borrow_mut().log(&record(request, cx));
            self.metrics.add(Counter::AccessLogDropped, dropped);
        }
    }

    /// Counts a request whose head was refused and writes its access log line.
    pub fn observe_refused(&self, refused: &Refused<'_>, micros: u64) {
        let line = RequestLine::of(refused.line);
        self.metrics.done(&Done {
            protocol: if line.version == "HTTP/1.0" { Protocol::Http10 } else { Protocol::Http11 },
            status: refused.status,
            request_us: micros,
            upstream_us: None,
            bytes_in: 0,
            bytes_out: refused.sent,
        });
        if let Some(log) = &self.access_log {
            let dropped = log.borrow_mut().log(&refused.record(&line, micros));
            self.metrics.add(Counter::AccessLogDropped, dropped);
        }
    }

    /// Lets a block of log lines go that is old enough; with `all`, any.
    pub fn flush_logs(&self, all: bool) {
        if let Some(log) = &self.access_log {
            let mut log = log.borrow_mut();
            let dropped = if all { log.flush() } else { log.tick(unix_millis()) };
            self.metrics.add(Counter::AccessLogDropped, dropped);
        }
    }

    /// The counters, with gauges brought up to date.
    pub fn snapshot(&self) -> Snapshot {
        let set = |gauge, value: usize| self.metrics.set(gauge, value as u64);
        set(Gauge::ConnectionsActive, self.connections.open());
        set(Gauge::UpstreamIdle, self.nodes.idle());
        set(Gauge::PooledBytes, ringgate_core::pooled_bytes());
        set(Gauge::Tasks, ringgate_io::live_tasks());
        self.metrics.set(Gauge::PlanGeneration, self.in_force().generation);
        self.metrics.snapshot()
    }
}

pub(super) fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn record<'a>(request: &'a RequestHead, cx: &'a Cx<'_>) -> Record<'a> {
    let outcome = &cx.outcome;
    let peer = cx.connection.peer;
    Record {
        time_ms: unix_millis(),
        remote_addr: peer.ip(),
        remote_port: peer.port(),
        remote_user: b"",
        server_addr: Some(cx.connection.local),
        method: request.method_name(),
        scheme: request.scheme.name(),
        host: request.host(),
        uri: request.path(),
        request_uri: request.target(),
        query: request.query(),
        protocol: request.version.name(),
        status: outcome.status,
        bytes_in: outcome.request_bytes,
        bytes_out: outcome.response_bytes,
        body_bytes_out: outcome.response_bytes,
        request_us: outcome.total_micros,
        upstream_addr: outcome.node,
        upstream_status: outcome.node_status,
        upstream_us: outcome.node_status.map(|_| outcome.node_micros),
        grpc_status: outcome.grpc_status.map(ringgate_grpc::Status::code),
        route_id: cx.route.map_or("", |route| &route.id),
        service_id: cx.route.and_then(|route| route.service_id.as_deref()).unwrap_or(""),
        consumer: cx.consumer.map_or("", |consumer| &consumer.username),
        user_agent: request.headers.get(HeaderId::UserAgent),
        referer: request.headers.get(HeaderId::Referer),
        forwarded_for: request.headers.get(HeaderId::XForwardedFor),
        request_id: request.headers.get_named(b"x-request-id"),
        fault: outcome.fault,
        connection: cx.connection.id,
        tls: cx.connection.tls.as_deref(),
    }
}
