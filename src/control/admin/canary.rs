//! Canaries of a configuration: `POST /ringgate/canary` begins one, `GET` compares,
//! `POST /ringgate/canary/promote` and `/withdraw` end it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::changes::{self, bad, refused};
use super::guard::{Caller, Peer};
use super::{AdminState, Inspect, answer};
use crate::config::entries::Entries;
use crate::control::canary::{Canaries, Canary, CanaryError, OnTrial, Share, Terms, arms};
use crate::control::editor::{Change, MakeChanges, Refused, batch};
use crate::control::guarded::{Limits, Seen};

/// How long a canary is where nothing else is asked for.
const SECONDS: f64 = 600.0;
/// How often one with limits is looked at.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    /// What to try, or
    changes: Option<Vec<changes::Asked>>,
    /// everything as it was at a revision.
    revision: Option<u64>,
    percent: Option<f64>,
    shards: Option<Vec<usize>>,
    seconds: Option<f64>,
    max_error_share: Option<f64>,
    max_p99_ms: Option<f64>,
    min_requests: Option<u64>,
}

fn failed(error: CanaryError) -> Response {
    let told = |status, why: &str| answer(status, &json!({"error_msg": why}));
    match error {
        CanaryError::Refused(error) => refused(&error),
        CanaryError::Conflict(why) => told(StatusCode::CONFLICT, &why),
        CanaryError::None => told(StatusCode::NOT_FOUND, "no such canary runs"),
    }
}

async fn told(state: &AdminState, canary: &Canary) -> Value {
    let counted = match canary.arms {
        Some(_) => None,
        None => Some(arms(&state.inspect.loads().await, canary.number)),
    };
    canary.shown(counted.as_ref())
}

/// `GET /ringgate/canary`: the one that runs, or the last one; null where there was none.
pub(super) async fn get(State(state): State<Arc<AdminState>>) -> Response {
    let shown = match state.canaries.last() {
        Some(canary) => told(&state, &canary).await,
        None => Value::Null,
    };
    answer(StatusCode::OK, &json!({"canary": shown}))
}

impl Body {
    /// What it changes.
    fn changes(&mut self, state: &AdminState) -> Result<MakeChanges, String> {
        match (self.changes.take(), self.revision) {
            (Some(asked), None) => {
                let changes = changes::changes(asked)?;
                Ok(Box::new(move |entries: &Entries| batch(&changes, entries)))
            }
            (None, Some(revision)) => {
                let editor = state.editor.clone();
                Ok(Box::new(move |now: &Entries| editor.changes_to(now, revision)))
            }
            _ => Err("expected either changes or revision".into()),
        }
    }

    fn share(&mut self) -> Result<Share, String> {
        match (self.percent, self.shards.take()) {
            (Some(percent), None) => Ok(Share::Percent(percent)),
            (None, Some(shards)) => Ok(Share::Shards(shards)),
            _ => Err("expected either percent or shards".into()),
        }
    }

    fn limits(&self, seconds: f64) -> Result<Option<Limits>, String> {
        if self.max_error_share.is_none() && self.max_p99_ms.is_none() {
            return Ok(None);
        }
        let limits = Limits {
            seconds,
            max_error_share: self.max_error_share,
            max_p99_ms: self.max_p99_ms,
            ..Limits::default()
        };
        let min_requests = self.min_requests.unwrap_or(limits.min_requests);
        Limits { min_requests, ..limits }.checked().map(Some)
    }
}

/// `POST /ringgate/canary`
pub(super) async fn post(
    State(state): State<Arc<AdminState>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Response {
    let mut body: Body = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(error) => return bad(format!("invalid request body: {error}")),
    };
    let seconds = body.seconds.unwrap_or(SECONDS);
    let mut terms = || -> Result<Terms, String> {
        let time = Duration::try_from_secs_f64(seconds).map_err(|e| format!("seconds: {e}"))?;
        let (limits, share) = (body.limits(seconds)?, body.share()?);
        let (author, changes) = (caller.author(peer), body.changes(&state)?);
        Ok(Terms { author, changes, share, time, limits })
    };
    let canary = match terms() {
        Ok(terms) => state.canaries.begin(terms).await,
        Err(why) => return bad(why),
    };
    match canary {
        Ok(canary) => {
            if let Some(limits) = canary.limits {
                let (inspect, canaries) = (state.inspect.clone(), state.canaries.clone());
                tokio::spawn(watch(inspect, canaries, canary.number, limits));
            }
            answer(StatusCode::CREATED, &json!({"canary": told(&state, &canary).await}))
        }
        Err(error) => failed(error),
    }
}

/// Withdraws a canary whose requests exceed its limits.
async fn watch(inspect: Arc<dyn Inspect>, canaries: Canaries, number: u64, limits: Limits) {
    loop {
        tokio::time::sleep(LOOK).await;
        if canaries.running().is_none_or(|running| running.number != number) {
            return;
        }
        let seen = Seen::of(&arms(&inspect.loads().await, number).canary);
        if let Some(reason) = limits.exceeded(&seen) {
            // Somebody may have ended it meanwhile.
            let _ = canaries.withdraw(Some(number), reason).await;
            return;
        }
    }
}

/// `POST /ringgate/canary/withdraw`
pub(super) async fn withdraw(
    State(state): State<Arc<AdminState>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    match state.canaries.withdraw(None, format!("withdrawn by {}", caller.name)).await {
        Ok(canary) => answer(StatusCode::OK, &json!({"canary": told(&state, &canary).await})),
        Err(error) => failed(error),
    }
}

/// `POST /ringgate/canary/promote`: an ordinary write of what is on trial.
pub(super) async fn promote(
    State(state): State<Arc<AdminState>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let Some(canary) = state.canaries.running() else { return failed(CanaryError::None) };
    let number = canary.number;
    let plan = move |entries: &Entries| {
        let is_other = |one: &&OnTrial| {
            entries.at(&one.change.key).map(|entry| &entry.value)
                != one.base.as_ref().map(|entry| &entry.value)
        };
        if let Some(one) = canary.changes.iter().find(is_other) {
            let key = one.change.key.path();
            return Err(Refused::Invalid(format!("{key} was written meanwhile")));
        }
        Ok(canary.changes.iter().map(|one| one.change.clone()).collect::<Vec<Change>>())
    };
    let note = format!("canary {number} is promoted");
    match state.editor.write_noted(caller.author(peer), note, plan).await {
        Ok(written) => {
            let mut body = changes::wrote(&written);
            if let Some(canary) = state.canaries.last() {
                body["canary"] = told(&state, &canary).await;
            }
            answer(StatusCode::OK, &body)
        }
        Err(error) => refused(&error),
    }
}
