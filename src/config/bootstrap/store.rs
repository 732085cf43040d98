//! `store`: where resources come from.

use std::path::{Path, PathBuf};

use super::place;
use crate::config::fields::Fields;

/// Where resources come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// A folder that the gateway keeps itself.
    Embedded {
        /// The folder.
        path: PathBuf,
    },
    /// A resource file, read again when it changes.
    File {
        /// The file.
        path: PathBuf,
    },
    /// etcd, shared with other nodes.
    Etcd {
        /// Its members.
        endpoints: Vec<String>,
        /// What keys begin with.
        prefix: String,
    },
    /// Whole configurations put through `/apisix/admin/configs`.
    Api,
}

impl Store {
    /// As it stands in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Store::Embedded { .. } => "embedded",
            Store::File { .. } => "file",
            Store::Etcd { .. } => "etcd",
            Store::Api => "api",
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Store::Embedded { path: PathBuf::from("data") }
    }
}

pub(super) fn read(fields: &mut Fields<'_>, folder: &Path) -> Store {
    fields.section("store", |fields| {
        let kinds = ["embedded", "file", "etcd", "api"].map(|kind| (kind, kind));
        let kind = fields.word("kind", &kinds).unwrap_or("embedded");
        let path = fields.text("path");
        let endpoints = fields.list("endpoints", endpoint);
        let prefix = fields.text("prefix");
        let has_path = matches!(kind, "file" | "embedded");
        for (key, given, fits) in [
            ("path", path.is_some(), has_path),
            ("endpoints", endpoints.is_some(), kind == "etcd"),
            ("prefix", prefix.is_some(), kind == "etcd"),
        ] {
            if given && !fits {
                fields.fail(key, format!("not for a store of kind {kind}"));
            }
        }
        if kind == "etcd" && endpoints.as_ref().is_none_or(Vec::is_empty) {
            fields.fail("endpoints", "missing");
        }
        let or =
            |path: Option<String>, default: &str| place(folder, path.as_deref().unwrap_or(default));
        match kind {
            "file" => Store::File { path: or(path, "apisix.yaml") },
            "etcd" => Store::Etcd {
                endpoints: endpoints.unwrap_or_default(),
                prefix: prefix.unwrap_or_else(|| "/apisix".into()),
            },
            "api" => Store::Api,
            _ => Store::Embedded { path: or(path, "data") },
        }
    })
}

/// The history of accepted changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The folder that it is kept in; the embedded store keeps it with its resources.
    pub path: PathBuf,
    /// Revisions that are kept; the oldest go first.
    pub keep: usize,
}

impl Default for History {
    fn default() -> Self {
        History { path: PathBuf::from("data"), keep: 10_000 }
    }
}

pub(super) fn read_history(fields: &mut Fields<'_>, folder: &Path) -> History {
    fields.section("history", |fields| {
        let mut history = History::default();
        let path = fields.text("path");
        history.path = match path {
            Some(path) => place(folder, &path),
            None => place(folder, "data"),
        };
        fields.count("keep", &mut history.keep, 1, 10_000_000);
        history
    })
}

fn endpoint(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(text.to_string()),
        _ => Err(format!("expected an address such as http://127.0.0.1:2379, got {text}")),
    }
}
