//! Kong's routes.

use regex::Regex;
use serde_json::{Value, json};

use super::service::{Service, place_upstream};
use super::{RECORDS, Reader, labels, names, plugins::Place};
use crate::config::schema::Kind;
use crate::import::draft::Plugins;
use crate::import::finish::object;
use crate::import::object::Object;
use crate::import::paths::PathRule;
use crate::import::precedence::Ranked;
use crate::import::rewrite;

/// Methods that a route can list.
const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"];

/// Paths that share a URI form, and how they are changed on the way.
struct Paths {
    uris: Vec<String>,
    var: Option<Value>,
    regex_uri: Option<Vec<String>>,
    uri: Option<String>,
}

pub(super) fn read<'a>(reader: &Reader<'a>, route: &Object<'a>, service: Option<&Service<'_>>) {
    route.ignore(&RECORDS);
    route.ignore(&["service"]);
    route.only("path_handling", &json!("v0"), "only v0 is known: one slash between both paths");
    route.only(
        "request_buffering",
        &json!(true),
        "bodies are streamed; plugins that need them whole buffer them",
    );
    route.only(
        "response_buffering",
        &json!(true),
        "bodies are streamed; plugins that need them whole buffer them",
    );
    if route.has("expression") {
        route.lose_whole("expressions are not carried over; use paths, hosts, methods and headers");
        return;
    }
    let names = names(route, "name");
    let mut plugins = reader.plugins_of("route", &names, route, Place::Request);
    if service.is_none() {
        reader.inherit(&mut plugins);
    }
    let protocols = route.texts("protocols");
    let is_stream =
        |protocol: &String| matches!(&**protocol, "tcp" | "tls" | "udp" | "tls_passthrough");
    if protocols.iter().any(is_stream) || service.is_some_and(|service| service.id.is_none()) {
        stream(reader, route, service, &names, plugins);
        return;
    }
    http(reader, route, service, &names, &protocols, plugins);
}

fn http<'a>(
    reader: &Reader<'a>,
    route: &Object<'a>,
    service: Option<&Service<'_>>,
    names: &[String],
    protocols: &[String],
    mut plugins: Plugins,
) {
    route.without(&["sources", "destinations"], "only streams have these");
    let mut vars = Vec::new();
    let (mut listed, methods) = methods(route);
    vars.extend(listed.take());
    let headers = headers(route, &mut vars);
    transport(route, protocols, &mut vars, &mut plugins);
    let mut hosts = hosts(route);
    let snis = route.texts("snis");
    if !snis.is_empty() {
        if hosts.iter().all(|(names, _)| names.is_empty()) {
            route.lose("snis", "taken as hosts: a client asks for the same name in both places");
            hosts = vec![(snis.clone(), None)];
        } else {
            route.lose("snis", "the hosts of the route count alone");
        }
    }
    let priority = route.integer("regex_priority").unwrap_or(0);
    let strip = route.bool("strip_path").unwrap_or(true);
    let base = service.map_or("", |service| &*service.target.path);
    let given = route.texts("paths");
    let paths = paths(route, &given, strip, base);
    // Kong looks at the routes first that ask for more, then at those with more fields, then at
    // regular expressions by their priority.
    let asks = i64::from(!methods.is_null() || !vars.is_empty() && headers == 0)
        + i64::from(headers > 0)
        + i64::from(!snis.is_empty());
    let has_hosts = i64::from(hosts.iter().any(|(names, var)| !names.is_empty() || var.is_some()));
    let has_paths = i64::from(!given.is_empty());
    // Of those that ask for equally much, hosts count most, then fields, then paths.
    let kinds = has_hosts * 8 + i64::from(headers > 0) * 4 + has_paths * 2;
    let total = (asks + has_paths + has_hosts) * 100 + kinds;
    let wanted = names.first().map_or("route", String::as_str);
    let labels = labels(route);
    let preserve = route.bool("preserve_host").unwrap_or(false);
    for (hosts, host_var) in &hosts {
        for paths in &paths {
            let id = reader.draft.id(Kind::Route, wanted);
            let is_regex = paths.var.is_some();
            let rank = asks * 10_000
                + headers.min(9) * 1000
                + if is_regex { 500 + priority.clamp(-400, 400) } else { 0 };
            let all: Vec<Value> =
                vars.iter().cloned().chain(host_var.clone()).chain(paths.var.clone()).collect();
            let mut value = object([
                ("id", id.into()),
                ("name", wanted.into()),
                ("labels", labels.clone()),
                ("uris", paths.uris.clone().into()),
                ("hosts", if hosts.is_empty() { Value::Null } else { hosts.clone().into() }),
                ("methods", methods.clone()),
                ("vars", if all.is_empty() { Value::Null } else { all.into() }),
                ("priority", if rank == 0 { Value::Null } else { rank.into() }),
            ]);
            if service.is_some_and(|service| !service.enabled) {
                value["status"] = 0.into();
            }
            let mut own = plugins.clone();
            rewrite_path(reader, route, service, paths, &mut own);
            match service {
                None => value["enable_websocket"] = true.into(),
                Some(service) => {
                    value["service_id"] = service.id.map_or(Value::Null, Value::from);
                    if preserve != service.preserves_host {
                        place_upstream(
                            reader,
                            service.target,
                            preserve,
                            service.origin,
                            &mut value,
                        );
                    }
                }
            }
            reader.draft.add(Kind::Route, &route.pointer, value, own);
            reader.ranks.borrow_mut().push(Ranked {
                name: format!("route {wanted}"),
                origin: route.pointer.clone(),
                rank: (
                    total * 100_000 + rank,
                    paths.uris.iter().map(String::len).max().unwrap_or(0) as i64,
                ),
                hosts: hosts.clone(),
                uris: paths.uris.clone(),
            });
        }
    }
}

