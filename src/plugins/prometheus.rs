//! `prometheus`: counts requests by route, service, consumer and node, under APISIX's names.
//!
//! Labels are interned once per route ([`Bases`]); a shard keeps what it found by the route's
//! address, so that a request costs one look-up of a word and those of the counters. Where both a
//! global rule and the route have the plugin, the route's counts, as in APISIX (`prefer_route`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};

use ringgate_core::{RequestHead, path};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::plan::Route;
use crate::plugin::{BuildCx, ConfigError, Cx, Needs, Plugin, PluginKind, Schemas};
use crate::route::{Subject, UriPattern, Variable};
use crate::telemetry::disabled::{Disabled, Label, Labels};
use crate::telemetry::labelled::{Base, Bases, RouteLabels, Sample};
use crate::telemetry::series::Source;
use crate::telemetry::shape::{SEPARATOR, Shape, VALUE_MAX};

const NAME: &str = "prometheus";

/// Routes that a shard remembers before it forgets those that are gone.
const REMEMBERED: usize = 4096;

/// The labels of the process.
static BASES: LazyLock<Bases> = LazyLock::new(Bases::default);

thread_local! {
    static KNOWN: RefCell<HashMap<(usize, bool, Disabled), Known>> = RefCell::default();
}

/// A route's labels. The [`Weak`] keeps its address from being another's.
struct Known {
    route: Weak<Route>,
    uris: Vec<UriPattern>,
    /// By URI and host, the latter running faster; of a request that no pattern fits, the first.
    bases: Vec<Arc<Base>>,
}

/// The kind.
pub(super) struct Prometheus;

#[derive(Deserialize)]
struct Conf {
    #[serde(default)]
    prefer_name: bool,
}

impl PluginKind for Prometheus {
    fn name(&self) -> &'static str {
        NAME
    }

    fn priority(&self) -> i32 {
        500
    }

    fn schemas(&self) -> &'static Schemas {
        static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
            let conf = json!({
                "type": "object",
                "properties": {"prefer_name": {"type": "boolean", "default": false}},
            });
            let metadata = json!({
                "type": "object",
                "properties": {"disabled_labels": disabled_labels()},
            });
            Schemas::conf(conf).with_metadata(metadata)
        });
        &SCHEMAS
    }

    fn build(&self, conf: &Value, cx: &BuildCx) -> Result<Arc<dyn Plugin>, ConfigError> {
        let conf: Conf = cx.read(conf)?;
        let labels = |metric: &str| {
            let mut labels = Labels::default();
            let names = cx.metadata.pointer(&format!("/disabled_labels/{metric}"));
            let names = names.and_then(Value::as_array).into_iter().flatten();
            let names = names.filter_map(Value::as_str).filter_map(Label::of);
            names.for_each(|label| labels.insert(label));
            labels
        };
        let disabled = Disabled {
            status: labels("http_status"),
            latency: labels("http_latency"),
            bandwidth: labels("bandwidth"),
        };
        let shape = Shape::read(&cx.attributes).map_err(|(field, reason)| {
            ConfigError::at("", format!("plugin_attr.prometheus.{field}: {reason}"))
        })?;
        Ok(Arc::new(Compiled {
            prefer_name: conf.prefer_name,
            disabled,
            global: cx.object.starts_with("global rule/"),
            extra: shape.variables().map(Variable::compile).collect(),
            shape,
        }))
    }
}

/// The labels of each metric that can be left empty, as in APISIX; those that are not exposed here
/// are so anyway.
fn disabled_labels() -> Value {
    const COMMON: [&str; 7] =
        ["route", "service", "consumer", "node", "request_type", "request_llm_model", "llm_model"];
    const STATUS: [&str; 3] = ["matched_uri", "matched_host", "response_source"];
    let list =
        |labels: &[&str]| json!({"type": "array", "items": {"type": "string", "enum": labels}});
    let mut metrics = json!({
        "http_status": list(&[&COMMON[..], &STATUS].concat()),
        "http_latency": list(&COMMON),
        "bandwidth": list(&COMMON),
    });
    for other in [
        "llm_latency",
        "llm_prompt_tokens",
        "llm_completion_tokens",
        "llm_active_connections",
        "llm_prompt_tokens_dist",
        "llm_completion_tokens_dist",
        "ai_cache_hits_total",
        "ai_cache_misses_total",
        "ai_cache_bypasses_total",
        "ai_cache_embedding_latency",
    ] {
        metrics[other] = json!({"type": "array", "items": {"type": "string"}});
    }
    json!({"type": "object", "properties": metrics, "additionalProperties": false})
}

