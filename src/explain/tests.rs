//! Explanations against the exchange itself, and what they keep to themselves.

use serde_json::{Value, json};

use super::{Question, World, explain, text};
use crate::config::plan::{Compiler, Ingredients};
use crate::config::{Checks, ResourceFile, Resources};
use crate::exchange::testing::{Gateway, Request, run};
use crate::plugins::REGISTRY;

/// Compiles resources and explains requests to them.
struct Explainer {
    compiler: Compiler,
    trusted: Vec<ipnet::IpNet>,
}

impl Explainer {
    fn new(resources: &Value) -> Explainer {
        let text = resources.to_string();
        let parsed = ResourceFile::parse("t.json", &text, &|_| None, &Checks::none());
        let mut parsed = parsed.unwrap_or_else(|problems| panic!("{problems}"));
        let changes = parsed.diff(&Resources::default());
        let mut compiler = Compiler::new(Ingredients {
            plugins: REGISTRY.clone(),
            limits: std::sync::Arc::default(),
            buffered_body: 1024,
            attributes: serde_json::Map::new(),
            tls: crate::tls::TlsSettings::default(),
        });
        compiler.apply(parsed, &changes).expect("compiles");
        Explainer { compiler, trusted: vec!["10.0.0.0/8".parse().unwrap()] }
    }

    fn ask(&self, question: Value) -> Result<Value, String> {
        let question: Question = serde_json::from_value(question).expect("a question");
        let world = World {
            plan: self.compiler.plan(),
            resources: self.compiler.resources(),
            plugins: &REGISTRY,
            trusted: &self.trusted,
            live: true,
        };
        explain(&world, &question)
    }

    #[track_caller]
    fn get(&self, url: &str) -> Value {
        self.ask(json!({"url": url})).expect("an answer")
    }
}

fn upstream() -> Value {
    json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}})
}

fn reasons(answer: &Value) -> Vec<(&str, &str)> {
    let rejected = answer["rejected"].as_array().unwrap().iter();
    rejected.map(|r| (r["id"].as_str().unwrap(), r["reason"].as_str().unwrap())).collect()
}

#[test]
fn every_reason_has_its_words() {
    let explainer = Explainer::new(&json!({
        "services": [{"id": "s", "hosts": ["s.test"], "upstream": upstream()}],
        "routes": [
            {"id": "taken", "uri": "/a/*", "hosts": ["a.test"], "upstream": upstream()},
            {"id": "low", "uri": "/a/*", "hosts": ["a.test"], "priority": -1, "upstream": upstream()},
            {"id": "twin", "uri": "/a/*", "hosts": ["a.test"], "upstream": upstream()},
            {"id": "short", "uri": "/*", "hosts": ["a.test"], "upstream": upstream()},
            {"id": "anywhere", "uri": "/a/*", "upstream": upstream()},
            {"id": "service", "uri": "/a/*", "service_id": "s"},
            {"id": "uri", "uri": "/b", "upstream": upstream()},
            {"id": "method", "uri": "/a/b", "methods": ["POST"], "upstream": upstream()},
            {"id": "address", "uri": "/a/b", "remote_addrs": ["192.0.2.0/24"],
             "upstream": upstream()},
            {"id": "vars", "uri": "/a/b", "vars": [["arg_x", "==", "1"], ["http_apikey", "==", "k"]],
             "upstream": upstream()},
            {"id": "off", "uri": "/a/b", "status": 0, "upstream": upstream()},
            {"id": "off-elsewhere", "uri": "/c", "status": 0, "upstream": upstream()},
        ],
    }));
    let answer = explainer
        .ask(json!({"url": "http://a.test/a/b?x=1", "headers": {"apikey": "secret-key"}}))
        .unwrap();
    assert_eq!(answer["route"]["id"], "taken");
    let mut told = reasons(&answer);
    told.sort_unstable();
    let mut expected = [
        ("low", "priority"),
        ("twin", "precedence"),
        ("short", "precedence"),
        ("anywhere", "precedence"),
        ("service", "host"),
        ("uri", "uri"),
        ("method", "methods"),
        ("address", "remote_addrs"),
        ("vars", "vars"),
        ("off", "status"),
        ("off-elsewhere", "status"),
    ];
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(reasons(&answer)[0].0, "off", "what would match comes first");
    let vars = answer["rejected"].as_array().unwrap().iter().find(|r| r["id"] == "vars").unwrap();
    let failed = json!([{
        "expression": ["http_apikey", "==", "k"], "values": {"http_apikey": "***"},
    }]);
    assert_eq!(vars["failed"], failed);
    for shown in [answer.to_string(), text::shown(&answer)] {
        assert!(!shown.contains("secret-key") && shown.contains("192.0.2.0/24"), "{shown}");
    }
}

