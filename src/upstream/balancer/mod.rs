//! Choosing an endpoint. A [`Balancer`] is compiled with its plan and immutable; what moves is
//! in three places: the process-wide [`Cursor`] and endpoint states (shared, relaxed atomics),
//! and a [`ShardBalancer`] per shard (leased positions).
//!
//! Defined answers: no endpoint, or only ones of weight 0: none. Endpoints that are down are
//! left out (where checks run); when all are down, health is ignored and all are used, as APISIX does. Priorities
//! are groups, highest first; a lower group serves when every endpoint of the higher ones is
//! down or was tried. An endpoint is never picked twice for one request: when all that are up
//! were tried, the answer is none.

mod chash;
mod cursor;
pub mod ewma;
mod least_conn;
mod round_robin;
mod sequence;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

pub use cursor::{BLOCK_MAX, Cursor, Lease};

use self::chash::Ring;
use self::sequence::Sequence;
use super::endpoint::{ENDPOINTS_MAX, Endpoint, InFlight};
use super::health::Checks;
use super::registry::Registry;
use crate::config::resources::BalancerType;

/// The endpoints that a request was sent to already.
#[derive(Debug, Default, Clone)]
pub struct Tried(SmallVec<[u64; 2]>);

impl Tried {
    /// Leaves an endpoint out from now on.
    pub fn mark(&mut self, endpoint: usize) {
        let word = endpoint.min(ENDPOINTS_MAX - 1) / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (endpoint % 64);
    }

    /// Whether it was tried.
    pub fn contains(&self, endpoint: usize) -> bool {
        self.0.get(endpoint / 64).is_some_and(|word| word >> (endpoint % 64) & 1 == 1)
    }

    /// How many were tried.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

/// What a shard keeps for one balancer: keyed by upstream and [`Balancer::fingerprint`] by the
/// caller, so that it outlives plans that do not change the endpoints.
#[derive(Debug, Default)]
pub struct ShardBalancer {
    /// One per priority group.
    leases: SmallVec<[Lease; 1]>,
}

/// A compiled balancer.
#[derive(Debug)]
pub struct Balancer {
    kind: BalancerType,
    endpoints: Box<[Endpoint]>,
    /// Highest priority first; none is empty.
    groups: Box<[Group]>,
    fingerprint: u64,
    /// Whether checks run, so that health means something.
    checked: bool,
    /// In which a new endpoint comes to its weight.
    slow_start: Option<Duration>,
}

/// Endpoints of one priority with a weight. Policies work with indexes into `members`.
#[derive(Debug)]
struct Group {
    members: Box<[u16]>,
    weights: Box<[u32]>,
    policy: Policy,
    cursor: Arc<Cursor>,
}

#[derive(Debug)]
enum Policy {
    RoundRobin(Sequence),
    Chash(Ring),
    LeastConn,
    Ewma,
}

impl Balancer {
    /// Compiles endpoints, at most [`ENDPOINTS_MAX`] of them; their indexes are the answers of
    /// [`Balancer::pick`]. Without checks that run, health is not looked at: a late report of
    /// an older plan could not be healed.
    pub fn new(
        kind: BalancerType,
        upstream: &str,
        mut endpoints: Vec<Endpoint>,
        checks: Option<&Checks>,
        registry: &Registry,
    ) -> Balancer {
        endpoints.truncate(ENDPOINTS_MAX);
        let mut priorities: Vec<i32> =
            endpoints.iter().filter(|e| e.weight != 0).map(|e| e.priority).collect();
        priorities.sort_unstable_by(|a, b| b.cmp(a));
        priorities.dedup();
        let group = |priority: i32| {
            let (members, chosen): (Vec<u16>, Vec<&Endpoint>) = (0u16..)
                .zip(&endpoints)
                .filter(|(_, e)| e.weight != 0 && e.priority == priority)
                .unzip();
            let weights: Box<[u32]> = chosen.iter().map(|e| e.weight).collect();
            let policy = match kind {
                BalancerType::RoundRobin => Policy::RoundRobin(Sequence::new(&weights)),
                BalancerType::Chash => Policy::Chash(Ring::new(&chosen)),
                BalancerType::LeastConn => Policy::LeastConn,
                BalancerType::Ewma => Policy::Ewma,
            };
            let cursor = registry.cursor(upstream, priority);
            Group { members: members.into(), weights, policy, cursor }
        };
        let groups = priorities.into_iter().map(group).collect();
        let fingerprint = fingerprint(kind, &endpoints);
        let checked = checks.is_some_and(|checks| checks.active.is_some());
        let endpoints = endpoints.into();
        Balancer { kind, endpoints, groups, fingerprint, checked, slow_start: None }
    }

    /// The same, with endpoints that are new, or were down, coming to their weight in so long.
    /// Not for `chash`, whose keys would wander meanwhile.
    #[must_use]
    pub fn with_slow_start(mut self, slow_start: Option<Duration>) -> Balancer {
        self.slow_start = slow_start.filter(|_| self.kind != BalancerType::Chash);
        self
    }

    /// All endpoints, the ones of weight 0 included.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The policy.
    pub fn kind(&self) -> BalancerType {
        self.kind
    }

