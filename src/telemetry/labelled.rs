//! The series of APISIX's `prometheus` plugin: per route, consumer and node, with a bound on how
//! many there may be.
//!
//! The labels of a route are interned once, where the plan is built ([`Bases`]); a shard then finds
//! its cells by three small integers. The labels come from the configuration and from node
//! addresses, never from the client.
//!
//! Memory: a group (route, consumer, node) is about 100 bytes, with its latencies 500; at the
//! default bound of 10,000 series a metric, at most 3 MB a shard. Without the plugin, nothing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use smallvec::SmallVec;

use super::clock::Folded;
use super::disabled::{Disabled, Label};
use super::series::{Bandwidth, Group, Labelled, Latencies, ShardSeries, Source};
use super::shape::Shape;

/// The bound on series of one metric, where none is configured.
pub const SERIES_MAX: usize = 10_000;

/// The labels that a route brings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteLabels {
    /// Its id, or its name with `prefer_name`.
    pub route: Arc<str>,
    /// Its service's id, or name with `prefer_name`; empty without a service.
    pub service: Arc<str>,
    /// The URI of the route that matched.
    pub matched_uri: Arc<str>,
    /// The host of the route that matched.
    pub matched_host: Arc<str>,
    /// Labels that are left empty.
    pub disabled: Disabled,
}

/// The labels of a route with their small number.
#[derive(Debug)]
pub struct Base {
    id: u32,
    labels: RouteLabels,
}

impl Base {
    /// The labels.
    pub fn labels(&self) -> &RouteLabels {
        &self.labels
    }
}

/// Interns routes' labels. One per process, used where plans are built, never on a shard; equal
/// labels get the same base, so that a new plan goes on with the old series.
#[derive(Debug, Default)]
pub struct Bases {
    known: Mutex<HashMap<RouteLabels, Arc<Base>>>,
}

impl Bases {
    /// The base of these labels.
    pub fn intern(&self, mut labels: RouteLabels) -> Arc<Base> {
        for (label, value) in [
            (Label::Route, &mut labels.route),
            (Label::Service, &mut labels.service),
            (Label::MatchedUri, &mut labels.matched_uri),
            (Label::MatchedHost, &mut labels.matched_host),
        ] {
            if labels.disabled.everywhere(label) {
                *value = Arc::from("");
            }
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let id = u32::try_from(known.len()).unwrap_or(u32::MAX);
        let base = known
            .entry(labels)
            .or_insert_with_key(|labels| Arc::new(Base { id, labels: labels.clone() }));
        Arc::clone(base)
    }
}

/// One request, as the plugin sees it.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The consumer's name, or empty.
    pub consumer: &'a str,
    /// The node asked last.
    pub node: Option<IpAddr>,
    /// The status sent.
    pub status: u16,
    /// The whole request.
    pub request_us: u64,
    /// What the node took; `None` where none was asked.
    pub upstream_us: Option<u64>,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Who made the answer.
    pub source: Source,
    /// The values of the operator's own labels, in the order of [`Shape::variables`], with
    /// [`SEPARATOR`](super::shape::SEPARATOR) between them; empty where there are none.
    pub extra: &'a str,
}

type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<Folded>>;

/// The place of what stands for all that did not fit, in each table.
const OTHER: u32 = 0;

/// Cells of one (route, consumer, node), with indexes into the tables of [`LabelledSeries`].
struct Cells {
    base: Option<Arc<Base>>,
    consumer: u32,
    extra: Option<Arc<str>>,
    node: Option<IpAddr>,
    statuses: SmallVec<[(u16, Source, u64); 2]>,
    latency: u32,
    bandwidth: u32,
}

