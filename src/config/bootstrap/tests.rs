//! What a bootstrap file may say, and how it is told what is wrong.

use super::*;

fn parse(text: &str) -> Result<Bootstrap, Vec<String>> {
    Bootstrap::parse("r.yaml", Path::new(""), text, &|_| None)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn nothing_is_the_defaults() {
    for text in ["", "# only a comment\n", "limits:\ntimeouts: {}\n"] {
        let mut bootstrap = parse(text).unwrap();
        bootstrap.source = Source::default();
        assert_eq!(bootstrap, Bootstrap::default());
    }
}

#[test]
fn the_documented_example_is_the_defaults() {
    let text = include_str!("../../../conf/ringgate.yaml");
    let mut bootstrap = parse(text).unwrap();
    bootstrap.source = Source::default();
    assert_eq!(bootstrap, Bootstrap::default());
}

#[test]
fn the_example_shows_every_key() {
    let text = include_str!("../../../conf/ringgate.yaml");
    let document = Document::parse("r.yaml", text, &|_| None).unwrap();
    let sections = [
        ("timeouts", 13),
        ("limits", 13),
        ("admin", 4),
        ("dns", 2),
        ("access_log", 2),
        ("data_encryption", 2),
    ];
    for (section, keys) in sections {
        assert_eq!(document.value[section].as_object().map(Map::len), Some(keys), "{section}");
    }
    assert_eq!(document.value.as_object().map(Map::len), Some(18));
}

#[test]
fn everything_can_be_said() {
    let text = r#"
shards: [0, 2]
engine: epoll
listeners:
  - { address: "[::]:80" }
  - { address: "0.0.0.0:443", protocol: https, http3: true, ssl_ids: [1, b], fallback_sni: a.b }
  - { address: "0.0.0.0:443", protocol: tcp, tls: passthrough }
  - { address: "0.0.0.0:53", protocol: udp }
  - { address: "0.0.0.0:1883", protocol: mqtt, tls: terminate, proxy_protocol: { trusted: [10.0.0.0/8] } }
admin:
  address: 0.0.0.0:9180
  key_file: /run/key
  keys: [{ name: ci, key: s3cret, role: viewer }]
  allow: [10.1.2.3]
  tls: { cert: c.pem, key: k.pem }
control: off
metrics: off
store: { kind: etcd, endpoints: ["http://a:2379"] }
dns: { resolvers: [1.1.1.1, "[::1]:5353"], timeout: 500ms }
plugins: [key-auth]
plugin_attr: { prometheus: { a: 1 } }
access_log: { path: logs/access.log, format: "$remote_addr $status" }
error_log: { level: warn }
timeouts: { idle: 1h30m, min_body_rate: 0 }
limits: { request_body: 10MiB, connections: 500, requests_per_connection: 1000 }
"#;
    let text = text.replace("0.0.0.0:443\", protocol: tcp", "0.0.0.0:9100\", protocol: tcp");
    let folder = Path::new("/etc/ringgate");
    let b = Bootstrap::parse("r.yaml", folder, &text, &|_| None).unwrap();
    assert_eq!(b.shards, Shards::Cpus(vec![0, 2]));
    assert_eq!(b.engine, Engine::Epoll);
    let protocols: Vec<_> = b.listeners.iter().map(|listener| listener.protocol.name()).collect();
    assert_eq!(protocols, ["http", "https", "tcp", "udp", "mqtt"]);
    assert_eq!(b.listeners[1].ssl_ids, Some(vec!["1".into(), "b".into()]));
    let admin = b.admin.as_ref().unwrap();
    assert_eq!(admin.key_file, Path::new("/run/key"));
    assert_eq!(admin.tls.as_ref().unwrap().cert, Path::new("/etc/ringgate/c.pem"));
    assert!(!format!("{admin:?}").contains("s3cret"));
    assert_eq!((b.control, b.metrics), (None, None));
    assert_eq!(b.store.kind(), "etcd");
    assert_eq!(b.dns.resolvers[0], "1.1.1.1:53".parse().unwrap());
    let log = LogTarget::File("/etc/ringgate/logs/access.log".into());
    assert_eq!(b.access_log.target, log);
    assert_eq!(b.timeouts.idle, Duration::from_secs(5400));
    assert_eq!(b.limits.request_body, Some(10 << 20));
    assert_eq!(b.limits.connections, Some(500));

    let refused: Vec<_> = unsupported(&b).iter().map(ToString::to_string).collect();
    assert_eq!(
        refused,
        [
            "r.yaml:6: listeners[1].http3: protocol http3 is not served by this version",
            "r.yaml:7: listeners[2].protocol: protocol tcp is not served by this version",
            "r.yaml:7: listeners[2].tls: tls is not served by this version",
            "r.yaml:8: listeners[3].protocol: protocol udp is not served by this version",
            "r.yaml:9: listeners[4].protocol: protocol mqtt is not served by this version",
            "r.yaml:9: listeners[4].tls: tls is not served by this version",
            "r.yaml:9: listeners[4].proxy_protocol: the PROXY protocol is not served by this version",
        ]
    );
    assert_eq!(unsupported(&Bootstrap::default()), []);
}

#[test]
fn all_problems_are_told_with_their_lines() {
    let text = "\
shards: 0
engin: auto
listeners:
  - protocol: htps
  - { address: \"1.2.3.4\", http3: true }
  - { address: \"1.2.3.4:80\", protocol: mqtt, tls: passthrough }
  - { address: \"1.2.3.4:80\", proxy_protocol: {} }
admin: { allow: [10.0.0.0/99], keys: [{ name: a }] }
control: 5
data_encryption: { keyring: [short] }
timeouts:
  idle: 10
  hander: 1s
  send: 0s
limits: { header_bytes: 1KB, request_line: 32MiB, header_count: x }
plugins: prometheus
";
    assert_eq!(
        parse(text).unwrap_err(),
        [
            "r.yaml:1: shards: must be at least 1",
            "r.yaml:2: engin: unknown key, did you mean `engine`?",
            "r.yaml:4: listeners[0].protocol: expected http | https | tcp | udp | mqtt, got htps, \
             did you mean `https`?",
            "r.yaml:4: listeners[0].address: missing",
            "r.yaml:5: listeners[1].address: expected an address with a port such as 0.0.0.0:9080 \
             or [::]:9080, got 1.2.3.4",
            "r.yaml:5: listeners[1].http3: only for https listeners, this one is http",
            "r.yaml:6: listeners[2].tls: passthrough is for tcp listeners only",
            "r.yaml:7: listeners[3].proxy_protocol.trusted: name the networks that send a PROXY \
             header",
            "r.yaml:7: listeners[3].address: 1.2.3.4:80 is used by another listener",
            "r.yaml:8: admin.keys[0].key: missing",
            "r.yaml:8: admin.keys[0].role: missing",
            "r.yaml:8: admin.allow[0]: expected an address or a network such as 10.0.0.0/8, got \
             10.0.0.0/99",
            "r.yaml:9: control: expected a mapping, got a number",
            "r.yaml:10: data_encryption.keyring[0]: a key has 16 or 32 characters, this one 5",
            "r.yaml:12: timeouts.idle: expected a duration such as 500ms, 10s, 2m or 1h",
            "r.yaml:13: timeouts.hander: unknown key, did you mean `header`?",
            "r.yaml:14: timeouts.send: must be longer than 0",
            "r.yaml:15: limits.request_line: must be at most 1048576",
            "r.yaml:15: limits.header_bytes: expected a size such as 4096, 64KiB or 1MiB",
            "r.yaml:15: limits.header_count: expected a whole number",
            "r.yaml:16: plugins: expected a list, got a text",
        ]
    );
}

#[test]
fn the_named_file_comes_first() {
    assert_eq!(Bootstrap::locate(Some(Path::new("x.yaml"))), Some("x.yaml".into()));
    let missing = Bootstrap::load(Some(Path::new("no-such-file.yaml"))).unwrap_err();
    assert_eq!(missing.to_string(), "no-such-file.yaml: No such file or directory (os error 2)");
}

#[test]
fn tls_of_a_listener_is_checked() {
    let text = "\
listeners:
  - { address: \"1.2.3.4:1\", protocol: https, ssl_ids: [], fallback_sni: \"*.a.test\" }
  - { address: \"1.2.3.4:2\", protocol: https, fallback_sni: 10.0.0.1 }
  - { address: \"1.2.3.4:3\", ssl_ids: [1], fallback_sni: a.test }
";
    assert_eq!(
        parse(text).unwrap_err(),
        [
            "r.yaml:2: listeners[0].ssl_ids: names none: nothing would be served here",
            "r.yaml:2: listeners[0].fallback_sni: expected a host name such as www.example.com, \
             got *.a.test",
            "r.yaml:3: listeners[1].fallback_sni: expected a host name such as www.example.com, \
             got 10.0.0.1",
            "r.yaml:4: listeners[2].ssl_ids: only for https, tcp and mqtt listeners, this one is \
             http",
            "r.yaml:4: listeners[2].fallback_sni: only for https, tcp and mqtt listeners, this one \
             is http",
        ]
    );
    let text = "listeners: [{ address: \"1.2.3.4:1\", protocol: https, fallback_sni: A.Test. }]";
    let bootstrap = parse(text).unwrap();
    assert_eq!(bootstrap.listeners[0].fallback_sni.as_deref(), Some("a.test"));
    assert_eq!(unsupported(&bootstrap), []);
}

#[test]
fn how_etcd_is_met() {
    let text = "\
store:
  kind: etcd
  endpoints: [\"https://a:2379\", \"http://b:2379\"]
  prefix: /gateways
  user: edge
  password: s3cret-word
  tls: { ca: ca.pem, cert: c.pem, key: c.key, verify: false, sni: etcd.test }
";
    let bootstrap =
        Bootstrap::parse("r.yaml", Path::new("/etc/ringgate"), text, &|_| None).unwrap();
    let expected = Etcd {
        endpoints: vec!["https://a:2379".into(), "http://b:2379".into()],
        prefix: "/gateways".into(),
        user: Some(("edge".into(), "s3cret-word".into())),
        ca: Some("/etc/ringgate/ca.pem".into()),
        shown: Some(("/etc/ringgate/c.pem".into(), "/etc/ringgate/c.key".into())),
        verify: false,
        sni: Some("etcd.test".into()),
    };
    assert_eq!(bootstrap.store, Store::Etcd(expected));
    assert!(!format!("{bootstrap:?}").contains("s3cret"));
    assert_eq!(unsupported(&bootstrap), []);

    let wrong = [
        (
            "{ kind: etcd, endpoints: [\"http://a:1\"], user: edge, tls: { cert: c.pem } }",
            vec![
                "r.yaml:1: store.tls.key: missing",
                "r.yaml:1: store.password: missing",
                "r.yaml:1: store.tls: none of the endpoints begins with https://",
            ],
        ),
        (
            "{ kind: file, user: edge, password: p, tls: {} }",
            vec![
                "r.yaml:1: store.user: not for a store of kind file",
                "r.yaml:1: store.password: not for a store of kind file",
                "r.yaml:1: store.tls: not for a store of kind file",
            ],
        ),
        ("{ kind: etcd }", vec!["r.yaml:1: store.endpoints: missing"]),
    ];
    for (store, expected) in wrong {
        assert_eq!(parse(&format!("store: {store}")).unwrap_err(), expected);
    }
}
