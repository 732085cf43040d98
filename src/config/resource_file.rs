//! A resource file (`apisix.yaml`): text to checked, typed resources.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::checks::{Checks, PluginScope};
use super::collection::{Changed, Collection};
use super::document::{Document, Environment, join};
use super::error::Problems;
use super::resources::*;
use super::schema::{self, Kind};
use super::{references, resource, semantics, values};

/// What a complete YAML file ends with.
const END: &str = "#END";
/// Resources of one kind.
const RESOURCES_MAX: usize = 1_000_000;

/// All resources of a configuration.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)] // APISIX's names
pub struct Resources {
    pub routes: Collection<Route>,
    pub services: Collection<Service>,
    pub upstreams: Collection<Upstream>,
    pub consumers: Collection<Consumer>,
    pub consumer_groups: Collection<PluginSet>,
    pub plugin_configs: Collection<PluginSet>,
    pub global_rules: Collection<PluginSet>,
    pub ssls: Collection<Ssl>,
    pub stream_routes: Collection<StreamRoute>,
    pub protos: Collection<Proto>,
    pub plugin_metadata: Collection<PluginMetadata>,
    pub secrets: Collection<Secret>,
}

/// What changed, by kind; kinds in which nothing did are left out.
pub type Changes = Vec<(Kind, Changed)>;

impl Resources {
    /// Where a resource stands: its path (`routes[0]`) and the line that it begins at.
    pub fn place(&self, kind: Kind, id: &str) -> (String, u32) {
        macro_rules! place_in {
            ($($kind:ident: $collection:ident),+ $(,)?) => {
                match kind {
                    $(Kind::$kind => self.$collection.position(id).zip(self.$collection.entry(id))
                        .map(|(index, entry)| (index, entry.line)),)+
                    Kind::Credential => None,
                }
            };
        }
        let found = place_in!(
            Route: routes, Service: services, Upstream: upstreams, Consumer: consumers,
            ConsumerGroup: consumer_groups, PluginConfig: plugin_configs,
            GlobalRule: global_rules, Ssl: ssls, StreamRoute: stream_routes, Proto: protos,
            PluginMetadata: plugin_metadata, Secret: secrets,
        );
        match found {
            Some((index, line)) => (format!("{}[{index}]", kind.plural()), line),
            None => (kind.plural().to_owned(), 0),
        }
    }

    /// What is different from `old`. Objects that are not take over the old pointers.
    pub fn diff(&mut self, old: &Resources) -> Changes {
        let changes = vec![
            (Kind::Route, self.routes.diff(&old.routes)),
            (Kind::Service, self.services.diff(&old.services)),
            (Kind::Upstream, self.upstreams.diff(&old.upstreams)),
            (Kind::Consumer, self.consumers.diff(&old.consumers)),
            (Kind::ConsumerGroup, self.consumer_groups.diff(&old.consumer_groups)),
            (Kind::PluginConfig, self.plugin_configs.diff(&old.plugin_configs)),
            (Kind::GlobalRule, self.global_rules.diff(&old.global_rules)),
            (Kind::Ssl, self.ssls.diff(&old.ssls)),
            (Kind::StreamRoute, self.stream_routes.diff(&old.stream_routes)),
            (Kind::Proto, self.protos.diff(&old.protos)),
            (Kind::PluginMetadata, self.plugin_metadata.diff(&old.plugin_metadata)),
            (Kind::Secret, self.secrets.diff(&old.secrets)),
        ];
        changes.into_iter().filter(|(_, changed)| !changed.is_empty()).collect()
    }
}

/// The reader of resource files.
pub struct ResourceFile;

impl ResourceFile {
    /// Parses and checks a file's text: JSON where the name ends in `.json`, else YAML, which
    /// must end with `#END`.
    pub fn parse(
        file: &str,
        text: &str,
        environment: Environment<'_>,
        checks: &Checks<'_>,
    ) -> Result<Resources, Problems> {
        ResourceFile::read(file, text, environment, checks).map(|(resources, _)| resources)
    }

    /// As [`ResourceFile::parse`], with the resources as they stand there too.
    pub fn read(
        file: &str,
        text: &str,
        environment: Environment<'_>,
        checks: &Checks<'_>,
    ) -> Result<(Resources, Document), Problems> {
        let mut document = Document::parse(file, text, environment)?;
        shape(&mut document.value, !file.ends_with(".json"), checks);
        let mut reader = Reader {
            document: &document,
            checks,
            problems: Problems::new(),
            ids: Default::default(),
            resources: Resources::default(),
        };
        if !file.ends_with(".json") && text.trim_end().lines().next_back() != Some(END) {
            let reason = "the last line is not #END: the file is not complete";
            let mut problem = document.problem("", reason);
            problem.line = text.lines().count().max(1) as u32;
            reader.problems.push(problem);
        }
        reader.file();
        let Reader { mut problems, resources, .. } = reader;
        problems.sort_by_line();
        problems.or((resources, document))
    }
}

