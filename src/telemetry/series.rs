//! The series of the `prometheus` plugin on their way out: a shard's copy, and all shards' as one
//! under the process's bound.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use super::disabled::{Disabled, Label, Labels};
use super::labelled::RouteLabels;
use super::shape::{BUCKETS_MAX, Bounds, Extra, SEPARATOR, Shape};

/// What `route` says of all that did not fit.
pub const OTHER_ROUTE: &str = "…other";

/// Durations in buckets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Histogram {
    buckets: [u64; BUCKETS_MAX + 1],
    /// The sum, in µs.
    pub sum_us: u64,
}

impl Histogram {
    #[inline]
    fn record(&mut self, bounds: &Bounds, us: u64) {
        self.sum_us = self.sum_us.wrapping_add(us);
        let us = u32::try_from(us).unwrap_or(u32::MAX);
        if let Some(count) = self.buckets.get_mut(bounds.bucket(us)) {
            *count += 1;
        }
    }

    fn merge(&mut self, other: &Histogram) {
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
        for (to, from) in self.buckets.iter_mut().zip(&other.buckets) {
            *to = to.wrapping_add(*from);
        }
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many were at most each of the bounds, in µs.
    pub fn cumulative(&self, bounds: &Bounds) -> impl Iterator<Item = (u32, u64)> {
        bounds.us().iter().zip(&self.buckets).scan(0, |total, (bound, count)| {
            *total += count;
            Some((*bound, *total))
        })
    }
}

/// The three latencies of a group.
#[derive(Debug, Clone, Copy, Default)]
pub struct Latencies {
    /// The whole request.
    pub request: Histogram,
    /// What the node took.
    pub upstream: Histogram,
    /// What is left: the gateway's own share and the client's.
    pub apisix: Histogram,
}

impl Latencies {
    #[inline]
    pub(super) fn record(&mut self, bounds: &Bounds, request_us: u64, upstream_us: Option<u64>) {
        self.request.record(bounds, request_us);
        if let Some(upstream_us) = upstream_us {
            self.upstream.record(bounds, upstream_us);
        }
        self.apisix.record(bounds, request_us.saturating_sub(upstream_us.unwrap_or(0)));
    }

    fn merge(&mut self, other: &Latencies) {
        self.request.merge(&other.request);
        self.upstream.merge(&other.upstream);
        self.apisix.merge(&other.apisix);
    }
}

/// Bytes of a group.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bandwidth {
    /// From clients.
    pub ingress: u64,
    /// To clients.
    pub egress: u64,
}

/// Who made an answer (`response_source`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The gateway: a plugin, or no node was asked.
    Apisix,
    /// The gateway, as the node that was asked gave no answer: APISIX's nginx does that.
    Nginx,
    /// The node.
    Upstream,
    /// Not told.
    Untold,
}

impl Source {
    /// As the label says it.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Apisix => "apisix",
            Source::Nginx => "nginx",
            Source::Upstream => "upstream",
            Source::Untold => "",
        }
    }
}

/// A group's labels and statuses; `labels` is `None` for what did not fit.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) labels: Option<RouteLabels>,
    pub(super) consumer: Arc<str>,
    pub(super) extra: Option<Arc<str>>,
    pub(super) node: Option<IpAddr>,
    pub(super) statuses: Vec<(u16, Source, u64)>,
    pub(super) latency: u32,
    pub(super) bandwidth: u32,
}

/// One shard's series.
#[derive(Debug, Clone)]
pub(super) struct ShardSeries {
    pub(super) shape: Arc<Shape>,
    pub(super) groups: Vec<Group>,
    pub(super) latencies: Vec<Latencies>,
    pub(super) bandwidths: Vec<Bandwidth>,
    pub(super) dropped: u64,
}

/// The series of one shard, or of several side by side.
#[derive(Debug, Clone, Default)]
pub struct Labelled {
    pub(super) shards: Vec<ShardSeries>,
}

impl Labelled {
    /// Takes another's in.
    pub fn merge(&mut self, other: &Labelled) {
        self.shards.extend(other.shards.iter().cloned());
    }
}

