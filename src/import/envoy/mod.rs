//! Envoy's bootstrap files, as far as they are static: HTTP connection managers with their route
//! configuration, and clusters.
//!
//! | Envoy | here |
//! |---|---|
//! | virtual host, route | route; hosts are the domains |
//! | `weighted_clusters` | one upstream of all their nodes, where they are alike |
//! | cluster | upstream |
//! | `direct_response`, `redirect` | `fault-injection`, `redirect` |
//!
//! Envoy takes the first route that matches, in the order of the file; here the more specific URI
//! comes first. Where that is another one, it is told.

mod cluster;
mod route;

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::draft::Draft;
use super::object::Object;
use super::precedence::{self, Ranked};
use super::{Source, plain_variable};
use crate::config::Problem;

pub(super) const SOURCE: Source = Source {
    name: "envoy",
    title: "Imported from Envoy's bootstrap configuration",
    toml: false,
    read,
    variable: plain_variable,
};

/// The file while it is read.
struct Reader<'a> {
    draft: &'a Draft<'a>,
    clusters: BTreeMap<String, Object<'a>>,
    /// The ids of upstreams by what they were made of.
    written: RefCell<BTreeMap<String, String>>,
    ranks: RefCell<Vec<Ranked>>,
}

fn read(draft: &Draft<'_>) -> Result<(), Problem> {
    let root = Object::new(draft, &draft.document.value, String::new())
        .ok_or_else(|| draft.problem("", "expected a mapping with static_resources"))?;
    if !root.has("static_resources") {
        return Err(draft.problem("", "this is no bootstrap file of Envoy's: no static_resources"));
    }
    root.ignore(&["node", "admin", "stats_config", "layered_runtime", "overload_manager"]);
    root.without(&["dynamic_resources"], "what is discovered is not in the file");
    let Some(resources) = root.object("static_resources") else { return Ok(()) };
    let mut clusters = BTreeMap::new();
    for cluster in resources.objects("clusters") {
        match cluster.text("name") {
            Some(name) => _ = clusters.insert(name, cluster),
            None => cluster.lose_whole("has no name"),
        }
    }
    let reader = Reader { draft, clusters, written: RefCell::default(), ranks: RefCell::default() };
    for listener in resources.objects("listeners") {
        self::listener(&reader, &listener);
    }
    // A cluster that no route names may be the gateway's own (telemetry): it has no place here.
    for (name, cluster) in &reader.clusters {
        match reader.written.borrow().contains_key(name) {
            true => {}
            false => cluster.lose_whole(format!("no route names cluster {name}")),
        }
    }
    precedence::contradictions(draft, &reader.ranks.borrow());
    Ok(())
}

fn listener<'a>(reader: &Reader<'a>, listener: &Object<'a>) {
    listener.ignore(&[
        "name",
        "per_connection_buffer_limit_bytes",
        "access_log",
        "traffic_direction",
    ]);
    let port = listener
        .object("address")
        .and_then(|address| address.object("socket_address"))
        .inspect(|socket| socket.ignore(&["address", "protocol"]))
        .and_then(|socket| socket.number("port_value"))
        .and_then(|port| u16::try_from(port).ok());
    listener.without(
        &[
            "listener_filters",
            "socket_options",
            "use_original_dst",
            "reuse_port",
            "udp_listener_config",
        ],
        "listeners stand in the bootstrap file",
    );
    for chain in listener.objects("filter_chains") {
        chain.ignore(&["name"]);
        chain
            .without(&["filter_chain_match"], "the route holds on all connections of the listener");
        chain.without(&["transport_socket"], "TLS is the listener's, its certificates are ssls");
        for filter in chain.objects("filters") {
            let name = filter.text("name").unwrap_or_default();
            let Some(conf) = filter.object("typed_config") else { continue };
            if conf.text("@type").is_none_or(|kind| !kind.ends_with(".HttpConnectionManager")) {
                conf.forget();
                filter.lose_whole(format!("{name} has no equivalent"));
                continue;
            }
            connection_manager(reader, &conf, port);
        }
    }
}

fn connection_manager<'a>(reader: &Reader<'a>, manager: &Object<'a>, port: Option<u16>) {
    manager.ignore(&[
        "stat_prefix",
        "codec_type",
        "access_log",
        "tracing",
        "generate_request_id",
        "server_name",
        "normalize_path",
        "merge_slashes",
        "path_with_escaped_slashes_action",
        "upgrade_configs",
        "common_http_protocol_options",
        "http_protocol_options",
        "http2_protocol_options",
        "stream_idle_timeout",
        "request_timeout",
        "request_headers_timeout",
        "drain_timeout",
    ]);
    manager.without(
        &["use_remote_address", "xff_num_trusted_hops", "original_ip_detection_extensions"],
        "who the client is, `trusted_addresses` of the bootstrap file says",
    );
    manager.without(&["rds", "scoped_routes"], "what is discovered is not in the file");
    // A filter of the chain may keep requests out.
    let mut lost = None;
    for filter in manager.objects("http_filters") {
        let name = filter.text("name").unwrap_or_default();
        let harmless =
            ["router", "cors", "grpc_web", "compressor", "health_check", "buffer", "grpc_stats"];
        let short = name.rsplit('.').next().unwrap_or_default().to_owned();
        match &*short {
            "router" => filter.forget(),
            _ => {
                filter.lose_whole(format!("{name} has no equivalent"));
                if !harmless.contains(&&*short) {
                    lost.get_or_insert(name);
                }
            }
        }
    }
    if let Some(config) = manager.object("route_config") {
        route::read(reader, &config, port, lost.as_deref());
    }
}
