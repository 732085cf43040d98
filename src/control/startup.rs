//! The steps of a start: from the bootstrap file to what shards are made with.

use std::error::Error;
use std::io::Write;
use std::os::fd::RawFd;
use std::sync::Arc;

use ringgate_io::EngineChoice;

use super::admin::ttl::Expiries;
use super::admin::{Api, Inspect, key};
use super::configuration::Parts;
use super::inspect::Gateway;
use super::{dns, health};
use crate::config::bootstrap::{
    AdminKey, Bootstrap, Engine, Level, LogFormat as FormatSetting, LogTarget, Role, Shards,
    Source, Store,
};
use crate::config::encryption::Encryption;
use crate::config::plan::Ingredients;
use crate::config::resources::Route;
use crate::config::store::{self, Local};
use crate::disk::{self, Disk, DiskOptions};
use crate::plugin::Registry;
use crate::plugins::REGISTRY;
use crate::shard::{AccessLogMaker, Settings};
use crate::telemetry::access_log::{AccessLog, LogFormat};
use crate::telemetry::error_log;

/// Of the descriptors, the share that clients may take.
const CLIENT_SHARE: (u64, u64) = (9, 10);
/// The share that shards leave alone, so that readiness, metrics and changes still have some.
const CONTROL_SHARE: u64 = 16;
/// No more of them than that.
const CONTROL_MOST: u64 = 512;
/// How long the access log's file may take to open.
const OPEN: std::time::Duration = std::time::Duration::from_secs(5);

/// Raises the limit on descriptors as far as it goes, and tells it.
pub(super) fn raise_descriptors() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024)
}

/// Has memory that is taken from now on come in pages of the usual size.
///
/// Huge ones would charge an idle connection for what lies unused around it, about as much again as
/// it holds. What was taken before, the first plan above all, may stay in them.
pub(super) fn refuse_huge_pages() {
    // A kernel without them has none to refuse.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// The CPU of each shard.
pub(super) fn cpus(shards: &Shards) -> Result<Vec<Option<usize>>, String> {
    // The affinity mask of this process: a container's CPU set, `taskset`.
    let allowed: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    match shards {
        Shards::Auto if allowed.is_empty() => Ok(vec![None]),
        Shards::Auto => Ok(allowed.into_iter().map(Some).collect()),
        // More shards than CPUs share them in turn.
        Shards::Count(count) => {
            Ok((0..*count).map(|i| allowed.get(i % allowed.len().max(1)).copied()).collect())
        }
        Shards::Cpus(cpus) => match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(cpu) => Err(format!(
                "shards: CPU {cpu} is not among those that this process may use ({allowed:?})"
            )),
            None => Ok(cpus.iter().copied().map(Some).collect()),
        },
    }
}

/// What every shard is configured with.
pub(super) fn settings(bootstrap: &Bootstrap, shards: usize, descriptors: u64) -> Settings {
    let (part, whole) = CLIENT_SHARE;
    let share = (descriptors / whole * part) as usize / shards;
    Settings {
        limits: bootstrap.limits.clone(),
        timeouts: bootstrap.timeouts.clone(),
        trusted: bootstrap.trusted_addresses.clone(),
        show_upstream_status: bootstrap.show_upstream_status_in_response_header,
        shards,
        connections: bootstrap.limits.connections.unwrap_or(share.max(1)),
        descriptors: (descriptors - (descriptors / CONTROL_SHARE).min(CONTROL_MOST))
            .try_into()
            .unwrap_or(RawFd::MAX),
    }
}

/// The plugins that are enabled.
pub(super) fn plugins(bootstrap: &Bootstrap) -> Registry {
    let Some(names) = &bootstrap.plugins else {
        return REGISTRY.clone();
    };
    let unknown: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| REGISTRY.get(name).is_none()).collect();
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        error_log::warn("plugins", "unknown", format_args!("not in this version: {names}"));
    }
    REGISTRY.only(names)
}

