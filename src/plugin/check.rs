//! Checks of plugins' configurations before a plan is compiled: the schema first, then whatever
//! only compiling can say.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use super::reference::is_reference;
use super::{BuildCx, ConfigError, PluginKind, Registry, Scope, resolved};
use crate::config::encryption::EncryptedFields;
use crate::config::schema::{Kind, Schema, Violation};
use crate::config::{FieldCheck, PluginCheck, PluginScope, join, resource};
use crate::limit::LimitTable;
use crate::route::{Expr, RouteSpec};

/// Bytes that a body may be buffered to, as far as checks know.
const BUFFERED_BODY: usize = 1024 * 1024;

impl PluginCheck for Registry {
    fn check(&self, name: &str, conf: &Value, scope: PluginScope) -> Result<(), Vec<Violation>> {
        let unknown = || vec![(String::new(), format!("unknown plugin [{name}]"))];
        let kind = self.get(name).ok_or_else(unknown)?;
        match scope {
            PluginScope::Stream if kind.scope() != Scope::Stream => Err(unknown()),
            PluginScope::Http if kind.scope() == Scope::Stream => Err(unknown()),
            PluginScope::Http | PluginScope::Stream => configuration(kind, conf),
            PluginScope::Consumer if kind.scope() == Scope::Auth => credential(kind, conf),
            PluginScope::Consumer => configuration(kind, conf),
            PluginScope::Metadata => match kind.schemas().compiled_metadata() {
                Some(schema) => fits(schema, conf),
                None => Ok(()),
            },
        }
    }

    fn sentence(&self, name: &str, conf: &Value, scope: PluginScope) -> Option<String> {
        let violations = self.check(name, conf, scope).err()?;
        // The schema's own sentence has the words that APISIX nests.
        let told = self.schema(name, scope).and_then(|schema| schema.sentence(conf));
        let first = || violations.first().map(|(at, reason)| resource::sentence(at, reason));
        told.or_else(first)
    }

    fn shape(&self, name: &str, conf: &mut Value, scope: PluginScope) {
        if let Some(schema) = self.schema(name, scope) {
            schema.shape(conf);
        }
    }
}

impl Registry {
    /// The schema of a plugin's configuration where it stands.
    pub(crate) fn schema(&self, name: &str, scope: PluginScope) -> Option<&'static Schema> {
        let kind = self.get(name)?;
        let schemas = kind.schemas();
        let schema = match scope {
            PluginScope::Consumer if kind.scope() == Scope::Auth => schemas.compiled_consumer(),
            PluginScope::Metadata => schemas.compiled_metadata(),
            _ => Some(schemas.compiled_conf()),
        };
        schema?.ok()
    }

    /// The fields of each plugin that are stored encrypted.
    pub fn encrypted_fields(&self) -> EncryptedFields {
        let registry = self.clone();
        Box::new(move |name| registry.get(name).map_or(&[], |kind| kind.schemas().encrypt_fields))
    }
}

/// Whether a value fits a schema; one that does not compile is a defect, told rather than hidden.
fn fits(schema: Result<&Schema, String>, conf: &Value) -> Result<(), Vec<Violation>> {
    let violations = match schema {
        Ok(schema) => {
            let mut violations = schema.check(conf);
            // What a reference stands for is not known here (APISIX: `skip_validation`).
            violations.retain(|(at, reason)| {
                let text = conf.pointer(at).and_then(Value::as_str);
                reason.starts_with("wrong type: ") || !text.is_some_and(is_reference)
            });
            violations
        }
        Err(reason) => vec![(String::new(), format!("the plugin's schema is broken: {reason}"))],
    };
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

fn configuration(kind: &dyn PluginKind, conf: &Value) -> Result<(), Vec<Violation>> {
    fits(kind.schemas().compiled_conf(), conf)?;
    if let Some(filter) = conf.pointer("/_meta/filter") {
        Expr::compile(filter).map_err(|reason| vec![("/_meta/filter".to_owned(), reason)])?;
    }
    let cx = scratch();
    kind.build(&resolved(conf, cx.environment), &cx)
        .map(drop)
        .map_err(|error| vec![violation(error)])
}

fn credential(kind: &dyn PluginKind, conf: &Value) -> Result<(), Vec<Violation>> {
    if let Some(schema) = kind.schemas().compiled_consumer() {
        fits(schema, conf)?;
    }
    match kind.credential_key(conf) {
        Some(_) => Ok(()),
        None => Err(vec![(String::new(), "holds no credential".to_owned())]),
    }
}

/// `a.0.b` as a pointer, with the reason.
fn violation(error: ConfigError) -> Violation {
    let parts = error.path.split('.').filter(|part| !part.is_empty());
    (parts.fold(String::new(), |at, part| join(&at, part)), error.reason)
}

/// What a plugin is compiled with when it is only checked.
fn scratch() -> BuildCx {
    static LIMITS: LazyLock<Arc<LimitTable>> = LazyLock::new(|| Arc::new(LimitTable::with_sets(1)));
    static OBJECT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("check/check"));
    BuildCx {
        limits: LIMITS.clone(),
        buffered_body: BUFFERED_BODY,
        object: OBJECT.clone(),
        protos: None,
        attributes: Value::Null,
        metadata: Value::Null,
        environment: crate::config::process_environment,
    }
}

/// The checks of `vars` and `filter_func` of routes.
pub fn field_checks() -> [FieldCheck<'static>; 2] {
    [
        FieldCheck { kind: Kind::Route, field: "vars", check: &vars },
        FieldCheck { kind: Kind::Route, field: "filter_func", check: &filter_func },
    ]
}

fn vars(value: &Value) -> Result<(), Vec<Violation>> {
    Expr::compile(value).map(drop).map_err(|reason| vec![(String::new(), reason)])
}

/// As the route's own compiler reads it.
fn filter_func(value: &Value) -> Result<(), Vec<Violation>> {
    let broken = |reason: String| vec![(String::new(), reason)];
    let route = serde_json::from_value(json!({ "uri": "/", "filter_func": value }))
        .map_err(|error| broken(error.to_string()))?;
    RouteSpec::compile("", &route, None).map(drop).map_err(|error| broken(error.to_string()))
}
