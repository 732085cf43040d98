//! What a plugin may reach while it runs.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ringgate_core::{Chunk, Code, ConnectionInfo, Headers, RequestHead, Span};
use ringgate_grpc::Status;
use smallvec::SmallVec;

use crate::config::plan::{Consumer, Credential, Plan, Route, Upstream};
use crate::route::{Context, Subject, UriPattern};
use crate::shard::Shard;

/// What became of an exchange, for logs and metrics. Filled while it goes on.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// When its head had come in.
    pub started: Instant,
    /// The status that the client got; 0 before there is one.
    pub status: u16,
    /// Bytes of the request's body that were read.
    pub request_bytes: u64,
    /// Bytes of the answer's body that were sent.
    pub response_bytes: u64,
    /// The node that answered, or was tried last.
    pub node: Option<SocketAddr>,
    /// The node's status.
    pub node_status: Option<u16>,
    /// From opening the stream to the node's final head, in microseconds.
    pub node_micros: u64,
    /// How many nodes were tried beyond the first.
    pub retries: u32,
    /// What each try that failed counts as, as a status.
    pub failed: Vec<u16>,
    /// What a gRPC call ended with.
    pub grpc_status: Option<Status>,
    /// Whether the answer that was begun can still end with trailers.
    pub open_ended: bool,
    /// What went wrong.
    pub fault: Option<Code>,
    /// Set when the exchange is over: its whole time in microseconds.
    pub total_micros: u64,
}

impl Outcome {
    /// Nothing yet.
    pub fn starting(started: Instant) -> Outcome {
        Outcome {
            started,
            status: 0,
            request_bytes: 0,
            response_bytes: 0,
            node: None,
            node_status: None,
            node_micros: 0,
            retries: 0,
            failed: Vec::new(),
            grpc_status: None,
            open_ended: false,
            fault: None,
            total_micros: 0,
        }
    }
}

/// A request's context: what is known of it beyond its head, and what its plugins share.
pub struct Cx<'p> {
    /// The shard that it runs on.
    pub shard: &'p Rc<Shard>,
    /// The plan that was pinned for it.
    pub plan: &'p Plan,
    /// The connection that it came on; its peer is the client that `X-Forwarded-For` names, where
    /// the real peer is trusted to tell.
    pub connection: &'p ConnectionInfo,
    /// The route that it matched.
    pub route: Option<&'p Arc<Route>>,
    /// The URI that the route was found by.
    pub matched_uri: Option<&'p UriPattern>,
    /// Where it goes, when that is not the route's own upstream.
    pub upstream: Option<&'p Arc<Upstream>>,
    /// The host that the node gets in place of the client's, where the upstream passes hosts on: a
    /// span of the request head's arena. Apart from the head, so that `$host` and
    /// `X-Forwarded-Host` go on telling what the client asked for.
    pub upstream_host: Option<Span>,
    /// Who calls, once a plugin has authenticated it.
    pub consumer: Option<&'p Arc<Consumer>>,
    /// With which of the consumer's credentials.
    pub credential: Option<&'p Credential>,
    /// Whether the client called in gRPC (not gRPC-Web): it is told of errors as gRPC tells them.
    pub grpc: bool,
    /// The request's body, where a plugin buffers it; replace it to send another.
    pub request_body: Option<Bytes>,
    /// The answer's body, where a plugin buffers it; replace it to send another.
    pub response_body: Option<Bytes>,
    /// The body of an answer that is made here and is no stream, while its response phases run.
    pub reply_body: Option<Chunk>,
    /// The trailers behind a body that was buffered; replace them to send others.
    pub response_trailers: Option<Headers>,
    /// Buffers this answer's body up to so many bytes, whatever the chains need: set before the
    /// request goes to a node, by a plugin that cannot say so for all of its requests.
    pub buffer_response: Option<usize>,
    /// What became of it so far.
    pub outcome: Outcome,
    slots: SmallVec<[(TypeId, Box<dyn Any>); 2]>,
}

impl<'p> Cx<'p> {
    /// The context of a new request.
    pub fn new(shard: &'p Rc<Shard>, plan: &'p Plan, connection: &'p ConnectionInfo) -> Cx<'p> {
        Cx {
            shard,
            plan,
            connection,
            route: None,
            matched_uri: None,
            upstream: None,
            upstream_host: None,
            consumer: None,
            credential: None,
            grpc: false,
            request_body: None,
            response_body: None,
            reply_body: None,
            response_trailers: None,
            buffer_response: None,
            outcome: Outcome::starting(shard.now()),
            slots: SmallVec::new(),
        }
    }

    /// This request's slot of a type: what a plugin keeps from one phase to the next.
    pub fn slot<T: Any + Default>(&mut self) -> &mut T {
        let id = TypeId::of::<T>();
        let index = match self.slots.iter().position(|(other, _)| *other == id) {
            Some(index) => index,
            None => {
                self.slots.push((id, Box::new(T::default())));
                self.slots.len() - 1
            }
        };
        self.slots[index].1.downcast_mut().expect("a slot holds its own type")
    }

    /// The slot of a type, where one was filled.
    pub fn peek<T: Any>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        self.slots.iter().find(|(other, _)| *other == id).and_then(|(_, slot)| slot.downcast_ref())
    }

    /// This shard's state of a plugin under a key; it outlives configuration changes.
    pub fn shard_state<T: Any>(&self, key: &str, make: impl FnOnce() -> T) -> Rc<T> {
        self.shard.plugin_state(key, make)
    }

    /// Runs a future on this shard beside the exchange (mirrors, revalidation, releases).
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        ringgate_io::spawn(future);
    }

    /// The request as variables and expressions see it.
    pub fn subject<'a>(&'a self, head: &'a RequestHead) -> Subject<'a> {
        Subject { head, connection: self.connection, extra: Some(self) }
    }
}

impl Context for Cx<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let text = |text: &str| Some(Cow::Owned(text.as_bytes().to_vec()));
        match name {
            "consumer_name" => self.consumer.and_then(|consumer| text(&consumer.username)),
            "consumer_group_id" => {
                self.consumer.and_then(|consumer| text(consumer.group_id.as_deref()?))
            }
            "route_id" => self.route.and_then(|route| text(&route.id)),
            "route_name" => self.route.and_then(|route| text(route.name.as_deref()?)),
            "service_id" => self.route.and_then(|route| text(route.service_id.as_deref()?)),
            "service_name" => self.route.and_then(|route| text(route.service_name.as_deref()?)),
            "status" => text(&self.outcome.status.to_string()),
            "upstream_addr" => text(&self.outcome.node?.to_string()),
            "balancer_ip" => text(&self.outcome.node?.ip().to_string()),
            "balancer_port" => text(&self.outcome.node?.port().to_string()),
            "grpc_status" => text(self.outcome.grpc_status?.text()),
            "upstream_status" => text(&self.outcome.node_status?.to_string()),
            _ => None,
        }
    }
}

/// A TCP, UDP or MQTT session, as plugins see it.
#[derive(Debug, Clone)]
pub struct Session {
    /// The connection that it came on.
    pub connection: Rc<ConnectionInfo>,
    /// The name that the client asked for in its TLS hello.
    pub sni: Option<String>,
}
