//! From resources to a plan: compiles what a change touches, and shares the rest with the plan
//! before.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::draft::{Compiled, Draft, Drafted};
use super::protos::{self, Protos};
use super::touched::{Reference, Touched, Users, references};
use super::upstream::Answers;
use super::{Plan, Upstream};
use crate::config::schema::Kind;
use crate::config::{Changes, Edits, Problem, Problems, Resources};
use crate::limit::LimitTable;
use crate::plugin::{ConfigError, Registry as PluginRegistry};
use crate::tls::{TlsCompiler, TlsPolicy, TlsSettings, TlsTable};
use crate::upstream::node::{Question, Resolved};
use crate::upstream::registry::Registry as EndpointRegistry;

/// A resource that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: Arc<str>,
    /// Where in it.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

impl CompileError {
    /// An error in a resource.
    pub(super) fn at(kind: Kind, id: &Arc<str>, error: ConfigError) -> CompileError {
        CompileError { kind, id: id.clone(), path: error.path, reason: error.reason }
    }
}

/// Compile errors as problems of the file that the resources came from.
pub fn located(file: &Arc<str>, resources: &Resources, errors: Vec<CompileError>) -> Problems {
    let mut problems = Problems::new();
    for error in errors {
        let (place, line) = resources.place(error.kind, &error.id);
        let path = match error.path.as_str() {
            "" => place,
            path => format!("{place}.{path}"),
        };
        problems.push(Problem { file: file.clone(), line, path, reason: error.reason });
    }
    problems.sort_by_line();
    problems
}

/// What the compiler is made with, for the process's life.
pub struct Ingredients {
    /// The plugins that are enabled.
    pub plugins: PluginRegistry,
    /// Their shared counters.
    pub limits: Arc<LimitTable>,
    /// `limits.buffered_body`.
    pub buffered_body: usize,
    /// `plugin_attr` of the bootstrap file.
    pub attributes: Map<String, Value>,
    /// What TLS is compiled with.
    pub tls: TlsSettings,
}

/// A plan beside the one in force.
pub struct OnTrial {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Those of its upstreams that are to be followed and are not those in force.
    pub upstreams: Vec<Arc<Upstream>>,
}

/// Compiles plans, one after the other.
pub struct Compiler {
    ingredients: Ingredients,
    tls: TlsCompiler,
    endpoints: EndpointRegistry,
    answers: Answers,
    resources: Resources,
    routes: HashMap<Arc<str>, Compiled>,
    /// Upstreams by id, and those inside routes and services by `route/ID` and `service/ID`.
    upstreams: HashMap<Arc<str>, Arc<Upstream>>,
    /// Those of them that something follows while they are in force: few, where there are many.
    followed: HashMap<Arc<str>, Arc<Upstream>>,
    protos: Arc<Protos>,
    /// Ssl objects that are shown to clients.
    policies: HashMap<Arc<str>, Arc<TlsPolicy>>,
    users: Users,
    /// What routes refer to; those that refer to nothing are left out.
    references: HashMap<Arc<str>, Vec<Reference>>,
    plan: Arc<Plan>,
}

impl Compiler {
    /// A compiler whose plan is empty.
    pub fn new(ingredients: Ingredients) -> Compiler {
        Compiler {
            tls: TlsCompiler::new(ingredients.tls.clone()),
            ingredients,
            endpoints: EndpointRegistry::new(),
            answers: Answers::new(),
            resources: Resources::default(),
            routes: HashMap::new(),
            upstreams: HashMap::new(),
            followed: HashMap::new(),
            protos: Arc::default(),
            policies: HashMap::new(),
            users: Users::new(),
            references: HashMap::new(),
            plan: Arc::default(),
        }
    }

    /// The resources in force.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The plan in force.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Upstreams whose health is asked for or whose names are resolved while they are in force.
    pub fn followed(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.followed.values()
    }

    /// Compiles a change. `resources` share unchanged objects with those in force, and `changes`
    /// tells what is different ([`Resources::diff`]). On errors everything stays as it is.
    pub fn apply(
        &mut self,
        resources: Resources,
        changes: &Changes,
    ) -> Result<Arc<Plan>, Vec<CompileError>> {
        let touched = Touched::of(changes, &resources, &self.resources, &self.users);
        let plan = self.compile(&resources, changes, &touched)?;
        self.resources = resources;
        Ok(plan)
    }

