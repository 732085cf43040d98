//! Traefik's HTTP routers.

use serde_json::{Value, json};

use super::conditions::{ALTERNATIVES_MAX, Conditions, alternatives};
use super::rule::Rule;
use super::{Reader, bare, middleware, service};
use crate::config::schema::Kind;
use crate::import::finish::object;
use crate::import::object::Object;
use crate::import::precedence::{self, Ranked};

pub(super) fn read<'a>(reader: &Reader<'a>, http: &Object<'a>) {
    let routers = http.named("routers");
    // Routers that tell apart only whether there is TLS need a condition for it.
    let secure: Vec<String> = routers
        .iter()
        .filter(|(_, router)| router.has("tls"))
        .filter_map(|(_, router)| router.text("rule"))
        .collect();
    let mut ranks = Vec::new();
    for (name, router) in &routers {
        one(reader, name, router, &secure, &mut ranks);
    }
    precedence::contradictions(reader.draft, &ranks);
}

fn one<'a>(
    reader: &Reader<'a>,
    name: &str,
    router: &Object<'a>,
    secure: &[String],
    ranks: &mut Vec<Ranked>,
) {
    router.ignore(&["observability"]);
    let Some(rule) = router.text("rule") else {
        router.lose_whole("has no rule");
        return;
    };
    if router.text("ruleSyntax").is_some_and(|syntax| syntax != "v3" && syntax != "v2") {
        router.lose("ruleSyntax", "read as v3 with v2's names");
    }
    let conditions = Rule::parse(&rule).and_then(|rule| alternatives(&rule));
    let conditions = match conditions {
        Ok(conditions) if conditions.len() > ALTERNATIVES_MAX => {
            router.lose_whole(format!("rule: more than {ALTERNATIVES_MAX} alternatives"));
            return;
        }
        Ok(conditions) => conditions,
        Err(reason) => {
            router.lose_whole(format!("rule: {reason}"));
            return;
        }
    };
    let mut common = entry_points(reader, router);
    match tls(router) {
        true => common.push(json!(["scheme", "==", "https"])),
        false if secure.contains(&rule) => common.push(json!(["scheme", "==", "http"])),
        false => {}
    }
    // The longer rule comes first, unless a priority is given.
    let priority = router.integer("priority").filter(|priority| *priority != 0);
    let priority = priority.unwrap_or(rule.len() as i64);
    let mut plugins = middleware::plugins(reader, router);
    let target = router.text("service").map(|service| bare(&service).to_owned());
    let upstream = match &target {
        Some(target) => service::upstream(reader, target, &router.at("service"), &mut plugins),
        None => None,
    };
    if upstream.is_none() {
        if target.is_none() {
            router.lose("service", "has none");
        }
        plugins.unguarded.get_or_insert_with(|| "its service".into());
    }
    for conditions in conditions {
        let id = reader.draft.id(Kind::Route, name);
        let Conditions { hosts, paths, methods, addresses, mut vars } = conditions;
        vars.extend(common.iter().cloned());
        let uris = paths.unwrap_or_else(|| vec!["/*".into()]);
        let list = |list: Option<Vec<String>>| list.map_or(Value::Null, Value::from);
        ranks.push(Ranked {
            name: format!("router {name}"),
            origin: router.pointer.clone(),
            rank: (priority, 0),
            hosts: hosts.clone().unwrap_or_default(),
            uris: uris.clone(),
        });
        let value = object([
            ("id", id.into()),
            ("name", name.into()),
            ("uris", uris.into()),
            ("hosts", list(hosts)),
            ("methods", list(methods)),
            ("remote_addrs", list(addresses)),
            ("vars", if vars.is_empty() { Value::Null } else { vars.into() }),
            ("priority", priority.into()),
            ("enable_websocket", true.into()),
            ("upstream_id", upstream.clone().map_or(Value::Null, Value::from)),
        ]);
        reader.draft.add(Kind::Route, &router.pointer, value, plugins.clone());
    }
}

/// The port of the entry points, where the file says it.
fn entry_points(reader: &Reader<'_>, router: &Object<'_>) -> Vec<Value> {
    let names = router.texts("entryPoints");
    if names.is_empty() {
        return Vec::new();
    }
    let ports: Option<Vec<String>> =
        names.iter().map(|name| reader.entry_points.get(name).map(u16::to_string)).collect();
    match ports {
        Some(ports) => vec![json!(["server_port", "in", ports])],
        None => {
            let reason =
                "entry points are listeners of the bootstrap file; the route holds on all of them";
            router.lose("entryPoints", reason);
            Vec::new()
        }
    }
}

/// Whether it is for TLS.
fn tls(router: &Object<'_>) -> bool {
    let Some(value) = router.get("tls") else { return false };
    if value.is_object()
        && let Some(tls) = router.object("tls")
    {
        tls.without(&["options"], "options of TLS are those of the listener and the ssl");
        tls.without(&["certResolver", "domains"], "certificates are not obtained; add an ssl");
    }
    value != &Value::Bool(false)
}
