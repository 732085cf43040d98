//! Stream routes and protobuf definitions.

use serde::Deserialize;
use serde_json::Value;

use super::{Id, Labels, Plugins, Upstream};

/// A stream route: which connections, to which upstream.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct StreamRoute {
    #[serde(default)]
    pub id: Option<Id>,
    pub name: Option<String>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    pub remote_addr: Option<String>,
    pub server_addr: Option<String>,
    pub server_port: Option<u16>,
    pub sni: Option<String>,
    pub upstream: Option<Upstream>,
    pub upstream_id: Option<Id>,
    pub service_id: Option<Id>,
    #[serde(default)]
    pub plugins: Plugins,
    /// APISIX's xRPC.
    pub protocol: Option<Value>,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
}

/// A protobuf definition, by the id that plugins name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct Proto {
    #[serde(default)]
    pub id: Option<Id>,
    pub name: Option<String>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    pub content: String,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
}
