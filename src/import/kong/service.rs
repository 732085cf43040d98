//! Kong's services.

use serde_json::{Map, Value, json};

use super::{RECORDS, Reader, labels, names, plugins::Place, route};
use crate::config::schema::Kind;
use crate::import::draft::Plugins;
use crate::import::finish::object;
use crate::import::names::number;
use crate::import::object::Object;

/// Where a service's requests go.
pub(super) struct Target {
    /// Its protocol.
    pub(super) protocol: String,
    host: String,
    port: u16,
    /// What stands before the path that is left; empty for none.
    pub(super) path: String,
    retries: Option<u64>,
    timeout: Option<Value>,
    tls: Option<Value>,
}

/// A service as its routes see it.
pub(super) struct Service<'s> {
    pub(super) target: &'s Target,
    /// Its id; none for streams, whose routes stand alone.
    pub(super) id: Option<&'s str>,
    pub(super) plugins: &'s Plugins,
    pub(super) origin: &'s str,
    /// Whether the upstream that it has passes the client's host on.
    pub(super) preserves_host: bool,
    pub(super) enabled: bool,
}

/// Reads services with their routes, and the routes at the top.
pub(super) fn read<'a>(reader: &Reader<'a>, root: &Object<'a>) {
    let mut apart = root.objects("routes");
    for service in root.objects("services") {
        let names = names(&service, "name");
        let mut routes = service.objects("routes");
        let belongs = |route: &Object<'_>| {
            let of = route.get("service").and_then(super::reference);
            of.is_some_and(|of| names.contains(&of))
        };
        let (mine, others): (Vec<_>, Vec<_>) = apart.into_iter().partition(belongs);
        apart = others;
        routes.extend(mine);
        one(reader, &service, &names, routes);
    }
    for alone in apart {
        match alone.get("service").and_then(super::reference) {
            Some(of) => alone.lose_whole(format!("service {of} is not in this file")),
            None => route::read(reader, &alone, None),
        }
    }
}

fn one<'a>(reader: &Reader<'a>, service: &Object<'a>, names: &[String], routes: Vec<Object<'a>>) {
    service.ignore(&RECORDS);
    let Some(target) = target(service) else { return };
    let wanted = names.first().unwrap_or(&target.host);
    let enabled = service.bool("enabled").unwrap_or(true);
    let mut plugins = reader.plugins_of("service", names, service, Place::Request);
    if matches!(&*target.protocol, "tcp" | "tls" | "udp" | "tls_passthrough") {
        let service = Service {
            target: &target,
            id: None,
            plugins: &plugins,
            origin: &service.pointer,
            preserves_host: false,
            enabled,
        };
        routes.iter().for_each(|route| route::read(reader, route, Some(&service)));
        return;
    }
    reader.inherit(&mut plugins);
    let preserves_host =
        !routes.is_empty() && routes.iter().all(|route| route.bool("preserve_host") == Some(true));
    let id = reader.draft.id(Kind::Service, wanted);
    let mut value = object([
        ("id", id.clone().into()),
        ("name", wanted.as_str().into()),
        ("labels", labels(service)),
        // Kong lets clients switch wherever the node does.
        ("enable_websocket", true.into()),
    ]);
    place_upstream(reader, &target, preserves_host, &service.pointer, &mut value);
    reader.draft.add(Kind::Service, &service.pointer, value, plugins.clone());
    let service = Service {
        target: &target,
        id: Some(&id),
        plugins: &plugins,
        origin: &service.pointer,
        preserves_host,
        enabled,
    };
    routes.iter().for_each(|route| route::read(reader, route, Some(&service)));
}

impl Reader<'_> {
    /// Adds the global plugins that must stand on every service.
    pub(super) fn inherit(&self, own: &mut Plugins) {
        for (name, conf) in &self.everywhere.map {
            if !own.contains(name) {
                own.map.insert(name.clone(), conf.clone());
                let origin = self.everywhere.origins.get(name).cloned().unwrap_or_default();
                own.origins.insert(name.clone(), origin);
            }
        }
        if own.unguarded.is_none() {
            own.unguarded = self.everywhere.unguarded.clone();
        }
    }
}

