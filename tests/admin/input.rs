//! What is wrong with a body: 400 with the reason, and nothing is changed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Admin, nodes, route, start};
use crate::harness::RawClient;

#[test]
fn bodies_that_cannot_be_read() {
    let (gateway, mut admin) = start();
    assert_eq!(admin.refused("PUT", "/routes/1", Value::Null), "missing configurations");
    assert_eq!(admin.refused("POST", "/routes", Value::Null), "missing configurations");
    for (body, reason) in [
        ("abc", "Expected value but found invalid token at character 1"),
        ("{\"a\": 1", "Expected comma or object end but found T_END at character 8"),
        ("{\"a\" 1}", "Expected colon but found invalid token at character 6"),
        ("{a: 1}", "Expected object key string but found invalid token at character 2"),
        ("{} {}", "Expected the end but found invalid token at character 4"),
    ] {
        let told = admin.raw("PUT", "/routes/1", body.as_bytes(), "");
        assert_eq!((told.status, told.error()), (400, &*format!("invalid request body: {reason}")));
        assert_eq!(told.body["req_body"], body);
    }
    // As in lua-cjson, line breaks and the like may stand in strings as they are.
    let content = "syntax = 'proto3';\n\tmessage M {\r\n}";
    let body = format!("{{\n\"content\": \"{content}\"}}");
    let told = admin.raw("PUT", "/protos/1", body.as_bytes(), "");
    assert_eq!((told.status, &told.body["value"]["content"]), (201, &json!(content)));
    let told = admin.raw("PUT", "/protos/1", b"{\"content\": \"a\n\" 1}", "");
    let why = "Expected comma or object end but found invalid token at character 18";
    assert_eq!(told.error(), format!("invalid request body: {why}"));
    let told = admin.raw("PUT", "/routes/1", b"{\"uri\": \"\xff\xfe\"}", "");
    assert_eq!(told.error(), "invalid request body: it is not UTF-8 at character 10");
    for deep in ["[".repeat(1_000_000), "{\"a\":".repeat(200_000)] {
        let told = admin.raw("PUT", "/routes/1", deep.as_bytes(), "");
        assert_eq!(told.status, 400);
        let reason = "invalid request body: Found too many nested data structures at character";
        assert!(told.error().starts_with(reason), "{}", told.error());
        assert!(told.text.len() < 10_000, "not all of it comes back");
    }
    // Nested as deep as is read, inside of what takes anything.
    let inner = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let text = format!("{{\"uri\":\"/a\",\"plugins\":{{\"cors\":{{\"x\":{inner}}}}}}}");
    let told = admin.raw("PUT", "/routes/deep", text.as_bytes(), "");
    assert!(matches!(told.status, 200 | 201 | 400), "{}", told.text);
    for (body, got) in [("5", "number"), ("\"a\"", "string"), ("[1]", "table"), ("true", "boolean")]
    {
        let told = admin.raw("PUT", "/routes/1", body.as_bytes(), "");
        let reason = format!("invalid configuration: wrong type: expected object, got {got}");
        assert_eq!((told.status, told.error()), (400, &*reason));
    }
    let large = format!("{{\"uri\": \"{}\"}}", "x".repeat(5 << 20));
    let told = admin.raw("PUT", "/routes/1", large.as_bytes(), "Connection: close\r\n");
    assert_eq!(told.status, 413);
    let mut admin = Admin::of(&gateway);
    assert_eq!(admin.get("/routes/1").status, 404, "nothing was written");
}

/// Lua has one kind of table, so an empty one is an object and a list.
#[test]
fn empty_tables() {
    let (_gateway, mut admin) = start();
    let mut value = route("/a");
    value["labels"] = json!([]);
    value["methods"] = json!({});
    value["plugins"] = json!({"key-auth": []});
    let told = admin.put("/routes/1", value);
    assert_eq!(told.body["value"]["plugins"], json!({"key-auth": {}}));
    let value = json!({"username": "jack", "plugins": []});
    assert_eq!(admin.put("/consumers", value).body["value"]["plugins"], json!({}));
    let patched = admin.ask("PATCH", "/routes/1", json!({"labels": []}));
    assert_eq!((patched.status, &patched.body["value"]["labels"]), (200, &json!({})));
    let why = "invalid configuration: property \"client\" validation failed: property \"ca\" is \
               required";
    let ssl = json!({"cert": "$env://A", "key": "$env://A", "sni": "a", "client": []});
    assert_eq!(admin.refused("PUT", "/ssls/1", ssl), why);
    let ssl = json!({"cert": "$env://A", "key": "$env://A", "certs": [], "keys": {}});
    let why = "invalid configuration: then clause did not match";
    assert_eq!(admin.refused("PUT", "/ssls/1", ssl), why);
    let why = admin.refused("PUT", "/routes/2", json!([]));
    assert!(why.starts_with("invalid configuration: allOf 1 failed"), "{why}");
}

/// A connection that is closed while its client still sends takes the answer along.
#[test]
fn an_answer_before_the_body_reaches_who_still_sends() {
    let (gateway, _) = start();
    let large = format!("{{\"uri\": \"{}\"}}", "x".repeat(20 << 20));
    for key in ["X-API-KEY: wrong\r\n", ""] {
        let mut admin = Admin::of(&gateway);
        admin.key = key.into();
        assert_eq!(admin.raw("PUT", "/routes/1", large.as_bytes(), "").status, 401);
        // It was read to its end, so the connection is as good as before.
        assert_eq!(admin.get("/routes/1").status, 401);
    }
    let mut admin = Admin::of(&gateway);
    for _ in 0..3 {
        assert_eq!(admin.raw("PUT", "/routes/1", large.as_bytes(), "").status, 413);
    }
    assert_eq!(admin.get("/routes/1").status, 404, "nothing was written");
    // The same wherever else something is served.
    let head =
        format!("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", large.len());
    for _ in 0..3 {
        let mut client = RawClient::connect(gateway.metrics_address);
        assert_eq!(client.ask([head.as_bytes(), large.as_bytes()].concat()).status, 405);
    }
    // Who sends no body and waits for the answer gets it.
    let mut client = RawClient::connect(gateway.metrics_address);
    client.set_timeout(Duration::from_secs(3));
    assert_eq!(client.ask(head).status, 405);
}

