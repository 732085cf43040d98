//! `ringgate run`: starts everything in order, follows changes and signals, and ends in order.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch as watch_channel};

use super::admin::{self, AdminState, Bounds, Terms, key};
use super::canary::Canaries;
use super::changes::{Changes, Explained};
use super::configuration::{Configuration, Running, demo_route};
use super::dns::{self, DnsConfig, Resolver};
use super::editor::Editor;
use super::guarded::Guards;
use super::health::HealthChecks;
use super::inspect::Gateway;
use super::tickets::Rotation;
use super::watch::Watcher;
use super::{demo, explain, startup};
use crate::cli::RunOptions;
use crate::config::Problems;
use crate::config::bootstrap::{Bootstrap, Protocol, unsupported};
use crate::config::plan::Ingredients;
use crate::disk::DiskTier;
use crate::listener::{self, Inherited};
use crate::shard::{ShardSpec, Worker};
use crate::telemetry::error_log;
use crate::telemetry::report::Reporter;
use crate::tls::{TlsListener, TlsSettings};

/// Series of plugins' metrics per metric, in the process.
const SERIES: usize = 10_000;
/// How long the logs may take to be written at the end.
const LAST_LINES: Duration = Duration::from_secs(2);
/// Changes of names that wait to be compiled.
const NAME_UPDATES: usize = 1024;
/// How long the gateway is not ready for the sake of names that do not resolve.
const NAMES_WAIT: Duration = Duration::from_secs(2);
/// How often that is looked at for a supervisor.
const NAMES_LOOK: Duration = Duration::from_millis(5);

/// Why the gateway does not start.
type StartError = Box<dyn Error>;

/// Runs the gateway until a signal ends it, and returns when it has drained.
///
/// # Errors
/// With everything that is wrong with the configuration, or what could not be opened.
pub fn run(options: &RunOptions) -> Result<(), Box<dyn Error>> {
    let bootstrap = Bootstrap::load(options.config.as_deref())?;
    let mut problems = Problems::new();
    unsupported(&bootstrap).into_iter().for_each(|problem| problems.push(problem));
    problems.or(())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options, bootstrap))
}

async fn serve(options: &RunOptions, bootstrap: Bootstrap) -> Result<(), StartError> {
    let started = Instant::now();
    error_log::set_level(startup::level(&bootstrap));
    let mut inherited = Inherited::take()?;
    let descriptors = startup::raise_descriptors();

    let demo = if options.demo { Some(demo::bind().await?) } else { None };
    let tickets = Rotation::new()?;
    let ingredients = Ingredients {
        plugins: startup::plugins(&bootstrap),
        limits: Arc::default(),
        buffered_body: bootstrap.limits.buffered_body,
        attributes: bootstrap.plugin_attr.clone(),
        tls: TlsSettings { tickets: Some(tickets.keys()), ..TlsSettings::default() },
    };
    tokio::spawn(tickets.run());
    let demo_route = demo.as_ref().map(|(_, address)| demo_route(*address));
    let parts = startup::configuration(&bootstrap, ingredients, demo_route)?;
    let mut configuration = Configuration::new(parts);
    configuration.recall();
    // Before the file is read and before anybody is told that the gateway is ready: no change is
    // missed meanwhile, and no signal ends the process the hard way.
    let mut files = Watcher::new(configuration.files())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let plan = configuration.load()?.unwrap_or_default();

    let disk = startup::disk(&bootstrap)?;
    let cpus = startup::cpus(&bootstrap.shards)?;
    let listeners = bootstrap
        .listeners
        .iter()
        .map(|listener| {
            let tls = (listener.protocol == Protocol::Https).then(|| TlsListener::of(listener));
            listener::open(listener.address, cpus.len(), &mut inherited)
                .map(|sockets| (sockets, tls))
                .map_err(|error| format!("listen on {}: {error}", listener.address))
        })
        .collect::<Result<Vec<_>, _>>()?;
    for address in inherited.unused() {
        error_log::warn(
            "listener",
            "unused socket",
            format_args!("an inherited socket on {address} fits no listener"),
        );
    }
    let (retired, old_plans) = flume::unbounded();
    // Freeing a large plan takes milliseconds, which no shard and no change should wait for.
    std::thread::Builder::new()
        .name("old-plans".into())
        .spawn(move || old_plans.into_iter().for_each(drop))?;
    startup::refuse_huge_pages();
    let worker = Arc::new(Worker::start(ShardSpec {
        settings: startup::settings(&bootstrap, cpus.len(), descriptors),
        engine: startup::engine(bootstrap.engine),
        cpus,
        listeners,
        plan: ArcSwap::new(plan),
        retired,
        access_log: startup::access_log(&bootstrap, disk.as_ref())?,
    })?);

    let (names, resolved) = mpsc::channel(NAME_UPDATES);
    let resolver = Resolver::new(DnsConfig {
        resolvers: bootstrap.dns.resolvers.clone(),
        timeout: bootstrap.dns.timeout,
        ..DnsConfig::default()
    });
    let health = HealthChecks::new(startup::log_health);
    let health_view = health.view();
    let names = dns::Watcher::new(Arc::new(resolver), names, startup::log_names);
    let unanswered = names.unanswered();
    configuration.attach(Running { worker: worker.clone(), health, names });
    let (questions, asked) = explain::desk();
    let gateway = Arc::new(Gateway {
        worker: worker.clone(),
        questions,
        disk: disk.clone(),
        health: health_view,
        config: Arc::new(Mutex::new(configuration.state().clone())),
        names: unanswered,
        names_until: Instant::now() + NAMES_WAIT,
        draining: AtomicBool::new(false),
        started,
    });
    let editor = configuration.editor().clone();
    let canaries = configuration.canaries().clone();
    let explained = Explained { asked, trusted: bootstrap.trusted_addresses.clone() };
    let state = gateway.config.clone();
    let changes = Changes::start(configuration, resolved, explained, state)?;
    let (end, ended) = watch_channel::channel(());
    let of_admin = (editor, canaries);
    let (key_note, terms) = serve_admin(&bootstrap, gateway.clone(), of_admin, &ended).await?;
    if let Some((listener, _)) = demo {
        tokio::spawn(demo::serve(listener));
    }
    startup::announce(&bootstrap, &gateway, &key_note).await;
    tokio::spawn(notify_ready(gateway.clone()));

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = files.changed() => changes.reload(),
            _ = hangup.recv() => {
                if let Some(disk) = &disk {
                    disk.reopen();
                }
                if let Some(terms) = &terms {
                    terms.reload();
                }
                changes.reload();
            }
        }
    }

    gateway.draining.store(true, Relaxed);
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
    error_log::info("control", "draining", format_args!("no new connections are taken"));
    let within = bootstrap.timeouts.shutdown;
    drop(changes);
    // The endpoints go on answering meanwhile: draining can be watched.
    tokio::task::spawn_blocking(move || worker.drain(within)).await?;
    drop(end);
    if let Some(disk) = disk {
        disk.shutdown(LAST_LINES);
    }
    error_log::info("control", "ended", format_args!("every connection has ended"));
    error_log::flush(LAST_LINES);
    Ok(())
}

