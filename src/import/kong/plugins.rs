//! Kong's plugins by the plugin of the same meaning.

use serde_json::{Value, json};

use super::{RECORDS, Reader, limits, transform};
use crate::import::draft::Plugins;
use crate::import::finish::object;
use crate::import::object::Object;

/// Where a plugin is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On a service, a route, or everywhere.
    Request,
    /// On a consumer or a group.
    Consumer,
}

/// A configuration for the plugin, or why there is none. Keys that nobody reads are losses.
type Convert = fn(&Reader<'_>, &Object<'_>) -> Result<Value, String>;

/// A plugin of Kong's.
struct Mapping {
    kong: &'static str,
    name: &'static str,
    /// Without it, requests would get through that must not.
    guards: bool,
    convert: Convert,
}

const fn maps(kong: &'static str, name: &'static str, guards: bool, convert: Convert) -> Mapping {
    Mapping { kong, name, guards, convert }
}

/// Every plugin with an equivalent.
static MAPPINGS: &[Mapping] = &[
    maps("acl", "consumer-restriction", true, acl),
    maps("basic-auth", "basic-auth", true, basic_auth),
    maps("bot-detection", "ua-restriction", true, bot_detection),
    maps("correlation-id", "request-id", false, correlation_id),
    maps("cors", "cors", false, cors),
    maps("file-log", "file-logger", false, file_log),
    maps("grpc-web", "grpc-web", false, |_, _| Ok(json!({}))),
    maps("hmac-auth", "hmac-auth", true, hmac_auth),
    maps("http-log", "http-logger", false, http_log),
    maps("ip-restriction", "ip-restriction", true, ip_restriction),
    maps("jwt", "jwt-auth", true, jwt),
    maps("key-auth", "key-auth", true, key_auth),
    maps("prometheus", "prometheus", false, prometheus),
    maps("rate-limiting", "limit-count", false, limits::rate_limiting),
    maps("request-size-limiting", "client-control", false, limits::size),
    maps("request-termination", "fault-injection", true, request_termination),
    maps("request-transformer", "proxy-rewrite", false, transform::request),
    maps("response-transformer", "response-rewrite", false, transform::response),
    maps("tcp-log", "tcp-logger", false, address_log),
    maps("udp-log", "udp-logger", false, address_log),
    maps("zipkin", "zipkin", false, zipkin),
];

/// Plugins without an equivalent that change nothing of who gets through. Any other may, also those
/// that somebody wrote.
const HARMLESS: [&str; 28] = [
    "acme",
    "aws-lambda",
    "azure-functions",
    "canary",
    "confluent",
    "datadog",
    "degraphql",
    "exit-transformer",
    "forward-proxy",
    "graphql-proxy-cache-advanced",
    "graphql-rate-limiting-advanced",
    "grpc-gateway",
    "jq",
    "kafka-log",
    "kafka-upstream",
    "loggly",
    "mocking",
    "opentelemetry",
    "proxy-cache",
    "proxy-cache-advanced",
    "rate-limiting-advanced",
    "request-transformer-advanced",
    "response-ratelimiting",
    "response-transformer-advanced",
    "route-transformer-advanced",
    "statsd",
    "statsd-advanced",
    "syslog",
];

/// Whether requests might get through without it that must not.
pub(super) fn guards(name: &str) -> bool {
    let known = MAPPINGS.iter().find(|mapping| mapping.kong == name);
    known.map_or_else(|| !HARMLESS.contains(&name), |mapping| mapping.guards)
}