/// `proxy-rewrite` for the path, joined with what the service's says: the route's would take its
/// place.
fn rewrite_path(
    reader: &Reader<'_>,
    route: &Object<'_>,
    service: Option<&Service<'_>>,
    paths: &Paths,
    own: &mut Plugins,
) {
    const NAME: &str = "proxy-rewrite";
    let change = object([
        ("regex_uri", paths.regex_uri.clone().map_or(Value::Null, Value::from)),
        ("uri", paths.uri.clone().map_or(Value::Null, Value::from)),
    ]);
    if change == json!({}) {
        return;
    }
    if let Some(service) = service
        && !own.contains(NAME)
        && let Some(conf) = service.plugins.map.get(NAME)
    {
        let origin = service.plugins.origins.get(NAME).map_or("", |(origin, _)| origin);
        own.put(reader.draft, origin, NAME, conf.clone(), false);
    }
    own.put(reader.draft, &route.pointer, NAME, change, true);
}

/// Methods that a schema lists, and a comparison for others.
fn methods(route: &Object<'_>) -> (Option<Value>, Value) {
    let methods = route.texts("methods");
    match methods.iter().all(|method| METHODS.contains(&&**method)) {
        true if methods.is_empty() => (None, Value::Null),
        true => (None, methods.into()),
        false => (Some(json!(["request_method", "in", methods])), Value::Null),
    }
}

/// A comparison for each field; how many there are.
fn headers(route: &Object<'_>, vars: &mut Vec<Value>) -> i64 {
    let headers = route.named_lists("headers");
    for (name, values) in &headers {
        let variable = format!("http_{}", name.to_ascii_lowercase().replace('-', "_"));
        // Kong compares without case; one value may be a regular expression.
        let parts: Vec<String> = values
            .iter()
            .map(|value| match value.strip_prefix("~*") {
                Some(pattern) => format!("(?:{pattern})"),
                None => format!("^(?:{})$", regex::escape(value)),
            })
            .collect();
        vars.push(json!([variable, "~*", parts.join("|")]));
    }
    headers.len() as i64
}

