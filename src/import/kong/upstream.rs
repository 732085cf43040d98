//! Kong's upstreams and targets.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{RECORDS, Reader, names};
use crate::import::finish::object;
use crate::import::names::number;
use crate::import::object::Object;

/// Port of a target that names none.
const TARGET_PORT: u16 = 8000;
/// Weight of a target that names none.
const TARGET_WEIGHT: u64 = 100;

/// An upstream, as far as it does not hang on the service that names it.
pub(super) struct Balanced {
    /// Nodes, algorithm, checks.
    pub(super) value: Map<String, Value>,
    /// `host_header`.
    pub(super) host: Option<String>,
    pub(super) origin: String,
    used: std::cell::Cell<bool>,
}

pub(super) fn read(root: &Object<'_>) -> BTreeMap<String, Balanced> {
    let mut upstreams = BTreeMap::new();
    // Targets may stand at the top too, with the upstream that they belong to.
    let mut apart: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for target in root.objects("targets") {
        let of = target.get("upstream").and_then(super::reference);
        match of {
            Some(of) => node(&target, apart.entry(of).or_default()),
            None => target.lose_whole("names no upstream"),
        }
    }
    for upstream in root.objects("upstreams") {
        upstream.ignore(&RECORDS);
        upstream.ignore(&["slots", "tags", "use_srv_name", "sticky_sessions_cookie_path"]);
        let names = names(&upstream, "name");
        let Some(name) = names.first().cloned() else {
            upstream.lose_whole("has no name");
            continue;
        };
        let mut nodes = Map::new();
        for target in upstream.objects("targets") {
            node(&target, &mut nodes);
        }
        names.iter().filter_map(|name| apart.remove(name)).for_each(|more| nodes.extend(more));
        let mut value = balancing(&upstream);
        value.insert("nodes".into(), nodes.into());
        if let Some(checks) =
            upstream.object("healthchecks").and_then(|checks| self::checks(&checks))
        {
            value.insert("checks".into(), checks);
        }
        let balanced = Balanced {
            value,
            host: upstream.text("host_header"),
            origin: upstream.pointer.clone(),
            used: Default::default(),
        };
        upstreams.insert(name, balanced);
    }
    for (of, _) in apart {
        root.draft.lose("/targets", format!("upstream {of} is not in this file"));
    }
    upstreams
}

impl Balanced {
    /// Notes that a service names it.
    pub(super) fn take(&self) -> &Balanced {
        self.used.set(true);
        self
    }
}

/// Writes the upstreams that no service names.
pub(super) fn unused(reader: &Reader<'_>) {
    for (name, upstream) in &reader.upstreams {
        if !upstream.used.get() {
            let value = Value::Object(upstream.value.clone());
            reader.share(name, &value, &upstream.origin);
        }
    }
}

fn node(target: &Object<'_>, nodes: &mut Map<String, Value>) {
    target.ignore(&RECORDS);
    target.ignore(&["upstream", "tags"]);
    let Some(address) = target.text("target") else {
        target.lose_whole("names no target");
        return;
    };
    let has_port = match address.rsplit_once(':') {
        Some((host, port)) => {
            port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
        }
        None => false,
    };
    let address = if has_port { address } else { format!("{address}:{TARGET_PORT}") };
    let weight = target.number("weight").unwrap_or(TARGET_WEIGHT);
    nodes.insert(address, weight.into());
}

/// `type`, `hash_on` and `key`.
fn balancing(upstream: &Object<'_>) -> Map<String, Value> {
    upstream.without(
        &["hash_fallback_header", "hash_fallback_query_arg", "hash_fallback_uri_capture"],
        "where a request has nothing to hash, the client's address is taken",
    );
    upstream.without(&["client_certificate"], "certificates for nodes are named by services");
    upstream
        .without(&["sticky_sessions_cookie"], "sessions are not pinned by cookies of the gateway");
    if let Some(fallback) = upstream.text("hash_fallback")
        && !matches!(&*fallback, "none" | "ip")
    {
        upstream.lose("hash_fallback", "where a request has nothing to hash, its address is taken");
    }
    let algorithm = upstream.text("algorithm").unwrap_or_else(|| "round-robin".into());
    let hash_on = upstream.text("hash_on").unwrap_or_else(|| "none".into());
    let key = |name: &str| upstream.text(name).unwrap_or_default();
    let details = [
        ("hash_on_header", key("hash_on_header")),
        ("hash_on_cookie", key("hash_on_cookie")),
        ("hash_on_query_arg", key("hash_on_query_arg")),
    ];
    upstream.ignore(&["hash_on_cookie_path", "hash_on_uri_capture"]);
    let detail =
        |name: &str| details.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
    let mut map = Map::new();
    let mut set = |key: &str, value: &str| _ = map.insert(key.into(), value.into());
    match &*algorithm {
        "least-connections" => set("type", "least_conn"),
        "latency" => set("type", "ewma"),
        "consistent-hashing" => {
            let (on, key) = match &*hash_on {
                "none" | "ip" => ("vars", "remote_addr".to_owned()),
                "path" => ("vars", "uri".to_owned()),
                "consumer" => ("consumer", String::new()),
                "header" => ("header", detail("hash_on_header").unwrap_or_default()),
                "cookie" => ("cookie", detail("hash_on_cookie").unwrap_or_default()),
                "query_arg" => {
                    ("vars", format!("arg_{}", detail("hash_on_query_arg").unwrap_or_default()))
                }
                other => {
                    upstream.lose(
                        "hash_on",
                        format!("{other}: the client's address is hashed instead"),
                    );
                    ("vars", "remote_addr".to_owned())
                }
            };
            set("type", "chash");
            set("hash_on", on);
            if !key.is_empty() {
                set("key", &key);
            }
        }
        "round-robin" => set("type", "roundrobin"),
        other => {
            upstream.lose("algorithm", format!("{other}: nodes take turns instead"));
            set("type", "roundrobin");
        }
    }
    map
}

