//! Compiles single resources. What comes out is put in force only where all of it could be
//! compiled.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::compile::{CompileError, Ingredients};
use super::protos::Protos;
use super::touched::Touched;
use super::upstream::{Answers, NodeTimeouts, seconds};
use super::{Consumer, Consumers, Credential, Route, Upstream};
use crate::config::Resources;
use crate::config::resources::{self, Plugins};
use crate::config::schema::Kind;
use crate::plugin::{BuildCx, Chain, ConfigError, Instance, Layer, Scope, has_reference, resolved};
use crate::route::RouteSpec;
use crate::tls::{TlsCompiler, TlsPolicy};
use crate::upstream::registry::Registry as EndpointRegistry;

/// What a route was compiled to.
pub(super) struct Compiled {
    pub(super) spec: Arc<RouteSpec>,
    pub(super) route: Arc<Route>,
}

/// What a change compiled to; [`None`] for what is gone.
#[derive(Default)]
pub(super) struct Drafted {
    pub(super) upstreams: HashMap<Arc<str>, Option<Arc<Upstream>>>,
    pub(super) routes: Vec<(Arc<str>, Option<Compiled>)>,
    pub(super) consumers: Option<Consumers>,
    pub(super) global: Option<Chain>,
    pub(super) policies: Vec<(Arc<str>, Option<Arc<TlsPolicy>>)>,
    /// Ssl objects changed, if only their order.
    pub(super) ssls: bool,
}

/// What a change is compiled with.
#[derive(Clone, Copy)]
pub(super) struct Known<'c> {
    pub(super) ingredients: &'c Ingredients,
    pub(super) tls: &'c TlsCompiler,
    pub(super) endpoints: &'c EndpointRegistry,
    pub(super) answers: &'c Answers,
    pub(super) resources: &'c Resources,
    /// Upstreams of the plan before.
    pub(super) compiled: &'c HashMap<Arc<str>, Arc<Upstream>>,
    /// Definitions as they are with the change.
    pub(super) protos: &'c Arc<Protos>,
}

/// A change that is being compiled.
pub(super) struct Draft<'c> {
    known: Known<'c>,
    drafted: Drafted,
    errors: Vec<CompileError>,
}

/// Where a resource is in the text of errors.
type At<'a> = (Kind, &'a Arc<str>);