/// The same, once they were told.
fn enabled(bootstrap: &Bootstrap) -> Registry {
    bootstrap.plugins.as_ref().map_or_else(|| REGISTRY.clone(), |names| REGISTRY.only(names))
}

pub(super) fn engine(engine: Engine) -> EngineChoice {
    match engine {
        Engine::Auto => EngineChoice::Auto,
        Engine::IoUring => EngineChoice::IoUring,
        Engine::Epoll => EngineChoice::Epoll,
    }
}

pub(super) fn level(bootstrap: &Bootstrap) -> error_log::Level {
    match bootstrap.error_log.level {
        Level::Debug => error_log::Level::Debug,
        Level::Info => error_log::Level::Info,
        Level::Warn => error_log::Level::Warn,
        Level::Error => error_log::Level::Error,
    }
}

pub(super) fn admin_key(admin: &AdminKey) -> key::Key {
    let role = match admin.role {
        Role::Admin => key::Role::Admin,
        Role::Viewer => key::Role::Viewer,
    };
    key::Key::new(admin.name.clone(), role, admin.key.clone())
}

/// What APISIX's Admin API needs.
pub(super) fn admin_api(bootstrap: &Bootstrap) -> Api {
    let folder = match &bootstrap.store {
        Store::Embedded { path } => path,
        _ => &bootstrap.history.path,
    };
    let allow_origin = bootstrap.admin.as_ref().and_then(|admin| admin.allow_origin.clone());
    Api::new(enabled(bootstrap), allow_origin, Expiries::load(Some(folder)))
}

/// What the configuration is made of.
pub(super) fn configuration(
    bootstrap: &Bootstrap,
    ingredients: Ingredients,
    demo: Option<Route>,
) -> Result<Parts, Box<dyn Error>> {
    let store = store::open(&bootstrap.store)?;
    let (folder, keep) = (&bootstrap.history.path, bootstrap.history.keep);
    let local = match &bootstrap.store {
        Store::Embedded { path } => {
            warn_of_unread_file(bootstrap);
            Local::open(path, keep).map_err(|error| format!("store: {error}"))?
        }
        // Without its history the gateway serves all the same: its folder may be read-only.
        _ => Local::open(folder, keep).or_else(|error| {
            error_log::warn("control", "history in memory only", format_args!("{error}"));
            Local::in_memory(keep)
        })?,
    };
    let fields = ingredients.plugins.encrypted_fields();
    let encryption = Encryption::configured(&bootstrap.data_encryption, fields);
    if encryption.is_well_known() && !matches!(bootstrap.store, Store::File { .. }) {
        error_log::warn(
            "control",
            "well-known key",
            format_args!(
                "secrets are stored encrypted with APISIX's default key: set \
                 data_encryption.keyring to keys of your own"
            ),
        );
    }
    Ok(Parts { store, local, encryption, ingredients, demo })
}

/// A resource file where one is looked for by a store of kind `file`, which is not the default.
fn warn_of_unread_file(bootstrap: &Bootstrap) {
    let folder = std::path::Path::new(&*bootstrap.source.file).parent();
    let file = folder.unwrap_or(std::path::Path::new("")).join("apisix.yaml");
    if file.exists() {
        error_log::warn(
            "control",
            "resource file not read",
            format_args!(
                "{} is there, but resources are in the embedded store; to use the file, say \
                 store: {{ kind: file }}",
                file.display()
            ),
        );
    }
}

/// Starts the disk side, where something is written to it.
pub(super) fn disk(bootstrap: &Bootstrap) -> std::io::Result<Option<Disk>> {
    let engine = match bootstrap.access_log.target {
        LogTarget::Off => return Ok(None),
        // Whatever they are: only plain calls write to sockets and terminals alike.
        LogTarget::Stdout | LogTarget::Stderr => disk::Engine::Plain,
        LogTarget::File(_) => disk::Engine::Auto,
    };
    let disk = Disk::start(&DiskOptions { engine, ..DiskOptions::default() })?;
    if let (disk::Engine::Auto, Some(reason)) = (engine, disk.reason()) {
        error_log::warn("disk", "fallback", format_args!("a plain thread writes: {reason}"));
    }
    Ok(Some(disk))
}

