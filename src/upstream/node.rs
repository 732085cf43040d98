//! Nodes as they are configured: APISIX's map form (`{"host:port": weight}`) and array form, and
//! `service_name` with `discovery_type: dns`. A node becomes endpoints (concrete addresses) in
//! [`super::endpoint::expand`].

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use crate::config::resources::{Nodes, UpstreamScheme};

/// Most nodes that one upstream may list.
pub const NODES_MAX: usize = 4096;

/// What the resolver is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// A, and AAAA where there is no A.
    Address(Arc<str>),
    /// SRV; a name that does not start with `_` and has no SRV falls back to A and AAAA.
    Srv(Arc<str>),
}

impl Question {
    /// The name asked for.
    pub fn name(&self) -> &str {
        match self {
            Question::Address(name) | Question::Srv(name) => name,
        }
    }
}

/// One address that a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resolved {
    /// The address.
    pub ip: IpAddr,
    /// SRV's port. None or 0: the node's.
    pub port: Option<u16>,
    /// SRV's weight. None: the node's. 0 counts as 1, as in APISIX.
    pub weight: Option<u16>,
    /// SRV's priority: lower is preferred, the opposite of a node's.
    pub priority: Option<u16>,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeAddress {
    /// A literal address.
    Ip(SocketAddr),
    /// A name to resolve, and the port.
    Name(Arc<str>, u16),
    /// An SRV name, and the port for records that give none.
    Srv(Arc<str>, u16),
}

/// One configured node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// As configured, without brackets: what `pass_host: node` sends and TLS names.
    pub host: Arc<str>,
    /// The node's port, or its scheme's.
    pub port: u16,
    /// Share of the requests. 0: never picked.
    pub weight: u32,
    /// Higher is preferred; lower ones are used when all higher ones are down or tried.
    pub priority: i32,
    /// What to connect to, or to resolve.
    pub address: NodeAddress,
}

/// Why nodes were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeError {
    /// Which node: a map key or an index.
    pub node: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}: {}", self.node, self.reason)
    }
}

impl std::error::Error for NodeError {}

/// The port of nodes that name none, as APISIX's `scheme_to_port`.
pub fn default_port(scheme: UpstreamScheme) -> Option<u16> {
    use UpstreamScheme as S;
    match scheme {
        S::Http | S::Grpc | S::H2c => Some(80),
        S::Https | S::Grpcs | S::H2 | S::H3 | S::Tls => Some(443),
        S::Tcp | S::Udp | S::Kafka => None,
    }
}

impl Node {
    /// Compiles both forms, in the order of the file.
    pub fn compile(nodes: &Nodes, scheme: UpstreamScheme) -> Result<Vec<Node>, NodeError> {
        let count = match nodes {
            Nodes::List(list) => list.len(),
            Nodes::Map(map) => map.len(),
        };
        if count > NODES_MAX {
            return Err(NodeError { node: count.to_string(), reason: "too many nodes" });
        }
        match nodes {
            Nodes::List(list) => list
                .iter()
                .map(|entry| {
                    let refuse = |reason| NodeError { node: entry.host.clone(), reason };
                    let (host, inline) = split(&entry.host).map_err(refuse)?;
                    let port = entry.port.filter(|port| *port != 0).or(inline);
                    Node::new(host, port, entry.weight, entry.priority, scheme).map_err(refuse)
                })
                .collect(),
            Nodes::Map(map) => map
                .iter()
                .map(|(key, weight)| {
                    let refuse = |reason| NodeError { node: key.clone(), reason };
                    let weight = weight_of(weight).ok_or(refuse("weight is not a count"))?;
                    let (host, port) = split(key).map_err(refuse)?;
                    Node::new(host, port, weight, 0, scheme).map_err(refuse)
                })
                .collect(),
        }
    }

    /// The node behind `service_name` with `discovery_type: dns`: `name`, resolved by SRV or by
    /// address, or `name:port`, resolved by address.
    pub fn service(name: &str, scheme: UpstreamScheme) -> Result<Node, NodeError> {
        let refuse = |reason| NodeError { node: name.to_owned(), reason };
        let (host, port) = split(name).map_err(refuse)?;
        // SRV gives ports; 80 is APISIX's answer where nothing does.
        let fallback = port.or(default_port(scheme)).unwrap_or(80);
        let mut node = Node::new(host, Some(fallback), 1, 0, scheme).map_err(refuse)?;
        if port.is_none() && matches!(node.address, NodeAddress::Name(..)) {
            node.address = NodeAddress::Srv(node.host.clone(), fallback);
        }
        Ok(node)
    }