    /// Compiles single resources that are put in or taken out: work in what they touch, not in how
    /// many there are. What takes it back comes with the plan. On errors everything stays as it is.
    pub fn edit(&mut self, edits: Edits) -> Result<(Arc<Plan>, Edits), Vec<CompileError>> {
        // In place: a copy of all resources would be the larger part of the work.
        let mut resources = std::mem::take(&mut self.resources);
        let (undo, changes) = resources.edit(edits);
        // A service that names another upstream now is among the changes itself.
        let touched = Touched::of(&changes, &resources, &resources, &self.users);
        // Whatever becomes of it, the resources come back.
        let compile = AssertUnwindSafe(|| self.compile(&resources, &changes, &touched));
        let result = match catch_unwind(compile) {
            Ok(Ok(plan)) => Ok(Ok((plan, undo))),
            Ok(Err(errors)) => {
                resources.edit(undo);
                Ok(Err(errors))
            }
            Err(panic) => {
                resources.edit(undo);
                Err(panic)
            }
        };
        self.resources = resources;
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Compiles a plan beside the one in force: what it would be with these edits. What is in force
    /// is compiled once more, and is a plan of its own behind it. On errors everything stays as it
    /// is.
    pub fn trial(&mut self, edits: Edits, number: u64) -> Result<OnTrial, Vec<CompileError>> {
        let (plan, undo) = self.edit(edits)?;
        let upstreams = self.followed.clone();
        // It was compiled before.
        self.edit(undo)?;
        let others = upstreams.into_iter().filter(|(key, upstream)| {
            self.followed.get(key).is_none_or(|other| !Arc::ptr_eq(upstream, other))
        });
        let upstreams = others.map(|(_, upstream)| upstream).collect();
        let plan = Arc::new(Plan { trial: number, ..(*plan).clone() });
        Ok(OnTrial { plan, upstreams })
    }

    fn compile(
        &mut self,
        resources: &Resources,
        changes: &Changes,
        touched: &Touched,
    ) -> Result<Arc<Plan>, Vec<CompileError>> {
        let protos = match changes.iter().find(|(kind, _)| *kind == Kind::Proto) {
            Some((_, changed)) => Arc::new(protos::after(&self.protos, changed, resources)?),
            None => self.protos.clone(),
        };
        let mut draft = self.draft(resources, &protos);
        draft.compile(touched);
        let changed = |kinds: &[Kind]| changes.iter().any(|(kind, _)| kinds.contains(kind));
        let everywhere = changed(&[Kind::PluginMetadata, Kind::Proto]);
        if everywhere || changed(&[Kind::Consumer, Kind::ConsumerGroup]) {
            draft.consumers();
        }
        if everywhere || changed(&[Kind::GlobalRule]) {
            draft.global_rules();
        }
        let mut drafted = draft.finish()?;
        drafted.ssls = changed(&[Kind::Ssl]);
        let plan = self.commit(drafted, resources)?;
        self.protos = protos;
        Ok(plan)
    }

    fn draft<'c>(&'c self, resources: &'c Resources, protos: &'c Arc<Protos>) -> Draft<'c> {
        Draft::new(super::draft::Known {
            ingredients: &self.ingredients,
            tls: &self.tls,
            endpoints: &self.endpoints,
            answers: &self.answers,
            resources,
            protos,
            compiled: &self.upstreams,
        })
    }

    /// Takes the addresses of a name; the plan that has them, where one is needed.
    pub fn resolved(
        &mut self,
        question: &Question,
        addresses: Arc<[Resolved]>,
    ) -> Option<Arc<Plan>> {
        self.answers.insert(question.clone(), addresses);
        let touched = Touched::by_question(question, &self.followed, &self.resources, &self.users);
        if touched.is_empty() {
            return None;
        }
        let resources = self.resources.clone();
        let mut draft = self.draft(&resources, &self.protos);
        draft.compile(&touched);
        // What compiled before compiles again: only addresses are different.
        let drafted = draft.finish().ok()?;
        self.commit(drafted, &resources).ok()
    }

    /// Puts what was compiled in force.
    fn commit(
        &mut self,
        drafted: Drafted,
        resources: &Resources,
    ) -> Result<Arc<Plan>, Vec<CompileError>> {
        let mut plan = Plan { generation: self.plan.generation + 1, ..(*self.plan).clone() };
        for (id, compiled) in &drafted.routes {
            if let Some(old) = self.routes.get(id) {
                plan.routes.remove(&old.spec);
            }
            if let Some(new) = compiled {
                plan.routes.insert(&new.spec, new.route.clone()).map_err(|error| {
                    let error = ConfigError::at("", error.to_string());
                    vec![CompileError::at(Kind::Route, id, error)]
                })?;
            }
        }
        for (id, compiled) in drafted.routes {
            self.refer(&id, resources);
            match compiled {
                Some(new) => _ = self.routes.insert(id, new),
                None => _ = self.routes.remove(&id),
            }
        }
        let mut named = None;
        for (key, upstream) in drafted.upstreams {
            if !key.contains('/') {
                let named = named.get_or_insert_with(|| (*plan.upstreams).clone());
                match &upstream {
                    Some(upstream) => _ = named.insert(key.to_string(), upstream.clone()),
                    None => _ = named.remove(&*key),
                }
            }
            match &upstream {
                Some(upstream) if upstream.is_followed() => {
                    self.followed.insert(key.clone(), upstream.clone());
                }
                _ => _ = self.followed.remove(&key),
            }
            match upstream {
                Some(upstream) => _ = self.upstreams.insert(key, upstream),
                None => _ = self.upstreams.remove(&key),
            }
        }
        if let Some(named) = named {
            plan.upstreams = Arc::new(named);
        }
        if let Some(consumers) = drafted.consumers {
            plan.consumers = Arc::new(consumers);
        }
        if let Some(global) = drafted.global {
            plan.global = Arc::new(global);
        }
        if drafted.ssls {
            for (id, policy) in drafted.policies {
                match policy {
                    Some(policy) => _ = self.policies.insert(id, policy),
                    None => _ = self.policies.remove(&id),
                }
            }
            let ssls = resources.ssls.iter();
            let policies = ssls.filter_map(|ssl| self.policies.get(&ssl.id));
            plan.tls = Arc::new(TlsTable::new(policies));
        }
        self.plan = Arc::new(plan);
        Ok(self.plan.clone())
    }

    /// Remembers what a route refers to, in place of what it referred to before.
    fn refer(&mut self, id: &Arc<str>, resources: &Resources) {
        for target in self.references.remove(id).unwrap_or_default() {
            if let Some(users) = self.users.get_mut(&target) {
                users.remove(id);
                if users.is_empty() {
                    self.users.remove(&target);
                }
            }
        }
        let targets = resources.routes.get(id).map(|new| references(new)).unwrap_or_default();
        for target in &targets {
            self.users.entry(target.clone()).or_default().insert(id.clone());
        }
        if !targets.is_empty() {
            self.references.insert(id.clone(), targets);
        }
    }
}
