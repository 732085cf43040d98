//! Who changed what, what differs, and back.

use serde_json::{Value, json};

use crate::support::{self, ADMIN_KEY, Config, Gateway, Resources};
use crate::{VIEWER_KEY, ask, body, change, gateway, get, named, post, route};

#[test]
fn every_change_is_a_revision() {
    let gateway = gateway(1);
    let [one, two] = ["one", "two"].map(named);
    assert_eq!(get(&gateway, "/ringgate/revisions"), json!({"total": 0, "list": []}));
    assert_eq!(get(&gateway, "/ringgate/revisions/verify")["valid"], json!(true));

    let first =
        change(&gateway, &[("routes/1", route("/a", &one)), ("routes/2", route("/b", &one))]);
    let noted =
        json!({"changes": [{"key": "routes/1", "value": route("/a", &two)}], "note": "why"});
    let (status, told) = post(&gateway, "/ringgate/changes", &noted);
    assert_eq!((status, &told["changes"]), (200, &json!([{"created": false, "removed": false}])));
    let third = change(&gateway, &[("routes/2", Value::Null)]);
    assert_eq!((first, told["revision"].as_u64(), third), (1, Some(2), 3));

    let told = get(&gateway, "/ringgate/revisions?page_size=2");
    assert_eq!(
        (&told["total"], &told["oldest"], &told["newest"]),
        (&json!(3), &json!(1), &json!(3))
    );
    let list = told["list"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0]["changes"], json!([{"key": "routes/2", "change": "removed"}]));
    assert_eq!(list[1]["changes"], json!([{"key": "routes/1", "change": "changed"}]));
    assert_eq!((&list[1]["note"], &list[0]["note"]), (&json!("why"), &Value::Null));
    assert_eq!(
        (&list[0]["author"], &list[0]["address"]),
        (&json!("RINGGATE_ADMIN_KEY"), &json!("127.0.0.1"))
    );
    assert_eq!(list[0]["previous"], list[1]["hash"]);
    assert!(list[0]["time"].as_u64().unwrap() > 1_700_000_000_000);
    let rest = get(&gateway, "/ringgate/revisions?page_size=2&page=2");
    assert_eq!(rest["list"][0]["number"], json!(1));
    assert_eq!(get(&gateway, "/ringgate/revisions?page=9")["list"], json!([]));

    let one_told = get(&gateway, "/ringgate/revisions/2");
    let changed = &one_told["changes"][0];
    assert_eq!(changed["before"]["uri"], json!("/a"));
    let paths: Vec<_> = changed["fields"].as_array().unwrap().iter().map(|f| &f["path"]).collect();
    assert!(paths.contains(&&json!(format!("/upstream/nodes/{}", two.address))), "{paths:?}");

    let forth = get(&gateway, "/ringgate/revisions/diff?from=1");
    let back = get(&gateway, "/ringgate/revisions/diff?from=3&to=1");
    let what = |diff: &Value| -> Vec<Value> {
        diff["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| json!([d["key"], d["change"]]))
            .collect()
    };
    assert_eq!(what(&forth), [json!(["routes/1", "changed"]), json!(["routes/2", "removed"])]);
    assert_eq!(what(&back), [json!(["routes/1", "changed"]), json!(["routes/2", "created"])]);
    assert_eq!(forth["differences"][0]["after"], back["differences"][0]["before"]);

    let (status, told) = post(&gateway, "/ringgate/revisions/1/rollback", &Value::Null);
    assert_eq!((status, &told["revision"]), (200, &json!(4)));
    assert_eq!((gateway.get("/a").text(), gateway.get("/b").status), ("one".into(), 200));
    assert_eq!(get(&gateway, "/ringgate/revisions/4")["note"], json!("rollback to revision 1"));
    assert_eq!(get(&gateway, "/ringgate/revisions/diff?from=1&to=4")["differences"], json!([]));
    // To what is already: nothing happens.
    let (_, told) = post(&gateway, "/ringgate/revisions/1/rollback", &Value::Null);
    assert_eq!(told, json!({"revision": null, "changes": []}));
    assert_eq!(post(&gateway, "/ringgate/revisions/0/rollback", &Value::Null).0, 200);
    assert_eq!((gateway.get("/a").status, gateway.get("/b").status), (404, 404));
    let whole = json!({"valid": true, "revisions": 5, "oldest": 1, "newest": 5});
    assert_eq!(get(&gateway, "/ringgate/revisions/verify"), whole);
    gateway.stop();
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let gateway = gateway(1);
    let node = named("one");
    change(
        &gateway,
        &[
            ("upstreams/u", json!({"nodes": {node.address.to_string(): 1}})),
            ("routes/1", json!({"uri": "/a", "upstream_id": "u"})),
        ],
    );
    let refused = |path: &str, body: &Value, status: u16, why: &str| {
        let (got, told) = post(&gateway, path, body);
        assert_eq!(got, status, "{path} {told}");
        assert!(told["error_msg"].as_str().unwrap().contains(why), "{path}: {told}");
    };
    let changes = |list: &[(&str, Value)]| body(list);
    let to = "/ringgate/changes";
    refused(to, &json!({"change": []}), 400, "unknown field");
    refused(to, &json!([1]), 400, "invalid request body");
    refused(to, &changes(&[("nowhere/1", json!({}))]), 400, "names no resource");
    refused(to, &changes(&[("routes/2", json!(5))]), 400, "expected an object");
    refused(to, &changes(&[("routes/2", json!({"uri": 5}))]), 400, "invalid configuration");
    refused(to, &changes(&[("routes/2", Value::Null)]), 404, "Key not found");
    refused(to, &changes(&[("upstreams/u", Value::Null)]), 400, "is still using it now");
    // The first would be fine by itself.
    let half =
        [("routes/3", route("/c", &node)), ("routes/4", json!({"uri": "/d", "upstream_id": "x"}))];
    refused(to, &changes(&half), 400, "x");
    refused(to, &changes(&vec![("routes/3", route("/c", &node)); 1001]), 400, "more than 1000");
    refused("/ringgate/revisions/9/rollback", &Value::Null, 404, "no such revision");
    refused("/ringgate/revisions/x/rollback", &Value::Null, 404, "no such revision");
    assert_eq!(gateway.get("/c").status, 404);
    // Both go together.
    change(&gateway, &[("routes/1", Value::Null), ("upstreams/u", Value::Null)]);

    let status = |path: &str| ask(&gateway, ("GET", path, ADMIN_KEY), "", &Value::Null).0;
    for (path, expected) in [
        ("/ringgate/revisions?page=0", 400),
        ("/ringgate/revisions?page_size=1001", 400),
        ("/ringgate/revisions/99", 404),
        ("/ringgate/revisions/0", 404),
        ("/ringgate/revisions/-1", 404),
        ("/ringgate/revisions/diff", 400),
        ("/ringgate/revisions/diff?from=1&to=99", 404),
        ("/ringgate/revisions/diff?from=a", 400),
    ] {
        assert_eq!(status(path), expected, "{path}");
    }
    assert_eq!(get(&gateway, "/ringgate/revisions")["newest"], json!(2));
    gateway.stop();
}