/// Puts a plugin among those of a resource, or notes that it is lost.
pub(super) fn put<'a>(reader: &Reader<'a>, plugin: &Object<'a>, into: &mut Plugins, place: Place) {
    let draft = reader.draft;
    let name = plugin.text("name").unwrap_or_default();
    if plugin.bool("enabled") == Some(false) {
        plugin.forget();
        return;
    }
    plugin.ignore(&RECORDS);
    plugin.ignore(&[
        "tags",
        "instance_name",
        "run_on",
        "_config",
        "service",
        "route",
        "consumer",
        "consumer_group",
    ]);
    plugin.without(&["ordering"], "the order is APISIX's, by priority");
    plugin.without(&["condition"], "conditions of plugins are not carried over");
    if !runs_for_http(&plugin.texts("protocols")) {
        plugin.lose_whole(format!("{name} is for streams"));
        return;
    }
    let guard = guards(&name);
    let Some(mapping) = MAPPINGS.iter().find(|mapping| mapping.kong == name) else {
        plugin.ignore(&["config"]);
        into.lose(draft, &plugin.pointer, &name, format!("{name} has no equivalent"), guard);
        return;
    };
    if place == Place::Consumer && mapping.name == "proxy-rewrite" {
        plugin.lose_whole(
            "on a consumer it would take the place of the routes' own changes of the path",
        );
        return;
    }
    let config = match plugin.get("config") {
        Some(_) => plugin.object("config"),
        None => Some(Object::empty(draft, plugin.at("config"))),
    };
    let Some(config) = config else { return };
    match (mapping.convert)(reader, &config) {
        Ok(conf) => into.put(draft, &plugin.pointer, mapping.name, conf, mapping.guards),
        Err(reason) => {
            config.forget();
            into.lose(draft, &plugin.pointer, &name, format!("{name}: {reason}"), mapping.guards);
        }
    }
    if into.contains(mapping.name) {
        return;
    }
    // The whole plugin is lost, so its keys need not be told one by one.
    config.forget();
}

fn runs_for_http(protocols: &[String]) -> bool {
    let http = ["http", "https", "grpc", "grpcs", "ws", "wss"];
    protocols.is_empty() || protocols.iter().any(|protocol| http.contains(&&**protocol))
}

fn given(value: Option<impl Into<Value>>) -> Value {
    value.map_or(Value::Null, Into::into)
}

fn texts_or_null(config: &Object<'_>, key: &str) -> Value {
    match config.texts(key) {
        list if list.is_empty() => Value::Null,
        list => list.into(),
    }
}

/// `anonymous` names a consumer by its id or its name.
fn anonymous(config: &Object<'_>) -> Value {
    given(config.text("anonymous").map(|name| crate::import::names::username(&name)))
}

fn key_auth(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    let names = config.texts("key_names");
    if names.len() > 1 {
        config.lose("key_names", format!("one name is looked for: {}", names[0]));
    }
    config.only("key_in_body", &json!(false), "keys are not looked for in bodies");
    config.only("key_in_header", &json!(true), "keys are looked for in a header too");
    config.only("key_in_query", &json!(true), "keys are looked for in the query too");
    config.only(
        "run_on_preflight",
        &json!(true),
        "preflights are asked for a key too, unless cors answers them",
    );
    config.ignore(&["identity_realms"]);
    let name = names.first().cloned().unwrap_or_else(|| "apikey".into());
    Ok(object([
        ("header", name.clone().into()),
        ("query", name.into()),
        ("hide_credentials", given(config.bool("hide_credentials"))),
        ("anonymous_consumer", anonymous(config)),
        ("realm", given(config.text("realm"))),
    ]))
}

fn basic_auth(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    Ok(object([
        ("hide_credentials", given(config.bool("hide_credentials"))),
        ("anonymous_consumer", anonymous(config)),
        ("realm", given(config.text("realm"))),
    ]))
}

fn hmac_auth(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    Ok(object([
        ("clock_skew", given(config.number("clock_skew"))),
        ("hide_credentials", given(config.bool("hide_credentials"))),
        ("validate_request_body", given(config.bool("validate_request_body"))),
        ("signed_headers", texts_or_null(config, "enforce_headers")),
        ("allowed_algorithms", texts_or_null(config, "algorithms")),
        ("anonymous_consumer", anonymous(config)),
    ]))
}

