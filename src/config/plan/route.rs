//! A compiled route.

use std::sync::Arc;
use std::time::Duration;

use super::{NodeTimeouts, Upstream};
use crate::plugin::Chain;

/// Where a request goes and what happens to it on the way.
pub struct Route {
    /// Its id.
    pub id: Arc<str>,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// The service that it belongs to.
    pub service_id: Option<Arc<str>>,
    /// That one's name.
    pub service_name: Option<Arc<str>>,
    /// The URI patterns, as configured; for metrics.
    pub uris: Box<[Box<str>]>,
    /// The host patterns, as configured; for metrics.
    pub hosts: Box<[Box<str>]>,
    /// Its plugins, with those of its service and plugin config.
    pub chain: Chain,
    /// Its nodes; [`None`]: its plugins must answer.
    pub upstream: Option<Arc<Upstream>>,
    /// Whether it names a service that there is not: it answers 404, whatever else it has.
    pub serviceless: bool,
    /// Bounds of waits on its nodes.
    pub timeouts: NodeTimeouts,
    /// Whether clients may switch to WebSocket.
    pub websocket: bool,
    /// Whether `Via` is added.
    pub via: bool,
    /// How long one try may take; [`None`]: as long as bytes come.
    pub per_try_timeout: Option<Duration>,
}
