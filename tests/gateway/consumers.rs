//! Consumers, their groups and credentials, and `_meta` of plugins, through two shards.

use serde_json::{Value, json};

use crate::harness::{Gateway, Origin, Resources, Response, SOON, eventually, upstream};
use crate::support::{json_of, mirror, request, two_shards};

fn plugged(id: &str, uri: &str, node: &Origin, plugins: Value) -> Value {
    json!({"id": id, "uri": uri, "upstream": upstream(&[node.address]), "plugins": plugins})
}

#[track_caller]
fn ask(gateway: &Gateway, path: &str, headers: &str) -> Response {
    gateway.client().ask(request("GET", path, &format!("Host: t\r\n{headers}")))
}

fn layer(who: &str) -> Value {
    json!({"headers": {"set": {"X-Layer": who}}})
}

#[test]
fn a_groups_plugins_stand_between_its_consumers_and_the_route() {
    let node = mirror();
    let resources = |group: &str| {
        Resources::new()
            .with(
                "consumer_groups",
                json!({"id": "gold", "plugins": {
                    "response-rewrite": layer(group),
                    "limit-count": {"count": 3, "time_window": 600, "rejected_code": 429,
                        "group": "gold"},
                }}),
            )
            .with(
                "consumers",
                json!({"username": "own", "group_id": "gold", "plugins": {
                "key-auth": {"key": "owns"}, "response-rewrite": layer("consumer")}}),
            )
            .with(
                "consumers",
                json!({"username": "member", "group_id": "gold", "plugins": {
                "key-auth": {"key": "members"}}}),
            )
            .with(
                "consumers",
                json!({"username": "other", "plugins": {
                "key-auth": {"key": "others"}}}),
            )
            .route(plugged(
                "1",
                "/*",
                &node,
                json!({"key-auth": {},
                "response-rewrite": layer("route"),
                "limit-count": {"count": 1000, "time_window": 600}}),
            ))
    };
    let gateway = two_shards(&resources("group"));
    for (key, layer) in [("owns", "consumer"), ("members", "group"), ("others", "route")] {
        let answer = ask(&gateway, "/", &format!("apikey: {key}\r\n"));
        assert_eq!((answer.status, answer.get("x-layer")), (200, Some(layer)), "{key}");
    }
    // The group's limit holds over its consumers, wherever they come in, and for nobody else.
    let statuses: Vec<u16> = ["owns", "members"]
        .map(|key| ask(&gateway, "/", &format!("apikey: {key}\r\n")).status)
        .to_vec();
    assert_eq!(statuses, [200, 429], "three of the group have passed before");
    assert_eq!(ask(&gateway, "/", "apikey: others\r\n").status, 200);
    // A change of the group is a change for its consumers.
    gateway.reload(&resources("changed"));
    let answer = ask(&gateway, "/", "apikey: members\r\n");
    assert_eq!(answer.status, 429);
    let answer = ask(&gateway, "/", "apikey: others\r\n");
    assert_eq!(answer.get("x-layer"), Some("route"));
}

#[test]
fn credentials_of_a_consumer() {
    let node = mirror();
    let consumer = json!({"username": "jack", "labels": {"custom_id": "7"}, "plugins": {}});
    let resources = |second: &str| {
        let mut beside = consumer.clone();
        beside["credentials"] = json!([
            {"id": "one", "plugins": {"key-auth": {"key": "first"}}},
            {"id": "two", "plugins": {"key-auth": {"key": second}}},
        ]);
        Resources::new()
            .with("consumers", beside)
            .with(
                "consumers",
                json!({"id": "jill/credentials/c", "plugins": {
                "key-auth": {"key": "jills"}}}),
            )
            .with("consumers", json!({"username": "jill"}))
            .route(plugged("1", "/*", &node, json!({"key-auth": {}})))
    };
    let gateway = two_shards(&resources("second"));
    for (key, user, credential, custom) in [
        ("first", "jack", "one", json!("7")),
        ("second", "jack", "two", json!("7")),
        ("jills", "jill", "c", Value::Null),
    ] {
        let answer = ask(&gateway, "/", &format!("apikey: {key}\r\nX-Consumer-Custom-ID: 1\r\n"));
        assert_eq!(answer.status, 200, "{key}");
        let fields = &json_of(&answer)["fields"];
        assert_eq!(fields["x-consumer-username"], user, "{key}");
        assert_eq!(fields["x-credential-identifier"], credential, "{key}");
        assert_eq!(fields["x-consumer-custom-id"], custom, "{key}");
    }
    // A credential that is replaced lets nobody in any more, on connections that are open too.
    let mut client = gateway.client();
    let old = request("GET", "/", "Host: t\r\napikey: second\r\n");
    assert_eq!(client.ask(&old).status, 200);
    gateway.reload(&resources("third"));
    assert_eq!(client.ask(&old).status, 401);
    assert_eq!(ask(&gateway, "/", "apikey: third\r\n").status, 200);

    // The same key for two consumers is refused.
    gateway.write_resources(&resources("jills").text());
    let error = || gateway.status()["config"]["last_error"].as_str().map(str::to_owned);
    eventually(SOON, "a refusal", || error().is_some_and(|error| error.contains("duplicate key")));
    assert_eq!(ask(&gateway, "/", "apikey: third\r\n").status, 200);
}

