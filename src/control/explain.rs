//! `POST /ringgate/explain`. The control side answers where it keeps the configuration, between two
//! changes: so the plan and the resources of an answer are of one moment, and nothing is kept for
//! it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::admin::{AdminState, answer};
use crate::explain::Question;

/// Questions that wait for their answer.
const WAITING: usize = 64;

/// Where questions are put.
pub(super) type Questions = mpsc::Sender<Asked>;

/// A question, and where its answer goes.
pub(super) struct Asked {
    question: Question,
    reply: oneshot::Sender<Result<Value, String>>,
}

/// Both ends of the way to whoever keeps the configuration.
pub(super) fn desk() -> (Questions, mpsc::Receiver<Asked>) {
    mpsc::channel(WAITING)
}

impl Asked {
    /// Answers it.
    pub(super) fn answer(self, explain: impl FnOnce(&Question) -> Result<Value, String>) {
        // Who asked may have gone.
        let _ = self.reply.send(explain(&self.question));
    }
}

/// Asks, and waits for the answer.
pub(super) async fn ask(questions: &Questions, question: Question) -> Result<Value, String> {
    let (reply, answer) = oneshot::channel();
    let gone = || "the gateway is ending".to_owned();
    questions.send(Asked { question, reply }).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

/// The endpoint. The body is a [`Question`] in JSON.
pub(super) async fn explain(State(state): State<Arc<AdminState>>, body: Bytes) -> Response {
    let refused = |reason: String| answer(StatusCode::BAD_REQUEST, &json!({"error_msg": reason}));
    let question: Question = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(error) => return refused(format!("invalid request body: {error}")),
    };
    match state.inspect.explain(question).await {
        Ok(explained) => Json(explained).into_response(),
        Err(reason) => refused(reason),
    }
}
