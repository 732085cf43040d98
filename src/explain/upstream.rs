//! Where the request would go.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{NODES_MAX, World};
use crate::config::plan::{Route, Upstream};
use crate::config::resources;
use crate::config::resources::{BalancerType, HashOn, PassHost};
use crate::route::Subject;

pub(super) fn explain(
    world: &World<'_>,
    route: &Route,
    upstream: &Arc<Upstream>,
    subject: &Subject<'_>,
    consumer: Option<&str>,
) -> Value {
    let balancer = &upstream.balancer;
    let eligible = balancer.eligible();
    let nodes: Vec<Value> = (0..balancer.endpoints().len())
        .take(NODES_MAX)
        .map(|index| node(world, upstream, index, eligible.contains(&index)))
        .collect();
    let (from, raw) = configured(world, route, upstream);
    let mut shown = json!({
        "id": &*upstream.id,
        "from": from,
        "type": algorithm(balancer.kind()),
        "scheme": raw.map(|raw| format!("{:?}", raw.scheme).to_lowercase()),
        "pass_host": match upstream.pass_host {
            PassHost::Pass => "pass",
            PassHost::Node => "node",
            PassHost::Rewrite => "rewrite",
        },
        "retries": upstream.retries,
        "nodes": nodes,
        "nodes_more": balancer.endpoints().len().saturating_sub(NODES_MAX),
        "pick": pick(upstream, &eligible, subject, consumer, raw),
    });
    if let Some(host) =
        upstream.upstream_host.as_deref().filter(|_| upstream.pass_host == PassHost::Rewrite)
    {
        shown["upstream_host"] = host.into();
    }
    if !upstream.questions.is_empty() {
        let names: Vec<&str> = upstream.questions.iter().map(|question| question.name()).collect();
        shown["names"] = names.into();
        if !world.live {
            shown["names_note"] =
                "names are resolved by the running gateway: ask it with --admin".into();
        }
    }
    shown
}

/// Where it is configured, and how.
fn configured<'r>(
    world: &World<'r>,
    route: &Route,
    upstream: &Upstream,
) -> (Value, Option<&'r resources::Upstream>) {
    let resources = world.resources;
    let at = |kind: &str, id: &str| json!({"kind": kind, "id": id});
    match upstream.id.split_once('/') {
        Some(("route", id)) => {
            let raw = resources.routes.get(id).and_then(|route| route.upstream.as_ref());
            (at("routes", &route.id), raw)
        }
        Some((_, id)) => {
            let raw = resources.services.get(id).and_then(|service| service.upstream.as_ref());
            (at("services", id), raw)
        }
        None => {
            (at("upstreams", &upstream.id), resources.upstreams.get(&upstream.id).map(|raw| &**raw))
        }
    }
}

pub(super) fn algorithm(kind: BalancerType) -> &'static str {
    match kind {
        BalancerType::RoundRobin => "roundrobin",
        BalancerType::Chash => "chash",
        BalancerType::LeastConn => "least_conn",
        BalancerType::Ewma => "ewma",
    }
}

fn node(world: &World<'_>, upstream: &Upstream, index: usize, eligible: bool) -> Value {
    let balancer = &upstream.balancer;
    let endpoint = &balancer.endpoints()[index];
    let mut node = json!({
        "address": endpoint.address.to_string(),
        "host": &*endpoint.host,
        "weight": endpoint.weight,
        "priority": endpoint.priority,
        "eligible": eligible,
    });
    // Without a running gateway nobody has looked.
    if world.live {
        let health = if upstream.checks.is_some() {
            endpoint.state.health().status.name()
        } else {
            "unchecked"
        };
        node["health"] = health.into();
        match balancer.kind() {
            BalancerType::LeastConn => node["in_flight"] = endpoint.state.in_flight().into(),
            BalancerType::Ewma => {
                node["in_flight"] = endpoint.state.in_flight().into();
                node["latency_us"] = (balancer.latency(index).as_micros() as u64).into();
            }
            BalancerType::RoundRobin | BalancerType::Chash => {}
        }
    }
    node
}

/// The node that would be picked, where that can be told.
fn pick(
    upstream: &Upstream,
    eligible: &[usize],
    subject: &Subject<'_>,
    consumer: Option<&str>,
    raw: Option<&resources::Upstream>,
) -> Value {
    let balancer = &upstream.balancer;
    let key = upstream.hash_key(subject, consumer);
    let foreseen = balancer.foresee(key.as_deref());
    let address = |index: usize| balancer.endpoints()[index].address.to_string();
    let candidates =
        || eligible.iter().take(NODES_MAX).map(|index| address(*index)).collect::<Vec<_>>();
    let exact = foreseen.map(address);
    let because = match (&exact, balancer.kind(), eligible.len()) {
        (_, _, 0) => "no node can be picked: none has a weight".to_owned(),
        (Some(_), _, 1) => "it is the only node that can be picked".to_owned(),
        (_, BalancerType::Chash, _) => {
            format!("the hash of {} decides", hashed(raw))
        }
        (_, BalancerType::RoundRobin, _) => {
            "they take turns by weight; which one is next hangs on the requests before".to_owned()
        }
        (_, BalancerType::LeastConn, _) => {
            "the one with the fewest open requests for its weight; of equals, in turns".to_owned()
        }
        (_, BalancerType::Ewma, _) => {
            "the better of two that are drawn: latency, times open requests, by weight".to_owned()
        }
    };
    json!({"node": exact, "candidates": candidates(), "because": because})
}

/// What `chash` hashes, in words; the value stays out, for it may be a key.
fn hashed(raw: Option<&resources::Upstream>) -> String {
    let Some(raw) = raw else { return "its key".into() };
    let key = raw.key.as_deref().unwrap_or_default();
    match raw.hash_on {
        HashOn::Vars => format!("${key}"),
        HashOn::VarsCombinations => key.to_owned(),
        HashOn::Header => format!("the field {key}"),
        HashOn::Cookie => format!("the cookie {key}"),
        HashOn::Consumer => "the consumer's name".into(),
    }
}