impl<'c> Draft<'c> {
    pub(super) fn new(known: Known<'c>) -> Draft<'c> {
        Draft { known, drafted: Drafted::default(), errors: Vec::new() }
    }

    pub(super) fn finish(self) -> Result<Drafted, Vec<CompileError>> {
        if self.errors.is_empty() { Ok(self.drafted) } else { Err(self.errors) }
    }

    /// Compiles upstreams first: services and routes share them.
    pub(super) fn compile(&mut self, touched: &Touched) {
        for id in &touched.ssls {
            let raw = self.known.resources.ssls.get(id);
            match raw.map(|raw| self.known.tls.server(id, raw)).transpose() {
                Ok(policy) => self.drafted.policies.push((id.clone(), policy.flatten())),
                Err(error) => self.errors.push(CompileError::at(Kind::Ssl, id, error)),
            }
        }
        for id in &touched.upstreams {
            let raw = self.known.resources.upstreams.get(id);
            self.upstream(id.clone(), raw.map(|raw| &**raw), (Kind::Upstream, id));
        }
        for id in &touched.services {
            let raw = self.known.resources.services.get(id);
            let inner = raw.filter(|raw| raw.upstream_id.is_none());
            let inner = inner.and_then(|raw| raw.upstream.as_ref());
            self.upstream(inside("service", id), inner, (Kind::Service, id));
        }
        for id in &touched.routes {
            let raw = self.known.resources.routes.get(id).filter(|raw| raw.status == 1);
            let inner = raw.filter(|raw| raw.upstream_id.is_none());
            let inner = inner.and_then(|raw| raw.upstream.as_ref());
            self.upstream(inside("route", id), inner, (Kind::Route, id));
            let compiled = raw.and_then(|raw| match self.route(id, raw) {
                Ok(compiled) => Some(compiled),
                Err(errors) => {
                    self.errors.extend(errors);
                    None
                }
            });
            self.drafted.routes.push((id.clone(), compiled));
        }
    }

    /// Compiles an upstream under a key, or notes that there is none any more.
    fn upstream(&mut self, key: Arc<str>, raw: Option<&resources::Upstream>, at: At<'_>) {
        let compiled = match raw {
            None if self.known.compiled.contains_key(&key) => None,
            None => return,
            Some(raw) => match Upstream::compile(key.clone(), raw, self.known) {
                Ok(upstream) => Some(Arc::new(upstream)),
                Err(mut error) => {
                    if at.0 != Kind::Upstream {
                        error.path = format!("upstream.{}", error.path);
                    }
                    return self.errors.push(CompileError::at(at.0, at.1, error));
                }
            },
        };
        self.drafted.upstreams.insert(key, compiled);
    }

    /// An upstream, from this draft or the plan before.
    fn find_upstream(&self, key: &str) -> Option<Arc<Upstream>> {
        match self.drafted.upstreams.get(key) {
            Some(drafted) => drafted.clone(),
            None => self.known.compiled.get(key).cloned(),
        }
    }

    fn build_cx<'a>(&'a self, object: &'a Arc<str>) -> impl Fn(&str) -> BuildCx + 'a {
        move |plugin| BuildCx {
            limits: self.known.ingredients.limits.clone(),
            buffered_body: self.known.ingredients.buffered_body,
            object: object.clone(),
            protos: Some(self.known.protos.clone()),
            attributes: self.known.ingredients.attributes.get(plugin).cloned().unwrap_or_default(),
            metadata: self
                .known
                .resources
                .plugin_metadata
                .get(plugin)
                .map(|metadata| Value::Object(metadata.conf.clone()))
                .unwrap_or_default(),
            environment: self.known.ingredients.tls.environment,
        }
    }

    /// The plugins of one resource.
    fn plugins(
        &self,
        plugins: &Plugins,
        layer: Layer,
        at: At<'_>,
    ) -> Result<Vec<Instance>, Vec<CompileError>> {
        if plugins.is_empty() {
            return Ok(Vec::new());
        }
        let object = inside(at.0.singular(), at.1);
        Chain::build(&self.known.ingredients.plugins, plugins, layer, self.build_cx(&object))
            .map_err(|errors| {
                let named = |(name, error): (String, ConfigError)| {
                    let reason =
                        format!("failed to check the configuration of plugin {name} err: {error}");
                    CompileError::at(at.0, at.1, ConfigError::at(format!("plugins.{name}"), reason))
                };
                errors.into_iter().map(named).collect()
            })
    }

    fn route(&self, id: &Arc<str>, raw: &resources::Route) -> Result<Compiled, Vec<CompileError>> {
        let at = (Kind::Route, id);
        let service_id = raw.service_id.as_ref().map(|id| Arc::<str>::from(id.0.as_str()));
        let service = service_id.as_ref().and_then(|id| self.known.resources.services.get(id));
        // Only a shared store can bring such a route.
        let serviceless = service_id.is_some() && service.is_none();
        let scripted = raw.script.is_some() || raw.script_id.is_some();
        if scripted || service.is_some_and(|service| service.script.is_some()) {
            let error = ConfigError::at("script", "scripts in Lua are not run here");
            return Err(vec![CompileError::at(Kind::Route, id, error)]);
        }
        let hosts = service.and_then(|service| service.hosts.as_deref());
        let spec = RouteSpec::compile(id, raw, hosts).map_err(|error| {
            vec![CompileError::at(Kind::Route, id, ConfigError::at("", error.to_string()))]
        })?;
        let mut instances = Vec::new();
        if let (Some(service), Some(service_id)) = (service, &service_id) {
            let at = (Kind::Service, service_id);
            instances.extend(self.plugins(&service.plugins, Layer::Service, at)?);
        }
        if let Some(config_id) = &raw.plugin_config_id
            && let Some(config) = self.known.resources.plugin_configs.get(&config_id.0)
        {
            let config_id = Arc::from(config_id.0.as_str());
            let at = (Kind::PluginConfig, &config_id);
            instances.extend(self.plugins(&config.plugins, Layer::PluginConfig, at)?);
        }
        instances.extend(self.plugins(&raw.plugins, Layer::Route, at)?);
        if serviceless {
            instances.clear();
        }
        let upstream = match serviceless {
            true => None,
            false => self.upstream_of(id, raw, service.map(|service| &**service)),
        };
        let extras = raw.ringgate.clone().unwrap_or_default();
        let fallback = upstream.as_ref().map(|upstream| upstream.timeouts).unwrap_or_default();
        let websocket = raw
            .enable_websocket
            .or_else(|| service.and_then(|service| service.enable_websocket))
            .unwrap_or(false);
        let texts = |one: &Option<String>, many: &Option<Vec<String>>| {
            one.iter().chain(many.iter().flatten()).map(|text| text.as_str().into()).collect()
        };
        let route = Route {
            id: id.clone(),
            name: raw.name.as_deref().map(Arc::from),
            uris: texts(&raw.uri, &raw.uris),
            hosts: texts(&raw.host, &raw.hosts),
            service_name: service.and_then(|service| service.name.as_deref()).map(Arc::from),
            service_id,
            chain: Chain::new(instances),
            timeouts: NodeTimeouts::of(raw.timeout, fallback),
            upstream,
            serviceless,
            websocket,
            via: extras.via.unwrap_or(false),
            per_try_timeout: extras.per_try_timeout.map(seconds),
        };
        Ok(Compiled { spec: Arc::new(spec), route: Arc::new(route) })
    }

    /// The upstream that a route names, or its own one, or its service's in the same order. What
    /// is named comes before what stands inside, as in APISIX.
    fn upstream_of(
        &self,
        id: &Arc<str>,
        raw: &resources::Route,
        service: Option<&resources::Service>,
    ) -> Option<Arc<Upstream>> {
        if let Some(id) = &raw.upstream_id {
            return self.find_upstream(&id.0);
        }
        if raw.upstream.is_some() {
            return self.find_upstream(&inside("route", id));
        }
        let service = service?;
        match (&service.upstream_id, &service.upstream) {
            (Some(id), _) => self.find_upstream(&id.0),
            (None, Some(_)) => self.find_upstream(&inside("service", &raw.service_id.as_ref()?.0)),
            (None, None) => None,
        }
    }

    /// Compiles all global rules.
    pub(super) fn global_rules(&mut self) {
        let mut instances = Vec::new();
        for rule in &self.known.resources.global_rules {
            let at = (Kind::GlobalRule, &rule.id);
            match self.plugins(&rule.value.plugins, Layer::GlobalRule, at) {
                Ok(plugins) => instances.extend(plugins),
                Err(errors) => self.errors.extend(errors),
            }
        }
        self.drafted.global = Some(Chain::new(instances));
    }

    /// Compiles all consumers.
    pub(super) fn consumers(&mut self) {
        let mut consumers = Consumers::default();
        for entry in &self.known.resources.consumers {
            if let Err(errors) = self.consumer(&entry.id, &entry.value, &mut consumers) {
                self.errors.extend(errors);
            }
        }
        self.drafted.consumers = Some(consumers);
    }

    fn consumer(
        &self,
        username: &Arc<str>,
        raw: &resources::Consumer,
        consumers: &mut Consumers,
    ) -> Result<(), Vec<CompileError>> {
        let at = (Kind::Consumer, username);
        let mut plugins = Vec::new();
        if let Some(group_id) = &raw.group_id
            && let Some(group) = self.known.resources.consumer_groups.get(&group_id.0)
        {
            let group_id = Arc::from(group_id.0.as_str());
            let at = (Kind::ConsumerGroup, &group_id);
            plugins.extend(self.plugins(&group.plugins, Layer::ConsumerGroup, at)?);
        }
        let (credentials, others) = self.split(&raw.plugins);
        plugins.extend(self.plugins(&others, Layer::Consumer, at)?);
        let consumer = Arc::new(Consumer {
            username: username.clone(),
            group_id: raw.group_id.as_ref().map(|id| Arc::from(id.0.as_str())),
            labels: raw.labels.clone(),
            plugins,
        });
        consumers.add(consumer.clone());
        let own = credentials.iter().map(|(name, conf)| (None, name, conf));
        let further = raw.credentials.iter().flat_map(|credential| {
            // One that stands beside its consumer is `jack/credentials/c1`; it is told as `c1`.
            let own = |id: &str| id.split_once("/credentials/").map_or(id, |(_, id)| id).into();
            let id = credential.id.as_ref().map(|id| -> Arc<str> { own(&id.0) });
            credential.plugins.iter().map(move |(name, conf)| (id.clone(), name, conf))
        });
        for (id, name, conf) in own.chain(further) {
            self.credential(&consumer, id, name, conf, consumers)
                .map_err(|error| vec![CompileError::at(at.0, at.1, error)])?;
        }
        Ok(())
    }

    /// A consumer's plugins: those that authenticate, and the others.
    fn split(&self, plugins: &Plugins) -> (Plugins, Plugins) {
        plugins.iter().map(|(name, conf)| (name.clone(), conf.clone())).partition(|(name, _)| {
            self.known.ingredients.plugins.get(name).is_some_and(|kind| kind.scope() == Scope::Auth)
        })
    }

    fn credential(
        &self,
        consumer: &Arc<Consumer>,
        id: Option<Arc<str>>,
        name: &str,
        conf: &Value,
        consumers: &mut Consumers,
    ) -> Result<(), ConfigError> {
        let path = format!("plugins.{name}");
        let Some(kind) = self.known.ingredients.plugins.get(name) else {
            return Err(ConfigError::at(path, format!("unknown plugin [{name}]")));
        };
        let conf = resolved(conf, self.known.ingredients.tls.environment);
        if has_reference(&conf) {
            // Taken as it stands, the reference itself would be the secret.
            return Ok(());
        }
        let Some(key) = kind.credential_key(&conf) else {
            return Err(ConfigError::at(path, "holds no credential"));
        };
        let credential = Credential { consumer: consumer.clone(), id, conf: conf.into_owned() };
        consumers.add_credential(kind.name(), &key, credential).map_err(|other| {
            ConfigError::at(
                path,
                format!("duplicate key of plugin {name} found with consumer: {other}"),
            )
        })
    }
}

/// The key of what stands inside a resource: `route/1`.
fn inside(kind: &str, id: &str) -> Arc<str> {
    format!("{kind}/{id}").into()
}
