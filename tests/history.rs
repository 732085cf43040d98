//! The history, guarded changes, canaries and read-your-writes with the real binary.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

#[path = "history/canary.rs"]
mod canary;
#[path = "history/document.rs"]
mod document;
#[path = "history/guard.rs"]
mod guard;
#[path = "history/propagation.rs"]
mod propagation;
#[path = "history/revisions.rs"]
mod revisions;
mod support;

use serde_json::{Value, json};
use support::{ADMIN_KEY, Config, Gateway, Origin, RawClient, Resources};

pub(crate) const VIEWER_KEY: &str = "a-key-that-only-reads";

/// A gateway with the embedded store, and two keys.
pub(crate) fn gateway(shards: usize) -> Gateway {
    Config::new(&Resources::new())
        .shards(shards)
        .set("store", json!({"kind": "embedded", "path": "data"}))
        .set("admin", json!({"keys": [{"name": "reader", "key": VIEWER_KEY, "role": "viewer"}]}))
        .start()
}

/// A node that answers with its name.
pub(crate) fn named(name: &'static str) -> Origin {
    answering("200 OK", name)
}

pub(crate) fn answering(status: &'static str, body: &'static str) -> Origin {
    Origin::answering(move |_| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    })
}

pub(crate) fn route(uri: &str, node: &Origin) -> Value {
    json!({"uri": uri, "upstream": {"nodes": {node.address.to_string(): 1}}})
}

/// Asks the Admin address with a key and further fields.
#[track_caller]
pub(crate) fn ask(
    gateway: &Gateway,
    (method, path, key): (&str, &str, &str),
    fields: &str,
    body: &Value,
) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    let answer = RawClient::connect(gateway.admin).ask(format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nX-API-KEY: {key}\r\n{fields}Content-Length: \
         {length}\r\n\r\n{body}",
    ));
    let told = serde_json::from_slice(&answer.body.bytes);
    (answer.status, told.unwrap_or_else(|_| panic!("no JSON: {}", answer.text())))
}

#[track_caller]
pub(crate) fn get(gateway: &Gateway, path: &str) -> Value {
    let (status, told) = ask(gateway, ("GET", path, ADMIN_KEY), "", &Value::Null);
    assert_eq!(status, 200, "{path}: {told}");
    told
}

#[track_caller]
pub(crate) fn post(gateway: &Gateway, path: &str, body: &Value) -> (u16, Value) {
    ask(gateway, ("POST", path, ADMIN_KEY), "", body)
}

/// Changes resources; the revision.
#[track_caller]
pub(crate) fn change(gateway: &Gateway, changes: &[(&str, Value)]) -> u64 {
    let (status, told) = post(gateway, "/ringgate/changes", &body(changes));
    assert_eq!(status, 200, "{told}");
    told["revision"].as_u64().expect("a revision")
}

pub(crate) fn body(changes: &[(&str, Value)]) -> Value {
    let change = |(key, value): &(&str, Value)| json!({"key": key, "value": value});
    json!({"changes": changes.iter().map(change).collect::<Vec<_>>()})
}
