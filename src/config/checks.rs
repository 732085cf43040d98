//! What other parts of the gateway check of a resource file: they are passed in, so that the
//! configuration knows no plugin and no expression.

use serde_json::Value;

use super::schema::{Kind, Violation};

/// Where a plugin's configuration stands, which decides on its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PluginScope {
    /// Routes, services, plugin configs, consumer groups, global rules.
    Http,
    /// Stream routes.
    Stream,
    /// Consumers and credentials.
    Consumer,
    /// `plugin_metadata`.
    Metadata,
}

/// Checks the configurations of plugins. Pointers are relative to the configuration.
pub trait PluginCheck {
    /// Everything that is wrong with one; `unknown plugin [X]` where there is no such plugin.
    fn check(&self, name: &str, conf: &Value, scope: PluginScope) -> Result<(), Vec<Violation>>;

    /// Gives its empty tables the shape that its schema asks for.
    fn shape(&self, _name: &str, _conf: &mut Value, _scope: PluginScope) {}

    /// What APISIX says first of all that is wrong with one, in one sentence.
    fn sentence(&self, name: &str, conf: &Value, scope: PluginScope) -> Option<String> {
        let violations = self.check(name, conf, scope).err()?;
        violations.first().map(|(pointer, reason)| super::resource::sentence(pointer, reason))
    }
}

/// Takes every plugin as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyPlugin;

impl PluginCheck for AnyPlugin {
    fn check(&self, _: &str, _: &Value, _: PluginScope) -> Result<(), Vec<Violation>> {
        Ok(())
    }
}

/// A check of one field of a kind, such as `vars` or `filter_func` of routes.
pub struct FieldCheck<'a> {
    /// Whose field.
    pub kind: Kind,
    /// Which field.
    pub field: &'static str,
    /// What is wrong; pointers are relative to the field.
    pub check: &'a dyn Fn(&Value) -> Result<(), Vec<Violation>>,
}

/// All checks that are passed in.
pub struct Checks<'a> {
    /// Plugins.
    pub plugins: &'a dyn PluginCheck,
    /// Fields.
    pub fields: &'a [FieldCheck<'a>],
}

impl Checks<'static> {
    /// Takes every plugin and every field as they are.
    pub const fn none() -> Checks<'static> {
        Checks { plugins: &AnyPlugin, fields: &[] }
    }
}