struct Compiled {
    prefer_name: bool,
    disabled: Disabled,
    /// Whether it is a global rule's, which gives way to a route's own.
    global: bool,
    shape: Arc<Shape>,
    /// The values of the operator's own labels.
    extra: Box<[Variable]>,
}

/// Who made the answer.
fn source(cx: &Cx<'_>) -> Source {
    match (cx.outcome.node_status, cx.outcome.node) {
        (Some(_), _) => Source::Upstream,
        (None, Some(_)) => Source::Nginx,
        (None, None) => Source::Apisix,
    }
}

impl Compiled {
    /// The values of the operator's own labels, one behind the other.
    fn values(&self, subject: &Subject<'_>) -> String {
        let mut values = String::new();
        for (index, variable) in self.extra.iter().enumerate() {
            if index > 0 {
                values.push(SEPARATOR);
            }
            let value = variable.value(subject).unwrap_or_default();
            let value = &value[..value.len().min(VALUE_MAX)];
            values.extend(String::from_utf8_lossy(value).chars().filter(|c| *c != SEPARATOR));
        }
        values
    }

    fn record(&self, rq: &RequestHead, cx: &Cx<'_>) {
        let outcome = &cx.outcome;
        let extra = match self.extra.is_empty() {
            true => String::new(),
            false => self.values(&cx.subject(rq)),
        };
        let sample = Sample {
            consumer: cx.consumer.map_or("", |consumer| &consumer.username),
            node: outcome.node.map(|node| node.ip()),
            status: outcome.status,
            request_us: outcome.total_micros,
            upstream_us: outcome.node_status.map(|_| outcome.node_micros),
            bytes_in: outcome.request_bytes,
            bytes_out: outcome.response_bytes,
            source: source(cx),
            extra: &extra,
        };
        let address = cx.route.map_or(0, |route| Arc::as_ptr(route).addr());
        KNOWN.with_borrow_mut(|known| {
            let key = (address, self.prefer_name, self.disabled);
            if !known.contains_key(&key) {
                if known.len() >= REMEMBERED {
                    known.retain(|_, known| known.route.strong_count() > 0);
                }
                known.insert(key, Known::of(cx.route.map(|route| &**route), cx.route, self));
            }
            if let Some(base) = known.get(&key).and_then(|known| known.base(rq, cx)) {
                let mut series = cx.shard.metrics.labelled().borrow_mut();
                series.record(base, &self.shape, &sample);
            }
        });
    }
}

impl Known {
    fn of(route: Option<&Route>, shared: Option<&Arc<Route>>, plugin: &Compiled) -> Known {
        let empty = || -> Vec<Box<str>> { vec!["".into()] };
        let or_empty = |texts: Option<&[Box<str>]>| match texts {
            Some(texts) if !texts.is_empty() => texts.to_vec(),
            _ => empty(),
        };
        let id = route.map_or_else(|| Arc::from(""), |route| route.id.clone());
        let name = route.and_then(|route| route.name.clone()).filter(|_| plugin.prefer_name);
        let label = name.unwrap_or(id);
        let named = route.and_then(|route| route.service_name.clone());
        let service = named.filter(|_| plugin.prefer_name);
        let service = service.or_else(|| route.and_then(|route| route.service_id.clone()));
        let service = service.unwrap_or_else(|| Arc::from(""));
        let uris = or_empty(route.map(|route| &*route.uris));
        let hosts = or_empty(route.map(|route| &*route.hosts));
        let bases = uris.iter().flat_map(|uri| hosts.iter().map(move |host| (uri, host)));
        Known {
            route: shared.map_or_else(Weak::new, Arc::downgrade),
            bases: bases
                .map(|(uri, host)| {
                    BASES.intern(RouteLabels {
                        route: label.clone(),
                        service: service.clone(),
                        matched_uri: Arc::from(&**uri),
                        matched_host: Arc::from(&**host),
                        disabled: plugin.disabled,
                    })
                })
                .collect(),
            // They were compiled with the route, so each of them compiles.
            uris: uris.iter().filter_map(|uri| UriPattern::compile(uri).ok()).collect(),
        }
    }