#[test]
fn many_routes_are_counted() {
    let routes: Vec<Value> = (0..250)
        .map(|n| json!({"id": n + 1, "uri": format!("/r{n}"), "upstream": upstream()}))
        .collect();
    let explainer = Explainer::new(&json!({"routes": routes}));
    for (url, matches) in [("/r7", true), ("/none", false)] {
        let answer = explainer.get(url);
        assert_eq!(answer["route"].is_object(), matches);
        let told = answer["rejected"].as_array().unwrap().len() + usize::from(matches);
        assert_eq!((told, &answer["rejected_more"]), (super::ROUTES_MAX, &json!(150)));
    }
    // Those that share the most of the path come first.
    assert!(explainer.get("/r7")["rejected"][0]["id"].as_str().unwrap().starts_with('7'));
}

#[test]
fn the_consumer_is_found_and_its_plugins_are_merged() {
    let limit = |count: u32| json!({"count": count, "time_window": 60});
    let explainer = Explainer::new(&json!({
        "global_rules": [{"id": "g", "plugins": {"prometheus": {}}}],
        "services": [{"id": "s", "upstream": upstream(), "plugins": {
            "limit-count": limit(1), "cors": {}, "ip-restriction": {"whitelist": ["10.0.0.0/8"]},
        }}],
        "plugin_configs": [{"id": "pc", "plugins": {"limit-count": limit(2)}}],
        "routes": [{"id": "r", "uri": "/*", "service_id": "s", "plugin_config_id": "pc", "plugins": {
            "key-auth": {}, "limit-count": limit(3),
            "cors": {"_meta": {"disable": true}},
            "response-rewrite": {"status_code": 201, "_meta": {
                "priority": 9000, "filter": [["consumer_name", "==", "rose"]],
            }},
        }}],
        "consumer_groups": [{"id": "gold", "plugins": {"limit-count": limit(4)}}],
        "consumers": [
            {"username": "jack", "group_id": "gold", "plugins": {
                "key-auth": {"key": "jacks-key"}, "limit-count": limit(5),
            }},
            {"username": "rose", "group_id": "gold", "credentials": [
                {"id": "c1", "plugins": {"key-auth": {"key": "roses-key"}}},
            ]},
        ],
    }));
    let ask =
        |key: &str| explainer.ask(json!({"url": "http://a/", "headers": {"apikey": key}})).unwrap();
    let plugin = |answer: &Value, name: &str| -> Value {
        let all = answer["plugins"].as_array().unwrap().iter();
        all.filter(|plugin| plugin["name"] == name).cloned().collect()
    };
    let jack = ask("jacks-key");
    let caller = json!({
        "username": "jack", "group_id": "gold", "credential_id": null, "by": "key-auth",
    });
    assert_eq!(jack["consumer"], caller);
    let limit = &plugin(&jack, "limit-count")[0];
    assert_eq!(limit["from"], json!({"kind": "consumers", "id": "jack"}));
    assert_eq!(
        (&limit["config"]["count"], &limit["config"]["rejected_code"]),
        (&json!(5), &json!(503))
    );
    assert_eq!(limit["overrides"].as_array().unwrap().len(), 4);
    let rewrite = &plugin(&jack, "response-rewrite")[0];
    assert_eq!((&rewrite["runs"], &rewrite["priority"]), (&json!(false), &json!(9000)));
    assert_eq!(rewrite["failed"][0]["values"], json!({"consumer_name": "jack"}));
    assert_eq!(jack["disabled_plugins"][0]["from"], json!({"kind": "routes", "id": "r"}));
    assert_eq!(jack["phases"]["rewrite"], json!(["key-auth"]));
    assert_eq!(jack["phases"]["access"], json!(["ip-restriction", "limit-count"]));
    assert_eq!(jack["phases"]["log"], json!(["prometheus"]));
    let rose = ask("roses-key");
    assert_eq!(rose["consumer"]["credential_id"], "c1");
    assert_eq!(plugin(&rose, "limit-count")[0]["config"]["count"], 4);
    assert_eq!(plugin(&rose, "response-rewrite")[0]["runs"], true);
    let nobody = ask("wrong");
    let refused = json!({"refused_by": "key-auth", "message": "Invalid API key in request"});
    assert_eq!(nobody["consumer"], refused);
    assert_eq!(plugin(&nobody, "limit-count")[0]["config"]["count"], 3);
    for answer in [jack, rose, nobody] {
        for key in ["jacks-key", "roses-key", "wrong"] {
            assert!(!answer.to_string().contains(key), "keys are never told");
            assert!(!text::shown(&answer).contains(key));
        }
    }
}

