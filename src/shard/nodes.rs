//! The shard's connections to nodes: one pool per endpoint and way to speak to it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringgate_core::{Code, Fault, Limits, Retry, Scheme, Timeouts};
use ringgate_http1::client::{ClientConnection, Settings as Http1Settings};
use ringgate_http2::Handle;
use ringgate_http2::client::{Settings as Http2Settings, Waits};
use ringgate_io::Stream;

use super::Settings;
use super::node::{Http1Connection, NodeReader, NodeStream, NodeWriter};
use crate::config::plan::{NodeTimeouts, Upstream};
use crate::config::resources::UpstreamScheme;
use crate::exchange::{Leased, Nodes, Place, Target};
use crate::telemetry::{Counter, ShardMetrics, error_log};
use crate::tls::NodeName;
use crate::upstream::multiplex::{Multiplex, Shared, Way};
use crate::upstream::pool::{Full, Grant, Keep, Pool, PoolLimits};

/// Pools of a shard; beyond this many, empty ones are dropped first.
const POOLS_SWEEP: usize = 1024;
/// Pools of a shard at most. With `pass_host: pass` clients choose the names that TLS asks for,
/// and each name has a pool of its own.
const POOLS_MAX: usize = 8192;

/// What tells pools apart: where to, and how. Behind TLS the second is
/// [`pool_key`](crate::tls::UpstreamTls::pool_key).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct PoolKey(SocketAddr, u64);

/// HTTP/1.1 in the clear.
const HTTP1: u64 = 0;
/// HTTP/2 in the clear, with prior knowledge.
const H2C: u64 = 1;

/// The connections to one endpoint in one way.
struct NodePool {
    /// TLS, with the sessions that may be resumed.
    tls: Option<Arc<rustls::ClientConfig>>,
    connections: Connections,
}

enum Connections {
    Http1(Pool<Http1Connection>),
    /// With how long a connection without requests is kept.
    Http2(Multiplex<Handle>, Duration),
}

impl NodePool {
    fn open(&self) -> usize {
        match &self.connections {
            Connections::Http1(pool) => pool.open(),
            Connections::Http2(pool, _) => pool.open(),
        }
    }
}

impl Shared for Handle {
    fn is_usable(&self) -> bool {
        Handle::is_usable(self)
    }
    fn room(&self) -> usize {
        Handle::room(self)
    }
    fn active(&self) -> usize {
        Handle::active(self)
    }
}

/// The pools of a shard.
pub struct PooledNodes {
    /// Looked up for every request; addresses come from the configuration, not from peers.
    pools: RefCell<HashMap<PoolKey, Rc<NodePool>, foldhash::fast::RandomState>>,
    metrics: Rc<ShardMetrics>,
    open: usize,
    waiting: usize,
    shards: usize,
    descriptors: RawFd,
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
            descriptors: settings.descriptors,
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

    fn pool(&self, key: PoolKey, upstream: &Upstream) -> Result<Rc<NodePool>, Fault> {
        if let Some(pool) = self.pools.borrow().get(&key) {
            return Ok(pool.clone());
        }
        let mut pools = self.pools.borrow_mut();
        if pools.len() >= POOLS_SWEEP {
            pools.retain(|_, pool| pool.open() > 0);
        }
        if pools.len() >= POOLS_MAX {
            let detail = format!("{POOLS_MAX} pools of connections are in use");
            return Err(Fault::new(Code::Overloaded, detail).on_stream());
        }
        let limits = PoolLimits { open: self.open, waiting: self.waiting };
        let connections = if speaks_http2(upstream.scheme) {
            Connections::Http2(Multiplex::new(limits), upstream.keepalive.idle_timeout)
        } else {
            Connections::Http1(Pool::new(limits))
        };
        let tls = upstream.tls.as_ref().map(|tls| tls.config());
        let pool = Rc::new(NodePool { tls, connections });
        pools.insert(key, pool.clone());
        Ok(pool)
    }

    /// Closes idle connections that are old, or that their node has closed.
    pub fn sweep(&self, now: Instant) {
        for pool in self.pools.borrow().values() {
            match &pool.connections {
                Connections::Http1(pool) => pool.sweep(now, |connection| connection.is_stale()),
                Connections::Http2(pool, idle) => pool.sweep(now, *idle),
            }
        }
    }

    /// Idle connections.
    pub fn idle(&self) -> usize {
        let idle = |pool: &Rc<NodePool>| match &pool.connections {
            Connections::Http1(pool) => pool.idle(),
            Connections::Http2(pool, _) => pool.idle(),
        };
        self.pools.borrow().values().map(idle).sum()
    }

