//! APISIX's Admin API: `/apisix/admin/…`, its shapes, statuses and texts.
//!
//! ```text
//! preflight → key → audit → where (target) → body → list / one / put / post / patch / delete
//!                                                            └ Editor::write ─┘
//! ```
//!
//! What a write is made from is read in its own turn ([`Editor::write`]), so that none gets lost.

// A refusal is the answer itself: a few moves per request of the control side.
#![allow(clippy::result_large_err)]

mod body;
mod configs;
mod list;
mod patch;
mod plugins;
mod resources;
mod target;
mod validate;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};

use super::guard::{self, Caller, Peer};
use super::rate::Rate;
use super::ttl::Expiries;
use super::{AdminState, answer, audit, guarded};
use crate::control::editor::{Author, Editor, Refused};
use crate::plugin::Registry;

pub(super) use plugins::{described, kinds};

/// What the Admin API needs beside the editor.
pub struct Api {
    /// The plugins that are enabled.
    pub plugins: Registry,
    /// What browsers are told that they may come from.
    pub allow_origin: Option<String>,
    /// Resources that are to go by themselves.
    pub expiries: Expiries,
    /// Keys that are none, by address.
    pub(super) wrong_keys: Rate,
    /// Writes, by address.
    pub(super) writes: Rate,
    /// What was put last through `/apisix/admin/configs`.
    digest: Mutex<Option<configs::Digest>>,
}

impl Api {
    /// With these plugins, nothing put yet.
    pub fn new(plugins: Registry, allow_origin: Option<String>, expiries: Expiries) -> Api {
        let (wrong_keys, writes) = (Rate::new(20, 2), Rate::new(10_000, 2_000));
        Api { plugins, allow_origin, expiries, wrong_keys, writes, digest: Mutex::default() }
    }
}

/// The version of the shapes.
const VERSION: HeaderName = HeaderName::from_static("x-api-version");
const METHODS: &str = "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS";

/// What is served under `/apisix/admin`.
pub(super) fn router(state: &Arc<AdminState>) -> Router<Arc<AdminState>> {
    Router::new()
        .route("/apisix/admin", any(dispatch))
        .route("/apisix/admin/{*rest}", any(dispatch))
        .route_layer(middleware::from_fn_with_state(Arc::clone(state), guarded::guarded))
        .route_layer(middleware::from_fn(audit::audit))
        .route_layer(middleware::from_fn_with_state(Arc::clone(state), guard::require_key))
        .route_layer(middleware::from_fn_with_state(Arc::clone(state), dress))
}

/// Answers preflights, which have no key, and gives every answer its fields.
async fn dress(State(state): State<Arc<AdminState>>, request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => ([(header::ALLOW, METHODS)], StatusCode::OK).into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(VERSION, HeaderValue::from_static("v3"));
    let origin = state.api.allow_origin.as_deref().and_then(|origin| origin.parse().ok());
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let fixed = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "*, X-API-KEY, Content-Type"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "X-API-VERSION"),
            (header::ACCESS_CONTROL_MAX_AGE, "3600"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// Arguments of a URL, the last of a name.
type Arguments = HashMap<String, String>;

/// A request, taken apart.
struct Asked {
    state: Arc<AdminState>,
    caller: Caller,
    peer: SocketAddr,
    method: Method,
    /// The parts of the path behind `/apisix/admin/`, decoded.
    path: Vec<String>,
    arguments: Arguments,
    headers: axum::http::HeaderMap,
}

impl Asked {
    fn editor(&self) -> &Editor {
        &self.state.editor
    }

    /// Whose the change is.
    fn author(&self) -> Author {
        self.caller.author(self.peer)
    }

    fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).map(String::as_str)
    }
}

async fn dispatch(
    State(state): State<Arc<AdminState>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Some(path) = target::segments(parts.uri.path()) else {
        return failed(StatusCode::BAD_REQUEST, "the path is not UTF-8");
    };
    let arguments = target::arguments(parts.uri.query().unwrap_or_default());
    let (method, headers) = (parts.method, parts.headers);
    let asked = Asked { state, caller, peer, method, path, arguments, headers };
    match route(asked, body).await {
        Ok(response) | Err(response) => response,
    }
}

/// An answer either way; `?` ends with one early.
type Answer = Result<Response, Response>;

async fn route(asked: Asked, body: Body) -> Answer {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let is_read = matches!(asked.method, Method::GET | Method::HEAD);
    let is = |method: Method| asked.method == method;
    match path[..] {
        [] if is(Method::HEAD) => Ok(StatusCode::OK.into_response()),
        ["plugins", "reload"] if !is(Method::PUT) => {
            let method = &asked.method;
            let why = format!(
                "please use PUT method to reload the plugins, {method} method is not allowed."
            );
            Err(failed(StatusCode::METHOD_NOT_ALLOWED, why))
        }
        ["plugins", ref rest @ ..] if is_read => plugins::plugins(&asked, rest),
        ["plugins", "reload"] if is(Method::PUT) => Ok("done".into_response()),
        ["schema", "validate", plural] if is(Method::POST) => {
            let plural = plural.to_owned();
            validate::resource(&plural, &body::read(body).await?)
        }
        ["schema", ref rest @ ..] if is_read => plugins::schema(&asked, rest),
        ["configs"] if is_read => configs::get(&asked).await,
        ["configs"] if is(Method::PUT) => configs::put(&asked, &body::read(body).await?).await,
        ["configs", "validate"] if is(Method::POST) => {
            configs::validate(&asked, &body::read(body).await?)
        }
        ["plugins" | "schema" | "configs", ..] => Err(not_found()),
        _ => resources::serve(asked, body).await,
    }
}

/// `{"error_msg": …}`
fn failed(status: StatusCode, why: impl AsRef<str>) -> Response {
    answer(status, &json!({"error_msg": why.as_ref()}))
}

/// A 400.
fn bad(why: impl AsRef<str>) -> Response {
    failed(StatusCode::BAD_REQUEST, why)
}

fn not_found() -> Response {
    failed(StatusCode::NOT_FOUND, "not found")
}

/// Why nothing was changed.
fn refused(refused: &Refused) -> Response {
    match refused {
        Refused::NotFound => answer(StatusCode::NOT_FOUND, &json!({"message": "Key not found"})),
        Refused::Invalid(why) if why == NO_CONSUMER => failed(StatusCode::NOT_FOUND, why),
        Refused::Invalid(why) | Refused::InUse(why) => bad(why),
        Refused::ReadOnly(why) => failed(StatusCode::METHOD_NOT_ALLOWED, why),
        Refused::Store(why) => failed(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// A credential of nobody.
const NO_CONSUMER: &str = "consumer not found";

/// JSON with a status.
fn tell(status: StatusCode, value: &Value) -> Answer {
    Ok(answer(status, value))
}