#[test]
fn meta_disables_orders_filters_and_words_refusals() {
    let node = mirror();
    let allow = |meta: Value| json!({"ip-restriction": {"whitelist": ["10.0.0.1"], "_meta": meta}});
    let both = |first: i32, second: i32| {
        json!({
            "ip-restriction": {"whitelist": ["10.0.0.1"], "message": "address",
                "_meta": {"priority": first}},
            "limit-count": {"count": 1, "time_window": 600, "rejected_code": 503,
                "rejected_msg": "count", "_meta": {"priority": second}},
        })
    };
    let resources = Resources::new()
        .route(plugged("on", "/on", &node, allow(json!({"disable": false}))))
        .route(plugged("off", "/off", &node, allow(json!({"disable": true}))))
        .route(plugged(
            "filter",
            "/filter",
            &node,
            allow(json!({"filter":
            [["arg_strict", "==", "1"]]})),
        ))
        .route(plugged("text", "/text", &node, allow(json!({"error_response": "go away"}))))
        .route(plugged("json", "/json", &node, allow(json!({"error_response": {"code": 7}}))))
        .route(plugged("first", "/first", &node, both(9000, 1)))
        .route(plugged("second", "/second", &node, both(1, 9000)));
    let gateway = two_shards(&resources);
    let told = |path: &str| {
        let answer = ask(&gateway, path, "");
        (answer.status, answer.text())
    };
    let refusal = r#"{"message":"Your IP address is not allowed"}"#;
    for (path, status, text) in [
        ("/on", 403, Some(refusal)),
        ("/off", 200, None),
        ("/filter", 200, None),
        ("/filter?strict=1", 403, Some(refusal)),
        ("/text", 403, Some("go away")),
        ("/json", 403, Some(r#"{"code":7}"#)),
    ] {
        let (have, body) = told(path);
        assert_eq!(have, status, "{path}");
        assert!(text.is_none_or(|text| text == body.trim_end()), "{path}: {body}");
    }
    // Who comes first refuses: the address on one route, on the other the count after one.
    for _ in 0..3 {
        assert!(told("/first").1.contains("address"));
    }
    assert!(told("/second").1.contains("address"));
    assert_eq!(told("/second").0, 503);
}

/// What would run code that this gateway has none for is refused, not left out in silence.
#[test]
fn functions_in_lua_are_refused() {
    let node = mirror();
    let sound = plugged("1", "/*", &node, json!({}));
    let gateway = two_shards(&Resources::new().route(sound.clone()));
    let mut scripted = plugged("1", "/*", &node, json!({}));
    scripted["script"] = json!("return 1");
    scripted.as_object_mut().unwrap().remove("plugins");
    let pre = json!({"cors": {"_meta": {"pre_function": "return function() end"}}});
    for (route, path) in
        [(scripted, "script"), (plugged("1", "/*", &node, pre), "_meta.pre_function")]
    {
        gateway.write_resources(&Resources::new().route(route).text());
        eventually(SOON, path, || {
            gateway.status()["config"]["last_error"].as_str().is_some_and(|e| e.contains(path))
        });
        assert_eq!(gateway.get("/").status, 200, "what is in force stays");
        let other = plugged("2", &format!("/{path}"), &node, json!({}));
        gateway.reload(&Resources::new().route(sound.clone()).route(other));
    }
}
