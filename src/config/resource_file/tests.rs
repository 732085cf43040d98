//! Resource files: what is told of wrong ones, to the letter.

use std::sync::Arc;

use super::*;
use crate::config::checks::{FieldCheck, PluginCheck};
use crate::config::schema::Violation;

struct Known;

impl PluginCheck for Known {
    fn check(&self, name: &str, conf: &Value, scope: PluginScope) -> Result<(), Vec<Violation>> {
        match (name, scope) {
            ("limit-count", PluginScope::Http) if conf.get("count").is_none() => {
                Err(vec![(String::new(), "property \"count\" is required".into())])
            }
            ("limit-count", PluginScope::Http) if !conf["count"].is_u64() => {
                Err(vec![("/count".into(), "wrong type: expected integer, got string".into())])
            }
            ("limit-count", PluginScope::Http) | ("key-auth", PluginScope::Consumer) => Ok(()),
            ("http-logger", PluginScope::Metadata) => Ok(()),
            _ => Err(vec![(String::new(), format!("unknown plugin [{name}]"))]),
        }
    }
}

fn parse(file: &str, text: &str) -> Result<Resources, Vec<String>> {
    let vars = |value: &Value| match value[0][1].as_str() {
        Some("==") => Ok(()),
        _ => Err(vec![("/0/1".to_string(), "unknown operator".to_string())]),
    };
    let fields = [FieldCheck { kind: Kind::Route, field: "vars", check: &vars }];
    let checks = Checks { plugins: &Known, fields: &fields };
    ResourceFile::parse(file, text, &|_| None, &checks)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn the_example_is_valid() {
    let resources = parse("apisix.yaml", include_str!("../../../conf/apisix.yaml")).unwrap();
    assert_eq!(resources.routes.len(), 2);
    let api = resources.routes.get("api").unwrap();
    assert_eq!(api.priority, 10);
    let nodes = api.upstream.as_ref().unwrap().nodes.as_ref().unwrap().entries();
    assert_eq!((nodes[1].host.as_str(), nodes[1].port, nodes[1].weight), ("::1", Some(1980), 1));
    let echo = resources.upstreams.get("echo").unwrap().nodes.as_ref().unwrap().entries();
    assert_eq!((echo[0].host.as_str(), echo[0].port), ("127.0.0.1", Some(1980)));
}

#[test]
fn every_kind() {
    let pem = "x".repeat(200);
    let text = format!(
        r#"
routes:
  - uri: /a
    plugins: {{ limit-count: {{ count: 1 }} }}
    service_id: 1
  - {{ id: 7, uri: /b, upstream_id: u, plugin_config_id: p, vars: [[arg_a, "==", b]] }}
services: [{{ id: 1, upstream_id: u }}]
upstreams: [{{ id: u, nodes: {{ "[::1]:80": 1 }}, tls: {{ client_cert_id: c }} }}]
consumers:
  - {{ username: jack, group_id: g, credentials: [{{ id: a, plugins: {{ key-auth: {{ key: k }} }} }}] }}
  - {{ id: jack/credentials/c1, plugins: {{ key-auth: {{ key: l }} }} }}
consumer_groups: [{{ id: g, plugins: {{}} }}]
plugin_configs: [{{ id: p, plugins: {{}} }}]
global_rules: [{{ id: 1, plugins: {{}} }}]
ssls:
  - {{ id: c, type: client, cert: {pem}, key: {pem} }}
stream_routes: [{{ server_port: 9100, upstream_id: u }}]
protos: [{{ id: 1, content: x }}]
plugin_metadata: [{{ id: http-logger, log_format: {{ a: b }} }}]
secrets: [{{ id: vault/1, uri: "http://a", prefix: p, token: t }}]
#END
"#
    );
    let resources = parse("a.yaml", &text).unwrap();
    let ids: Vec<_> = resources.routes.iter().map(|entry| (&*entry.id, entry.line)).collect();
    assert_eq!(ids, [("arr_1", 3), ("7", 6)]);
    let jack = resources.consumers.get("jack").unwrap();
    assert_eq!(jack.credentials.len(), 2);
    assert_eq!(resources.ssls.get("c").unwrap().kind, SslType::Client);
    assert_eq!(resources.plugin_metadata.get("http-logger").unwrap().conf.len(), 1);
    assert!(resources.secrets.get("vault/1").is_some());
    assert!(resources.stream_routes.get("arr_1").is_some());
}

#[test]
fn all_problems_are_told() {
    let text = r#"routes:
  - id: 1
    uri: 5
    upstrem_id: 1
  - id: 2
    uri: /a
    upstream_id: 77
    plugins:
      limit-count: { count: x }
      nonsense: {}
  - id: 2
    uri: /b
    service_id: s
  - uris: []
    plugin_config_id: pc
  - id: 5
    uri: /c
    vars: [[a, "=", b]]
    upstream:
      type: chash
      pass_host: rewrite
      nodes:
        "a:70000": 1
        "a b:1": 2
  - hello
  - id: 6
    uri: /d
    upstream: { nodes: [{ host: "a:80", weight: -1 }] }
  - id: 7
    uri: /e
    upstream: { nodes: { "a:80": 99999999999 }, tls: { client_cert_id: none } }
upstream:
  - {}
services: {}
consumers:
  - { username: jack, group_id: g, plugins: { limit-count: {} } }
  - { id: joe/credentials/x, plugins: { key-auth: {} } }
secrets:
  - { id: vault/1, uri: nowhere }
  - { id: 5 }
plugins: []
#END
"#;
    // Ten pairs, spelled out by the schema's own tests.
    let told: Vec<String> = parse("a.yaml", text)
        .unwrap_err()
        .into_iter()
        .map(|line| line.split(": [\"plugins\"").next().unwrap_or_default().to_string())
        .collect();
    assert_eq!(
        told,
        [
            "a.yaml:2: routes[0]: object matches none of the required",
            "a.yaml:3: routes[0].uri: wrong type: expected string, got number",
            "a.yaml:4: routes[0].upstrem_id: additional properties forbidden, found upstrem_id",
            "a.yaml:7: routes[1].upstream_id: failed to fetch upstream info by upstream id [77], \
             response code: 404",
            "a.yaml:9: routes[1].plugins.limit-count.count: wrong type: expected integer, got \
             string",
            "a.yaml:10: routes[1].plugins.nonsense: unknown plugin [nonsense]",
            "a.yaml:11: routes[2].id: duplicate route [2], it is routes[1] too (line 5)",
            "a.yaml:13: routes[2].service_id: failed to fetch service info by service id [s], \
             response code: 404",
            "a.yaml:14: routes[3].uris: expect array to have at least 1 items",
            "a.yaml:14: routes[3]: object matches none of the required",
            "a.yaml:15: routes[3].plugin_config_id: failed to fetch plugin config info by plugin \
             config id [pc], response code: 404",
            "a.yaml:18: routes[4].vars[0][1]: unknown operator",
            "a.yaml:19: routes[4].upstream.key: missing key",
            "a.yaml:21: routes[4].upstream.pass_host: `upstream_host` can't be empty when \
             `pass_host` is `rewrite`",
            "a.yaml:23: routes[4].upstream.nodes[\"a:70000\"]: invalid port 70000",
            "a.yaml:24: routes[4].upstream.nodes[\"a b:1\"]: expected host:port such as \
             127.0.0.1:80 or [::1]:80, got a b:1",
            "a.yaml:25: routes[5]: wrong type: expected object, got string",
            "a.yaml:28: routes[6].upstream.nodes[0].weight: expected -1 to be at least 0",
            "a.yaml:31: routes[7].upstream.nodes[\"a:80\"]: expected 99999999999 to be at most \
             4294967295",
            "a.yaml:31: routes[7].upstream.tls.client_cert_id: failed to fetch ssl info by ssl id \
             [none], response code: 404",
            "a.yaml:32: upstream: unknown key, did you mean `upstreams`?",
            "a.yaml:34: services: expected a list",
            "a.yaml:36: consumers[0].plugins.limit-count: unknown plugin [limit-count]",
            "a.yaml:36: consumers[0].group_id: failed to fetch consumer group info by consumer \
             group id [g], response code: 404",
            "a.yaml:37: consumers[1].id: consumer not found",
            "a.yaml:39: secrets[0]: property \"prefix\" is required",
            "a.yaml:39: secrets[0]: property \"token\" is required",
            "a.yaml:39: secrets[0].uri: failed to match pattern \
             \"^[^\\\\/]+:\\\\/\\\\/([\\\\da-zA-Z.-]+|\\\\[[\\\\da-fA-F:]+\\\\])(:\\\\d+)?\" with \
             \"nowhere\"",
            "a.yaml:40: secrets[1].id: wrong type: expected string, got number",
            "a.yaml:41: plugins: plugins are enabled in the bootstrap file (`plugins`)",
        ]
    );
}

#[test]
fn half_written_files_are_not_taken() {
    let incomplete = "the last line is not #END: the file is not complete";
    for (file, text, problem) in [
        ("a.yaml", "routes: []\n", Some("a.yaml:1: ")),
        ("a.yaml", "", Some("a.yaml:1: ")),
        ("a.yaml", "routes: []\n#END\n# more\n", Some("a.yaml:3: ")),
        ("a.yaml", "routes: []\n #END", Some("a.yaml:2: ")),
        ("a.yaml", "routes: []\n#END", None),
        ("a.yaml", "#END\r\n\n", None),
        ("a.json", "{}", None),
    ] {
        let told = parse(file, text).map(|_| ());
        let expected = problem.map_or(Ok(()), |at| Err(vec![format!("{at}{incomplete}")]));
        assert_eq!(told, expected, "{text:?}");
    }
}

#[test]
fn a_changed_file_keeps_what_it_did_not_touch() {
    let text = "routes:\n  - {id: 1, uri: /a, plugins: {}}\n  - {id: 2, uri: /b, plugins: {}}\n\
                upstreams:\n  - {id: u, nodes: {\"a:80\": 1}}\n#END";
    let old = parse("a.yaml", text).unwrap();
    let mut same = parse("a.yaml", &format!("# a comment\n{text}")).unwrap();
    assert_eq!(same.diff(&old), []);
    let mut new = parse("a.yaml", &text.replace("uri: /b", "uri: /c")).unwrap();
    let changes = new.diff(&old);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].0, &changes[0].1.changed), (Kind::Route, &vec![Arc::from("2")]));
    assert!(Arc::ptr_eq(old.routes.get("1").unwrap(), new.routes.get("1").unwrap()));
    assert!(Arc::ptr_eq(old.upstreams.get("u").unwrap(), new.upstreams.get("u").unwrap()));
    assert!(!Arc::ptr_eq(old.routes.get("2").unwrap(), new.routes.get("2").unwrap()));
}

