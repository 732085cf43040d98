//! The documents say what the code does: links lead somewhere, and tables hold every key.

use std::fs;
use std::path::{Path, PathBuf};

use ringgate::config::schema::{Kind, schema};
use ringgate::plugins::REGISTRY;
use serde_json::Value;

const CONFIGURATION: &str = "docs/configuration.md";
const PLUGINS: &str = "docs/plugins.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "bench/README.md"]
        .iter()
        .map(|name| root().join(name))
        .collect();
    let docs = fs::read_dir(root().join("docs")).expect("docs");
    documents.extend(docs.map(|entry| entry.expect("an entry").path()));
    documents
}

/// The text from a heading to the next one of its level or above.
fn section<'t>(text: &'t str, heading: &str) -> Option<&'t str> {
    let level = heading.find(' ').expect("a heading");
    let start = text.find(&format!("\n{heading}\n"))? + 1 + heading.len();
    let rest = &text[start..];
    let ends = rest.match_indices("\n#").find(|(at, _)| {
        let marks = rest[at + 1..].chars().take_while(|c| *c == '#').count();
        marks <= level
    });
    Some(&rest[..ends.map_or(rest.len(), |(at, _)| at)])
}

fn properties(schema: &Value) -> Vec<&str> {
    let properties = schema["properties"].as_object();
    properties.map(|all| all.keys().map(String::as_str).collect()).unwrap_or_default()
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = fs::read_to_string(&document).expect("text");
        for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
            let target = rest.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || target.contains("://") {
                continue;
            }
            let path = document.parent().expect("a folder").join(file);
            assert!(path.exists(), "{}: {target} leads nowhere", document.display());
        }
    }
}

#[test]
fn the_bootstrap_file_is_documented_key_by_key() {
    let text = read(CONFIGURATION);
    let bootstrap = section(&text, "## The bootstrap file").expect("its section");
    let mut group = String::new();
    for line in read("conf/ringgate.yaml").lines() {
        let code = line.split(" #").next().unwrap_or_default();
        let Some((key, value)) = code.split_once(':').filter(|_| !code.starts_with('#')) else {
            continue;
        };
        let value = value.trim();
        if !key.starts_with(' ') {
            group = key.to_owned();
            let headed = bootstrap.to_lowercase().contains(&format!("### {group}\n"));
            assert!(
                headed || bootstrap.contains(&format!("`{group}")),
                "{CONFIGURATION} says nothing of {group}"
            );
        } else if group == "timeouts" || group == "limits" {
            let key = key.trim();
            let rows = [format!("\n| `{key}` | {value} |"), format!("\n| `{key}` † | {value} |")];
            assert!(
                rows.iter().any(|row| bootstrap.contains(row)),
                "{CONFIGURATION} has no row for {group}.{key} with the default {value}"
            );
        } else if group == "admin" {
            let key = format!("`admin.{}`", key.trim());
            assert!(bootstrap.contains(&key), "{CONFIGURATION} says nothing of {key}");
        }
    }
}

#[test]
fn resources_are_documented_key_by_key() {
    let text = read(CONFIGURATION);
    let everywhere = section(&text, "## Resources").expect("its section");
    let common = everywhere.split("\n### ").next().unwrap_or_default();
    for kind in [
        Kind::Route,
        Kind::Service,
        Kind::Upstream,
        Kind::Consumer,
        Kind::ConsumerGroup,
        Kind::PluginConfig,
        Kind::GlobalRule,
        Kind::PluginMetadata,
        Kind::Ssl,
    ] {
        let heading = format!("### {}", kind.plural());
        let section = section(&text, &heading)
            .unwrap_or_else(|| panic!("{CONFIGURATION} has no section {heading}"));
        for key in properties(schema(kind).value()) {
            let named = format!("`{key}`");
            assert!(
                section.contains(&named) || common.contains(&named),
                "{CONFIGURATION}, {heading} says nothing of {key}"
            );
        }
    }
}

#[test]
fn plugins_are_documented_key_by_key() {
    let text = read(PLUGINS);
    for kind in REGISTRY.kinds() {
        let name = kind.name();
        let section = section(&text, &format!("## {name}"))
            .unwrap_or_else(|| panic!("{PLUGINS} has no section `## {name}`"));
        let priority = format!("Priority {}", kind.priority());
        assert!(section.contains(&priority), "{PLUGINS}, {name}: expected `{priority}`");
        let schemas = kind.schemas();
        for key in properties(&schemas.conf) {
            assert!(section.contains(&format!("`{key}`")), "{PLUGINS}, {name}: nothing of {key}");
        }
    }
    if REGISTRY.kinds().is_empty() {
        return;
    }
    for heading in text.lines().filter_map(|line| line.strip_prefix("## ")) {
        assert!(REGISTRY.get(heading).is_some(), "{PLUGINS} has a section for {heading}");
    }
}
