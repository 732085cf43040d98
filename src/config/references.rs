//! References between the resources of a file, with APISIX's words where one leads nowhere.

use serde_json::{Map, Value};

use super::resource_file::{credential_owner, list};
use super::schema::{Kind, Violation};

/// Which fields name a resource of which kind.
fn fields(kind: Kind) -> &'static [(&'static str, Kind)] {
    match kind {
        Kind::Route => &[
            ("upstream_id", Kind::Upstream),
            ("service_id", Kind::Service),
            ("plugin_config_id", Kind::PluginConfig),
        ],
        Kind::Service => &[("upstream_id", Kind::Upstream)],
        Kind::StreamRoute => &[("upstream_id", Kind::Upstream), ("service_id", Kind::Service)],
        Kind::Consumer => &[("group_id", Kind::ConsumerGroup)],
        _ => &[],
    }
}

/// The references of a resource that lead nowhere.
pub(super) fn missing(
    kind: Kind,
    value: &Value,
    exists: &dyn Fn(Kind, &str) -> bool,
    is_client: &dyn Fn(&str) -> bool,
) -> Vec<Violation> {
    let mut missing = Vec::new();
    for &(field, target) in fields(kind) {
        let Some(id) = id(value.get(field)) else { continue };
        if !exists(target, &id) {
            missing.push((format!("/{field}"), not_found(target, &id)));
        }
    }
    let owner = credential_owner(value).filter(|_| kind == Kind::Consumer);
    if owner.is_some_and(|owner| !exists(Kind::Consumer, owner)) {
        missing.push(("/id".into(), "consumer not found".into()));
    }
    if let Some((upstream, at)) = upstream_of(kind, value) {
        let certificate = id(upstream.pointer("/tls/client_cert_id"));
        let wrong = certificate.and_then(|id| match exists(Kind::Ssl, &id) {
            false => Some(not_found(Kind::Ssl, &id)),
            true if !is_client(&id) => {
                Some(format!("failed to fetch ssl info by ssl id [{id}], wrong ssl type"))
            }
            true => None,
        });
        missing.extend(wrong.map(|reason| (format!("{at}/tls/client_cert_id"), reason)));
    }
    missing
}

/// The upstream that a resource is or holds, and where.
fn upstream_of(kind: Kind, value: &Value) -> Option<(&Value, &'static str)> {
    match kind {
        Kind::Upstream => Some((value, "")),
        Kind::Route | Kind::Service | Kind::StreamRoute => {
            value.get("upstream").map(|upstream| (upstream, "/upstream"))
        }
        _ => None,
    }
}

/// What a resource refers to.
pub(super) fn targets(kind: Kind, value: &Value) -> Vec<(Kind, String)> {
    let named = fields(kind).iter().filter_map(|&(field, of)| Some((of, id(value.get(field))?)));
    let certificate = upstream_of(kind, value)
        .and_then(|(upstream, _)| id(upstream.pointer("/tls/client_cert_id")))
        .map(|id| (Kind::Ssl, id));
    let plugins = value.get("plugins").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let protos = plugins.filter_map(|conf| Some((Kind::Proto, id(conf.get("proto_id"))?)));
    named.chain(certificate).chain(protos).collect()
}

/// `failed to fetch upstream info by upstream id [77], response code: 404`.
pub fn not_found(kind: Kind, id: &str) -> String {
    let name = kind.singular();
    format!("failed to fetch {name} info by {name} id [{id}], response code: 404")
}

/// Whether a file's ssl object is one that nodes are shown.
pub(super) fn is_client(file: &Map<String, Value>, wanted: &str) -> bool {
    list(file, Kind::Ssl).iter().any(|ssl| {
        id(ssl.get("id")).as_deref() == Some(wanted)
            && ssl.get("type").and_then(Value::as_str) == Some("client")
    })
}

fn id(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(id) => Some(id.clone()),
        id @ Value::Number(_) => Some(id.to_string()),
        _ => None,
    }
}
