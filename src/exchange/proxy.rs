//! From the chosen upstream to the answer's last byte: picks nodes, tries again where that is
//! safe, and moves both bodies.

use std::borrow::Cow;
use std::cell::Cell;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringgate_core::{
    Answer, BodyLength, Code, Fault, Receive, RequestHead, Respond, ResponseHead, Retry, Side,
    Transmit, Upstream as Stream, boxed,
};

use super::body::{LocalBody, collect};
use super::phases::{self, Chains};
use super::pump::{self, Moved};
use super::select::both;
use super::serve::Request;
use super::tunnel::tunnel;
use super::turn::Turns;
use super::{First, answer, first, forward, upgrade, upstream_status};
use crate::config::plan::{NodeTimeouts, Route, Upstream};
use crate::plugin::{Cx, Direction};
use crate::upstream::balancer::Tried;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::{self, Passive};

/// What a failed try counts as in latencies, at least.
const FAILURE_COST: Duration = Duration::from_secs(1);

/// Bytes of a replaced body that are read so that the connection can serve again.
const DRAINED_MAX: u64 = 64 * 1024;

/// A way to a node that can send one request now.
pub struct Leased<U, P> {
    /// A connection or a stream of one.
    pub stream: U,
    /// Whether it had served before: the node may be closing it at this moment.
    pub reused: bool,
    /// Where it goes back to. Dropped: it is gone.
    pub place: P,
}

/// Where a request goes, as far as a connection has to know.
#[derive(Clone, Copy)]
pub struct Target<'t> {
    /// The upstream: protocol, bounds of its pool, TLS.
    pub upstream: &'t Upstream,
    /// The endpoint of it that was picked.
    pub endpoint: &'t Endpoint,
    /// The request, as the node gets it.
    pub head: &'t RequestHead,
    /// Bounds of waits.
    pub timeouts: &'t NodeTimeouts,
    /// Connections that have served are passed over.
    pub fresh: bool,
}

/// The way to nodes: pools of connections on a shard, synthetic ones in tests.
#[allow(async_fn_in_trait)] // one thread: no future here is ever Send
pub trait Nodes {
    /// One way to send a request.
    type Stream: Stream;
    /// Takes a stream back that can serve again.
    type Place: Place<Self::Stream>;

