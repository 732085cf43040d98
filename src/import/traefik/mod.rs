//! Traefik's dynamic files, YAML or TOML.
//!
//! | Traefik | here |
//! |---|---|
//! | router | a route; several where its rule has alternatives that one cannot say |
//! | service `loadBalancer` | upstream; `weighted` and `failover` of such: one upstream of all nodes |
//! | service `mirroring` | its main service, and `proxy-mirror` |
//! | middleware | the plugin of that meaning, on each route that names it |
//! | `tls.certificates` | ssl, by the names in the certificate |
//! | TCP and UDP routers | stream routes |

mod conditions;
mod middleware;
mod router;
mod rule;
mod service;
mod stream;
mod tls;

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::draft::Draft;
use super::object::Object;
use super::{Source, plain_variable};
use crate::config::Problem;

pub(super) const SOURCE: Source = Source {
    name: "traefik",
    title: "Imported from Traefik's dynamic configuration",
    toml: true,
    read,
    variable: plain_variable,
};

/// The file while it is read.
struct Reader<'a> {
    draft: &'a Draft<'a>,
    services: BTreeMap<&'a str, Object<'a>>,
    middlewares: BTreeMap<&'a str, Object<'a>>,
    transports: BTreeMap<&'a str, Object<'a>>,
    /// Ports of entry points, where the file says them.
    entry_points: BTreeMap<String, u16>,
    /// The ids of upstreams by the names of their services.
    written: RefCell<BTreeMap<String, String>>,
}

fn read(draft: &Draft<'_>) -> Result<(), Problem> {
    let root = Object::new(draft, &draft.document.value, String::new())
        .ok_or_else(|| draft.problem("", "expected a mapping with http, tcp, udp or tls"))?;
    if !["http", "tcp", "udp", "tls"].iter().any(|key| root.has(key)) {
        let reason = "this is no dynamic file of Traefik's: no http, tcp, udp or tls";
        return Err(draft.problem("", reason));
    }
    let http = root.object("http").unwrap_or_else(|| Object::empty(draft, "/http".into()));
    let mut reader = Reader {
        draft,
        services: http.named("services").into_iter().collect(),
        middlewares: http.named("middlewares").into_iter().collect(),
        transports: http.named("serversTransports").into_iter().collect(),
        entry_points: BTreeMap::new(),
        written: RefCell::default(),
    };
    for (name, point) in root.named("entryPoints") {
        if let Some(address) = point.text("address") {
            let port = address.trim_end_matches("/udp").trim_end_matches("/tcp");
            let port = port.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            if let Some(port) = port {
                reader.entry_points.insert(name.to_owned(), port);
            }
        }
    }
    router::read(&reader, &http);
    if let Some(tls) = root.object("tls") {
        tls::read(draft, &tls);
    }
    for kind in ["tcp", "udp"] {
        if let Some(section) = root.object(kind) {
            stream::read(&reader, kind, &section);
        }
    }
    reader.unused();
    Ok(())
}

/// A name without its provider (`name@file`).
fn bare(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

impl Reader<'_> {
    /// What nobody names has no effect in Traefik either, and its keys are not told.
    fn unused(&self) {
        for objects in [&self.services, &self.middlewares, &self.transports] {
            objects.values().for_each(|object| object.forget());
        }
    }
}
