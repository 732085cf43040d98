//! What a resource must be beyond its schema. Words are APISIX's where it has any.

use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

use super::address::split_address;
use super::schema::{self, Kind, Violation};

/// What is wrong with a resource that fits its schema.
pub(super) fn check(kind: Kind, value: &Value) -> Vec<Violation> {
    match kind {
        Kind::Upstream => upstream(value),
        Kind::Route | Kind::Service | Kind::StreamRoute => {
            let inside = value.get("upstream").map(upstream).unwrap_or_default();
            inside.into_iter().map(|(at, reason)| (format!("/upstream{at}"), reason)).collect()
        }
        Kind::Ssl => ssl(value),
        Kind::Secret => secret(value),
        _ => Vec::new(),
    }
}

/// Of an upstream, standing alone or inside a resource.
pub fn upstream(value: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if let Some(Value::Object(nodes)) = value.get("nodes") {
        for (address, weight) in nodes {
            let at = || super::join("/nodes", address);
            if let Err(reason) = split_address(address) {
                found.push((at(), reason));
            }
            too_heavy(weight, at(), &mut found);
        }
    }
    if let Some(Value::Array(nodes)) = value.get("nodes") {
        for (index, node) in nodes.iter().enumerate() {
            if let Some(weight) = node.get("weight") {
                too_heavy(weight, format!("/nodes/{index}/weight"), &mut found);
            }
            let host = node.get("host").and_then(Value::as_str).unwrap_or_default();
            // The port may stand with the host where it has no field of its own.
            let fits = match split_address(host) {
                Ok((_, port)) => port.is_none() || node.get("port").is_none(),
                Err(_) => false,
            };
            if !fits {
                let reason = format!("expected a host without a port, got {host}");
                found.push((format!("/nodes/{index}/host"), reason));
            }
        }
    }
    if text("pass_host") == Some("rewrite") && text("upstream_host").is_none_or(str::is_empty) {
        let reason = "`upstream_host` can't be empty when `pass_host` is `rewrite`";
        found.push(("/pass_host".into(), reason.into()));
    }
    if text("type") == Some("chash") {
        found.extend(hash_key(text("hash_on").unwrap_or("vars"), text("key")));
    }
    found
}

fn too_heavy(weight: &Value, at: String, found: &mut Vec<Violation>) {
    if weight.as_u64().is_none_or(|weight| weight > u64::from(u32::MAX)) {
        found.push((at, format!("expected {weight} to be at most {}", u32::MAX)));
    }
}

/// What `chash` may hash on.
fn hash_key(hash_on: &str, key: Option<&str>) -> Option<Violation> {
    static VARIABLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(HASH_VARIABLE).ok());
    let Some(key) = key else {
        return (hash_on != "consumer").then(|| ("/key".into(), "missing key".into()));
    };
    let (fits, pattern) = match hash_on {
        "vars" => (VARIABLE.as_ref().is_none_or(|it| it.is_match(key)), HASH_VARIABLE),
        "header" | "cookie" => {
            let name = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            (name && !key.is_empty(), HASH_NAME)
        }
        _ => return None,
    };
    (!fits).then(|| ("/key".into(), schema::no_match(pattern, key)))
}

/// The patterns of `key` with `hash_on: vars`, and with `header` and `cookie`.
const HASH_VARIABLE: &str = "^((uri|server_name|server_addr|request_uri|remote_port|remote_addr|\
                             query_string|host|hostname|mqtt_client_id)|arg_[0-9a-zA-z_-]+)$";
const HASH_NAME: &str = "^[a-zA-Z0-9-_]+$";

fn ssl(value: &Value) -> Vec<Violation> {
    let count = |key: &str| value.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    if count("certs") == count("keys") {
        return Vec::new();
    }
    let key = if value.get("certs").is_some() { "/certs" } else { "/keys" };
    vec![(key.into(), "mismatched number of certs and keys".into())]
}

fn secret(value: &Value) -> Vec<Violation> {
    let id = value.get("id").and_then(Value::as_str).unwrap_or_default();
    let manager = id.split('/').next().unwrap_or_default();
    match schema::secret_schema(manager) {
        Some(schema) => schema.check(value),
        None => vec![("/id".into(), format!("invalid secret manager: {manager}"))],
    }
}
