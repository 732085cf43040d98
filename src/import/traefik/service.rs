//! Traefik's HTTP services.

use serde_json::{Map, Value, json};

use super::{Reader, bare};
use crate::config::schema::Kind;
use crate::import::draft::Plugins;
use crate::import::finish::object;
use crate::import::names::{number, seconds};
use crate::import::object::Object;

/// Services may name services so deep.
const DEPTH_MAX: usize = 8;
/// Nodes of one service, those of the services that it names included.
const NODES_MAX: usize = 4096;

/// What a service comes down to.
struct Balanced {
    scheme: String,
    /// `host:port`, weight, priority.
    nodes: Vec<(String, u64, i64)>,
    pass_host: bool,
    checks: Option<Value>,
    tls: Option<Value>,
    timeout: Option<Value>,
}

/// The id of the upstream that a service becomes; plugins that it takes are put besides.
pub(super) fn upstream<'a>(
    reader: &Reader<'a>,
    name: &str,
    origin: &str,
    plugins: &mut Plugins,
) -> Option<String> {
    let Some(service) = reader.services.get(name) else {
        let reason = match name.contains('@') || name == "api" || name == "noop" {
            true => format!("service {name} is Traefik's own"),
            false => format!("service {name} is not in this file"),
        };
        reader.draft.lose(origin, reason);
        return None;
    };
    let name = mirrored(reader, name, service, plugins);
    // Written once for all routers that name it.
    if let Some(id) = reader.written.borrow().get(&name) {
        return Some(id.clone());
    }
    let service = reader.services.get(&*name)?;
    let balanced = balanced(reader, service, 0)?;
    let id = reader.draft.id(Kind::Upstream, &name);
    let value = balanced.value(&id, &name);
    reader.draft.add(Kind::Upstream, &service.pointer, value, Plugins::default());
    reader.written.borrow_mut().insert(name, id.clone());
    Some(id)
}

impl Balanced {
    fn value(self, id: &str, name: &str) -> Value {
        let ranked = self.nodes.iter().any(|(_, _, priority)| *priority != 0);
        let nodes = match ranked {
            false => {
                let mut nodes = Map::new();
                for (address, weight, _) in &self.nodes {
                    let entry = nodes.entry(address.clone()).or_insert(json!(0));
                    *entry = (entry.as_u64().unwrap_or(0) + weight).into();
                }
                Value::Object(nodes)
            }
            true => self
                .nodes
                .iter()
                .map(|(address, weight, priority)| {
                    let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
                    let port: u16 = port.parse().unwrap_or(80);
                    let host = host.trim_matches(['[', ']']);
                    json!({"host": host, "port": port, "weight": weight, "priority": priority})
                })
                .collect(),
        };
        object([
            ("id", id.into()),
            ("name", name.into()),
            ("type", "roundrobin".into()),
            ("scheme", if self.scheme == "http" { Value::Null } else { self.scheme.into() }),
            ("nodes", nodes),
            ("pass_host", if self.pass_host { Value::Null } else { "node".into() }),
            ("checks", self.checks.unwrap_or_default()),
            ("timeout", self.timeout.unwrap_or_default()),
            ("tls", self.tls.unwrap_or_default()),
        ])
    }
}

/// The service that a mirroring one sends its requests to; the copies are a plugin.
fn mirrored<'a>(
    reader: &Reader<'a>,
    name: &str,
    service: &Object<'a>,
    plugins: &mut Plugins,
) -> String {
    let Some(mirroring) = service.get("mirroring").and(service.object("mirroring")) else {
        return name.to_owned();
    };
    mirroring.ignore(&["mirrorBody", "healthCheck"]);
    mirroring.without(&["maxBodySize"], "copies have whole bodies");
    for (index, mirror) in mirroring.objects("mirrors").into_iter().enumerate() {
        if index > 0 {
            mirror.lose_whole("requests are copied to one service");
            continue;
        }
        let percent = mirror.float("percent").unwrap_or(0.0);
        let to = mirror.text("name").unwrap_or_default();
        let target = reader.services.get(bare(&to)).and_then(|to| balanced(reader, to, 0));
        let Some(target) = target else {
            mirror.lose_whole(format!("service {to} has no nodes"));
            continue;
        };
        let Some((node, _, _)) = target.nodes.first().filter(|_| percent > 0.0) else { continue };
        if target.nodes.len() > 1 {
            mirror.lose("name", format!("copies go to one node: {node}"));
        }
        let conf = json!({
            "host": format!("{}://{node}", target.scheme),
            "sample_ratio": number((percent / 100.0).clamp(0.000_01, 1.0)),
        });
        plugins.put(reader.draft, &mirror.pointer, "proxy-mirror", conf, false);
    }
    let main = mirroring.text("service").unwrap_or_default();
    bare(&main).to_owned()
}

