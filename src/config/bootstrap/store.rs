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
    Etcd(Etcd),
    /// Whole configurations put through `/apisix/admin/configs`.
    Api,
}

/// etcd, and how it is met.
#[derive(Clone, PartialEq, Eq)]
pub struct Etcd {
    /// Its members: `http://host:port` or `https://host:port`.
    pub endpoints: Vec<String>,
    /// What keys begin with.
    pub prefix: String,
    /// A name and a password, where etcd asks for them.
    pub user: Option<(String, String)>,
    /// The certificates that members must come from, PEM; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// What members are shown: a certificate and its key, PEM.
    pub shown: Option<(PathBuf, PathBuf)>,
    /// Whether members must prove their names.
    pub verify: bool,
    /// The name that they must prove; `None`: the host of their address.
    pub sni: Option<String>,
}

impl Default for Etcd {
    fn default() -> Self {
        Etcd {
            endpoints: Vec::new(),
            prefix: "/apisix".into(),
            user: None,
            ca: None,
            shown: None,
            verify: true,
            sni: None,
        }
    }
}

impl std::fmt::Debug for Etcd {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        f.debug_struct("Etcd")
            .field("endpoints", &self.endpoints)
            .field("prefix", &self.prefix)
            .field("user", &user)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// As it stands in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Store::Embedded { .. } => "embedded",
            Store::File { .. } => "file",
            Store::Etcd(_) => "etcd",
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
        let (user, password) = (fields.text("user"), fields.text("password"));
        let has_tls = fields.get("tls").is_some();
        let mut etcd = Etcd::default();
        if has_tls {
            read_tls(fields, folder, &mut etcd);
        }
        let has_path = matches!(kind, "file" | "embedded");
        for (key, given, fits) in [
            ("path", path.is_some(), has_path),
            ("endpoints", endpoints.is_some(), kind == "etcd"),
            ("prefix", prefix.is_some(), kind == "etcd"),
            ("user", user.is_some(), kind == "etcd"),
            ("password", password.is_some(), kind == "etcd"),
            ("tls", has_tls, kind == "etcd"),
        ] {
            if given && !fits {
                fields.fail(key, format!("not for a store of kind {kind}"));
            }
        }
        if kind == "etcd" && endpoints.as_ref().is_none_or(Vec::is_empty) {
            fields.fail("endpoints", "missing");
        }
        if kind == "etcd" && user.is_some() != password.is_some() {
            fields.fail(if user.is_some() { "password" } else { "user" }, "missing");
        }
        let is_tls = |endpoint: &String| endpoint.starts_with("https://");
        if has_tls && endpoints.as_ref().is_some_and(|list| !list.iter().any(is_tls)) {
            fields.fail("tls", "none of the endpoints begins with https://");
        }
        let or =
            |path: Option<String>, default: &str| place(folder, path.as_deref().unwrap_or(default));
        match kind {
            "file" => Store::File { path: or(path, "apisix.yaml") },
            "etcd" => Store::Etcd(Etcd {
                endpoints: endpoints.unwrap_or_default(),
                prefix: prefix.unwrap_or(etcd.prefix),
                user: user.zip(password),
                ..etcd
            }),
            "api" => Store::Api,
            _ => Store::Embedded { path: or(path, "data") },
        }
    })
}

fn read_tls(fields: &mut Fields<'_>, folder: &Path, etcd: &mut Etcd) {
    fields.section("tls", |fields| {
        let mut path = |key| fields.text(key).map(|path| place(folder, &path));
        let (ca, cert, key) = (path("ca"), path("cert"), path("key"));
        if cert.is_some() != key.is_some() {
            fields.fail(if cert.is_some() { "key" } else { "cert" }, "missing");
        }
        etcd.ca = ca;
        etcd.shown = cert.zip(key);
        etcd.verify = fields.bool("verify").unwrap_or(true);
        etcd.sni = fields.text("sni");
    });
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
