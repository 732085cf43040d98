//! The plan: configuration, compiled. Immutable; one pointer per shard; only the control side
//! builds one, and a change shares with the plan before all that it does not touch.

mod compile;
mod consumers;
mod draft;
mod protos;
mod route;
mod touched;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use compile::{CompileError, Compiler, Ingredients, OnTrial, located};
pub use consumers::{Consumer, Consumers, Credential};
pub use protos::Protos;
#[cfg(test)]
pub(crate) use protos::compile as compile_proto;
pub(super) use protos::fuzz_proto;
pub use route::Route;
pub use upstream::{HashKey, Keepalive, NodeTimeouts, Upstream};

use crate::plugin::Chain;
use crate::route::RouteTable;
use crate::tls::TlsTable;

/// All that a shard needs to serve.
#[derive(Clone, Default)]
pub struct Plan {
    /// Counts the plans of this process, from 1.
    pub generation: u64,
    /// The number of the trial that it is made for; 0: it is made to be in force.
    pub trial: u64,
    /// Which route a request takes.
    pub routes: RouteTable<Arc<Route>>,
    /// The global rules' plugins; they run before a route's, and where none matches.
    pub global: Arc<Chain>,
    /// Who may call.
    pub consumers: Arc<Consumers>,
    /// Upstreams by their id, for plugins that choose one.
    pub upstreams: Arc<BTreeMap<String, Arc<Upstream>>>,
    /// What TLS handshakes are held with.
    pub tls: Arc<TlsTable>,
}
