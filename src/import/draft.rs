//! What was read so far: resources with their origins, and losses.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::names;
use crate::config::schema::Kind;
use crate::config::{Document, PluginCheck, PluginScope, Problem};
use crate::plugin::Registry;

/// A resource to be written.
pub(super) struct Item {
    pub(super) value: Value,
    /// Where in the source it comes from: a JSON pointer.
    pub(super) origin: String,
    /// Where each of its plugins comes from, and whether it guards the resource.
    pub(super) plugins: HashMap<String, (String, bool)>,
    /// The plugin that guarded it and was lost.
    pub(super) unguarded: Option<String>,
    /// Whether it was closed for that.
    pub(super) closed: bool,
    /// Whether only what it takes is left of it.
    pub(super) stub: bool,
}

/// Resources and losses. Shared by all that read, hence the cells.
pub(super) struct Draft<'d> {
    pub(super) document: &'d Document,
    pub(super) registry: &'d Registry,
    items: RefCell<BTreeMap<Kind, Vec<Item>>>,
    ids: RefCell<HashSet<(Kind, String)>>,
    losses: RefCell<Vec<Problem>>,
    /// A plugin that guarded everything and was lost.
    unguarded: RefCell<Option<String>>,
    created: Cell<usize>,
}

/// Resources that one file may become: routes with many alternatives multiply.
pub(super) const ITEMS_MAX: usize = 200_000;

impl<'d> Draft<'d> {
    pub(super) fn new(document: &'d Document, registry: &'d Registry) -> Draft<'d> {
        Draft {
            document,
            registry,
            items: RefCell::default(),
            ids: RefCell::default(),
            losses: RefCell::default(),
            unguarded: RefCell::default(),
            created: Cell::new(0),
        }
    }

    /// Notes what cannot be carried over.
    pub(super) fn lose(&self, pointer: &str, reason: impl Into<String>) {
        self.losses.borrow_mut().push(self.document.problem(pointer, reason));
    }

    /// A problem that ends the import.
    pub(super) fn problem(&self, pointer: &str, reason: impl Into<String>) -> Problem {
        self.document.problem(pointer, reason)
    }

    /// An id like `wanted` that no other resource of the kind has.
    pub(super) fn id(&self, kind: Kind, wanted: &str) -> String {
        let mut ids = self.ids.borrow_mut();
        let base = names::slug(wanted);
        let mut id = base.clone();
        for number in 2.. {
            if ids.insert((kind, id.clone())) {
                break;
            }
            let suffix = format!("-{number}");
            let cut = base.len().min(names::ID_MAX - suffix.len());
            id = format!("{}{suffix}", &base[..cut]);
        }
        id
    }

    /// Adds a resource; its plugins stand in `plugins`.
    pub(super) fn add(&self, kind: Kind, origin: &str, mut value: Value, plugins: Plugins) {
        self.created.set(self.created.get() + 1);
        if self.created.get() > ITEMS_MAX {
            if self.created.get() == ITEMS_MAX + 1 {
                self.lose(origin, format!("more than {ITEMS_MAX} resources; the rest is left out"));
            }
            return;
        }
        if !plugins.map.is_empty() {
            value["plugins"] = Value::Object(plugins.map);
        }
        let item = Item {
            value,
            origin: origin.to_owned(),
            plugins: plugins.origins,
            unguarded: plugins.unguarded,
            closed: false,
            stub: false,
        };
        self.items.borrow_mut().entry(kind).or_default().push(item);
    }

    /// Makes plugins hold for every request. Each becomes a global rule of its own.
    pub(super) fn add_global(&self, plugins: Plugins) {
        if let Some(lost) = plugins.unguarded {
            self.unguarded.borrow_mut().get_or_insert(lost);
        }
        for (name, conf) in plugins.map {
            let origin = plugins.origins.get(&name).cloned().unwrap_or_default();
            let mut map = Map::new();
            map.insert(name.clone(), conf);
            let own = Plugins {
                map,
                origins: HashMap::from([(name.clone(), origin.clone())]),
                unguarded: None,
            };
            let id = self.id(Kind::GlobalRule, &name);
            self.add(Kind::GlobalRule, &origin.0, json!({"id": id}), own);
        }
    }

    pub(super) fn into_parts(self) -> Parts {
        Parts {
            items: self.items.into_inner(),
            losses: self.losses.into_inner(),
            unguarded: self.unguarded.into_inner(),
            hosts: BTreeMap::new(),
        }
    }
}

/// What a draft holds.
pub(super) struct Parts {
    pub(super) items: BTreeMap<Kind, Vec<Item>>,
    pub(super) losses: Vec<Problem>,
    pub(super) unguarded: Option<String>,
    /// The hosts of services, by their ids.
    pub(super) hosts: BTreeMap<String, Value>,
}

/// The plugins of a resource that is being made.
#[derive(Default, Clone)]
pub(super) struct Plugins {
    pub(super) map: Map<String, Value>,
    pub(super) origins: HashMap<String, (String, bool)>,
    pub(super) unguarded: Option<String>,
}

impl Plugins {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// Adds a plugin where this gateway has it and takes the configuration; otherwise it is a loss.
    /// `guards`: without it, requests would get through that must not.
    pub(super) fn put(
        &mut self,
        draft: &Draft<'_>,
        origin: &str,
        name: &str,
        conf: Value,
        guards: bool,
    ) {
        self.put_in(draft, origin, name, conf, guards, PluginScope::Http);
    }

    /// The same for a plugin of a consumer or a stream route.
    pub(super) fn put_in(
        &mut self,
        draft: &Draft<'_>,
        origin: &str,
        name: &str,
        conf: Value,
        guards: bool,
        scope: PluginScope,
    ) {
        if draft.registry.get(name).is_none() {
            self.lose(draft, origin, name, format!("this version has no plugin {name}"), guards);
            return;
        }
        let conf = match self.map.get(name) {
            None => conf,
            Some(before) => match super::rewrite::merged(name, before, &conf) {
                Some(merged) => merged,
                None => {
                    let reason = format!("there is one {name} already, and they cannot be joined");
                    self.lose(draft, origin, name, reason, guards);
                    return;
                }
            },
        };
        match draft.registry.check(name, &conf, scope) {
            Ok(()) => {
                self.origins.insert(name.to_owned(), (origin.to_owned(), guards));
                self.map.insert(name.to_owned(), conf);
            }
            Err(violations) => {
                let reason = violations.first().map(|(at, reason)| format!("{at}: {reason}"));
                let reason = reason.unwrap_or_default();
                self.lose(
                    draft,
                    origin,
                    name,
                    format!("{name} does not take it: {reason}"),
                    guards,
                );
            }
        }
    }

    /// Notes that a plugin is lost.
    pub(super) fn lose(
        &mut self,
        draft: &Draft<'_>,
        origin: &str,
        name: &str,
        reason: String,
        guards: bool,
    ) {
        draft.lose(origin, reason);
        if guards {
            self.unguarded.get_or_insert_with(|| name.to_owned());
        }
    }
}