/// The hashed node is where the exchange sends the request, whatever is hashed.
#[test]
fn what_is_foretold_of_chash_is_what_happens() {
    let nodes = json!({"127.0.0.1:1": 1, "127.0.0.1:2": 3, "127.0.0.1:3": 2});
    for (hash_on, key) in [
        ("vars", "uri"),
        ("vars", "arg_x"),
        ("header", "X-Id"),
        ("vars_combinations", "$host$uri"),
        ("consumer", "consumer_name"),
    ] {
        let resources = json!({
            "routes": [{"id": "r", "uri": "/*", "plugins": {
                "key-auth": {},
                "response-rewrite": {"headers": {"set": {"X-Node": "$balancer_ip:$balancer_port"}}},
            }, "upstream": {
                "type": "chash", "hash_on": hash_on, "key": key, "nodes": nodes,
            }}],
            "consumers": [{"username": "jack", "plugins": {"key-auth": {"key": "k"}}}],
        });
        let explainer = Explainer::new(&resources);
        run(async || {
            let gateway = Gateway::new(&REGISTRY, &resources);
            for n in 0..40 {
                let (path, id) = (format!("/p{n}?x={n}"), format!("id-{n}"));
                let request = Request::get(&path).header("X-Id", &id).header("apikey", "k");
                let sent = gateway.get(request).await;
                let answer = explainer
                    .ask(json!({
                        "url": path, "client": "127.0.0.1",
                        "headers": {"X-Id": id, "apikey": "k", "Host": "gateway.example"},
                    }))
                    .unwrap();
                let picked = answer["upstream"]["pick"]["node"].as_str().map(str::to_owned);
                let candidates = answer["upstream"]["pick"]["candidates"].as_array().unwrap();
                assert_eq!(candidates.len(), 3);
                assert_eq!(sent.header("X-Node"), picked, "{hash_on} {key}");
            }
        });
    }
}

#[test]
fn trusted_proxies_name_the_client() {
    let explainer = Explainer::new(&json!({"routes": [
        {"id": "r", "uri": "/*", "remote_addrs": ["192.0.2.7"], "upstream": upstream()},
    ]}));
    for (peer, matches) in [("10.0.0.1", true), ("127.0.0.1", false), ("192.0.2.7", true)] {
        let answer = explainer
            .ask(json!({"url": "/", "client": peer, "headers": {"X-Forwarded-For": "192.0.2.7"}}))
            .unwrap();
        assert_eq!(answer["route"].is_object(), matches, "{peer}");
        assert_eq!(answer["request"]["client_from"].is_string(), peer == "10.0.0.1");
    }
}

#[test]
fn stream_routes_are_told_too() {
    let explainer = Explainer::new(&json!({"stream_routes": [
        {"id": "any", "server_port": 9100, "upstream": {"nodes": {"127.0.0.1:1": 1}}},
        {"id": "wild", "sni": "*.test", "upstream": {"nodes": {"127.0.0.1:2": 1}}},
        {"id": "name", "sni": "a.test", "upstream": {"nodes": {"127.0.0.1:3": 1}}},
        {"id": "net", "remote_addr": "10.0.0.0/8", "server_port": 9200, "server_addr": "127.0.0.1",
         "upstream": {"nodes": {"127.0.0.1:4": 1}}},
    ]}));
    let ask = |url: &str, client: &str| {
        let answer = explainer.ask(json!({"url": url, "client": client})).unwrap();
        assert!(!text::shown(&answer).is_empty());
        let id = answer["stream_route"]["id"].as_str().unwrap_or("none").to_owned();
        (id, reasons(&answer).iter().map(|(_, reason)| reason.to_string()).collect::<Vec<_>>())
    };
    let told = |reasons: &[&str]| reasons.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        ask("tls://a.test:9100", "10.0.0.1"),
        ("name".into(), told(&["server_port", "precedence", "precedence"]))
    );
    assert_eq!(ask("tls://b.test:1", "10.0.0.1").0, "wild");
    assert_eq!(
        ask("tcp://127.0.0.1:9200", "10.0.0.1"),
        ("net".into(), told(&["server_port", "sni", "sni"]))
    );
    assert_eq!(ask("tcp://127.0.0.2:9200", "10.0.0.1").0, "none");
    assert_eq!(ask("udp://127.0.0.1:9200", "11.0.0.1").0, "none");
    assert_eq!(ask("udp://127.0.0.1:9100", "11.0.0.1").0, "any");
}

