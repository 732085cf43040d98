//! PATCH, of the whole and of a part.

use serde_json::{Value, json};

use crate::client::{route, start};

#[test]
fn whole_values_are_merged() {
    let (_gateway, mut admin) = start();
    let mut value = route("/a");
    value["name"] = json!("a");
    value["labels"] = json!({"x": "1", "y": "2"});
    admin.put("/routes/1", value);
    let patch = json!({
        "upstream": {"nodes": {"127.0.0.1:1981": 2, "127.0.0.1:1980": null}},
        "labels": {"y": null, "z": "3"}, "name": null, "methods": ["GET"],
    });
    let told = admin.ask("PATCH", "/routes/1", patch);
    assert_eq!((told.status, &told.body["key"]), (200, &json!("/apisix/routes/1")));
    let value = &told.body["value"];
    assert_eq!(value["upstream"]["nodes"], json!({"127.0.0.1:1981": 2}));
    assert_eq!(value["upstream"]["type"], "roundrobin");
    assert_eq!(value["labels"], json!({"x": "1", "z": "3"}));
    assert!(value.get("name").is_none() && value["methods"] == json!(["GET"]));
    assert_eq!(admin.get("/routes/1").body["value"], *value);
    // Lists are replaced.
    let told = admin.ask("PATCH", "/routes/1", json!({"methods": ["PUT"]}));
    assert_eq!(told.body["value"]["methods"], json!(["PUT"]));
}

#[test]
fn places_are_replaced() {
    let (_gateway, mut admin) = start();
    admin.put("/routes/1", route("/a"));
    let nodes = json!({"127.0.0.1:1982": 5});
    let told = admin.ask("PATCH", "/routes/1/upstream/nodes", nodes.clone());
    assert_eq!((told.status, &told.body["value"]["upstream"]["nodes"]), (200, &nodes));
    let list = json!([{"host": "127.0.0.1", "port": 1983, "weight": 1}]);
    assert_eq!(admin.ask("PATCH", "/routes/1/upstream/nodes", list.clone()).status, 200);
    assert_eq!(admin.get("/routes/1").body["value"]["upstream"]["nodes"], list);
    assert_eq!(admin.ask("PATCH", "/routes/1/uri", json!("/b")).status, 200);
    assert_eq!(admin.get("/routes/1").body["value"]["uri"], "/b");
    assert_eq!(admin.ask("PATCH", "/routes/1/labels/env", json!("test")).status, 200);
    assert_eq!(admin.get("/routes/1").body["value"]["labels"], json!({"env": "test"}));
    assert_eq!(admin.refused("PATCH", "/routes/1/uri/x", json!(1)), "invalid sub-path: /uri");
}

#[test]
fn the_result_is_checked() {
    let (_gateway, mut admin) = start();
    admin.put("/routes/1", route("/a"));
    let before = admin.get("/routes/1").body;
    assert_eq!(admin.refused("PATCH", "/routes/1", Value::Null), "missing new configuration");
    assert_eq!(admin.refused("PATCH", "/routes/1", json!("x")), "invalid configuration");
    assert_eq!(
        admin.refused("PATCH", "/routes/1", json!({"zzz": 1})),
        "invalid configuration: additional properties forbidden, found zzz"
    );
    assert_eq!(
        admin.refused("PATCH", "/routes/1/uri", json!(5)),
        "invalid configuration: property \"uri\" validation failed: wrong type: expected string, \
         got number"
    );
    assert_eq!(admin.refused("PATCH", "/routes/1", json!({"id": "2"})), "wrong route id");
    assert_eq!(
        admin.refused("PATCH", "/routes/1", json!({"upstream_id": "77"})),
        "failed to fetch upstream info by upstream id [77], response code: 404"
    );
    assert_eq!(admin.get("/routes/1").body, before, "nothing was changed");
    for (path, what) in
        [("/consumers/a", "consumer"), ("/protos/1", "proto"), ("/stream_routes/1", "stream route")]
    {
        let told = admin.ask("PATCH", path, json!({}));
        assert_eq!(told.status, 405);
        assert_eq!(told.error(), format!("not supported `PATCH` method for {what}"));
    }
}

/// Secrets are merged as they are, not as they are stored.
#[test]
fn secrets_stay_readable() {
    let (_gateway, mut admin) = start();
    let group = json!({"plugins": {"key-auth": {"header": "x"}}});
    admin.put("/plugin_configs/1", group);
    admin.put("/consumers", json!({"username": "j", "plugins": {"key-auth": {"key": "k"}}}));
    admin.put(
        "/consumers",
        json!({"username": "j", "plugins": {"key-auth": {"key": "k"}}, "desc": "d"}),
    );
    assert_eq!(admin.get("/consumers/j").body["value"]["plugins"]["key-auth"]["key"], "k");
    let told = admin.ask("PATCH", "/plugin_configs/1", json!({"desc": "d"}));
    assert_eq!(told.body["value"]["plugins"]["key-auth"]["header"], "x");
}