/// The labels of latencies and bandwidth.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the labels' names
pub struct ServiceKey {
    pub route: Arc<str>,
    pub service: Arc<str>,
    pub consumer: Arc<str>,
    pub node: Option<IpAddr>,
    pub request_type: &'static str,
    /// The values of the operator's own labels of the metric.
    pub extra: Box<[Box<str>]>,
}

/// The labels of statuses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the labels' names
pub struct StatusKey {
    pub service: ServiceKey,
    pub matched_uri: Arc<str>,
    pub matched_host: Arc<str>,
    pub code: u16,
    pub source: Source,
}

/// What APISIX tells of requests that are not for a language model: all of them, here.
const REQUEST_TYPE: &str = "traditional_http";

impl ServiceKey {
    fn other() -> ServiceKey {
        let empty: Arc<str> = Arc::from("");
        ServiceKey {
            route: Arc::from(OTHER_ROUTE),
            service: Arc::clone(&empty),
            consumer: empty,
            node: None,
            request_type: "",
            extra: Box::default(),
        }
    }
}

/// All shards' series by their labels.
#[derive(Debug, Default)]
pub struct Series {
    /// `apisix_http_status`.
    pub statuses: BTreeMap<StatusKey, u64>,
    /// `apisix_http_latency`.
    pub latencies: BTreeMap<ServiceKey, Latencies>,
    /// `apisix_bandwidth`.
    pub bandwidths: BTreeMap<ServiceKey, Bandwidth>,
    /// Requests of which something was counted under the overflow series.
    pub dropped: u64,
    /// What the metrics look like.
    pub shape: Arc<Shape>,
}

/// Which series the process shows. Kept from scrape to scrape, so that a series that was shown goes
/// on and counters never go back.
#[derive(Debug)]
pub struct Admission {
    series_max: usize,
    statuses: HashSet<StatusKey>,
    latencies: HashSet<ServiceKey>,
    bandwidths: HashSet<ServiceKey>,
}

fn admitted<K: Eq + Hash + Clone>(shown: &mut HashSet<K>, key: &K, max: usize) -> bool {
    shown.contains(key) || (shown.len() < max && shown.insert(key.clone()))
}

impl Admission {
    /// None yet, and at most `series_max` of each metric (beside the overflow's).
    pub fn new(series_max: usize) -> Admission {
        Admission {
            series_max,
            statuses: HashSet::new(),
            latencies: HashSet::new(),
            bandwidths: HashSet::new(),
        }
    }

    /// The shards' series as one, those past the bound under [`OTHER_ROUTE`].
    pub fn admit(&mut self, labelled: &Labelled) -> Series {
        let mut series = Series::default();
        for shard in &labelled.shards {
            series.dropped = series.dropped.wrapping_add(shard.dropped);
            series.shape = Arc::clone(&shard.shape);
            // What did not fit on the shard is in the first place of each table; groups without
            // a place of their own point there, so each place is counted once, with its owner.
            for (number, group) in shard.groups.iter().enumerate() {
                let owner = number == 0;
                self.statuses(&mut series, group);
                if owner || group.latency != 0 {
                    let latencies = shard.latencies.get(group.latency as usize);
                    self.latencies(&mut series, group, latencies.copied().unwrap_or_default());
                }
                if owner || group.bandwidth != 0 {
                    let bandwidth = shard.bandwidths.get(group.bandwidth as usize);
                    self.bandwidths(&mut series, group, bandwidth.copied().unwrap_or_default());
                }
            }
        }
        series
    }

    fn statuses(&mut self, series: &mut Series, group: &Group) {
        let shape = Arc::clone(&series.shape);
        for (code, source, count) in &group.statuses {
            let mut key = group.status_key(&shape, *code, *source);
            let fits =
                group.labels.is_none() || admitted(&mut self.statuses, &key, self.series_max);
            if !fits {
                series.dropped = series.dropped.wrapping_add(*count);
                key = Group::other_status_key(*code, *source);
            }
            *series.statuses.entry(key).or_default() += count;
        }
    }

    fn latencies(&mut self, series: &mut Series, group: &Group, latencies: Latencies) {
        if latencies.request.count() == 0 {
            return;
        }
        let key = group
            .service_key(group.disabled().latency, group.extra(&series.shape, Metric::Latency));
        let fits =
            group.labels.is_none() || admitted(&mut self.latencies, &key, self.series_max / 3);
        let key = if fits { key } else { ServiceKey::other() };
        series.latencies.entry(key).or_default().merge(&latencies);
    }