/// What makes each shard's end of the access log.
pub(super) fn access_log(
    bootstrap: &Bootstrap,
    disk: Option<&Disk>,
) -> Result<Option<AccessLogMaker>, Box<dyn Error>> {
    let path = match &bootstrap.access_log.target {
        LogTarget::Off => return Ok(None),
        LogTarget::Stdout => "/dev/stdout".into(),
        LogTarget::Stderr => "/dev/stderr".into(),
        LogTarget::File(path) => path.clone(),
    };
    let Some(disk) = disk.cloned() else {
        return Ok(None);
    };
    let format = match &bootstrap.access_log.format {
        FormatSetting::Json => LogFormat::compile("json"),
        FormatSetting::Text(text) => LogFormat::compile(text),
    };
    let format = Arc::new(format.map_err(|error| format!("access_log.format: {error}"))?);
    let path: Arc<std::path::Path> = path.into();
    disk.open(&path, OPEN)
        .map_err(|error| format!("access_log.path: {}: {error}", path.display()))?;
    let disk = Arc::new(disk);
    Ok(Some(Box::new(move || AccessLog::new(format.clone(), path.clone(), disk.clone()))))
}

/// Tells what listens, on what, and where the key is.
pub(super) async fn announce(bootstrap: &Bootstrap, gateway: &Gateway, key_note: &str) {
    let mut lines = vec![format!("ringgate {}, {}", env!("CARGO_PKG_VERSION"), origin(bootstrap))];
    for (set, listener) in gateway.worker.listeners().zip(&bootstrap.listeners) {
        lines.push(format!("listening on {} ({})", set.address, listener.protocol));
    }
    let status = gateway.status().await;
    if let Some(shard) = status.shards.first() {
        let setup = match shard.engine_setup.as_str() {
            "" => String::new(),
            setup => format!(" ({setup})"),
        };
        lines.push(format!("engine: {}{setup}: {}", shard.engine, shard.engine_reason));
    }
    let cpus: Vec<String> = status
        .shards
        .iter()
        .map(|shard| shard.cpu.map_or_else(|| "any".into(), |cpu| cpu.to_string()))
        .collect();
    lines.push(format!("shards: {} on CPUs {}", status.shards.len(), cpus.join(", ")));
    if let Some(admin) = &bootstrap.admin {
        let scheme = if admin.tls.is_some() { "https" } else { "http" };
        lines.push(format!("Admin API on {scheme}://{}; {key_note}", admin.address));
    }
    if let Some(metrics) = bootstrap.metrics {
        lines.push(format!("metrics on http://{metrics}/metrics"));
    }
    // A reader that has left (`ringgate run | head -1`) is no reason to end.
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}

fn origin(bootstrap: &Bootstrap) -> String {
    match bootstrap.source == Source::default() {
        true => "built-in defaults".into(),
        false => format!("configured by {}", bootstrap.source.file),
    }
}

pub(super) fn log_health(event: health::Event) {
    match event {
        health::Event::Changed { upstream, host, address, from, to } => error_log::warn(
            "health",
            "node changed",
            format_args!("{host} ({address}) of upstream {upstream}: {from:?} -> {to:?}"),
        ),
        health::Event::NotChecked { upstream, reason } => {
            error_log::warn("health", "not checked", format_args!("upstream {upstream}: {reason}"));
        }
    }
}

pub(super) fn log_names(event: dns::Event) {
    match event {
        dns::Event::Recovered(question) => {
            error_log::info("dns", "recovered", format_args!("{}", question.name()));
        }
        dns::Event::Failed { question, cause, stale } => {
            let kept = if stale { "; its last addresses stay in use" } else { "" };
            let told = format_args!("{}: {cause}{kept}", question.name());
            error_log::warn("dns", "name not resolved", told);
        }
        dns::Event::TooMany(question) => error_log::warn(
            "dns",
            "name not resolved",
            format_args!("{}: more than {} names", question.name(), dns::NAMES_MAX),
        ),
    }
}
