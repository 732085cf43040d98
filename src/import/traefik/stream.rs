//! Traefik's TCP and UDP routers.

use serde_json::{Map, Value, json};

use super::rule::{Matcher, Rule};
use super::{Reader, bare};
use crate::config::schema::Kind;
use crate::import::draft::Plugins;
use crate::import::finish::object;
use crate::import::object::Object;

pub(super) fn read<'a>(reader: &Reader<'a>, kind: &str, section: &Object<'a>) {
    let services: Vec<_> = section.named("services");
    let middlewares: Vec<_> = section.named("middlewares");
    section.without(&["serversTransports"], "transports of streams are not carried over");
    for (name, router) in section.named("routers") {
        one(reader, kind, name, &router, &services);
    }
    services.iter().chain(&middlewares).for_each(|(_, object)| object.forget());
}

fn one<'a>(
    reader: &Reader<'a>,
    kind: &str,
    name: &str,
    router: &Object<'a>,
    services: &[(&'a str, Object<'a>)],
) {
    let draft = reader.draft;
    router.ignore(&["priority"]);
    if router.texts("middlewares").iter().any(|name| !name.is_empty()) {
        router.lose_whole(
            "middlewares of streams are not carried over, and it would be open without",
        );
        return;
    }
    let conditions =
        match router.text("rule").map(|rule| Rule::parse(&rule).and_then(|rule| routes(&rule))) {
            None => vec![(Value::Null, Value::Null)],
            Some(Ok(conditions)) => conditions,
            Some(Err(reason)) => {
                router.lose_whole(format!("rule: {reason}"));
                return;
            }
        };
    let scheme = tls(kind, router);
    let ports: Vec<Value> = router
        .texts("entryPoints")
        .iter()
        .map(|point| reader.entry_points.get(point).map_or(Value::Null, |port| json!(port)))
        .collect();
    if ports.is_empty() || ports.contains(&Value::Null) {
        router.lose(
            "entryPoints",
            "entry points are listeners of the bootstrap file; set `server_port`",
        );
    }
    let target = router.text("service").unwrap_or_default();
    let service = services.iter().find(|(name, _)| *name == bare(&target));
    let Some(nodes) = service.and_then(|(_, service)| nodes(services, service, 0)) else {
        router.lose_whole(format!("service {target} has no nodes in this file"));
        return;
    };
    let ports = if ports.is_empty() { vec![Value::Null] } else { ports };
    for (sni, address) in &conditions {
        for port in &ports {
            let value = object([
                ("id", draft.id(Kind::StreamRoute, name).into()),
                ("name", name.into()),
                ("sni", sni.clone()),
                ("remote_addr", address.clone()),
                ("server_port", port.clone()),
                ("upstream", json!({"type": "roundrobin", "scheme": scheme, "nodes": nodes})),
            ]);
            draft.add(Kind::StreamRoute, &router.pointer, value, Plugins::default());
        }
    }
}

fn tls(kind: &str, router: &Object<'_>) -> &'static str {
    if let Some(Value::Object(_)) = router.get("tls")
        && let Some(tls) = router.object("tls")
    {
        tls.without(&["options"], "options of TLS are those of the listener and the ssl");
        tls.without(&["certResolver", "domains"], "certificates are not obtained; add an ssl");
        // Both are the listener's: `tls: passthrough` or `tls: terminate`.
        let passthrough = tls.bool("passthrough").unwrap_or(false);
        let word = if passthrough { "passthrough" } else { "terminate" };
        router.draft.lose(&tls.pointer, format!("belongs to the listener: `tls: {word}`"));
    }
    if kind == "udp" { "udp" } else { "tcp" }
}

/// Names and addresses, one pair for each stream route.
fn routes(rule: &Rule) -> Result<Vec<(Value, Value)>, String> {
    let none = || Err("expected HostSNI(…), ClientIP(…) or both".to_owned());
    Ok(match rule {
        Rule::Or(parts) => {
            parts.iter().map(routes).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
        Rule::And(parts) => {
            let [one, other] = parts.as_slice() else { return none() };
            let (ones, others) = (routes(one)?, routes(other)?);
            let both = |a: &Value, b: &Value| if a.is_null() { b.clone() } else { a.clone() };
            let pairs = ones.iter().flat_map(|one| others.iter().map(move |other| (one, other)));
            pairs.map(|(one, other)| (both(&one.0, &other.0), both(&one.1, &other.1))).collect()
        }
        Rule::Matcher(Matcher { name, arguments }) => {
            let of = |argument: &String| match (&**name, argument.as_str()) {
                ("HostSNI", "*") => Ok((Value::Null, Value::Null)),
                ("HostSNI", name) => Ok((name.to_ascii_lowercase().into(), Value::Null)),
                ("ClientIP", address) => Ok((Value::Null, address.into())),
                _ => Err(format!("{name} has no equivalent")),
            };
            arguments.iter().map(of).collect::<Result<_, _>>()?
        }
        Rule::Not(_) => return none(),
    })
}

/// `host:port` with weights.
fn nodes(services: &[(&str, Object<'_>)], service: &Object<'_>, depth: usize) -> Option<Value> {
    if depth > 4 {
        return None;
    }
    if service.has("weighted") {
        let weighted = service.object("weighted")?;
        let mut all = Map::new();
        for part in weighted.objects("services") {
            let weight = part.number("weight").unwrap_or(1);
            let name = part.text("name").unwrap_or_default();
            let found = services.iter().find(|(other, _)| *other == bare(&name));
            let Some(Value::Object(nodes)) = found.and_then(|(_, s)| nodes(services, s, depth + 1))
            else {
                part.lose_whole(format!("service {name} is not in this file"));
                continue;
            };
            all.extend(nodes.into_iter().map(|(node, _)| (node, weight.into())));
        }
        return Some(Value::Object(all));
    }
    let balancer = service.object("loadBalancer")?;
    balancer.ignore(&["terminationDelay"]);
    balancer.without(&["proxyProtocol"], "say `ringgate: { proxy_protocol: 2 }` on the upstream");
    balancer.without(&["serversTransport", "healthCheck"], "is not carried over to streams");
    let mut nodes = Map::new();
    for server in balancer.objects("servers") {
        server.without(&["tls"], "nodes of streams are spoken to without TLS");
        if let Some(address) = server.text("address") {
            nodes.insert(address, 1.into());
        }
    }
    Some(Value::Object(nodes))
}