/// Whether plain requests are taken: Kong answers those to a route for `https` with 426, or
/// redirects them.
fn transport(
    route: &Object<'_>,
    protocols: &[String],
    vars: &mut Vec<Value>,
    plugins: &mut Plugins,
) {
    let plain =
        protocols.is_empty() || protocols.iter().any(|p| matches!(&**p, "http" | "grpc" | "ws"));
    let secure =
        protocols.is_empty() || protocols.iter().any(|p| matches!(&**p, "https" | "grpcs" | "wss"));
    let status = route.number("https_redirect_status_code").unwrap_or(426);
    match (plain, secure) {
        (true, false) => vars.push(json!(["scheme", "==", "http"])),
        (false, true) if status == 426 => vars.push(json!(["scheme", "==", "https"])),
        (false, true) => {
            let conf = json!({"http_to_https": true});
            plugins.put(
                route.draft,
                &route.at("https_redirect_status_code"),
                "redirect",
                conf,
                true,
            );
        }
        _ => {}
    }
}

/// Hosts by what can be filed: names with a wildcard in front, and those that need an expression.
fn hosts(route: &Object<'_>) -> Vec<(Vec<String>, Option<Value>)> {
    let (mut filed, mut groups) = (Vec::new(), Vec::new());
    for host in route.texts("hosts") {
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if port.parse::<u16>().is_ok() => {
                route.lose("hosts", format!("the port of {host} is not compared"));
                bare.to_owned()
            }
            _ => host.clone(),
        };
        match bare.rfind('*') {
            None | Some(0) => filed.push(bare),
            Some(_) => {
                let pattern = regex::escape(&bare.to_ascii_lowercase()).replace("\\*", ".+");
                groups.push((Vec::new(), Some(json!(["host", "~~", format!("^{pattern}$")]))));
            }
        }
    }
    if !filed.is_empty() || groups.is_empty() {
        groups.insert(0, (filed, None));
    }
    groups
}

/// The paths of a route: those that a URI says together, and each that needs an expression.
fn paths(route: &Object<'_>, given: &[String], strip: bool, base: &str) -> Vec<Paths> {
    let change = |prefixes: &[String]| match (strip, base.is_empty()) {
        (true, _) => {
            let prefixes: Vec<String> = prefixes.iter().filter(|p| *p != "/").cloned().collect();
            match (prefixes.is_empty(), base.is_empty()) {
                (true, true) => None,
                (true, false) => Some(rewrite::add_prefix(base)),
                (false, _) => {
                    let mut pairs = rewrite::strip_prefixes(&prefixes, base);
                    if prefixes.len() < given.len() && !base.is_empty() {
                        pairs.extend(rewrite::add_prefix(base));
                    }
                    Some(pairs)
                }
            }
        }
        (false, false) => Some(rewrite::add_prefix(base)),
        (false, true) => None,
    };
    if given.is_empty() {
        let regex_uri = (!base.is_empty()).then(|| rewrite::add_prefix(base));
        return vec![Paths { uris: vec![PathRule::any().uri], var: None, regex_uri, uri: None }];
    }
    let (mut plain, mut all): (Vec<(String, String)>, Vec<Paths>) = (Vec::new(), Vec::new());
    for path in given {
        match path.strip_prefix('~') {
            Some(pattern) => all.push(by_expression(route, pattern, strip, base)),
            None => match PathRule::prefix(path) {
                PathRule { uri, var: None } => plain.push((path.clone(), uri)),
                PathRule { uri, var } => {
                    let regex_uri = change(std::slice::from_ref(path));
                    all.push(Paths { uris: vec![uri], var, regex_uri, uri: None });
                }
            },
        }
    }
    if !plain.is_empty() {
        let (prefixes, uris): (Vec<String>, Vec<String>) = plain.into_iter().unzip();
        all.insert(0, Paths { uris, var: None, regex_uri: change(&prefixes), uri: None });
    }
    all
}

