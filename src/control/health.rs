//! Active health checks: once for the process, on the control side.
//!
//! [`HealthChecks::apply`] is told the upstreams of each new plan and starts, stops and updates
//! one task per endpoint; an endpoint that stays keeps its task's pace and its state. What the
//! probes find goes into the endpoint's shared word, which is what shards read when they pick,
//! so there is nothing to publish. Changes, those from passive reports included, are noticed
//! every 100 ms and told to the callback.

mod grpc;
mod probe;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use self::probe::Probe;
use crate::tls::UpstreamTls;
use crate::upstream::endpoint::{Endpoint, EndpointState};
use crate::upstream::health::{Active, CheckType, Checks, HealthState, Status};

/// Most endpoints with active checks; the rest stay as they are, with an [`Event`].
pub const TASKS_MAX: usize = 16_384;

/// Probes of the process at the same time: descriptors are for requests.
const CONCURRENT_MAX: usize = 256;

/// How often changes are looked for.
const TICK: Duration = Duration::from_millis(100);

/// An upstream of the plan.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name that its endpoint states are registered under.
    pub upstream: Arc<str>,
    /// Its endpoints; ones of weight 0 are checked too.
    pub endpoints: Vec<Endpoint>,
    /// Its checks. None, or no active ones: its endpoints are healthy.
    pub checks: Option<Arc<Checks>>,
    /// TLS that the checks meet its endpoints with, where there is any.
    pub tls: Option<Arc<UpstreamTls>>,
    /// The name that its endpoints are met under (`upstream_host`); None: their own.
    pub name: Option<Box<str>>,
}

impl Target {
    fn active(&self) -> Option<&Arc<Active>> {
        self.checks.as_ref()?.active.as_ref()
    }

    /// What tells apart how its endpoints are met.
    fn way(&self) -> (Option<u64>, Option<&str>) {
        (self.tls.as_ref().map(|tls| tls.key), self.name.as_deref())
    }
}

/// What the log should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An endpoint went from one status to another.
    Changed {
        /// Of which upstream.
        upstream: Arc<str>,
        /// Its host as configured.
        host: Arc<str>,
        /// Its address.
        address: SocketAddr,
        /// Before.
        from: Status,
        /// Now.
        to: Status,
    },
    /// An upstream's checks do not run, the passive ones included, and why. Its endpoints count
    /// as healthy.
    NotChecked {
        /// Which upstream.
        upstream: Arc<str>,
        /// Why.
        reason: &'static str,
    },
}

/// An upstream's health, for the Control API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamHealth {
    /// Its name.
    pub upstream: Arc<str>,
    /// The type of its active checks.
    pub kind: CheckType,
    /// Its endpoints.
    pub endpoints: Vec<EndpointHealth>,
}

/// An endpoint's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Its host as configured.
    pub host: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// Status and counters.
    pub health: HealthState,
}

type Key = (Arc<str>, SocketAddr);
type Log = Arc<dyn Fn(Event) + Send + Sync>;

/// The checks of all upstreams, until dropped.
pub struct HealthChecks {
    tasks: HashMap<Key, Running>,
    /// Semaphores of upstreams (`concurrency`), with the size they were made with.
    permits: HashMap<Arc<str>, (usize, Arc<Semaphore>)>,
    permits_all: Arc<Semaphore>,
    targets: HealthView,
    watched: Arc<Mutex<HashMap<Key, Watched>>>,
    log: Log,
    ticker: JoinHandle<()>,
}

struct Running {
    active: Arc<Active>,
    host: Arc<str>,
    /// [`Target::way`].
    tls: Option<u64>,
    name: Option<Box<str>>,
    state: Arc<EndpointState>,
    concurrency: Arc<Semaphore>,
    task: JoinHandle<()>,
}

struct Watched {
    host: Arc<str>,
    state: Arc<EndpointState>,
    seen: Status,
}

impl HealthChecks {
    /// Runs inside a tokio runtime.
    pub fn new(log: impl Fn(Event) + Send + Sync + 'static) -> HealthChecks {
        let log: Log = Arc::new(log);
        let watched = Arc::new(Mutex::new(HashMap::new()));
        let ticker = tokio::spawn(watch(watched.clone(), log.clone()));
        HealthChecks {
            tasks: HashMap::new(),
            permits: HashMap::new(),
            permits_all: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            targets: HealthView::default(),
            watched,
            log,
            ticker,
        }
    }

    /// Checks exactly these from now on. Upstreams without checks have their endpoints' health
    /// forgotten, so that none stays down with nobody to bring it back.
    pub fn apply(&mut self, targets: &[Target]) {
        self.targets.0.store(Arc::new(targets.to_vec()));
        let mut old_tasks = std::mem::take(&mut self.tasks);
        let mut watched = HashMap::new();
        for target in targets {
            let Some(active) = target.active() else {
                target.endpoints.iter().for_each(|endpoint| endpoint.state.forget_health());
                continue;
            };
            self.start(target, active, &mut old_tasks);
            for endpoint in &target.endpoints {
                let (host, state) = (endpoint.host.clone(), endpoint.state.clone());
                let watch = Watched { host, state, seen: Status::Healthy };
                watched.insert((target.upstream.clone(), endpoint.address), watch);
            }
        }
        old_tasks.into_values().for_each(|running| running.task.abort());
        let upstreams: HashSet<&Arc<str>> = targets.iter().map(|t| &t.upstream).collect();
        self.permits.retain(|upstream, _| upstreams.contains(upstream));
        let mut shared = lock(&self.watched);
        for (key, watch) in &mut watched {
            watch.seen = shared.get(key).map_or_else(|| watch.state.health().status, |w| w.seen);
        }
        *shared = watched;
    }

