//! The history: `GET /ringgate/revisions`, one of them, what differs between two, whether the chain
//! is whole, and back to one. Secrets are never shown.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::changes::{bad, refused, wrote};
use super::guard::{Caller, Peer};
use super::{AdminState, answer};
use crate::config::entries::{Difference, Entry};
use crate::config::history::{self, Revision};
use crate::config::schema::Kind;
use crate::config::store::LIST_MAX;
use crate::control::editor::{Editor, Refused};
use crate::explain::masked;
use crate::plugins::REGISTRY;

/// Fields of one resource that are told to differ.
const FIELDS_MAX: usize = 1000;

/// Reads the disk where that keeps nobody waiting.
async fn read(
    state: &AdminState,
    work: impl FnOnce(&Editor) -> Result<Value, Refused> + Send + 'static,
) -> Response {
    let editor = state.editor.clone();
    match tokio::task::spawn_blocking(move || work(&editor)).await {
        Ok(Ok(value)) => answer(StatusCode::OK, &value),
        Ok(Err(Refused::NotFound)) => not_kept(),
        Ok(Err(error)) => refused(&error),
        Err(_) => refused(&Refused::Store("the history could not be read".into())),
    }
}

fn not_kept() -> Response {
    let why = "there is no such revision, or it is not kept any more";
    answer(StatusCode::NOT_FOUND, &json!({"error_msg": why}))
}

/// A resource without secrets; fields are masked whatever the key may do.
fn shown(kind: Kind, value: &Value) -> Value {
    masked(kind, value.clone(), |plugin| {
        REGISTRY.get(plugin).map_or(&[], |kind| kind.schemas().encrypt_fields)
    })
}

#[derive(Deserialize)]
pub(super) struct Paging {
    page: Option<u64>,
    page_size: Option<usize>,
}

/// `GET /ringgate/revisions?page=1&page_size=20`: newest first.
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    Query(paging): Query<Paging>,
) -> Response {
    let (page, size) = (paging.page.unwrap_or(1), paging.page_size.unwrap_or(20));
    if page == 0 || !(1..=LIST_MAX).contains(&size) {
        return bad(format!("page: from 1; page_size: from 1 to {LIST_MAX}"));
    }
    read(&state, move |editor| {
        let Some((oldest, newest)) = editor.history().bounds()? else {
            return Ok(json!({"total": 0, "list": []}));
        };
        // Numbers have no gaps.
        let skipped = (page - 1).saturating_mul(size as u64);
        let list = match newest.checked_sub(skipped).filter(|from| *from >= oldest) {
            Some(from) => editor.history().list(from, size)?,
            None => Vec::new(),
        };
        let list: Vec<Value> = list.iter().map(summary).collect();
        let total = newest - oldest + 1;
        Ok(json!({"total": total, "oldest": oldest, "newest": newest, "list": list}))
    })
    .await
}

/// Who, when, which keys; without values.
fn summary(revision: &Revision) -> Value {
    let mut shown = history::to_json(revision);
    let changes: Vec<Value> = revision
        .changes
        .iter()
        .map(|change| match revision.without_values {
            true => json!({"key": change.key.path()}),
            false => {
                let what = change_name(change.before.is_some(), change.after.is_some());
                json!({"key": change.key.path(), "change": what})
            }
        })
        .collect();
    shown["changes"] = changes.into();
    shown
}

fn change_name(before: bool, after: bool) -> &'static str {
    match (before, after) {
        (false, _) => "created",
        (true, true) => "changed",
        (true, false) => "removed",
    }
}

