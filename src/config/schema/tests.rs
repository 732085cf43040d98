//! What the schemas accept, and their words.

use super::*;

fn told(kind: Kind, value: Value) -> Vec<String> {
    let violations = validate(kind, &value).into_iter();
    violations.map(|(pointer, reason)| format!("{pointer}: {reason}")).collect()
}

#[test]
fn every_schema_compiles() {
    for kind in Kind::ALL {
        assert_ne!(schema(kind).value(), &Value::Bool(false), "{kind:?}");
        assert_eq!(kind as usize, Kind::ALL.iter().position(|other| *other == kind).unwrap());
    }
    for manager in ["vault", "aws", "gcp"] {
        assert_ne!(secret_schema(manager).unwrap().value(), &Value::Bool(false));
    }
}

#[test]
fn valid_resources() {
    let nodes = json!({"127.0.0.1:80": 1});
    let pem = "x".repeat(200);
    for (kind, value) in [
        (Kind::Route, json!({"uri": "/", "upstream": {"nodes": nodes}})),
        (Kind::Route, json!({"id": 1, "uris": ["/a"], "plugins": {}, "remote_addr": "::1/64"})),
        (
            Kind::Route,
            json!({"id": "a-b_c.d", "uri": "/", "host": "*.a.b", "methods": [], "service_id": "1",
                "labels": {"a": "b"}, "vars": [["arg_a", "==", "b"]], "status": 0,
                "timeout": {"connect": 0.5, "send": 1, "read": 1}, "ringgate": {"via": false}}),
        ),
        (Kind::Service, json!({})),
        (Kind::Upstream, json!({"nodes": [{"host": "a", "weight": 0}], "scheme": "h2c"})),
        (Kind::Upstream, json!({"service_name": "a", "discovery_type": "dns"})),
        (Kind::Consumer, json!({"username": "jack-1", "plugins": {"key-auth": {"key": "k"}}})),
        (Kind::Credential, json!({"id": "jack/credentials/c1", "plugins": {"key-auth": {}}})),
        (Kind::ConsumerGroup, json!({"id": 1, "plugins": {}})),
        (Kind::PluginConfig, json!({"id": 1, "plugins": {}})),
        (Kind::GlobalRule, json!({"id": 1, "plugins": {}})),
        (Kind::Ssl, json!({"sni": "a.b", "cert": pem, "key": pem})),
        (Kind::Ssl, json!({"type": "client", "cert": pem, "key": pem})),
        (Kind::StreamRoute, json!({"server_port": 9100, "upstream": {"nodes": nodes}})),
        (Kind::Proto, json!({"content": "syntax"})),
        (Kind::PluginMetadata, json!({"id": "http-logger", "log_format": {}})),
        (Kind::Secret, json!({"id": "vault/1", "uri": "http://a"})),
    ] {
        assert_eq!(told(kind, value.clone()), Vec::<String>::new(), "{value}");
        assert_eq!(schema(kind).sentence(&value), None);
    }
}