    fn bandwidths(&mut self, series: &mut Series, group: &Group, bandwidth: Bandwidth) {
        if bandwidth.ingress == 0 && bandwidth.egress == 0 {
            return;
        }
        let key = group
            .service_key(group.disabled().bandwidth, group.extra(&series.shape, Metric::Bandwidth));
        let fits =
            group.labels.is_none() || admitted(&mut self.bandwidths, &key, self.series_max / 2);
        let key = if fits { key } else { ServiceKey::other() };
        let sum = series.bandwidths.entry(key).or_default();
        sum.ingress = sum.ingress.wrapping_add(bandwidth.ingress);
        sum.egress = sum.egress.wrapping_add(bandwidth.egress);
    }
}

/// The metrics that can have labels of the operator's own.
#[derive(Clone, Copy)]
enum Metric {
    Status,
    Latency,
    Bandwidth,
}

/// A label's value, or nothing where it is left empty.
fn told(empty: Labels, label: Label, value: &Arc<str>) -> Arc<str> {
    if empty.has(label) { Arc::from("") } else { Arc::clone(value) }
}

impl Group {
    fn disabled(&self) -> Disabled {
        self.labels.as_ref().map(|labels| labels.disabled).unwrap_or_default()
    }

    /// The values of the operator's own labels of a metric.
    fn extra(&self, shape: &Shape, metric: Metric) -> Box<[Box<str>]> {
        let (before, own): (usize, &Extra) = match metric {
            Metric::Status => (0, &shape.status),
            Metric::Latency => (shape.status.names.len(), &shape.latency),
            Metric::Bandwidth => {
                (shape.status.names.len() + shape.latency.names.len(), &shape.bandwidth)
            }
        };
        let values = self.extra.as_deref().unwrap_or_default();
        let mut values = values.split(SEPARATOR).skip(before);
        own.names.iter().map(|_| values.next().unwrap_or_default().into()).collect()
    }

    /// The labels, but for those that are left empty.
    fn service_key(&self, empty: Labels, extra: Box<[Box<str>]>) -> ServiceKey {
        let told = |label, value| told(empty, label, value);
        match &self.labels {
            Some(labels) => ServiceKey {
                route: told(Label::Route, &labels.route),
                service: told(Label::Service, &labels.service),
                consumer: told(Label::Consumer, &self.consumer),
                node: self.node.filter(|_| !empty.has(Label::Node)),
                request_type: if empty.has(Label::RequestType) { "" } else { REQUEST_TYPE },
                extra,
            },
            None => ServiceKey::other(),
        }
    }

    fn status_key(&self, shape: &Shape, code: u16, source: Source) -> StatusKey {
        let empty = self.disabled().status;
        let told = |label, value| told(empty, label, value);
        match &self.labels {
            Some(labels) => StatusKey {
                service: self.service_key(empty, self.extra(shape, Metric::Status)),
                matched_uri: told(Label::MatchedUri, &labels.matched_uri),
                matched_host: told(Label::MatchedHost, &labels.matched_host),
                code,
                source: if empty.has(Label::ResponseSource) { Source::Untold } else { source },
            },
            None => Group::other_status_key(code, source),
        }
    }

    fn other_status_key(code: u16, source: Source) -> StatusKey {
        let empty: Arc<str> = Arc::from("");
        StatusKey {
            service: ServiceKey::other(),
            matched_uri: Arc::clone(&empty),
            matched_host: empty,
            code,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_inside_its_bucket() {
        let mut histogram = Histogram::default();
        for us in [0, 1_000, 1_001, 60_000_000, 60_000_001, u64::MAX / 4] {
            histogram.record(&Bounds::default(), us);
        }
        let counts: Vec<_> = histogram.cumulative(&Bounds::default()).collect();
        assert_eq!(counts[0], (1_000, 2));
        assert_eq!(counts[1], (2_000, 3));
        assert_eq!(counts[14], (60_000_000, 4));
        assert_eq!(histogram.count(), 6);
    }
}
