//! APISIX's Control API, on its own address and without a key: what is configured and how nodes
//! are, for those on the same machine. Secrets are as they are stored.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};

use super::api::{described, kinds};
use super::guard::{self, Peer, canonical};
use super::{AdminState, BODY_MAX, answer, not_found};
use crate::config::entries::{Entry, Key};
use crate::config::schema::{self, Kind};
use crate::config::{PluginScope, split_address};
use crate::control::health::{EndpointHealth, UpstreamHealth};
use crate::plugin::{PluginKind, Scope};
use crate::upstream::health::CheckType;

type Gateway = State<Arc<AdminState>>;

/// What is served on the control address.
pub fn control_router(state: Arc<AdminState>) -> Router {
    Router::new()
        .route("/v1/healthcheck", get(healthchecks))
        .route("/v1/healthcheck/{kind}/{id}", get(healthcheck))
        .route("/v1/schema", get(schemas))
        .route("/v1/routes", get(async |state: Gateway| list(&state, Kind::Route)))
        .route("/v1/services", get(async |state: Gateway| list(&state, Kind::Service)))
        .route("/v1/upstreams", get(async |state: Gateway| list(&state, Kind::Upstream)))
        .route("/v1/route/{id}", get(async |state: Gateway, id| one(&state, Kind::Route, id)))
        .route("/v1/service/{id}", get(async |state: Gateway, id| one(&state, Kind::Service, id)))
        .route("/v1/upstream/{id}", get(async |state: Gateway, id| one(&state, Kind::Upstream, id)))
        .route("/v1/plugin_metadatas", get(metadatas))
        .route("/v1/plugin_metadata/{name}", get(metadata))
        .route("/v1/plugins/reload", put(async || "done"))
        .route("/v1/gc", post(async || StatusCode::OK))
        .fallback(not_found)
        // As in APISIX, where a path is there with its method only.
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn(guard::limit_time))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), require_near))
        .with_state(state)
}

/// Only this machine, and who may use the Admin API.
async fn require_near(
    State(state): Gateway,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let ip = canonical(peer);
    if ip.is_loopback() || state.allow.iter().any(|net| net.contains(&ip)) {
        return next.run(request).await;
    }
    answer(StatusCode::FORBIDDEN, &json!({"error_msg": "your address is not allowed"}))
}

/// A resource as APISIX dumps it.
fn dumped(state: &AdminState, key: &Key, entry: &Entry) -> Value {
    json!({
        "key": format!("{}/{}", prefix(state), key.path()),
        "value": normal(state, key.kind, &entry.value),
        "createdIndex": entry.created, "modifiedIndex": entry.modified,
        "orig_modifiedIndex": entry.modified, "update_count": 0, "clean_handlers": {},
        "has_domain": has_domain(&entry.value),
    })
}

/// What keys begin with: in APISIX those of files have none of etcd's prefix.
fn prefix(state: &AdminState) -> &'static str {
    if matches!(state.editor.store(), "file" | "api") { "" } else { "/apisix" }
}

/// A resource as APISIX holds it: with all defaults, nodes in array form, ids that are texts.
fn normal(state: &AdminState, kind: Kind, value: &Value) -> Value {
    let mut value = value.clone();
    schema::schema(kind).fill(&mut value);
    if let Some(id) = value.get_mut("id").filter(|id| id.is_number()) {
        *id = id.to_string().into();
    }
    let plugins = value.get_mut("plugins").and_then(Value::as_object_mut);
    for (name, conf) in plugins.into_iter().flatten() {
        if let Some(schema) = state.api.plugins.schema(name, PluginScope::Http) {
            schema.fill(conf);
        }
        if let Value::Object(conf) = conf {
            conf.entry("_meta").or_insert_with(|| json!({}));
        }
    }
    let upstream = match kind {
        Kind::Upstream => Some(&mut value),
        _ => value.get_mut("upstream"),
    };
    if let Some(nodes) = upstream.and_then(|upstream| upstream.get_mut("nodes"))
        && let Value::Object(map) = nodes
    {
        let node = |(address, weight): (&String, &Value)| {
            let (host, port) = split_address(address).unwrap_or((address, None));
            let mut node = json!({"host": host, "weight": weight});
            if let Some(port) = port {
                node["port"] = port.into();
            }
            node
        };
        *nodes = map.iter().map(node).collect();
    }
    value
}

