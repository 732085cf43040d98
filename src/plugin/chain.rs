//! Chains: the compiled plugins of an object, sorted by priority, and how those of several
//! objects become one.

use std::sync::Arc;

use ringgate_core::HeaderId;
use serde_json::Value;

use super::{
    BodyNeed, BuildCx, ConfigError, Needs, Plugin, PluginKind, Registry, Reply, Scope, resolved,
};
use crate::config::resources::Plugins;
use crate::route::Expr;

/// `_meta` of a plugin's configuration.
#[derive(Default)]
pub struct Meta {
    /// It runs only for requests that match.
    pub filter: Option<Expr>,
    /// What the client gets in place of the plugin's own refusal.
    pub error_response: Option<Value>,
}

impl Meta {
    /// The plugin's reply; where it refuses (400 and above), with the body that the configuration
    /// puts in its place (a string or an object). Its fields stay, as in APISIX: a challenge, the
    /// time to come back.
    pub fn refusal(&self, mut reply: Reply) -> Reply {
        let body = match &self.error_response {
            Some(body) if reply.head.status >= 400 => body,
            _ => return reply,
        };
        let replaced = match body {
            Value::String(text) => Reply::with_body(reply.head.status, "text/plain", text.clone()),
            body => Reply::json(reply.head.status, body),
        };
        if let Some(media_type) = replaced.head.headers.get(HeaderId::ContentType) {
            // Our own text.
            let _ = reply.head.headers.set(b"Content-Type", media_type);
        }
        reply.head.body = replaced.head.body;
        reply.body = replaced.body;
        reply
    }
}

/// Which object a plugin's configuration came from; a later one wins over an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // APISIX's objects
pub enum Layer {
    GlobalRule,
    Service,
    PluginConfig,
    Route,
    ConsumerGroup,
    Consumer,
}

/// A compiled plugin in a chain.
#[derive(Clone)]
pub struct Instance {
    /// Its kind.
    pub kind: &'static dyn PluginKind,
    /// The plugin.
    pub plugin: Arc<dyn Plugin>,
    /// Its phases.
    pub needs: Needs,
    /// Its `_meta`.
    pub meta: Arc<Meta>,
    /// Where it was configured.
    pub layer: Layer,
    priority: i32,
    /// `_meta.disable`: it keeps an earlier layer's from running too.
    disabled: bool,
}

impl Instance {
    /// Compiles one plugin of an object. `conf` has passed its schema.
    pub fn build(
        registry: &Registry,
        name: &str,
        conf: &Value,
        layer: Layer,
        cx: &BuildCx,
    ) -> Result<Instance, ConfigError> {
        let kind = registry
            .get(name)
            .ok_or_else(|| ConfigError::at("", format!("unknown plugin [{name}]")))?;
        let conf = &*resolved(conf, cx.environment);
        let plugin = kind.build(conf, cx)?;
        let meta = conf.get("_meta").unwrap_or(&Value::Null);
        let filter = meta
            .get("filter")
            .map(Expr::compile)
            .transpose()
            .map_err(|reason| ConfigError::at("_meta.filter", reason))?;
        if meta.get("pre_function").is_some() {
            return Err(ConfigError::at("_meta.pre_function", "functions in Lua are not run here"));
        }
        let priority =
            meta.get("priority").and_then(Value::as_i64).map_or(kind.priority(), |priority| {
                priority.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
            });
        let disabled = meta.get("disable").and_then(Value::as_bool).unwrap_or(false);
        Ok(Instance {
            kind,
            needs: plugin.needs(),
            plugin,
            meta: Arc::new(Meta { filter, error_response: meta.get("error_response").cloned() }),
            layer,
            priority,
            disabled,
        })
    }
}

impl Instance {
    /// Its place in the order: its kind's, or `_meta.priority`.
    pub fn priority(&self) -> i32 {
        self.priority
    }
}

/// Plugins in the order in which they run.
#[derive(Clone, Default)]
pub struct Chain {
    instances: Vec<Instance>,
    phases: Phases,
    /// How much of the request's body the chain needs.
    pub request_body: BodyNeed,
    /// How much of the answer's body the chain needs.
    pub response_body: BodyNeed,
}

