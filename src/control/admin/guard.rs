//! Who may ask: the allow list and the keys; and how long an answer may take.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use serde_json::json;

use super::key::{Key, Role};
use super::{ANSWER_MAX, AdminState, Guarded, answer, audit};
use crate::control::editor::Author;

/// Who is connected.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, Guarded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Guarded>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

/// Whose key came with a request; [`require_key`] puts it there.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key's name.
    pub name: Arc<str>,
    /// What it allows.
    pub role: Role,
}

impl Caller {
    fn of(key: &Key) -> Caller {
        Caller { name: key.name.as_str().into(), role: key.role }
    }

    /// Whether it may change anything.
    pub fn may_write(&self) -> bool {
        self.role == Role::Admin
    }

    /// Whose a change is that it asks for.
    pub fn author(&self, peer: SocketAddr) -> Author {
        Author { name: (*self.name).into(), address: Some(canonical(peer)) }
    }
}

/// An IPv4 peer on an IPv6 socket is an IPv4 peer.
pub(super) fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

pub(super) async fn require_allowed(
    State(state): State<Arc<AdminState>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let ip = canonical(peer);
    if state.allow.iter().any(|net| net.contains(&ip)) {
        return next.run(request).await;
    }
    answer(StatusCode::FORBIDDEN, &json!({"error_msg": "your address is not allowed"}))
}

/// Whether a request changes nothing.
fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

pub(super) async fn require_key(
    State(state): State<Arc<AdminState>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let (address, now) = (canonical(peer.0), Instant::now());
    let refused = |request: &Request, why: &str| {
        audit::refused(peer, request, why);
        let body = json!({"error_msg": "failed to check token", "description": why});
        answer(StatusCode::UNAUTHORIZED, &body)
    };
    // Before the key is looked at: somebody who guesses learns nothing more.
    if let Err(wait) = state.api.wrong_keys.look(address, now) {
        return too_many(peer, &request, "too many wrong keys", wait);
    }
    let Some(given) = given_key(request.headers(), request.uri().query()) else {
        return refused(&request, "missing apikey");
    };
    let Some(caller) = state.keys.find(&given).map(Caller::of) else {
        let _ = state.api.wrong_keys.take(address, now);
        return refused(&request, "wrong apikey");
    };
    if !reads(request.method()) {
        if !caller.may_write() {
            return refused(&request, "invalid method for role viewer");
        }
        if let Err(wait) = state.api.writes.take(address, now) {
            return too_many(peer, &request, "too many writes", wait);
        }
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn too_many(peer: Peer, request: &Request, why: &str, wait: Duration) -> Response {
    audit::refused(peer, request, why);
    let body = json!({"error_msg": format!("{why} from your address")});
    let mut response = answer(StatusCode::TOO_MANY_REQUESTS, &body);
    let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

/// The key as APISIX's clients send it: a header, an argument, or a cookie.
fn given_key(headers: &HeaderMap, query: Option<&str>) -> Option<Vec<u8>> {
    // To nginx `X_API_KEY` is the same field.
    if let Some(value) = headers.get("x-api-key").or_else(|| headers.get("x_api_key")) {
        return Some(value.as_bytes().to_vec());
    }
    let of_query = query.into_iter().flat_map(|query| query.split('&'));
    if let Some(value) = of_query.filter_map(|pair| pair.strip_prefix("api_key=")).next() {
        return Some(value.as_bytes().to_vec());
    }
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookie| cookie.to_str().ok())
        .flat_map(|cookie| cookie.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("x_api_key="))
        .map(|value| value.as_bytes().to_vec())
}

pub(super) async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let body = json!({"error_msg": "the gateway did not answer in time"});
            answer(StatusCode::GATEWAY_TIMEOUT, &body)
        }
    }
}
