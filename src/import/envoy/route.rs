//! Envoy's virtual hosts and routes.

use serde_json::{Value, json};

use super::Reader;
use super::cluster::{self, Use};
use crate::config::schema::Kind;
use crate::import::draft::Plugins;
use crate::import::finish::object;
use crate::import::names::seconds;
use crate::import::object::Object;
use crate::import::paths::PathRule;
use crate::import::precedence::Ranked;
use crate::import::rewrite::{self, Fields};

pub(super) fn read<'a>(
    reader: &Reader<'a>,
    config: &Object<'a>,
    port: Option<u16>,
    lost: Option<&str>,
) {
    config.ignore(&["name", "validate_clusters", "ignore_port_in_host_matching"]);
    for host in config.objects("virtual_hosts") {
        let name = host.text("name").unwrap_or_else(|| "host".into());
        host.ignore(&["retry_policy", "include_request_attempt_count"]);
        host.only("require_tls", &json!("NONE"), "TLS is not asked for; see the redirect plugin");
        let mut domains = Vec::new();
        for domain in host.texts("domains") {
            let bare = domain.split_once(':').map_or(&*domain, |(bare, _)| bare).to_owned();
            match bare.rfind('*') {
                _ if bare == "*" => {}
                None | Some(0) => domains.push(bare),
                Some(_) => host.lose("domains", format!("{domain}: a star stands in front only")),
            }
        }
        let routes = host.objects("routes");
        let count = routes.len();
        for (index, route) in routes.into_iter().enumerate() {
            let place =
                Place { name: &name, domains: &domains, port, lost, ahead: (count - index) as i64 };
            one(reader, &route, &place);
        }
        change(&host, &mut Plugins::default(), reader);
    }
    change(config, &mut Plugins::default(), reader);
}

/// Where a route stands.
struct Place<'p> {
    name: &'p str,
    domains: &'p [String],
    port: Option<u16>,
    lost: Option<&'p str>,
    /// How many of its host come behind it, and itself.
    ahead: i64,
}

fn one<'a>(reader: &Reader<'a>, route: &Object<'a>, place: &Place<'_>) {
    let draft = reader.draft;
    route.ignore(&["metadata", "decorator", "stat_prefix"]);
    let Some(wanted) = route.object("match") else {
        route.lose_whole("has no match");
        return;
    };
    let (path, prefix, mut vars) = match conditions(&wanted) {
        Ok(conditions) => conditions,
        Err(reason) => {
            wanted.forget();
            route.lose_whole(reason);
            return;
        }
    };
    vars.extend(path.var.clone());
    if let Some(port) = place.port {
        vars.push(json!(["server_port", "==", port.to_string()]));
    }
    let mut plugins = Plugins::default();
    if let Some(lost) = place.lost {
        plugins.unguarded = Some(lost.to_owned());
    }
    change(route, &mut plugins, reader);
    let upstream =
        match (route.object("route"), route.object("redirect"), route.object("direct_response")) {
            (Some(action), _, _) => action_route(reader, &action, prefix.as_deref(), &mut plugins),
            (None, Some(redirect), _) => {
                self::redirect(reader, &redirect, &mut plugins);
                None
            }
            (None, None, Some(direct)) => {
                let body = direct.object("body").and_then(|body| body.text("inline_string"));
                let abort = object([
                    ("http_status", direct.number("status").unwrap_or(200).into()),
                    ("body", body.map_or(Value::Null, Value::from)),
                ]);
                plugins.put(
                    draft,
                    &direct.pointer,
                    "fault-injection",
                    json!({"abort": abort}),
                    true,
                );
                None
            }
            _ => {
                route.lose_whole("expected route, redirect or direct_response");
                return;
            }
        };
    if upstream.is_none() && plugins.map.is_empty() {
        plugins.unguarded.get_or_insert_with(|| "its cluster".into());
    }
    let name = route.text("name").unwrap_or_else(|| place.name.to_owned());
    reader.ranks.borrow_mut().push(Ranked {
        name: format!("{} route {}", place.name, path.uri),
        origin: route.pointer.clone(),
        rank: (place.ahead, 0),
        hosts: place.domains.to_vec(),
        uris: vec![path.uri.clone()],
    });
    let value = object([
        ("id", draft.id(Kind::Route, &name).into()),
        ("name", name.into()),
        ("uris", vec![path.uri].into()),
        (
            "hosts",
            if place.domains.is_empty() { Value::Null } else { place.domains.to_vec().into() },
        ),
        ("vars", if vars.is_empty() { Value::Null } else { vars.into() }),
        // The first in the file comes first.
        ("priority", place.ahead.into()),
        ("upstream_id", upstream.map_or(Value::Null, Value::from)),
    ]);
    draft.add(Kind::Route, &route.pointer, value, plugins);
}

/// The path, the prefix that it starts with, and comparisons.
type Matched = (PathRule, Option<String>, Vec<Value>);

