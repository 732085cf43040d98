//! What every plugin does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::origin::pattern;
use crate::support::{Config, Resources};
use crate::wire::{Protocol, value};
use crate::world::{Ask, Plugins, World, every_pair, pairs};

#[test]
fn key_auth_lets_those_through_that_have_a_key() {
    let jack = json!({"username": "jack", "plugins": {"key-auth": {"key": "jacks"}}});
    let plugins = json!({"key-auth": {"hide_credentials": true}});
    let world = World::start(&[Plugins { name: "auth", plugins }], |_, resources| {
        Config::new(&resources.with("consumers", jack)).tls()
    });
    every_pair(&world, async |world, down, up| {
        for (key, expected) in [(None, "Missing"), (Some("other"), "Invalid")] {
            let mut ask = Ask::post("auth/echo", pattern(5000));
            ask = key.iter().fold(ask, |ask, key| ask.field("apikey", key));
            let got = world.send(down, up, &ask).await;
            assert_eq!((got.status, got.whole), (401, true));
            assert!(got.text().contains(&format!("{expected} API key in request")));
            assert_eq!(got.field("www-authenticate"), Some("apikey realm=\"key\""));
            assert!(!world.origin.has_come(&got.id));
        }
        let ask = Ask::post("auth/echo", "abc").field("apikey", "jacks");
        let got = world.send(down, up, &ask.field("x-consumer-username", "root")).await;
        assert_eq!(got.told(), (200, "abc".into(), true));
        let seen = world.origin.seen(&got.id).await.request.fields;
        assert_eq!(value(&seen, "x-consumer-username"), Some("jack"));
        assert_eq!(value(&seen, "apikey"), None);
    });
}

#[test]
fn limits_count_and_refuse() {
    let key = |plugin: serde_json::Value| {
        let mut plugin = plugin;
        plugin["key"] = json!("http_x_pair");
        plugin
    };
    let count = key(json!({"count": 2, "time_window": 600, "rejected_code": 429}));
    let req = key(json!({"rate": 0.01, "burst": 0, "rejected_code": 429, "nodelay": true}));
    let more = [
        Plugins { name: "count", plugins: json!({"limit-count": count}) },
        Plugins { name: "req", plugins: json!({"limit-req": req}) },
    ];
    let world = World::start(&more, |config, _| config);
    every_pair(&world, async |world, down, up| {
        let pair = format!("{down:?}-{up:?}");
        for left in ["1", "0"] {
            let ask = Ask::get("count/echo").field("x-pair", &pair);
            let got = world.send(down, up, &ask).await;
            assert_eq!(got.status, 200);
            assert_eq!(got.field("x-ratelimit-limit"), Some("2"));
            assert_eq!(got.field("x-ratelimit-remaining"), Some(left));
        }
        let ask = Ask::post("count/echo", pattern(5000)).field("x-pair", &pair);
        let got = world.send(down, up, &ask).await;
        assert_eq!((got.status, got.whole), (429, true));
        assert!(got.field("retry-after").is_some());
        assert!(!world.origin.has_come(&got.id));
        let ask = Ask::get("req/echo").field("x-pair", &pair);
        assert_eq!(world.send(down, up, &ask).await.status, 200);
        assert_eq!(world.send(down, up, &ask).await.status, 429);
    });
}

#[test]
fn ip_restriction_knows_the_client() {
    let closed = json!({"ip-restriction": {"blacklist": ["127.0.0.0/8"], "message": "not you"}});
    let open = json!({"ip-restriction": {"whitelist": ["127.0.0.1"]}});
    let more =
        [Plugins { name: "closed", plugins: closed }, Plugins { name: "open", plugins: open }];
    let world = World::start(&more, |config, _| config);
    every_pair(&world, async |world, down, up| {
        let got = world.send(down, up, &Ask::get("closed/echo")).await;
        assert_eq!(got.told(), (403, "{\"message\":\"not you\"}\n".into(), true));
        assert_eq!(world.send(down, up, &Ask::get("open/echo")).await.status, 200);
    });
}

#[test]
fn cors_answers_preflights_and_marks_answers() {
    let plugins = json!({"cors": {
        "allow_origins": "https://b.test", "allow_methods": "GET,POST", "allow_headers": "x-a",
        "expose_headers": "x-b", "allow_credential": true, "max_age": 60,
    }});
    let world = World::start(&[Plugins { name: "cors", plugins }], |config, _| config);
    every_pair(&world, async |world, down, up| {
        let preflight = Ask::new("OPTIONS", "cors/echo")
            .field("origin", "https://b.test")
            .field("access-control-request-method", "POST");
        let got = world.send(down, up, &preflight).await;
        assert_eq!((got.status, got.body.len(), got.whole), (200, 0, true));
        assert_eq!(got.field("access-control-allow-methods"), Some("GET,POST"));
        assert_eq!(got.field("access-control-max-age"), Some("60"));
        assert!(!world.origin.has_come(&got.id));
        let ask = Ask::get("cors/echo").field("origin", "https://b.test");
        let got = world.send(down, up, &ask).await;
        assert_eq!(got.status, 200);
        assert_eq!(got.field("access-control-allow-origin"), Some("https://b.test"));
        assert_eq!(got.field("access-control-expose-headers"), Some("x-b"));
        assert_eq!(got.field("access-control-allow-credentials"), Some("true"));
        let other = Ask::get("cors/echo").field("origin", "https://c.test");
        let got = world.send(down, up, &other).await;
        assert_eq!(got.field("access-control-allow-origin"), None);
    });
}

