//! The resources in APISIX's shape, typed. What a field means and its default are APISIX's
//! (<https://apisix.apache.org/docs/apisix/admin-api/>); fields that only the gateway itself has
//! live in `ringgate: {}`.
//!
//! These types say what is accepted; whether it makes sense together is checked when the plan is
//! built. Schemas (ranges, enumerations, error texts) are in [`super::schema`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A plugin's configuration by its name, in the order of the file.
pub type Plugins = Map<String, Value>;
/// Free labels of a resource.
pub type Labels = BTreeMap<String, String>;

/// Ids are strings; numbers are accepted as in APISIX.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(from = "RawId")]
pub struct Id(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum RawId {
    Text(String),
    Number(u64),
}

impl From<RawId> for Id {
    fn from(raw: RawId) -> Id {
        match raw {
            RawId::Text(text) => Id(text),
            RawId::Number(number) => Id(number.to_string()),
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Waits on an upstream, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeout {
    /// Connecting.
    pub connect: Option<f64>,
    /// Between two writes.
    pub send: Option<f64>,
    /// Between two reads.
    pub read: Option<f64>,
}

/// `status` of routes and ssls: 1 enabled (default), 0 disabled.
fn enabled() -> u8 {
    1
}

/// A route: which requests, through which plugins, to which upstream.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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

/// How nodes are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // APISIX's names
pub enum BalancerType {
    #[default]
    #[serde(rename = "roundrobin")]
    RoundRobin,
    Chash,
    LeastConn,
    Ewma,
}

/// What `chash` hashes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // APISIX's names
pub enum HashOn {
    #[default]
    Vars,
    Header,
    Cookie,
    Consumer,
    VarsCombinations,
}

/// Which `Host` the node gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassHost {
    /// The client's.
    #[default]
    Pass,
    /// The node's name.
    Node,
    /// `upstream_host`.
    Rewrite,
}

/// The protocol that a node speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // APISIX's names, and h2c, h2, h3
pub enum UpstreamScheme {
    #[default]
    Http,
    Https,
    Grpc,
    Grpcs,
    Tcp,
    Udp,
    Tls,
    Kafka,
    H2c,
    H2,
    H3,
}

/// One node in array form.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct NodeEntry {
    pub host: String,
    pub port: Option<u16>,
    pub weight: u32,
    #[serde(default)]
    pub priority: i32,
    pub metadata: Option<Map<String, Value>>,
}

/// The nodes: `{"host:port": weight}` or a list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Nodes {
    /// Array form.
    List(Vec<NodeEntry>),
    /// Map form, in the order of the file.
    Map(Map<String, Value>),
}

/// Keep-alive pool of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepalivePool {
    /// Idle connections kept, over all shards. Default 320.
    pub size: Option<u32>,
    /// Seconds that an idle connection is kept. Default 60.
    pub idle_timeout: Option<f64>,
    /// Requests on one connection. Default 1000.
    pub requests: Option<u64>,
}

/// An upstream: nodes and how to reach them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct Upstream {
    #[serde(default)]
    pub id: Option<Id>,
    pub name: Option<String>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    #[serde(default, rename = "type")]
    pub kind: BalancerType,
    pub nodes: Option<Nodes>,
    pub service_name: Option<String>,
    pub discovery_type: Option<String>,
    pub discovery_args: Option<Map<String, Value>>,
    #[serde(default)]
    pub hash_on: HashOn,
    pub key: Option<String>,
    pub checks: Option<Value>,
    pub retries: Option<u32>,
    pub retry_timeout: Option<f64>,
    pub timeout: Option<Timeout>,
    #[serde(default)]
    pub scheme: UpstreamScheme,
    #[serde(default)]
    pub pass_host: PassHost,
    pub upstream_host: Option<String>,
    pub keepalive_pool: Option<KeepalivePool>,
    pub tls: Option<Value>,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
}

/// A consumer: who may call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct Consumer {
    pub username: String,
    pub group_id: Option<Id>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    #[serde(default)]
    pub plugins: Plugins,
    /// Inline form of `/consumers/NAME/credentials` for files.
    #[serde(default)]
    pub credentials: Vec<Credential>,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
}

/// One of a consumer's credentials.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct Credential {
    #[serde(default)]
    pub id: Option<Id>,
    pub name: Option<String>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    #[serde(default)]
    pub plugins: Plugins,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
}

/// Plugins by an id: consumer groups, plugin configs, global rules.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct PluginSet {
    #[serde(default)]
    pub id: Option<Id>,
    pub name: Option<String>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    pub plugins: Plugins,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
}
