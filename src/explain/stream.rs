//! Which stream route a connection takes. The conditions are those of APISIX's stream router: all
//! that a stream route names must hold, and the first in the order of the file is it; of those with
//! an `sni`, which count for TLS only, a whole name comes before a wildcard and a longer one before
//! a shorter one, and all of them before those without.

use std::cmp::Reverse;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::question::Connection;
use super::upstream::algorithm;
use super::{NODES_MAX, ROUTES_MAX, World, mask};
use crate::config::resources::{BalancerType, Id, Nodes, StreamRoute, Upstream};
use crate::route::AddressSet;
use crate::upstream::balancer::Balancer;
use crate::upstream::endpoint::expand;
use crate::upstream::node::Node;
use crate::upstream::registry::Registry;

/// Why a stream route is not the one: the reason's name, and the words.
type Against = (&'static str, String);

pub(super) fn explain(world: &World<'_>, connection: &Connection) -> Value {
    let mut request = json!({
        "protocol": connection.protocol,
        "client": connection.peer.ip().to_canonical().to_string(),
        "listener": connection.local.to_string(),
    });
    if let Some(sni) = &connection.sni {
        request["sni"] = sni.as_str().into();
    }
    let mut matching: Vec<(usize, &str, &StreamRoute)> = Vec::new();
    let mut rejected = Vec::new();
    let mut more = 0;
    let mut reject = |id: &str, route: &StreamRoute, (reason, detail): Against| {
        if rejected.len() < ROUTES_MAX {
            let name = route.name.as_deref();
            rejected.push(json!({"id": id, "name": name, "reason": reason, "detail": detail}));
        } else {
            more += 1;
        }
    };
    for (at, entry) in world.resources.stream_routes.iter().enumerate() {
        match against(&entry.value, connection) {
            None => matching.push((at, &entry.id, &entry.value)),
            Some(reason) => reject(&entry.id, &entry.value, reason),
        }
    }
    matching.sort_by_key(|(at, _, route)| (rank(route.sni.as_deref()), *at));
    let mut matching = matching.into_iter();
    let taken = matching.next();
    for (_, id, route) in matching {
        let before = taken.as_ref().map_or("", |(_, id, _)| id);
        let detail = format!("it matches too; stream route {before} comes before");
        reject(id, route, ("precedence", detail));
    }
    json!({
        "request": request,
        "generation": world.plan.generation,
        "live": world.live,
        "stream_route": taken.map(|(_, id, route)| shown(world, connection, id, route)),
        "rejected": rejected,
        "rejected_more": more,
    })
}

fn rank(sni: Option<&str>) -> (u8, Reverse<usize>) {
    match sni {
        None => (2, Reverse(0)),
        Some(name) if name.starts_with('*') => (1, Reverse(name.len())),
        Some(name) => (0, Reverse(name.len())),
    }
}

/// The first reason against a stream route.
fn against(route: &StreamRoute, connection: &Connection) -> Option<Against> {
    if let Some(sni) = &route.sni {
        let asked = connection.sni.as_deref();
        if !asked.is_some_and(|name| sni_matches(sni, name)) {
            let asked =
                asked.map_or("no name was asked for".into(), |name| format!("{name} is asked for"));
            return Some(("sni", format!("{asked}, not {sni}")));
        }
    }
    if let Some(port) = route.server_port.filter(|port| *port != connection.local.port()) {
        let reason = format!("{} is the port, not {port}", connection.local.port());
        return Some(("server_port", reason));
    }
    for (name, wanted, given) in [
        ("server_addr", &route.server_addr, connection.local.ip()),
        ("remote_addr", &route.remote_addr, connection.peer.ip()),
    ] {
        if let Some(wanted) = wanted
            && !contains(wanted, given)
        {
            return Some((name, format!("{} is not in {wanted}", given.to_canonical())));
        }
    }
    None
}

fn sni_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(&end.to_ascii_lowercase()),
        None => name.eq_ignore_ascii_case(pattern),
    }
}

fn contains(wanted: &str, address: IpAddr) -> bool {
    AddressSet::compile([wanted]).is_ok_and(|set| set.contains(address))
}