#[test]
fn proxy_rewrite_changes_what_the_node_sees() {
    let plugins = json!({"proxy-rewrite": {
        "regex_uri": ["^/[^/]+/new/(.*)", "/b/$1"], "method": "PUT", "host": "a.test",
        "headers": {
            "set": {"x-set": "$remote_addr"}, "add": {"x-a": "more"}, "remove": ["x-gone"],
        },
    }});
    let world = World::start(&[Plugins { name: "new", plugins }], |config, _| config);
    every_pair(&world, async |world, down, up| {
        let ask = Ask::post("new/echo?q=1", "abc").field("x-a", "1").field("x-gone", "1");
        let got = world.send(down, up, &ask).await;
        assert_eq!(got.told(), (200, "abc".into(), true));
        let seen = world.origin.seen(&got.id).await.request;
        assert_eq!((&*seen.method, &*seen.path), ("PUT", "/b/echo?q=1"));
        assert_eq!(value(&seen.fields, "x-set"), Some("127.0.0.1"));
        assert_eq!(crate::wire::values(&seen.fields, "x-a"), ["1", "more"]);
        assert_eq!(value(&seen.fields, "x-gone"), None);
    });
}

#[test]
fn response_rewrite_changes_what_the_client_sees() {
    let body = json!({"response-rewrite": {
        "status_code": 202, "body": "another", "headers": {"set": {"x-b": "3"}},
    }});
    let filter = json!({"response-rewrite": {
        "filters": [{"regex": "a+", "scope": "global", "replace": "bb"}],
    }});
    let more =
        [Plugins { name: "body", plugins: body }, Plugins { name: "filter", plugins: filter }];
    let world = World::start(&more, |config, _| config);
    every_pair(&world, async |world, down, up| {
        // Whatever the node's body is, and whether it has trailers.
        for script in ["body/echo", "body/large", "body/large-untold", "body/trailers"] {
            let got = world.send(down, up, &Ask::post(script, "abc")).await;
            assert_eq!(got.told(), (202, "another".into(), true), "{script}");
            assert_eq!(got.field("content-length"), Some("7"), "{script}");
            assert_eq!(got.fields("x-b"), ["3"], "{script}");
        }
        let head = world.send(down, up, &Ask::new("HEAD", "body/large")).await;
        assert_eq!((head.status, head.body.len(), head.whole), (202, 0, true));
        let got = world.send(down, up, &Ask::post("filter/echo", "aacad")).await;
        assert_eq!(got.told(), (200, "bbcbbd".into(), true));
        assert_eq!(got.field("content-length"), Some("6"));
        let ask = Ask::post("filter/trailers", "aacad").field("te", "trailers");
        let got = world.send(down, up, &ask).await;
        assert_eq!(got.told(), (200, "bbcbbd".into(), true));
        assert_eq!(got.trailers(), "x-sum=1,x-more=2", "the trailers stay");
        // Of a body that breaks off, nothing is shown.
        let got = world.send(down, up, &Ask::get("filter/die-told")).await;
        assert_eq!((got.status, got.whole), (502, true));
    });
}

#[test]
fn prometheus_counts_whatever_is_spoken() {
    let more = [Plugins { name: "seen", plugins: json!({"prometheus": {}}) }];
    let world = World::start(&more, |config, _| config);
    every_pair(&world, async |world, down, up| {
        assert_eq!(world.send(down, up, &Ask::post("seen/echo", "abc")).await.status, 200);
        assert_eq!(world.send(down, up, &Ask::get("seen/204")).await.status, 204);
    });
    let metrics = world.gateway.metrics();
    for up in Protocol::ALL {
        for code in ["200", "204"] {
            let route = format!("route=\"{}-seen\"", up.scheme());
            let code = format!("code=\"{code}\"");
            let counted = metrics
                .iter()
                .filter(|(name, _)| name.starts_with("apisix_http_status{"))
                .filter(|(name, _)| name.contains(&route) && name.contains(&code))
                .map(|(_, count)| *count)
                .sum::<f64>();
            assert_eq!(counted, Protocol::ALL.len() as f64, "{route} {code}");
        }
    }
}

const PROTO: &str = r#"
syntax = "proto3";
package test;
message Note { string text = 1; }
service Notes { rpc Echo (Note) returns (Note); }
"#;

/// A message of gRPC.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

/// `Note { text: "hi" }`.
const NOTE: &[u8] = b"\x0a\x02hi";

