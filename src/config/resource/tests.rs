//! What is told of single resources, in APISIX's words.

use super::*;
use crate::config::entries::Entry;
use crate::plugin::field_checks;
use crate::plugins::REGISTRY;
use serde_json::json;
use std::sync::Arc;

fn told(path: &str, value: Value) -> String {
    let checks = Checks { plugins: &REGISTRY, fields: &field_checks() };
    check(&Key::of_path(path).unwrap(), &value, &checks).err().unwrap_or_default()
}

#[test]
fn in_the_words_of_apisix() {
    let nodes = json!({"127.0.0.1:80": 1});
    for (path, value, expected) in [
        ("routes/1", json!({"uri": "/a", "upstream": {"type": "roundrobin", "nodes": nodes}}), ""),
        ("routes/1", json!({"id": "2", "uri": "/a", "plugins": {}}), "wrong route id"),
        (
            "routes/1",
            json!({"uri": 5}),
            "invalid configuration: property \"uri\" validation failed: wrong type: expected \
             string, got number",
        ),
        (
            "routes/1",
            json!({"uri": "/", "zzz": 1}),
            "invalid configuration: additional properties forbidden, found zzz",
        ),
        ("routes/1", json!({"uri": "/", "plugins": {"x": {}}}), "unknown plugin [x]"),
        (
            "routes/1",
            json!({"uri": "/", "plugins": {"limit-count": {"count": 1, "time_window": "a"}}}),
            "failed to check the configuration of plugin limit-count err: property \
             \"time_window\" validation failed: ",
        ),
        ("consumers/bob", json!({"username": "bob", "plugins": {"key-auth": {"key": "k"}}}), ""),
        ("consumers/bob", json!({"username": "jack"}), "wrong username"),
        (
            "consumers/bob",
            json!({"username": "bob", "plugins": {"x": {}}}),
            "invalid plugins configuration: unknown plugin [x]",
        ),
        (
            "consumers/bob",
            json!({"username": "bob", "plugins": {"key-auth": {"key": 1}}}),
            "invalid plugins configuration: failed to check the configuration of plugin \
             key-auth err: property \"key\" validation failed: wrong type: expected string, \
             got number",
        ),
        (
            "routes/1",
            json!({"uri": "/", "plugins": {}, "vars": [["a"]]}),
            "failed to validate the 'vars' expression: ",
        ),
        ("upstreams/1", json!({"type": "chash", "nodes": nodes}), "missing key"),
        (
            "upstreams/1",
            json!({"nodes": nodes, "pass_host": "rewrite"}),
            "`upstream_host` can't be empty when `pass_host` is `rewrite`",
        ),
        (
            "upstreams/1",
            json!({"type": "chash", "key": "no", "hash_on": "cookie", "nodes": nodes}),
            "",
        ),
        (
            "upstreams/1",
            json!({"type": "chash", "key": "$a", "hash_on": "cookie", "nodes": nodes}),
            "invalid configuration: failed to match pattern \"^[a-zA-Z0-9-_]+$\" with \"$a\"",
        ),
        (
            "upstreams/1",
            json!({"type": "chash", "key": "not_support", "nodes": nodes}),
            "invalid configuration: failed to match pattern \"^((uri|server_name|server_addr|\
             request_uri|remote_port|remote_addr|query_string|host|hostname|mqtt_client_id)|\
             arg_[0-9a-zA-z_-]+)$\" with \"not_support\"",
        ),
        ("upstreams/1", json!({"nodes": {"a:65536": 1}}), "invalid port 65536"),
        ("upstreams/1", json!({"nodes": [{"host": "127.0.0.1:80", "weight": 1}]}), ""),
        (
            "upstreams/1",
            json!({"nodes": [{"host": "127.0.0.1:80", "port": 1, "weight": 1}]}),
            "invalid configuration: property \"nodes\" validation failed: failed to validate \
             item 1: property \"host\" validation failed: expected a host without a port, got \
             127.0.0.1:80",
        ),
        (
            "routes/1",
            json!({"uri": "/", "plugins": {}, "host": "a", "hosts": ["b"]}),
            "only one of host or hosts is allowed",
        ),
        (
            "routes/1",
            json!({"uri": "/", "plugins": {}, "remote_addr": "::1", "remote_addrs": ["::2"]}),
            "only one of remote_addr or remote_addrs is allowed",
        ),
        (
            "ssls/1",
            json!({"sni": "a", "cert": "$ENV://A", "key": "$env://A",
                "certs": ["https://APISIX_TEST_SSL_CERTS"], "keys": ["$ENV://A"]}),
            "invalid configuration: property \"certs\" validation failed: failed to validate \
             item 1: string too short, expected at least 128, got 29",
        ),
        ("routes/1", json!({"id": 1, "uri": "/", "plugins": {}}), ""),
        (
            "routes/0",
            json!({"id": 0, "uri": "/"}),
            "invalid configuration: property \"id\" validation failed: object matches none of \
             the required",
        ),
        ("plugin_metadata/none", json!({"id": "none"}), "invalid plugin name"),
        ("consumers/bob/credentials/1", json!({"id": "1", "plugins": {}}), ""),
    ] {
        let told = told(path, value.clone());
        match expected.ends_with(' ') {
            true => assert!(told.starts_with(expected), "{path} {value}: {told}"),
            false => assert_eq!(told, expected, "{path} {value}"),
        }
    }
}

