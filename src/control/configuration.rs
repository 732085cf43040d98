//! The configuration in force, and how it changes: from the store through the compiler to the
//! shards. A change that cannot be compiled leaves everything as it is.

mod absorb;
mod arrivals;
mod canary;
mod lenient;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use serde_json::Value;
use tokio::sync::mpsc;

use super::canary::{Ask, Canaries};
use super::editor::{Editor, Job};
use crate::config::encryption::Encryption;
use crate::config::entries::{Entries, Entry, Key};
use crate::config::history::Revision;
use crate::config::plan::{Compiler, Ingredients, Plan, located};
use crate::config::resources::{Nodes, PassHost, Route, Upstream};
use crate::config::store::{Content, Feed, Local, Store, StoreError};
use crate::config::{Checks, Problem, Problems, Resource, Resources};
use crate::control::admin::ConfigState;
use crate::control::dns;
use crate::control::health::{HealthChecks, Target};
use crate::explain::{Question, World, explain};
use crate::plugin::{Registry, field_checks};
use crate::shard::Worker;
use crate::telemetry::error_log;

/// How long a change waits for every shard to serve it. A shard that takes longer still takes it.
const ADOPTION: Duration = Duration::from_secs(1);

/// What a change needs beside the compiler, once the gateway runs.
pub(super) struct Running {
    /// The shards.
    pub(super) worker: Arc<Worker>,
    /// Active health checks.
    pub(super) health: HealthChecks,
    /// Names of nodes.
    pub(super) names: dns::Watcher,
}

/// The configuration in force.
pub(super) struct Configuration {
    store: Box<dyn Store>,
    local: Local,
    encryption: Arc<Encryption>,
    plugins: Registry,
    compiler: Compiler,
    demo: Option<Resource>,
    /// As they are stored, those that are not in force because something is wrong with them too.
    entries: Entries,
    /// Shows what was acknowledged.
    editor: Editor,
    /// Where [`Editor`]'s writes come in, until they are taken.
    queue: Option<mpsc::Receiver<Job>>,
    running: Option<Running>,
    arrivals: arrivals::Arrivals,
    /// What was loaded at the start and is not on the disk yet.
    unrecorded: Vec<Revision>,
    /// Resources that are not in force as they are stored, and why.
    left_out: BTreeMap<Key, String>,
    state: ConfigState,
    /// Shows the canary, where there is or was one.
    canaries: Canaries,
    /// Where canaries are asked for, until it is taken.
    asks: Option<mpsc::Receiver<Ask>>,
    canary: Option<canary::Running>,
    /// Canaries so far.
    trials: u64,
}

/// What a configuration is made of.
pub(super) struct Parts {
    /// Where resources come from.
    pub(super) store: Box<dyn Store>,
    /// Where they are kept.
    pub(super) local: Local,
    /// Of secrets in there.
    pub(super) encryption: Encryption,
    /// What plans are compiled with.
    pub(super) ingredients: Ingredients,
    /// A route that is always there, until the store has one of the id `demo`.
    pub(super) demo: Option<Route>,
}

impl Configuration {
    /// The configuration of a store, with nothing in force yet.
    pub(super) fn new(parts: Parts) -> Configuration {
        let Parts { store, local, encryption, ingredients, demo } = parts;
        let state = ConfigState {
            store: store.kind().into(),
            source: store.source(),
            ..ConfigState::default()
        };
        let encryption = Arc::new(encryption);
        let plugins = ingredients.plugins.clone();
        let (canaries, asks) = Canaries::new();
        let (editor, queue) = Editor::new(&*store, &local, encryption.clone());
        Configuration {
            store,
            local,
            encryption,
            plugins,
            compiler: Compiler::new(ingredients),
            demo: demo.map(|route| Resource::Route(Arc::new(route))),
            entries: Entries::default(),
            editor,
            queue: Some(queue),
            running: None,
            arrivals: arrivals::Arrivals::default(),
            unrecorded: Vec::new(),
            left_out: BTreeMap::new(),
            state,
            canaries,
            asks: Some(asks),
            canary: None,
            trials: 0,
        }
    }

