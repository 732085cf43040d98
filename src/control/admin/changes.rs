//! `POST /ringgate/changes`: several resources changed in one write, all of it or nothing.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::guard::{Caller, Peer};
use super::{AdminState, answer};
use crate::config::entries::Key;
use crate::control::editor::{Change, Refused, Written, batch};

/// A change as it is asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// `routes/1`, `consumers/jack/credentials/c1`.
    key: String,
    /// What it is to be; null: it is removed.
    value: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    changes: Vec<Asked>,
    note: Option<String>,
}

/// Bytes of a note.
const NOTE_MAX: usize = 1000;

/// Why nothing was changed, with APISIX's statuses.
pub(super) fn refused(refused: &Refused) -> Response {
    let status = match refused {
        Refused::NotFound => StatusCode::NOT_FOUND,
        Refused::Invalid(_) | Refused::InUse(_) => StatusCode::BAD_REQUEST,
        Refused::ReadOnly(_) => StatusCode::METHOD_NOT_ALLOWED,
        Refused::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(status, &json!({"error_msg": refused.to_string()}))
}

/// A 400.
pub(super) fn bad(why: impl AsRef<str>) -> Response {
    answer(StatusCode::BAD_REQUEST, &json!({"error_msg": why.as_ref()}))
}

/// Changes as the editor takes them.
pub(super) fn changes(asked: Vec<Asked>) -> Result<Vec<Change>, String> {
    let change = |Asked { key, value }| {
        let key = Key::of_path(&key).ok_or_else(|| format!("{key:?} names no resource"))?;
        Ok(Change { key, value })
    };
    asked.into_iter().map(change).collect()
}

/// What became of a write.
pub(super) fn wrote(written: &[Written]) -> Value {
    let Some(first) = written.first() else { return json!({"revision": null, "changes": []}) };
    let changes: Vec<Value> = written
        .iter()
        .map(|one| json!({"created": one.created, "removed": one.entry.is_none()}))
        .collect();
    json!({"revision": first.revision, "generation": first.generation, "changes": changes})
}

/// The endpoint.
pub(super) async fn post(
    State(state): State<Arc<AdminState>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Response {
    let body: Body = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(error) => return bad(format!("invalid request body: {error}")),
    };
    let note = body.note.unwrap_or_default();
    if note.len() > NOTE_MAX {
        return bad(format!("note: longer than {NOTE_MAX} bytes"));
    }
    let changes = match changes(body.changes) {
        Ok(changes) => changes,
        Err(why) => return bad(why),
    };
    let author = caller.author(peer);
    let plan = move |entries: &_| batch(&changes, entries);
    let written = match note.as_str() {
        "" => state.editor.write(author, plan).await,
        _ => state.editor.write_noted(author, note, plan).await,
    };
    match written {
        Ok(written) => answer(StatusCode::OK, &wrote(&written)),
        Err(error) => refused(&error),
    }
}