fn conditions(wanted: &Object<'_>) -> Result<Matched, String> {
    wanted.only("case_sensitive", &json!(true), "paths are compared with their case");
    if wanted.has("runtime_fraction") {
        return Err("a share of the requests is not a condition here".into());
    }
    wanted.ignore(&["grpc"]);
    let regex = |key: &str| {
        wanted.object(key).and_then(|regex| {
            regex.ignore(&["google_re2"]);
            regex.text("regex")
        })
    };
    let (path, prefix) = if let Some(prefix) = wanted.text("prefix") {
        (PathRule::prefix(&prefix), Some(prefix))
    } else if let Some(path) = wanted.text("path") {
        (PathRule::exact(&path), Some(path))
    } else if let Some(prefix) = wanted.text("path_separated_prefix") {
        let pattern = format!("^{}(/|$)", regex::escape(&prefix));
        let mut rule = PathRule::prefix(&prefix);
        rule.var = Some(json!(["uri", "~~", pattern]));
        (rule, Some(prefix))
    } else if let Some(pattern) = regex("safe_regex") {
        // The whole path has to match.
        (
            PathRule::regex(&format!(
                "^{}$",
                pattern.trim_start_matches('^').trim_end_matches('$')
            )),
            None,
        )
    } else {
        return Err("expected prefix, path, path_separated_prefix or safe_regex".into());
    };
    let mut vars = Vec::new();
    for header in wanted.objects("headers") {
        let name = header.text("name").unwrap_or_default();
        let variable = match &*name {
            ":method" => "request_method".to_owned(),
            ":path" => "request_uri".to_owned(),
            ":authority" => "http_host".to_owned(),
            name => format!("http_{}", name.to_ascii_lowercase().replace('-', "_")),
        };
        vars.push(comparison(&header, &variable)?);
    }
    for argument in wanted.objects("query_parameters") {
        let variable = format!("arg_{}", argument.text("name").unwrap_or_default());
        vars.push(comparison(&argument, &variable)?);
    }
    Ok((path, prefix, vars))
}

/// A comparison of a field or an argument.
fn comparison(wanted: &Object<'_>, variable: &str) -> Result<Value, String> {
    wanted.ignore(&["name"]);
    let inverted = wanted.bool("invert_match").unwrap_or(false);
    let (operator, right): (&str, Value) = if let Some(text) = wanted.text("exact_match") {
        ("==", text.into())
    } else if let Some(text) = wanted.text("prefix_match") {
        ("~~", format!("^{}", regex::escape(&text)).into())
    } else if let Some(present) = wanted.bool("present_match") {
        return Ok(json!([variable, if present != inverted { "~=" } else { "==" }, null]));
    } else if let Some(text) = wanted.get("string_match").and(wanted.object("string_match")) {
        let case = if text.bool("ignore_case") == Some(true) { "~*" } else { "~~" };
        if let Some(exact) = text.text("exact") {
            match case {
                "~~" => ("==", exact.into()),
                _ => (case, format!("^{}$", regex::escape(&exact)).into()),
            }
        } else if let Some(prefix) = text.text("prefix") {
            (case, format!("^{}", regex::escape(&prefix)).into())
        } else if let Some(suffix) = text.text("suffix") {
            (case, format!("{}$", regex::escape(&suffix)).into())
        } else if let Some(part) = text.text("contains") {
            (case, regex::escape(&part).into())
        } else if let Some(pattern) = text.object("safe_regex").and_then(|regex| {
            regex.ignore(&["google_re2"]);
            regex.text("regex")
        }) {
            ("~~", format!("^(?:{pattern})$").into())
        } else {
            text.forget();
            return Err(format!("what {variable} is compared with is not known"));
        }
    } else {
        wanted.forget();
        return Err(format!("how {variable} is compared is not known"));
    };
    Ok(match inverted {
        true => json!([variable, "!", operator, right]),
        false => json!([variable, operator, right]),
    })
}

/// A route to a cluster; the upstream's id.
fn action_route<'a>(
    reader: &Reader<'a>,
    action: &Object<'a>,
    prefix: Option<&str>,
    plugins: &mut Plugins,
) -> Option<String> {
    action.ignore(&[
        "priority",
        "upgrade_configs",
        "max_stream_duration",
        "cluster_not_found_response_code",
    ]);
    action.without(
        &[
            "request_mirror_policies",
            "hash_policy",
            "cors",
            "rate_limits",
            "idle_timeout",
            "host_rewrite_header",
            "host_rewrite_path_regex",
            "hedge_policy",
        ],
        "has no equivalent",
    );
    let clusters = match (action.text("cluster"), action.object("weighted_clusters")) {
        (Some(name), _) => vec![(name, 1)],
        (None, Some(weighted)) => {
            weighted.ignore(&["total_weight"]);
            let parts = weighted.objects("clusters");
            parts
                .iter()
                .filter_map(|part| Some((part.text("name")?, part.number("weight").unwrap_or(0))))
                .collect()
        }
        _ => {
            action.lose_whole("expected cluster or weighted_clusters");
            return None;
        }
    };
    // Of the whole answer there; between two reads here, which is never shorter.
    let timeout = action.text("timeout").and_then(|text| seconds(&text)).filter(|s| *s > 0.0);
    let retries = action.object("retry_policy").map(|policy| {
        policy.ignore(&["retry_on", "per_try_timeout", "retry_back_off"]);
        policy.number("num_retries").unwrap_or(1)
    });
    let used = Use {
        timeout,
        retries,
        host: action.text("host_rewrite_literal").or(action.text("host_rewrite")),
        node_host: action.bool("auto_host_rewrite").unwrap_or(false),
    };
    rewrite_path(action, prefix, plugins, reader);
    cluster::upstream(reader, &clusters, &used)
}

