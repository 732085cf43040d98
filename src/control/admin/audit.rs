//! The audit log: every write that is asked for, by whom, and what became of it. A line of the
//! error log each, at no level that could be turned off; the history has the changes themselves.

use std::fmt;

use axum::extract::{ConnectInfo, Extension, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::guard::{Caller, Peer, canonical};
use crate::telemetry::error_log;

/// Bytes of a path that are told.
const PATH_MAX: usize = 512;

/// Tells of writes. The query is left out: it may hold the key.
pub(super) async fn audit(
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    if matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let (name, address, status) = (&caller.name, canonical(peer), response.status().as_u16());
    let path = Shortened(&path);
    error_log::audit(format_args!("key {name:?} from {address}: {method} {path}: {status}"));
    response
}

/// A refused key, or too many of something.
pub(super) fn refused(peer: Peer, request: &Request, why: &str) {
    let (address, method) = (canonical(peer.0), request.method());
    let path = Shortened(request.uri().path());
    error_log::warn("audit", "refused", format_args!("{address}: {method} {path}: {why}"));
}

struct Shortened<'a>(&'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path of a request is ASCII.
        f.write_str(self.0.get(..PATH_MAX).unwrap_or(self.0))
    }
}
