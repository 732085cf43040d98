//! What is served over HTTP beside the proxy: APISIX's Admin API ([`api`]) and the gateway's own
//! endpoints on the Admin address, the metrics on theirs.
//!
//! ```text
//! serve: connection cap, deadlines (listen) → what is left of a body (rest) → allow list (guard)
//!        → body limit, time limit → routes; status and writes: a key (guard, key)
//! ```
//!
//! What the endpoints tell comes through [`Inspect`], so that this module knows no shard.

mod api;
mod audit;
mod canary;
mod changes;
mod control_api;
mod guard;
mod guarded;
pub mod key;
mod listen;
mod metrics;
mod rate;
mod rest;
mod revisions;
mod secured;
mod status;
pub mod ttl;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::canary::Canaries;
use super::editor::Editor;
use super::guarded::Guards;
use super::health::UpstreamHealth;
use crate::explain::Question;
use crate::telemetry::report::{ProcessFacts, Reporter};
use crate::telemetry::{Load, Snapshot};
pub use api::Api;
pub use control_api::control_router;
pub use guard::{Caller, Peer};
use key::Keys;
pub use listen::{Bounds, Guarded};
pub use metrics::EXPORT_URI;
use secured::Secured;
pub use secured::Terms;
pub use status::{ConfigState, ShardStatus, Status};

/// Bytes of a request body.
pub const BODY_MAX: usize = 4 * 1024 * 1024;
/// How long an endpoint may take to answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A future without a name, so that [`Inspect`] can be a `dyn` trait.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the endpoints ask of the gateway.
pub trait Inspect: Send + Sync + 'static {
    /// Every shard's metrics; a shard that does not answer in time is left out.
    fn snapshots(&self) -> Later<'_, Vec<Snapshot>>;

    /// Every shard's requests; a shard that does not answer in time is left out.
    fn loads(&self) -> Later<'_, Vec<Load>> {
        Box::pin(async { Vec::new() })
    }

    /// Numbers of the process for the metrics.
    fn facts(&self) -> ProcessFacts;

    /// The state of the gateway.
    fn status(&self) -> Later<'_, Status>;

    /// What would become of a request; an error says what is wrong with the question.
    fn explain(&self, question: Question) -> Later<'_, Result<Value, String>> {
        let _ = question;
        Box::pin(async { Err("there is no configuration to ask".into()) })
    }

    /// How the nodes are that are actively checked.
    fn health(&self) -> Vec<UpstreamHealth> {
        Vec::new()
    }

    /// Whether the process works at all; an error is the reason.
    fn healthy(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether every shard listens and holds a plan; an error is the reason. Not while draining.
    fn ready(&self) -> Result<(), String>;
}

/// What the endpoints share.
pub struct AdminState {
    /// The gateway.
    pub inspect: Arc<dyn Inspect>,
    /// Who may ask.
    pub keys: Keys,
    /// Peers that are answered at all; empty: none.
    pub allow: Vec<IpNet>,
    /// Writes the metrics.
    pub reporter: Reporter,
    /// The resources, and the way to change them.
    pub editor: Editor,
    /// What APISIX's Admin API needs beside it.
    pub api: Api,
    /// Changes that are watched.
    pub guards: Guards,
    /// Configurations on trial.
    pub canaries: Canaries,
}

/// An answer in JSON with a status, and with the line feed that APISIX puts behind it.
pub(crate) fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn not_found() -> Response {
    answer(StatusCode::NOT_FOUND, &json!({"error_msg": "not found"}))
}

async fn wrong_method() -> Response {
    answer(StatusCode::METHOD_NOT_ALLOWED, &json!({"error_msg": "method not allowed"}))
}

/// What is served on the Admin address.
pub fn admin_router(state: Arc<AdminState>) -> Router {
    let keyed = Router::new()
        .route("/ringgate/status", get(status::status))
        .route("/ringgate/explain", post(super::explain::explain))
        .merge(history(&state))
        .route_layer(middleware::from_fn(audit::audit))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&state), guard::require_key));
    Router::new()
        .route("/ringgate/health", get(status::health))
        .route("/ringgate/ready", get(status::ready))
        .merge(keyed)
        .merge(api::router(&state))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(guard::limit_time))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), guard::require_allowed))
        .with_state(state)
}

/// The history and what goes with it.
fn history(state: &Arc<AdminState>) -> Router<Arc<AdminState>> {
    Router::new()
        .route("/ringgate/changes", post(changes::post))
        .route("/ringgate/revisions/{number}/rollback", post(revisions::rollback))
        .route("/ringgate/canary/promote", post(canary::promote))
        .route_layer(middleware::from_fn_with_state(Arc::clone(state), guarded::guarded))
        .route("/ringgate/revisions", get(revisions::list))
        .route("/ringgate/revisions/diff", get(revisions::diff))
        .route("/ringgate/revisions/verify", get(revisions::verify).post(revisions::verify))
        .route("/ringgate/revisions/{number}", get(revisions::one))
        .route("/ringgate/guard", get(guarded::list))
        .route("/ringgate/canary", get(canary::get).post(canary::post))
        .route("/ringgate/canary/withdraw", post(canary::withdraw))
}

/// What is served on the metrics address; without a key, as exporters are. `export_uri` is the
/// path beside `/metrics`.
pub fn metrics_router(state: Arc<AdminState>, export_uri: &str) -> Router {
    let export_uri: Arc<str> = export_uri.into();
    // Compared, not routed: what an operator writes need not be a pattern.
    let elsewhere = async move |State(state), request: Request| match request.uri().path() {
        path if path != &*export_uri => not_found().await,
        _ if request.method() == Method::GET => metrics::metrics(State(state)).await,
        _ => wrong_method().await,
    };
    Router::new()
        .route("/metrics", get(metrics::metrics))
        .fallback(elsewhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(guard::limit_time))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(state)
}

/// Serves a router until `ended` completes; then answers what is under way and returns. With terms,
/// over TLS.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    bounds: Bounds,
    terms: Option<Arc<Terms>>,
    ended: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = Guarded::new(listener, bounds);
    let router = router.layer(middleware::from_fn(rest::take));
    if let Some(terms) = terms {
        let listener = Secured::new(listener, terms);
        let service = router.into_make_service_with_connect_info::<Peer>();
        return axum::serve(listener, service).with_graceful_shutdown(ended).await;
    }
    let service = router.into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service).with_graceful_shutdown(ended).await
}

/// Whether the Admin API may listen there: beyond loopback only with keys that are neither short
/// nor known to everybody.
pub fn check_exposure(address: SocketAddr, keys: &Keys) -> Result<(), String> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    match keys.weakness() {
        None => Ok(()),
        Some(weakness) => Err(format!(
            "the Admin API does not listen on {address}, which is not loopback, with {weakness}"
        )),
    }
}

#[cfg(test)]
mod tests;
