//! Which route, and why no other.

use serde_json::{Map, Value, json};

use super::{ROUTES_MAX, World, mask};
use crate::config::plan;
use crate::config::resources::{Id, Route};
use crate::route::{Considered, Failed, Rejection, RouteSpec, Subject, Verdict};

type Found<'t> = Considered<'t, std::sync::Arc<plan::Route>>;

/// The route that the request takes.
pub(super) fn matched(world: &World<'_>, found: &Found<'_>, subject: &Subject<'_>) -> Value {
    let route = found.payload;
    let mut because = vec![
        match found.host {
            Some(host) => json!({"condition": "host", "value": host}),
            None => json!({"condition": "host", "value": "any"}),
        },
        json!({"condition": "uri", "value": found.uri}),
    ];
    let mut params = Map::new();
    if let Some(uri) = found.spec.uris().find(|uri| Some(uri.as_str()) == found.uri) {
        uri.params(subject.head.path(), |name, value| {
            params.insert(name.into(), String::from_utf8_lossy(value).into_owned().into());
        });
    }
    if let Some(raw) = world.resources.routes.get(&route.id) {
        because.extend(conditions(raw));
    }
    json!({
        "id": &*route.id,
        "name": route.name.as_deref(),
        "service_id": route.service_id.as_deref(),
        "priority": found.spec.priority(),
        "because": because,
        "params": params,
        "websocket": route.websocket,
    })
}

/// The conditions beyond host and URI, which hold.
fn conditions(raw: &Route) -> Vec<Value> {
    let lists = [
        ("methods", raw.methods.as_deref().map(|list| json!(list))),
        ("remote_addrs", addresses(raw)),
        ("vars", raw.vars.clone().filter(|vars| vars != &json!([]))),
        ("filter_func", raw.filter_func.clone().map(Value::String)),
    ];
    let present = lists.into_iter().filter_map(|(name, value)| Some((name, value?)));
    present.map(|(name, value)| json!({"condition": name, "value": value})).collect()
}

fn addresses(raw: &Route) -> Option<Value> {
    match (&raw.remote_addrs, &raw.remote_addr) {
        (Some(many), _) => Some(json!(many)),
        (None, Some(one)) => Some(json!([one])),
        (None, None) => None,
    }
}

/// The routes that are not taken, each with the first reason, and how many were left out.
/// Disabled ones that would be taken come first: they are what one looks for.
pub(super) fn rejected(
    world: &World<'_>,
    considered: &[Found<'_>],
    subject: &Subject<'_>,
) -> (Vec<Value>, usize) {
    let taken = considered.iter().find(|route| route.verdict == Verdict::Matched);
    let (mut near, mut far) = (Vec::new(), Vec::new());
    let mut count = usize::from(taken.is_some());
    for (id, raw) in disabled(world) {
        count += 1;
        let would = compile(world, id, raw).map(|spec| spec.judge(subject));
        let (detail, list) = match would {
            Some(Verdict::Matched) => ("status is 0; all its conditions hold", &mut near),
            _ => ("status is 0", &mut far),
        };
        if list.len() < ROUTES_MAX {
            list.push(entry(id, raw.name.as_deref(), "status", detail.into()));
        }
    }
    for found in considered.iter().filter(|route| route.verdict != Verdict::Matched) {
        count += 1;
        if near.len() < ROUTES_MAX {
            let (reason, detail) = why(world, found, taken, subject);
            let name = found.payload.name.as_deref();
            let mut told = entry(&found.payload.id, name, reason, detail);
            if let Verdict::Condition(condition @ (Rejection::Vars | Rejection::Filter)) =
                found.verdict
            {
                told["failed"] = failed(world, found, condition, subject);
            }
            near.push(told);
        }
    }
    near.append(&mut far);
    near.truncate(ROUTES_MAX - usize::from(taken.is_some()));
    let more = count - near.len() - usize::from(taken.is_some());
    (near, more)
}

fn entry(id: &str, name: Option<&str>, reason: &str, detail: String) -> Value {
    json!({"id": id, "name": name, "reason": reason, "detail": detail})
}

fn disabled<'w>(world: &World<'w>) -> impl Iterator<Item = (&'w str, &'w Route)> {
    let all = world.resources.routes.iter();
    all.filter(|entry| entry.value.status != 1).map(|entry| (&*entry.id, &*entry.value))
}

/// A route that is not in the plan.
fn compile(world: &World<'_>, id: &str, raw: &Route) -> Option<RouteSpec> {
    let service = raw.service_id.as_ref().and_then(|Id(id)| world.resources.services.get(id));
    RouteSpec::compile(id, raw, service.and_then(|service| service.hosts.as_deref())).ok()
}

