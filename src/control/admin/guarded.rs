//! Guarded writes: any endpoint that writes can be asked to watch what it did and to take it back,
//! by `?guard=…` or the field `X-Ringgate-Guard`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{AdminState, answer};
use crate::control::editor::recording;
use crate::control::guarded::{Limits, RUNNING_MAX};

/// Asks for a guard, and tells of it in the answer.
const FIELD: HeaderName = HeaderName::from_static("x-ringgate-guard");

/// The layer for routes that write. A request that does not ask for a guard goes through.
pub(super) async fn guarded(
    State(state): State<Arc<AdminState>>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let refused = |status, why: &str| answer(status, &json!({"error_msg": why}));
    let limits = match asked(&request) {
        Ok(None) => return next.run(request).await,
        Ok(Some(limits)) => limits,
        Err(why) => return refused(StatusCode::BAD_REQUEST, &format!("guard: {why}")),
    };
    if state.guards.is_full() {
        let why = format!("{RUNNING_MAX} changes are watched already; nothing was changed");
        return refused(StatusCode::CONFLICT, &why);
    }
    // In a task of its own: a client that leaves takes the guard with it no more than the write.
    let work = tokio::spawn(async move {
        let (mut response, revisions) = recording(next.run(request)).await;
        let told = match revisions.as_slice() {
            [] => "nothing was changed".to_owned(),
            revisions => {
                let numbers: Vec<String> = revisions.iter().map(u64::to_string).collect();
                let (inspect, editor) = (state.inspect.clone(), state.editor.clone());
                let told = format!("revision={}, seconds={}", numbers.join(" "), limits.seconds);
                state.guards.watch(inspect, editor, revisions.to_vec(), limits).await;
                told
            }
        };
        if let Ok(value) = HeaderValue::from_str(&told) {
            response.headers_mut().insert(FIELD, value);
        }
        response
    });
    work.await.unwrap_or_else(|_| {
        refused(StatusCode::INTERNAL_SERVER_ERROR, "the write ended without an answer")
    })
}

fn asked(request: &Request) -> Result<Option<Limits>, String> {
    match request.headers().get(FIELD) {
        Some(field) => {
            Limits::of_field(field.to_str().map_err(|_| "not a text".to_owned())?).map(Some)
        }
        None => Limits::of_query(request.uri().query().unwrap_or_default()),
    }
}

/// `GET /ringgate/guard`: what is watched, and the last ones that were.
pub(super) async fn list(State(state): State<Arc<AdminState>>) -> Response {
    Json(json!({"guards": state.guards.list()})).into_response()
}
