//! What refers to what: refused where it leads nowhere, kept from being deleted.

use serde_json::{Value, json};

use crate::client::{nodes, route, start};
use crate::harness::{ADMIN_KEY, Origin, RawClient};

#[test]
fn references_must_lead_somewhere() {
    let (_gateway, mut admin) = start();
    for (field, what) in [
        ("upstream_id", "upstream"),
        ("service_id", "service"),
        ("plugin_config_id", "plugin config"),
    ] {
        for id in [json!("77"), json!(77)] {
            let mut value = route("/a");
            value[field] = id;
            assert_eq!(
                admin.refused("PUT", "/routes/1", value),
                format!("failed to fetch {what} info by {what} id [77], response code: 404")
            );
        }
    }
    assert_eq!(
        admin.refused("PUT", "/consumers", json!({"username": "j", "group_id": "77"})),
        "failed to fetch consumer group info by consumer group id [77], response code: 404"
    );
    let mut upstream = nodes();
    upstream["tls"] = json!({"client_cert_id": "77"});
    assert_eq!(
        admin.refused("PUT", "/upstreams/1", upstream),
        "failed to fetch ssl info by ssl id [77], response code: 404"
    );
    assert_eq!(admin.get("/routes").body["total"], 0);
}

#[test]
fn what_is_used_is_not_deleted() {
    let (_gateway, mut admin) = start();
    admin.put("/upstreams/1", nodes());
    admin.put("/services/s", json!({"upstream_id": "1"}));
    admin.put("/plugin_configs/p", json!({"plugins": {}}));
    admin.put("/consumer_groups/g", json!({"plugins": {}}));
    admin.put("/routes/2", json!({"uri": "/a", "service_id": "s", "plugin_config_id": "p"}));
    admin.put("/consumers", json!({"username": "jack", "group_id": "g"}));
    for (path, why) in [
        ("/upstreams/1", "can not delete this upstream, service [s] is still using it now"),
        ("/services/s", "can not delete this service directly, route [2] is still using it now"),
        ("/plugin_configs/p", "can not delete this plugin config, route [2] is still using it now"),
        (
            "/consumer_groups/g",
            "can not delete this consumer group, consumer [jack] is still using it now",
        ),
    ] {
        assert_eq!(admin.refused("DELETE", path, Value::Null), why);
        assert_eq!(admin.refused("DELETE", &format!("{path}?force=false"), Value::Null), why);
        assert_eq!(admin.get(path).status, 200);
    }
    assert_eq!(admin.delete("/services/s?force=true").status, 200, "it skips the check");
    assert_eq!(admin.get("/services/s").status, 404);
    assert_eq!(admin.delete("/routes/2").status, 200);
    for path in ["/upstreams/1", "/plugin_configs/p", "/consumers/jack", "/consumer_groups/g"] {
        assert_eq!(admin.delete(path).status, 200, "{path}");
    }
}

const PROTO: &str =
    "syntax = \"proto3\"; package a; message M {} service S { rpc Get (M) returns (M); }";

/// Definitions come and change without those who use them, whose calls get 503 meanwhile.
#[test]
fn definitions_in_use() {
    let (gateway, mut admin) = start();
    let why =
        admin.refused("PUT", "/protos/1", json!({"content": "syntax = \"proto3\"; message {}"}));
    assert!(why.starts_with("invalid content: "), "{why}");
    admin.put("/protos/1", json!({"content": PROTO}));
    let plugin = json!({"proto_id": "1", "service": "a.S", "method": "None"});
    let mut calls = route("/calls");
    calls["plugins"] = json!({"grpc-transcode": plugin});
    admin.put("/routes/1", calls);
    assert_eq!(gateway.get("/calls").status, 503);
    let why = "can not delete this proto, route [1] is still using it now";
    assert_eq!(admin.refused("DELETE", "/protos/1", Value::Null), why);
    assert_eq!(admin.delete("/protos/1?force=true").status, 200);
    assert_eq!(gateway.get("/calls").status, 503);
}

#[test]
fn a_plugin_is_in_one_global_rule() {
    let (_gateway, mut admin) = start();
    admin.put("/global_rules/1", json!({"plugins": {"cors": {}, "key-auth": {}}}));
    admin.put("/global_rules/1", json!({"plugins": {"cors": {}}}));
    admin.put("/global_rules/2", json!({"plugins": {"prometheus": {}}}));
    let why = "plugin 'cors' already exists in global rule with id '1'";
    let both = json!({"plugins": {"prometheus": {}, "cors": {}}});
    assert_eq!(admin.refused("PUT", "/global_rules/2", both.clone()), why);
    assert_eq!(admin.refused("PATCH", "/global_rules/2", both), why);
    assert_eq!(admin.delete("/global_rules/1").status, 200);
    admin.put("/global_rules/3", json!({"plugins": {"cors": {}}}));
}

/// What is named comes before what stands inside, for routes and for services; `explain` says so.
#[test]
fn an_upstream_that_is_named_comes_first() {
    let (gateway, mut admin) = start();
    let origins = ["named", "inside", "of the service"].map(|name| {
        Origin::answering(move |_| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", name.len());
            (head + name).into_bytes()
        })
    });
    let to = |at: usize| json!({"nodes": {origins[at].address.to_string(): 1}});
    admin.put("/upstreams/u", to(0));
    admin.put("/services/both", json!({"upstream_id": "u", "upstream": to(2)}));
    admin.put("/services/inside", json!({"upstream": to(2)}));
    for (path, route, told, from) in [
        ("/a", json!({"upstream_id": "u", "upstream": to(1)}), "named", "upstreams"),
        ("/b", json!({"service_id": "both"}), "named", "upstreams"),
        ("/c", json!({"service_id": "both", "upstream": to(1)}), "inside", "routes"),
        ("/d", json!({"service_id": "inside", "upstream_id": "u"}), "named", "upstreams"),
        ("/e", json!({"service_id": "inside"}), "of the service", "services"),
    ] {
        let mut value = route;
        value["uri"] = path.into();
        admin.put(&format!("/routes{path}"), value);
        assert_eq!(gateway.get(path).text(), told, "{path}");
        let question = json!({"url": format!("http://a{path}")}).to_string();
        let told = RawClient::connect(gateway.admin).ask(format!(
            "POST /ringgate/explain HTTP/1.1\r\nHost: a\r\nX-API-KEY: {ADMIN_KEY}\r\n\
             Content-Length: {}\r\n\r\n{question}",
            question.len()
        ));
        let told: Value = serde_json::from_str(&told.text()).unwrap();
        assert_eq!(told["upstream"]["from"]["kind"], from, "{path} {told}");
    }
}
