//! `serve`: the way of a request as a list of functions.

use std::rc::Rc;

use bytes::Bytes;
use ringgate_core::{
    BodyLength, Code, ConnectionInfo, Exchange, Fault, Frame, Receive, RequestHead, Respond,
    ResponseHead, boxed,
};

use super::body::{LocalBody, collect};
use super::phases::{self, Chains};
use super::proxy::{self, Nodes, RequestBody};
use super::pump::{self, Moved};
use super::turn::Turns;
use super::{answer, client_address, grpc, upstream_status};
use crate::plugin::{Chain, Cx, Direction, Phase, Reply, ReplyBody, Verdict};
use crate::route::{Asked, BodyVariables, ROUTED_BODY_MAX, Subject};
use crate::shard::{Refused, Shard};
use crate::telemetry::{Gauge, ShardMetrics, error_log};
use crate::tls::check_request;

/// Serves one exchange: matches a route, runs its plugins, proxies or answers, logs. `Err` only
/// where the connection cannot go on; what went wrong is logged and counted already.
pub async fn serve<R: Receive, S: Respond, N: Nodes>(
    shard: &Rc<Shard>,
    nodes: &N,
    exchange: Exchange<R, S>,
) -> Result<(), Fault> {
    let Exchange { mut head, body, mut client, connection } = exchange;
    let _active = Active::enter(&shard.metrics);
    let plan = shard.pin();
    let corrected = client_address::corrected(&shard.settings.trusted, &connection, &head);
    let seen = corrected.as_ref().unwrap_or(&connection);
    let mut cx = Cx::new(shard, &plan, seen);
    cx.grpc = ringgate_grpc::is_grpc_request(&head);
    let asked = Asked::default();
    let subject = Subject { extra: Some(&asked), ..Subject::new(&head, seen) };
    if let Some(found) = plan.routes.find(&subject)
        && !asked.any()
    {
        cx.route = Some(found.payload);
        cx.matched_uri = Some(found.uri());
    }

    let mut merged = Merged(None);
    let peer = connection.peer.ip();
    let mut request = Request { head: &mut head, body: RequestBody::Stream(body), peer };
    let result = run(&mut request, &mut client, nodes, &mut cx, &mut merged, &asked).await;
    let result = match result {
        Err(fault) => Box::pin(fail(fault, &mut head, &mut client, &mut cx, &merged)).await,
        whole => whole,
    };
    cx.outcome.total_micros = shard.micros_since(cx.outcome.started);
    phases::log(merged.chains(&cx), &head, &cx);
    shard.observe(&head, &cx);
    result
}

/// Counts a request as under way until it is dropped.
struct Active<'s>(&'s ShardMetrics);

impl Active<'_> {
    fn enter(metrics: &ShardMetrics) -> Active<'_> {
        metrics.raise(Gauge::RequestsActive);
        Active(metrics)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.lower(Gauge::RequestsActive);
    }
}

/// A request on its way.
pub(super) struct Request<'r, R> {
    pub(super) head: &'r mut RequestHead,
    pub(super) body: RequestBody<R>,
    /// The connection's real peer, before trusted proxies' word.
    pub(super) peer: std::net::IpAddr,
}

/// The route's chain with the consumer's laid over it, once there is one.
struct Merged(Option<Rc<Chain>>);

impl Merged {
    fn chains<'c>(&'c self, cx: &Cx<'c>) -> Chains<'c> {
        let route = match (&self.0, cx.route) {
            (Some(merged), _) => merged,
            (None, Some(route)) => &route.chain,
            (None, None) => Chain::none(),
        };
        Chains { global: &cx.plan.global, route }
    }
}

/// Everything up to the answer's last byte.
async fn run<R: Receive, S: Respond>(
    request: &mut Request<'_, R>,
    client: &mut S,
    nodes: &impl Nodes,
    cx: &mut Cx<'_>,
    merged: &mut Merged,
    asked: &Asked,
) -> Result<(), Fault> {
    check_request(&cx.plan.tls, cx.connection, request.head)?;
    check_length(request.head, cx.shard.settings.limits.request_body)?;
    if asked.any() {
        // Boxed: its room would be every request's.
        Box::pin(route_by_body(request, cx, asked)).await?;
    }
    match before_proxy(request, cx, merged).await? {
        Verdict::Next => {
            if cx.grpc
                && let RequestBody::Stream(body) = &mut request.body
            {
                // Not before the plugins: who may not call may not hold a stream open either.
                body.allow_pauses();
            }
            let chains = merged.chains(cx);
            match grpc::deadline(request.head) {
                None => proxy::run(request, client, nodes, chains, cx).await,
                Some(deadline) => {
                    let left = deadline.saturating_sub(cx.outcome.started.elapsed());
                    // Boxed: few requests have one, and its room would be every request's.
                    let call = boxed(|| proxy::run(request, client, nodes, chains, cx));
                    grpc::within(left, call).await
                }
            }
        }
        Verdict::Reply(reply) => {
            // Boxed, as all that is not the usual way: its room would be every request's.
            Box::pin(local_reply(reply, request.head, client, merged.chains(cx), cx)).await
        }
    }
}