/// Whether a node of its upstream is a name.
fn has_domain(value: &Value) -> bool {
    let upstream = value.get("upstream").unwrap_or(value);
    let is_name = |host: &str| {
        let host = host.trim_matches(['[', ']']);
        !host.is_empty() && host.parse::<std::net::IpAddr>().is_err()
    };
    match upstream.get("nodes") {
        Some(Value::Object(map)) => map
            .keys()
            .any(|node| is_name(split_address(node).map_or(node.as_str(), |(host, _)| host))),
        Some(Value::Array(list)) => {
            list.iter().filter_map(|node| node["host"].as_str()).any(is_name)
        }
        _ => false,
    }
}

fn list(state: &AdminState, kind: Kind) -> Response {
    let entries = state.editor.entries();
    let dump =
        |(id, entry): (&Arc<str>, &Arc<Entry>)| dumped(state, &Key::new(kind, id.clone()), entry);
    let all: Vec<Value> = entries.list(kind).map(dump).collect();
    axum::Json(all).into_response()
}

fn one(state: &AdminState, kind: Kind, Path(id): Path<String>) -> Response {
    let entries = state.editor.entries();
    match entries.get(kind, &id) {
        Some(entry) => axum::Json(dumped(state, &Key::new(kind, id), entry)).into_response(),
        None => missing(format!("{}[{id}] not found", kind.singular())),
    }
}

fn missing(why: String) -> Response {
    answer(StatusCode::NOT_FOUND, &json!({"error_msg": why}))
}

async fn metadatas(State(state): Gateway) -> Response {
    let entries = state.editor.entries();
    let all: Vec<&Value> = entries.list(Kind::PluginMetadata).map(|(_, e)| &e.value).collect();
    axum::Json(all).into_response()
}

async fn metadata(State(state): Gateway, Path(name): Path<String>) -> Response {
    match state.editor.entries().get(Kind::PluginMetadata, &name) {
        Some(entry) => axum::Json(&entry.value).into_response(),
        None => missing(format!("plugin metadata[{name}] not found")),
    }
}

async fn schemas(State(state): Gateway) -> Response {
    let of = |stream: bool| {
        let of = |kind: &&&dyn PluginKind| (kind.scope() == Scope::Stream) == stream;
        let kinds: Vec<_> = state.api.plugins.kinds().iter().filter(of).copied().collect();
        described(&kinds)
    };
    let all = json!({"main": kinds(), "plugins": of(false), "stream_plugins": of(true)});
    axum::Json(all).into_response()
}

/// `route/1` as `("routes", "1")`.
fn source(upstream: &str) -> (&'static str, &str) {
    match upstream.split_once('/') {
        Some(("route", id)) => ("routes", id),
        Some(("service", id)) => ("services", id),
        Some(("stream_route", id)) => ("stream_routes", id),
        _ => ("upstreams", upstream),
    }
}

fn checked(state: &AdminState, health: &UpstreamHealth) -> Value {
    let (kind, id) = source(&health.upstream);
    let node = |node: &EndpointHealth| {
        let is = node.health;
        json!({
            "ip": node.address.ip().to_string(), "port": node.address.port(),
            "hostname": &*node.host, "status": is.status.name(),
            "counter": {
                "success": is.success, "http_failure": is.http_failure,
                "tcp_failure": is.tcp_failure, "timeout_failure": is.timeout,
            },
        })
    };
    let speaks = match health.kind {
        CheckType::Http => "http",
        CheckType::Https => "https",
        CheckType::Tcp => "tcp",
        CheckType::Grpc => "grpc",
    };
    json!({
        "name": format!("{}/{kind}/{id}", prefix(state)), "type": speaks,
        "nodes": health.endpoints.iter().map(node).collect::<Vec<_>>(),
    })
}

async fn healthchecks(State(state): Gateway) -> Response {
    let health = state.inspect.health();
    let all: Vec<Value> = health.iter().map(|health| checked(&state, health)).collect();
    // Lua's empty table is written as an object.
    axum::Json(if all.is_empty() { json!({}) } else { all.into() }).into_response()
}

async fn healthcheck(State(state): Gateway, Path((kind, id)): Path<(String, String)>) -> Response {
    if !matches!(kind.as_str(), "routes" | "services" | "upstreams" | "stream_routes") {
        let why = format!("invalid src type {kind}");
        return answer(StatusCode::BAD_REQUEST, &json!({"error_msg": why}));
    }
    let all = state.inspect.health();
    match all.iter().find(|health| source(&health.upstream) == (kind.as_str(), id.as_str())) {
        Some(health) => axum::Json(checked(&state, health)).into_response(),
        None => missing(format!("{kind}[{id}] not found")),
    }
}
