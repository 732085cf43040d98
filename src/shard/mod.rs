//! A shard: one pinned thread with its ring, listeners, connections and pools. It shares nothing
//! with other shards but what ARCHITECTURE.md lists.

mod accept;
mod connections;
mod http;
mod merged;
mod message;
mod node;
mod nodes;
mod observe;
mod plan;
mod refused;
#[cfg(test)]
mod tests;
mod tls;
mod trial;
mod worker;

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use ringgate_core::{HeaderId, Limits, ResponseHead, Timeouts};

pub use connections::Connections;
pub use message::{Message, ShardStatus};
pub use nodes::PooledNodes;
pub use plan::PlanSlot;
pub use refused::Refused;
pub use trial::{Trial, WHOLE};
pub use worker::{AccessLogMaker, ShardHandle, ShardSpec, Worker};

use crate::config::plan::{Consumer, Plan, Route, Upstream};
use crate::plugin::Chain;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::{Counter, Load, ShardMetrics};
use crate::upstream::balancer::{ShardBalancer, Tried};
use merged::MergedChains;
use trial::TrialSlot;

/// What every shard of a process is configured with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bounds of clients and nodes.
    pub limits: Limits,
    /// Bounds of waits.
    pub timeouts: Timeouts,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted: Vec<IpNet>,
    /// Whether every answer says what the nodes answered (`X-APISIX-Upstream-Status`).
    pub show_upstream_status: bool,
    /// How many shards share the process's bounds.
    pub shards: usize,
    /// Client connections per shard.
    pub connections: usize,
    /// Descriptors from this number on are the control side's: the system gives the lowest that is
    /// free, so with one of them a connection finds the process all but out of them.
    pub descriptors: RawFd,
}

/// Keys of plugins' per-shard state.
type StateKey = (TypeId, Box<str>);
/// Entries of plugins' per-shard state; a plugin that asks for more gets state that is not kept.
const PLUGIN_STATES: usize = 65_536;

/// Series of plugins' metrics per metric and shard.
const SERIES: usize = 10_000;
/// Balancers whose positions a shard remembers.
const BALANCERS: usize = 16_384;

/// One shard's state.
pub struct Shard {
    /// From 0.
    pub index: usize,
    /// What it is configured with.
    pub settings: Settings,
    /// Its counters.
    pub metrics: Rc<ShardMetrics>,
    /// Its connections from clients.
    pub connections: Connections,
    /// Its connections to nodes.
    pub nodes: PooledNodes,
    plan: PlanSlot,
    trial: TrialSlot,
    /// Its part of balancers' state, by their fingerprints.
    balancers: RefCell<HashMap<(Arc<str>, u64), ShardBalancer>>,
    merged: RefCell<MergedChains>,
    plugin_states: RefCell<HashMap<StateKey, Rc<dyn Any>>>,
    access_log: Option<RefCell<AccessLog>>,
    date: RefCell<(u64, String)>,
}

impl Shard {
    /// A shard that serves a plan.
    pub fn new(
        index: usize,
        settings: Settings,
        plan: PlanSlot,
        access_log: Option<AccessLog>,
    ) -> Rc<Shard> {
        let metrics = Rc::new(ShardMetrics::new(index, SERIES));
        Rc::new(Shard {
            index,
            connections: Connections::new(index, settings.connections),
            nodes: PooledNodes::new(&settings, metrics.clone()),
            metrics,
            plan,
            trial: TrialSlot::default(),
            balancers: RefCell::default(),
            merged: RefCell::default(),
            plugin_states: RefCell::default(),
            access_log: access_log.map(RefCell::new),
            date: RefCell::default(),
            settings,
        })
    }

    /// The plan for a request that begins now; it stays as long as the request needs it. While
    /// there is a trial, a share of the requests gets the plan on trial.
    pub fn pin(&self) -> Rc<plan::ShardPlan> {
        match self.trial.pin() {
            None => self.plan.pin(),
            Some(plan) => plan,
        }
    }

    /// The plan in force, whatever is on trial.
    pub fn in_force(&self) -> Rc<plan::ShardPlan> {
        self.plan.pin()
    }

