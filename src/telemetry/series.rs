//! The series of the `prometheus` plugin on their way out: a shard's copy, and all shards' as one
//! under the process's bound.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use super::disabled::{Disabled, Label, Labels};
use super::labelled::RouteLabels;

/// APISIX's buckets, in ms.
pub const BUCKETS_MS: [u32; 15] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

/// The same in µs, to compare with.
const BUCKETS_US: [u32; BUCKETS_MS.len()] = {
    let mut bounds = BUCKETS_MS;
    let mut i = 0;
    while i < bounds.len() {
        bounds[i] *= 1_000;
        i += 1;
    }
    bounds
};

/// What `route` says of all that did not fit.
pub const OTHER_ROUTE: &str = "…other";

/// Durations in APISIX's buckets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Histogram {
    buckets: [u64; BUCKETS_MS.len() + 1],
    /// The sum, in µs.
    pub sum_us: u64,
}

impl Histogram {
    #[inline]
    fn record(&mut self, us: u64) {
        self.sum_us = self.sum_us.wrapping_add(us);
        let us = u32::try_from(us).unwrap_or(u32::MAX);
        // Compares with all bounds at once rather than branching at each.
        let bucket = BUCKETS_US.iter().filter(|bound| us > **bound).count();
        if let Some(count) = self.buckets.get_mut(bucket) {
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

    /// How many were at most each of [`BUCKETS_MS`].
    pub fn cumulative(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        BUCKETS_MS.iter().zip(&self.buckets).scan(0, |total, (bound, count)| {
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
    pub(super) fn record(&mut self, request_us: u64, upstream_us: Option<u64>) {
        self.request.record(request_us);
        if let Some(upstream_us) = upstream_us {
            self.upstream.record(upstream_us);
        }
        self.apisix.record(request_us.saturating_sub(upstream_us.unwrap_or(0)));
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

/// A group's labels and statuses; `labels` is `None` for what did not fit.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) labels: Option<RouteLabels>,
    pub(super) consumer: Arc<str>,
    pub(super) node: Option<IpAddr>,
    pub(super) statuses: Vec<(u16, u64)>,
    pub(super) latency: u32,
    pub(super) bandwidth: u32,
}

/// One shard's series.
#[derive(Debug, Clone)]
pub(super) struct ShardSeries {
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
}

/// The labels of statuses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the labels' names
pub struct StatusKey {
    pub service: ServiceKey,
    pub matched_uri: Arc<str>,
    pub matched_host: Arc<str>,
    pub code: u16,
}

impl ServiceKey {
    fn other() -> ServiceKey {
        let empty: Arc<str> = Arc::from("");
        ServiceKey {
            route: Arc::from(OTHER_ROUTE),
            service: Arc::clone(&empty),
            consumer: empty,
            node: None,
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
        for (code, count) in &group.statuses {
            let mut key = group.status_key(*code);
            let fits =
                group.labels.is_none() || admitted(&mut self.statuses, &key, self.series_max);
            if !fits {
                series.dropped = series.dropped.wrapping_add(*count);
                key = Group::other_status_key(*code);
            }
            *series.statuses.entry(key).or_default() += count;
        }
    }

    fn latencies(&mut self, series: &mut Series, group: &Group, latencies: Latencies) {
        if latencies.request.count() == 0 {
            return;
        }
        let key = group.service_key(group.disabled().latency);
        let fits =
            group.labels.is_none() || admitted(&mut self.latencies, &key, self.series_max / 3);
        let key = if fits { key } else { ServiceKey::other() };
        series.latencies.entry(key).or_default().merge(&latencies);
    }

    fn bandwidths(&mut self, series: &mut Series, group: &Group, bandwidth: Bandwidth) {
        if bandwidth.ingress == 0 && bandwidth.egress == 0 {
            return;
        }
        let key = group.service_key(group.disabled().bandwidth);
        let fits =
            group.labels.is_none() || admitted(&mut self.bandwidths, &key, self.series_max / 2);
        let key = if fits { key } else { ServiceKey::other() };
        let sum = series.bandwidths.entry(key).or_default();
        sum.ingress = sum.ingress.wrapping_add(bandwidth.ingress);
        sum.egress = sum.egress.wrapping_add(bandwidth.egress);
    }
}

/// A label's value, or nothing where it is left empty.
fn told(empty: Labels, label: Label, value: &Arc<str>) -> Arc<str> {
    if empty.has(label) { Arc::from("") } else { Arc::clone(value) }
}

impl Group {
    fn disabled(&self) -> Disabled {
        self.labels.as_ref().map(|labels| labels.disabled).unwrap_or_default()
    }

    /// The labels, but for those that are left empty.
    fn service_key(&self, empty: Labels) -> ServiceKey {
        let told = |label, value| told(empty, label, value);
        match &self.labels {
            Some(labels) => ServiceKey {
                route: told(Label::Route, &labels.route),
                service: told(Label::Service, &labels.service),
                consumer: told(Label::Consumer, &self.consumer),
                node: self.node.filter(|_| !empty.has(Label::Node)),
            },
            None => ServiceKey::other(),
        }
    }

    fn status_key(&self, code: u16) -> StatusKey {
        let empty = self.disabled().status;
        let told = |label, value| told(empty, label, value);
        match &self.labels {
            Some(labels) => StatusKey {
                service: self.service_key(empty),
                matched_uri: told(Label::MatchedUri, &labels.matched_uri),
                matched_host: told(Label::MatchedHost, &labels.matched_host),
                code,
            },
            None => Group::other_status_key(code),
        }
    }

    fn other_status_key(code: u16) -> StatusKey {
        let empty: Arc<str> = Arc::from("");
        StatusKey {
            service: ServiceKey::other(),
            matched_uri: Arc::clone(&empty),
            matched_host: empty,
            code,
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
            histogram.record(us);
        }
        let counts: Vec<_> = histogram.cumulative().collect();
        assert_eq!(counts[0], (1, 2));
        assert_eq!(counts[1], (2, 3));
        assert_eq!(counts[14], (60_000, 4));
        assert_eq!(histogram.count(), 6);
    }
}
