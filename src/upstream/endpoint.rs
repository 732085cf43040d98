//! Endpoints: concrete addresses, each with the state that the whole process shares.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::health::{HealthState, Outcome};
use super::node::{Node, NodeAddress, Question, Resolved};
use super::registry::Registry;

/// Most endpoints of one upstream, names expanded.
pub const ENDPOINTS_MAX: usize = 4096;

/// A value on cache lines of its own (two: x86 prefetches in pairs), so that shards writing it
/// do not slow those that read its neighbour.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Padded<T>(pub T);

/// What decides whether, and how much, an endpoint is picked.
#[derive(Debug, Default)]
struct Health {
    /// Packed [`HealthState`].
    bits: AtomicU64,
    /// When it came, or came back, in [`millis`]; 0: long ago.
    up_since: AtomicU32,
}

/// The least share of its weight that a new endpoint gets.
const LEAST_SHARE: f32 = 0.1;

/// Milliseconds since the process's first look.
pub(super) fn millis(now: Instant) -> u32 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(|| now);
    now.saturating_duration_since(start).as_millis() as u32
}

/// What all shards know of one address of one upstream. Relaxed atomics: a shard may act on a
/// value that is nanoseconds old, and no value guards another.
#[derive(Debug, Default)]
pub struct EndpointState {
    /// Read on every pick, written only when something fails or heals.
    health: Padded<Health>,
    in_flight: Padded<AtomicU32>,
    /// Packed peak EWMA; see [`super::balancer::ewma`].
    pub(super) latency: Padded<AtomicU64>,
}

impl EndpointState {
    /// The state of an endpoint that is new.
    pub(super) fn starting() -> EndpointState {
        let state = EndpointState::default();
        state.start(Instant::now());
        state
    }

    fn start(&self, now: Instant) {
        self.health.0.up_since.store(millis(now).max(1), Relaxed);
    }

    /// Makes it one that has been there for long.
    #[cfg(test)]
    pub(super) fn age(&self) {
        self.health.0.up_since.store(0, Relaxed);
    }

    /// The share of its weight that it gets, where endpoints come to it within `slow_start`.
    pub fn share(&self, slow_start: Duration, now: Instant) -> f32 {
        let since = self.health.0.up_since.load(Relaxed);
        // Clocks of shards differ by a little: a time ahead of ours is now.
        let age = millis(now).saturating_sub(since);
        if since == 0 || u128::from(age) >= slow_start.as_millis() {
            return 1.0;
        }
        (age as f32 / (slow_start.as_secs_f32() * 1000.0)).max(LEAST_SHARE)
    }

    /// Whether it may be picked.
    pub fn is_up(&self) -> bool {
        self.health().status.is_up()
    }

    /// Status and counters.
    pub fn health(&self) -> HealthState {
        HealthState::from_bits(self.health.0.bits.load(Relaxed))
    }

    /// Counts an outcome against its limit (0: not counted). A success while all is well writes
    /// nothing, so reporting every request costs one shared load.
    pub fn report(&self, outcome: Outcome, limit: u8) {
        let word = &self.health.0.bits;
        let mut bits = word.load(Relaxed);
        loop {
            let before = HealthState::from_bits(bits);
            let after = before.after(outcome, limit);
            let next = after.to_bits();
            if next == bits {
                return;
            }
            if after.status.is_up() && !before.status.is_up() {
                self.start(Instant::now());
            }
            match word.compare_exchange_weak(bits, next, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(current) => bits = current,
            }
        }
    }

    /// Healthy, nothing counted: when checks are taken away, a node must not stay down.
    pub fn forget_health(&self) {
        self.health.0.bits.store(HealthState::default().to_bits(), Relaxed);
    }

    /// Requests that the process has open to it.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.0.load(Relaxed)
    }
}

/// Counts one open request until dropped.
#[derive(Debug)]
pub struct InFlight(Arc<EndpointState>);

impl InFlight {
    /// Counts from now on.
    pub fn new(state: &Arc<EndpointState>) -> InFlight {
        state.in_flight.0.fetch_add(1, Relaxed);
        InFlight(state.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.0.fetch_sub(1, Relaxed);
    }
}

/// A concrete address that requests can be sent to.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// The node's host as configured: `Host` with `pass_host: node`, and the TLS name.
    pub host: Arc<str>,
    /// Share of the requests. 0: never picked.
    pub weight: u32,
    /// Higher is preferred.
    pub priority: i32,
    /// Shared by the process; survives changes.
    pub state: Arc<EndpointState>,
}

