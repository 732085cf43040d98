//! The state of the gateway as JSON, and whether it is well.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::{AdminState, answer};

/// A shard.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ShardStatus {
    /// Its number.
    pub shard: usize,
    /// The CPU that it is pinned to.
    pub cpu: Option<usize>,
    /// `io_uring` or `epoll`.
    pub engine: String,
    /// What an io_uring was set up with: flags and entries.
    pub engine_setup: String,
    /// Why it is that one.
    pub engine_reason: String,
    /// The generation of the plan that its new requests get.
    pub plan_generation: u64,
    /// Client connections open.
    pub connections: u64,
    /// How often it was restarted.
    pub restarts: u64,
    /// Whether it answered just now.
    pub alive: bool,
}

/// Where the configuration comes from and whether it is as wanted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ConfigState {
    /// `file`, `embedded`, `etcd`…
    pub store: String,
    /// The file or address.
    pub source: String,
    /// The generation of the newest plan.
    pub generation: u64,
    /// When it was made, in milliseconds since 1970.
    pub loaded_at_ms: u64,
    /// Why the newest configuration was refused; `None` while it is in force.
    pub last_error: Option<String>,
    /// Why a shared store cannot be followed now; `None` while it is.
    pub store_error: Option<String>,
    /// Whether nothing is known yet: the store was never read, and nothing is remembered of it.
    pub waiting: bool,
}

/// The gateway.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Whether it is ending.
    pub draining: bool,
    /// Client connections open, over all shards.
    pub connections: u64,
    /// Each shard.
    pub shards: Vec<ShardStatus>,
    /// The configuration.
    pub config: ConfigState,
    /// The disk tier: `glommio`, `thread`, or `off`.
    pub disk: String,
    /// Why the disk tier is not on glommio.
    pub disk_reason: Option<String>,
}

pub(super) async fn status(State(state): State<Arc<AdminState>>) -> Response {
    Json(state.inspect.status().await).into_response()
}

fn verdict(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => answer(StatusCode::OK, &json!({"status": "ok"})),
        Err(reason) => {
            let body = json!({"status": "unavailable", "error_msg": reason});
            answer(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

pub(super) async fn health(State(state): State<Arc<AdminState>>) -> Response {
    verdict(state.inspect.healthy())
}

pub(super) async fn ready(State(state): State<Arc<AdminState>>) -> Response {
    verdict(state.inspect.ready())
}
