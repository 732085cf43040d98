//! Routes and services.

use serde::Deserialize;
use serde_json::Value;

use super::{Id, Labels, Plugins, Timeout, Upstream, enabled};

/// A route: which requests, through which plugins, to which upstream.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct Route {
    #[serde(default)]
    pub id: Option<Id>,
    pub name: Option<String>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    pub uri: Option<String>,
    pub uris: Option<Vec<String>>,
    pub host: Option<String>,
    pub hosts: Option<Vec<String>>,
    pub remote_addr: Option<String>,
    pub remote_addrs: Option<Vec<String>>,
    pub methods: Option<Vec<String>>,
    #[serde(default)]
    pub priority: i64,
    /// Nested lists; compiled by `route::expr`.
    pub vars: Option<Value>,
    /// Lua in APISIX; here an expression.
    pub filter_func: Option<String>,
    #[serde(default)]
    pub plugins: Plugins,
    pub plugin_config_id: Option<Id>,
    pub script: Option<Value>,
    pub script_id: Option<Id>,
    pub upstream: Option<Upstream>,
    pub upstream_id: Option<Id>,
    pub service_id: Option<Id>,
    pub service_protocol: Option<String>,
    pub timeout: Option<Timeout>,
    pub enable_websocket: Option<bool>,
    #[serde(default = "enabled")]
    pub status: u8,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
    pub ringgate: Option<RouteExtras>,
}

/// What only this gateway knows of a route.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteExtras {
    /// Seconds that one try may take, retries not counted together.
    pub per_try_timeout: Option<f64>,
    /// Whether `Via` is added to requests and answers.
    pub via: Option<bool>,
    /// Whether `Alt-Svc` announces HTTP/3.
    pub alt_svc: Option<bool>,
}

/// A service: what several routes share.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct Service {
    #[serde(default)]
    pub id: Option<Id>,
    pub name: Option<String>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    pub hosts: Option<Vec<String>>,
    #[serde(default)]
    pub plugins: Plugins,
    pub script: Option<Value>,
    pub upstream: Option<Upstream>,
    pub upstream_id: Option<Id>,
    pub enable_websocket: Option<bool>,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
}