    fn new(
        host: &str,
        port: Option<u16>,
        weight: u32,
        priority: i32,
        scheme: UpstreamScheme,
    ) -> Result<Node, &'static str> {
        let service = host.starts_with('_');
        let port = match port.or(default_port(scheme)) {
            Some(0) => return Err("port is 0"),
            Some(port) => port,
            None if service => 0,
            None => return Err("this scheme has no default port, and the node has none"),
        };
        let host: Arc<str> = host.into();
        let address = match host.parse::<IpAddr>() {
            Ok(ip) => NodeAddress::Ip(SocketAddr::new(ip, port)),
            Err(_) if !is_name(&host) => return Err("neither an address nor a host name"),
            Err(_) if service => NodeAddress::Srv(host.clone(), port),
            Err(_) => NodeAddress::Name(host.clone(), port),
        };
        Ok(Node { host, port, weight, priority, address })
    }

    /// `host:port`, with brackets around IPv6.
    pub fn key(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What must be resolved before the node can be used.
    pub fn question(&self) -> Option<Question> {
        match &self.address {
            NodeAddress::Ip(_) => None,
            NodeAddress::Name(name, _) => Some(Question::Address(name.clone())),
            NodeAddress::Srv(name, _) => Some(Question::Srv(name.clone())),
        }
    }
}

fn weight_of(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|weight| u32::try_from(weight).ok())
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, and bare IPv6.
fn split(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let port = |digits: &str| match digits.parse::<u16>() {
        Ok(port) if port != 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(port)),
        _ => Err("port is not a number from 1 to 65535"),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or("missing ]")?;
        return match tail.strip_prefix(':') {
            Some(digits) => Ok((host, port(digits)?)),
            None if tail.is_empty() => Ok((host, None)),
            None => Err("text after ]"),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((_, rest)) if rest.contains(':') => Ok((text, None)),
        Some((host, digits)) => Ok((host, port(digits)?)),
    }
}

/// A host name that may be looked up: no byte that could end up elsewhere in a request head.
fn is_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(nodes: Value, scheme: UpstreamScheme) -> Result<Vec<Node>, NodeError> {
        Node::compile(&serde_json::from_value(nodes).unwrap(), scheme)
    }

    #[test]
    fn the_map_form_keeps_order_ports_and_ipv6() {
        let nodes = compile(
            json!({"b.test:81": 2, "10.0.0.1": 1, "[::1]:82": 0, "b.test:82": 3, "::2": 1}),
            UpstreamScheme::Http,
        )
        .unwrap();
        let keys: Vec<_> = nodes.iter().map(|n| (n.key(), n.weight)).collect();
        let want = [("b.test:81", 2), ("10.0.0.1:80", 1), ("[::1]:82", 0), ("b.test:82", 3)];
        for (have, want) in keys.iter().zip(want) {
            assert_eq!((have.0.as_str(), have.1), want);
        }
        assert_eq!(nodes[4].address, NodeAddress::Ip("[::2]:80".parse().unwrap()));
        assert_eq!(nodes[0].question(), Some(Question::Address("b.test".into())));
    }

    #[test]
    fn the_array_form_takes_the_schemes_port_and_priorities() {
        let nodes = compile(
            json!([{"host": "a", "weight": 1, "priority": -1}, {"host": "::1", "port": 9, "weight": 1},
                   {"host": "_http._tcp.a.test", "weight": 1}]),
            UpstreamScheme::Https,
        )
        .unwrap();
        assert_eq!((nodes[0].port, nodes[0].priority), (443, -1));
        assert_eq!(nodes[1].key(), "[::1]:9");
        assert_eq!(nodes[2].address, NodeAddress::Srv("_http._tcp.a.test".into(), 443));
    }

    #[test]
    fn what_cannot_be_a_node_is_refused_with_its_name() {
        for bad in [
            json!({"a:0": 1}),
            json!({"a:x": 1}),
            json!({"a b:1": 1}),
            json!({"a:1": -1}),
            json!({":1": 1}),
            json!({"[::1:1": 1}),
        ] {
            assert!(compile(bad.clone(), UpstreamScheme::Http).is_err(), "{bad}");
        }
        let error = compile(json!({"a": 1}), UpstreamScheme::Tcp).unwrap_err();
        assert!(error.to_string().starts_with("node a: this scheme"));
    }

    #[test]
    fn a_service_name_asks_for_srv_unless_it_has_a_port() {
        let node = Node::service("web.service.consul", UpstreamScheme::Http).unwrap();
        assert_eq!(node.question(), Some(Question::Srv("web.service.consul".into())));
        let node = Node::service("web:1980", UpstreamScheme::Http).unwrap();
        assert_eq!(node.address, NodeAddress::Name("web".into(), 1980));
    }
}