fn shown(world: &World<'_>, connection: &Connection, id: &str, route: &StreamRoute) -> Value {
    let because: Vec<Value> = [
        ("sni", route.sni.clone().map(Value::String)),
        ("server_addr", route.server_addr.clone().map(Value::String)),
        ("server_port", route.server_port.map(Value::from)),
        ("remote_addr", route.remote_addr.clone().map(Value::String)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(json!({"condition": name, "value": value?})))
    .collect();
    let plugins: Vec<Value> = route
        .plugins
        .iter()
        .map(|(name, conf)| {
            let encrypted =
                world.plugins.get(name).map_or(&[][..], |kind| kind.schemas().encrypt_fields);
            json!({"name": name, "config": mask::configuration(conf.clone(), encrypted)})
        })
        .collect();
    json!({
        "id": id,
        "name": route.name,
        "because": because,
        "plugins": plugins,
        "upstream": upstream(world, connection, route),
    })
}

fn upstream(world: &World<'_>, connection: &Connection, route: &StreamRoute) -> Value {
    let resources = world.resources;
    let described = |from: Value, raw: &Upstream| {
        let nodes: Vec<String> = raw
            .nodes
            .as_ref()
            .map(Nodes::entries)
            .unwrap_or_default()
            .into_iter()
            .map(|node| match node.port {
                Some(port) => format!("{}:{port}", node.host),
                None => node.host,
            })
            .collect();
        let pick = pick(raw, connection);
        json!({"from": from, "type": algorithm(raw.kind), "nodes": nodes, "pick": pick})
    };
    let at = |kind: &str, id: &str| json!({"kind": kind, "id": id});
    let by_id = |id: &Id| {
        let raw = resources.upstreams.get(&id.0)?;
        Some(described(at("upstreams", &id.0), raw))
    };
    let own = route.upstream.as_ref().map(|raw| described(Value::Null, raw));
    let service = || {
        let Id(id) = route.service_id.as_ref()?;
        let service = resources.services.get(id)?;
        match (&service.upstream_id, &service.upstream) {
            (Some(id), _) => by_id(id),
            (None, Some(raw)) => Some(described(at("services", id), raw)),
            (None, None) => None,
        }
    };
    let named = route.upstream_id.as_ref().and_then(by_id);
    named.or(own).or_else(service).unwrap_or_default()
}

/// The node that would be picked, where that can be told: by the balancers' own code, over nodes of
/// which no health is known.
fn pick(raw: &Upstream, connection: &Connection) -> Value {
    let registry = Registry::new();
    let nodes = raw.nodes.as_ref().map(|nodes| Node::compile(nodes, raw.scheme));
    let nodes = match nodes.transpose() {
        Ok(nodes) => nodes.unwrap_or_default(),
        Err(error) => {
            let none: [String; 0] = [];
            return json!({"node": null, "candidates": none, "because": error.to_string()});
        }
    };
    let endpoints = expand("", &nodes, |_| None, &registry).endpoints;
    let balancer = Balancer::new(raw.kind, "", endpoints, None, &registry);
    let eligible = balancer.eligible();
    let address = |index: usize| balancer.endpoints()[index].address.to_string();
    let (key, hashed) = hash_key(raw, connection);
    let foreseen = balancer.foresee(Some(key.as_bytes())).map(address);
    let named = nodes.iter().any(|node| node.question().is_some());
    let because = match (&foreseen, raw.kind, eligible.len()) {
        (_, _, 0) if named => "its names are resolved when it is served".to_owned(),
        (_, _, 0) => "no node can be picked: none has a weight".to_owned(),
        (Some(_), _, 1) => "it is the only node that can be picked".to_owned(),
        (_, BalancerType::Chash, _) => format!("the hash of ${hashed} decides"),
        (_, BalancerType::RoundRobin, _) => "they take turns by weight".to_owned(),
        (_, BalancerType::LeastConn, _) => {
            "the one with the fewest open connections for its weight".to_owned()
        }
        (_, BalancerType::Ewma, _) => "the better of two that are drawn".to_owned(),
    };
    let candidates: Vec<String> = eligible.into_iter().take(NODES_MAX).map(address).collect();
    json!({"node": foreseen, "candidates": candidates, "because": because})
}

/// What `chash` hashes of a connection, and its variable: the client's address where nothing else
/// is asked for, or what is asked for is empty.
fn hash_key(raw: &Upstream, connection: &Connection) -> (String, String) {
    let client = || (connection.peer.ip().to_canonical().to_string(), "remote_addr".to_owned());
    let name = raw.key.as_deref().unwrap_or_default().trim_start_matches('$');
    let value = match name {
        "remote_port" => connection.peer.port().to_string(),
        "server_addr" => connection.local.ip().to_canonical().to_string(),
        "server_port" => connection.local.port().to_string(),
        "ssl_preread_server_name" | "ssl_server_name" => match &connection.sni {
            Some(name) => name.clone(),
            None => return client(),
        },
        _ => return client(),
    };
    (value, name.to_owned())
}
