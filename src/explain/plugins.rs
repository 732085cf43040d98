//! Which plugins run, in which order, with which configuration.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Known, World, mask, routes};
use crate::config::plan::{Consumer, Route};
use crate::config::resources::{Id, Plugins};
use crate::plugin::{Chain, Identity, Instance, Layer, Phase};
use crate::route::Subject;

/// What is told of the plugins, and who calls.
pub(super) struct Explained<'p> {
    pub(super) answer: Map<String, Value>,
    pub(super) consumer: Option<&'p Arc<Consumer>>,
}

/// The phases by their names, in the order in which they run.
const PHASES: [(&str, Phase); 8] = [
    ("rewrite", Phase::Rewrite),
    ("access", Phase::Access),
    ("before_proxy", Phase::BeforeProxy),
    ("request_body", Phase::RequestFrames),
    ("response", Phase::Response),
    ("response_body", Phase::ResponseFrames),
    ("log", Phase::Log),
    ("session", Phase::Session),
];

/// An object whose plugins take part.
struct Source<'r> {
    layer: Layer,
    /// The kind, as in the resource file.
    kind: &'static str,
    id: &'r str,
    plugins: &'r Plugins,
}

pub(super) fn explain<'p>(
    world: &World<'p>,
    route: Option<&'p Arc<Route>>,
    subject: &Subject<'_>,
) -> Explained<'p> {
    let global = &*world.plan.global;
    let own = route.map_or(Chain::none(), |route| &route.chain);
    let caller = identify(world, global, own, subject);
    let consumer = caller.consumer;
    // As the exchange does: a consumer without plugins of its own changes nothing.
    let merged = match (route, consumer) {
        (Some(_), Some(consumer)) if !consumer.plugins.is_empty() => {
            Some(own.merge(&consumer.plugins))
        }
        _ => None,
    };
    let chain = merged.as_ref().unwrap_or(own);
    let sources = sources(world, route, consumer);
    let known = Known { route, consumer };
    let subject = Subject { extra: Some(&known), ..*subject };

    let shown = |instance: &Instance| shown(world, instance, &sources, &subject);
    let mut answer = Map::new();
    answer.insert("consumer".into(), caller.shown);
    let all = global.instances().iter().chain(chain.instances());
    answer.insert("plugins".into(), all.map(shown).collect());
    answer.insert("disabled_plugins".into(), disabled(&sources));
    answer.insert("phases".into(), phases(global, chain));
    Explained { answer, consumer }
}

/// Who calls.
struct Caller<'p> {
    consumer: Option<&'p Arc<Consumer>>,
    shown: Value,
}

/// Asks the plugins in the order in which they would authenticate. The last one to know decides,
/// as it does when they run; the first to refuse ends it.
fn identify<'p>(
    world: &World<'p>,
    global: &Chain,
    own: &Chain,
    subject: &Subject<'_>,
) -> Caller<'p> {
    let mut caller = Caller { consumer: None, shown: Value::Null };
    for instance in global.in_phase(Phase::Rewrite).chain(own.in_phase(Phase::Rewrite)) {
        if instance.meta.filter.as_ref().is_some_and(|filter| !filter.eval(subject)) {
            continue;
        }
        match instance.plugin.identify(subject, &world.plan.consumers) {
            Identity::Unknown => {}
            Identity::Consumer(consumer, credential) => {
                caller.consumer = Some(consumer);
                caller.shown = json!({
                    "username": &*consumer.username,
                    "group_id": consumer.group_id.as_deref(),
                    "credential_id": credential.and_then(|credential| credential.id.as_deref()),
                    "by": instance.kind.name(),
                });
            }
            Identity::Refused(message) => {
                caller.consumer = None;
                caller.shown = json!({"refused_by": instance.kind.name(), "message": message});
                break;
            }
        }
    }
    caller
}

/// The objects whose plugins take part, those first that others win over.
fn sources<'r>(
    world: &World<'r>,
    route: Option<&'r Arc<Route>>,
    consumer: Option<&'r Arc<Consumer>>,
) -> Vec<Source<'r>> {
    let resources = world.resources;
    let mut sources = Vec::new();
    for rule in &resources.global_rules {
        let (id, plugins) = (&*rule.id, &rule.value.plugins);
        sources.push(Source { layer: Layer::GlobalRule, kind: "global_rules", id, plugins });
    }
    let raw = route.and_then(|route| resources.routes.entry(&route.id));
    if let Some(raw) = raw {
        if let Some(Id(id)) = &raw.value.service_id
            && let Some(service) = resources.services.get(id)
        {
            let plugins = &service.plugins;
            sources.push(Source { layer: Layer::Service, kind: "services", id, plugins });
        }
        if let Some(Id(id)) = &raw.value.plugin_config_id
            && let Some(config) = resources.plugin_configs.get(id)
        {
            let plugins = &config.plugins;
            sources.push(Source {
                layer: Layer::PluginConfig,
                kind: "plugin_configs",
                id,
                plugins,
            });
        }
        let (id, plugins) = (&*raw.id, &raw.value.plugins);
        sources.push(Source { layer: Layer::Route, kind: "routes", id, plugins });
    }
    let raw = consumer.and_then(|consumer| resources.consumers.entry(&consumer.username));
    if let (Some(raw), Some(_)) = (raw, route) {
        if let Some(Id(id)) = &raw.value.group_id
            && let Some(group) = resources.consumer_groups.get(id)
        {
            let plugins = &group.plugins;
            let kind = "consumer_groups";
            sources.push(Source { layer: Layer::ConsumerGroup, kind, id, plugins });
        }
        let (id, plugins) = (&*raw.id, &raw.value.plugins);
        sources.push(Source { layer: Layer::Consumer, kind: "consumers", id, plugins });
    }
    sources
}