#[test]
fn grpc_plugins_translate() {
    let transcode = json!({"grpc-transcode": {
        "proto_id": "1", "service": "test.Notes", "method": "Echo",
    }});
    let more = [
        Plugins { name: "web", plugins: json!({"grpc-web": {}}) },
        Plugins { name: "json", plugins: transcode },
    ];
    let world = World::start(&more, |_, resources| {
        Config::new(&resources.with("protos", json!({"id": "1", "content": PROTO}))).tls()
    });
    // gRPC is spoken over HTTP/2.
    pairs(&world, &[Protocol::H2c, Protocol::H2], async |world, down, up| {
        let trailers = "grpc-status:0\r\ngrpc-message:fine\r\n";
        let mut expected = framed(NOTE);
        expected.push(0x80);
        expected.extend((trailers.len() as u32).to_be_bytes());
        expected.extend(trailers.bytes());
        let ask = Ask::post("web/test.Notes/Echo", framed(NOTE));
        let got = world
            .send(down, up, &ask.clone().field("content-type", "application/grpc-web+proto"))
            .await;
        assert_eq!((got.status, got.whole), (200, true));
        assert_eq!(got.field("content-type"), Some("application/grpc-web+proto"));
        assert_eq!(got.body, expected);
        assert!(got.trailers.is_empty());
        let seen = world.origin.seen(&got.id).await;
        assert_eq!(value(&seen.request.fields, "content-type"), Some("application/grpc"));
        assert_eq!(value(&seen.request.fields, "te"), Some("trailers"));
        let text = Ask { body: Some(STANDARD.encode(framed(NOTE)).into_bytes()), ..ask };
        let got =
            world.send(down, up, &text.field("content-type", "application/grpc-web-text")).await;
        let decoded: Vec<u8> = decode_pieces(&got.text());
        assert_eq!(decoded, expected);
        let preflight = world.send(down, up, &Ask::new("OPTIONS", "web/test.Notes/Echo")).await;
        assert_eq!((preflight.status, preflight.whole), (204, true));

        let ask = Ask::post("json/any", "{\"text\":\"hi\"}");
        let got = world.send(down, up, &ask.field("content-type", "application/json")).await;
        assert_eq!(got.told(), (200, "{\"text\":\"hi\"}".into(), true));
        assert_eq!(got.field("content-type"), Some("application/json"));
        assert!(world.origin.seen(&got.id).await.body == framed(NOTE));
        let got = world.send(down, up, &Ask::get("json/any?text=hi")).await;
        assert_eq!(got.told(), (200, "{\"text\":\"hi\"}".into(), true));
    });
}

/// The body decides the route, and goes to its node whole.
#[test]
fn routes_are_found_by_what_the_body_says() {
    let marked = json!({"response-rewrite": {"headers": {"set": {"X-Picked": "yes"}}}});
    let world = World::start(&[Plugins { name: "picked", plugins: marked }], |_, resources| {
        let text = resources.text();
        let mut kinds: serde_json::Value =
            serde_json::from_str(text.trim_end_matches("#END\n")).unwrap();
        let routes = kinds["routes"].as_array_mut().unwrap();
        for route in routes.iter_mut().filter(|r| r["id"].as_str().unwrap().ends_with("-picked")) {
            route["vars"] = json!([
                "OR",
                ["post_arg.model", "==", "openai"],
                ["post_arg_model", "==", "openai"],
                ["graphql_root_fields", "has", "owner"],
            ]);
        }
        let lists = kinds.as_object().unwrap().iter();
        let objects = lists.flat_map(|(kind, list)| {
            list.as_array().unwrap().iter().map(move |object| (kind, object))
        });
        let resources =
            objects.fold(Resources::new(), |all, (kind, one)| all.with(kind, one.clone()));
        Config::new(&resources).tls()
    });
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let long = format!("{{\"model\": \"openai\", \"text\": \"{}\"}}", "a".repeat(100_000));
    every_pair(&world, async |world, down, up| {
        for (media, body, picked) in [
            (json, "{\"model\": \"openai\"}", Some("yes")),
            (json, &long, Some("yes")),
            (json, "{\"model\": \"deepseek\"}", None),
            (json, "{\"query\": \"query{owner{name}}\"}", Some("yes")),
            (form, "model=openai&x=1", Some("yes")),
            (form, "model=deepseek", None),
            ("application/graphql", "{ owner { name } }", Some("yes")),
            ("text/plain", "{\"model\": \"openai\"}", None),
        ] {
            let ask = Ask::post("picked/echo", body).field("content-type", media);
            let got = world.send(down, up, &ask).await;
            assert_eq!(got.told(), (200, body.to_owned(), true), "{media} {}", body.len());
            assert_eq!(got.field("x-picked"), picked, "{media} {}", body.len());
        }
        // Too long to look at, and passed on all the same.
        let body = pattern(1024 * 1024).repeat(2);
        let ask = Ask::post("picked/echo", body.clone()).field("content-type", json);
        let got = world.send(down, up, &ask).await;
        assert_eq!((got.status, got.whole, got.body == body), (200, true, true));
    });
}

/// Base64 that was written in pieces, each padded on its own.
fn decode_pieces(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for four in text.as_bytes().chunks(4) {
        bytes.extend(STANDARD.decode(four).unwrap());
    }
    bytes
}