/// Which instances take part in which phase.
#[derive(Clone, Default)]
struct Phases {
    rewrite: Vec<u16>,
    access: Vec<u16>,
    before_proxy: Vec<u16>,
    response: Vec<u16>,
    log: Vec<u16>,
    session: Vec<u16>,
    request_frames: Vec<u16>,
    response_frames: Vec<u16>,
}

/// A phase, to ask a chain who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // named like the methods of `Plugin`
pub(crate) enum Phase {
    Rewrite,
    Access,
    BeforeProxy,
    Response,
    Log,
    Session,
    RequestFrames,
    ResponseFrames,
}

impl Chain {
    /// Sorts instances by priority and drops what is disabled. Of two of one name, the later
    /// layer's stays.
    pub fn new(instances: impl IntoIterator<Item = Instance>) -> Chain {
        let mut winners: Vec<Instance> = Vec::new();
        for instance in instances {
            match winners.iter_mut().find(|other| other.kind.name() == instance.kind.name()) {
                Some(other) if other.layer <= instance.layer => *other = instance,
                Some(_) => {}
                None => winners.push(instance),
            }
        }
        winners.retain(|instance| !instance.disabled);
        // Stable: equal priorities keep the order of the file.
        winners.sort_by_key(|instance| std::cmp::Reverse(instance.priority));
        Chain::from_sorted(winners)
    }

    fn from_sorted(instances: Vec<Instance>) -> Chain {
        let mut chain = Chain { instances, ..Chain::default() };
        for (index, instance) in chain.instances.iter().enumerate() {
            let needs = instance.needs;
            let index = index as u16;
            for (takes_part, list) in [
                (needs.rewrite, &mut chain.phases.rewrite),
                (needs.access, &mut chain.phases.access),
                (needs.before_proxy, &mut chain.phases.before_proxy),
                (needs.response, &mut chain.phases.response),
                (needs.log, &mut chain.phases.log),
                (needs.session, &mut chain.phases.session),
                (needs.request_body == BodyNeed::Stream, &mut chain.phases.request_frames),
                (needs.response_body == BodyNeed::Stream, &mut chain.phases.response_frames),
            ] {
                if takes_part {
                    list.push(index);
                }
            }
            chain.request_body = chain.request_body.max(needs.request_body);
            chain.response_body = chain.response_body.max(needs.response_body);
        }
        chain
    }

    /// Compiles the plugins of one object.
    pub fn build(
        registry: &Registry,
        plugins: &Plugins,
        layer: Layer,
        cx: impl Fn(&str) -> BuildCx,
    ) -> Result<Vec<Instance>, Vec<(String, ConfigError)>> {
        let mut built = Vec::new();
        let mut errors = Vec::new();
        for (name, conf) in plugins {
            match Instance::build(registry, name, conf, layer, &cx(name)) {
                Ok(instance) => built.push(instance),
                Err(error) => errors.push((name.clone(), error)),
            }
        }
        if errors.is_empty() { Ok(built) } else { Err(errors) }
    }

    /// This chain with a consumer's laid over it. Plugins that authenticate are the route's
    /// alone: on a consumer they are credentials.
    pub fn merge(&self, consumer: &[Instance]) -> Chain {
        let consumer = consumer.iter().filter(|instance| instance.kind.scope() != Scope::Auth);
        Chain::new(self.instances.iter().chain(consumer).cloned())
    }

    /// A chain without plugins.
    pub fn none() -> &'static Chain {
        static NONE: std::sync::LazyLock<Chain> = std::sync::LazyLock::new(Chain::default);
        &NONE
    }

    /// Whether there are no plugins.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// The plugins in the order in which they run.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// How many there are in a phase.
    #[inline]
    pub(crate) fn phase(&self, phase: Phase) -> &[u16] {
        match phase {
            Phase::Rewrite => &self.phases.rewrite,
            Phase::Access => &self.phases.access,
            Phase::BeforeProxy => &self.phases.before_proxy,
            Phase::Response => &self.phases.response,
            Phase::Log => &self.phases.log,
            Phase::Session => &self.phases.session,
            Phase::RequestFrames => &self.phases.request_frames,
            Phase::ResponseFrames => &self.phases.response_frames,
        }
    }

    /// Those that take part in a phase, in order.
    pub(crate) fn in_phase(&self, phase: Phase) -> impl Iterator<Item = &Instance> {
        self.phase(phase).iter().map(|index| &self.instances[*index as usize])
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.instances.iter().map(|instance| instance.kind.name())).finish()
    }
}