/// Gives resources the shape that they are checked and read in. Each node stays one node, so the
/// document's lines stay what they are.
fn shape(file: &mut Value, yaml: bool, checks: &Checks<'_>) {
    let Value::Object(map) = file else { return };
    for (key, list) in map {
        let (Some(kind), Value::Array(list)) = (Kind::of_key(key), list) else { continue };
        for value in list {
            if yaml {
                resource::fill_plugins(value);
            }
            resource::shape(kind_of(kind, value), value, checks);
        }
    }
}

/// A consumer's credential may stand beside it, as in APISIX's files.
fn kind_of(kind: Kind, value: &Value) -> Kind {
    match kind == Kind::Consumer && credential_owner(value).is_some() {
        true => Kind::Credential,
        false => kind,
    }
}

struct Reader<'a> {
    document: &'a Document,
    checks: &'a Checks<'a>,
    problems: Problems,
    /// By kind, where each id stands in its list.
    ids: [HashMap<String, usize>; Kind::ALL.len()],
    resources: Resources,
}

impl<'a> Reader<'a> {
    fn fail(&mut self, pointer: &str, reason: impl Into<String>) {
        match self.problems.is_full() {
            true => self.problems.leave_out(),
            false => self.problems.push(self.document.problem(pointer, reason)),
        }
    }

