//! From a draft to a resource file that `check` takes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::draft::{Draft, Item, Parts};
use super::{Imported, Source, Verify, emit};
use crate::config::schema::Kind;
use crate::config::{Document, Problem, Problems};

/// The kinds in the order in which they are written: what others name comes first.
const ORDER: [Kind; 12] = [
    Kind::Upstream,
    Kind::Service,
    Kind::Route,
    Kind::StreamRoute,
    Kind::PluginConfig,
    Kind::GlobalRule,
    Kind::ConsumerGroup,
    Kind::Consumer,
    Kind::Ssl,
    Kind::Proto,
    Kind::PluginMetadata,
    Kind::Secret,
];

/// What a problem of the written file is about.
struct At {
    kind: Kind,
    index: usize,
    /// A plugin of the resource, where that is what is wrong.
    plugin: Option<String>,
    /// `filter_func`, which narrows what the route takes.
    filter: bool,
}

/// Writes the file and checks it; what is refused is taken out, as a loss, until nothing is.
pub(super) fn finish(
    draft: Draft<'_>,
    source: &Source,
    verify: Verify<'_>,
) -> Result<Imported, Problems> {
    let document = draft.document;
    let mut parts = draft.into_parts();
    let services = parts.items.get(&Kind::Service).into_iter().flatten();
    let hosts =
        services.filter_map(|item| Some((id(&item.value)?, item.value.get("hosts")?.clone())));
    parts.hosts = hosts.collect();
    loop {
        close(&mut parts, document);
        let text = written(&parts.items, source, &document.file);
        let Err(problems) = verify(&text) else {
            // What several routes share may have been read for each.
            let mut told = HashSet::new();
            parts.losses.retain(|loss| told.insert(loss.to_string()));
            parts.losses.sort_by_key(|loss| loss.line);
            return Ok(Imported { text, losses: parts.losses });
        };
        if !take_out(&mut parts, document, &problems) {
            // Nothing that could be taken out: a defect of the importer, told as it is.
            return Err(problems);
        }
    }
}

fn written(items: &BTreeMap<Kind, Vec<Item>>, source: &Source, file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let mut text = format!("# {}: {}.\n", source.title, name.replace("${{", "$ {{"));
    for kind in ORDER {
        let Some(items) = items.get(&kind).filter(|items| !items.is_empty()) else { continue };
        text.push_str(&format!("\n{}:\n", kind.plural()));
        for item in items {
            emit::item(&item.value, 2, &mut text);
        }
    }
    text.push_str("\n#END\n");
    text
}

/// What keeps a route closed: nobody has this address.
const CLOSED: &str = "ip-restriction";

/// Closes the routes that lost what guarded them: their own plugin, their service's, or one that
/// held for all. They go on taking their requests, which another route might let through.
fn close(parts: &mut Parts, document: &Document) {
    let unguarded = |kind: Kind| -> BTreeMap<String, String> {
        let items = parts.items.get(&kind).into_iter().flatten();
        let lost = items.filter_map(|item| Some((id(&item.value)?, item.unguarded.clone()?)));
        lost.collect()
    };
    let (services, configs) = (unguarded(Kind::Service), unguarded(Kind::PluginConfig));
    for item in parts.items.get_mut(&Kind::Route).into_iter().flatten() {
        let named = |key: &str| item.value.get(key).and_then(Value::as_str);
        let lost = (item.unguarded.as_ref())
            .or_else(|| services.get(named("service_id")?))
            .or_else(|| configs.get(named("plugin_config_id")?))
            .or(parts.unguarded.as_ref())
            .cloned();
        if let Some(lost) = lost.filter(|_| !item.closed) {
            let told = shut(item, &format!("it lost {lost}"));
            parts.losses.push(document.problem(&item.origin, told));
        }
    }
}

/// Closes a route; what to tell of it.
fn shut(item: &mut Item, reason: &str) -> String {
    item.closed = true;
    let id = id(&item.value).unwrap_or_default();
    if let Some(map) = item.value.as_object_mut() {
        let plugins = map.entry("plugins").or_insert_with(|| json!({}));
        // Clients read the message: it says nothing of the configuration.
        plugins[CLOSED] = json!({"whitelist": ["0.0.0.0/32"], "message": "closed by the import"});
    }
    format!("route {id} is written closed (an {CLOSED} lets nobody in): {reason}")
}

