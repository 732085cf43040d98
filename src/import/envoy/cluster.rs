//! Envoy's clusters.

use serde_json::{Map, Value, json};

use super::Reader;
use crate::config::schema::Kind;
use crate::import::draft::Plugins;
use crate::import::finish::object;
use crate::import::names::{number, seconds};
use crate::import::object::Object;

/// What a route adds to an upstream.
#[derive(Default, Clone, PartialEq)]
pub(super) struct Use {
    pub(super) timeout: Option<f64>,
    pub(super) retries: Option<u64>,
    /// `Host` for nodes: a text, or the node's own name.
    pub(super) host: Option<String>,
    pub(super) node_host: bool,
}

/// The id of the upstream for a cluster, as a route uses it.
pub(super) fn upstream(
    reader: &Reader<'_>,
    clusters: &[(String, u64)],
    used: &Use,
) -> Option<String> {
    let mut value: Option<Map<String, Value>> = None;
    let mut nodes: Vec<(String, u64, i64)> = Vec::new();
    let mut origin = String::new();
    for (name, weight) in clusters {
        let Some(cluster) = reader.clusters.get(name) else {
            reader
                .draft
                .lose("/static_resources/clusters", format!("cluster {name} is not in this file"));
            return None;
        };
        reader.written.borrow_mut().entry(name.clone()).or_default();
        let (its, of) = read(cluster)?;
        origin = cluster.pointer.clone();
        match &value {
            None => value = Some(its),
            Some(first) if *first != its => {
                cluster.lose_whole("its settings differ from those of the cluster beside it");
                return None;
            }
            Some(_) => {}
        }
        let sum: u64 = of.iter().map(|(_, weight, _)| weight).sum::<u64>().max(1);
        // A node's share is its cluster's share, times its own of the cluster, in ten thousandths.
        let share = |own: u64| match clusters.len() {
            1 => own,
            _ => (weight * own * 10_000 / sum).max(u64::from(weight * own > 0)),
        };
        nodes.extend(of.into_iter().map(|(node, own, priority)| (node, share(own), priority)));
    }
    let mut value = value?;
    value.insert("nodes".into(), listed(&nodes));
    if let Some(seconds) = used.timeout {
        let connect = value.remove("connect").unwrap_or(json!(5));
        value.insert(
            "timeout".into(),
            json!({"connect": connect, "send": 60, "read": number(seconds)}),
        );
    } else if let Some(connect) = value.remove("connect") {
        value.insert("timeout".into(), json!({"connect": connect, "send": 60, "read": 60}));
    }
    if let Some(retries) = used.retries {
        value.insert("retries".into(), retries.into());
    }
    match (&used.host, used.node_host) {
        (Some(host), _) => {
            value.insert("pass_host".into(), "rewrite".into());
            value.insert("upstream_host".into(), host.as_str().into());
        }
        (None, true) => _ = value.insert("pass_host".into(), "node".into()),
        (None, false) => {}
    }
    let names: Vec<&str> = clusters.iter().map(|(name, _)| name.as_str()).collect();
    let name = names.join("-");
    let key = format!("{name} {}", Value::Object(value.clone()));
    if let Some(id) = reader.written.borrow().get(&key) {
        return Some(id.clone());
    }
    let id = reader.draft.id(Kind::Upstream, &name);
    let mut written = Map::from_iter([("id".to_owned(), Value::from(id.clone()))]);
    written.extend(value);
    reader.draft.add(Kind::Upstream, &origin, Value::Object(written), Plugins::default());
    reader.written.borrow_mut().insert(key, id.clone());
    Some(id)
}

fn listed(nodes: &[(String, u64, i64)]) -> Value {
    if nodes.iter().all(|(_, _, priority)| *priority == 0) {
        let map: Map<String, Value> =
            nodes.iter().map(|(node, weight, _)| (node.clone(), (*weight).into())).collect();
        return Value::Object(map);
    }
    let entry = |(node, weight, priority): &(String, u64, i64)| {
        let (host, port) = node.rsplit_once(':').unwrap_or((node, "80"));
        let port: u16 = port.parse().unwrap_or(80);
        json!({"host": host.trim_matches(['[', ']']), "port": port, "weight": weight, "priority": priority})
    };
    nodes.iter().map(entry).collect()
}

/// Settings, and nodes with weights and priorities.
type Cluster = (Map<String, Value>, Vec<(String, u64, i64)>);