#[test]
fn schema_errors_are_apisix_sentences() {
    let (_gateway, mut admin) = start();
    let mut refused = |patch: Value| {
        let mut value = route("/a");
        for (name, field) in patch.as_object().unwrap() {
            value[name] = field.clone();
        }
        admin.refused("PUT", "/routes/1", value)
    };
    let prefix = "invalid configuration: ";
    for (patch, sentence) in [
        (json!({"zzz": 1}), "additional properties forbidden, found zzz"),
        (
            json!({"uri": 1}),
            "property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        (
            json!({"uri": ""}),
            "property \"uri\" validation failed: string too short, expected at least 1, got 0",
        ),
        (
            json!({"priority": "x"}),
            "property \"priority\" validation failed: wrong type: expected integer, got string",
        ),
        (
            json!({"status": 5}),
            "property \"status\" validation failed: matches none of the enum values",
        ),
        (
            json!({"methods": ["NO"]}),
            "property \"methods\" validation failed: failed to validate item 1: matches none of the enum values",
        ),
        (
            json!({"upstream": {"type": "roundrobin", "nodes": {"a:1": 1}, "retries": -1}}),
            "property \"upstream\" validation failed: property \"retries\" validation failed: expected -1 to be at least 0",
        ),
        (
            json!({"upstream": {"type": "roundrobin"}}),
            "property \"upstream\" validation failed: value should match only one schema, but \
             matches none",
        ),
        (
            json!({"plugins": [1]}),
            "property \"plugins\" validation failed: wrong type: expected object, got table",
        ),
        (json!({"id": "a b"}), "wrong route id"),
    ] {
        let told = refused(patch.clone());
        let told = told.strip_prefix(prefix).unwrap_or(&told);
        let same = told == sentence || told.starts_with(&format!("{sentence}: ["));
        assert!(same, "{patch}: {told}");
    }
    for (patch, text) in [
        (json!({"plugins": {"x": {}}}), "unknown plugin [x]"),
        (
            json!({"plugins": {"limit-count": {"count": 1, "time_window": "a"}}}),
            "failed to check the configuration of plugin limit-count err: property \
             \"time_window\" validation failed: ",
        ),
        (json!({"vars": [["a"]]}), "failed to validate the 'vars' expression: invalid expression"),
        (
            json!({"filter_func": "function(vars) return 1 =="}),
            "failed to load 'filter_func' string: ",
        ),
    ] {
        let told = refused(patch.clone());
        assert!(told.starts_with(text), "{patch}: {told}");
    }
    let service = json!({"upstream": nodes(), "plugins": {"limit-count": {"count": "x"}}});
    let told = admin.refused("PUT", "/services/1", service);
    assert!(told.starts_with("failed to check the configuration of plugin limit-count err: "));
}

/// Every field of every kind, with every wrong type: an answer of 400 or 2xx, never anything else,
/// and the gateway goes on.
#[test]
fn every_field_with_every_type() {
    let (gateway, mut admin) = start();
    let long = "x".repeat(100_000);
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!(long),
        json!("é\u{0}\n"),
        json!([]),
        json!([null]),
        json!({}),
        json!({"a": {"b": null}}),
        json!([[[[]]]]),
    ];
    let mut asked = 0;
    for (plural, path, base) in [
        ("routes", "/routes/1", route("/a")),
        ("services", "/services/1", json!({"upstream": nodes()})),
        ("upstreams", "/upstreams/1", nodes()),
        ("consumers", "/consumers/jack", json!({"username": "jack"})),
        ("consumer_groups", "/consumer_groups/1", json!({"plugins": {}})),
        ("global_rules", "/global_rules/1", json!({"plugins": {}})),
        ("plugin_configs", "/plugin_configs/1", json!({"plugins": {}})),
        ("stream_routes", "/stream_routes/1", json!({"upstream": nodes()})),
        ("protos", "/protos/1", json!({"content": "syntax = \"proto3\";"})),
        ("ssls", "/ssls/1", json!({"cert": "x", "key": "y", "snis": ["a"]})),
    ] {
        let schema = admin.get(&format!("/schema/{plural}")).body;
        let fields: Vec<String> =
            schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert!(fields.len() > 3, "{plural}: {fields:?}");
        for field in fields.iter().map(String::as_str).chain(["unknown"]) {
            for value in &odd {
                let mut body = base.clone();
                body[field] = value.clone();
                let before = admin.get(path);
                let told = admin.ask("PUT", path, body);
                asked += 1;
                match told.status {
                    200 | 201 => {
                        assert_eq!(admin.delete(&format!("{path}?force=true")).status, 200);
                    }
                    400 => {
                        assert!(!told.error().is_empty(), "{plural}.{field}: {}", told.text);
                        let after = admin.get(path);
                        assert_eq!((before.status, before.body), (after.status, after.body));
                    }
                    status => panic!("{plural}.{field} = {value:.60}: {status} {}", told.text),
                }
            }
        }
    }
    assert!(asked > 1000, "{asked}");
    drop(admin);
    gateway.stop();
}
