//! The plugin seam: what a plugin is, when it runs and what it may do.
//!
//! A plugin is one file in [`crate::plugins`] and one line in its registry. It sees heads, body
//! frames and a [`Cx`], never a socket. Phases run in this order, each over the chain sorted by
//! priority (higher first), global rules before the route's:
//!
//! ```text
//! rewrite ── (consumer's chain merged) ── access ── before_proxy ── frame(Request) … upstream
//!                                                                        │
//! log ── frame(Response) … ── response ◄─────────────── answer or local reply
//! ```

mod chain;
mod check;
mod cx;
mod identity;
mod reference;
mod reply;
mod schema;
mod session;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;

use ringgate_core::{Fault, Frame, RequestHead, ResponseHead};
use serde_json::Value;
use smallvec::SmallVec;

use crate::config::plan::Consumers;
use crate::route::Subject;

pub(crate) use chain::Phase;
pub use chain::{Chain, Instance, Layer, Meta};
pub use check::field_checks;
pub use cx::{Cx, Outcome, Session};
pub use identity::{Identity, attach_consumer, strip_identity};
pub use reference::{Environment, has_reference, resolved};
pub use reply::{Reply, ReplyBody, Source};
pub use schema::{BuildCx, ConfigError, Registry, Schemas};
pub use session::run_sessions;

/// Where a plugin may be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// On HTTP routes, services, global rules and consumers.
    Http,
    /// The same, and it tells who the consumer is; its configuration on a consumer is a credential.
    Auth,
    /// On stream routes.
    Stream,
}

/// The kind of a plugin: one static per file.
pub trait PluginKind: Sync {
    /// Its name, as in APISIX: the configuration's key.
    fn name(&self) -> &'static str;
    /// Higher runs earlier; APISIX's number.
    fn priority(&self) -> i32;
    /// Where it may be configured.
    fn scope(&self) -> Scope {
        Scope::Http
    }
    /// What its configuration looks like.
    fn schemas(&self) -> &'static Schemas;
    /// For [`Scope::Auth`]: what a consumer's configuration is found by when a request presents
    /// it (a key, a user name).
    fn credential_key(&self, _conf: &Value) -> Option<String> {
        None
    }
    /// Compiles a configuration that its schema has accepted.
    fn build(&self, conf: &Value, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError>;
}

/// How much of a body a plugin wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum BodyNeed {
    /// Nothing: frames pass by.
    #[default]
    None,
    /// Frame by frame, through [`Plugin::frame`]. A plugin that changes the length sets the head's
    /// `body` to [`BodyLength::Unknown`](ringgate_core::BodyLength) before the head goes.
    Stream,
    /// The whole, up to so many bytes, before `access` (a request's) or `response` (an answer's).
    Buffer(usize),
}

/// The phases that a plugin takes part in; a chain calls only these.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// [`Plugin::rewrite`]
    pub rewrite: bool,
    /// [`Plugin::access`]
    pub access: bool,
    /// [`Plugin::before_proxy`]
    pub before_proxy: bool,
    /// [`Plugin::response`]
    pub response: bool,
    /// [`Plugin::log`]
    pub log: bool,
    /// [`Plugin::session`]
    pub session: bool,
    /// The request's body.
    pub request_body: BodyNeed,
    /// The answer's body.
    pub response_body: BodyNeed,
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the node.
    Request,
    /// From the node, or a local reply, to the client.
    Response,
}

/// Where a plugin puts the frames that go on.
pub type Out = SmallVec<[Frame; 2]>;

/// A future on one shard.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a waiting plugin decided.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // `Next` only writes its tag; replies are the rare case
pub enum Verdict {
    /// On to the next plugin.
    Next,
    /// The exchange is answered here.
    Reply(Reply),
}

/// What a plugin decided. The synchronous cases allocate nothing.
#[allow(clippy::large_enum_variant)] // `Next` only writes its tag; replies are the rare case
pub enum Step<'a> {
    /// On to the next plugin.
    Next,
    /// The exchange is answered here. In `response` it replaces the answer; in `frame` and
    /// `log`, where the head has gone already, it ends the exchange with a reset.
    Reply(Reply),
    /// It has to wait.
    Wait(LocalBoxFuture<'a, Result<Verdict, Fault>>),
}

impl Step<'_> {
    /// The decision, once it is there.
    pub async fn settle(self) -> Result<Verdict, Fault> {
        match self {
            Step::Next => Ok(Verdict::Next),
            Step::Reply(reply) => Ok(Verdict::Reply(reply)),
            Step::Wait(future) => future.await,
        }
    }
}

/// A compiled plugin: immutable, one per configuration object, shared by all shards.
#[allow(unused_variables)]
pub trait Plugin: Send + Sync {
    /// The phases and bodies it takes part in.
    fn needs(&self) -> Needs;

    /// First look at the request; authentication is here.
    fn rewrite<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        Step::Next
    }

    /// After the consumer's chain was merged: limits, permissions.
    fn access<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        Step::Next
    }

    /// The request is about to go to a node.
    fn before_proxy<'a>(&'a self, rq: &'a mut RequestHead, cx: &'a mut Cx<'_>) -> Step<'a> {
        Step::Next
    }

    /// The answer's head, local replies' too. `rq` is the request as it went on, or as it was when
    /// it was answered here. Where [`Cx::response_body`] is set behind it, that becomes the body,
    /// whether or not one was buffered.
    fn response<'a>(
        &'a self,
        rq: &'a RequestHead,
        rs: &'a mut ResponseHead,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        Step::Next
    }

    /// A frame of a body: put on `out` what goes on; keep it, emit many, or wait.
    fn frame<'a>(
        &'a self,
        direction: Direction,
        frame: Frame,
        out: &'a mut Out,
        cx: &'a mut Cx<'_>,
    ) -> Step<'a> {
        out.push(frame);
        Step::Next
    }

    /// A TCP, UDP or MQTT session begins.
    fn session<'a>(&'a self, session: &'a mut Session, cx: &'a mut Cx<'_>) -> Step<'a> {
        Step::Next
    }

    /// Who the request says that it is, where that can be told from the request and the plan alone.
    /// For explanations: nothing is counted and nothing changes.
    fn identify<'c>(&self, subject: &Subject<'_>, consumers: &'c Consumers) -> Identity<'c> {
        Identity::Unknown
    }

    /// The exchange is over, whatever became of it.
    fn log(&self, rq: &RequestHead, cx: &Cx<'_>) {}
}