fn read(cluster: &Object<'_>) -> Option<Cluster> {
    cluster.ignore(&[
        "name",
        "dns_lookup_family",
        "dns_refresh_rate",
        "respect_dns_ttl",
        "alt_stat_name",
        "per_connection_buffer_limit_bytes",
        "common_lb_config",
        "metadata",
    ]);
    cluster.without(
        &[
            "circuit_breakers",
            "upstream_connection_options",
            "typed_extension_protocol_options",
            "http_protocol_options",
            "http2_protocol_options",
            "ring_hash_lb_config",
        ],
        "has no equivalent",
    );
    cluster.without(&["outlier_detection"], "passive checks need active ones of the same upstream");
    if cluster.text("type").is_some_and(|kind| kind == "EDS" || kind == "ORIGINAL_DST") {
        cluster.lose_whole("what is discovered is not in the file");
        return None;
    }
    let mut value = Map::new();
    let kind = match cluster.text("lb_policy").as_deref().unwrap_or("ROUND_ROBIN") {
        "LEAST_REQUEST" => "least_conn",
        "RING_HASH" | "MAGLEV" => "chash",
        "ROUND_ROBIN" => "roundrobin",
        other => {
            cluster.lose("lb_policy", format!("{other}: nodes take turns"));
            "roundrobin"
        }
    };
    value.insert("type".into(), kind.into());
    if kind == "chash" {
        cluster.lose(
            "lb_policy",
            "hashed by the client's address; routes' hash_policy is not carried over",
        );
        value.insert("key".into(), "remote_addr".into());
    }
    if let Some(connect) = cluster.text("connect_timeout").and_then(|text| seconds(&text)) {
        value.insert("connect".into(), number(connect));
    }
    if let Some(socket) = cluster.object("transport_socket") {
        socket.ignore(&["name"]);
        if let Some(tls) = socket.object("typed_config") {
            tls.ignore(&["@type"]);
            tls.without(
                &["sni", "common_tls_context"],
                "certificates for nodes are not carried over",
            );
        }
        value.insert("scheme".into(), "https".into());
    }
    if let Some(check) = cluster.objects("health_checks").first() {
        value.insert("checks".into(), checks(check));
    }
    let mut nodes = Vec::new();
    let assignment = cluster.object("load_assignment")?;
    assignment.ignore(&["cluster_name"]);
    for group in assignment.objects("endpoints") {
        group.ignore(&["locality"]);
        group.without(&["load_balancing_weight"], "weights are those of the nodes");
        let priority = -(group.integer("priority").unwrap_or(0));
        for endpoint in group.objects("lb_endpoints") {
            let weight = endpoint.number("load_balancing_weight").unwrap_or(1);
            endpoint.ignore(&["metadata"]);
            endpoint.only("health_status", &json!("HEALTHY"), "how nodes are, checks say");
            let address = endpoint.object("endpoint").and_then(|e| e.object("address"));
            let socket = address.and_then(|address| address.object("socket_address"));
            let Some(socket) = socket else { continue };
            socket.ignore(&["protocol"]);
            let host = socket.text("address").unwrap_or_default();
            let port = socket.number("port_value").unwrap_or(80);
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            nodes.push((format!("{host}:{port}"), weight, priority));
        }
    }
    Some((value, nodes))
}

fn checks(check: &Object<'_>) -> Value {
    check.ignore(&[
        "no_traffic_interval",
        "unhealthy_edge_interval",
        "healthy_edge_interval",
        "reuse_connection",
    ]);
    let time = |key: &str, default: f64| {
        let given = check.text(key).and_then(|text| seconds(&text)).filter(|s| *s > 0.0);
        given.unwrap_or(default)
    };
    let count = |key: &str, default: u64| check.number(key).unwrap_or(default).clamp(1, 254);
    let interval = time("interval", 10.0).round().max(1.0);
    let down = time("unhealthy_interval", interval).round().max(1.0);
    let (well, ill) = (count("healthy_threshold", 1), count("unhealthy_threshold", 1));
    let http = check.object("http_health_check");
    let path = http.as_ref().and_then(|http| http.text("path"));
    let host = http.as_ref().and_then(|http| http.text("host"));
    check.ignore(&["tcp_health_check", "http_health_check"]);
    json!({"active": object([
        ("type", if http.is_some() { "http" } else { "tcp" }.into()),
        ("http_path", path.map_or(Value::Null, Value::from)),
        ("host", host.map_or(Value::Null, Value::from)),
        ("timeout", number(time("timeout", 5.0))),
        ("healthy", json!({"interval": number(interval), "successes": well})),
        ("unhealthy", json!({
            "interval": number(down), "http_failures": ill, "tcp_failures": ill, "timeouts": ill,
        })),
    ])})
}