    /// Connects, and shakes hands where TLS is to be in between, all within `upstream_connect`.
    async fn connect(
        &self,
        within: Duration,
        address: SocketAddr,
        tls: Option<(Arc<rustls::ClientConfig>, NodeName<'_>)>,
        http2: bool,
    ) -> Result<(NodeReader, NodeWriter), Fault> {
        let begun = Instant::now();
        let stream = ringgate_io::connect(address, within).await;
        let stream: Stream = stream.map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::TimedOut => Code::ConnectTimeout,
                _ if is_exhausted(&error) => Code::Overloaded,
                _ => Code::ConnectFailed,
            };
            Fault::new(code, format!("connect to {address}: {error}")).on_stream().retry(Retry::Yes)
        })?;
        if stream.as_fd().as_raw_fd() >= self.descriptors {
            let detail = format!("connect to {address}: the descriptors that are left are kept");
            return Err(Fault::new(Code::Overloaded, detail).on_stream());
        }
        let (reader, writer) = stream.into_split();
        let Some((config, name)) = tls else {
            return Ok((NodeReader::Plain(reader), NodeWriter::Plain(writer)));
        };
        let left = within.saturating_sub(begun.elapsed());
        let connected =
            ringgate_tls::connect(reader, writer, config, name.to_server_name(), left).await?;
        if http2 && connected.handshake.alpn.as_deref() != Some(b"h2") {
            let detail = format!("{address} does not speak HTTP/2 (no h2 by ALPN)");
            return Err(Fault::new(Code::UpstreamTls, detail).on_stream().retry(Retry::Yes));
        }
        let reader = NodeReader::Tls(Box::new(connected.reader));
        Ok((reader, NodeWriter::Tls(Box::new(connected.writer))))
    }

    /// A new connection, counted.
    async fn open(
        &self,
        target: Target<'_>,
        pool: &NodePool,
        name: Option<NodeName<'_>>,
    ) -> Result<(NodeReader, NodeWriter), Fault> {
        let within = target.timeouts.connect.unwrap_or(self.timeouts.upstream_connect);
        let http2 = matches!(pool.connections, Connections::Http2(..));
        let tls = pool.tls.clone().zip(name);
        let opened = self.connect(within, target.endpoint.address, tls, http2).await;
        self.metrics
            .add(if opened.is_ok() { Counter::UpstreamOpened } else { Counter::UpstreamFailed }, 1);
        opened
    }

    fn waits(&self, timeouts: &NodeTimeouts) -> Waits {
        Waits {
            upstream_send: timeouts.send.unwrap_or(self.timeouts.upstream_send),
            upstream_read: timeouts.read.unwrap_or(self.timeouts.upstream_read),
        }
    }

    fn http1_settings(&self, timeouts: &NodeTimeouts) -> Http1Settings {
        let Waits { upstream_send, upstream_read } = self.waits(timeouts);
        Http1Settings::new(&self.bounds, upstream_send, upstream_read)
    }

    /// A connection of its own for one request.
    async fn lease_http1(
        &self,
        target: Target<'_>,
        pool: &Rc<NodePool>,
        connections: &Pool<Http1Connection>,
        name: Option<NodeName<'_>>,
    ) -> Result<Leased<NodeStream, PooledPlace>, Fault> {
        let Target { upstream, timeouts, fresh, .. } = target;
        let keep = self.keep(upstream);
        loop {
            let grant = match connections.try_take(fresh, keep.requests) {
                Some(grant) => grant,
                None => {
                    let within = timeouts.connect.unwrap_or(self.timeouts.upstream_connect);
                    let waited = connections.take(fresh, keep.requests);
                    let waited = Box::pin(ringgate_io::within(within, waited)).await;
                    waited.unwrap_or(Err(Full)).map_err(|Full| busy(target.endpoint.address))?
                }
            };
            // Whatever happens from here on, the place is free again unless a connection takes it.
            let mut place =
                PooledPlace(Taken::Http1 { pool: Some(pool.clone()), keep, requests: 0 });
            match grant {
                Grant::Reused(pooled) => {
                    let mut stream = pooled.connection;
                    if stream.is_stale() {
                        continue;
                    }
                    stream.set_settings(self.http1_settings(timeouts));
                    if let Taken::Http1 { requests, .. } = &mut place.0 {
                        *requests = pooled.requests;
                    }
                    self.metrics.add(Counter::UpstreamReused, 1);
                    return Ok(Leased { stream: NodeStream::Http1(stream), reused: true, place });
                }
                Grant::Open => {
                    let (reader, writer) = Box::pin(self.open(target, pool, name)).await?;
                    let settings = self.http1_settings(timeouts);
                    let stream = ClientConnection::new(reader, writer, settings);
                    return Ok(Leased { stream: NodeStream::Http1(stream), reused: false, place });
                }
            }
        }
    }

    /// A stream of a shared connection.
    async fn lease_http2(
        &self,
        target: Target<'_>,
        pool: &Rc<NodePool>,
        connections: &Multiplex<Handle>,
        name: Option<NodeName<'_>>,
    ) -> Result<Leased<NodeStream, PooledPlace>, Fault> {
        let way = match connections.try_take() {
            Some(way) => way,
            None => {
                let connect = target.timeouts.connect.unwrap_or(self.timeouts.upstream_connect);
                let waited = Box::pin(ringgate_io::within(connect, connections.take())).await;
                waited.unwrap_or(Err(Full)).map_err(|Full| busy(target.endpoint.address))?
            }
        };
        let handle = match way {
            Way::Shared(handle) => {
                self.metrics.add(Counter::UpstreamReused, 1);
                handle
            }
            Way::Open => {
                let opening = Opening(Some(connections));
                Box::pin(self.open_http2(target, pool, name, opening)).await?
            }
        };
        let stream = handle.stream(self.waits(target.timeouts));
        let (reused, place) = (handle.is_reused(), PooledPlace(Taken::Http2(pool.clone())));
        Ok(Leased { stream: NodeStream::Http2(stream), reused, place })
    }

    async fn open_http2(
        &self,
        target: Target<'_>,
        pool: &NodePool,
        name: Option<NodeName<'_>>,
        opening: Opening<'_>,
    ) -> Result<Handle, Fault> {
        let (reader, writer) = self.open(target, pool, name).await?;
        let scheme = if pool.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let send = self.waits(target.timeouts).upstream_send;
        let settings = Http2Settings::new(&self.bounds, scheme, send);
        let (handle, driver) = ringgate_http2::connect(reader, writer, settings).await?;
        let address = target.endpoint.address;
        ringgate_io::spawn(async move {
            if let Err(fault) = driver.run().await {
                error_log::debug(
                    "upstream",
                    fault.code.name(),
                    format_args!("connection to {address}: {}", fault.detail),
                );
            }
        });
        opening.done(handle.clone());
        Ok(handle)
    }
}