fn jwt(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    config.only(
        "secret_is_base64",
        &json!(false),
        "say `base64_secret` on the consumers' credentials",
    );
    config.only(
        "run_on_preflight",
        &json!(true),
        "preflights are asked for a token too, unless cors answers them",
    );
    let first = |key: &str| {
        let names = config.texts(key);
        if names.len() > 1 {
            config.lose(key, format!("one name is looked for: {}", names[0]));
        }
        given(names.first().cloned())
    };
    let (header, query, cookie) =
        (first("header_names"), first("uri_param_names"), first("cookie_names"));
    let claims = config.texts("claims_to_verify");
    config.only("maximum_expiration", &json!(0), "how long tokens may be is not checked");
    Ok(object([
        ("header", header),
        ("query", query),
        ("cookie", cookie),
        ("key_claim_name", given(config.text("key_claim_name"))),
        ("claims_to_verify", if claims.is_empty() { Value::Null } else { claims.into() }),
        ("anonymous_consumer", anonymous(config)),
        ("realm", given(config.text("realm"))),
    ]))
}

/// Groups become the names of their consumers.
fn acl(reader: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    config.ignore(&["hide_groups_header"]);
    config.only(
        "include_consumer_groups",
        &json!(false),
        "groups of consumers are not groups of acl",
    );
    config.only("always_use_authenticated_groups", &json!(false), "only consumers have groups");
    let members = |key: &str| -> Vec<String> {
        let groups = config.texts(key);
        let of = groups.iter().filter_map(|group| reader.groups.get(group));
        let mut names: Vec<String> = of.flatten().cloned().collect();
        names.sort();
        names.dedup();
        names
    };
    let (allow, deny) = (config.has("allow"), config.has("deny"));
    let list = match (allow, deny) {
        (true, false) => json!({"whitelist": members("allow")}),
        (false, true) => json!({"blacklist": members("deny")}),
        _ => return Err("expected allow or deny".into()),
    };
    if list.as_object().and_then(|map| map.values().next()) == Some(&json!([])) {
        return Err("nobody is in these groups".into());
    }
    let mut conf = json!({"type": "consumer_name"});
    if let (Some(conf), Some(list)) = (conf.as_object_mut(), list.as_object()) {
        conf.extend(list.clone());
    }
    Ok(conf)
}

fn ip_restriction(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    let allow = texts_or_null(config, "allow");
    let deny = texts_or_null(config, "deny");
    if !allow.is_null() && !deny.is_null() {
        return Err("allow and deny together are not known".into());
    }
    let status = config.number("status");
    let status = status.filter(|status| {
        let fits = matches!(status, 403 | 404);
        if !fits {
            config.lose("status", format!("{status}: refusals are 403 or 404"));
        }
        fits
    });
    Ok(object([
        ("whitelist", allow),
        ("blacklist", deny),
        ("message", given(config.text("message"))),
        ("response_code", given(status)),
    ]))
}

fn bot_detection(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    if config.has("allow") && config.has("deny") {
        return Err("allow and deny together are not known".into());
    }
    let (allow, deny) = (texts_or_null(config, "allow"), texts_or_null(config, "deny"));
    if allow.is_null() && deny.is_null() {
        return Err("Kong's own list of bots is not carried over; name them in deny".into());
    }
    Ok(object([("allowlist", allow), ("denylist", deny)]))
}

