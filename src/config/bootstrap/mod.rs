//! The bootstrap file (`ringgate.yaml`): what the process needs before it knows any resource.
//!
//! Every key has a default, so that no file at all is a configuration too; unknown keys are
//! errors. `conf/ringgate.yaml` shows every key with its default and is checked to say the truth.

mod admin;
mod bounds;
mod listener;
mod logs;
mod shards;
mod store;
mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use ringgate_core::{Limits, Timeouts};
use serde_json::{Map, Value};

pub use admin::{Admin, AdminKey, AdminTls, Role};
pub use listener::{Listener, Protocol, ProxyProtocol, StreamTls};
pub use logs::{AccessLog, ErrorLog, Level, LogFormat, LogTarget};
pub use shards::{Engine, Shards};
pub use store::{Etcd, History, Store};
pub use support::unsupported;

use super::document::{self, Document, Environment};
use super::error::Problems;
use super::fields::{Fields, expected};

/// Where a bootstrap file is looked for when none is named, in this order.
pub const PLACES: [&str; 2] = ["conf/ringgate.yaml", "/etc/ringgate/ringgate.yaml"];

/// The bootstrap file, typed. Paths in it are relative to the working folder or absolute.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// How many shards, on which CPUs.
    pub shards: Shards,
    /// The I/O engine.
    pub engine: Engine,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// The Admin API; `None` where it is `off`.
    pub admin: Option<Admin>,
    /// APISIX's Control API; `None` where it is `off`.
    pub control: Option<SocketAddr>,
    /// Prometheus; `None` where it is `off`.
    pub metrics: Option<SocketAddr>,
    /// Where resources come from.
    pub store: Store,
    /// What is remembered of changes.
    pub history: History,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted_addresses: Vec<IpNet>,
    /// Whether every answer has `X-APISIX-Upstream-Status`, not only those that went wrong.
    pub show_upstream_status_in_response_header: bool,
    /// Encryption of secret plugin fields in the store.
    pub data_encryption: DataEncryption,
    /// Name resolution.
    pub dns: Dns,
    /// The plugins that are enabled. `None`: all.
    pub plugins: Option<Vec<String>>,
    /// Process-wide attributes by plugin, as in APISIX.
    pub plugin_attr: Map<String, Value>,
    /// The access log.
    pub access_log: AccessLog,
    /// The gateway's own log, on stderr.
    pub error_log: ErrorLog,
    /// How long each wait may be.
    pub timeouts: Timeouts,
    /// Bounds on what a peer may make the gateway hold.
    pub limits: Limits,
    /// Where it was read from.
    pub source: Source,
}

/// Where a bootstrap was read from, for problems that show later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file; `defaults` where there was none.
    pub file: Arc<str>,
    /// The line of each listener.
    pub listeners: Vec<u32>,
    /// The line of `store`.
    pub store: u32,
}

impl Default for Source {
    fn default() -> Self {
        Source { file: "defaults".into(), listeners: Vec::new(), store: 0 }
    }
}

/// Encryption of secret plugin fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataEncryption {
    /// Whether they are encrypted.
    pub enable_encrypt_fields: bool,
    /// Keys of 16 or 32 characters: the first encrypts, all decrypt. Empty: APISIX's default key.
    pub keyring: Vec<String>,
}

/// Name resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Servers to ask. Empty: the system's.
    pub resolvers: Vec<SocketAddr>,
    /// One question.
    pub timeout: Duration,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Bootstrap {
            shards: Shards::Auto,
            engine: Engine::Auto,
            listeners: vec![Listener::http(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9080)))],
            admin: Some(Admin::default()),
            control: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))),
            metrics: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9091))),
            store: Store::default(),
            history: History::default(),
            trusted_addresses: Vec::new(),
            show_upstream_status_in_response_header: false,
            data_encryption: DataEncryption { enable_encrypt_fields: true, keyring: Vec::new() },
            dns: Dns { resolvers: Vec::new(), timeout: Duration::from_secs(2) },
            plugins: None,
            plugin_attr: Map::new(),
            access_log: AccessLog::default(),
            error_log: ErrorLog::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            source: Source::default(),
        }
    }
}

impl Bootstrap {
    /// The file to read: the one that is named, or the first of [`PLACES`] that exists. `None`:
    /// the defaults.
    pub fn locate(named: Option<&Path>) -> Option<PathBuf> {
        let first = || PLACES.iter().map(PathBuf::from).find(|place| place.is_file());
        named.map(Path::to_path_buf).or_else(first)
    }