/// Each with the sentence that APISIX answers.
#[test]
fn words() {
    let route = |more: Value| {
        let mut route = json!({"uri": "/", "plugins": {}});
        route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (Kind::Route, route)
    };
    for ((kind, value), violations, sentence) in [
        (
            route(json!({"zzz": 1, "yyy": 2})),
            &[
                "/zzz: additional properties forbidden, found zzz",
                "/yyy: additional properties forbidden, found yyy",
            ][..],
            "additional properties forbidden, found zzz",
        ),
        (
            route(json!({"uri": 5})),
            &["/uri: wrong type: expected string, got number"],
            "property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        (
            route(json!({"upstream": {"nodes": {"a:80": -1}}})),
            &["/upstream/nodes/a:80: expected -1 to be at least 0"],
            "property \"upstream\" validation failed: property \"nodes\" validation failed: \
             object matches none of the required",
        ),
        (
            route(json!({"upstream": {"nodes": {}, "retries": -1}})),
            &["/upstream/retries: expected -1 to be at least 0"],
            "property \"upstream\" validation failed: property \"retries\" validation failed: \
             expected -1 to be at least 0",
        ),
        (
            route(json!({"upstream": {"nodes": "a"}})),
            &["/upstream/nodes: object matches none of the required: a mapping of host:port to \
               weight or a list of nodes"],
            "property \"upstream\" validation failed: property \"nodes\" validation failed: \
             object matches none of the required",
        ),
        (
            route(json!({"upstream": {"type": "chash"}})),
            &["/upstream: value should match only one schema, but matches none: [\"nodes\"] or \
               [\"service_name\",\"discovery_type\"]"],
            "property \"upstream\" validation failed: value should match only one schema, but \
             matches none",
        ),
        (
            route(json!({"upstream": {"nodes": {}, "checks": {}}})),
            &["/upstream/checks: object matches none of the required: [\"active\"] or \
               [\"active\",\"passive\"]"],
            "property \"upstream\" validation failed: property \"checks\" validation failed: \
             object matches none of the required: [\"active\"] or [\"active\",\"passive\"]",
        ),
        (
            route(json!({"methods": ["GET", "FETCH"]})),
            &["/methods/1: matches none of the enum values"],
            "property \"methods\" validation failed: failed to validate item 2: matches none of \
             the enum values",
        ),
        (
            route(json!({"hosts": ["a", "a"]})),
            &["/hosts: expected unique items but items 1 and 2 are equal"],
            "property \"hosts\" validation failed: expected unique items but items 1 and 2 are \
             equal",
        ),
        (
            route(json!({"id": "a b"})),
            &[
                "/id: object matches none of the required: 1 to 64 of a-z A-Z 0-9 - _ . or a number \
               of at least 1",
            ],
            "property \"id\" validation failed: object matches none of the required",
        ),
        (
            route(json!({"host": "a/b"})),
            &[r#"/host: failed to match pattern "^\\*$|^\\*?[0-9a-zA-Z-._\\[\\]:]+$" with "a/b""#],
            r#"property "host" validation failed: failed to match pattern "^\\*$|^\\*?[0-9a-zA-Z-._\\[\\]:]+$" with "a/b""#,
        ),
        (
            route(json!({"remote_addr": "127.0.0.300"})),
            &["/remote_addr: object matches none of the required: IPv4 or IPv4/CIDR or IPv6 or \
               IPv6/CIDR"],
            "property \"remote_addr\" validation failed: object matches none of the required",
        ),
        (
            route(json!({"labels": {"a": "b c"}})),
            &[r#"/labels/a: failed to match pattern "^\\S+$" with "b c""#],
            r#"property "labels" validation failed: failed to validate a (matching ".*"): failed to match pattern "^\\S+$" with "b c""#,
        ),
        (
            route(json!({"timeout": {"connect": 0, "send": 1}})),
            &[
                "/timeout: property \"read\" is required",
                "/timeout/connect: expected 0 to be greater than 0",
            ],
            "property \"timeout\" validation failed: property \"connect\" validation failed: \
             expected 0 to be greater than 0",
        ),
        (
            route(json!({"host": "a", "hosts": ["b"]})),
            &["/: value should match only one schema, but matches both schemas 2 and 3"],
            "allOf 2 failed: value should match only one schema, but matches both schemas 2 and 3",
        ),
        (
            (Kind::Consumer, json!({"desc": "x"})),
            &[": property \"username\" is required"],
            "property \"username\" is required",
        ),
        (
            (Kind::Ssl, json!({"cert": "short", "key": 5})),
            &[
                "/cert: value should match only one schema, but matches none: PEM of 128 to 65536 \
                 characters or a reference such as $env://NAME",
                "/key: value should match only one schema, but matches none: PEM of 64 to 65536 \
                 characters or a reference such as $env://NAME",
                ": value should match only one schema, but matches none: \
                 [\"sni\",\"key\",\"cert\"] or [\"snis\",\"key\",\"cert\"]",
            ],
            "property \"cert\" validation failed: string too short, expected at least 128, got 5",
        ),
        (
            (Kind::Ssl, json!({"cert": "$env://A", "key": "$secret://v/1/k"})),
            &[": value should match only one schema, but matches none: \
               [\"sni\",\"key\",\"cert\"] or [\"snis\",\"key\",\"cert\"]"],
            "then clause did not match",
        ),
        (
            (Kind::Ssl, json!({"cert": "x".repeat(128), "key": "x".repeat(64)})),
            &[": value should match only one schema, but matches none: \
               [\"sni\",\"key\",\"cert\"] or [\"snis\",\"key\",\"cert\"]"],
            "then clause did not match",
        ),
        (
            (Kind::Upstream, json!({"nodes": {}, "tls": {"client_cert": "x".repeat(128)}})),
            &["/tls: property \"client_key\" is required"],
            "property \"tls\" validation failed: failed to validate dependent schema for \
             \"client_cert\": property \"client_key\" is required",
        ),
    ] {
        let expected: Vec<String> =
            violations.iter().map(|text| text.replacen("/: ", ": ", 1)).collect();
        assert_eq!(told(kind, value.clone()), expected, "{value}");
        assert_eq!(schema(kind).sentence(&value).as_deref(), Some(sentence), "{value}");
    }
}

#[test]
fn a_route_without_uri() {
    let value = json!({"plugins": {}});
    let told = told(Kind::Route, value.clone());
    assert_eq!(told.len(), 2);
    assert_eq!(
        told[0],
        ": value should match only one schema, but matches none: [\"uri\"] or [\"uris\"]"
    );
    assert_eq!(
        schema(Kind::Route).sentence(&value).unwrap(),
        "allOf 1 failed: value should match only one schema, but matches none"
    );
}

#[test]
fn plugins_get_meta() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}},
        "additionalProperties": false});
    let schema = Schema::compile_plugin(schema).unwrap();
    assert!(schema.is_valid(&json!({"a": 1, "_meta": {"disable": true, "priority": 5}})));
    let wrong = schema.check(&json!({"_meta": {"disable": 1}}));
    let reason = "wrong type: expected boolean, got number".to_string();
    assert_eq!(wrong, [("/_meta/disable".to_string(), reason)]);
    assert!(Schema::compile(json!({"type": "nonsense"})).is_err());
}
