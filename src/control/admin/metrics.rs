//! `GET /metrics`: asks every shard, merges, writes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::AdminState;
use crate::config::schema::Kind;
use crate::telemetry::exposition;

/// Where APISIX has them, unless `plugin_attr.prometheus.export_uri` says another place.
pub const EXPORT_URI: &str = "/apisix/prometheus/metrics";

/// Kinds whose revisions APISIX tells.
const TOLD: [Kind; 8] = [
    Kind::Route,
    Kind::Service,
    Kind::Ssl,
    Kind::Consumer,
    Kind::GlobalRule,
    Kind::Upstream,
    Kind::StreamRoute,
    Kind::Proto,
];

pub(super) async fn metrics(State(state): State<Arc<AdminState>>) -> Response {
    let snapshots = state.inspect.snapshots().await;
    let mut facts = state.inspect.facts();
    if let Some(etcd) = &mut facts.etcd {
        let entries = state.editor.entries();
        let latest = |kind: Kind| entries.list(kind).map(|(_, entry)| entry.modified).max();
        etcd.modified =
            TOLD.iter().map(|kind| (kind.plural(), latest(*kind).unwrap_or(0))).collect();
    }
    let text = state.reporter.report(&snapshots, &facts);
    ([(CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response()
}