    /// A connection from the pool, a stream of one, or a new one.
    async fn lease(&self, target: Target<'_>) -> Result<Leased<Self::Stream, Self::Place>, Fault>;
}

/// A place among the connections to a node, taken until it is dropped.
pub trait Place<U> {
    /// Keeps the stream for the next request.
    fn give_back(self, stream: U);
}

/// The body that goes to the node.
pub(super) enum RequestBody<R> {
    /// As the client sends it; can be sent once.
    Stream(R),
    /// Buffered; can be sent again.
    Whole(Bytes),
}

/// What one try may still do to the client.
#[derive(Default)]
struct Progress {
    /// Bytes of the request's body were taken from the client.
    body_begun: Cell<bool>,
    /// The client got a final head.
    answered: Cell<bool>,
}

/// Proxies a request that has passed its plugins.
pub(super) async fn run<'p, R: Receive, S: Respond, N: Nodes>(
    request: &mut Request<'_, R>,
    client: &mut S,
    nodes: &N,
    chains: Chains<'_>,
    cx: &mut Cx<'p>,
) -> Result<(), Fault> {
    let route = cx.route.expect("requests without a route are answered before");
    let Some(upstream): Option<&'p Upstream> =
        cx.upstream.or(route.upstream.as_ref()).map(|u| &**u)
    else {
        let fault = match route.serviceless {
            true => Fault::new(Code::NoService, "the route's service does not exist"),
            false => Fault::new(Code::NoNode, "the route has no upstream"),
        };
        return Err(fault.on_stream());
    };
    upgrade::restrict(request.head, route.websocket);
    let shard = cx.shard;
    forward::request_head(
        request.head,
        request.peer,
        cx.connection,
        &shard.settings.trusted,
        route.via,
    );
    let consumer = cx.consumer.map(|consumer| &*consumer.username);
    let hash_key = upstream.hash_key(&cx.subject(request.head), consumer).map(Cow::into_owned);
    if let Some(budget) = &upstream.retry_budget {
        budget.request();
    }
    let mut tried = Tried::default();
    let mut stale_retries = 0;
    let mut last = None;
    loop {
        let now = shard.now();
        let Some(node) = shard.pick(upstream, hash_key.as_deref(), &tried, now) else {
            // With every node tried, what the last of them did is the answer.
            return Err(last.unwrap_or_else(|| no_node(upstream)));
        };
        let endpoint = upstream.endpoint(node);
        forward::host(request.head, upstream, endpoint, cx.upstream_host);
        cx.outcome.node = Some(endpoint.address);
        let progress = Progress::default();
        let fresh = stale_retries > 0;
        let attempt = Attempt { upstream, route, node, fresh, progress: &progress };
        let fault = match attempt.run(request, client, nodes, chains, cx).await {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        let again = may_retry(&fault, request, &progress);
        if again && fault.retry == Retry::ReusedConnection && stale_retries < STALE_RETRIES {
            // The pooled connection had ended; the node itself is not to blame.
            stale_retries += 1;
            continue;
        }
        attempt.failed(&fault, now);
        if fault.side() == Side::Upstream {
            cx.outcome.failed.extend(answer::status(fault.code));
        }
        tried.mark(node);
        cx.outcome.retries += 1;
        if !again
            || cx.outcome.retries > upstream.retries
            || shard.is_late(cx.outcome.started, upstream)
            || !shard.affords_retry(upstream)
        {
            return Err(fault);
        }
        shard.retrying(&fault, request.head, cx);
        last = Some(fault);
    }
}

/// Tries after pooled connections that had ended, before the node is held to have failed.
const STALE_RETRIES: u32 = 2;

fn no_node(upstream: &Upstream) -> Fault {
    Fault::new(Code::NoNode, format!("upstream {} has no usable node", upstream.id)).on_stream()
}

/// Whether the request may be sent once more: nothing of it can have been acted on, or acting on
/// it twice does no harm; and all of it is still here.
fn may_retry<R>(fault: &Fault, request: &Request<'_, R>, progress: &Progress) -> bool {
    let whole = matches!(request.body, RequestBody::Whole(_)) || !progress.body_begun.get();
    let harmless = match fault.retry {
        Retry::Yes => true,
        Retry::ReusedConnection | Retry::No => request.head.method.is_idempotent(),
    };
    fault.side() == Side::Upstream && !progress.answered.get() && whole && harmless
}

/// One try at one node.
struct Attempt<'t> {
    upstream: &'t Upstream,
    route: &'t Route,
    /// Which of the upstream's endpoints.
    node: usize,
    /// Pooled connections are passed over.
    fresh: bool,
    progress: &'t Progress,
}

/// How a node answered.
enum Answered {
    /// With a message that has gone to the client.
    Whole,
    /// With a 101 that has gone to the client: raw bytes follow both ways.
    Switched,
}