/// Tells a supervisor that requests can come. Without one that listens there is nobody to tell.
async fn notify_ready(gateway: Arc<Gateway>) {
    while !gateway.knows_names() {
        tokio::time::sleep(NAMES_LOOK).await;
    }
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
}

/// Serves the Admin, Control and metrics addresses; where the key is, and what TLS is held with.
async fn serve_admin(
    bootstrap: &Bootstrap,
    gateway: Arc<Gateway>,
    (editor, canaries): (Editor, Canaries),
    ended: &watch_channel::Receiver<()>,
) -> Result<(String, Option<Arc<Terms>>), StartError> {
    let (mut keys, mut allow, mut note) = (Vec::new(), Vec::new(), String::new());
    if let Some(admin) = &bootstrap.admin {
        let environment = std::env::var(key::KEY_VARIABLE).ok();
        let (first, origin) = key::load(&admin.key_file, environment.as_deref())?;
        note = match origin {
            key::Origin::Environment => format!("its key is in ${}", key::KEY_VARIABLE),
            key::Origin::File(file) => format!("its key is in {}", file.display()),
            key::Origin::Made(file) => format!("its key was made: {}", file.display()),
        };
        keys.push(first);
        keys.extend(admin.keys.iter().map(startup::admin_key));
        allow = admin.allow.clone();
    }
    let keys = key::Keys::new(keys);
    if let Some(admin) = &bootstrap.admin {
        admin::check_exposure(admin.address, &keys)?;
    }
    let tls = bootstrap.admin.as_ref().and_then(|admin| admin.tls.clone());
    let terms = tls.map(Terms::read).transpose()?;
    let state = Arc::new(AdminState {
        inspect: gateway,
        keys,
        allow,
        reporter: Reporter::new(SERIES),
        editor,
        api: startup::admin_api(bootstrap),
        guards: Guards::default(),
        canaries,
    });
    tokio::spawn(state.api.expiries.clone().run(state.editor.clone()));
    let mut addresses = Vec::new();
    if let Some(admin) = &bootstrap.admin {
        addresses.push((admin.address, admin::admin_router(state.clone()), terms.clone()));
    }
    if let Some(control) = bootstrap.control {
        addresses.push((control, admin::control_router(state.clone()), None));
    }
    if let Some(metrics) = bootstrap.metrics {
        let uri = bootstrap.plugin_attr.get("prometheus").and_then(|attr| attr.get("export_uri"));
        let uri = uri.and_then(|uri| uri.as_str()).unwrap_or(admin::EXPORT_URI);
        addresses.push((metrics, admin::metrics_router(state, uri), None));
    }
    for (address, router, terms) in addresses {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("listen on {address}: {error}"))?;
        let mut ended = ended.clone();
        let ended = async move { while ended.changed().await.is_ok() {} };
        tokio::spawn(admin::serve(listener, router, Bounds::default(), terms, ended));
    }
    Ok((note, terms))
}