    fn start(
        &mut self,
        target: &Target,
        active: &Arc<Active>,
        old_tasks: &mut HashMap<Key, Running>,
    ) {
        let slot = self.permits.entry(target.upstream.clone());
        let fresh = || (active.concurrency, Arc::new(Semaphore::new(active.concurrency)));
        let (size, concurrency) = slot.or_insert_with(fresh);
        if *size != active.concurrency {
            (*size, *concurrency) = fresh();
        }
        for endpoint in &target.endpoints {
            let key = (target.upstream.clone(), endpoint.address);
            if self.tasks.contains_key(&key) {
                continue;
            }
            let running = match old_tasks.remove(&key) {
                Some(running)
                    if running.is(active, endpoint, concurrency)
                        && (running.tls, running.name.as_deref()) == target.way() =>
                {
                    running
                }
                old => {
                    if let Some(running) = old {
                        running.task.abort();
                    }
                    if self.tasks.len() >= TASKS_MAX {
                        let reason = "too many endpoints with active checks";
                        let upstream = target.upstream.clone();
                        return (self.log)(Event::NotChecked { upstream, reason });
                    }
                    let permits = [concurrency.clone(), self.permits_all.clone()];
                    let probe = Probe::new(active, endpoint, target);
                    let state = endpoint.state.clone();
                    Running {
                        active: active.clone(),
                        host: endpoint.host.clone(),
                        tls: target.way().0,
                        name: target.name.clone(),
                        state: state.clone(),
                        concurrency: concurrency.clone(),
                        task: tokio::spawn(check(active.clone(), probe, state, permits)),
                    }
                }
            };
            self.tasks.insert(key, running);
        }
    }

    /// A view that goes with the plan.
    pub fn view(&self) -> HealthView {
        self.targets.clone()
    }

    /// What is known now, in the plan's order.
    pub fn snapshot(&self) -> Vec<UpstreamHealth> {
        self.targets.snapshot()
    }
}

/// What is checked, for those who look only; clones see the same.
#[derive(Clone, Default)]
pub struct HealthView(Arc<ArcSwap<Vec<Target>>>);

impl HealthView {
    /// What is known now, in the plan's order.
    pub fn snapshot(&self) -> Vec<UpstreamHealth> {
        let targets = self.0.load();
        let checked = targets.iter().filter_map(|target| {
            let kind = target.active()?.kind;
            let endpoint = |endpoint: &Endpoint| EndpointHealth {
                host: endpoint.host.clone(),
                address: endpoint.address,
                health: endpoint.state.health(),
            };
            Some(UpstreamHealth {
                upstream: target.upstream.clone(),
                kind,
                endpoints: target.endpoints.iter().map(endpoint).collect(),
            })
        });
        checked.collect()
    }
}

impl Running {
    /// Whether the task does what is asked for now.
    fn is(&self, active: &Arc<Active>, endpoint: &Endpoint, concurrency: &Arc<Semaphore>) -> bool {
        self.active == *active
            && self.host == endpoint.host
            && Arc::ptr_eq(&self.state, &endpoint.state)
            && Arc::ptr_eq(&self.concurrency, concurrency)
    }
}

impl Drop for HealthChecks {
    fn drop(&mut self) {
        self.ticker.abort();
        self.tasks.values().for_each(|running| running.task.abort());
    }
}

fn lock(watched: &Mutex<HashMap<Key, Watched>>) -> MutexGuard<'_, HashMap<Key, Watched>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One endpoint's checks.
async fn check(
    active: Arc<Active>,
    probe: Probe,
    state: Arc<EndpointState>,
    permits: [Arc<Semaphore>; 2],
) {
    // Spread over the first interval, a second at most: a large plan starts no burst.
    let first = active.healthy_interval.min(Duration::from_secs(1));
    tokio::time::sleep(first.mul_f64(fastrand::f64())).await;
    loop {
        let [own, all] = &permits;
        let (Ok(own), Ok(all)) = (own.acquire().await, all.acquire().await) else { return };
        let outcome = probe.run(&active).await;
        drop((own, all));
        if let Some(outcome) = outcome {
            active.rules.report(&state, outcome);
        }
        let interval =
            if state.is_up() { active.healthy_interval } else { active.unhealthy_interval };
        tokio::time::sleep(interval.mul_f64(0.95 + fastrand::f64() / 10.0)).await;
    }
}

/// Tells what changed.
async fn watch(watched: Arc<Mutex<HashMap<Key, Watched>>>, log: Log) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut changes = Vec::new();
        for ((upstream, address), watch) in lock(&watched).iter_mut() {
            let (from, to) = (watch.seen, watch.state.health().status);
            if from != to {
                watch.seen = to;
                let (upstream, host) = (upstream.clone(), watch.host.clone());
                changes.push(Event::Changed { upstream, host, address: *address, from, to });
            }
        }
        changes.into_iter().for_each(|change| log(change));
    }
}

#[cfg(test)]
mod tests;
