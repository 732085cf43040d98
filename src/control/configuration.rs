//! The configuration in force, and how it changes: from the store through the compiler to the
//! shards. A change that cannot be compiled leaves everything as it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::plan::{Compiler, Ingredients, Plan, located};
use crate::config::resources::{Nodes, Route, Upstream};
use crate::config::store::FileStore;
use crate::config::{Checks, Problems};
use crate::control::admin::ConfigState;
use crate::control::dns;
use crate::control::health::{HealthChecks, Target};
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
    store: FileStore,
    plugins: Registry,
    compiler: Compiler,
    demo: Option<Route>,
    running: Option<Running>,
    state: ConfigState,
}

impl Configuration {
    /// The configuration of a store; `demo` is a route that is always there besides.
    pub(super) fn new(
        store: FileStore,
        ingredients: Ingredients,
        demo: Option<Route>,
    ) -> Configuration {
        let state = ConfigState {
            store: "file".into(),
            source: store.path().display().to_string(),
            ..ConfigState::default()
        };
        let plugins = ingredients.plugins.clone();
        let compiler = Compiler::new(ingredients);
        Configuration { store, plugins, compiler, demo, running: None, state }
    }

    /// The resource file.
    pub(super) fn store(&self) -> &FileStore {
        &self.store
    }

    /// How it is.
    pub(super) fn state(&self) -> &ConfigState {
        &self.state
    }

    /// Attaches what runs, and tells it of the plan in force.
    pub(super) fn attach(&mut self, running: Running) {
        self.running = Some(running);
        self.follow();
    }

    /// Reads the store and puts what it says in force; the plan, where something changed.
    pub(super) fn load(&mut self) -> Result<Option<Arc<Plan>>, Problems> {
        let result = self.try_load();
        self.state.last_error = result.as_ref().err().map(ToString::to_string);
        result
    }

    fn try_load(&mut self) -> Result<Option<Arc<Plan>>, Problems> {
        let checks = Checks { plugins: &self.plugins, fields: &field_checks() };
        let mut resources = self.store.load(&checks)?;
        if let Some(demo) = &self.demo {
            // Where the file has a route of that id, it is the file's.
            resources.routes.insert(DEMO_ID, 0, demo.clone());
        }
        let count = resources.stream_routes.len();
        if count > 0 {
            error_log::warn(
                "control",
                "resources without effect",
                format_args!("stream_routes are not served by this version; there are {count}"),
            );
        }
        let changes = resources.diff(self.compiler.resources());
        if changes.is_empty() && self.compiler.plan().generation > 0 {
            return Ok(None);
        }
        let lines = resources.clone();
        let file: Arc<str> = self.store.path().to_string_lossy().into();
        let plan = self
            .compiler
            .apply(resources, &changes)
            .map_err(|errors| located(&file, &lines, errors))?;
        self.publish(&plan);
        Ok(Some(plan))
    }

    /// Takes new addresses of a name.
    pub(super) fn resolved(&mut self, update: dns::Update) {
        if let Some(plan) = self.compiler.resolved(&update.question, update.addresses) {
            self.publish(&plan);
        }
    }

    fn publish(&mut self, plan: &Arc<Plan>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.state.generation = plan.generation;
        self.state.loaded_at_ms = now.map_or(0, |since| since.as_millis() as u64);
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
        let checked = self.compiler.upstreams().filter(|upstream| upstream.checks.is_some());
        let targets: Vec<Target> = checked
            .map(|upstream| Target {
                upstream: upstream.id.clone(),
                endpoints: upstream.balancer.endpoints().to_vec(),
                checks: upstream.checks.clone(),
            })
            .collect();
        running.health.apply(&targets);
        let questions = self.compiler.upstreams().flat_map(|upstream| upstream.questions.iter());
        running.names.watch(questions.cloned());
    }
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
