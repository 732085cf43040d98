//! What has to be compiled again after a change.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Upstream;
use serde_json::Value;

use crate::config::resources::{Id, Plugins, Route, Upstream as RawUpstream};
use crate::config::schema::Kind;
use crate::config::{Changed, Changes, Resources};
use crate::upstream::node::Question;

/// A resource, named.
pub(super) type Reference = (Kind, Arc<str>);
/// Ids of routes by what they refer to.
pub(super) type Users = HashMap<Reference, BTreeSet<Arc<str>>>;

/// What a route refers to.
pub(super) fn references(route: &Route) -> Vec<Reference> {
    [
        (Kind::Service, &route.service_id),
        (Kind::Upstream, &route.upstream_id),
        (Kind::PluginConfig, &route.plugin_config_id),
    ]
    .into_iter()
    .filter_map(|(kind, id)| Some((kind, Arc::from(id.as_ref()?.0.as_str()))))
    .collect()
}

/// Ids of resources to compile again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) ssls: BTreeSet<Arc<str>>,
    pub(super) upstreams: BTreeSet<Arc<str>>,
    pub(super) services: BTreeSet<Arc<str>>,
    pub(super) routes: BTreeSet<Arc<str>>,
}

impl Touched {
    /// After a change of resources.
    pub(super) fn of(
        changes: &Changes,
        resources: &Resources,
        before: &Resources,
        users: &Users,
    ) -> Touched {
        let mut touched = Touched::default();
        for (kind, changed) in changes {
            let ids = changed.added.iter().chain(&changed.changed).chain(&changed.removed);
            for id in ids {
                match kind {
                    Kind::Route => _ = touched.routes.insert(id.clone()),
                    Kind::Service => touched.service(id, users),
                    Kind::Upstream => touched.upstream(id, resources, before, users),
                    Kind::Ssl => touched.ssl(id, resources, users),
                    Kind::PluginConfig => touched.users_of(Kind::PluginConfig, id, users),
                    // A plugin's metadata is compiled into each of its instances.
                    Kind::PluginMetadata => {
                        let all = resources.routes.iter().map(|entry| entry.id.clone());
                        touched.routes.extend(all);
                    }
                    _ => {}
                }
            }
            if *kind == Kind::Proto {
                touched.users_of_protos(changed, resources);
            }
        }
        touched
    }

    /// Routes with a plugin, their own or one of their service or plugin config, that names one of
    /// these definitions.
    fn users_of_protos(&mut self, changed: &Changed, resources: &Resources) {
        let ids: Vec<&Arc<str>> =
            changed.added.iter().chain(&changed.changed).chain(&changed.removed).collect();
        let named = |plugins: &Plugins| {
            plugins.values().any(|conf| match conf.get("proto_id") {
                Some(Value::String(id)) => ids.iter().any(|other| ***other == **id),
                Some(id @ Value::Number(_)) => ids.iter().any(|other| ***other == *id.to_string()),
                _ => false,
            })
        };
        for route in &resources.routes {
            let raw = &route.value;
            let of = |id: &Option<Id>, find: &dyn Fn(&str) -> bool| {
                id.as_ref().is_some_and(|id| find(&id.0))
            };
            let service =
                |id: &str| resources.services.get(id).is_some_and(|raw| named(&raw.plugins));
            let config =
                |id: &str| resources.plugin_configs.get(id).is_some_and(|raw| named(&raw.plugins));
            if named(&raw.plugins)
                || of(&raw.service_id, &service)
                || of(&raw.plugin_config_id, &config)
            {
                self.routes.insert(route.id.clone());
            }
        }
    }

    /// After a name has got other addresses.
    pub(super) fn by_question(
        question: &Question,
        upstreams: &HashMap<Arc<str>, Arc<Upstream>>,
        resources: &Resources,
        users: &Users,
    ) -> Touched {
        let mut touched = Touched::default();
        let stale = upstreams.iter().filter(|(_, upstream)| upstream.questions.contains(question));
        for (key, _) in stale {
            match key.split_once('/') {
                Some(("route", id)) => _ = touched.routes.insert(id.into()),
                Some((_, id)) => touched.service(&id.into(), users),
                None => touched.upstream(key, resources, resources, users),
            }
        }
        touched
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Touched::default()
    }

    fn users_of(&mut self, kind: Kind, id: &Arc<str>, users: &Users) {
        self.routes.extend(users.get(&(kind, id.clone())).into_iter().flatten().cloned());
    }

    /// An ssl object, and the upstreams whose nodes are shown it.
    fn ssl(&mut self, id: &Arc<str>, after: &Resources, users: &Users) {
        self.ssls.insert(id.clone());
        let shown = |upstream: &RawUpstream| {
            let shown = upstream.tls.as_ref().and_then(|tls| tls.client_cert_id.as_ref());
            shown.is_some_and(|shown| *shown.0 == **id)
        };
        for upstream in after.upstreams.iter().filter(|upstream| shown(&upstream.value)) {
            self.upstream(&upstream.id, after, after, users);
        }
        let inside = |upstream: &Option<RawUpstream>| upstream.as_ref().is_some_and(shown);
        for service in after.services.iter().filter(|service| inside(&service.value.upstream)) {
            self.service(&service.id, users);
        }
        let routes = after.routes.iter().filter(|route| inside(&route.value.upstream));
        self.routes.extend(routes.map(|route| route.id.clone()));
    }

    fn service(&mut self, id: &Arc<str>, users: &Users) {
        self.services.insert(id.clone());
        self.users_of(Kind::Service, id, users);
    }

    fn upstream(&mut self, id: &Arc<str>, after: &Resources, before: &Resources, users: &Users) {
        self.upstreams.insert(id.clone());
        self.users_of(Kind::Upstream, id, users);
        for service in after.services.iter().chain(before.services.iter()) {
            if service.value.upstream_id.as_ref().is_some_and(|other| *other.0 == **id) {
                self.users_of(Kind::Service, &service.id, users);
            }
        }
    }
}