#[test]
fn nodes_of_stream_routes_are_picked_as_balancers_do() {
    let nodes = json!({"127.0.0.1:1": 1, "127.0.0.1:2": 1, "127.0.0.1:3": 1});
    let explainer = Explainer::new(&json!({
        "upstreams": [{"id": "u", "type": "chash", "key": "remote_addr", "nodes": nodes}],
        "services": [{"id": "s", "upstream": {"nodes": {"127.0.0.1:9": 1, "127.0.0.1:8": 0}}}],
        "stream_routes": [
            {"id": "hashed", "server_port": 1, "upstream_id": "u"},
            {"id": "turns", "server_port": 2, "upstream": {"nodes": nodes}},
            {"id": "single", "server_port": 3, "service_id": "s"},
            {"id": "named", "server_port": 4, "upstream": {"nodes": {"a.test:5": 1}}},
        ],
    }));
    let ask = |port: u16, client: String| {
        let url = format!("tcp://127.0.0.1:{port}");
        let answer = explainer.ask(json!({"url": url, "client": client})).unwrap();
        assert!(
            text::shown(&answer)
                .contains(answer["stream_route"]["upstream"]["type"].as_str().unwrap())
        );
        answer["stream_route"]["upstream"].clone()
    };
    let mut picked = std::collections::BTreeSet::new();
    for last in 1..40 {
        let told = ask(1, format!("192.0.2.{last}"));
        assert_eq!(told["pick"], ask(1, format!("192.0.2.{last}"))["pick"]);
        assert_eq!(told["from"], json!({"kind": "upstreams", "id": "u"}));
        picked.insert(told["pick"]["node"].as_str().unwrap().to_owned());
    }
    assert_eq!(picked.len(), 3, "every node is some client's");
    let turns = ask(2, "192.0.2.1".into());
    assert_eq!((&turns["pick"]["node"], &turns["type"]), (&Value::Null, &json!("roundrobin")));
    assert_eq!(turns["pick"]["candidates"].as_array().map(Vec::len), Some(3));
    assert_eq!(ask(3, "192.0.2.1".into())["pick"]["node"], json!("127.0.0.1:9"));
    let named = ask(4, "192.0.2.1".into());
    assert_eq!(named["pick"]["because"], json!("its names are resolved when it is served"));
}

#[test]
fn questions_that_make_no_sense_are_told_why() {
    let explainer = Explainer::new(&json!({"routes": []}));
    for (question, reason) in [
        (json!({"url": "foo"}), "url: expected"),
        (json!({"url": ""}), "url: expected"),
        (json!({"url": "http://"}), "url: expected host"),
        (json!({"url": "http://user@a/"}), "url: expected host"),
        (json!({"url": "ftp://a/"}), "unknown scheme ftp"),
        (json!({"url": "http://a:b/"}), "expected a port"),
        (json!({"url": "tcp://a"}), "a port is needed"),
        (json!({"url": "/\u{1}"}), "control"),
        (json!({"url": format!("/{}", "a".repeat(70_000))}), "longer"),
        (json!({"url": "/", "method": "G T"}), "method"),
        (json!({"url": "/", "method": ""}), "method"),
        (json!({"url": "/", "client": "me"}), "client: expected an address"),
        (json!({"url": "/", "listener": "x"}), "listener: expected"),
        (json!({"url": "/", "headers": {"a b": "c"}}), "headers.a b"),
        (json!({"url": "/", "headers": {"a": "c\r\nd: e"}}), "headers.a"),
        (json!({"url": "/", "headers": {"a": {}}}), "expected a text"),
        (json!({"url": "/", "headers": {"a": vec!["x"; 2000]}}), "more than 1000"),
        (json!({"url": "/", "headers": {"Content-Length": "x"}}), "no length"),
    ] {
        let told = explainer.ask(question.clone()).expect_err("refused");
        assert!(told.contains(reason), "{question}: {told}");
    }
    let refused = explainer.get("http://a/../b");
    assert_eq!(refused["refused"]["status"], 400);
    assert!(text::shown(&refused).contains("above the root"));
    assert_eq!(explainer.get("*")["route"], Value::Null);
    assert_eq!(explainer.get("http://[::1]:80?x=1")["request"]["listener"], "[::1]:80");
}
