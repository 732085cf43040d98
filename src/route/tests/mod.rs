//! Tests of routing.

mod explain;
mod expr;
mod oracle;
mod pattern;
mod table;
mod variable;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use ringgate_core::{ConnectionInfo, Method, RequestHead, Scheme, Version};
use serde_json::Value;

use super::{Context, RouteError, RouteSpec, Subject};
use crate::config::resources::Route;

pub(super) fn compile(route: Value) -> Result<RouteSpec, RouteError> {
    let route: Route = serde_json::from_value(route).unwrap();
    let id = route.id.as_ref().map_or("", |id| &id.0);
    RouteSpec::compile(id, &route, None)
}

pub(super) fn spec(route: Value) -> Arc<RouteSpec> {
    Arc::new(compile(route).unwrap())
}

/// A request and the connection it came on.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) head: RequestHead,
    pub(super) connection: ConnectionInfo,
}

impl Request {
    /// `GET`, `http://`, from 127.0.0.1:40000 to 10.0.0.1:9080. The path is taken as it is.
    pub(super) fn new(host: &str, target: &str) -> Request {
        let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Http);
        let span = head.headers.intern(target.as_bytes());
        head.set_target(span);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes())),
            None => (target, None),
        };
        head.set_path(path.as_bytes());
        head.set_query(query);
        head.set_authority(host.as_bytes());
        let peer: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        let local: SocketAddr = "10.0.0.1:9080".parse().unwrap();
        Request { head, connection: ConnectionInfo { peer, local, tls: None, id: 1 } }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Request {
        self.head.headers.append(name.as_bytes(), value.as_bytes()).unwrap();
        self
    }

    pub(super) fn method(mut self, name: &str) -> Request {
        self.head.set_method(name.as_bytes());
        self
    }

    pub(super) fn from(mut self, peer: &str) -> Request {
        self.connection.peer = peer.parse().unwrap();
        self
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        Subject::new(&self.head, &self.connection)
    }
}

/// A consumer, and a GraphQL query's fields.
pub(super) struct Extra;

impl Context for Extra {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (name == "consumer_name").then_some(Cow::Borrowed(b"jack"))
    }

    fn list_has(&self, name: &str, item: &[u8]) -> bool {
        name == "graphql_root_fields" && (item == b"repo" || item == b"owner")
    }
}
