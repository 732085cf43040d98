//! All metrics as text: the gateway's own (`ringgate_…`) and those of APISIX's `prometheus` plugin
//! (`apisix_…`), with APISIX's names and help texts, so that its dashboards go on working.

use std::sync::{Mutex, PoisonError};

use ringgate_core::Code;

use super::exposition::{Exposition, Family, Kind, Milliseconds, Seconds};
use super::latency::{BOUNDS_US, Latency};
use super::metrics::{Counter, Gauge, Protocol, Refusal, STATUS_CLASSES};
use super::series::{Admission, Histogram, Latencies, Series, ServiceKey};
use super::shape::{Extra, Shape};
use super::snapshot::Snapshot;

/// Numbers that belong to the process and to no shard.
#[derive(Debug, Clone, Default)]
pub struct ProcessFacts {
    /// The version of the gateway.
    pub version: String,
    /// The host's name.
    pub hostname: String,
    /// Seconds since the process started.
    pub uptime_s: u64,
    /// Error-log lines dropped because the writer was behind.
    pub error_log_dropped: u64,
    /// Access-log lines lost at the disk: unwritable, full.
    pub disk_lines_lost: u64,
    /// Failed disk operations.
    pub disk_errors: u64,
    /// Where the store is etcd: what is known of it.
    pub etcd: Option<EtcdFacts>,
}

/// What is known of etcd.
#[derive(Debug, Clone, Default)]
pub struct EtcdFacts {
    /// Whether it can be followed now.
    pub reachable: bool,
    /// By kind of resource, the latest revision that wrote one of them.
    pub modified: Vec<(&'static str, u64)>,
}

/// Writes reports; remembers which labelled series were shown.
#[derive(Debug)]
pub struct Reporter {
    admission: Mutex<Admission>,
}

impl Reporter {
    /// One per process; `series_max` bounds each labelled metric.
    pub fn new(series_max: usize) -> Reporter {
        Reporter { admission: Mutex::new(Admission::new(series_max)) }
    }

    /// The text for a scrape.
    pub fn report(&self, snapshots: &[Snapshot], facts: &ProcessFacts) -> String {
        let merged = Snapshot::merged(snapshots);
        let mut text = Exposition::new();
        own_process(&mut text, facts);
        own_counters(&mut text, &merged);
        own_gauges(&mut text, &merged);
        own_latencies(&mut text, &merged);
        let series = {
            let mut admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
            admission.admit(&merged.labelled)
        };
        text.family(
            "ringgate_metrics_series_dropped_total",
            Kind::Counter,
            "Requests counted under an overflow series because a metric has too many series",
        )
        .sample(&[], series.dropped);
        apisix_process(&mut text, &merged, facts);
        apisix_series(&mut text, &series);
        text.finish()
    }
}

fn own_process(text: &mut Exposition, facts: &ProcessFacts) {
    text.family("ringgate_info", Kind::Gauge, "The version that runs")
        .sample(&[("version", &facts.version)], 1);
    text.family("ringgate_uptime_seconds", Kind::Gauge, "Seconds since the process started")
        .sample(&[], facts.uptime_s);
    let lost = "Error-log lines dropped because the writer was behind";
    text.family("ringgate_error_log_dropped_lines_total", Kind::Counter, lost)
        .sample(&[], facts.error_log_dropped);
    let lost = "Access-log lines lost at the disk";
    text.family("ringgate_access_log_lost_lines_total", Kind::Counter, lost)
        .sample(&[], facts.disk_lines_lost);
    text.family("ringgate_disk_errors_total", Kind::Counter, "Failed disk operations")
        .sample(&[], facts.disk_errors);
}

const fn counter_help(counter: Counter) -> &'static str {
    match counter {
        Counter::ConnectionsAccepted => "Client connections accepted",
        Counter::BytesIn => "Bytes received from clients",
        Counter::BytesOut => "Bytes sent to clients",
        Counter::UpstreamOpened => "Connections to nodes that came up",
        Counter::UpstreamReused => "Requests that went over a pooled connection",
        Counter::UpstreamFailed => "Connections to nodes that did not come up",
        Counter::Retries => "Further tries of requests",
        Counter::RetriesRefused => "Further tries that a retry budget did not allow",
        Counter::Panics => "Tasks that panicked",
        Counter::AccessLogDropped => "Access-log lines dropped because the disk side was behind",
        Counter::LimitRejected => "Requests rejected by limit plugins",
        Counter::Handshakes => "TLS handshakes that ended well",
        Counter::HandshakesResumed => "TLS handshakes that resumed a session",
    }
}

