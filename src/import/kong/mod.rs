//! Kong's declarative configuration, as decK writes it (`_format_version: "3.0"`).
//!
//! | Kong | here |
//! |---|---|
//! | service | service with an upstream; one that names a Kong upstream shares it |
//! | route | route; several where its hosts or paths need conditions of their own |
//! | upstream, targets | upstream |
//! | consumer, credentials, ACL groups | consumer with credentials; `acl` becomes a list of consumers |
//! | certificate | ssl |
//! | plugin | the plugin of that meaning, where its consumer, route or service is; global: global rule |
//!
//! In Kong the plugin nearest to the request takes the place of the others of its name; so does
//! APISIX's on one route, but a global rule runs besides. A global plugin that some route, service
//! or consumer has too is therefore written to every service instead.

mod certificate;
mod consumer;
mod limits;
mod plugins;
mod route;
mod service;
mod transform;
mod upstream;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Source;
use super::draft::{Draft, Plugins};
use super::object::{Object, text};
use super::precedence::{self, Ranked};
use crate::config::{Environment, Problem};

pub(super) const SOURCE: Source = Source {
    name: "kong",
    title: "Imported from Kong's declarative configuration",
    toml: false,
    read,
    variable,
};

/// What entities carry that means nothing here.
const RECORDS: [&str; 5] = ["id", "created_at", "updated_at", "ws_id", "cache_key"];

/// decK's variables: `${{ env "DECK_NAME" }}`.
fn variable(name: &str, environment: Environment<'_>) -> Option<String> {
    let name = name.strip_prefix("env ").unwrap_or(name).trim();
    environment(name.trim_matches('"'))
}

/// The file while it is read.
struct Reader<'a> {
    draft: &'a Draft<'a>,
    upstreams: BTreeMap<String, upstream::Balanced>,
    /// Upstreams that were written: Kong's name, the value, the id.
    shared: RefCell<Vec<(String, Value, String)>>,
    /// Consumers by the groups that `acl` names.
    groups: BTreeMap<String, Vec<String>>,
    /// Plugins at the top that name what they belong to.
    attached: RefCell<Vec<Attached<'a>>>,
    /// Global plugins that have to stand on every service.
    everywhere: Plugins,
    ranks: RefCell<Vec<Ranked>>,
}

/// A plugin with references.
struct Attached<'a> {
    plugin: Object<'a>,
    /// `service`, `route`, `consumer`, `consumer_group` with the name or id that it names.
    to: BTreeMap<&'static str, String>,
}

/// What a plugin may belong to.
const OWNERS: [&str; 4] = ["service", "route", "consumer", "consumer_group"];

fn read(draft: &Draft<'_>) -> Result<(), Problem> {
    // The draft outlives what is read from it; the objects only borrow it.
    let root = Object::new(draft, &draft.document.value, String::new())
        .ok_or_else(|| draft.problem("", "expected a mapping of services, routes…"))?;
    match root.text("_format_version").as_deref() {
        Some("3.0" | "3") => {}
        Some(version) => {
            let reason = format!(
                "expected \"3.0\", got \"{version}\"; `deck file convert --from kong-gateway-2.x --to \
                 kong-gateway-3.x` makes it one"
            );
            return Err(draft.problem("/_format_version", reason));
        }
        None => {
            let reason = "this is no file of decK's: _format_version is missing";
            return Err(draft.problem("", reason));
        }
    }
    root.ignore(&["_transform", "_info", "_konnect", "_comment", "_workspace"]);
    let mut reader = Reader {
        draft,
        upstreams: BTreeMap::new(),
        shared: RefCell::default(),
        groups: consumer::groups(&root),
        attached: RefCell::default(),
        everywhere: Plugins::default(),
        ranks: RefCell::default(),
    };
    reader.upstreams = upstream::read(&root);
    plugins(&mut reader, &root);
    certificate::read(&reader, &root);
    consumer::read(&reader, &root);
    service::read(&reader, &root);
    upstream::unused(&reader);
    for left in reader.attached.take() {
        let to: Vec<String> = left.to.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
        left.plugin.lose_whole(format!("{} is not in this file", to.join(" with ")));
    }
    precedence::contradictions(draft, &reader.ranks.borrow());
    Ok(())
}