/// YAML's null is an empty table to APISIX, JSON's is not.
#[test]
fn plugins_without_a_configuration() {
    let text = "consumers:\n- username: jack\n  plugins:\n    key-auth:\n  credentials:\n  \
                - id: c\n    plugins:\n      key-auth: ~\n\
                - id: jack/credentials/d\n  plugins: { key-auth: null }\n#END\n";
    let resources = parse("a.yaml", text).unwrap();
    let jack = resources.consumers.get("jack").unwrap();
    assert_eq!(jack.plugins["key-auth"], serde_json::json!({}));
    assert_eq!(jack.credentials.len(), 2);
    for credential in &jack.credentials {
        assert_eq!(credential.plugins["key-auth"], serde_json::json!({}));
    }
    let json = r#"{"consumers": [{"username": "jack", "plugins": {"key-auth": null}}]}"#;
    assert_eq!(
        parse("a.json", json).unwrap().consumers.get("jack").unwrap().plugins["key-auth"],
        Value::Null,
        "which the plugin's own check refuses"
    );
}

#[test]
fn empty_tables_are_what_they_should_be() {
    let text = "routes:\n- uri: /a\n  methods: {}\n  labels: []\n  plugins: []\n  \
                upstream: { nodes: [], labels: [] }\n#END\n";
    let resources = parse("a.yaml", text).unwrap();
    let route = resources.routes.get("arr_1").unwrap();
    assert_eq!(route.methods.as_deref(), Some(&[][..]));
    assert!(route.labels.as_ref().unwrap().is_empty() && route.plugins.is_empty());
    let wrong = parse("a.yaml", "ssls:\n- { sni: a, client: [] }\n#END\n").unwrap_err();
    assert!(
        wrong.contains(&"a.yaml:2: ssls[0].client: property \"ca\" is required".to_owned()),
        "{wrong:?}"
    );
}
