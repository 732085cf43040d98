//! Traefik's HTTP middlewares by the plugin of the same meaning.

use serde_json::{Value, json};

use super::{Reader, bare};
use crate::import::draft::Plugins;
use crate::import::finish::object;
use crate::import::names::{number, seconds};
use crate::import::object::Object;
use crate::import::rewrite::{self, Fields, has_variables};

/// Chains may name chains so deep.
const DEPTH_MAX: usize = 8;
/// Middlewares of one router, those of its chains included.
const MIDDLEWARES_MAX: usize = 200;

/// What happens to the path, and where that was said.
enum Change {
    Strip(Vec<String>),
    Add(String),
    Replace(String),
    Regex(String, String),
}

/// The plugins of a router.
#[derive(Default)]
struct Taken {
    plugins: Plugins,
    changes: Vec<(Change, String)>,
    count: usize,
}

/// Middlewares that change nothing of who gets through; without any other, requests would that
/// must not.
const HARMLESS: [&str; 16] = [
    "addPrefix",
    "buffering",
    "circuitBreaker",
    "compress",
    "contentType",
    "errors",
    "grpcWeb",
    "headers",
    "inFlightReq",
    "passTLSClientCert",
    "rateLimit",
    "replacePath",
    "replacePathRegex",
    "retry",
    "stripPrefix",
    "stripPrefixRegex",
];

pub(super) fn plugins<'a>(reader: &Reader<'a>, router: &Object<'a>) -> Plugins {
    let mut taken = Taken::default();
    let names = router.texts("middlewares");
    all(reader, &names, &router.at("middlewares"), &mut taken, 0);
    let Taken { mut plugins, changes, .. } = taken;
    if let Some((conf, origin)) = path(reader, changes) {
        plugins.put(reader.draft, &origin, "proxy-rewrite", conf, false);
    }
    plugins
}

fn all<'a>(reader: &Reader<'a>, names: &[String], origin: &str, taken: &mut Taken, depth: usize) {
    for name in names {
        taken.count += 1;
        let Some(middleware) = reader.middlewares.get(bare(name)) else {
            let reason = format!("middleware {name} is not in this file");
            taken.plugins.lose(reader.draft, origin, name, reason, true);
            continue;
        };
        if taken.count > MIDDLEWARES_MAX || depth > DEPTH_MAX {
            let reason = format!("middleware {name}: too many of them, or too deep");
            taken.plugins.lose(reader.draft, origin, name, reason, true);
            return;
        }
        for kind in middleware.keys() {
            let Some(conf) = middleware.get(kind) else { continue };
            let conf = match conf {
                Value::Object(_) => middleware.object(kind),
                _ => Some(Object::empty(reader.draft, middleware.at(kind))),
            };
            let Some(conf) = conf else { continue };
            if kind == "chain" {
                all(reader, &conf.texts("middlewares"), &conf.pointer, taken, depth + 1);
            } else {
                one(reader, kind, &conf, taken);
            }
        }
    }
}