fn cors(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    config.only("preflight_continue", &json!(false), "preflights are answered by the gateway");
    config.only("private_network", &json!(false), "private networks are not told");
    config.only(
        "allow_origin_absent",
        &json!(true),
        "answers to requests without Origin stay as they are",
    );
    let origins = config.texts("origins");
    let credentials = config.bool("credentials").unwrap_or(false);
    // A star and credentials exclude each other; two stars say that both are meant.
    let all = if credentials { "**" } else { "*" };
    let is_plain = |origin: &String| {
        let characters = |c: char| c.is_ascii_alphanumeric() || ":/.-_[]".contains(c);
        origin.contains("://") && origin.chars().all(characters) && !origin.contains(".*")
    };
    let joined = |list: Vec<String>| match list.is_empty() {
        true => Value::from(all),
        false => list.join(",").into(),
    };
    let (mut plain, mut patterns) = (Vec::new(), Vec::new());
    let anybody = origins.is_empty() || origins.iter().any(|origin| origin == "*");
    for origin in origins {
        if is_plain(&origin) { plain.push(origin) } else { patterns.push(origin) }
    }
    let (origins, patterns) = match (anybody, patterns.is_empty()) {
        (true, _) => (Value::from(all), Value::Null),
        (false, true) => (plain.join(",").into(), Value::Null),
        // Names too as patterns: where there are any, only they count.
        (false, false) => {
            let escaped = plain.iter().map(|origin| format!("^{}$", regex::escape(origin)));
            patterns.extend(escaped);
            (Value::Null, patterns.into())
        }
    };
    let exposed = config.texts("exposed_headers");
    Ok(object([
        ("allow_origins", origins),
        ("allow_origins_by_regex", patterns),
        ("allow_methods", joined(config.texts("methods"))),
        (
            "allow_headers",
            match config.texts("headers") {
                // Kong answers with those that were asked for.
                list if list.is_empty() => "**".into(),
                list => list.join(",").into(),
            },
        ),
        ("expose_headers", if exposed.is_empty() { Value::Null } else { exposed.join(",").into() }),
        ("allow_credential", given(credentials.then_some(true))),
        ("max_age", given(config.number("max_age"))),
    ]))
}

fn prometheus(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    // Which figures are kept is not chosen: all of them are.
    config.ignore(&[
        "per_consumer",
        "status_code_metrics",
        "latency_metrics",
        "bandwidth_metrics",
        "upstream_health_metrics",
        "ai_metrics",
        "wasm_metrics",
    ]);
    Ok(json!({}))
}

fn correlation_id(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    let generator = config.text("generator");
    if let Some(other) = generator.filter(|generator| generator != "uuid") {
        config.lose("generator", format!("{other}: ids are UUIDs"));
    }
    Ok(object([
        (
            "header_name",
            config.text("header_name").unwrap_or_else(|| "Kong-Request-ID".into()).into(),
        ),
        ("include_in_response", config.bool("echo_downstream").unwrap_or(false).into()),
    ]))
}

fn request_termination(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    config.without(&["echo", "trigger"], "every request is answered");
    let status = config.number("status_code").unwrap_or(503);
    let message = config.text("message").map(|text| json!({"message": text}).to_string());
    let headers = config.text("content_type").map(|text| json!({"Content-Type": text}));
    Ok(json!({"abort": object([
        ("http_status", status.into()),
        ("body", given(config.text("body").or(message))),
        ("headers", headers.unwrap_or_default()),
    ])}))
}

fn file_log(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    config.ignore(&["reopen"]);
    config.without(&["custom_fields_by_lua"], "Lua is not run");
    Ok(object([("path", given(config.text("path")))]))
}

fn http_log(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    config.without(&["custom_fields_by_lua"], "Lua is not run");
    config.without(&["headers"], "fields of the log's requests are not carried over");
    config.ignore(&["queue", "flush_timeout", "retry_count", "queue_size", "keepalive"]);
    config.only("method", &json!("POST"), "logs are posted");
    config.only("content_type", &json!("application/json"), "logs are JSON");
    let timeout = config.number("timeout").map(|ms| ms.div_ceil(1000).max(1));
    Ok(object([("uri", given(config.text("http_endpoint"))), ("timeout", given(timeout))]))
}

fn address_log(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    config.without(&["custom_fields_by_lua"], "Lua is not run");
    config.ignore(&["keepalive"]);
    Ok(object([
        ("host", given(config.text("host"))),
        ("port", given(config.number("port"))),
        ("timeout", given(config.number("timeout"))),
        ("tls", given(config.bool("tls"))),
        ("tls_options", given(config.text("tls_sni"))),
    ]))
}

fn zipkin(_: &Reader<'_>, config: &Object<'_>) -> Result<Value, String> {
    Ok(object([
        ("endpoint", given(config.text("http_endpoint"))),
        ("sample_ratio", config.float("sample_ratio").unwrap_or(0.001).into()),
        ("service_name", given(config.text("local_service_name"))),
    ]))
}