/// What a route takes, without what it does with it.
fn stub(item: &mut Item, hosts: &BTreeMap<String, Value>) {
    let Some(map) = item.value.as_object_mut() else { return };
    if let Some(service) = map.get("service_id").and_then(Value::as_str)
        && let Some(hosts) = hosts.get(service)
        && !map.contains_key("hosts")
        && !map.contains_key("host")
    {
        map.insert("hosts".into(), hosts.clone());
    }
    let kept = [
        "id",
        "name",
        "uri",
        "uris",
        "host",
        "hosts",
        "methods",
        "remote_addr",
        "remote_addrs",
        "vars",
        "priority",
        "labels",
        "desc",
        "status",
    ];
    map.retain(|key, _| kept.contains(&key.as_str()));
}

fn id(value: &Value) -> Option<String> {
    value.get("id").and_then(Value::as_str).map(str::to_owned)
}

/// Takes out what the problems are about; whether there was anything.
fn take_out(parts: &mut Parts, document: &Document, problems: &Problems) -> bool {
    // By place, each once: the first reason is enough.
    let mut whole: BTreeMap<(Kind, usize), &Problem> = BTreeMap::new();
    let mut done = BTreeSet::new();
    let mut any = false;
    for problem in problems.iter() {
        let Some(at) = place(&problem.path) else { continue };
        let item = parts.items.get_mut(&at.kind).and_then(|items| items.get_mut(at.index));
        let Some(item) = item else { continue };
        any = true;
        let part = at.plugin.clone().or_else(|| at.filter.then(|| "filter_func".to_owned()));
        let Some(part) = part else {
            whole.entry((at.kind, at.index)).or_insert(problem);
            continue;
        };
        if !done.insert((at.kind, at.index, part.clone())) {
            continue;
        }
        let map = match at.filter {
            true => item.value.as_object_mut(),
            false => item.value.get_mut("plugins").and_then(Value::as_object_mut),
        };
        if map.is_none_or(|map| map.remove(&part).is_none()) {
            whole.entry((at.kind, at.index)).or_insert(problem);
            continue;
        }
        let usual = (format!("{}/plugins/{part}", item.origin), false);
        let (origin, guards) = match at.filter {
            true => (format!("{}/filter_func", item.origin), true),
            false => item.plugins.get(&part).cloned().unwrap_or(usual),
        };
        if guards {
            item.unguarded.get_or_insert_with(|| part.clone());
        }
        parts.losses.push(document.problem(&origin, problem.reason.clone()));
    }
    for ((kind, index), problem) in whole.into_iter().rev() {
        let Some(items) = parts.items.get_mut(&kind) else { continue };
        if let (Kind::Route, Some(item)) = (kind, items.get_mut(index))
            && !item.stub
        {
            // Its requests are not to go to another route instead.
            item.stub = true;
            stub(item, &parts.hosts);
            let at = problem.path.split_once("].").map_or("", |(_, at)| at);
            let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
            let told = shut(item, &format!("{at}{}", problem.reason));
            parts.losses.push(document.problem(&item.origin, told));
            continue;
        }
        let item = items.remove(index);
        let name = item.value.get("id").or(item.value.get("username"));
        let name = name.and_then(Value::as_str).unwrap_or_default();
        let at = problem.path.split_once("].").map_or("", |(_, at)| at);
        let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
        let reason = format!("{} {name} is left out: {at}{}", kind.singular(), problem.reason);
        parts.losses.push(document.problem(&item.origin, reason));
    }
    any
}

/// `routes[3].plugins.cors.allow_origins`
fn place(path: &str) -> Option<At> {
    let (key, rest) = path.split_once('[')?;
    let (index, rest) = rest.split_once(']')?;
    let plugin = rest.strip_prefix(".plugins.").map(|rest| {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        rest[..end].to_owned()
    });
    let plugin = plugin.or_else(|| {
        // Names that are no plain word stand in brackets and quotes.
        let quoted = rest.strip_prefix(".plugins[")?;
        let end = quoted.find("\"]")? + 1;
        serde_json::from_str(&quoted[..end]).ok()
    });
    Some(At {
        kind: Kind::of_key(key)?,
        index: index.parse().ok()?,
        plugin,
        filter: rest.starts_with(".filter_func"),
    })
}

/// An object without the keys that say nothing.
pub(super) fn object(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let said = |(_, value): &(&str, Value)| !value.is_null();
    let map: Map<String, Value> =
        entries.into_iter().filter(said).map(|(key, value)| (key.to_owned(), value)).collect();
    Value::Object(map)
}