/// `GET /ringgate/revisions/N`: with values, before and after.
pub(super) async fn one(
    State(state): State<Arc<AdminState>>,
    Path(text): Path<String>,
) -> Response {
    let Some(number) = number(&text) else { return not_kept() };
    let guard = state.guards.of_revision(number);
    read(&state, move |editor| {
        let revision = editor.history().get(number)?.ok_or(Refused::NotFound)?;
        let mut shown = summary(&revision);
        shown["without_values"] = revision.without_values.into();
        if !revision.without_values {
            let changes = revision.changes.into_iter();
            let changes: Vec<Value> = changes
                .map(|change| difference((change.key, change.before, change.after)))
                .collect();
            shown["changes"] = changes.into();
        }
        if let Some(guard) = guard {
            shown["guard"] = serde_json::to_value(guard).unwrap_or_default();
        }
        Ok(shown)
    })
    .await
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// A resource before and after, and the fields that differ. That a secret changed is told, what it
/// was is not.
fn difference((key, before, after): Difference) -> Value {
    let masked = |entry: &Option<Arc<Entry>>| entry.as_ref().map(|e| shown(key.kind, &e.value));
    let (old, new) = (masked(&before), masked(&after));
    let mut fields = Vec::new();
    if let (Some(before), Some(after)) = (&before, &after) {
        let mut places = Vec::new();
        differing(&before.value, &after.value, &mut String::new(), &mut places);
        for place in places {
            let at =
                |value: &Option<Value>| value.as_ref().and_then(|v| v.pointer(&place).cloned());
            let mut field = Map::new();
            field.insert("path".into(), place.as_str().into());
            field.extend(at(&old).map(|value| ("before".to_owned(), value)));
            field.extend(at(&new).map(|value| ("after".to_owned(), value)));
            fields.push(Value::Object(field));
        }
    }
    json!({
        "key": key.path(),
        "change": change_name(before.is_some(), after.is_some()),
        "before": old, "after": new, "fields": fields,
    })
}

/// Where two values differ, as JSON pointers; arrays as a whole.
fn differing(before: &Value, after: &Value, at: &mut String, places: &mut Vec<String>) {
    if before == after || places.len() >= FIELDS_MAX {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return places.push(at.clone());
    };
    let added = new.keys().filter(|name| !old.contains_key(*name));
    for name in old.keys().chain(added) {
        let length = at.len();
        at.push('/');
        at.push_str(&name.replace('~', "~0").replace('/', "~1"));
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) => differing(old, new, at, places),
            _ => places.push(at.clone()),
        }
        at.truncate(length);
    }
}

#[derive(Deserialize)]
pub(super) struct Range {
    from: u64,
    to: Option<u64>,
}

/// `GET /ringgate/revisions/diff?from=A&to=B`, in either direction; without `to`: to what is now.
pub(super) async fn diff(
    State(state): State<Arc<AdminState>>,
    range: Result<Query<Range>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(Range { from, to })) = range else {
        return bad("expected ?from=REVISION and, if it is not the newest, &to=REVISION");
    };
    read(&state, move |editor| {
        let to = to.unwrap_or_else(|| editor.revision());
        let differences = editor.diff(from, to)?;
        let list: Vec<Value> = differences.into_iter().map(difference).collect();
        Ok(json!({"from": from, "to": to, "differences": list}))
    })
    .await
}

/// `GET /ringgate/revisions/verify`: whether none was altered or left out.
pub(super) async fn verify(State(state): State<Arc<AdminState>>) -> Response {
    read(&state, |editor| {
        let bounds = editor.history().bounds()?;
        let (oldest, newest) = (bounds.map(|bounds| bounds.0), bounds.map(|bounds| bounds.1));
        let verdict = match editor.history().verify()? {
            Ok(count) => json!({"valid": true, "revisions": count}),
            Err(broken) => json!({"valid": false, "broken": broken}),
        };
        let mut verdict = verdict;
        verdict["oldest"] = oldest.into();
        verdict["newest"] = newest.into();
        Ok(verdict)
    })
    .await
}

/// `POST /ringgate/revisions/N/rollback`: everything as it was at a revision.
pub(super) async fn rollback(
    State(state): State<Arc<AdminState>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Response {
    let Some(number) = number(&text) else { return not_kept() };
    match state.editor.rollback(caller.author(peer), number).await {
        Ok(written) => answer(StatusCode::OK, &wrote(&written)),
        Err(Refused::NotFound) => not_kept(),
        Err(error) => refused(&error),
    }
}