const fn gauge_help(gauge: Gauge) -> &'static str {
    match gauge {
        Gauge::ConnectionsActive => "Client connections open",
        Gauge::RequestsActive => "Requests under way",
        Gauge::UpstreamIdle => "Pooled connections to nodes that wait for a request",
        Gauge::PooledBytes => "Bytes that buffer pools hold",
        Gauge::Tasks => "Tasks alive",
        Gauge::PlanGeneration => "Generation of the plan that new requests get",
    }
}

fn at(values: &[u64], index: usize) -> u64 {
    values.get(index).copied().unwrap_or(0)
}

fn own_counters(text: &mut Exposition, merged: &Snapshot) {
    for counter in Counter::ALL {
        let name = format!("ringgate_{}_total", counter.name());
        text.family(&name, Kind::Counter, counter_help(*counter))
            .sample(&[], merged.counter(*counter));
    }
    let help = "Client connections refused, by reason";
    let mut family = text.family("ringgate_connections_refused_total", Kind::Counter, help);
    for refusal in Refusal::ALL {
        family.sample(&[("reason", refusal.name())], at(&merged.refusals, *refusal as usize));
    }
    let help = "Requests and sessions ended, by protocol and status class";
    let mut family = text.family("ringgate_requests_total", Kind::Counter, help);
    for (protocol, row) in Protocol::ALL.iter().zip(&merged.requests) {
        for (class, count) in STATUS_CLASSES.iter().zip(row) {
            // Protocols that are not in use stay out of the text.
            if *count > 0 {
                family.sample(&[("protocol", protocol.name()), ("class", class)], count);
            }
        }
    }
    let help = "Faults, by code and by whose doing they were";
    let mut family = text.family("ringgate_faults_total", Kind::Counter, help);
    for code in Code::ALL {
        let labels = [("code", code.name()), ("side", code.side().name())];
        family.sample(&labels, at(&merged.faults, *code as usize));
    }
}

fn own_gauges(text: &mut Exposition, merged: &Snapshot) {
    for gauge in Gauge::ALL {
        let name = format!("ringgate_{}", gauge.name());
        let mut family = text.family(&name, Kind::Gauge, gauge_help(*gauge));
        for (shard, gauges) in &merged.shards {
            family.sample(&[("shard", &shard.to_string())], at(gauges, *gauge as usize));
        }
    }
}

fn own_latencies(text: &mut Exposition, merged: &Snapshot) {
    let mut latency = |name: &str, help: &str, latency: &Latency| {
        let buckets = BOUNDS_US.iter().map(|us| Seconds(*us)).zip(latency.cumulative());
        text.family(name, Kind::Histogram, help).histogram(
            &[],
            buckets,
            Seconds(latency.sum_us()),
            latency.count(),
        );
    };
    let help = "Whole requests, from the first byte of the head to the last of the answer";
    latency("ringgate_request_duration_seconds", help, &merged.request);
    latency("ringgate_upstream_duration_seconds", "What nodes took", &merged.upstream);
}

fn apisix_process(text: &mut Exposition, merged: &Snapshot, facts: &ProcessFacts) {
    text.family(
        "apisix_http_requests_total",
        Kind::Gauge,
        "The total number of client requests since APISIX started",
    )
    .sample(&[], merged.requests_total());
    text.family("apisix_node_info", Kind::Gauge, "Info of APISIX node")
        .sample(&[("hostname", &facts.hostname), ("version", &facts.version)], 1);
    if let Some(etcd) = &facts.etcd {
        apisix_etcd(text, etcd);
    }
    // nginx tells reading and writing apart; here a request under way counts as writing. What has
    // none waits: with several streams on a connection, that is a lower bound.
    let (active, writing) =
        (merged.gauge(Gauge::ConnectionsActive), merged.gauge(Gauge::RequestsActive));
    let accepted = merged.counter(Counter::ConnectionsAccepted);
    let refused: u64 = merged.refusals.iter().sum();
    let states = [
        ("accepted", accepted.saturating_add(refused)),
        ("active", active),
        ("handled", accepted),
        ("reading", 0),
        ("waiting", active.saturating_sub(writing)),
        ("writing", writing),
    ];
    let mut family = text.family(
        "apisix_nginx_http_current_connections",
        Kind::Gauge,
        "Number of HTTP connections",
    );
    for (state, count) in states {
        family.sample(&[("state", state)], count);
    }
}