#[test]
fn viewers_read_and_nobody_sees_secrets() {
    let gateway = gateway(1);
    let jack = |key: &str| json!({"username": "jack", "plugins": {"key-auth": {"key": key}}});
    change(&gateway, &[("consumers/jack", jack("jacks-first-key"))]);
    change(&gateway, &[("consumers/jack", jack("jacks-second-key"))]);
    let reads = [
        "/ringgate/revisions",
        "/ringgate/revisions/2",
        "/ringgate/revisions/diff?from=0&to=2",
        "/ringgate/revisions/diff?from=1&to=2",
        "/ringgate/revisions/verify",
        "/ringgate/guard",
        "/ringgate/canary",
    ];
    for path in reads {
        for key in [VIEWER_KEY, ADMIN_KEY] {
            let (status, told) = ask(&gateway, ("GET", path, key), "", &Value::Null);
            assert_eq!(status, 200, "{path}");
            let text = told.to_string();
            assert!(!text.contains("jacks-"), "{path}: {text}");
        }
        assert_eq!(ask(&gateway, ("GET", path, "nobody"), "", &Value::Null).0, 401, "{path}");
    }
    let diff = get(&gateway, "/ringgate/revisions/diff?from=1&to=2");
    let fields = diff["differences"][0]["fields"].as_array().unwrap();
    let key = fields.iter().find(|field| field["path"] == "/plugins/key-auth/key").unwrap();
    assert_eq!((&key["before"], &key["after"]), (&json!("***"), &json!("***")), "that it changed");
    for path in [
        "/ringgate/changes",
        "/ringgate/revisions/1/rollback",
        "/ringgate/canary",
        "/ringgate/canary/promote",
        "/ringgate/canary/withdraw",
    ] {
        let (status, told) = ask(&gateway, ("POST", path, VIEWER_KEY), "", &body(&[]));
        assert_eq!((status, &told["description"]), (401, &json!("invalid method for role viewer")));
    }
    assert_eq!(get(&gateway, "/ringgate/revisions")["newest"], json!(2));
    gateway.stop();
}

/// So many are recorded once the gateway is ready; they are the same ones at the next start.
#[test]
fn a_large_file_is_one_revision() {
    let node = named("one");
    let resources = (0..1500).fold(Resources::new(), |resources, number| {
        let (id, uri) = (format!("r{number}"), format!("/r{number}"));
        resources.route(support::route(&id, &uri, node.address))
    });
    let mut gateway = Config::new(&resources).start();
    assert_eq!(gateway.get("/r1499").text(), "one");
    let total =
        |gateway: &Gateway| get(gateway, "/apisix/admin/routes?page_size=10")["total"].clone();
    assert_eq!(total(&gateway), json!(1500), "they are there at once");
    let revisions = |gateway: &Gateway| get(gateway, "/ringgate/revisions")["total"].clone();
    support::eventually(support::SOON, "they are recorded", || revisions(&gateway) == json!(1));
    assert_eq!(get(&gateway, "/ringgate/revisions/verify")["valid"], json!(true));
    gateway.kill_and_restart();
    assert_eq!((total(&gateway), revisions(&gateway)), (json!(1500), json!(1)));
}