#[test]
fn empty_tables_are_shaped_with_those_of_plugins() {
    let checks = Checks { plugins: &REGISTRY, fields: &field_checks() };
    let mut route = json!({"methods": {}, "labels": [], "plugins": {
        "key-auth": [], "response-rewrite": {"headers": [], "vars": {}},
    }});
    shape(Kind::Route, &mut route, &checks);
    assert_eq!(
        route,
        json!({"methods": [], "labels": {}, "plugins": {
            "key-auth": {}, "response-rewrite": {"headers": {}, "vars": []},
        }})
    );
    let mut ssl = json!({"cert": "$env://A", "certs": {}, "keys": {}});
    shape(Kind::Ssl, &mut ssl, &checks);
    let sentence = schema::schema(Kind::Ssl).sentence(&ssl);
    assert_eq!(sentence.as_deref(), Some("then clause did not match"));
}

#[test]
fn what_only_writes_are_refused_for() {
    let mut entries = Entries::default();
    let value = json!({"id": "1", "plugins": {"limit-count": {}, "cors": {}}});
    let entry = Entry { value, created: 1, modified: 1 };
    entries.set(&Key::of_path("global_rules/1").unwrap(), Some(Arc::new(entry)));
    let told = |path: &str, value: Value| {
        check_write(&Key::of_path(path).unwrap(), &value, &entries).err().unwrap_or_default()
    };
    let both = json!({"plugins": {"prometheus": {}, "limit-count": {}}});
    assert_eq!(told("global_rules/1", both.clone()), "");
    assert_eq!(
        told("global_rules/2", both),
        "plugin 'limit-count' already exists in global rule with id '1'"
    );
    assert_eq!(told("global_rules/2", json!({"plugins": {"prometheus": {}}})), "");
    let bracketless = json!({"nodes": [{"host": "::1", "port": 80, "weight": 1}]});
    let why = "invalid configuration: IPv6 address must be enclosed with '[' and ']'";
    assert_eq!(told("upstreams/1", bracketless.clone()), why);
    assert_eq!(told("routes/1", json!({"upstream": bracketless})), why);
    let fine = json!({"nodes": [{"host": "[::1]", "port": 80, "weight": 1}]});
    assert_eq!(told("upstreams/1", fine), "");
}

#[test]
fn references_both_ways() {
    let mut entries = Entries::default();
    let mut put = |path: &str, value: Value| {
        let entry = Entry { value, created: 1, modified: 1 };
        entries.set(&Key::of_path(path).unwrap(), Some(Arc::new(entry)));
    };
    put("upstreams/1", json!({}));
    put("services/s", json!({}));
    put("ssls/server", json!({}));
    put("ssls/client", json!({"type": "client"}));
    put("routes/2", json!({"upstream_id": 1, "service_id": "s"}));
    put("upstreams/tls", json!({"tls": {"client_cert_id": "client"}}));
    put("protos/1", json!({}));
    put("routes/calls", json!({"plugins": {"grpc-transcode": {"proto_id": 1}}}));
    let missing = |path: &str, value: Value| {
        let key = Key::of_path(path).unwrap();
        check_references(&key, &value, &entries).err().unwrap_or_default()
    };
    assert_eq!(missing("routes/3", json!({"upstream_id": "1"})), "");
    assert_eq!(
        missing("routes/3", json!({"upstream_id": 77})),
        "failed to fetch upstream info by upstream id [77], response code: 404"
    );
    assert_eq!(
        missing("upstreams/3", json!({"tls": {"client_cert_id": "server"}})),
        "failed to fetch ssl info by ssl id [server], wrong ssl type"
    );
    assert_eq!(missing("consumers/none/credentials/1", json!({})), "consumer not found");

    let user = |path: &str| in_use(&Key::of_path(path).unwrap(), &entries);
    assert_eq!(
        user("upstreams/1").as_deref(),
        Some("can not delete this upstream, route [2] is still using it now")
    );
    assert_eq!(
        user("services/s").as_deref(),
        Some("can not delete this service directly, route [2] is still using it now")
    );
    assert_eq!(
        user("ssls/client").as_deref(),
        Some("can not delete this ssl, upstream [tls] is still using it now")
    );
    assert_eq!(
        user("protos/1").as_deref(),
        Some("can not delete this proto, route [calls] is still using it now")
    );
    assert_eq!(user("ssls/server"), None);
    assert_eq!(user("routes/2"), None);
}