/// APISIX tells how far each of its watches has read (`prev_index`), and what etcd is at
/// (`x_etcd_index`); here one watch reads all, so both are the latest revision that it brought.
fn apisix_etcd(text: &mut Exposition, etcd: &EtcdFacts) {
    let help = "Config server etcd reachable from APISIX, 0 is unreachable";
    text.family("apisix_etcd_reachable", Kind::Gauge, help).sample(&[], u8::from(etcd.reachable));
    let help = "Etcd modify index for APISIX keys";
    let mut family = text.family("apisix_etcd_modify_indexes", Kind::Gauge, help);
    let latest = etcd.modified.iter().map(|(_, revision)| *revision).max().unwrap_or(0);
    let all = ["max_modify_index", "prev_index", "x_etcd_index"].map(|key| (key, latest));
    for (key, revision) in etcd.modified.iter().copied().chain(all) {
        family.sample(&[("key", key)], revision);
    }
}

/// The labels that latencies and bandwidth share, behind `type`; then the operator's own.
fn service_labels<'a>(
    kind: &'a str,
    key: &'a ServiceKey,
    node: &'a str,
    extra: &'a Extra,
) -> Vec<(&'a str, &'a str)> {
    let mut labels = vec![
        ("type", kind),
        ("route", &*key.route),
        ("service", &key.service),
        ("consumer", &key.consumer),
        ("node", node),
    ];
    labels.extend(about_models(key));
    labels.extend(own_labels(key, extra));
    labels
}

/// Labels that are about language models, which no request here is for.
fn about_models(key: &ServiceKey) -> [(&str, &str); 3] {
    [("request_type", key.request_type), ("request_llm_model", ""), ("llm_model", "")]
}

fn own_labels<'a>(
    key: &'a ServiceKey,
    extra: &'a Extra,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let value = |at: usize| key.extra.get(at).map_or("", |value| value);
    extra.names.iter().enumerate().map(move |(at, name)| (&**name, value(at)))
}

fn node_label(key: &ServiceKey) -> String {
    key.node.map_or_else(String::new, |node| node.to_string())
}

fn apisix_series(text: &mut Exposition, series: &Series) {
    let help = "HTTP status codes per service in APISIX";
    let mut family = text.family("apisix_http_status", Kind::Counter, help);
    for (key, count) in &series.statuses {
        let (code, node) = (key.code.to_string(), node_label(&key.service));
        let mut labels = vec![
            ("code", &*code),
            ("route", &key.service.route),
            ("matched_uri", &key.matched_uri),
            ("matched_host", &key.matched_host),
            ("service", &key.service.service),
            ("consumer", &key.service.consumer),
            ("node", &node),
        ];
        labels.extend(about_models(&key.service));
        labels.push(("response_source", key.source.name()));
        labels.extend(own_labels(&key.service, &series.shape.status));
        family.sample(&labels, count);
    }
    let help = "Total bandwidth in bytes consumed per service in APISIX";
    let mut family = text.family("apisix_bandwidth", Kind::Counter, help);
    let extra = &series.shape.bandwidth;
    for (key, bandwidth) in &series.bandwidths {
        let node = node_label(key);
        family.sample(&service_labels("egress", key, &node, extra), bandwidth.egress);
        family.sample(&service_labels("ingress", key, &node, extra), bandwidth.ingress);
    }
    let help = "HTTP request latency in milliseconds per service in APISIX";
    let mut family = text.family("apisix_http_latency", Kind::Histogram, help);
    for (key, latencies) in &series.latencies {
        apisix_latency(&mut family, key, latencies, &series.shape);
    }
}

