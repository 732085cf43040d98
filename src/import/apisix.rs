//! APISIX's own standalone files: nearly as they are. What this gateway does not have goes, and is
//! told.

use serde_json::{Map, Value};

use super::draft::{Draft, Plugins};
use super::object::{Object, text};
use super::{Source, plain_variable};
use crate::config::schema::{self, Kind};
use crate::config::{PluginScope, Problem};
use crate::plugin::Scope;

pub(super) const SOURCE: Source = Source {
    name: "apisix",
    title: "Imported from APISIX's standalone configuration",
    toml: false,
    read,
    variable: plain_variable,
};

/// Plugins that change nothing of who gets through. Any other may, also those that somebody wrote.
const HARMLESS: [&str; 44] = [
    "ai",
    "ai-proxy",
    "ai-proxy-multi",
    "ai-prompt-decorator",
    "ai-prompt-template",
    "ai-rag",
    "ai-rate-limiting",
    "api-breaker",
    "attach-consumer-label",
    "aws-lambda",
    "azure-functions",
    "batch-requests",
    "body-transformer",
    "brotli",
    "client-control",
    "cors",
    "datadog",
    "degraphql",
    "dubbo-proxy",
    "echo",
    "example-plugin",
    "gzip",
    "http-dubbo",
    "inspect",
    "kafka-proxy",
    "log-rotate",
    "mocking",
    "mqtt-proxy",
    "node-status",
    "openfunction",
    "opentelemetry",
    "openwhisk",
    "prometheus",
    "public-api",
    "real-ip",
    "redirect",
    "request-id",
    "response-rewrite",
    "server-info",
    "skywalking",
    "syslog",
    "traffic-label",
    "traffic-split",
    "zipkin",
];
const HARMLESS_PARTS: [&str; 5] = ["-logger", "-logging", "limit-", "proxy-", "grpc-"];

fn guards(name: &str) -> bool {
    !HARMLESS.contains(&name) && !HARMLESS_PARTS.iter().any(|part| name.contains(part))
}

/// Keys that name a resource.
const IDS: [&str; 8] = [
    "id",
    "service_id",
    "upstream_id",
    "plugin_config_id",
    "group_id",
    "script_id",
    "superior_id",
    "client_cert_id",
];

fn read(draft: &Draft<'_>) -> Result<(), Problem> {
    let root = Object::new(draft, &draft.document.value, String::new())
        .ok_or_else(|| draft.problem("", "expected a mapping of routes, services, upstreams…"))?;
    if !root.keys().any(|key| Kind::of_key(key).is_some()) {
        return Err(draft.problem("", "this is no resource file of APISIX's: no routes, services…"));
    }
    root.without(&["plugins"], "plugins are enabled in the bootstrap file (`plugins`)");
    // Versions of single kinds, of APISIX's `api` store.
    let versions: Vec<&str> = root.keys().filter(|key| key.ends_with("_conf_version")).collect();
    root.ignore(&versions);
    for kind in Kind::ALL {
        if Kind::of_key(kind.plural()).is_none() {
            continue;
        }
        for resource in root.objects(kind.plural()) {
            one(draft, kind, &resource);
        }
    }
    Ok(())
}

fn one(draft: &Draft<'_>, kind: Kind, resource: &Object<'_>) {
    let credential = kind == Kind::Consumer
        && resource
            .get("id")
            .and_then(Value::as_str)
            .is_some_and(|id| id.contains("/credentials/"));
    let shape = if credential { Kind::Credential } else { kind };
    let known = schema::schema(shape).value().get("properties").and_then(Value::as_object);
    // Of these, the plugin's or the manager's own schema says what there may be.
    let open = matches!(kind, Kind::PluginMetadata | Kind::Secret);
    let mut map = Map::new();
    for key in resource.keys().filter(|key| *key != "plugins") {
        if !open && known.is_some_and(|known| !known.contains_key(key)) {
            continue; // told when the object is dropped
        }
        let Some(value) = resource.get(key) else { continue };
        let mut value = value.clone();
        if key == "upstream" {
            prune(draft, &mut value, &resource.at(key));
        }
        if IDS.contains(&key)
            && let Some(id) = text(&value)
        {
            value = id.into();
        }
        map.insert(key.to_owned(), value);
    }
    let mut plugins = plugins(draft, kind, resource);
    match kind {
        Kind::Route | Kind::Service => {
            for key in ["script", "script_id"].into_iter().filter(|key| map.remove(*key).is_some())
            {
                let reason = "Lua is not run".to_owned();
                plugins.lose(draft, &resource.at(key), key, reason, true);
            }
        }
        Kind::GlobalRule => {
            if plugins.unguarded.is_some() {
                draft.add_global(Plugins {
                    unguarded: plugins.unguarded.take(),
                    ..Plugins::default()
                });
            }
            if plugins.map.is_empty() {
                return;
            }
        }
        Kind::PluginConfig | Kind::ConsumerGroup if plugins.map.is_empty() => {
            map.insert("plugins".into(), Value::Object(Map::new()));
        }
        Kind::PluginMetadata => {
            let name = map.get("id").and_then(Value::as_str).unwrap_or_default();
            if draft.registry.get(name).is_none() {
                resource.lose_whole(format!("this version has no plugin {name}"));
                return;
            }
        }
        _ => {}
    }
    let narrows = matches!(kind, Kind::Consumer | Kind::ConsumerGroup | Kind::StreamRoute);
    if let Some(lost) = plugins.unguarded.clone().filter(|_| narrows) {
        let name = kind.singular();
        resource
            .lose_whole(format!("the {name} is left out: without {lost} more would get through"));
        return;
    }
    draft.add(kind, &resource.pointer, Value::Object(map), plugins);
}

fn plugins(draft: &Draft<'_>, kind: Kind, resource: &Object<'_>) -> Plugins {
    let scope = match kind {
        Kind::StreamRoute => PluginScope::Stream,
        Kind::Consumer => PluginScope::Consumer,
        _ => PluginScope::Http,
    };
    let mut plugins = Plugins::default();
    let Some(Value::Object(map)) = resource.get("plugins") else { return plugins };
    for (name, conf) in map {
        let disabled = conf.pointer("/_meta/disable") == Some(&Value::Bool(true));
        // On a consumer, a plugin that authenticates is a credential.
        let is_credential = scope == PluginScope::Consumer
            && (draft.registry.get(name).is_some_and(|kind| kind.scope() == Scope::Auth)
                || name.ends_with("-auth"));
        let guards = guards(name) && !disabled && !is_credential;
        let origin = format!("{}/{name}", resource.at("plugins"));
        plugins.put_in(draft, &origin, name, conf.clone(), guards, scope);
    }
    plugins
}

/// Takes out what an upstream inside a resource cannot have.
fn prune(draft: &Draft<'_>, upstream: &mut Value, pointer: &str) {
    let known = schema::schema(Kind::Upstream).value().get("properties").and_then(Value::as_object);
    let (Some(known), Some(map)) = (known, upstream.as_object_mut()) else { return };
    map.retain(|key, _| {
        let fits = known.contains_key(key);
        if !fits {
            draft.lose(&crate::config::join(pointer, key), "has no equivalent, or is not known");
        }
        fits
    });
}
