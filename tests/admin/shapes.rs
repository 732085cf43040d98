//! Shapes, statuses, ids and times.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::client::{nodes, route, start};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn answers_have_apisix_shapes() {
    let (gateway, mut admin) = start();
    let before = now();
    let put = admin.ask("PUT", "/routes/1", route("/hello"));
    assert_eq!(put.status, 201);
    let mut keys: Vec<&String> = put.body.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["key", "value"], "without indexes");
    assert_eq!(put.body["key"], "/apisix/routes/1");
    let value = &put.body["value"];
    assert_eq!((&value["id"], &value["uri"]), (&json!("1"), &json!("/hello")));
    // What was sent, and nothing else: defaults are not written.
    let names: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 5, "{names:?}");
    let made = value["create_time"].as_u64().unwrap();
    assert!((before..=now()).contains(&made));
    assert_eq!(value["update_time"], made);

    let got = admin.get("/routes/1");
    assert_eq!(got.status, 200);
    assert_eq!(&got.body["value"], value);
    assert_eq!(got.body["createdIndex"], got.body["modifiedIndex"]);
    let created = got.body["createdIndex"].as_u64().unwrap();

    let again = admin.ask("PUT", "/routes/1", route("/hello2"));
    assert_eq!((again.status, &again.body["value"]["uri"]), (200, &json!("/hello2")));
    assert_eq!(again.body["value"]["create_time"], made, "it survives");
    let got = admin.get("/routes/1");
    assert_eq!(got.body["createdIndex"], created);
    assert!(got.body["modifiedIndex"].as_u64().unwrap() > created);

    let list = admin.get("/routes");
    for told in [&again, &got, &list, &admin.get("/routes/none"), &admin.get("/nothing")] {
        let text = told.response.text();
        assert!(text.ends_with("}\n"), "APISIX puts a line feed behind every table: {text:?}");
    }
    assert_eq!(list.body["total"], 1);
    assert_eq!(list.body["list"], json!([got.body]));

    let head = admin.ask("HEAD", "/routes/1", Value::Null);
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let gone = admin.delete("/routes/1");
    assert_eq!(gone.text, r#"{"key":"/apisix/routes/1","deleted":"1"}"#);
    assert_eq!(gone.status, 200);
    for method in ["GET", "PATCH", "DELETE"] {
        let body = if method == "PATCH" { json!({}) } else { Value::Null };
        let told = admin.ask(method, "/routes/1", body);
        assert_eq!((told.status, told.text.as_str()), (404, r#"{"message":"Key not found"}"#));
    }
    assert_eq!(admin.get("/routes").text, r#"{"total":0,"list":[]}"#);
    drop(admin);
    gateway.stop();
}

#[test]
fn every_answer_has_its_fields() {
    let (_gateway, mut admin) = start();
    for (method, path, status) in [
        ("GET", "/routes", 200),
        ("GET", "/routes/none", 404),
        ("GET", "/nothing", 404),
        ("GET", "/plugins/list", 200),
        ("PUT", "/routes/1", 400),
    ] {
        let told = admin.ask(method, path, Value::Null);
        assert_eq!(told.status, status, "{path}");
        assert_eq!(told.response.get("x-api-version"), Some("v3"));
        assert_eq!(told.response.get("content-type"), Some("application/json"));
        assert_eq!(told.response.get("access-control-allow-origin"), None);
    }
    let told = admin.get("/nothing");
    assert_eq!(told.text, r#"{"error_msg":"Unsupported resource type: nothing"}"#);
    // The body is JSON whatever it says that it is.
    let body = route("/a").to_string();
    let field = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert_eq!(admin.raw("PUT", "/routes/1", body.as_bytes(), field).status, 201);
}

#[test]
fn ids() {
    let (_gateway, mut admin) = start();
    let posted = admin.ask("POST", "/routes", route("/a"));
    assert_eq!(posted.status, 201);
    let id = posted.body["value"]["id"].as_str().unwrap().to_owned();
    assert!(id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
    assert_eq!(posted.body["key"], format!("/apisix/routes/{id}"));
    let second = admin.ask("POST", "/routes", route("/b"));
    assert!(second.body["value"]["id"].as_str().unwrap() > id.as_str());
    assert_eq!(admin.get(&format!("/routes/{id}")).status, 200);

    let with = |id: Value| json!({"id": id, "uri": "/x", "upstream": nodes()});
    let inside = admin.ask("PUT", "/routes", with(json!("r1")));
    assert_eq!((inside.status, &inside.body["key"]), (201, &json!("/apisix/routes/r1")));
    let number = admin.ask("PUT", "/routes", with(json!(7)));
    assert_eq!((number.status, &number.body["value"]["id"]), (201, &json!(7)));
    let again = admin.ask("PUT", "/routes/7", with(json!(7)));
    assert_eq!((again.status, &again.body["value"]["id"]), (200, &json!("7")), "the path's");
    admin.put("/routes", with(json!(7)));
    let patched = admin.ask("PATCH", "/routes/7", json!({"uri": "/y"}));
    assert_eq!(patched.body["value"]["id"], "7");

    assert_eq!(admin.refused("PUT", "/routes", route("/x")), "missing route id");
    assert_eq!(admin.refused("PUT", "/routes/1", with(json!("2"))), "wrong route id");
    let not_needed = "wrong route id, do not need it";
    assert_eq!(admin.refused("POST", "/routes/1", route("/x")), not_needed);
    assert_eq!(admin.refused("POST", "/routes", with(json!("1"))), not_needed);
    assert_eq!(admin.refused("DELETE", "/routes", Value::Null), "missing route id");
    assert_eq!(admin.refused("PATCH", "/routes", json!({})), "missing route id");
    let bad = "invalid configuration: property \"id\" validation failed: object matches none of \
               the required";
    for id in ["*", "a%20b", "a%2Fb", "%E4%BD%A0", &"x".repeat(65), &"9".repeat(5000)] {
        assert_eq!(admin.refused("PUT", &format!("/routes/{id}"), route("/x")), bad, "{id}");
        assert_eq!(admin.get(&format!("/routes/{id}")).status, 404);
    }
    assert_eq!(admin.refused("PUT", "/routes", with(json!(""))), bad);
    for kind in ["routes", "services", "upstreams"] {
        for id in [json!(-100), json!(0), json!(1.5)] {
            assert_eq!(
                admin.refused("PUT", &format!("/{kind}"), json!({ "id": id })),
                bad,
                "{kind}"
            );
        }
    }
    assert_eq!(admin.put("/routes", with(json!(1.0))).body["key"], "/apisix/routes/1");
    assert_eq!(admin.refused("PUT", "/routes", with(json!({"a": 1}))), bad);
    assert_eq!(admin.refused("PUT", "/routes", with(json!([1]))), bad);
    assert_eq!(admin.refused("PUT", "/routes/1", with(json!([1]))), bad);
    // Written as it may be, it is the same id.
    admin.put("/routes/a-b", route("/x"));
    assert_eq!(admin.get("/routes/a%2Db").status, 200);
    assert_eq!(admin.get("/routes/%ff").status, 400);
    assert_eq!(admin.refused("DELETE", "/routes/a-b/uri", Value::Null), "invalid sub-path: /uri");
    assert_eq!(admin.get("/routes/a-b").status, 200);
}

#[test]
fn times_are_the_servers() {
    let (_gateway, mut admin) = start();
    let mut sent = route("/a");
    sent["create_time"] = json!(1);
    let forbidden = "the property is forbidden:  create_time";
    assert_eq!(admin.refused("PUT", "/routes/1", sent.clone()), forbidden);
    assert_eq!(admin.refused("POST", "/routes", sent.clone()), forbidden);
    sent["update_time"] = json!(1);
    assert_eq!(admin.refused("PUT", "/routes/1", sent), forbidden, "the first");
    for (inside, name) in [("upstream", "create_time"), ("plugins", "update_time")] {
        let why = format!("the property is forbidden:  {inside}.{name}");
        assert_eq!(admin.refused("PUT", "/services/1", json!({inside: {name: 1}})), why);
    }
    admin.put("/routes/1", route("/a"));
    let patched = admin.ask("PATCH", "/routes/1", json!({"create_time": 5, "update_time": 6}));
    let value = &patched.body["value"];
    assert_eq!((&value["create_time"], &value["update_time"]), (&json!(5), &json!(6)));
    let put = admin.put("/routes/1", route("/b"));
    assert_eq!(put.body["value"]["create_time"], 5);
    assert!(put.body["value"]["update_time"].as_u64().unwrap() > 6);
}
