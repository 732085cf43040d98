//! The Admin API's own settings.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net};

use super::{address, is_off, network, place};
use crate::config::fields::Fields;

/// The Admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its key is; made on the first start.
    pub key_file: PathBuf,
    /// Further keys.
    pub keys: Vec<AdminKey>,
    /// Who may connect.
    pub allow: Vec<IpNet>,
    /// `Access-Control-Allow-Origin` of the Admin API; `None`: browsers elsewhere get nothing.
    pub allow_origin: Option<String>,
    /// TLS; `None`: plain.
    pub tls: Option<AdminTls>,
}

/// A further key.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminKey {
    /// Who uses it, for logs.
    pub name: String,
    /// The secret.
    pub key: String,
    /// What it may do.
    pub role: Role,
}

impl std::fmt::Debug for AdminKey {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("AdminKey");
        shown.field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Reading.
    Viewer,
}

/// The Admin API's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTls {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Clients must show a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        let loopback = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        Admin {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9180)),
            key_file: PathBuf::from("data/admin.key"),
            keys: Vec::new(),
            allow: vec![loopback.into(), IpNet::from(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST))],
            allow_origin: None,
            tls: None,
        }
    }
}

pub(super) fn read(fields: &mut Fields<'_>, folder: &Path) -> Option<Admin> {
    if is_off(fields, "admin") {
        return None;
    }
    let defaults = Admin::default();
    Some(fields.section("admin", |fields| {
        Admin {
            address: fields.parsed("address", address).unwrap_or(defaults.address),
            key_file: fields
                .text("key_file")
                .map_or_else(|| folder.join(&defaults.key_file), |path| place(folder, &path)),
            keys: read_keys(fields),
            allow: fields.list("allow", network).unwrap_or(defaults.allow),
            allow_origin: fields.parsed("allow_origin", origin),
            tls: read_tls(fields, folder),
        }
    }))
}

/// `*`, or an origin such as `https://dashboard.example.com`.
fn origin(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let fits =
        |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    match text == "*" || host.is_some_and(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!("expected * or an origin such as https://a.example.com, got {text}")),
    }
}

fn read_keys(fields: &mut Fields<'_>) -> Vec<AdminKey> {
    let mut keys: Vec<AdminKey> = Vec::new();
    for (pointer, item) in fields.items("keys").unwrap_or_default() {
        let mut one = Fields::new(fields.document, fields.problems, Some(item), pointer);
        let (name, key) = (one.text("name"), one.text("key"));
        let role = one.word("role", &[("admin", Role::Admin), ("viewer", Role::Viewer)]);
        for (field, missing) in
            [("name", name.is_none()), ("key", key.is_none()), ("role", one.get("role").is_none())]
        {
            if missing {
                one.fail(field, "missing");
            }
        }
        if key.as_ref().is_some_and(String::is_empty) {
            one.fail("key", "must not be empty");
        }
        if key.is_some() && keys.iter().any(|other| Some(&other.key) == key.as_ref()) {
            one.fail("key", "another entry has the same key");
        }
        one.done();
        if let (Some(name), Some(key), Some(role)) = (name, key, role) {
            keys.push(AdminKey { name, key, role });
        }
    }
    keys
}

fn read_tls(fields: &mut Fields<'_>, folder: &Path) -> Option<AdminTls> {
    fields.get("tls")?;
    fields.section("tls", |fields| {
        let mut path = |key| fields.text(key).map(|path| place(folder, &path));
        let (cert, key, client_ca) = (path("cert"), path("key"), path("client_ca"));
        for (field, missing) in [("cert", cert.is_none()), ("key", key.is_none())] {
            if missing {
                fields.fail(field, "missing");
            }
        }
        Some(AdminTls { cert: cert?, key: key?, client_ca })
    })
}
