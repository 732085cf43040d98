//! What a plugin says of its configuration, and what it gets to compile it.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Environment, PluginKind};
use crate::config::plan::Protos;
use crate::config::schema::Schema;
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
    /// The schemas as they check, each compiled when it is first asked for.
    compiled: [OnceLock<Result<Schema, String>>; 3],
}

impl Schemas {
    /// Schemas of a plugin that is configured in one place only.
    pub fn conf(conf: Value) -> Schemas {
        let compiled = Default::default();
        Schemas { conf, consumer: None, metadata: None, encrypt_fields: &[], compiled }
    }

    /// With the schema of a consumer's configuration.
    pub fn with_consumer(self, consumer: Value) -> Schemas {
        Schemas { consumer: Some(consumer), ..self }
    }

    /// With the schema of `plugin_metadata`.
    pub fn with_metadata(self, metadata: Value) -> Schemas {
        Schemas { metadata: Some(metadata), ..self }
    }

    /// With fields that are stored encrypted.
    pub fn encrypting(self, encrypt_fields: &'static [&'static str]) -> Schemas {
        Schemas { encrypt_fields, ..self }
    }

    /// What checks [`Schemas::conf`], with `_meta`.
    pub fn compiled_conf(&self) -> Result<&Schema, String> {
        let made = self.compiled[0].get_or_init(|| Schema::compile_plugin(self.conf.clone()));
        made.as_ref().map_err(Clone::clone)
    }

    /// What checks [`Schemas::consumer`].
    pub fn compiled_consumer(&self) -> Option<Result<&Schema, String>> {
        let schema = self.consumer.as_ref()?;
        let made = self.compiled[1].get_or_init(|| Schema::compile(schema.clone()));
        Some(made.as_ref().map_err(Clone::clone))
    }

    /// What checks [`Schemas::metadata`].
    pub fn compiled_metadata(&self) -> Option<Result<&Schema, String>> {
        let schema = self.metadata.as_ref()?;
        let made = self.compiled[2].get_or_init(|| Schema::compile(schema.clone()));
        Some(made.as_ref().map_err(Clone::clone))
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
    /// The compiled `protos`; [`None`] where a configuration is only checked, alone.
    pub protos: Option<Arc<Protos>>,
    /// `plugin_attr` of the bootstrap file, for this plugin.
    pub attributes: Value,
    /// `plugin_metadata` of this plugin.
    pub metadata: Value,
    /// What `$env://NAME` stands for.
    pub environment: Environment,
}

impl BuildCx {
    /// Reads a configuration into its type. The schema has accepted it, so an error here is one
    /// that a schema cannot say.
    pub fn read<T: DeserializeOwned>(&self, conf: &Value) -> Result<T, ConfigError> {
        T::deserialize(conf).map_err(|error| ConfigError::at("", error.to_string()))
    }
}

/// The plugins that exist, by name.
#[derive(Clone)]
pub struct Registry {
    kinds: Cow<'static, [&'static dyn PluginKind]>,
}

impl Registry {
    /// A registry of these kinds.
    pub const fn new(kinds: &'static [&'static dyn PluginKind]) -> Registry {
        Registry { kinds: Cow::Borrowed(kinds) }
    }

    /// Only these of them (`plugins` of the bootstrap file). Names that there are not have no
    /// effect: a list that was written for APISIX names plugins that come later.
    pub fn only<S: AsRef<str>>(&self, names: &[S]) -> Registry {
        let wanted = |kind: &&dyn PluginKind| names.iter().any(|n| n.as_ref() == kind.name());
        Registry { kinds: self.kinds.iter().copied().filter(wanted).collect() }
    }

    /// The plugin of that name.
    pub fn get(&self, name: &str) -> Option<&'static dyn PluginKind> {
        self.kinds.iter().copied().find(|kind| kind.name() == name)
    }

    /// All of them.
    pub fn kinds(&self) -> &[&'static dyn PluginKind] {
        &self.kinds
    }
}