/// What finds a group's cells: a word for route and consumer, and the node's address; with labels of
/// the operator's own, another word.
#[derive(PartialEq, Eq)]
struct Key {
    base: u32,
    consumer: u32,
    extra: u32,
    node: Option<IpAddr>,
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64((u64::from(self.base) << 32) | u64::from(self.consumer));
        if self.extra != 0 {
            state.write_u32(self.extra);
        }
        match self.node {
            None => {}
            Some(IpAddr::V4(address)) => state.write_u32(address.to_bits()),
            Some(IpAddr::V6(address)) => state.write_u128(address.to_bits()),
        }
    }
}

/// The series of one shard.
pub struct LabelledSeries {
    series_max: usize,
    statuses: usize,
    consumers: FastMap<Arc<str>, u32>,
    consumer_names: Vec<Arc<str>>,
    /// Values of the operator's own labels; none has the number 0.
    extras: FastMap<Arc<str>, u32>,
    shape: Arc<Shape>,
    index: FastMap<Key, u32>,
    groups: Vec<Cells>,
    latencies: Vec<Latencies>,
    bandwidths: Vec<Bandwidth>,
    dropped: u64,
}

impl LabelledSeries {
    /// None yet, and at most `series_max` of each metric.
    pub fn new(series_max: usize) -> LabelledSeries {
        LabelledSeries {
            series_max,
            statuses: 0,
            consumers: FastMap::default(),
            consumer_names: Vec::new(),
            extras: FastMap::default(),
            shape: Arc::default(),
            index: FastMap::default(),
            groups: Vec::new(),
            latencies: Vec::new(),
            bandwidths: Vec::new(),
            dropped: 0,
        }
    }

    /// Counts one request. `shape` is the process's.
    pub fn record(&mut self, base: &Arc<Base>, shape: &Arc<Shape>, sample: &Sample<'_>) {
        let mut sample = *sample;
        let disabled = base.labels.disabled;
        if disabled != Disabled::default() {
            if disabled.everywhere(Label::Consumer) {
                sample.consumer = "";
            }
            if disabled.everywhere(Label::Node) {
                sample.node = None;
            }
        }
        let sample = &sample;
        if self.groups.is_empty() {
            self.start(shape);
        }
        let place = self.place(base, sample);
        let mut dropped = place == OTHER;
        let Some(cells) = self.groups.get_mut(place as usize) else { return };
        let (latency, bandwidth) = (cells.latency, cells.bandwidth);
        dropped |= latency == OTHER || bandwidth == OTHER;

        let is_known = |(status, source, _): &&mut (u16, Source, u64)| {
            *status == sample.status && *source == sample.source
        };
        if let Some((_, _, count)) = cells.statuses.iter_mut().find(is_known) {
            *count += 1;
        } else if place == OTHER || self.statuses < self.series_max {
            cells.statuses.push((sample.status, sample.source, 1));
            self.statuses += usize::from(place != OTHER);
        } else {
            dropped = true;
            self.count_other_status(sample);
        }
        if let Some(latencies) = self.latencies.get_mut(latency as usize) {
            latencies.record(&self.shape.bounds, sample.request_us, sample.upstream_us);
        }
        if let Some(bandwidth) = self.bandwidths.get_mut(bandwidth as usize) {
            bandwidth.ingress = bandwidth.ingress.wrapping_add(sample.bytes_in);
            bandwidth.egress = bandwidth.egress.wrapping_add(sample.bytes_out);
        }
        self.dropped += u64::from(dropped);
    }

    /// A copy for the control side.
    pub fn snapshot(&self) -> Labelled {
        if self.groups.is_empty() {
            return Labelled::default();
        }
        let groups = self.groups.iter().map(|cells| Group {
            labels: cells.base.as_ref().map(|base| base.labels.clone()),
            consumer: self
                .consumer_names
                .get(cells.consumer as usize)
                .map_or_else(|| Arc::from(""), Arc::clone),
            extra: cells.extra.clone(),
            node: cells.node,
            statuses: cells.statuses.to_vec(),
            latency: cells.latency,
            bandwidth: cells.bandwidth,
        });
        Labelled {
            shards: vec![ShardSeries {
                shape: Arc::clone(&self.shape),
                groups: groups.collect(),
                latencies: self.latencies.clone(),
                bandwidths: self.bandwidths.clone(),
                dropped: self.dropped,
            }],
        }
    }