/// The first reason against a route: its name, and the words.
fn why(
    world: &World<'_>,
    found: &Found<'_>,
    taken: Option<&Found<'_>>,
    subject: &Subject<'_>,
) -> (&'static str, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let head = subject.head;
    match found.verdict {
        Verdict::Host => {
            let hosts = shortened(found.spec.hosts());
            ("host", format!("{} is none of {hosts}", shown_host(&text(head.host()))))
        }
        Verdict::Uri => {
            let uris = shortened(found.spec.uris().map(|uri| uri.as_str()));
            ("uri", format!("{} is not matched by {uris}", text(head.path())))
        }
        Verdict::Condition(Rejection::Path) => ("uri", "the parameters do not fit".into()),
        Verdict::Condition(Rejection::Method) => {
            let raw = world.resources.routes.get(&found.payload.id);
            let methods = raw.and_then(|raw| raw.methods.as_deref()).unwrap_or_default();
            let methods = shortened(methods.iter().map(String::as_str));
            ("methods", format!("{} is none of {methods}", text(head.method_name())))
        }
        Verdict::Condition(Rejection::RemoteAddress) => {
            let peer = subject.connection.peer.ip().to_canonical();
            let raw = world.resources.routes.get(&found.payload.id);
            let list = raw.and_then(|raw| addresses(raw)).unwrap_or_default();
            let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
            let list = shortened(list.iter().filter_map(Value::as_str));
            ("remote_addrs", format!("{peer} is in none of {list}"))
        }
        Verdict::Condition(Rejection::Vars) => ("vars", "the expression does not hold".into()),
        Verdict::Condition(Rejection::Filter) => {
            ("filter_func", "the expression does not hold".into())
        }
        Verdict::Shadowed | Verdict::Matched => taken.map_or_else(
            || ("precedence", "another comes before".into()),
            |taken| precedence(found, taken),
        ),
    }
}

fn shown_host(host: &str) -> String {
    if host.is_empty() { "a request without host".into() } else { host.to_ascii_lowercase() }
}

/// Why a route that matches too comes after the one that is taken.
fn precedence(found: &Found<'_>, taken: &Found<'_>) -> (&'static str, String) {
    let id = &taken.payload.id;
    if found.host != taken.host {
        let host = |route: &Found<'_>| route.host.unwrap_or("any host").to_owned();
        let detail = format!(
            "it matches too; {} of route {id} is more specific than {}",
            host(taken),
            host(found)
        );
        return ("precedence", detail);
    }
    let shape = |route: &Found<'_>| {
        let uri = route.spec.uris().find(|uri| Some(uri.as_str()) == route.uri);
        uri.map(|uri| (uri.is_exact(), uri.literal()))
    };
    if shape(found) != shape(taken) {
        let uri = |route: &Found<'_>| route.uri.unwrap_or_default().to_owned();
        let detail = format!(
            "it matches too; {} of route {id} is more specific than {}",
            uri(taken),
            uri(found)
        );
        return ("precedence", detail);
    }
    let (mine, its) = (found.spec.priority(), taken.spec.priority());
    if mine != its {
        let detail = format!("it matches too; its priority {mine} is below {its} of route {id}");
        return ("priority", detail);
    }
    let detail = format!(
        "it matches too, at the same host, URI and priority as route {id}; of such, the longer URI \
         and then the smaller id comes first"
    );
    ("precedence", detail)
}

/// The parts of an expression that do not hold, with what their variables are.
fn failed(
    world: &World<'_>,
    found: &Found<'_>,
    condition: Rejection,
    subject: &Subject<'_>,
) -> Value {
    let Some(raw) = world.resources.routes.get(&found.payload.id) else { return Value::Null };
    let parts = match condition {
        Rejection::Vars => raw.vars.as_ref().map(|vars| found.spec.failing_vars(vars, subject)),
        _ => raw.filter_func.as_deref().map(|text| found.spec.failing_filter(text, subject)),
    };
    parts.unwrap_or_default().into_iter().map(shown_failure).collect()
}

pub(super) fn shown_failure(failed: Failed) -> Value {
    let values: Map<String, Value> = failed
        .values
        .into_iter()
        .map(|(name, value)| {
            let value = value.map(|value| mask::variable(&name, value));
            (name, value.map_or(Value::Null, Value::String))
        })
        .collect();
    json!({"expression": failed.expression, "values": values})
}

/// A list for a sentence.
pub(super) fn shortened<'a>(items: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let items: Vec<&str> = items.collect();
    let mut text = items.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if items.len() > SHOWN {
        text.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    text
}