/// One plugin.
fn shown(
    world: &World<'_>,
    instance: &Instance,
    sources: &[Source<'_>],
    subject: &Subject<'_>,
) -> Value {
    let name = instance.kind.name();
    let global = instance.layer == Layer::GlobalRule;
    // Of two global rules with one plugin, the later one has it.
    let source = sources
        .iter()
        .rev()
        .find(|source| source.layer == instance.layer && source.plugins.contains_key(name));
    let conf = source.and_then(|source| source.plugins.get(name));
    let beaten = sources.iter().filter(|other| {
        !global
            && other.layer != Layer::GlobalRule
            && other.layer < instance.layer
            && other.plugins.contains_key(name)
    });
    let overrides: Vec<Value> =
        beaten.map(|other| json!({"kind": other.kind, "id": other.id})).collect();
    let mut shown = json!({
        "name": name,
        "from": source.map(|source| json!({"kind": source.kind, "id": source.id})),
        "overrides": overrides,
        "priority": instance.priority(),
        "runs": true,
        "phases": takes_part(instance),
        "config": effective(instance, conf),
    });
    let meta = conf.and_then(|conf| conf.get("_meta")).cloned().unwrap_or_default();
    if let Some(filter) = &instance.meta.filter {
        let failed = filter.failing(&meta["filter"], subject);
        if !failed.is_empty() {
            shown["runs"] = false.into();
            shown["failed"] = failed.into_iter().map(routes::shown_failure).collect();
        }
    }
    if instance.priority() != instance.kind.priority() {
        shown["usual_priority"] = instance.kind.priority().into();
    }
    if world.plugins.get(name).is_none() {
        // Only where the registry changed beneath a plan, which it does not while it runs.
        shown["enabled"] = false.into();
    }
    shown
}

/// The configuration with its schema's defaults filled in and secrets masked.
fn effective(instance: &Instance, conf: Option<&Value>) -> Value {
    let schemas = instance.kind.schemas();
    let mut conf = conf.cloned().unwrap_or_else(|| json!({}));
    if let (Some(conf), Some(properties)) =
        (conf.as_object_mut(), schemas.conf.get("properties").and_then(Value::as_object))
    {
        for (name, property) in properties {
            if let (Some(default), false) = (property.get("default"), conf.contains_key(name)) {
                conf.insert(name.clone(), default.clone());
            }
        }
    }
    mask::configuration(conf, schemas.encrypt_fields)
}

/// The phases that a plugin takes part in.
fn takes_part(instance: &Instance) -> Vec<&'static str> {
    let alone = Chain::new([instance.clone()]);
    let takes = |phase: Phase| alone.in_phase(phase).next().is_some();
    PHASES.iter().filter(|(_, phase)| takes(*phase)).map(|(name, _)| *name).collect()
}

/// Who runs in each phase, in order.
fn phases(global: &Chain, chain: &Chain) -> Value {
    let mut phases = Map::new();
    for (name, phase) in PHASES {
        let all = global.in_phase(phase).chain(chain.in_phase(phase));
        let names: Vec<Value> = all.map(|instance| instance.kind.name().into()).collect();
        if !names.is_empty() {
            phases.insert(name.into(), names.into());
        }
    }
    Value::Object(phases)
}

/// Plugins that `_meta.disable` keeps from running, with the object that says so.
fn disabled(sources: &[Source<'_>]) -> Value {
    let is_disabled = |conf: &Value| conf.pointer("/_meta/disable") == Some(&Value::Bool(true));
    let mut disabled = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        for (name, _) in source.plugins.iter().filter(|(_, conf)| is_disabled(conf)) {
            let global = source.layer == Layer::GlobalRule;
            let same = |other: &&Source<'_>| (other.layer == Layer::GlobalRule) == global;
            let later = sources[at + 1..].iter().filter(same);
            if !later.clone().any(|other| other.plugins.contains_key(name)) {
                let from = json!({"kind": source.kind, "id": source.id});
                let beneath = sources[..at].iter().filter(same);
                let beneath = beneath.filter(|other| other.plugins.contains_key(name));
                let overrides: Vec<Value> =
                    beneath.map(|other| json!({"kind": other.kind, "id": other.id})).collect();
                disabled.push(json!({"name": name, "from": from, "overrides": overrides}));
            }
        }
    }
    disabled.into()
}
