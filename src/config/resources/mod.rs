//! The resources in APISIX's shape, typed. What a field means and its default are APISIX's
//! (<https://apisix.apache.org/docs/apisix/admin-api/>); fields that only the gateway itself has
//! live in `ringgate: {}`.
//!
//! These types say what is accepted; whether it makes sense together is checked when the plan is
//! built. Schemas (ranges, enumerations, error texts) are in [`super::schema`].

mod consumer;
mod route;
mod ssl;
mod stream;
mod upstream;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::{Map, Value};

pub use consumer::{Consumer, Credential, PluginMetadata, PluginSet, Secret};
pub use route::{Route, RouteExtras, Service};
pub use ssl::{Ssl, SslClient, SslExtras, SslType};
pub use stream::{Proto, StreamRoute};
pub use upstream::{
    BalancerType, HashOn, KeepalivePool, NodeEntry, Nodes, PassHost, RetryBudget, Upstream,
    UpstreamExtras, UpstreamScheme, UpstreamTls,
};

/// A plugin's configuration by its name, in the order of the file.
pub type Plugins = Map<String, Value>;
/// Free labels of a resource.
pub type Labels = BTreeMap<String, String>;

/// Ids are strings; numbers are accepted as in APISIX.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        Ok(Id(text.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        Ok(Id(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
        Ok(Id(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Id, E> {
        // 1.0 is an integer to JSON schema.
        Ok(Id(format!("{number:.0}")))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