    /// Changes with the policy and the endpoints (address, weight, priority, order).
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Chooses. `hash_key` is what `chash` hashes (APISIX falls back to the client's address
    /// where `hash_on` yields nothing; that is the caller's part); the others ignore it.
    pub fn pick(
        &self,
        shard: &mut ShardBalancer,
        hash_key: Option<&[u8]>,
        tried: &Tried,
        now: Instant,
    ) -> Option<usize> {
        let up = |i: usize| self.is_up(i);
        if let Some(slow) = self.slow_start {
            // Drawn as often as its weight says, it takes its share of that.
            let warm = |i: usize| {
                let share = self.endpoints[i].state.share(slow, now);
                share >= 1.0 || fastrand::f32() < share
            };
            let choice = self.pick_among(shard, hash_key, tried, now, up, warm);
            if choice.is_some() {
                return choice;
            }
        }
        if let Some(choice) = self.pick_among(shard, hash_key, tried, now, up, |_| true) {
            return Some(choice);
        }
        let all_down = !self.groups.iter().any(|group| group.indexes().any(up));
        all_down.then(|| self.pick_among(shard, hash_key, tried, now, |_| true, |_| true))?
    }

    /// Whether an endpoint may be picked, as far as its health says.
    #[inline]
    pub fn is_up(&self, endpoint: usize) -> bool {
        !self.checked || self.endpoints[endpoint].state.is_up()
    }

    /// Those of which [`Balancer::pick`] would choose one for a request that was sent nowhere yet.
    pub fn eligible(&self) -> Vec<usize> {
        let of = |up: &dyn Fn(usize) -> bool| {
            let mut groups = self.groups.iter();
            let serving = groups.find(|group| group.indexes().any(up));
            serving.map(|group| group.indexes().filter(|i| up(*i)).collect::<Vec<_>>())
        };
        of(&|i| self.is_up(i)).or_else(|| of(&|_| true)).unwrap_or_default()
    }

    /// The endpoint that the next such request goes to, where that does not hang on what others do
    /// meanwhile: there is one only, or the key decides. Moves nothing.
    pub fn foresee(&self, hash_key: Option<&[u8]>) -> Option<usize> {
        match (self.kind, &*self.eligible()) {
            (_, [only]) => Some(*only),
            // Its position is the key's; a shard has no part in it.
            (BalancerType::Chash, _) => {
                let mut shard = ShardBalancer::default();
                self.pick(&mut shard, hash_key, &Tried::default(), Instant::now())
            }
            _ => None,
        }
    }

    /// An endpoint's latency as `ewma` sees it now.
    pub fn latency(&self, endpoint: usize) -> Duration {
        let state = self.endpoints.get(endpoint).map(|endpoint| &*endpoint.state);
        state.map_or(Duration::ZERO, |state| ewma::average(state, Instant::now()))
    }

    fn pick_among(
        &self,
        shard: &mut ShardBalancer,
        hash_key: Option<&[u8]>,
        tried: &Tried,
        now: Instant,
        up: impl Fn(usize) -> bool,
        warm: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let (at, group) = (0..).zip(&self.groups).find(|(_, group)| {
            // The first endpoint answers this nearly always.
            group.indexes().any(|i| up(i) && !tried.contains(i))
        })?;
        let global = |member: usize| usize::from(group.members[member]);
        let usable = |member: usize| {
            let endpoint = global(member);
            up(endpoint) && !tried.contains(endpoint) && warm(endpoint)
        };
        let state = |member: usize| &*self.endpoints[global(member)].state;
        let member = match &group.policy {
            Policy::RoundRobin(sequence) => {
                if shard.leases.len() <= at {
                    shard.leases.resize_with(at + 1, Lease::default);
                }
                let lease = &mut shard.leases[at];
                round_robin::pick(sequence, &group.weights, lease, &group.cursor, now, usable)
            }
            Policy::Chash(ring) => {
                ring.pick(hash_key.unwrap_or_default(), |member| up(global(member)), usable)
            }
            Policy::LeastConn => least_conn::pick(&group.weights, &group.cursor, state, usable),
            Policy::Ewma => ewma::pick(&group.weights, now, state, usable),
        };
        member.map(global)
    }

    /// Counts a request as open on an endpoint until the guard is dropped. None where the policy
    /// does not look at open requests, which spares two writes to a shared cache line.
    pub fn acquire(&self, endpoint: usize) -> Option<InFlight> {
        match self.kind {
            BalancerType::LeastConn | BalancerType::Ewma => {
                self.endpoints.get(endpoint).map(|e| InFlight::new(&e.state))
            }
            BalancerType::RoundRobin | BalancerType::Chash => None,
        }
    }

    /// Tells how long an endpoint took, connecting included; only `ewma` uses it. A try that
    /// failed should be told with its timeout, or a node that refuses quickly looks fast.
    pub fn observe(&self, endpoint: usize, latency: Duration, now: Instant) {
        if let (BalancerType::Ewma, Some(endpoint)) = (self.kind, self.endpoints.get(endpoint)) {
            ewma::observe(&endpoint.state, latency, now);
        }
    }
}

impl Group {
    fn indexes(&self) -> impl Iterator<Item = usize> + '_ {
        self.members.iter().map(|member| usize::from(*member))
    }
}

fn fingerprint(kind: BalancerType, endpoints: &[Endpoint]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind as u8).hash(&mut hasher);
    for endpoint in endpoints {
        (endpoint.address, endpoint.weight, endpoint.priority).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
