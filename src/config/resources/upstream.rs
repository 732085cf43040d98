//! Upstreams: nodes and how to reach them.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Id, Labels, Timeout};

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
#[derive(Debug, Clone, PartialEq)]
pub enum Nodes {
    /// Array form.
    List(Vec<NodeEntry>),
    /// Map form, in the order of the file.
    Map(Map<String, Value>),
}

impl Nodes {
    /// The nodes in array form. What is no node is left out; a checked file has none.
    pub fn entries(&self) -> Vec<NodeEntry> {
        match self {
            Nodes::List(list) => list.clone(),
            Nodes::Map(map) => map
                .iter()
                .filter_map(|(address, weight)| {
                    let (host, port) = crate::config::split_address(address).ok()?;
                    Some(NodeEntry {
                        host: host.to_string(),
                        port,
                        weight: weight.as_u64().and_then(|weight| weight.try_into().ok())?,
                        priority: 0,
                        metadata: None,
                    })
                })
                .collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nodes, D::Error> {
        deserializer.deserialize_any(NodesVisitor)
    }
}

struct NodesVisitor;

impl<'de> Visitor<'de> for NodesVisitor {
    type Value = Nodes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of host:port to weight or a list of nodes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Nodes, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(Nodes::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Nodes, A::Error> {
        Map::deserialize(MapAccessDeserializer::new(entries)).map(Nodes::Map)
    }
}

/// Keep-alive pool of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
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
    pub tls: Option<UpstreamTls>,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
    pub ringgate: Option<UpstreamExtras>,
}

/// What nodes are shown and whether they are verified.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[allow(missing_docs)] // APISIX's names
pub struct UpstreamTls {
    pub client_cert_id: Option<Id>,
    pub client_cert: Option<String>,
    pub client_key: Option<String>,
    #[serde(default)]
    pub verify: bool,
}

/// Without the key.
impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls")
            .field("client_cert_id", &self.client_cert_id)
            .field("client_cert", &self.client_cert.is_some())
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

/// What only this gateway knows of an upstream.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamExtras {
    /// Seconds in which a new node comes to its full weight.
    pub slow_start: Option<f64>,
    /// How many requests may be retries.
    pub retry_budget: Option<RetryBudget>,
    /// Whether sessions with a node end when it is removed.
    pub kill_on_remove: Option<bool>,
    /// Version of the PROXY header that nodes get.
    pub proxy_protocol: Option<u8>,
    /// The certificates that nodes must come from with `tls.verify`, in place of the system's.
    pub ca: Option<String>,
}

/// How many requests may be retries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryBudget {
    /// Their share of all requests.
    pub ratio: Option<f64>,
    /// As many a second may always be.
    pub min_per_second: Option<u32>,
}