/// Finds the route where the body decides it: collects the body, which then goes to the node as a
/// whole. One that says that it is too long is not read; then it says nothing.
async fn route_by_body<R: Receive>(
    request: &mut Request<'_, R>,
    cx: &mut Cx<'_>,
    asked: &Asked,
) -> Result<(), Fault> {
    let fits = match request.head.body {
        BodyLength::Empty => false,
        BodyLength::Exact(length) => length <= ROUTED_BODY_MAX as u64,
        BodyLength::Unknown => true,
    };
    let mut whole = Bytes::new();
    if fits
        && asked.needs_body(request.head)
        && let RequestBody::Stream(body) = &mut request.body
    {
        whole = collect(body, ROUTED_BODY_MAX, Code::BodyTooLarge).await?.0;
        request.head.body = BodyLength::Exact(whole.len() as u64);
        request.body = RequestBody::Whole(whole.clone());
        cx.outcome.request_bytes = whole.len() as u64;
    }
    let body = BodyVariables::new(request.head, &whole);
    let subject = Subject { extra: Some(&body), ..Subject::new(request.head, cx.connection) };
    if let Some(found) = cx.plan.routes.find(&subject) {
        cx.route = Some(found.payload);
        cx.matched_uri = Some(found.uri());
    }
    Ok(())
}

/// Refuses a body that says that it is above its limit, before anybody works on it. One that does
/// not say is counted while it comes.
fn check_length(head: &RequestHead, most: Option<u64>) -> Result<(), Fault> {
    match (head.body, most) {
        (BodyLength::Exact(length), Some(most)) if length > most => {
            Err(Fault::new(Code::BodyTooLarge, "request body above its limit"))
        }
        _ => Ok(()),
    }
}

/// Every phase before a node is chosen.
async fn before_proxy<R: Receive>(
    request: &mut Request<'_, R>,
    cx: &mut Cx<'_>,
    merged: &mut Merged,
) -> Result<Verdict, Fault> {
    let head = &mut *request.head;
    macro_rules! or_reply {
        ($phase:expr) => {
            if let Verdict::Reply(reply) = $phase.await? {
                return Ok(Verdict::Reply(reply));
            }
        };
    }
    if merged.chains(cx).any(Phase::Rewrite) {
        or_reply!(phases::rewrite(merged.chains(cx), head, cx));
    }
    if let Some(consumer) = cx.consumer
        && let Some(route) = cx.route
        && !consumer.plugins.is_empty()
    {
        let chain = cx.shard.merged_chain(cx.plan.generation, route, consumer);
        // Before its plugins run: where one of them answers, the rest of the phases are its too.
        merged.0 = Some(chain.clone());
        or_reply!(phases::rewrite_of_consumer(&chain, head, cx));
    }
    let chains = merged.chains(cx);
    if let Some(max) = chains.buffers(Direction::Request) {
        let whole = match &mut request.body {
            RequestBody::Stream(body) => Box::pin(collect(body, max, Code::BodyTooLarge)).await?.0,
            RequestBody::Whole(whole) => whole.clone(),
        };
        cx.outcome.request_bytes = whole.len() as u64;
        cx.request_body = Some(whole);
    }
    if chains.any(Phase::Access) {
        or_reply!(phases::access(chains, head, cx));
    }
    if chains.any(Phase::BeforeProxy) {
        or_reply!(phases::before_proxy(chains, head, cx));
    }
    if let Some(whole) = cx.request_body.take() {
        head.body = match (whole.len(), head.body) {
            (0, BodyLength::Empty) => BodyLength::Empty,
            (len, _) => BodyLength::Exact(len as u64),
        };
        request.body = RequestBody::Whole(whole);
    }
    Ok(match cx.route {
        Some(_) => Verdict::Next,
        // About the gateway itself, not about one of its routes (RFC 9110 §9.3.7).
        None if head.path() == b"*" => Verdict::Reply(answer::options()),
        None => Verdict::Reply(answer::route_not_found()),
    })
}