/// A configuration of a plugin, or why there is none.
type Converted = Result<(&'static str, Value), String>;

fn one<'a>(reader: &Reader<'a>, kind: &str, conf: &Object<'a>, taken: &mut Taken) {
    let origin = conf.pointer.clone();
    let guards = !HARMLESS.contains(&kind);
    let converted: Converted = match kind {
        "stripPrefix" => {
            conf.ignore(&["forceSlash"]);
            taken.changes.push((Change::Strip(conf.texts("prefixes")), origin));
            return;
        }
        "addPrefix" => {
            let prefix = conf.text("prefix").unwrap_or_default();
            taken.changes.push((Change::Add(prefix), origin));
            return;
        }
        "replacePath" => {
            let path = conf.text("path").unwrap_or_default();
            taken.changes.push((Change::Replace(path), origin));
            return;
        }
        "replacePathRegex" => {
            let pattern = conf.text("regex").unwrap_or_default();
            let replacement = rewrite::replacement(&conf.text("replacement").unwrap_or_default());
            taken.changes.push((Change::Regex(pattern, replacement), origin));
            return;
        }
        "stripPrefixRegex" => {
            for pattern in conf.texts("regex") {
                let pattern = format!("^{}", pattern.trim_start_matches('^'));
                match regex::Regex::new(&pattern) {
                    Ok(regex) => {
                        let to = format!("/${}", regex.captures_len());
                        let change = Change::Regex(format!("{pattern}/?(.*)$"), to);
                        taken.changes.push((change, origin.clone()));
                    }
                    Err(_) => {
                        conf.lose("regex", format!("{pattern} is no expression that is known here"))
                    }
                }
            }
            return;
        }
        "headers" => {
            headers(reader, conf, &mut taken.plugins);
            return;
        }
        "ipAllowList" | "ipWhiteList" => addresses(conf),
        "rateLimit" => rate(conf),
        "inFlightReq" => in_flight(conf),
        "basicAuth" | "digestAuth" => {
            conf.forget();
            Err(format!("{kind}: its passwords are hashed, and the texts themselves are needed"))
        }
        "forwardAuth" => forward_auth(conf),
        "redirectScheme" => redirect_scheme(conf),
        "redirectRegex" => {
            conf.forget();
            Err("redirectRegex is of the whole URL, which redirect does not see".into())
        }
        "compress" => {
            conf.ignore(&["excludedContentTypes", "encodings", "defaultEncoding"]);
            let least = conf.number("minResponseBodyBytes");
            let types = conf.texts("includedContentTypes");
            let types = if types.is_empty() { json!("*") } else { types.into() };
            let conf = [("types", types), ("min_length", least.map_or(Value::Null, Value::from))];
            Ok(("gzip", object(conf)))
        }
        "buffering" => {
            conf.without(&["retryExpression", "maxResponseBodyBytes"], "has no equivalent");
            conf.ignore(&["memRequestBodyBytes", "memResponseBodyBytes"]);
            match conf.number("maxRequestBodyBytes").filter(|size| *size > 0) {
                Some(size) => Ok(("client-control", json!({"max_body_size": size}))),
                None => return,
            }
        }
        "grpcWeb" => {
            conf.ignore(&["allowOrigins"]);
            Ok(("grpc-web", json!({})))
        }
        // Types are never guessed here.
        "contentType" => return conf.forget(),
        other => {
            conf.forget();
            Err(format!("{other} has no equivalent"))
        }
    };
    match converted {
        Ok((name, conf)) => taken.plugins.put(reader.draft, &origin, name, conf, guards),
        Err(reason) => taken.plugins.lose(reader.draft, &origin, kind, reason, guards),
    }
}

/// `proxy-rewrite` of the changes of the path, one after the other.
fn path(reader: &Reader<'_>, mut changes: Vec<(Change, String)>) -> Option<(Value, String)> {
    let two = matches!(changes.as_slice(), [(Change::Strip(_), _), (Change::Add(_), _), ..]);
    let rest = changes.split_off(changes.len().min(if two { 2 } else { 1 }));
    for (_, origin) in rest {
        reader
            .draft
            .lose(&origin, "one change of the path is made, that of the middlewares before");
    }
    let origin = changes.first().map(|(_, origin)| origin.clone())?;
    let changes: Vec<Change> = changes.into_iter().map(|(change, _)| change).collect();
    let pairs = match changes.as_slice() {
        [Change::Strip(prefixes)] => rewrite::strip_prefixes(prefixes, ""),
        [Change::Strip(prefixes), Change::Add(base)] => {
            let mut pairs = rewrite::strip_prefixes(prefixes, base);
            pairs.extend(rewrite::add_prefix(base));
            pairs
        }
        [Change::Add(base)] => rewrite::add_prefix(base),
        [Change::Regex(pattern, replacement)] => vec![pattern.clone(), replacement.clone()],
        [Change::Replace(path)] => {
            if has_variables(path) {
                reader.draft.lose(&origin, "the path would be taken for one with variables");
                return None;
            }
            return Some((json!({"uri": path}), origin));
        }
        _ => return None,
    };
    (pairs.len() >= 2).then(|| (json!({"regex_uri": pairs}), origin))
}