/// Puts a service's upstream into a service, a route or a stream route: inside, or by its id where
/// Kong has an upstream of that name.
pub(super) fn place_upstream(
    reader: &Reader<'_>,
    target: &Target,
    preserves_host: bool,
    origin: &str,
    into: &mut Value,
) {
    let mut value = Map::new();
    let balanced = reader.upstreams.get(&target.host).map(|balanced| balanced.take());
    match balanced {
        Some(balanced) => value.extend(balanced.value.clone()),
        None => {
            let bare = target.host.contains(':') && !target.host.starts_with('[');
            let host = if bare { format!("[{}]", target.host) } else { target.host.clone() };
            value.insert("type".into(), "roundrobin".into());
            value.insert("nodes".into(), json!({ format!("{host}:{}", target.port): 1 }));
        }
    }
    let scheme = match &*target.protocol {
        "ws" => "http",
        "wss" => "https",
        "tls_passthrough" => "tcp",
        other => other,
    };
    if scheme != "http" {
        value.insert("scheme".into(), scheme.into());
    }
    if !matches!(scheme, "tcp" | "udp" | "tls") {
        let host = balanced.and_then(|balanced| balanced.host.as_ref());
        match (preserves_host, host) {
            (true, _) => {}
            (false, Some(host)) => {
                value.insert("pass_host".into(), "rewrite".into());
                value.insert("upstream_host".into(), host.as_str().into());
            }
            (false, None) => _ = value.insert("pass_host".into(), "node".into()),
        }
    }
    for (key, given) in [
        ("retries", target.retries.map(Value::from)),
        ("timeout", target.timeout.clone()),
        ("tls", target.tls.clone()),
    ] {
        if let Some(given) = given {
            value.insert(key.into(), given);
        }
    }
    let value = Value::Object(value);
    match balanced {
        Some(balanced) => {
            let id = reader.share(&target.host, &value, &balanced.origin);
            into["upstream_id"] = id.into();
        }
        None => into["upstream"] = value,
    }
    let _ = origin;
}

fn target(service: &Object<'_>) -> Option<Target> {
    service.without(
        &["client_certificate", "ca_certificates", "tls_verify_depth", "tls_sans"],
        "certificates for nodes are not carried over",
    );
    let mut protocol = service.text("protocol");
    let mut host = service.text("host");
    let mut port = service.number("port");
    let mut path = service.text("path");
    if let Some(url) = service.text("url") {
        let Some((scheme, rest)) = url.split_once("://") else {
            service.lose_whole("url: expected protocol://host:port/path");
            return None;
        };
        let (authority, behind) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let split = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let (name, given) =
            split.map_or((authority, None), |(name, port)| (name, port.parse().ok()));
        protocol.get_or_insert(scheme.to_owned());
        host.get_or_insert(name.to_owned());
        port = port.or(given);
        if !behind.is_empty() {
            path.get_or_insert(behind.to_owned());
        }
    }
    let protocol = protocol.unwrap_or_else(|| "http".into());
    let known =
        ["http", "https", "grpc", "grpcs", "tcp", "tls", "udp", "ws", "wss", "tls_passthrough"];
    if !known.contains(&&*protocol) {
        service.lose_whole(format!("protocol {protocol} is not known"));
        return None;
    }
    let Some(host) = host else {
        service.lose_whole("has neither host nor url");
        return None;
    };
    let default = if matches!(&*protocol, "https" | "grpcs" | "wss" | "tls") { 443 } else { 80 };
    let port = match u16::try_from(port.unwrap_or(default)) {
        Ok(port) if port > 0 => port,
        _ => {
            service.lose_whole("port: expected 1 to 65535");
            return None;
        }
    };
    let path = path.filter(|path| path != "/").unwrap_or_default();
    let times = ["connect_timeout", "write_timeout", "read_timeout"].map(|key| service.number(key));
    let timeout = times.iter().any(Option::is_some).then(|| {
        // Milliseconds there; 60 s is Kong's default.
        let [connect, send, read] =
            times.map(|time| number(time.unwrap_or(60_000).max(1) as f64 / 1000.0));
        json!({"connect": connect, "send": send, "read": read})
    });
    let tls = service.bool("tls_verify").filter(|verify| *verify);
    Some(Target {
        protocol,
        host,
        port,
        path,
        retries: service.number("retries"),
        timeout,
        tls: tls.map(|verify| json!({"verify": verify})),
    })
}
