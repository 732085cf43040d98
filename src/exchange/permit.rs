//! A place in a pool.

use std::net::SocketAddr;

use super::proxy::Nodes;
use crate::config::plan::Upstream;

/// A place in a pool; given back when the try is over, with the connection or without.
pub(super) struct Permit<'t, N: Nodes> {
    nodes: &'t N,
    upstream: &'t Upstream,
    address: SocketAddr,
    requests: u64,
}

impl<'t, N: Nodes> Permit<'t, N> {
    pub(super) fn new(
        nodes: &'t N,
        upstream: &'t Upstream,
        address: SocketAddr,
        requests: u64,
    ) -> Self {
        Permit { nodes, upstream, address, requests }
    }

    pub(super) fn give_back(self, stream: Option<N::Stream>) {
        self.nodes.give_back(self.upstream, self.address, stream, self.requests);
        std::mem::forget(self);
    }
}

impl<N: Nodes> Drop for Permit<'_, N> {
    fn drop(&mut self) {
        self.nodes.give_back(self.upstream, self.address, None, self.requests);
    }
}
