//! `POST /schema/validate/KIND`: a resource against its schema; nothing is stored.

use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::{Answer, bad, body, failed};
use crate::config::schema::{self, Kind};

/// Whether a body fits the schema of a kind.
pub(super) fn resource(plural: &str, body: &[u8]) -> Answer {
    let of_plural = |kind: &Kind| kind.plural() == plural;
    let Some(kind) = Kind::ALL.into_iter().find(of_plural) else {
        let why = format!("Unsupported resource type: {plural}");
        return Err(failed(StatusCode::NOT_FOUND, why));
    };
    let value = body::required(body)?;
    match schema::schema(kind).sentence(&value) {
        Some(sentence) => Err(bad(sentence)),
        None => Ok(StatusCode::OK.into_response()),
    }
}