/// The endpoints of an upstream, and what is missing from them.
#[derive(Debug, Default)]
pub struct Expansion {
    /// In the order of the nodes.
    pub endpoints: Vec<Endpoint>,
    /// Names that are not resolved yet; their nodes have no endpoint.
    pub unresolved: Vec<Question>,
    /// Addresses past [`ENDPOINTS_MAX`].
    pub dropped: usize,
}

/// Turns nodes into endpoints. A name gives one endpoint per address, each with the node's
/// weight; SRV records bring port, weight and priority (lower is preferred there, so it is
/// negated).
pub fn expand<'a>(
    upstream: &str,
    nodes: &[Node],
    answers: impl Fn(&Question) -> Option<&'a [Resolved]>,
    registry: &Registry,
) -> Expansion {
    let mut out = Expansion::default();
    for node in nodes {
        let mut push = |address: SocketAddr, weight: u32, priority: i32| {
            if out.endpoints.len() == ENDPOINTS_MAX {
                out.dropped += 1;
                return;
            }
            let state = registry.state(upstream, address);
            let host = node.host.clone();
            out.endpoints.push(Endpoint { address, host, weight, priority, state });
        };
        let fallback = match &node.address {
            NodeAddress::Ip(address) => {
                push(*address, node.weight, node.priority);
                continue;
            }
            NodeAddress::Name(_, port) | NodeAddress::Srv(_, port) => *port,
        };
        let Some(question) = node.question() else { continue };
        let Some(resolved) = answers(&question) else {
            out.unresolved.push(question);
            continue;
        };
        for answer in resolved {
            let port = answer.port.filter(|port| *port != 0).unwrap_or(fallback);
            // Weight 0 takes a node out even when its records have weights of their own.
            let weight = match answer.weight {
                Some(weight) if node.weight != 0 => u32::from(weight).max(1),
                _ => node.weight,
            };
            let priority = answer.priority.map_or(node.priority, |priority| -i32::from(priority));
            push(SocketAddr::new(answer.ip, port), weight, priority);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::resources::UpstreamScheme;

    #[test]
    fn names_become_one_endpoint_per_address_and_srv_brings_its_own() {
        let nodes = json!({"10.0.0.1:1": 1, "web.test:80": 3, "_a._tcp.test": 1, "gone.test:1": 1});
        let nodes =
            Node::compile(&serde_json::from_value(nodes).unwrap(), UpstreamScheme::Http).unwrap();
        let at = |ip: &str, port, weight, priority| Resolved {
            ip: ip.parse().unwrap(),
            port,
            weight,
            priority,
        };
        let web = [at("10.0.0.2", None, None, None), at("::3", None, None, None)];
        let srv = [at("10.0.0.4", Some(9), Some(0), Some(5))];
        let out = expand(
            "u",
            &nodes,
            |question| match question.name() {
                "web.test" => Some(&web),
                "_a._tcp.test" => Some(&srv),
                _ => None,
            },
            &Registry::new(),
        );
        let have: Vec<_> = out
            .endpoints
            .iter()
            .map(|e| format!("{} {} {}", e.address, e.weight, e.priority))
            .collect();
        assert_eq!(have, ["10.0.0.1:1 1 0", "10.0.0.2:80 3 0", "[::3]:80 3 0", "10.0.0.4:9 1 -5"]);
        assert_eq!(out.unresolved, [Question::Address("gone.test".into())]);
    }

    #[test]
    fn a_new_endpoint_and_one_that_is_back_come_to_their_weight_in_time() {
        let slow = Duration::from_secs(10);
        let old = EndpointState::default();
        let begun = Instant::now();
        assert_eq!(old.share(slow, begun), 1.0);
        let state = EndpointState::starting();
        for (seconds, share) in [(0, 0.1), (1, 0.1), (5, 0.5), (9, 0.9), (10, 1.0), (99, 1.0)] {
            let now = begun + Duration::from_secs(seconds);
            let have = state.share(slow, now);
            assert!((have - share).abs() < 0.01, "{seconds} s: {have}");
        }
        old.report(Outcome::TcpFailure, 1);
        assert_eq!(old.share(slow, Instant::now()), 1.0);
        old.report(Outcome::Success, 1);
        assert_eq!(old.share(slow, Instant::now()), 0.1);
    }

    #[test]
    fn in_flight_is_counted_while_the_guard_lives() {
        let state = Arc::new(EndpointState::default());
        let (a, b) = (InFlight::new(&state), InFlight::new(&state));
        assert_eq!(state.in_flight(), 2);
        drop((a, b));
        assert_eq!(state.in_flight(), 0);
    }
}
