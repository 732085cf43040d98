//! How nodes are connected to.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use ringgate_core::{Code, Fault, RequestHead, split_authority};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{DnsName, ServerName};

use crate::config::plan::Upstream;
use crate::config::resources::PassHost;
use crate::upstream::endpoint::Endpoint;

/// Names whose sessions one [`UpstreamTls::config`] keeps.
const SESSIONS: usize = 64;

/// TLS with the nodes of an upstream. Upstreams that say the same share one.
pub struct UpstreamTls {
    /// Tells apart what is spoken and what is shown and believed: scheme, client certificate,
    /// verification. Equal for equal settings, in every plan of this process.
    pub key: u64,
    pub(super) config: ClientConfig,
    /// With a key of this process: a client that chooses the name cannot choose the hash.
    pub(super) hasher: RandomState,
}

/// The name that a node is met under: what it must prove, and the SNI where it is no address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeName<'a>(ServerName<'a>);

impl NodeName<'_> {
    /// Of a host as it is configured; [`None`]: it is no name for TLS.
    pub fn of_host(host: &str) -> Option<NodeName<'static>> {
        parse(host.as_bytes()).map(|name| NodeName(name.to_owned()))
    }

    /// As rustls takes it, for a connection that is opened.
    pub fn to_server_name(&self) -> ServerName<'static> {
        self.0.to_owned()
    }
}

impl UpstreamTls {
    /// A configuration with a store for sessions of its own: one per shard and pool, so that no
    /// shard waits for another's.
    pub fn config(&self) -> Arc<ClientConfig> {
        let mut config = self.config.clone();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Arc::new(config)
    }

    /// The same for a connection that speaks HTTP/2, whatever the upstream's requests do.
    pub fn http2_config(&self) -> Arc<ClientConfig> {
        let mut config = self.config.clone();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    /// What pools are told apart by, beside the node's address: [`UpstreamTls::key`] and the name.
    /// Costs no allocation.
    pub fn pool_key(&self, name: &NodeName<'_>) -> u64 {
        self.hasher.hash_one((self.key, name))
    }
}

impl Upstream {
    /// The name under which a request meets a node (`pass_host`): the host that the node gets,
    /// once `head` has been prepared for it; nginx's `proxy_ssl_name $upstream_host`. A client
    /// that named no host gets the node's.
    pub fn node_name<'a>(
        &'a self,
        head: &'a RequestHead,
        node: &'a Endpoint,
    ) -> Result<NodeName<'a>, Fault> {
        let host = match (self.pass_host, &self.upstream_host) {
            (PassHost::Pass, _) => head.host(),
            (PassHost::Rewrite, Some(host)) => split_authority(host.as_bytes()).0,
            (PassHost::Rewrite, None) | (PassHost::Node, _) => &[],
        };
        let host = if host.is_empty() { node.host.as_bytes() } else { host };
        parse(host).map(NodeName).ok_or_else(|| {
            let host = String::from_utf8_lossy(host);
            Fault::new(Code::UpstreamTls, format!("{host:?} is no name for TLS")).on_stream()
        })
    }
}

fn parse(host: &[u8]) -> Option<ServerName<'_>> {
    let text = std::str::from_utf8(host).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(ServerName::IpAddress(address.into()));
    }
    DnsName::try_from(text).ok().map(ServerName::DnsName)
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls").field("key", &self.key).finish_non_exhaustive()
    }
}