/// The right to open a connection; a next one gets it where it is dropped.
struct Opening<'p>(Option<&'p Multiplex<Handle>>);

impl Opening<'_> {
    fn done(mut self, handle: Handle) {
        if let Some(pool) = self.0.take() {
            pool.opened(handle, ringgate_io::now());
        }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.failed();
        }
    }
}

fn speaks_http2(scheme: UpstreamScheme) -> bool {
    use UpstreamScheme as S;
    matches!(scheme, S::Grpc | S::Grpcs | S::H2c | S::H2)
}

/// Whether the process is out of descriptors, ports or memory.
fn is_exhausted(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::EADDRNOTAVAIL)
    )
}

/// A place among the connections to a node, taken while one request is under way.
pub struct PooledPlace(Taken);

enum Taken {
    /// Of a connection that is the request's alone.
    Http1 {
        /// Gone once the connection is back.
        pool: Option<Rc<NodePool>>,
        /// What the upstream says of idle ones.
        keep: Keep,
        /// How many the connection has served.
        requests: u64,
    },
    /// Of a stream.
    Http2(Rc<NodePool>),
}

impl Place<NodeStream> for PooledPlace {
    fn give_back(mut self, stream: NodeStream) {
        if let Taken::Http1 { pool, keep, requests } = &mut self.0
            && let NodeStream::Http1(connection) = stream
            && let Some(pool) = pool.take()
            && let Connections::Http1(pool) = &pool.connections
        {
            pool.put(connection, *requests + 1, keep, ringgate_io::now());
        }
    }
}

impl Drop for PooledPlace {
    fn drop(&mut self) {
        match &mut self.0 {
            Taken::Http1 { pool, .. } => {
                if let Some(pool) = pool.take()
                    && let Connections::Http1(pool) = &pool.connections
                {
                    pool.closed();
                }
            }
            Taken::Http2(pool) => {
                if let Connections::Http2(pool, _) = &pool.connections {
                    pool.ended();
                }
            }
        }
    }
}

impl Nodes for PooledNodes {
    type Stream = NodeStream;
    type Place = PooledPlace;

    async fn lease(&self, target: Target<'_>) -> Result<Leased<NodeStream, PooledPlace>, Fault> {
        let Target { upstream, endpoint, .. } = target;
        let (way, name) = match &upstream.tls {
            None if speaks_http2(upstream.scheme) => (H2C, None),
            None => (HTTP1, None),
            Some(tls) => {
                let name = upstream.node_name(target.head, endpoint)?;
                (tls.pool_key(&name), Some(name))
            }
        };
        let pool = self.pool(PoolKey(endpoint.address, way), upstream)?;
        match &pool.connections {
            Connections::Http1(connections) => {
                self.lease_http1(target, &pool, connections, name).await
            }
            Connections::Http2(connections, _) => {
                Box::pin(self.lease_http2(target, &pool, connections, name)).await
            }
        }
    }
}

fn busy(address: SocketAddr) -> Fault {
    Fault::new(Code::UpstreamBusy, format!("every connection to {address} is in use")).on_stream()
}