    /// Files whose change means that it is to be loaded again.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.store.files()
    }

    /// The way to change it.
    pub(super) fn editor(&self) -> &Editor {
        &self.editor
    }

    /// The writes that wait; once.
    pub(super) fn take_queue(&mut self) -> Option<mpsc::Receiver<Job>> {
        self.queue.take()
    }

    /// The canaries that are asked for; once.
    pub(super) fn take_asks(&mut self) -> Option<mpsc::Receiver<Ask>> {
        self.asks.take()
    }

    /// How it is.
    pub(super) fn state(&self) -> &ConfigState {
        &self.state
    }

    /// The plan in force.
    #[cfg(test)]
    pub(super) fn plan(&self) -> &Arc<Plan> {
        self.compiler.plan()
    }

    /// The resources in force.
    #[cfg(test)]
    pub(super) fn resources(&self) -> &Resources {
        self.compiler.resources()
    }

    /// Attaches what runs, and tells it of the plan in force.
    pub(super) fn attach(&mut self, running: Running) {
        self.running = Some(running);
        self.follow();
    }

    /// Has the store tell of changes that others make. Runs inside a tokio runtime.
    pub(super) fn watch(&mut self, feed: Feed) {
        self.store.watch(feed);
    }

    /// Reads the store and puts what it says in force; the plan, where something changed.
    pub(super) fn load(&mut self) -> Result<Option<Arc<Plan>>, Problems> {
        let result = self.try_load();
        if let Err(problems) = &result {
            self.state.last_error = Some(problems.to_string());
        }
        result
    }

    fn try_load(&mut self) -> Result<Option<Arc<Plan>>, Problems> {
        let checks = Checks { plugins: &self.plugins, fields: &field_checks() };
        let content = self.store.load(&checks)?;
        self.state.last_error = None;
        match content {
            Content::Checked { resources, values } => self.load_checked(resources, values),
            Content::Entries(snapshot) => Ok(self.all(&snapshot)),
            // Nobody else writes there: once is enough.
            Content::Local if self.compiler.plan().generation > 0 => Ok(None),
            Content::Local => self.remembered(),
            Content::Away(reason) => {
                self.store_state(Some(reason));
                self.state.waiting = self.local.revision() == 0;
                let plan = self.remembered()?;
                error_log::warn(
                    "control",
                    "started from memory",
                    format_args!(
                        "the store is away; in force are the {} resources of revision {} that the \
                         gateway remembers",
                        self.entries.len(),
                        self.local.revision()
                    ),
                );
                Ok(plan)
            }
        }
    }

    /// What the gateway's own database holds.
    fn remembered(&mut self) -> Result<Option<Arc<Plan>>, Problems> {
        let entries = self.local.entries().map_err(|error| self.problem(&error))?;
        let list: Vec<(Key, Entry)> =
            entries.iter().map(|(key, entry)| (key, (**entry).clone())).collect();
        Ok(self.synchronise(&list, false))
    }

    fn problem(&self, error: &StoreError) -> Problems {
        let file: Arc<str> = self.store.source().into();
        Problems::of(Problem { file, line: 0, path: String::new(), reason: error.to_string() })
    }

    /// Takes resources that were checked as a whole.
    fn load_checked(
        &mut self,
        mut resources: Resources,
        values: Vec<(Key, Value)>,
    ) -> Result<Option<Arc<Plan>>, Problems> {
        if let Some(Resource::Route(demo)) = &self.demo {
            // Where the file has a route of that id, it is the file's.
            resources.routes.insert(DEMO_ID, 0, (**demo).clone());
        }
        let changes = resources.diff(self.compiler.resources());
        if changes.is_empty() && self.compiler.plan().generation > 0 {
            return Ok(None);
        }
        let count = resources.stream_routes.len();
        if count > 0 {
            error_log::warn(
                "control",
                "resources without effect",
                format_args!("stream_routes are not served by this version; there are {count}"),
            );
        }
        let lines = resources.clone();
        let file: Arc<str> = self.store.source().into();
        let plan = self
            .compiler
            .apply(resources, &changes)
            .map_err(|errors| located(&file, &lines, errors))?;
        self.publish(&plan);
        self.record_values(values);
        self.rebase();
        Ok(Some(plan))
    }

    /// Takes new addresses of a name.
    pub(super) fn resolved(&mut self, update: dns::Update) {
        if let Some(plan) = self.compiler.resolved(&update.question, update.addresses) {
            self.publish(&plan);
        }
        drop(update.first);
        // The name may be one that only the canary has.
        self.rebase();
    }

    /// Tells what would become of a request.
    pub(super) fn explain(&self, question: &Question, trusted: &[IpNet]) -> Result<Value, String> {
        let world = World {
            plan: self.compiler.plan(),
            resources: self.compiler.resources(),
            plugins: &self.plugins,
            trusted,
            live: true,
        };
        explain(&world, question)
    }

    fn publish(&mut self, plan: &Arc<Plan>) {
        self.state.generation = plan.generation;
        self.state.loaded_at_ms = now_ms();
        let Some(running) = &self.running else {
            return;
        };
        let serving = running.worker.adopt(plan.clone(), ADOPTION);
        let shards = running.worker.shards().len();
        if serving < shards {
            error_log::warn(
                "control",
                "slow shard",
                format_args!(
                    "plan {} is in force on {serving} of {shards} shards after {ADOPTION:?}",
                    plan.generation
                ),
            );
        }
        self.follow();
    }

    /// Has health checks and name resolution follow the plan.
    fn follow(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let on_trial = self.canary.iter().flat_map(|canary| &canary.upstreams);
        let upstreams = || self.compiler.followed().chain(on_trial.clone());
        let checked = upstreams().filter(|upstream| upstream.checks.is_some());
        let targets: Vec<Target> = checked
            .map(|upstream| Target {
                upstream: upstream.id.clone(),
                endpoints: upstream.balancer.endpoints().to_vec(),
                checks: upstream.checks.clone(),
                tls: upstream.checks_tls.clone(),
                name: match upstream.pass_host {
                    PassHost::Rewrite => upstream.upstream_host.clone(),
                    PassHost::Pass | PassHost::Node => None,
                },
            })
            .collect();
        running.health.apply(&targets);
        let questions = upstreams().flat_map(|upstream| upstream.questions.iter());
        running.names.watch(questions.cloned());
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}

/// The id of the demo's route.
const DEMO_ID: &str = "demo";

/// A route for every request that no other route takes, to one node.
pub(super) fn demo_route(node: std::net::SocketAddr) -> Route {
    let mut nodes = serde_json::Map::new();
    nodes.insert(node.to_string(), 1.into());
    let upstream = Upstream { nodes: Some(Nodes::Map(nodes)), ..Upstream::default() };
    Route {
        uri: Some("/*".into()),
        priority: -1000,
        status: 1,
        upstream: Some(upstream),
        desc: Some("made by --demo".into()),
        ..Route::default()
    }
}
