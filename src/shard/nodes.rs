//! The shard's connections to nodes: one pool per endpoint and way to speak to it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use ringgate_core::{Code, Fault, Limits, Retry, Timeouts};
use ringgate_http1::client::{ClientConnection, Settings as ClientSettings};
use ringgate_io::{Reader, Writer};

use super::Settings;
use crate::config::plan::{NodeTimeouts, Upstream};
use crate::exchange::{Leased, Nodes, Place, Target};
use crate::telemetry::{Counter, ShardMetrics};
use crate::upstream::pool::{Full, Grant, Keep, Pool, PoolLimits};

/// A connection to a node.
pub(super) type NodeConnection = ClientConnection<Reader, Writer>;

/// Pools of a shard; beyond this many, empty ones are dropped first.
const POOLS_SWEEP: usize = 1024;

/// The pools of a shard.
pub struct PooledNodes {
    /// Looked up for every request; addresses come from the configuration, not from peers.
    pools: RefCell<HashMap<SocketAddr, Rc<Pool<NodeConnection>>, foldhash::fast::RandomState>>,
    metrics: Rc<ShardMetrics>,
    open: usize,
    waiting: usize,
    shards: usize,
    timeouts: Timeouts,
    bounds: Limits,
}

impl PooledNodes {
    /// No connections yet.
    pub fn new(settings: &Settings, metrics: Rc<ShardMetrics>) -> PooledNodes {
        PooledNodes {
            pools: RefCell::default(),
            metrics,
            open: settings.limits.upstream_connections.div_ceil(settings.shards),
            waiting: settings.limits.upstream_waiting.div_ceil(settings.shards),
            shards: settings.shards,
            timeouts: settings.timeouts.clone(),
            bounds: settings.limits.clone(),
        }
    }

    /// A shard's share of what the upstream keeps.
    fn keep(&self, upstream: &Upstream) -> Keep {
        let keepalive = &upstream.keepalive;
        Keep {
            idle: keepalive.size.div_ceil(self.shards),
            idle_timeout: keepalive.idle_timeout,
            requests: keepalive.requests,
        }
    }

    fn pool(&self, address: SocketAddr) -> Rc<Pool<NodeConnection>> {
        if let Some(pool) = self.pools.borrow().get(&address) {
            return pool.clone();
        }
        let mut pools = self.pools.borrow_mut();
        if pools.len() >= POOLS_SWEEP {
            pools.retain(|_, pool| pool.open() > 0);
        }
        let limits = PoolLimits { open: self.open, waiting: self.waiting };
        let pool = Rc::new(Pool::new(limits));
        pools.insert(address, pool.clone());
        pool
    }

    /// Closes idle connections that are old, or that their node has closed.
    pub fn sweep(&self, now: Instant) {
        for pool in self.pools.borrow().values() {
            pool.sweep(now, |connection| connection.is_stale());
        }
    }

    /// Idle connections.
    pub fn idle(&self) -> usize {
        self.pools.borrow().values().map(|pool| pool.idle()).sum()
    }

    async fn open(
        &self,
        timeouts: &NodeTimeouts,
        address: SocketAddr,
    ) -> Result<NodeConnection, Fault> {
        let within = timeouts.connect.unwrap_or(self.timeouts.upstream_connect);
        let stream = ringgate_io::connect(address, within).await.map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::TimedOut => Code::ConnectTimeout,
                _ if is_exhausted(&error) => Code::Overloaded,
                _ => Code::ConnectFailed,
            };
            self.metrics.add(Counter::UpstreamFailed, 1);
            Fault::new(code, format!("connect to {address}: {error}")).on_stream().retry(Retry::Yes)
        })?;
        self.metrics.add(Counter::UpstreamOpened, 1);
        let (reader, writer) = stream.into_split();
        Ok(ClientConnection::new(reader, writer, self.settings(timeouts)))
    }

    async fn wait(
        &self,
        pool: &Pool<NodeConnection>,
        timeouts: &NodeTimeouts,
        fresh: bool,
        requests: u64,
    ) -> Result<Grant<NodeConnection>, Full> {
        let within = timeouts.connect.unwrap_or(self.timeouts.upstream_connect);
        let waited = Box::pin(ringgate_io::within(within, pool.take(fresh, requests)));
        waited.await.unwrap_or(Err(Full))
    }

    fn settings(&self, timeouts: &NodeTimeouts) -> ClientSettings {
        let send = timeouts.send.unwrap_or(self.timeouts.upstream_send);
        let read = timeouts.read.unwrap_or(self.timeouts.upstream_read);
        ClientSettings::new(&self.bounds, send, read)
    }
}

/// Whether the process is out of descriptors, ports or memory.
fn is_exhausted(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::EADDRNOTAVAIL)
    )
}

/// A place in a pool, taken by a connection that is in use.
pub struct PooledPlace {
    pool: Option<Rc<Pool<NodeConnection>>>,
    keep: Keep,
    requests: u64,
}

impl Place<NodeConnection> for PooledPlace {
    fn give_back(mut self, stream: NodeConnection) {
        if let Some(pool) = self.pool.take() {
            pool.put(stream, self.requests + 1, &self.keep, ringgate_io::now());
        }
    }
}

impl Drop for PooledPlace {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.closed();
        }
    }
}

impl Nodes for PooledNodes {
    type Stream = NodeConnection;
    type Place = PooledPlace;

    async fn lease(
        &self,
        target: Target<'_>,
    ) -> Result<Leased<NodeConnection, PooledPlace>, Fault> {
        let Target { upstream, endpoint, timeouts, fresh, .. } = target;
        let address = endpoint.address;
        let pool = self.pool(address);
        let keep = self.keep(upstream);
        loop {
            let grant = match pool.try_take(fresh, keep.requests) {
                Some(grant) => grant,
                None => {
                    let waited = self.wait(&pool, timeouts, fresh, keep.requests).await;
                    waited.map_err(|Full| busy(address))?
                }
            };
            // Whatever happens from here on, the place is free again unless a connection takes it.
            let mut place = PooledPlace { pool: Some(pool.clone()), keep, requests: 0 };
            match grant {
                Grant::Reused(pooled) => {
                    let mut stream = pooled.connection;
                    if stream.is_stale() {
                        continue;
                    }
                    stream.set_settings(self.settings(timeouts));
                    place.requests = pooled.requests;
                    self.metrics.add(Counter::UpstreamReused, 1);
                    return Ok(Leased { stream, reused: true, place });
                }
                Grant::Open => {
                    let stream = Box::pin(self.open(timeouts, address)).await?;
                    return Ok(Leased { stream, reused: false, place });
                }
            }
        }
    }
}

fn busy(address: SocketAddr) -> Fault {
    Fault::new(Code::UpstreamBusy, format!("every connection to {address} is in use")).on_stream()
}
