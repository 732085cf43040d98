//! Plugins, schemas, and checks without a write.

use serde_json::{Value, json};

use crate::client::{nodes, route, start};

#[test]
fn plugins_and_schemas() {
    let (_gateway, mut admin) = start();
    let list = admin.get("/plugins/list").body;
    let names: Vec<&str> = list.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(names.contains(&"key-auth") && names.contains(&"limit-count"), "{names:?}");
    let all = admin.get("/plugins?all=true").body;
    let priority = |name: &str| all[name]["priority"].as_i64().unwrap();
    assert!(names.windows(2).all(|two| priority(two[0]) >= priority(two[1])), "{names:?}");
    assert_eq!((&all["key-auth"]["type"], priority("key-auth")), (&json!("auth"), 2500));
    assert!(all["key-auth"]["consumer_schema"]["properties"]["key"].is_object());

    for path in ["/plugins/key-auth", "/schema/plugins/key-auth"] {
        let schema = admin.get(path);
        assert_eq!(schema.status, 200);
        assert_eq!(schema.body["type"], "object");
        assert!(schema.body["properties"]["header"].is_object());
        assert!(schema.body["properties"]["_meta"].is_object());
        let schema = admin.get(&format!("{path}?schema_type=consumer"));
        assert_eq!(schema.body["required"], json!(["key"]));
    }
    let told = admin.get("/plugins/none");
    assert_eq!(told.text, r#"{"error_msg":"plugin not found in subsystem http"}"#);
    assert_eq!(told.status, 404);
    let told = admin.get("/plugins/key-auth?subsystem=stream");
    assert_eq!((told.status, told.error()), (404, "plugin not found in subsystem stream"));
    let why = admin.refused("GET", "/plugins/key-auth?subsystem=x", Value::Null);
    assert_eq!(why, "unsupported subsystem: x");
    let told = admin.ask("PUT", "/plugins/reload", Value::Null);
    assert_eq!((told.status, told.text.as_str()), (200, "done"));
    let told = admin.get("/plugins/reload");
    let why = "please use PUT method to reload the plugins, GET method is not allowed.";
    assert_eq!((told.status, told.error()), (405, why));
    assert_eq!(admin.ask("HEAD", "", Value::Null).status, 200);

    for name in ["route", "routes", "service", "upstream", "consumer", "ssl", "stream_route"] {
        let told = admin.get(&format!("/schema/{name}"));
        assert_eq!((told.status, &told.body["type"]), (200, &json!("object")), "{name}");
    }
    assert_eq!(admin.refused("GET", "/schema/x", Value::Null), "not found schema: x");
}

#[test]
fn checks_without_a_write() {
    let (_gateway, mut admin) = start();
    let told = admin.ask("POST", "/schema/validate/routes", route("/a"));
    assert_eq!((told.status, told.text.as_str()), (200, ""));
    let why = admin.refused("POST", "/schema/validate/routes", json!({"uri": 5}));
    assert_eq!(why, "property \"uri\" validation failed: wrong type: expected string, got number");
    let why = admin.refused("POST", "/schema/validate/routes", Value::Null);
    assert_eq!(why, "missing configurations");
    let told = admin.ask("POST", "/schema/validate/x", json!({}));
    assert_eq!((told.status, told.error()), (404, "Unsupported resource type: x"));

    let with = |id: &str| json!({"id": id, "uri": "/a", "upstream": nodes()});
    let good = json!({
        "routes": [with("1"), {"id": "2", "uri": "/b", "service_id": "s"}],
        "services": [{"id": "s", "upstream": nodes()}],
        "consumers": [{"username": "jack", "plugins": {"key-auth": {"key": "k"}}}],
    });
    assert_eq!(admin.ask("POST", "/configs/validate", good).status, 200);
    let bad = json!({
        "routes": [
            with("1"), with("1"), {"id": "3", "uri": 5}, {"uri": "/a", "upstream": nodes()},
            {"id": "5", "uri": "/a", "upstream_id": "none"},
        ],
        "consumers": [{"username": "jack", "plugins": {"x": {}}}, {"username": "jack"}],
    });
    let told = admin.ask("POST", "/configs/validate", bad);
    assert_eq!((told.status, told.error()), (400, "Configuration validation failed"));
    let errors = told.body["errors"].as_array().unwrap();
    let has = |kind: &str, index: u64, text: &str| {
        errors.iter().any(|error| {
            error["resource_type"] == kind
                && error["index"] == index
                && error["error"].as_str().unwrap().contains(text)
        })
    };
    assert!(has("routes", 1, "found duplicate id 1 in routes"), "{}", told.text);
    assert!(has("routes", 2, "invalid configuration: property"));
    assert!(has("routes", 4, "failed to fetch upstream info by upstream id [none]"));
    assert!(has("consumers", 0, "unknown plugin [x]"));
    assert!(has("consumers", 1, "found duplicate username jack in consumers"));
    assert!(errors.iter().any(|error| error["index"] == 1 && error["resource_id"] == "jack"));
    let yaml = "consumers:\n- username: jack\n  plugins:\n    cors:\n";
    let field = "Content-Type: application/yaml\r\n";
    let told = admin.raw("POST", "/configs/validate", yaml.as_bytes(), field);
    assert_eq!((told.status, told.text.as_str()), (200, "{}"), "YAML's null is an empty table");
    assert_eq!(errors.len(), 5);
    assert_eq!(admin.get("/routes").body["total"], 0, "nothing was written");
}
