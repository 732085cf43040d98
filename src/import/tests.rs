//! Any text: never a panic, and whatever is written passes its check.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{SOURCES, Source};
use crate::config::plan::{Compiler, Ingredients, located};
use crate::config::{Checks, Problems, ResourceFile, Resources};
use crate::plugin::field_checks;
use crate::plugins::REGISTRY;

fn verify(text: &str) -> Result<(), Problems> {
    let checks = Checks { plugins: &REGISTRY, fields: &field_checks() };
    let mut resources = ResourceFile::parse("imported.yaml", text, &|_| None, &checks)?;
    let changes = resources.diff(&Resources::default());
    let mut compiler = Compiler::new(Ingredients {
        plugins: REGISTRY.clone(),
        limits: std::sync::Arc::default(),
        buffered_body: 1024,
        attributes: Map::new(),
        tls: crate::tls::TlsSettings::default(),
    });
    let compiled = compiler.apply(resources.clone(), &changes);
    compiled.map(drop).map_err(|errors| located(&"imported.yaml".into(), &resources, errors))
}

fn convert(source: &Source, file: &str, text: &str) -> Result<super::Imported, Problems> {
    source.convert(file, text, &|_| None, &REGISTRY, &verify)
}

/// What the sources' files are made of.
const KEYS: [&str; 152] = [
    "services",
    "routes",
    "upstreams",
    "consumers",
    "consumer_groups",
    "certificates",
    "plugins",
    "targets",
    "snis",
    "name",
    "id",
    "host",
    "hosts",
    "port",
    "protocol",
    "protocols",
    "path",
    "paths",
    "url",
    "methods",
    "headers",
    "strip_path",
    "preserve_host",
    "regex_priority",
    "config",
    "service",
    "route",
    "consumer",
    "enabled",
    "tags",
    "target",
    "weight",
    "algorithm",
    "hash_on",
    "hash_on_header",
    "healthchecks",
    "active",
    "passive",
    "healthy",
    "unhealthy",
    "interval",
    "successes",
    "http_statuses",
    "http_failures",
    "username",
    "custom_id",
    "acls",
    "group",
    "groups",
    "keyauth_credentials",
    "key",
    "cert",
    "minute",
    "second",
    "limit_by",
    "allow",
    "deny",
    "origins",
    "credentials",
    "add",
    "remove",
    "replace",
    "append",
    "sources",
    "destinations",
    "ip",
    "retries",
    "connect_timeout",
    "http",
    "tcp",
    "udp",
    "tls",
    "routers",
    "middlewares",
    "rule",
    "entryPoints",
    "priority",
    "loadBalancer",
    "servers",
    "weighted",
    "failover",
    "fallback",
    "mirroring",
    "mirrors",
    "percent",
    "healthCheck",
    "passHostHeader",
    "stripPrefix",
    "prefixes",
    "addPrefix",
    "prefix",
    "replacePathRegex",
    "regex",
    "replacement",
    "chain",
    "rateLimit",
    "average",
    "burst",
    "period",
    "ipAllowList",
    "sourceRange",
    "basicAuth",
    "users",
    "customRequestHeaders",
    "redirectScheme",
    "scheme",
    "serversTransport",
    "address",
    "static_resources",
    "listeners",
    "filter_chains",
    "filters",
    "typed_config",
    "@type",
    "route_config",
    "virtual_hosts",
    "domains",
    "match",
    "safe_regex",
    "cluster",
    "clusters",
    "weighted_clusters",
    "load_assignment",
    "endpoints",
    "lb_endpoints",
    "endpoint",
    "socket_address",
    "port_value",
    "lb_policy",
    "timeout",
    "prefix_rewrite",
    "health_checks",
    "uri",
    "uris",
    "upstream",
    "upstream_id",
    "service_id",
    "nodes",
    "type",
    "vars",
    "filter_func",
    "script",
    "status",
    "global_rules",
    "plugin_configs",
    "ssls",
    "stream_routes",
    "plugin_metadata",
    "protos",
    "secrets",
    "_meta",
    "disable",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => proptest::sample::select(vec![
            "a", "b", "/", "/a", "~/a(\\d+)$", "~(", "http", "https", "tcp", "127.0.0.1:1", "10.0.0.0/8",
            "http://127.0.0.1:1/x", "Host(`a`)", "Host(`a`) && PathPrefix(`/b`) || !Method(`GET`)",
            "key-auth", "rate-limiting", "cors", "acl", "ip-restriction", "request-transformer",
            "consistent-hashing", "*.a.test", "a.*", "*", "GET", "X-A:b", "1m", "$host", "${1}", "3.0",
            "type.googleapis.com/envoy.HttpConnectionManager", "function(vars) return true end",
        ]).prop_map(str::to_owned),
        1 => ".{0,12}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => text().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        2 => (0..100_000i64).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f32>().prop_map(|number| json!(number)),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(7, 120, 6, |inner| {
        let key = proptest::sample::select(&KEYS[..]).prop_map(str::to_owned);
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => proptest::collection::vec((key, inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A value that is a file of each source, as far as its first look goes.
fn file() -> impl Strategy<Value = Value> {
    let entries = || proptest::collection::vec(value(), 0..4).prop_map(Value::from);
    let named = || {
        let key = proptest::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
        proptest::collection::vec((key, value()), 0..4)
            .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
    };
    (entries(), entries(), entries(), entries(), entries(), named(), named(), named()).prop_map(
        |(services, routes, upstreams, consumers, plugins, routers, by_name, middlewares)| {
            json!({
                "_format_version": "3.0", "services": services, "routes": routes,
                "upstreams": upstreams, "consumers": consumers, "plugins": plugins,
                "http": {"routers": routers, "services": by_name, "middlewares": middlewares},
                "tcp": {"routers": routers, "services": by_name},
                "static_resources": {"listeners": services, "clusters": upstreams},
            })
        },
    )
}

/// Neither a panic nor a result that its own check refuses.
fn check(source: &Source, file: &str, text: &str) -> Result<(), TestCaseError> {
    match convert(source, file, text) {
        Ok(imported) => {
            let refused = verify(&imported.text).err().map(|problems| problems.to_string());
            prop_assert_eq!(refused, None, "{}", imported.text);
        }
        Err(problems) => {
            let defect = problems.iter().find(|problem| &*problem.file == "imported.yaml");
            prop_assert!(defect.is_none(), "{}: {}", source.name, problems);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_file_becomes_one_that_passes_check(file in file()) {
        let text = file.to_string();
        for source in &SOURCES {
            check(source, "file.json", &text)?;
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "[a-z_:{}\\[\\]\n \"'`()&|!=#$~*/.0-9-]{0,200}") {
        for source in &SOURCES {
            for file in ["file.yaml", "file.json", "file.toml"] {
                check(source, file, &text)?;
            }
        }
    }
}

#[test]
fn files_of_each_source_bent_out_of_shape() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import/");
    for (source, file) in [
        ("kong", "kong.yaml"),
        ("traefik", "traefik.yaml"),
        ("envoy", "envoy.yaml"),
        ("apisix", "apisix.yaml"),
    ] {
        let source = Source::named(source).unwrap();
        let text = std::fs::read_to_string(format!("{folder}{file}")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // Each line once missing, and each once with something else behind its colon.
        for at in 0..lines.len() {
            let mut fewer = lines.clone();
            fewer.remove(at);
            check(source, file, &fewer.join("\n")).unwrap();
            if let Some((key, _)) = lines[at].split_once(": ") {
                for other in ["5", "[a, {b: c}]", "{a: {b: c}}", "\"$x ${{\""] {
                    let line = format!("{key}: {other}");
                    let mut bent = lines.clone();
                    bent[at] = &line;
                    check(source, file, &bent.join("\n")).unwrap();
                }
            }
        }
    }
}
