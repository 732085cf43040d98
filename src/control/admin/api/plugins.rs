//! What plugins there are, and schemas.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Answer, Asked, bad, failed, tell};
use crate::config::schema::{self, Kind, Schema};
use crate::plugin::{PluginKind, Registry, Scope};

/// What APISIX calls the version of plugins that have none of their own.
const VERSION: f64 = 0.1;

/// `GET /plugins/list`, `/plugins/NAME`, `/plugins?all=true`.
pub(super) fn plugins(asked: &Asked, rest: &[&str]) -> Answer {
    let subsystem = asked.argument("subsystem");
    if let Some(other) = subsystem.filter(|name| !matches!(*name, "http" | "stream")) {
        return Err(bad(format!("unsupported subsystem: {other}")));
    }
    let kinds = of_subsystem(&asked.state.api.plugins, subsystem);
    match rest {
        ["list"] => {
            let mut kinds = kinds;
            kinds.sort_by_key(|kind| std::cmp::Reverse(kind.priority()));
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            tell(StatusCode::OK, &json!(names))
        }
        [name] => one(asked, name),
        _ if asked.argument("all") == Some("true") => {
            let kinds = of_subsystem(&asked.state.api.plugins, subsystem.or(Some("http")));
            tell(StatusCode::OK, &described(&kinds))
        }
        _ => Err(super::not_found()),
    }
}

/// Those of a subsystem; of both where none is named.
fn of_subsystem(plugins: &Registry, subsystem: Option<&str>) -> Vec<&'static dyn PluginKind> {
    let wanted = |kind: &&&dyn PluginKind| match subsystem {
        None => true,
        Some(name) => (kind.scope() == Scope::Stream) == (name == "stream"),
    };
    plugins.kinds().iter().filter(wanted).copied().collect()
}

/// The schema of a plugin, with `_meta`, or of what its consumers or its metadata have.
fn one(asked: &Asked, name: &str) -> Answer {
    let subsystem = asked.argument("subsystem").unwrap_or("http");
    let kind = asked.state.api.plugins.get(name);
    let Some(kind) = kind.filter(|kind| (kind.scope() == Scope::Stream) == (subsystem == "stream"))
    else {
        let why = format!("plugin not found in subsystem {subsystem}");
        return Err(failed(StatusCode::NOT_FOUND, why));
    };
    let schemas = kind.schemas();
    let schema = match asked.argument("schema_type") {
        Some("consumer") => schemas.consumer.clone(),
        Some("metadata") => schemas.metadata.clone(),
        _ => Some(configuration(kind)),
    };
    match schema {
        Some(schema) => tell(StatusCode::OK, &schema),
        None => Err(bad("not found schema")),
    }
}

fn configuration(kind: &dyn PluginKind) -> Value {
    let schemas = kind.schemas();
    schemas.compiled_conf().map_or_else(|_| schemas.conf.clone(), |schema| schema.value().clone())
}

/// All that is known of plugins, by name.
pub(in crate::control::admin) fn described(kinds: &[&'static dyn PluginKind]) -> Value {
    let mut map = Map::new();
    for kind in kinds {
        let mut plugin = json!({
            "version": VERSION, "priority": kind.priority(), "schema": configuration(*kind),
        });
        let schemas = kind.schemas();
        let more = [("consumer_schema", &schemas.consumer), ("metadata_schema", &schemas.metadata)];
        for (name, schema) in more {
            if let Some(schema) = schema {
                plugin[name] = schema.clone();
            }
        }
        if kind.scope() == Scope::Auth {
            plugin["type"] = "auth".into();
        }
        map.insert(kind.name().into(), plugin);
    }
    Value::Object(map)
}

/// `GET /schema/KIND`, `/schema/plugins/NAME`.
pub(super) fn schema(asked: &Asked, rest: &[&str]) -> Answer {
    match rest {
        ["plugins", "list"] | ["plugins"] => plugins(asked, &rest[1..]),
        ["plugins", name] => one(asked, name),
        [name] => match of_kind(name) {
            Some(schema) => tell(StatusCode::OK, schema.value()),
            None => Err(bad(format!("not found schema: {name}"))),
        },
        _ => Err(super::not_found()),
    }
}

/// The schema of a kind by either of its names: `route`, `routes`, `stream_route`.
pub(super) fn of_kind(name: &str) -> Option<&'static Schema> {
    let named = |kind: &Kind| {
        let singular = kind.singular().replace(' ', "_");
        kind.plural() == name || singular == name
    };
    Kind::ALL.into_iter().find(named).map(schema::schema)
}

/// The schemas of all kinds, by APISIX's names.
pub(in crate::control::admin) fn kinds() -> Value {
    let named =
        |kind: Kind| (kind.singular().replace(' ', "_"), schema::schema(kind).value().clone());
    Value::Object(Kind::ALL.into_iter().map(named).collect())
}