    /// Begins a trial, goes on with another plan, or ends it.
    pub fn try_out(&self, trial: Option<&Trial>) {
        match trial {
            Some(trial) => self.trial.begin(trial, self.index, self.plan.other(&trial.plan)),
            None => self.trial.end(),
        }
    }

    /// How many requests there were, how they ended and how long they took.
    pub fn load(&self) -> Load {
        Load { shard: self.index, all: self.metrics.tally(), arms: self.trial.arms() }
    }

    /// Serves another plan from now on.
    pub fn adopt(&self, plan: Arc<Plan>) {
        self.merged.borrow_mut().clear();
        self.plan.replace(plan);
    }

    /// Now.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Microseconds since an instant.
    pub fn micros_since(&self, start: Instant) -> u64 {
        start.elapsed().as_micros() as u64
    }

    /// Chooses a node of an upstream.
    pub fn pick(
        &self,
        upstream: &Upstream,
        hash_key: Option<&[u8]>,
        tried: &Tried,
        now: Instant,
    ) -> Option<usize> {
        let balancer = &upstream.balancer;
        if balancer.endpoints().len() == 1 && tried.count() == 0 {
            return (balancer.endpoints()[0].weight > 0).then_some(0);
        }
        let mut balancers = self.balancers.borrow_mut();
        let key = (upstream.id.clone(), balancer.fingerprint());
        if balancers.len() >= BALANCERS && !balancers.contains_key(&key) {
            // Positions begin anew, which costs one uneven round.
            balancers.clear();
        }
        balancer.pick(balancers.entry(key).or_default(), hash_key, tried, now)
    }

    /// Whether another try would come after the upstream's `retry_timeout`.
    pub fn is_late(&self, started: Instant, upstream: &Upstream) -> bool {
        upstream.retry_timeout.is_some_and(|limit| started.elapsed() >= limit)
    }

    /// Whether the upstream's budget has another retry, which is taken.
    pub fn affords_retry(&self, upstream: &Upstream) -> bool {
        let affords = upstream.retry_budget.as_ref().is_none_or(|budget| budget.retry(self.now()));
        if !affords {
            self.metrics.add(Counter::RetriesRefused, 1);
        }
        affords
    }

    /// The route's chain with a consumer's laid over it; kept for the next request.
    pub fn merged_chain(
        &self,
        generation: u64,
        route: &Arc<Route>,
        consumer: &Arc<Consumer>,
    ) -> Rc<Chain> {
        self.merged.borrow_mut().get(generation, route, consumer)
    }

    /// A plugin's state on this shard under a key; it outlives configuration changes.
    pub fn plugin_state<T: Any>(&self, key: &str, make: impl FnOnce() -> T) -> Rc<T> {
        let id = (TypeId::of::<T>(), Box::from(key));
        if let Some(state) = self.plugin_states.borrow().get(&id)
            && let Ok(state) = state.clone().downcast()
        {
            return state;
        }
        let state = Rc::new(make());
        let mut states = self.plugin_states.borrow_mut();
        if states.len() < PLUGIN_STATES {
            states.insert(id, state.clone());
        }
        state
    }

    /// Sets what every local reply carries: `Date` (RFC 9110 §6.6.1) and `Server`.
    pub fn stamp(&self, head: &mut ResponseHead) {
        let mut date = self.date.borrow_mut();
        let now = std::time::SystemTime::now();
        let seconds = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if date.0 != seconds {
            *date = (seconds, httpdate::fmt_http_date(now));
        }
        // Both values are our own text.
        let _ = head.headers.set(b"Date", date.1.as_bytes());
        if !head.headers.has(HeaderId::Server) {
            let _ = head.headers.append(b"Server", b"ringgate");
        }
    }

    /// A shard's share of a bound that holds for the process.
    pub fn share(&self, total: usize) -> usize {
        total.div_ceil(self.settings.shards)
    }

    /// How often idle connections to nodes are looked at.
    pub const SWEEP: Duration = Duration::from_secs(1);
}
