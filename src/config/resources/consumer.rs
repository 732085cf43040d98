//! Consumers, and what holds plugins only.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Id, Labels, Plugins};

/// A consumer: who may call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct Consumer {
    #[serde(default)]
    pub id: Option<Id>,
    pub username: String,
    pub group_id: Option<Id>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    #[serde(default)]
    pub plugins: Plugins,
    /// Inline form of `/consumers/NAME/credentials` for files.
    #[serde(default)]
    pub credentials: Vec<Credential>,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
}

/// One of a consumer's credentials.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct Credential {
    #[serde(default)]
    pub id: Option<Id>,
    pub name: Option<String>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    #[serde(default)]
    pub plugins: Plugins,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
}

/// Plugins by an id: consumer groups, plugin configs, global rules.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // APISIX's names
pub struct PluginSet {
    #[serde(default)]
    pub id: Option<Id>,
    pub name: Option<String>,
    pub desc: Option<String>,
    pub labels: Option<Labels>,
    pub plugins: Plugins,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
}

/// Settings of a plugin that hold wherever it is used; the id is the plugin's name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PluginMetadata {
    /// The plugin's name.
    pub id: Id,
    /// What its metadata schema asks for.
    #[serde(flatten)]
    pub conf: Map<String, Value>,
}

/// A secret manager; the id is `MANAGER/NAME`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Secret {
    /// `vault/1`.
    pub id: Id,
    /// What its manager's schema asks for.
    #[serde(flatten)]
    pub conf: Map<String, Value>,
}