    /// Makes the places of what will not fit, and the empty consumer.
    fn start(&mut self, shape: &Arc<Shape>) {
        self.shape = Arc::clone(shape);
        self.latencies.push(Latencies::default());
        self.bandwidths.push(Bandwidth::default());
        let empty: Arc<str> = Arc::from("");
        self.consumer_names.push(Arc::clone(&empty));
        self.consumers.insert(empty, 0);
        self.groups.push(Cells {
            base: None,
            consumer: 0,
            extra: None,
            node: None,
            statuses: SmallVec::new(),
            latency: OTHER,
            bandwidth: OTHER,
        });
    }

    #[inline]
    fn place(&mut self, base: &Arc<Base>, sample: &Sample<'_>) -> u32 {
        let consumer = match sample.consumer {
            "" => Some(0),
            name => self.consumers.get(name).copied(),
        };
        let extra = match sample.extra {
            "" => Some(0),
            values => self.extras.get(values).copied(),
        };
        if let (Some(consumer), Some(extra)) = (consumer, extra)
            && let Some(place) =
                self.index.get(&Key { base: base.id, consumer, extra, node: sample.node })
        {
            return *place;
        }
        self.place_new(base, consumer, sample)
    }

    #[cold]
    fn place_new(&mut self, base: &Arc<Base>, consumer: Option<u32>, sample: &Sample<'_>) -> u32 {
        let (Ok(place), true) =
            (u32::try_from(self.groups.len()), self.groups.len() <= self.series_max)
        else {
            return OTHER;
        };
        let consumer = consumer.unwrap_or_else(|| {
            let number = u32::try_from(self.consumer_names.len()).unwrap_or(0);
            let name: Arc<str> = Arc::from(sample.consumer);
            self.consumer_names.push(Arc::clone(&name));
            self.consumers.insert(name, number);
            number
        });
        // Above 0, which is for none.
        let extras = u32::try_from(self.extras.len() + 1).unwrap_or(0);
        let (extra, values) = match sample.extra {
            "" => (0, None),
            values => match self.extras.get_key_value(values) {
                Some((values, number)) => (*number, Some(Arc::clone(values))),
                None => {
                    let values: Arc<str> = Arc::from(values);
                    self.extras.insert(Arc::clone(&values), extras);
                    (extras, Some(values))
                }
            },
        };
        self.index.insert(Key { base: base.id, consumer, extra, node: sample.node }, place);
        // A group has three latency series and two of bandwidth.
        let latency = next_place(&mut self.latencies, self.series_max / 3);
        let bandwidth = next_place(&mut self.bandwidths, self.series_max / 2);
        let (base, node) = (Some(Arc::clone(base)), sample.node);
        let statuses = SmallVec::new();
        let extra = values;
        self.groups.push(Cells { base, consumer, extra, node, statuses, latency, bandwidth });
        place
    }

    #[cold]
    fn count_other_status(&mut self, sample: &Sample<'_>) {
        let Some(other) = self.groups.get_mut(OTHER as usize) else { return };
        let (status, source) = (sample.status, sample.source);
        match other.statuses.iter_mut().find(|(known, from, _)| (*known, *from) == (status, source))
        {
            Some((_, _, count)) => *count += 1,
            None => other.statuses.push((status, source, 1)),
        }
    }
}

/// A further place in a table whose first is [`OTHER`]'s, or that one where `max` are taken.
fn next_place<T: Default>(table: &mut Vec<T>, max: usize) -> u32 {
    match u32::try_from(table.len()) {
        Ok(place) if table.len() <= max => {
            table.push(T::default());
            place
        }
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests;