/// A path that is a regular expression; it holds from the start of the path.
fn by_expression(route: &Object<'_>, pattern: &str, strip: bool, base: &str) -> Paths {
    // PCRE's names of groups are Python's to the regex crate.
    let pattern = pattern.replace("(?'", "(?P<").replace("(?P<!", "(?<!");
    let anchored = if pattern.starts_with('^') { pattern } else { format!("^{pattern}") };
    let PathRule { uri, var } = PathRule::regex(&anchored);
    let mut paths = Paths { uris: vec![uri], var, regex_uri: None, uri: None };
    if strip {
        if anchored.ends_with('$') {
            paths.uri = Some(if base.is_empty() { "/".into() } else { base.to_owned() });
        } else if let Ok(regex) = Regex::new(&anchored) {
            let rest = regex.captures_len();
            let replacement = format!("{}/${rest}", base.trim_end_matches('/'));
            paths.regex_uri = Some(vec![format!("{anchored}/?(.*)$"), replacement]);
        } else {
            route.lose("strip_path", format!("{anchored} is no expression that is known here"));
        }
    } else if !base.is_empty() {
        paths.regex_uri = Some(rewrite::add_prefix(base));
    }
    paths
}

/// A route of a stream: one for each place that it names.
fn stream<'a>(
    reader: &Reader<'a>,
    route: &Object<'a>,
    service: Option<&Service<'_>>,
    names: &[String],
    plugins: Plugins,
) {
    route.ignore(&[
        "protocols",
        "strip_path",
        "preserve_host",
        "tags",
        "https_redirect_status_code",
        "regex_priority",
    ]);
    route.without(&["paths", "hosts", "methods", "headers"], "streams have none of these");
    let Some(service) = service else {
        route.lose_whole("a stream needs a service");
        return;
    };
    for name in plugins.map.keys() {
        let origin = plugins.origins.get(name).map_or(&*route.pointer, |(origin, _)| origin);
        reader.draft.lose(origin, format!("{name} is not carried over to streams"));
    }
    if let Some(lost) = plugins.unguarded.as_ref().or(service.plugins.unguarded.as_ref()) {
        route.lose_whole(format!("without {lost} the stream would be open"));
        return;
    }
    if !service.enabled {
        route.lose_whole("its service is not enabled, and stream routes cannot be turned off");
        return;
    }
    let wanted = names.first().map_or("stream", String::as_str);
    let snis = route.texts("snis");
    let sources = places(route, "sources");
    let destinations = places(route, "destinations");
    let or_any = |list: Vec<Value>| if list.is_empty() { vec![Value::Null] } else { list };
    for sni in or_any(snis.into_iter().map(Value::from).collect()) {
        for (source, port) in &sources {
            if !port.is_null() {
                route.lose("sources", "the port of a source is not compared");
            }
            for (address, port) in &destinations {
                let mut value = object([
                    ("id", reader.draft.id(Kind::StreamRoute, wanted).into()),
                    ("name", wanted.into()),
                    ("sni", sni.clone()),
                    ("remote_addr", source.clone()),
                    ("server_addr", address.clone()),
                    ("server_port", port.clone()),
                ]);
                place_upstream(reader, service.target, false, service.origin, &mut value);
                reader.draft.add(Kind::StreamRoute, &route.pointer, value, Plugins::default());
            }
        }
    }
}

/// Addresses with ports; one that says nothing where none is named.
fn places(route: &Object<'_>, key: &str) -> Vec<(Value, Value)> {
    let mut places = Vec::new();
    for place in route.objects(key) {
        let address = place.text("ip").map_or(Value::Null, Value::from);
        places.push((address, place.number("port").map_or(Value::Null, Value::from)));
    }
    if places.is_empty() {
        places.push((Value::Null, Value::Null));
    }
    places
}
