//! Whole configurations: APISIX's standalone mode with the Admin API.

use serde_json::{Value, json};

use crate::client::{Admin, Told, nodes, start};
use crate::harness::{Config, Origin, Resources};

fn route(id: &str, uri: &str) -> Value {
    json!({"id": id, "uri": uri, "upstream": nodes()})
}

fn put(admin: &mut Admin, digest: &str, body: &Value) -> Told {
    let field = format!("X-Digest: {digest}\r\n");
    admin.raw("PUT", "/configs", body.to_string().as_bytes(), &field)
}

#[test]
fn replaced_as_a_whole() {
    let gateway = Config::new(&Resources::new()).set("store", json!({"kind": "api"})).start();
    let mut admin = Admin::of(&gateway);
    let empty = admin.get("/configs");
    assert_eq!((empty.status, &empty.body["routes_conf_version"]), (200, &json!(0)));
    assert!(empty.body.get("routes").is_none());
    let origin = Origin::hello();
    let mut first = route("1", "/a");
    first["upstream"]["nodes"] = json!({origin.address.to_string(): 1});
    let all = json!({
        "routes": [first, route("2", "/b")], "services": [{"id": "s", "upstream": nodes()}],
        "consumers": [
            {"username": "jack"},
            {"id": "jack/credentials/c", "plugins": {"key-auth": {"key": "k"}}},
        ],
    });
    let told = admin.raw("PUT", "/configs", all.to_string().as_bytes(), "");
    assert_eq!((told.status, told.error()), (400, "missing digest header"));
    let told = admin.raw("PUT", "/configs", b"", "X-Digest: d\r\n");
    assert_eq!(told.error(), "invalid request body: empty request body");
    let told = put(&mut admin, "d1", &all);
    assert_eq!((told.status, told.response.get("x-digest")), (202, Some("d1")), "{}", told.text);
    assert_eq!(gateway.get("/a").text(), "hello", "it serves");
    assert_eq!(put(&mut admin, "d1", &json!({})).status, 204, "the same digest changes nothing");
    let told = admin.raw("HEAD", "/configs", b"", "");
    assert_eq!(told.response.get("x-digest"), Some("d1"));
    assert!(told.response.get("x-last-modified").unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    let got = admin.get("/configs").body;
    assert_eq!(got["routes"].as_array().unwrap().len(), 2);
    assert_eq!((&got["routes_conf_version"], &got["ssls_conf_version"]), (&json!(1), &json!(1)));
    assert_eq!(got["consumers"][1]["plugins"]["key-auth"]["key"], "k");

    // Versions: one that is as before keeps its kind as it is; none goes back.
    let next = json!({"routes": [route("3", "/c")], "services_conf_version": 1,
        "consumers_conf_version": 1, "routes_conf_version": 5});
    assert_eq!(put(&mut admin, "d2", &next).status, 202);
    let got = admin.get("/configs").body;
    assert_eq!(got["routes"].as_array().unwrap().len(), 1);
    assert_eq!(got["services"].as_array().unwrap().len(), 1);
    assert_eq!(got["routes_conf_version"], 5);
    let told = put(&mut admin, "d3", &json!({"routes": [], "routes_conf_version": 4}));
    assert_eq!(told.status, 400);
    assert_eq!(told.error(), "routes_conf_version must be greater than or equal to (5)");
    let told = put(&mut admin, "d3", &json!({"routes_conf_version": "x"}));
    assert_eq!(told.error(), "routes_conf_version must be a number");

    // All or nothing, with what is wrong.
    let wrong = json!({"routes": [route("4", "/d"), {"id": "5", "uri": 5}]});
    let told = put(&mut admin, "d3", &wrong);
    assert_eq!(told.status, 400);
    assert!(told.error().starts_with("invalid routes at index 1, err: "), "{}", told.error());
    let twice = json!({"routes": [route("4", "/d"), route("4", "/e")]});
    assert_eq!(put(&mut admin, "d3", &twice).error(), "found duplicate id 4 in routes");
    assert_eq!(admin.get("/configs").body, got, "nothing was changed");
    assert_eq!(put(&mut admin, "d4", &json!({})).status, 202, "the digest of what failed is free");
    assert_eq!(gateway.get("/c").status, 404);

    // YAML too, both ways.
    let yaml = "routes:\n  - id: y\n    uri: /y\n    upstream: {type: roundrobin, nodes: {\"127.0.0.1:1\": 1}}\n";
    let fields = "X-Digest: d5\r\nContent-Type: application/yaml\r\n";
    assert_eq!(admin.raw("PUT", "/configs", yaml.as_bytes(), fields).status, 202);
    let told = admin.raw("GET", "/configs", b"", "Accept: application/yaml\r\n");
    assert_eq!(told.response.get("content-type"), Some("application/yaml"));
    assert!(told.text.contains("/y"));
    let told = admin.raw(
        "PUT",
        "/configs",
        b"routes: [",
        "X-Digest: d6\r\nContent-Type: application/yaml\r\n",
    );
    assert_eq!(told.status, 400);

    // Single resources are read, not written.
    assert_eq!(admin.get("/routes/y").status, 200);
    let told = admin.ask("PUT", "/routes/9", crate::client::route("/x"));
    assert_eq!(told.status, 405);
    assert!(told.error().contains("/apisix/admin/configs"), "{}", told.error());
    drop(admin);
    gateway.stop();
}

#[test]
fn other_stores_take_no_whole_configurations() {
    let (_gateway, mut admin) = start();
    assert_eq!(put(&mut admin, "d", &json!({})).status, 405);
    let gateway = Config::new(&Resources::new()).start();
    let mut admin = Admin::of(&gateway);
    for (method, path) in [("PUT", "/routes/1"), ("POST", "/routes"), ("DELETE", "/routes/1")] {
        let told = admin.ask(method, path, crate::client::route("/a"));
        assert_eq!(told.status, 405, "{method} {}", told.text);
        assert!(told.error().contains("resources.yaml"), "{}", told.error());
    }
    assert_eq!(admin.get("/routes").status, 200);
}