fn checks(checks: &Object<'_>) -> Option<Value> {
    checks.only("threshold", &json!(0), "a share of nodes that must be well is not known");
    let active = checks.object("active").and_then(|active| self::active(&active));
    let passive = checks.object("passive");
    match (active, passive) {
        (Some(active), passive) => {
            let passive = passive.and_then(|passive| self::passive(&passive));
            Some(object([("active", active), ("passive", passive.unwrap_or_default())]))
        }
        (None, Some(passive)) => {
            if self::passive(&passive).is_some() {
                passive.lose_whole("passive checks need active ones, which bring a node back");
            }
            None
        }
        (None, None) => None,
    }
}

/// Active checks; none where Kong's intervals of 0 turn them off.
fn active(active: &Object<'_>) -> Option<Value> {
    let kind = active.text("type").unwrap_or_else(|| "http".into());
    let healthy = active.object("healthy");
    let unhealthy = active.object("unhealthy");
    let interval = |part: &Option<Object<'_>>| {
        part.as_ref().and_then(|part| part.float("interval")).filter(|seconds| *seconds > 0.0)
    };
    let (well, ill) = (interval(&healthy), interval(&unhealthy));
    if well.is_none() && ill.is_none() {
        for part in [healthy, unhealthy].into_iter().flatten() {
            part.forget();
        }
        active.forget();
        return None;
    }
    active.ignore(&["https_sni"]);
    let headers = active.named_lists("headers");
    let lines: Vec<String> = headers
        .into_iter()
        .flat_map(|(name, values)| values.into_iter().map(move |value| format!("{name}: {value}")))
        .collect();
    let part = |part: Option<Object<'_>>,
                interval: Option<f64>,
                other: Option<f64>,
                counts: &[&'static str]| {
        let mut map = Map::new();
        // A side that Kong does not probe is probed as often as the other one.
        let seconds = interval.or(other).unwrap_or(1.0).max(1.0).round();
        map.insert("interval".into(), number(seconds));
        if let Some(part) = part {
            counted(&part, counts, 1, &mut map);
        }
        Value::Object(map)
    };
    Some(object([
        ("type", kind.into()),
        ("timeout", active.float("timeout").map_or(Value::Null, number)),
        ("concurrency", active.number("concurrency").map_or(Value::Null, Value::from)),
        ("http_path", active.text("http_path").map_or(Value::Null, Value::from)),
        (
            "https_verify_certificate",
            active.bool("https_verify_certificate").map_or(Value::Null, Value::from),
        ),
        ("req_headers", if lines.is_empty() { Value::Null } else { lines.into() }),
        ("healthy", part(healthy, well, ill, &["successes"])),
        ("unhealthy", part(unhealthy, ill, well, &["http_failures", "tcp_failures", "timeouts"])),
    ]))
}

/// Passive checks; none where all their counts are 0, which turns them off.
fn passive(passive: &Object<'_>) -> Option<Value> {
    let kind = passive.text("type").unwrap_or_else(|| "http".into());
    let mut parts = [Map::new(), Map::new()];
    let mut counts = 0;
    for (map, (name, keys)) in parts.iter_mut().zip([
        ("healthy", &["successes"][..]),
        ("unhealthy", &["http_failures", "tcp_failures", "timeouts"]),
    ]) {
        if let Some(part) = passive.object(name) {
            counted(&part, keys, 0, map);
        }
        // What is left out is 0 in Kong, and off.
        for key in keys {
            let value = map.entry(*key).or_insert(json!(0));
            counts += value.as_u64().unwrap_or(0);
        }
    }
    let [healthy, unhealthy] = parts;
    (counts > 0).then(|| {
        json!({"type": kind.replace("grpc", "http"), "healthy": healthy, "unhealthy": unhealthy})
    })
}

fn counted(part: &Object<'_>, keys: &[&'static str], least: u64, map: &mut Map<String, Value>) {
    part.ignore(&["interval"]);
    for key in keys {
        match part.number(key) {
            Some(count) if count >= least => {
                map.insert((*key).into(), count.min(254).into());
            }
            Some(_) => {
                // 0 turns the count off, which active checks cannot: the largest is the nearest.
                map.insert((*key).into(), 254.into());
            }
            None => {}
        }
    }
    let statuses: Vec<u64> =
        part.items("http_statuses").iter().filter_map(|(_, status)| status.as_u64()).collect();
    let fits: Vec<u64> =
        statuses.iter().copied().filter(|status| (200..600).contains(status)).collect();
    if fits.len() < statuses.len() {
        part.lose("http_statuses", "statuses below 200 and above 599 are left out");
    }
    if !fits.is_empty() {
        map.insert("http_statuses".into(), fits.into());
    }
}