    /// The labels for a request. Only routes with several URIs or hosts have to look.
    fn base(&self, rq: &RequestHead, cx: &Cx<'_>) -> Option<&Arc<Base>> {
        if self.bases.len() <= 1 {
            return self.bases.first();
        }
        let route = cx.route?;
        // A plugin may have rewritten the path: the one that was matched is in the target.
        let target = rq.target();
        let end = memchr::memchr(b'?', target).unwrap_or(target.len());
        let path = path::normalize(&target[..end]).ok();
        let path = path.as_deref().unwrap_or(rq.path());
        let uri = self.uris.iter().position(|uri| uri.matches(path)).unwrap_or(0);
        let fits = |pattern: &str| {
            let (host, pattern) = (rq.host(), pattern.as_bytes());
            match pattern.strip_prefix(b"*") {
                Some(suffix) => host
                    .len()
                    .checked_sub(suffix.len())
                    .is_some_and(|at| host[at..].eq_ignore_ascii_case(suffix)),
                None => host.eq_ignore_ascii_case(pattern),
            }
        };
        let host = route.hosts.iter().position(|host| fits(host)).unwrap_or(0);
        self.bases.get(uri * route.hosts.len().max(1) + host)
    }
}

impl Plugin for Compiled {
    fn needs(&self) -> Needs {
        Needs { log: true, ..Needs::default() }
    }

    fn log(&self, rq: &RequestHead, cx: &Cx<'_>) {
        let own = |route: &&Arc<Route>| {
            route.chain.instances().iter().any(|instance| instance.kind.name() == NAME)
        };
        if !(self.global && cx.route.as_ref().is_some_and(own)) {
            self.record(rq, cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::exchange::testing::{Gateway, Node, Request, run};
    use crate::plugins::REGISTRY;
    use crate::telemetry::report::{ProcessFacts, Reporter};
    use crate::telemetry::strict_parser::parse;

    #[test]
    fn requests_are_counted_once_by_their_labels() {
        run(async || {
            let gateway = Gateway::new(
                &REGISTRY,
                &json!({
                    "routes": [
                        {
                            "id": "r1", "name": "first", "uris": ["/a", "/b/*"], "service_id": "s",
                            "plugins": {"prometheus": {"prefer_name": true}},
                        },
                        {
                            "id": "r2", "uri": "/c", "hosts": ["*.example", "x.org"],
                            "upstream": {"type": "roundrobin", "nodes": {"127.0.0.2:1980": 1}},
                        },
                    ],
                    "services": [{
                        "id": "s", "name": "shop", "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
                    }],
                    "global_rules": [{"id": 1, "plugins": {"prometheus": {}}}],
                }),
            );
            let node = Node::answering(201, &["12345"]);
            for target in ["/a", "/b/1", "/b/2", "/c", "/none"] {
                gateway.send(Request::get(target), &node).await;
            }
            let snapshot = gateway.shard.metrics.snapshot();
            let text = Reporter::new(100).report(&[snapshot], &ProcessFacts::default());
            let families = parse(&text);
            let mut lines: Vec<String> = families["apisix_http_status"]
                .samples
                .iter()
                .map(|sample| {
                    let labels = [
                        "code",
                        "route",
                        "matched_uri",
                        "matched_host",
                        "service",
                        "node",
                        "response_source",
                    ]
                    .map(|label| sample.label(label).unwrap_or("?"));
                    format!("{} {}", labels.join(","), sample.value)
                })
                .collect();
            lines.sort();
            assert_eq!(
                lines,
                [
                    "201,first,/a,,shop,127.0.0.1,upstream 1",
                    "201,first,/b/*,,shop,127.0.0.1,upstream 2",
                    "201,r2,/c,*.example,,127.0.0.2,upstream 1",
                    "404,,,,,,apisix 1",
                ]
            );
            let bytes: f64 = families["apisix_bandwidth"]
                .samples
                .iter()
                .filter(|sample| sample.label("type") == Some("egress"))
                .filter(|sample| sample.label("route") == Some("first"))
                .map(|sample| sample.value)
                .sum();
            assert_eq!(bytes, 15.0);
        });
    }
}
