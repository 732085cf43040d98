//! `GET /metrics`: asks every shard, merges, writes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::AdminState;
use crate::telemetry::exposition;

pub(super) async fn metrics(State(state): State<Arc<AdminState>>) -> Response {
    let snapshots = state.inspect.snapshots().await;
    let text = state.reporter.report(&snapshots, &state.inspect.facts());
    ([(CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response()
}