    fn file(&mut self) {
        let document = self.document;
        let map = match &document.value {
            Value::Null => return,
            Value::Object(map) => map,
            _ => return self.fail("", "expected a mapping of routes, services, upstreams…"),
        };
        let mut lists: Vec<(Kind, &'a [Value])> = Vec::new();
        for (key, value) in map {
            let pointer = join("", key);
            match (Kind::of_key(key), value) {
                (Some(kind), Value::Array(list)) if list.len() <= RESOURCES_MAX => {
                    lists.push((kind, list));
                }
                (Some(_), Value::Null) => {}
                (Some(_), Value::Array(_)) => {
                    self.fail(&pointer, format!("more than {RESOURCES_MAX} of them"));
                }
                (Some(_), _) => self.fail(&pointer, "expected a list"),
                (None, _) if key == "plugins" => {
                    let reason = "plugins are enabled in the bootstrap file (`plugins`)";
                    self.fail(&pointer, reason);
                }
                (None, _) => {
                    let known = Kind::ALL.map(Kind::plural);
                    let hint = values::nearest(key, known)
                        .map_or(String::new(), |nearest| format!(", did you mean `{nearest}`?"));
                    self.fail(&pointer, format!("unknown key{hint}"));
                }
            }
        }
        for &(kind, list) in &lists {
            let lines = document.lines_of(kind.plural());
            for (index, value) in list.iter().enumerate() {
                self.resource(kind, value, index, lines.get(index).copied().unwrap_or(0));
            }
        }
        let ids = std::mem::take(&mut self.ids);
        let exists = |kind: Kind, id: &str| ids[kind as usize].contains_key(id);
        let is_client = |id: &str| references::is_client(map, id);
        for (kind, list) in lists {
            for (index, value) in list.iter().enumerate() {
                for (pointer, reason) in references::missing(kind, value, &exists, &is_client) {
                    self.fail(&format!("/{}/{index}{pointer}", kind.plural()), reason);
                }
            }
        }
    }

    /// Checks one resource and takes it in. Pointers are made only where something is wrong.
    fn resource(&mut self, kind: Kind, value: &'a Value, index: usize, line: u32) {
        let at = || format!("/{}/{index}", kind.plural());
        if kind_of(kind, value) == Kind::Credential {
            if self.valid(Kind::Credential, value, &at) {
                self.plugins(Kind::Credential, value, &at);
            }
            return;
        }
        let id = resource_id(kind, value, index);
        if let Some(first) = self.ids[kind as usize].get(&id) {
            let (line, path) = self.document.locate(&format!("/{}/{first}", kind.plural()));
            let name = kind.singular();
            let reason = format!("duplicate {name} [{id}], it is {path} too (line {line})");
            self.fail(&join(&at(), id_key(kind)), reason);
            return;
        }
        self.ids[kind as usize].insert(id.clone(), index);
        // What does not fit the schema cannot be looked into any further.
        if !self.valid(kind, value, &at) {
            return;
        }
        self.plugins(kind, value, &at);
        self.fields(kind, value, &at);
        for (pointer, reason) in semantics::check(kind, value) {
            self.fail(&(at() + &pointer), reason);
        }
        self.take(kind, &id, value, line, &at);
    }

    fn valid(&mut self, kind: Kind, value: &Value, at: &dyn Fn() -> String) -> bool {
        let schema = schema::schema(kind);
        if schema.is_valid(value) {
            return true;
        }
        for (pointer, reason) in schema.check(value) {
            self.fail(&(at() + &pointer), reason);
        }
        false
    }

    fn plugins(&mut self, kind: Kind, value: &Value, at: &dyn Fn() -> String) {
        let scope = match kind {
            Kind::StreamRoute => PluginScope::Stream,
            Kind::Consumer | Kind::Credential => PluginScope::Consumer,
            Kind::PluginMetadata => {
                let name = value.get("id").and_then(Value::as_str).unwrap_or_default();
                return self.plugin(name, value, PluginScope::Metadata, at);
            }
            _ => PluginScope::Http,
        };
        for (name, conf) in value.get("plugins").and_then(Value::as_object).into_iter().flatten() {
            self.plugin(name, conf, scope, &|| join(&join(&at(), "plugins"), name));
        }
        let credentials = value.get("credentials").and_then(Value::as_array);
        for (index, credential) in credentials.into_iter().flatten().enumerate() {
            let at = || format!("{}/credentials/{index}", at());
            if self.valid(Kind::Credential, credential, &at) {
                self.plugins(Kind::Credential, credential, &at);
            }
        }
    }

    fn plugin(&mut self, name: &str, conf: &Value, scope: PluginScope, at: &dyn Fn() -> String) {
        let violations = match self.checks.plugins.check(name, conf, scope) {
            Ok(()) => return,
            Err(violations) => violations,
        };
        for (pointer, reason) in violations {
            self.fail(&(at() + &pointer), reason);
        }
    }

    fn fields(&mut self, kind: Kind, value: &Value, at: &dyn Fn() -> String) {
        for field in self.checks.fields.iter().filter(|field| field.kind == kind) {
            let Some(value) = value.get(field.field) else { continue };
            for (pointer, reason) in (field.check)(value).err().into_iter().flatten() {
                self.fail(&(join(&at(), field.field) + &pointer), reason);
            }
        }
    }

    /// Makes the typed resource of a valid value.
    fn take(&mut self, kind: Kind, id: &str, value: &'a Value, line: u32, at: &dyn Fn() -> String) {
        macro_rules! into {
            ($collection:ident) => {
                if let Some(resource) = self.typed(value, at) {
                    self.resources.$collection.insert(id, line, resource);
                }
            };
        }
        match kind {
            Kind::Route => into!(routes),
            Kind::Service => into!(services),
            Kind::Upstream => into!(upstreams),
            Kind::Consumer => {
                let Some(mut consumer) = self.typed::<Consumer>(value, at) else { return };
                consumer.credentials.extend(self.credentials_beside(id));
                self.resources.consumers.insert(id, line, consumer);
            }
            Kind::ConsumerGroup => into!(consumer_groups),
            Kind::PluginConfig => into!(plugin_configs),
            Kind::GlobalRule => into!(global_rules),
            Kind::Ssl => into!(ssls),
            Kind::StreamRoute => into!(stream_routes),
            Kind::Proto => into!(protos),
            Kind::PluginMetadata => into!(plugin_metadata),
            Kind::Secret => into!(secrets),
            Kind::Credential => {}
        }
    }

    fn typed<T: DeserializeOwned>(&mut self, value: &Value, at: &dyn Fn() -> String) -> Option<T> {
        if let Ok(resource) = T::deserialize(value) {
            return Some(resource);
        }
        // Rare: what the schema lets through and no type holds. Once more, for the path.
        let error = serde_path_to_error::deserialize::<_, T>(value).err()?;
        let mut pointer = at();
        for segment in error.path() {
            match segment {
                serde_path_to_error::Segment::Seq { index } => pointer = join(&pointer, index),
                serde_path_to_error::Segment::Map { key } => pointer = join(&pointer, key),
                _ => {}
            }
        }
        self.fail(&pointer, error.inner().to_string());
        None
    }

    /// The credentials of a consumer that stand beside it in the list.
    fn credentials_beside(&self, username: &str) -> Vec<Credential> {
        let consumers = self.document.value.get("consumers").and_then(Value::as_array);
        let own = |value: &&Value| credential_owner(value) == Some(username);
        let own = consumers.into_iter().flatten().filter(own);
        own.filter_map(|value| Credential::deserialize(value).ok()).collect()
    }
}

/// `jack` of the id `jack/credentials/c1`.
pub(super) fn credential_owner(value: &Value) -> Option<&str> {
    let id = value.get("id")?.as_str()?;
    id.split_once("/credentials/").map(|(owner, _)| owner)
}

/// The id of a resource that is at a place of its list.
pub(super) fn resource_id(kind: Kind, value: &Value, index: usize) -> String {
    match value.get(id_key(kind)) {
        Some(Value::String(id)) => id.clone(),
        Some(id @ Value::Number(_)) => id.to_string(),
        // As APISIX names what has no id.
        _ => format!("arr_{}", index + 1),
    }
}

fn id_key(kind: Kind) -> &'static str {
    if kind == Kind::Consumer { "username" } else { "id" }
}

/// The lists of a file by kind.
pub(super) fn list(map: &Map<String, Value>, kind: Kind) -> &[Value] {
    map.get(kind.plural()).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