/// Sends an answer that was made here, through the response phases.
async fn local_reply<S: Respond>(
    reply: Reply,
    request: &RequestHead,
    client: &mut S,
    chains: Chains<'_>,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    let Reply { mut head, body } = reply;
    // For variables; until the head has gone, a failure takes it back.
    cx.outcome.status = head.status;
    cx.shard.stamp(&mut head);
    if let ReplyBody::Whole(whole) = &body {
        cx.reply_body = Some(whole.clone());
    }
    let prepared = prepare(LocalBody::new(body), &mut head, request, chains, cx).await;
    cx.reply_body = None;
    let mut body = prepared.inspect_err(|_| cx.outcome.status = 0)?;
    if cx.grpc {
        grpc::trailers_only(&mut head, &mut body, &mut cx.outcome);
    }
    cx.outcome.status = head.status;
    let end = head.body.is_empty();
    client.head(head, end).await?;
    if end {
        return client.flush().await;
    }
    let mut moved = Moved::default();
    let sent = {
        let turns = Turns::new(cx);
        pump::download(&mut body, client, chains, request, &turns, &mut moved).await
    };
    cx.outcome.response_bytes = moved.bytes;
    sent
}

/// Runs the response phases over an answer that was made here.
async fn prepare(
    mut body: LocalBody,
    head: &mut ResponseHead,
    request: &RequestHead,
    chains: Chains<'_>,
    cx: &mut Cx<'_>,
) -> Result<LocalBody, Fault> {
    if let Some(max) = chains.buffers(Direction::Response) {
        cx.response_body = Some(collect(&mut body, max, Code::Plugin).await?.0);
    }
    if let Some(replaced) = phases::response(chains, request, head, cx).await? {
        body = LocalBody::new(replaced.body);
        cx.response_body = None;
    }
    if let Some(whole) = cx.response_body.take() {
        head.body = BodyLength::Exact(whole.len() as u64);
        body = LocalBody::whole(whole);
    }
    Ok(body)
}

/// Answers a fault where no head was sent yet, ends the exchange otherwise.
async fn fail<S: Respond>(
    fault: Fault,
    request: &mut RequestHead,
    client: &mut S,
    cx: &mut Cx<'_>,
    merged: &Merged,
) -> Result<(), Fault> {
    cx.outcome.fault = Some(fault.code);
    cx.shard.fault(&fault, request, cx);
    let begun = cx.outcome.status != 0;
    match answer::reply(&fault) {
        Some(mut reply) if !begun => {
            upstream_status::tell(&mut reply.head, &cx.outcome, None);
            let mut sent = local_reply(reply, request, client, merged.chains(cx), cx).await;
            if let Err(second) = &sent
                && cx.outcome.status == 0
                && let Some(plain) = answer::reply(second)
            {
                // A plugin fails on every answer: this one goes past them.
                cx.response_body = None;
                sent = local_reply(plain, request, client, Chains::none(), cx).await;
            }
            if let Err(second) = sent {
                client.reset(&second);
                return Err(second);
            }
            // A client whose message was broken or unread cannot go on with another.
            match fault.side() {
                ringgate_core::Side::Downstream => Err(fault),
                _ => Ok(()),
            }
        }
        // What began well ends with the reason, where the client's protocol can tell it.
        _ if cx.outcome.open_ended
            && grpc::end(&fault, request, client, merged.chains(cx), cx).await =>
        {
            match fault.side() {
                ringgate_core::Side::Downstream => Err(fault),
                _ => Ok(()),
            }
        }
        _ => {
            client.reset(&fault);
            if cx.outcome.status == 0 {
                cx.outcome.status = 499;
            }
            Err(fault)
        }
    }
}

/// Answers a request whose head could not be taken, where the client is still there to hear it,
/// and counts and logs it like any other. `line` is what came of its request line.
pub async fn refuse<S: Respond>(
    shard: &Rc<Shard>,
    fault: &Fault,
    client: &mut S,
    connection: &ConnectionInfo,
    line: &[u8],
) {
    let started = shard.now();
    shard.metrics.fault(fault.code);
    let peer = connection.peer;
    error_log::debug(
        "downstream",
        fault.code.name(),
        format_args!("{} (client {peer})", fault.detail),
    );
    let mut refused = Refused { connection, line, status: 499, sent: 0, fault: fault.code };
    match answer::reply(fault) {
        Some(Reply { mut head, body: ReplyBody::Whole(body) }) => {
            refused.status = head.status;
            let length = body.len() as u64;
            shard.stamp(&mut head);
            // Where the client has gone meanwhile, there is nothing left to do.
            if client.head(head, false).await.is_ok()
                && client.send(Frame::Data(body)).await.is_ok()
                && client.send(Frame::End).await.is_ok()
            {
                refused.sent = length;
            }
        }
        // Left in the middle of a head.
        _ if !line.is_empty() => {}
        _ => return,
    }
    shard.observe_refused(&refused, shard.micros_since(started));
}
