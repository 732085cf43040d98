//! The Control API.

use serde_json::{Value, json};

use crate::client::{Admin, nodes};
use crate::harness::{Config, Gateway, Origin, RawClient, SOON, eventually};

fn ask(gateway: &Gateway, path: &str) -> (u16, Value) {
    let told = RawClient::connect(gateway.control_address).get(path);
    (told.status, serde_json::from_str(&told.text()).unwrap_or(Value::Null))
}

#[test]
fn what_is_configured() {
    let gateway = Config::embedded().set("control", json!("on")).start();
    let mut admin = Admin::of(&gateway);
    assert_eq!(ask(&gateway, "/v1/routes"), (200, json!([])));
    admin.put("/upstreams/u", nodes());
    admin.put("/services/s", json!({"upstream_id": "u"}));
    let named = json!({"type": "roundrobin", "nodes": {"a.test:80": 1}});
    admin.put("/routes/1", json!({"uri": "/a", "upstream": named}));
    admin.put("/consumers", json!({"username": "j", "plugins": {"key-auth": {"key": "k"}}}));
    admin.put("/plugin_metadata/prometheus", json!({"a": 1}));
    for (many, one, id) in
        [("routes", "route", "1"), ("services", "service", "s"), ("upstreams", "upstream", "u")]
    {
        let (status, list) = ask(&gateway, &format!("/v1/{many}"));
        assert_eq!((status, list.as_array().unwrap().len()), (200, 1));
        let (status, found) = ask(&gateway, &format!("/v1/{one}/{id}"));
        assert_eq!((status, &found), (200, &list[0]));
        assert_eq!(found["key"], format!("/apisix/{many}/{id}"));
        assert_eq!(found["value"]["id"], id);
        assert_eq!(found["has_domain"], many == "routes");
        if many != "services" {
            let upstream =
                if many == "routes" { &found["value"]["upstream"] } else { &found["value"] };
            assert_eq!(
                (&upstream["pass_host"], &upstream["hash_on"]),
                (&json!("pass"), &json!("vars"))
            );
            assert!(upstream["nodes"][0]["port"].is_u64() && upstream["nodes"][0]["weight"] == 1);
        }
        assert!(found["modifiedIndex"].as_u64().is_some());
        let (status, told) = ask(&gateway, &format!("/v1/{one}/none"));
        assert_eq!((status, told), (404, json!({"error_msg": format!("{one}[none] not found")})));
    }
    let metadata = json!({"a": 1, "id": "prometheus"});
    assert_eq!(ask(&gateway, "/v1/plugin_metadatas"), (200, json!([metadata])));
    assert_eq!(ask(&gateway, "/v1/plugin_metadata/prometheus"), (200, metadata));
    let missing = json!({"error_msg": "plugin metadata[x] not found"});
    assert_eq!(ask(&gateway, "/v1/plugin_metadata/x"), (404, missing));
    let (_, schema) = ask(&gateway, "/v1/schema");
    assert_eq!(schema["main"]["route"]["type"], "object");
    assert_eq!(schema["plugins"]["key-auth"]["priority"], 2500);
    assert!(schema["stream_plugins"].is_object());
    let plugins = json!({"limit-count": {"count": 1, "time_window": 60}});
    admin.put("/services", json!({"id": 5, "plugins": plugins}));
    let (_, found) = ask(&gateway, "/v1/service/5");
    let limit = &found["value"]["plugins"]["limit-count"];
    assert_eq!((&found["value"]["id"], &limit["_meta"]), (&json!("5"), &json!({})));
    assert_eq!((&limit["policy"], &limit["rejected_code"]), (&json!("local"), &json!(503)));
    assert_eq!(ask(&gateway, "/v1/healthcheck"), (200, json!({})));
    assert_eq!(ask(&gateway, "/v1/plugins/reload").0, 404, "PUT only");
    assert_eq!(ask(&gateway, "/v1/nothing").0, 404);
    assert_eq!(ask(&gateway, "/apisix/admin/routes").0, 404, "the Admin API is elsewhere");
    drop(admin);
    gateway.stop();
}

#[test]
fn how_nodes_are() {
    let gateway = Config::embedded().set("control", json!("on")).start();
    let mut admin = Admin::of(&gateway);
    let origin = Origin::hello();
    let checks = json!({"active": {
        "http_path": "/", "healthy": {"interval": 1, "successes": 1},
        "unhealthy": {"interval": 1, "http_failures": 1, "tcp_failures": 1},
    }});
    let (_port, closed) = crate::harness::closed_address();
    let nodes = json!({origin.address.to_string(): 1, closed.to_string(): 1});
    let upstream = json!({"type": "roundrobin", "nodes": nodes, "checks": checks});
    admin.put("/upstreams/u", upstream.clone());
    admin.put("/routes/1", json!({"uri": "/a", "upstream_id": "u"}));
    admin.put("/routes/2", json!({"uri": "/b", "upstream": upstream}));
    for (kind, id) in [("upstreams", "u"), ("routes", "2")] {
        let path = format!("/v1/healthcheck/{kind}/{id}");
        let state = |port: u16| {
            let (_, told) = ask(&gateway, &path);
            let nodes = told["nodes"].as_array().cloned().unwrap_or_default();
            let node = nodes.into_iter().find(|node| node["port"] == port)?;
            assert_eq!((&node["ip"], &told["type"]), (&json!("127.0.0.1"), &json!("http")));
            assert_eq!(told["name"], format!("/apisix/{kind}/{id}"));
            node["status"].as_str().map(str::to_owned)
        };
        eventually(SOON, "the closed one is down", || {
            state(closed.port()).as_deref() == Some("unhealthy")
        });
        eventually(SOON, "the other one is up", || {
            state(origin.address.port()).as_deref() == Some("healthy")
        });
    }
    assert_eq!(ask(&gateway, "/v1/healthcheck").1.as_array().unwrap().len(), 2);
    assert_eq!(ask(&gateway, "/v1/healthcheck/routes/none").0, 404);
    assert_eq!(ask(&gateway, "/v1/healthcheck/x/none").0, 400);
}