fn headers<'a>(reader: &Reader<'a>, conf: &Object<'a>, plugins: &mut Plugins) {
    let fields = |key: &str| {
        let mut fields = Fields::default();
        for (name, value) in conf.named_texts(key) {
            match value.is_empty() {
                true => fields.remove.push(name),
                false if has_variables(&value) => {
                    conf.lose(key, format!("{name}: it would be taken for one with variables"));
                }
                false => _ = fields.set.insert(name, value.into()),
            }
        }
        fields
    };
    if let Some(request) = fields("customRequestHeaders").of_request() {
        plugins.put(
            reader.draft,
            &conf.at("customRequestHeaders"),
            "proxy-rewrite",
            request,
            false,
        );
    }
    let mut answer = fields("customResponseHeaders");
    security(conf, &mut answer);
    if let Some(response) = answer.of_response() {
        plugins.put(reader.draft, &conf.pointer, "response-rewrite", response, false);
    }
    cors(reader, conf, plugins);
    if let Some(hosts) = conf.get("allowedHosts").filter(|hosts| hosts != &&json!([])) {
        let reason = format!("allowedHosts {hosts} has no equivalent; name them in the rule");
        plugins.lose(reader.draft, &conf.at("allowedHosts"), "allowedHosts", reason, true);
    }
}

/// Fields of answers that browsers heed.
fn security(conf: &Object<'_>, answer: &mut Fields) {
    conf.ignore(&["isDevelopment", "sslProxyHeaders", "hostsProxyHeaders", "addVaryHeader"]);
    let mut set = |name: &str, value: String| _ = answer.set.insert(name.into(), value.into());
    if let Some(seconds) = conf.number("stsSeconds").filter(|seconds| *seconds > 0) {
        let mut value = format!("max-age={seconds}");
        for (key, part) in
            [("stsIncludeSubdomains", "includeSubDomains"), ("stsPreload", "preload")]
        {
            if conf.bool(key) == Some(true) {
                value.push_str(&format!("; {part}"));
            }
        }
        set("Strict-Transport-Security", value);
    }
    conf.ignore(&["stsIncludeSubdomains", "stsPreload", "forceSTSHeader"]);
    if conf.bool("frameDeny") == Some(true) {
        set("X-Frame-Options", "DENY".into());
    }
    if conf.bool("contentTypeNosniff") == Some(true) {
        set("X-Content-Type-Options", "nosniff".into());
    }
    if conf.bool("browserXssFilter") == Some(true) {
        set("X-XSS-Protection", "1; mode=block".into());
    }
    for (key, name) in [
        ("customFrameOptionsValue", "X-Frame-Options"),
        ("customBrowserXSSValue", "X-XSS-Protection"),
        ("contentSecurityPolicy", "Content-Security-Policy"),
        ("contentSecurityPolicyReportOnly", "Content-Security-Policy-Report-Only"),
        ("referrerPolicy", "Referrer-Policy"),
        ("permissionsPolicy", "Permissions-Policy"),
    ] {
        match conf.text(key) {
            Some(value) if has_variables(&value) => {
                conf.lose(key, "it would be taken for one with variables")
            }
            Some(value) => set(name, value),
            None => {}
        }
    }
}

fn cors<'a>(reader: &Reader<'a>, conf: &Object<'a>, plugins: &mut Plugins) {
    let origins = conf.texts("accessControlAllowOriginList");
    let patterns = conf.texts("accessControlAllowOriginListRegex");
    let methods = conf.texts("accessControlAllowMethods");
    let headers = conf.texts("accessControlAllowHeaders");
    let exposed = conf.texts("accessControlExposeHeaders");
    let credentials = conf.bool("accessControlAllowCredentials").unwrap_or(false);
    let age = conf.number("accessControlMaxAge");
    if origins.is_empty() && patterns.is_empty() {
        return;
    }
    let joined = |list: Vec<String>| match list.is_empty() {
        true => Value::Null,
        false if list == ["*"] && credentials => "**".into(),
        false => list.join(",").into(),
    };
    let patterns: Vec<String> = if patterns.is_empty() {
        Vec::new()
    } else {
        let escaped = origins.iter().map(|origin| format!("^{}$", regex::escape(origin)));
        patterns.into_iter().chain(escaped).collect()
    };
    let by_name = patterns.is_empty();
    let value = object([
        ("allow_origins", if by_name { joined(origins) } else { Value::Null }),
        ("allow_origins_by_regex", if by_name { Value::Null } else { patterns.into() }),
        ("allow_methods", joined(methods)),
        ("allow_headers", joined(headers)),
        ("expose_headers", joined(exposed)),
        ("allow_credential", if credentials { true.into() } else { Value::Null }),
        ("max_age", age.map_or(Value::Null, Value::from)),
    ]);
    plugins.put(reader.draft, &conf.at("accessControlAllowOriginList"), "cors", value, false);
}