/// The nodes of a service, whichever kind it is.
fn balanced<'a>(reader: &Reader<'a>, service: &Object<'a>, depth: usize) -> Option<Balanced> {
    if depth > DEPTH_MAX {
        service.lose_whole(format!("services that name services deeper than {DEPTH_MAX}"));
        return None;
    }
    if service.has("loadBalancer") {
        return load_balancer(reader, &service.object("loadBalancer")?);
    }
    if service.has("weighted") {
        let weighted = service.object("weighted")?;
        weighted.without(&["sticky"], "sessions are not pinned by cookies of the gateway");
        weighted.ignore(&["healthCheck"]);
        let parts: Vec<(u64, Balanced)> = weighted
            .objects("services")
            .iter()
            .filter_map(|part| {
                let weight = part.number("weight").unwrap_or(1);
                Some((weight, named(reader, part, "name", depth)?))
            })
            .collect();
        return together(service, parts);
    }
    if service.has("failover") {
        let failover = service.object("failover")?;
        failover.ignore(&["healthCheck"]);
        let mut main = named(reader, &failover, "service", depth)?;
        let fallback = named(reader, &failover, "fallback", depth)?;
        if main.scheme != fallback.scheme {
            failover.lose_whole("both services have to speak one protocol");
            return None;
        }
        main.nodes
            .extend(fallback.nodes.into_iter().map(|(node, weight, p)| (node, weight, p - 1)));
        return Some(main);
    }
    service.lose_whole("expected loadBalancer, weighted, failover or mirroring");
    None
}

fn named<'a>(reader: &Reader<'a>, by: &Object<'a>, key: &str, depth: usize) -> Option<Balanced> {
    let name = by.text(key).unwrap_or_default();
    match reader.services.get(bare(&name)) {
        Some(service) => balanced(reader, service, depth + 1),
        None => {
            by.lose(key, format!("service {name} is not in this file"));
            None
        }
    }
}