/// Sorts the plugins at the top: those that belong to something, and those that hold for all.
fn plugins<'a>(reader: &mut Reader<'a>, root: &Object<'a>) {
    let mut global = Vec::new();
    for plugin in root.objects("plugins") {
        let named = OWNERS.iter().filter_map(|kind| Some((*kind, reference(plugin.get(kind)?)?)));
        let to: BTreeMap<&'static str, String> = named.collect();
        match to.is_empty() {
            true => global.push(plugin),
            false => reader.attached.borrow_mut().push(Attached { plugin, to }),
        }
    }
    let specific = specific(&reader.draft.document.value);
    let mut for_all = Plugins::default();
    let mut everywhere = Plugins::default();
    for plugin in global {
        let name = plugin.text("name").unwrap_or_default();
        let into = if specific.contains(&name) { &mut everywhere } else { &mut for_all };
        plugins::put(reader, &plugin, into, plugins::Place::Request);
    }
    reader.draft.add_global(for_all);
    reader.everywhere = everywhere;
}

/// Names of plugins that stand on something.
fn specific(root: &Value) -> BTreeSet<String> {
    fn below(value: &Value, top: bool, names: &mut BTreeSet<String>, depth: usize) {
        let Some(map) = value.as_object().filter(|_| depth < 8) else { return };
        for plugin in map.get("plugins").and_then(Value::as_array).into_iter().flatten() {
            let attached = OWNERS.iter().any(|kind| plugin.get(kind).is_some_and(|v| !v.is_null()));
            if (!top || attached)
                && let Some(name) = plugin.get("name").and_then(Value::as_str)
            {
                names.insert(name.to_owned());
            }
        }
        for key in ["services", "routes", "consumers", "consumer_groups"] {
            for item in map.get(key).and_then(Value::as_array).into_iter().flatten() {
                below(item, false, names, depth + 1);
            }
        }
    }
    let mut names = BTreeSet::new();
    below(root, true, &mut names, 0);
    names
}

/// What a reference names: a text, or an object with a name or an id.
fn reference(value: &Value) -> Option<String> {
    let keys = ["name", "username", "id"];
    text(value).or_else(|| keys.iter().find_map(|key| text(value.get(key)?)))
}

impl<'a> Reader<'a> {
    /// Takes the plugins of an entity: those that stand in it, and those at the top that name it.
    fn plugins_of(
        &self,
        kind: &'static str,
        names: &[String],
        entity: &Object<'a>,
        place: plugins::Place,
    ) -> Plugins {
        let mut own = Plugins::default();
        for plugin in entity.objects("plugins") {
            plugins::put(self, &plugin, &mut own, place);
        }
        let attached = self.attached.take();
        let (mine, others): (Vec<_>, Vec<_>) = attached
            .into_iter()
            .partition(|attached| attached.to.get(kind).is_some_and(|to| names.contains(to)));
        *self.attached.borrow_mut() = others;
        for Attached { plugin, to } in mine {
            if to.len() == 1 {
                plugins::put(self, &plugin, &mut own, place);
                continue;
            }
            let to: Vec<&str> = to.keys().copied().collect();
            let name = plugin.text("name").unwrap_or_default();
            plugin.lose_whole(format!("{name} holds for a {} together", to.join(" and a ")));
            if plugins::guards(&name) {
                own.unguarded.get_or_insert(name);
            }
        }
        own
    }

    /// An upstream that several may name.
    fn share(&self, name: &str, value: &Value, origin: &str) -> String {
        use crate::config::schema::Kind;
        let known = |(n, v, _): &&(String, Value, String)| n == name && v == value;
        if let Some((_, _, id)) = self.shared.borrow().iter().find(known) {
            return id.clone();
        }
        let id = self.draft.id(Kind::Upstream, name);
        let mut written = Map::from_iter([
            ("id".to_owned(), Value::from(id.clone())),
            ("name".to_owned(), name.into()),
        ]);
        if let Value::Object(value) = value {
            written.extend(value.clone());
        }
        self.draft.add(Kind::Upstream, origin, Value::Object(written), Plugins::default());
        self.shared.borrow_mut().push((name.to_owned(), value.clone(), id.clone()));
        id
    }
}

/// The names by which others may refer to an entity.
fn names(entity: &Object<'_>, key: &str) -> Vec<String> {
    [entity.text(key), entity.text("id")].into_iter().flatten().collect()
}

/// Kong's tags as labels.
fn labels(entity: &Object<'_>) -> Value {
    let tags = entity.texts("tags");
    let fits = |tag: &String| !tag.is_empty() && tag.len() <= 256;
    let labels: Map<String, Value> =
        tags.into_iter().filter(fits).map(|tag| (tag, "true".into())).collect();
    if labels.is_empty() { Value::Null } else { Value::Object(labels) }
}