fn addresses(conf: &Object<'_>) -> Converted {
    strategy(conf);
    let status = conf.number("rejectStatusCode").filter(|status| matches!(status, 403 | 404));
    Ok((
        "ip-restriction",
        object([
            ("whitelist", conf.texts("sourceRange").into()),
            ("response_code", status.map_or(Value::Null, Value::from)),
        ]),
    ))
}

/// Who the client is, says `trusted_addresses` of the bootstrap file.
fn strategy(conf: &Object<'_>) {
    conf.without(
        &["ipStrategy"],
        "who the client is, `trusted_addresses` of the bootstrap file says",
    );
}

fn source(conf: &Object<'_>) -> String {
    let Some(criterion) = conf.get("sourceCriterion").and(conf.object("sourceCriterion")) else {
        return "remote_addr".into();
    };
    strategy(&criterion);
    if criterion.bool("requestHost") == Some(true) {
        return "host".into();
    }
    match criterion.text("requestHeaderName") {
        Some(name) => format!("http_{}", name.to_ascii_lowercase().replace('-', "_")),
        None => "remote_addr".into(),
    }
}

fn rate(conf: &Object<'_>) -> Converted {
    conf.without(&["redis"], "each gateway counts by itself");
    let average = conf.float("average").unwrap_or(0.0);
    if average <= 0.0 {
        return Err("rateLimit without an average is none".into());
    }
    let period = conf.text("period").and_then(|text| seconds(&text)).filter(|period| *period > 0.0);
    // A bucket of so many lets one less wait than it holds.
    let burst = conf.number("burst").unwrap_or(1).saturating_sub(1);
    let value = json!({
        "rate": number(average / period.unwrap_or(1.0)), "burst": burst, "nodelay": true,
        "key": source(conf), "key_type": "var", "rejected_code": 429,
    });
    Ok(("limit-req", value))
}

fn in_flight(conf: &Object<'_>) -> Converted {
    let amount = conf.number("amount").unwrap_or(0);
    let value = json!({
        "conn": amount, "burst": 0, "default_conn_delay": 0.1, "key": source(conf),
        "key_type": "var", "rejected_code": 429,
    });
    Ok(("limit-conn", value))
}

fn forward_auth(conf: &Object<'_>) -> Converted {
    conf.ignore(&["trustForwardHeader", "headerField", "maxBodySize", "preserveLocationHeader"]);
    conf.without(&["authResponseHeadersRegex", "addAuthCookiesToResponse"], "has no equivalent");
    conf.without(&["forwardBody"], "the body is not sent to who decides");
    let tls = conf.object("tls");
    let verify = tls.as_ref().and_then(|tls| tls.bool("insecureSkipVerify")).map(|skip| !skip);
    let list = |key: &str| match conf.texts(key) {
        list if list.is_empty() => Value::Null,
        list => list.into(),
    };
    Ok((
        "forward-auth",
        object([
            ("uri", conf.text("address").map_or(Value::Null, Value::from)),
            ("request_headers", list("authRequestHeaders")),
            ("upstream_headers", list("authResponseHeaders")),
            ("ssl_verify", verify.map_or(Value::Null, Value::from)),
        ]),
    ))
}

fn redirect_scheme(conf: &Object<'_>) -> Converted {
    conf.ignore(&["permanent"]);
    conf.without(&["port"], "the port is the bootstrap file's (`plugin_attr.redirect.https_port`)");
    match conf.text("scheme").as_deref() {
        Some("https") => Ok(("redirect", json!({"http_to_https": true}))),
        other => Err(format!("redirectScheme to {} has no equivalent", other.unwrap_or("nothing"))),
    }
}
