//! Kong's plugins that bound what comes.

use serde_json::{Value, json};

use super::Reader;
use crate::import::finish::object;
use crate::import::object::Object;

/// Windows by their names, in seconds.
const WINDOWS: [(&str, u64); 6] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3600),
    ("day", 86_400),
    ("month", 30 * 86_400),
    ("year", 365 * 86_400),
];

/// `rate-limiting` as `limit-count`.
pub(super) fn rate_limiting(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    config.ignore(&[
        "sync_rate",
        "redis",
        "redis_host",
        "redis_port",
        "redis_password",
        "redis_username",
        "redis_ssl",
        "redis_ssl_verify",
        "redis_server_name",
        "redis_timeout",
        "redis_database",
        "header_name",
        "path",
    ]);
    if let Some(policy) = config.text("policy").filter(|policy| policy != "local") {
        config.lose("policy", format!("{policy}: each gateway counts by itself"));
    }
    let (key, key_type) = match config.text("limit_by").as_deref().unwrap_or("consumer") {
        "ip" => ("remote_addr".to_owned(), "var"),
        // Where nobody is known, both count by the client's address.
        "consumer" => ("consumer_name".to_owned(), "var"),
        "credential" => {
            config.lose("limit_by", "credential: counted by consumer");
            ("consumer_name".to_owned(), "var")
        }
        "service" => ("service".to_owned(), "constant"),
        "header" => {
            let name = config.text("header_name").unwrap_or_default();
            (format!("http_{}", name.to_ascii_lowercase().replace('-', "_")), "var")
        }
        other => return Err(format!("limit_by {other} is not known")),
    };
    let windows: Vec<(u64, u64)> = WINDOWS
        .iter()
        .filter_map(|(name, seconds)| Some((config.number(name)?, *seconds)))
        .filter(|(count, _)| *count > 0)
        .collect();
    for name in ["month", "year"] {
        if config.has(name) {
            config.lose(name, "windows begin with the first request, not with the calendar");
        }
    }
    let mut conf = object([
        ("rejected_code", config.number("error_code").unwrap_or(429).into()),
        (
            "rejected_msg",
            config.text("error_message").unwrap_or_else(|| "API rate limit exceeded".into()).into(),
        ),
        ("allow_degradation", config.bool("fault_tolerant").unwrap_or(true).into()),
        ("show_limit_quota_header", (!config.bool("hide_client_headers").unwrap_or(false)).into()),
    ]);
    match windows.as_slice() {
        [] => return Err("no window has a limit".into()),
        [(count, seconds)] => {
            conf["count"] = (*count).into();
            conf["time_window"] = (*seconds).into();
            conf["key"] = key.into();
            conf["key_type"] = key_type.into();
        }
        several => {
            // Keys of rules differ; the window in them makes them do so.
            let name = if key_type == "var" { format!("${key}") } else { key };
            let rule = |(count, seconds): &(u64, u64)| json!({"count": count, "time_window": seconds, "key": format!("{name} {seconds}")});
            conf["rules"] = several.iter().map(rule).collect();
        }
    }
    Ok(conf)
}

/// `request-size-limiting` as `client-control`.
pub(super) fn size(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    let unit = match config.text("size_unit").as_deref().unwrap_or("megabytes") {
        "bytes" => 1,
        "kilobytes" => 1024,
        "megabytes" => 1024 * 1024,
        other => return Err(format!("size_unit {other} is not known")),
    };
    config.only("require_content_length", &json!(false), "a length is not asked for");
    let size = config.number("allowed_payload_size").unwrap_or(128).saturating_mul(unit);
    Ok(json!({"max_body_size": size}))
}