impl Attempt<'_> {
    async fn run<R: Receive, S: Respond, N: Nodes>(
        &self,
        request: &mut Request<'_, R>,
        client: &mut S,
        nodes: &N,
        chains: Chains<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        let _in_flight = self.upstream.balancer.acquire(self.node);
        let timeouts = match cx.upstream {
            Some(_) => &self.upstream.timeouts,
            None => &self.route.timeouts,
        };
        let leased = nodes
            .lease(Target {
                upstream: self.upstream,
                endpoint: self.endpoint(),
                head: &*request.head,
                timeouts,
                fresh: self.fresh,
            })
            .await?;
        let Leased { stream, reused, place } = leased;
        let opened = cx.shard.now();
        let head = &*request.head;
        let end = head.body.is_empty();
        let stale = |fault: Fault| match reused {
            true => fault,
            // The first request on a connection: the node refused it, it did not just idle out.
            false if fault.retry == Retry::ReusedConnection => fault.retry(Retry::No),
            false => fault,
        };
        let (mut up, mut down) = stream.open(head, end).await.map_err(stale)?;
        up.flush().await.map_err(stale)?;

        let (mut sent, mut got) = (Moved::default(), Moved::default());
        let result = {
            let turns = Turns::new(cx);
            let mut answer = pin!(async {
                let mut head = self.first_head(&mut down, client).await.map_err(stale)?;
                self.observe(&mut *turns.take().await, &head, opened);
                if head.status == 101 {
                    upgrade::verify(request.head, &head)?;
                    forward::switching_head(&mut head);
                    self.progress.answered.set(true);
                    turns.take().await.outcome.status = 101;
                    client.head(head, false).await?;
                    client.flush().await?;
                    return Ok(Answered::Switched);
                }
                self.answer(request.head, head, &mut down, client, chains, &turns, &mut got)
                    .await?;
                Ok(Answered::Whole)
            });
            if end {
                answer.as_mut().await
            } else {
                self.progress.body_begun.set(true);
                let upload = boxed(|| async {
                    let sent = match &mut request.body {
                        RequestBody::Stream(body) => {
                            pump::upload(body, &mut up, chains, head, &turns, &mut sent).await
                        }
                        RequestBody::Whole(whole) => {
                            let mut body = LocalBody::whole(whole.clone());
                            pump::upload(&mut body, &mut up, chains, head, &turns, &mut sent).await
                        }
                    };
                    match sent {
                        // It takes no more, but may have an answer.
                        Err(fault) if fault.side() == Side::Upstream && !self.gave_up(&fault) => {
                            Ok(())
                        }
                        sent => sent,
                    }
                });
                both(upload, answer.as_mut()).await
            }
        };
        cx.outcome.request_bytes = cx.outcome.request_bytes.max(sent.bytes);
        cx.outcome.response_bytes = got.bytes;
        match result? {
            Answered::Whole => {
                if let Some(stream) = N::Stream::rejoin(up, down) {
                    place.give_back(stream);
                }
                Ok(())
            }
            Answered::Switched => match &mut request.body {
                RequestBody::Stream(body) => {
                    // Boxed: a tunnel is rare, and its room would be every request's.
                    let tunnel = Box::pin(tunnel(
                        body,
                        &mut up,
                        &mut down,
                        client,
                        cx.shard.connections.drained(),
                    ));
                    let moved = tunnel.await;
                    cx.outcome.request_bytes = moved.up.bytes;
                    cx.outcome.response_bytes = moved.down.bytes;
                    moved.result
                }
                RequestBody::Whole(_) => Ok(()),
            },
        }
    }

    /// Whether the request's half ends the try: the node had its time to take bytes, and has not
    /// begun to answer either.
    fn gave_up(&self, fault: &Fault) -> bool {
        fault.code == Code::UpstreamSendTimeout && !self.progress.answered.get()
    }

    fn endpoint(&self) -> &Endpoint {
        self.upstream.endpoint(self.node)
    }

    fn passive(&self) -> Option<&Passive> {
        self.upstream.checks.as_ref()?.passive()
    }

    /// Takes a failure into account: health, latency.
    fn failed(&self, fault: &Fault, begun: Instant) {
        let outcome = match fault.code {
            Code::ConnectTimeout | Code::UpstreamReadTimeout | Code::UpstreamSendTimeout => {
                health::Outcome::Timeout
            }
            _ if fault.side() == Side::Upstream => health::Outcome::TcpFailure,
            _ => return,
        };
        if let Some(passive) = self.passive() {
            passive.report(&self.endpoint().state, outcome);
        }
        // A node that refuses quickly is not a fast one.
        let cost = begun.elapsed().max(FAILURE_COST);
        self.upstream.balancer.observe(self.node, cost, Instant::now());
    }

    /// The node's final head, within the route's `per_try_timeout`.
    async fn first_head<S: Respond>(
        &self,
        down: &mut impl Answer,
        client: &mut S,
    ) -> Result<ResponseHead, Fault> {
        let Some(limit) = self.route.per_try_timeout else {
            return self.final_head(down, client).await;
        };
        ringgate_io::within(limit, boxed(|| self.final_head(down, client))).await.unwrap_or_else(
            |_| {
                let detail = format!("no answer within per_try_timeout ({limit:?})");
                Err(Fault::new(Code::UpstreamReadTimeout, detail))
            },
        )
    }

    /// The node's final head; interim ones go straight to the client.
    async fn final_head<S: Respond>(
        &self,
        down: &mut impl Answer,
        client: &mut S,
    ) -> Result<ResponseHead, Fault> {
        loop {
            let head = match first(down.head(), client.gone()).await {
                First::Left(head) => head?,
                First::Right(()) => return Err(client_gone()),
            };
            if !head.is_interim() {
                return Ok(head);
            }
            // 100 is the gateway's own to send: it has asked for the body already, or will.
            if head.status != 100 {
                client.inform(&head).await?;
            }
        }
    }

    /// Takes the node's answer into account: health, latency, the log.
    fn observe(&self, cx: &mut Cx<'_>, head: &ResponseHead, opened: Instant) {
        cx.outcome.node_status = Some(head.status);
        cx.outcome.node_micros = cx.shard.micros_since(opened);
        if let Some(passive) = self.passive() {
            passive.status(&self.endpoint().state, head.status);
        }
        let latency = Duration::from_micros(cx.outcome.node_micros);
        self.upstream.balancer.observe(self.node, latency, opened + latency);
    }

    /// Sends the answer through the response phases to the client.
    #[allow(clippy::too_many_arguments)] // both halves, both heads and the context meet here
    async fn answer<S: Respond>(
        &self,
        request: &RequestHead,
        mut head: ResponseHead,
        down: &mut impl Receive,
        client: &mut S,
        chains: Chains<'_>,
        turns: &Turns<'_, Cx<'_>>,
        got: &mut Moved,
    ) -> Result<(), Fault> {
        forward::response_head(&mut head, self.route.via);
        // What is left of a body that a plugin replaced is read only where that is cheaper than
        // another connection.
        let drained = match head.body {
            BodyLength::Empty => true,
            BodyLength::Exact(length) => length <= DRAINED_MAX,
            BodyLength::Unknown => false,
        };
        let mut replacement = None;
        {
            let mut cx = turns.take().await;
            let buffered = chains.buffers(Direction::Response).max(cx.buffer_response);
            if let Some(max) = buffered {
                // Boxed with the watch for the client, which hears nothing meanwhile.
                let whole = collect(down, max, Code::UpstreamInvalid);
                let (whole, trailers) = match Box::pin(first(whole, client.gone())).await {
                    First::Left(whole) => whole?,
                    First::Right(()) => return Err(client_gone()),
                };
                cx.response_body = Some(whole);
                cx.response_trailers = trailers;
            }
            cx.outcome.grpc_status = ringgate_grpc::status_of(&head.headers);
            if head.status >= 500 || cx.shard.settings.show_upstream_status {
                let status = head.status;
                upstream_status::tell(&mut head, &cx.outcome, Some(status));
            }
            // For variables; no head has gone yet, so a failure takes it back.
            cx.outcome.status = head.status;
            match phases::response(chains, request, &mut head, &mut cx).await {
                Ok(None) => {}
                Ok(Some(reply)) => {
                    cx.response_body = None;
                    cx.response_trailers = None;
                    replacement = Some(LocalBody::new(reply.body));
                }
                Err(fault) => {
                    cx.outcome.status = 0;
                    return Err(fault);
                }
            }
            if let Some(whole) = cx.response_body.take() {
                if !whole.is_empty() || head.body != BodyLength::Empty {
                    head.body = BodyLength::Exact(whole.len() as u64);
                }
                let trailers = cx.response_trailers.take();
                if trailers.is_some() {
                    // A length that is told leaves no room for trailers in HTTP/1.1.
                    head.body = BodyLength::Unknown;
                }
                replacement = Some(LocalBody::whole(whole).with_trailers(trailers));
            }
            cx.outcome.status = head.status;
            cx.outcome.open_ended = head.body == BodyLength::Unknown;
        }
        self.progress.answered.set(true);
        let end = head.body.is_empty();
        client.head(head, end).await?;
        if end {
            client.flush().await?;
        }
        match replacement {
            Some(mut body) => {
                if !end {
                    let whole = pump::download(&mut body, client, chains, request, turns, got);
                    Box::pin(whole).await?;
                }
                if drained { pump::drain(down).await } else { Ok(()) }
            }
            None if end => pump::drain(down).await,
            None => pump::download(down, client, chains, request, turns, got).await,
        }
    }
}

fn client_gone() -> Fault {
    Fault::new(Code::ClientGone, "left before its answer came")
}
