//! What shards send to the control side on a scrape, and how it becomes one.

use super::latency::Latency;
use super::metrics::{Counter, Gauge};
use super::series::Labelled;

/// The metrics of one shard, or of several merged. Plain data.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By shard: gauges in the order of [`Gauge::ALL`]. They are told per shard, never summed.
    pub shards: Vec<(usize, Vec<u64>)>,
    /// In the order of [`Counter::ALL`].
    pub counters: Vec<u64>,
    /// In the order of [`super::Refusal::ALL`].
    pub refusals: Vec<u64>,
    /// By protocol, then by status class.
    pub requests: Vec<Vec<u64>>,
    /// In the order of [`ringgate_core::Code::ALL`].
    pub faults: Vec<u64>,
    /// Whole requests.
    pub request: Latency,
    /// What nodes took.
    pub upstream: Latency,
    /// The series of the `prometheus` plugin.
    pub labelled: Labelled,
}

fn add(to: &mut Vec<u64>, from: &[u64]) {
    if to.len() < from.len() {
        to.resize(from.len(), 0);
    }
    for (to, from) in to.iter_mut().zip(from) {
        *to = to.wrapping_add(*from);
    }
}

impl Snapshot {
    /// Adds another shard's.
    pub fn merge(&mut self, other: &Snapshot) {
        self.shards.extend(other.shards.iter().cloned());
        self.shards.sort_by_key(|(shard, _)| *shard);
        add(&mut self.counters, &other.counters);
        add(&mut self.refusals, &other.refusals);
        if self.requests.len() < other.requests.len() {
            self.requests.resize(other.requests.len(), Vec::new());
        }
        for (to, from) in self.requests.iter_mut().zip(&other.requests) {
            add(to, from);
        }
        add(&mut self.faults, &other.faults);
        self.request.merge(&other.request);
        self.upstream.merge(&other.upstream);
        self.labelled.merge(&other.labelled);
    }

    /// Several shards' as one.
    pub fn merged<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>) -> Snapshot {
        let mut merged = Snapshot::default();
        for snapshot in snapshots {
            merged.merge(snapshot);
        }
        merged
    }

    /// A counter's value.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(counter as usize).copied().unwrap_or(0)
    }

    /// A gauge summed over the shards.
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.shards
            .iter()
            .filter_map(|(_, gauges)| gauges.get(gauge as usize))
            .fold(0, |sum, value| sum.saturating_add(*value))
    }

    /// All requests, of any protocol and status.
    pub fn requests_total(&self) -> u64 {
        self.requests.iter().flatten().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{Done, Protocol, Refusal, ShardMetrics};
    use super::*;

    fn shard(number: usize, requests: u64) -> Snapshot {
        let metrics = ShardMetrics::new(number, 100);
        for i in 0..requests {
            metrics.done(&Done {
                protocol: Protocol::Http2,
                status: if i % 2 == 0 { 200 } else { 503 },
                request_us: 1_000 * (number as u64 + 1),
                upstream_us: None,
                bytes_in: 10,
                bytes_out: 20,
            });
        }
        metrics.refused(Refusal::Descriptors);
        metrics.fault(ringgate_core::Code::NoNode);
        metrics.set(Gauge::PlanGeneration, 7 + number as u64);
        metrics.snapshot()
    }

    #[test]
    fn counters_add_up_and_gauges_stay_apart() {
        let merged = Snapshot::merged(&[shard(1, 4), shard(0, 6)]);
        assert_eq!(merged.requests_total(), 10);
        assert_eq!(merged.requests[Protocol::Http2 as usize], [0, 0, 5, 0, 0, 5]);
        assert_eq!(merged.counter(Counter::BytesOut), 200);
        assert_eq!(merged.refusals[Refusal::Descriptors as usize], 2);
        assert_eq!(merged.faults.iter().sum::<u64>(), 2);
        assert_eq!(merged.request.count(), 10);
        assert_eq!(merged.upstream.count(), 0);
        let generations: Vec<_> =
            merged.shards.iter().map(|(n, g)| (*n, g[Gauge::PlanGeneration as usize])).collect();
        assert_eq!(generations, [(0, 7), (1, 8)]);
    }

    #[test]
    fn a_snapshot_can_cross_threads() {
        fn send<T: Send + 'static>(_: &T) {}
        send(&Snapshot::default());
    }
}
