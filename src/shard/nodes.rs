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
use crate::exchange::{Leased, Nodes};
use crate::telemetry::{Counter, ShardMetrics};
use crate::upstream::pool::{Full, Grant, Keep, Pool, PoolLimits};

/// A connection to a node.
pub(super) type NodeConnection = ClientConnection<Reader, Writer>;

/// Pools of a shard; beyond this many, empty ones are dropped first.
const POOLS_SWEEP: usize = 1024;

/// The pools of a shard.
pub struct PooledNodes {
    pools: RefCell<HashMap<SocketAddr, Rc<Pool<NodeConnection>>>>,
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

/// A right to open a connection, given back where it does not come up.
struct Right<'p> {
    pool: &'p Pool<NodeConnection>,
    used: bool,
}

impl Drop for Right<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.pool.closed();
        }
    }
}

impl Nodes for PooledNodes {
    type Stream = NodeConnection;

    async fn lease(
        &self,
        upstream: &Upstream,
        timeouts: &NodeTimeouts,
        address: SocketAddr,
        fresh: bool,
    ) -> Result<Leased<NodeConnection>, Fault> {
        let pool = self.pool(address);
        let requests = upstream.keepalive.requests;
        let wait = timeouts.connect.unwrap_or(self.timeouts.upstream_connect);
        loop {
            let grant = match pool.try_take(fresh, requests) {
                Some(grant) => grant,
                None => ringgate_io::within(wait, pool.take(fresh, requests))
                    .await
                    .unwrap_or(Err(Full))
                    .map_err(|Full| busy(address))?,
            };
            match grant {
                Grant::Reused(pooled) => {
                    let mut stream = pooled.connection;
                    if stream.is_stale() {
                        pool.closed();
                        continue;
                    }
                    stream.set_settings(self.settings(timeouts));
                    self.metrics.add(Counter::UpstreamReused, 1);
                    return Ok(Leased { stream, reused: true, requests: pooled.requests });
                }
                Grant::Open => {
                    let mut right = Right { pool: &pool, used: false };
                    let stream = self.open(timeouts, address).await?;
                    right.used = true;
                    return Ok(Leased { stream, reused: false, requests: 0 });
                }
            }
        }
    }

    fn give_back(
        &self,
        upstream: &Upstream,
        address: SocketAddr,
        stream: Option<NodeConnection>,
        requests: u64,
    ) {
        let pool = self.pool(address);
        match stream {
            Some(stream) => pool.put(stream, requests + 1, &self.keep(upstream), Instant::now()),
            None => pool.closed(),
        }
    }
}

fn busy(address: SocketAddr) -> Fault {
    Fault::new(Code::UpstreamBusy, format!("every connection to {address} is in use")).on_stream()
}