fn apisix_latency(family: &mut Family<'_>, key: &ServiceKey, latencies: &Latencies, shape: &Shape) {
    let node = node_label(key);
    let mut write = |kind: &str, latency: &Histogram| {
        if latency.count() > 0 {
            let buckets = latency.cumulative(&shape.bounds);
            family.histogram(
                &service_labels(kind, key, &node, &shape.latency),
                buckets.map(|(us, count)| (Milliseconds(u64::from(us)), count)),
                Milliseconds(latency.sum_us),
                latency.count(),
            );
        }
    };
    write("apisix", &latencies.apisix);
    write("request", &latencies.request);
    write("upstream", &latencies.upstream);
}

#[cfg(test)]
mod tests {
    use super::super::labelled::{Bases, RouteLabels, Sample};
    use super::super::metrics::{Done, ShardMetrics};
    use super::super::series::Source;
    use super::super::strict_parser::parse;
    use super::*;

    fn shard(number: usize) -> Snapshot {
        let metrics = ShardMetrics::new(number, 100);
        let base = Bases::default().intern(RouteLabels {
            route: "r\"1\"".into(),
            service: "s".into(),
            matched_uri: "/a\\b".into(),
            matched_host: "".into(),
            disabled: Default::default(),
        });
        metrics.add(Counter::ConnectionsAccepted, 3);
        metrics.set(Gauge::PlanGeneration, 9);
        let (status, request_us, upstream_us) = (200, 1_500, Some(900));
        let (bytes_in, bytes_out) = (100, 1_000);
        metrics.done(&Done {
            protocol: Protocol::Http11,
            status,
            request_us,
            upstream_us,
            bytes_in,
            bytes_out,
        });
        metrics.labelled().borrow_mut().record(
            &base,
            &Default::default(),
            &Sample {
                consumer: "jack",
                node: Some(std::net::IpAddr::from([127, 0, 0, 1])),
                status,
                request_us,
                upstream_us,
                bytes_in,
                bytes_out,
                source: Source::Upstream,
                extra: "",
            },
        );
        metrics.snapshot()
    }

    #[test]
    fn a_report_is_valid_and_complete() {
        let facts = ProcessFacts { hostname: "h".into(), ..ProcessFacts::default() };
        let families = parse(&Reporter::new(100).report(&[shard(0), shard(1)], &facts));
        let status = &families["apisix_http_status"].samples[0];
        assert_eq!(status.value, 2.0);
        let names: Vec<_> = status.labels.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "code",
                "route",
                "matched_uri",
                "matched_host",
                "service",
                "consumer",
                "node",
                "request_type",
                "request_llm_model",
                "llm_model",
                "response_source",
            ]
        );
        assert_eq!(status.label("route"), Some("r\"1\""));
        assert_eq!(status.label("node"), Some("127.0.0.1"));
        let latency = &families["apisix_http_latency"];
        assert_eq!(latency.samples.len(), 3 * (15 + 1 + 2));
        let first_full = latency
            .samples
            .iter()
            .find(|s| s.label("type") == Some("request") && s.label("le") == Some("2"));
        assert_eq!(first_full.expect("a bucket").value, 2.0);
        assert_eq!(families["apisix_bandwidth"].samples[0].value, 2_000.0);
        assert_eq!(families["apisix_http_requests_total"].samples[0].value, 2.0);
        assert_eq!(families["apisix_nginx_http_current_connections"].samples.len(), 6);
        let generations = &families["ringgate_plan_generation"].samples;
        assert_eq!(generations.len(), 2);
        assert_eq!(generations[1].label("shard"), Some("1"));
        assert_eq!(families["ringgate_requests_total"].samples.len(), 1);
        assert_eq!(families["ringgate_faults_total"].samples.len(), Code::ALL.len());
        assert!(families.keys().all(|n| n.starts_with("ringgate_") || n.starts_with("apisix_")));
    }

    #[test]
    fn an_empty_report_is_valid_too() {
        parse(&Reporter::new(100).report(&[], &ProcessFacts::default()));
    }
}