    /// Reads the file that [`Bootstrap::locate`] finds.
    pub fn load(named: Option<&Path>) -> Result<Bootstrap, Problems> {
        let Some(path) = Bootstrap::locate(named) else { return Ok(Bootstrap::default()) };
        let text = document::read(&path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let environment = &document::process_environment;
        Bootstrap::parse(&path.to_string_lossy(), folder, &text, environment)
    }

    /// Parses a bootstrap file. Relative paths in it are relative to `folder`.
    pub fn parse(
        file: &str,
        folder: &Path,
        text: &str,
        environment: Environment<'_>,
    ) -> Result<Bootstrap, Problems> {
        let document = Document::parse(file, text, environment)?;
        let mut problems = Problems::new();
        let mut fields =
            Fields::new(&document, &mut problems, Some(&document.value), String::new());
        let mut bootstrap = read(&mut fields, folder);
        fields.done();
        bootstrap.source.file = file.into();
        problems.sort_by_line();
        problems.or(bootstrap)
    }
}

fn read(fields: &mut Fields<'_>, folder: &Path) -> Bootstrap {
    let defaults = Bootstrap::default();
    let (listeners, listener_lines) = match listener::read(fields) {
        Some(read) => read,
        None => (defaults.listeners, Vec::new()),
    };
    Bootstrap {
        shards: shards::read_shards(fields).unwrap_or(defaults.shards),
        engine: shards::read_engine(fields).unwrap_or(defaults.engine),
        listeners,
        admin: admin::read(fields, folder),
        control: address_section(fields, "control", defaults.control),
        metrics: address_section(fields, "metrics", defaults.metrics),
        store: store::read(fields, folder),
        history: store::read_history(fields, folder),
        trusted_addresses: fields.list("trusted_addresses", network).unwrap_or_default(),
        show_upstream_status_in_response_header: fields
            .bool("show_upstream_status_in_response_header")
            .unwrap_or(false),
        data_encryption: fields.section("data_encryption", |fields| DataEncryption {
            enable_encrypt_fields: fields.bool("enable_encrypt_fields").unwrap_or(true),
            keyring: fields.list("keyring", encryption_key).unwrap_or_default(),
        }),
        dns: fields.section("dns", |fields| {
            let mut dns = defaults.dns;
            dns.resolvers = fields.list("resolvers", resolver).unwrap_or_default();
            fields.duration("timeout", &mut dns.timeout);
            dns
        }),
        plugins: fields.list("plugins", |name| Ok(name.to_string())),
        plugin_attr: plugin_attr(fields),
        access_log: logs::read_access(fields, folder),
        error_log: logs::read_error(fields),
        timeouts: bounds::read_timeouts(fields),
        limits: bounds::read_limits(fields),
        source: Source {
            store: fields.line("store"),
            listeners: listener_lines,
            ..Source::default()
        },
    }
}

fn plugin_attr(fields: &mut Fields<'_>) -> Map<String, Value> {
    let mut attributes = Map::new();
    match fields.get("plugin_attr") {
        None => {}
        Some(Value::Object(map)) => {
            for (plugin, value) in map {
                if !value.is_object() && !value.is_null() {
                    let pointer = super::join(&fields.at("plugin_attr"), plugin);
                    let problem = fields.document.problem(&pointer, expected("a mapping", value));
                    fields.problems.push(problem);
                }
            }
            attributes = map.clone();
        }
        Some(other) => fields.fail("plugin_attr", expected("a mapping", other)),
    }
    attributes
}

/// Whether the key says `off` instead of a mapping.
fn is_off(fields: &mut Fields<'_>, key: &'static str) -> bool {
    fields.get(key).and_then(Value::as_str) == Some("off")
}

fn address_section(
    fields: &mut Fields<'_>,
    key: &'static str,
    default: Option<SocketAddr>,
) -> Option<SocketAddr> {
    if is_off(fields, key) {
        return None;
    }
    fields.section(key, |fields| fields.parsed("address", address)).or(default)
}

/// `0.0.0.0:9080`, `[::]:9080`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong =
        || format!("expected an address with a port such as 0.0.0.0:9080 or [::]:9080, got {text}");
    let address: SocketAddr = text.parse().map_err(|_| wrong())?;
    if address.port() == 0 { Err(wrong()) } else { Ok(address) }
}

/// `10.0.0.0/8`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(network) = text.parse::<IpNet>() {
        return Ok(network);
    }
    let wrong = || format!("expected an address or a network such as 10.0.0.0/8, got {text}");
    text.parse::<IpAddr>().map(IpNet::from).map_err(|_| wrong())
}

/// A name server: an address, with port 53 if it names none.
fn resolver(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, 53));
    }
    text.parse().map_err(|_| format!("expected the address of a name server, got {text}"))
}

fn encryption_key(text: &str) -> Result<String, String> {
    match text.len() {
        16 | 32 => Ok(text.to_string()),
        length => Err(format!("a key has 16 or 32 characters, this one {length}")),
    }
}

/// A path of the file, relative to the file's folder.
fn place(folder: &Path, path: &str) -> PathBuf {
    folder.join(path)
}

#[cfg(test)]
mod tests;