fn rewrite_path(
    action: &Object<'_>,
    prefix: Option<&str>,
    plugins: &mut Plugins,
    reader: &Reader<'_>,
) {
    let conf = if let Some(to) = action.text("prefix_rewrite") {
        let Some(prefix) = prefix else {
            action.lose("prefix_rewrite", "a regular expression has no prefix");
            return;
        };
        // Envoy puts one text in place of the other, slash or not.
        let to = to.replace('$', "\\$");
        json!({"regex_uri": [format!("^{}(.*)$", regex::escape(prefix)), format!("{to}$1")]})
    } else if let Some(rewrite) = action.object("regex_rewrite") {
        let pattern = rewrite.object("pattern").and_then(|pattern| {
            pattern.ignore(&["google_re2"]);
            pattern.text("regex")
        });
        let to = rewrite::replacement(&rewrite.text("substitution").unwrap_or_default());
        json!({"regex_uri": [pattern.unwrap_or_default(), to]})
    } else {
        return;
    };
    plugins.put(reader.draft, &action.pointer, "proxy-rewrite", conf, false);
}

fn redirect(reader: &Reader<'_>, redirect: &Object<'_>, plugins: &mut Plugins) {
    let status = match redirect.text("response_code").as_deref() {
        Some("FOUND") => 302,
        Some("SEE_OTHER") => 303,
        Some("TEMPORARY_REDIRECT") => 307,
        Some("PERMANENT_REDIRECT") => 308,
        _ => 301,
    };
    redirect.ignore(&["strip_query"]);
    let conf = if redirect.bool("https_redirect") == Some(true) {
        json!({"http_to_https": true})
    } else if let Some(path) = redirect.text("path_redirect") {
        match redirect.text("host_redirect") {
            Some(host) => json!({"uri": format!("$scheme://{host}{path}"), "ret_code": status}),
            None => json!({"uri": path, "ret_code": status}),
        }
    } else if let Some(host) = redirect.text("host_redirect") {
        json!({"uri": format!("$scheme://{host}$request_uri"), "ret_code": status})
    } else {
        let reason = "expected https_redirect, host_redirect or path_redirect".to_owned();
        plugins.lose(reader.draft, &redirect.pointer, "redirect", reason, true);
        return;
    };
    plugins.put(reader.draft, &redirect.pointer, "redirect", conf, true);
}

/// Fields that are added and removed on the way, there and back; on a host or on everything, they
/// are lost.
fn change(object: &Object<'_>, plugins: &mut Plugins, reader: &Reader<'_>) {
    object.without(
        &["typed_per_filter_config", "per_filter_config", "request_body_buffer_limit"],
        "settings of filters are not carried over",
    );
    for (add, remove, name) in [
        ("request_headers_to_add", "request_headers_to_remove", "proxy-rewrite"),
        ("response_headers_to_add", "response_headers_to_remove", "response-rewrite"),
    ] {
        if !object.has("match") {
            object.without(&[add, remove], "fields are changed by routes, not by hosts");
            continue;
        }
        let mut fields = Fields { remove: object.texts(remove), ..Fields::default() };
        for field in object.objects(add) {
            let action = field.text("append_action").unwrap_or_default();
            let append =
                field.bool("append").unwrap_or(action.is_empty() || action.starts_with("APPEND"));
            field.ignore(&["keep_empty_value"]);
            let Some(header) = field.object("header") else { continue };
            let (key, value) = (header.text("key"), header.text("value"));
            match (key, value) {
                (Some(key), Some(value))
                    if !value.contains('%') && !rewrite::has_variables(&value) =>
                {
                    match append {
                        true => fields.add.push((key, value)),
                        false => _ = fields.set.insert(key, value.into()),
                    }
                }
                _ => header.lose_whole("what Envoy fills in has no equivalent"),
            }
        }
        let conf = if name == "proxy-rewrite" { fields.of_request() } else { fields.of_response() };
        if let Some(conf) = conf {
            plugins.put(reader.draft, &object.at(add), name, conf, false);
        }
    }
}
