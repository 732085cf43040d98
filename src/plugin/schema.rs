//! What a plugin says of its configuration, and what it gets to compile it.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::PluginKind;
use crate::limit::LimitTable;

/// JSON schemas of a plugin; also what the Admin API and the dashboard serve.
pub struct Schemas {
    /// On routes, services, global rules and plugin configs.
    pub conf: Value,
    /// On consumers and credentials.
    pub consumer: Option<Value>,
    /// `plugin_metadata`.
    pub metadata: Option<Value>,
    /// Fields that are stored encrypted.
    pub encrypt_fields: &'static [&'static str],
}

impl Schemas {
    /// Schemas of a plugin that is configured in one place only.
    pub fn conf(conf: Value) -> Schemas {
        Schemas { conf, consumer: None, metadata: None, encrypt_fields: &[] }
    }
}

/// A configuration that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Which field, as a path with dots; empty: the whole.
    pub path: String,
    /// What is wrong and what is expected.
    pub reason: String,
}

impl ConfigError {
    /// An error at a field.
    pub fn at(path: impl Into<String>, reason: impl Into<String>) -> ConfigError {
        ConfigError { path: path.into(), reason: reason.into() }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.reason);
        }
        write!(f, "property \"{}\" validation failed: {}", self.path, self.reason)
    }
}

impl std::error::Error for ConfigError {}

/// What a plugin may use when it is compiled.
#[derive(Clone)]
pub struct BuildCx {
    /// Counters shared by the process.
    pub limits: Arc<LimitTable>,
    /// Bytes that a plugin may buffer of a body (`limits.buffered_body`).
    pub buffered_body: usize,
    /// What the configuration object is, for state that survives a change: `route/1`.
    pub object: Arc<str>,
    /// `plugin_attr` of the bootstrap file, for this plugin.
    pub attributes: Value,
    /// `plugin_metadata` of this plugin.
    pub metadata: Value,
}

impl BuildCx {
    /// Reads a configuration into its type. The schema has accepted it, so an error here is one
    /// that a schema cannot say.
    pub fn read<T: DeserializeOwned>(&self, conf: &Value) -> Result<T, ConfigError> {
        T::deserialize(conf).map_err(|error| ConfigError::at("", error.to_string()))
    }
}

/// The plugins that exist, by name.
#[derive(Clone, Copy)]
pub struct Registry {
    kinds: &'static [&'static dyn PluginKind],
}

impl Registry {
    /// A registry of these kinds.
    pub const fn new(kinds: &'static [&'static dyn PluginKind]) -> Registry {
        Registry { kinds }
    }

    /// The plugin of that name.
    pub fn get(&self, name: &str) -> Option<&'static dyn PluginKind> {
        self.kinds.iter().copied().find(|kind| kind.name() == name)
    }

    /// All of them.
    pub fn kinds(&self) -> &'static [&'static dyn PluginKind] {
        self.kinds
    }
}