/// Several services as one upstream: each node's share is its service's share of the whole, times
/// its own of the service.
fn together(service: &Object<'_>, parts: Vec<(u64, Balanced)>) -> Option<Balanced> {
    let total = |balanced: &Balanced| balanced.nodes.iter().map(|(_, w, _)| *w).sum::<u64>().max(1);
    // In whole numbers: with the least common multiple of what services share among their nodes.
    let mut common: u64 = 1;
    for (_, part) in &parts {
        let sum = total(part);
        common = (common / gcd(common, sum)).saturating_mul(sum);
    }
    let mut whole: Option<Balanced> = None;
    for (weight, part) in parts {
        let sum = total(&part);
        let factor = weight.saturating_mul(common / sum).max(u64::from(weight > 0));
        let nodes = part.nodes.into_iter().map(|(node, w, p)| (node, w.saturating_mul(factor), p));
        match &mut whole {
            None => whole = Some(Balanced { nodes: nodes.collect(), ..part }),
            Some(whole) => {
                if whole.scheme != part.scheme || whole.pass_host != part.pass_host {
                    service.lose_whole("its services differ in protocol or passHostHeader");
                    return None;
                }
                if whole.checks != part.checks {
                    service.lose(
                        "weighted",
                        "the health checks of the first service hold for all nodes",
                    );
                }
                whole.nodes.extend(nodes);
            }
        }
    }
    let mut whole = whole?;
    let divisor =
        whole.nodes.iter().fold(0, |divisor, (_, weight, _)| gcd(divisor, *weight)).max(1);
    whole.nodes.iter_mut().for_each(|(_, weight, _)| *weight /= divisor);
    whole.nodes.truncate(NODES_MAX);
    Some(whole)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn load_balancer<'a>(reader: &Reader<'a>, balancer: &Object<'a>) -> Option<Balanced> {
    balancer.without(&["sticky"], "sessions are not pinned by cookies of the gateway");
    balancer
        .without(&["passiveHealthCheck"], "passive checks need active ones of the same service");
    balancer.ignore(&["responseForwarding"]);
    balancer.only("strategy", &json!("wrr"), "nodes take turns by weight");
    let mut scheme: Option<String> = None;
    let mut nodes = Vec::new();
    for server in balancer.objects("servers") {
        server.ignore(&["preservePath"]);
        let url = server.text("url").unwrap_or_default();
        let Some((its, rest)) = url.split_once("://") else {
            server.lose_whole(format!("url: expected http://host:port, got {url}"));
            continue;
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if !path.trim_matches('/').is_empty() && server.bool("preservePath") == Some(true) {
            server.lose("url", format!("the path {path} is not put before the request's"));
        }
        let first = scheme.get_or_insert_with(|| its.to_owned());
        if first != its {
            server.lose_whole(format!("{its} beside {first}: an upstream speaks one protocol"));
            continue;
        }
        let tail = authority.rsplit_once(']').map_or(authority, |(_, tail)| tail);
        let port = if its == "https" { 443 } else { 80 };
        let address = match tail.contains(':') {
            true => authority.to_owned(),
            false => format!("{authority}:{port}"),
        };
        nodes.push((address, server.number("weight").unwrap_or(1), 0));
    }
    if nodes.len() > NODES_MAX {
        balancer.lose("servers", format!("more than {NODES_MAX}"));
        nodes.truncate(NODES_MAX);
    }
    let (tls, timeout) = transport(reader, balancer);
    Some(Balanced {
        scheme: scheme.unwrap_or_else(|| "http".into()),
        nodes,
        pass_host: balancer.bool("passHostHeader").unwrap_or(true),
        checks: balancer.object("healthCheck").map(|check| checks(&check)),
        tls,
        timeout,
    })
}

/// TLS and waits of a `serversTransport`.
fn transport(reader: &Reader<'_>, balancer: &Object<'_>) -> (Option<Value>, Option<Value>) {
    let Some(name) = balancer.text("serversTransport") else { return (None, None) };
    let Some(transport) = reader.transports.get(bare(&name)) else {
        balancer.lose("serversTransport", format!("{name} is not in this file"));
        return (None, None);
    };
    transport.ignore(&["maxIdleConnsPerHost", "disableHTTP2", "peerCertURI"]);
    transport.without(
        &["serverName", "rootCAs", "rootcas", "certificates", "spiffe"],
        "certificates for nodes are not carried over",
    );
    let tls = match transport.bool("insecureSkipVerify") {
        Some(true) => None,
        _ => Some(json!({"verify": true})),
    };
    let timeout = transport.object("forwardingTimeouts").map(|times| {
        times.ignore(&["idleConnTimeout", "readIdleTimeout", "pingTimeout"]);
        let seconds = |key: &str, default: f64| {
            let given = times.text(key).and_then(|text| seconds(&text));
            number(given.filter(|seconds| *seconds > 0.0).unwrap_or(default))
        };
        let (connect, read) =
            (seconds("dialTimeout", 30.0), seconds("responseHeaderTimeout", 60.0));
        json!({"connect": connect, "send": 60, "read": read})
    });
    (tls, timeout)
}

fn checks(check: &Object<'_>) -> Value {
    check.ignore(&["followRedirects"]);
    check.only("mode", &json!("http"), "checks are HTTP's");
    let time = |key: &str, default: f64| {
        let given = check.text(key).and_then(|text| seconds(&text));
        given.filter(|seconds| *seconds > 0.0).unwrap_or(default)
    };
    let interval = time("interval", 30.0).round().max(1.0);
    let statuses = check.number("status").filter(|status| (200..600).contains(status));
    let headers: Vec<String> = check
        .named_texts("headers")
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let unhealthy = time("unhealthyInterval", interval).round().max(1.0);
    // Traefik goes by one answer.
    json!({"active": object([
        ("type", check.text("scheme").filter(|scheme| scheme == "https").unwrap_or_else(|| "http".into()).into()),
        ("http_path", check.text("path").unwrap_or_else(|| "/".into()).into()),
        ("http_method", check.text("method").map_or(Value::Null, Value::from)),
        ("host", check.text("hostname").map_or(Value::Null, Value::from)),
        ("port", check.number("port").map_or(Value::Null, Value::from)),
        ("timeout", number(time("timeout", 5.0))),
        ("req_headers", if headers.is_empty() { Value::Null } else { headers.into() }),
        ("healthy", object([
            ("interval", number(interval)),
            ("successes", 1.into()),
            ("http_statuses", statuses.map_or(Value::Null, |status| json!([status]))),
        ])),
        ("unhealthy", json!({
            "interval": number(unhealthy), "http_failures": 1, "tcp_failures": 1, "timeouts": 1,
        })),
    ])})
}
