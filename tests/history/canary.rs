//! A configuration on trial for some of the requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Gateway, SOON, eventually};
use crate::{answering, change, gateway, get, named, post, route};

fn begin(gateway: &Gateway, terms: Value, changes: &[(&str, Value)]) -> (u16, Value) {
    let mut body = crate::body(changes);
    body.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
    post(gateway, "/ringgate/canary", &body)
}

/// What so many requests get, on one connection.
fn answers(gateway: &Gateway, path: &str, count: usize) -> BTreeMap<String, usize> {
    let mut client = gateway.client();
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        *answers.entry(client.get(path).text()).or_default() += 1;
    }
    answers
}

fn canary(gateway: &Gateway) -> Value {
    get(gateway, "/ringgate/canary")["canary"].clone()
}

#[test]
fn a_share_of_the_requests_and_then_all() {
    let gateway = gateway(2);
    let (old, new) = (named("old"), answering("500 Oops", "new"));
    change(&gateway, &[("routes/1", route("/a", &old))]);
    assert_eq!(canary(&gateway), Value::Null);
    assert_eq!(post(&gateway, "/ringgate/canary/promote", &Value::Null).0, 404);
    let changes = [("routes/1", route("/a", &new)), ("routes/2", route("/b", &new))];
    let (status, told) = begin(&gateway, json!({"percent": 25}), &changes);
    assert_eq!((status, &told["canary"]["state"]), (201, &json!("running")), "{told}");
    assert_eq!(told["canary"]["share"], json!({"percent": 25.0}));

    let seen = answers(&gateway, "/a", 2000);
    assert!((400..600).contains(&seen["new"]), "{seen:?}");
    let told = canary(&gateway);
    let (stable, trial) = (&told["stable"], &told["canary"]);
    assert_eq!(trial["requests"], json!(seen["new"]));
    assert_eq!(stable["requests"], json!(seen["old"]));
    assert_eq!((&trial["error_share"], &stable["error_share"]), (&json!(1.0), &json!(0.0)));
    assert!(trial["p99_ms"].as_f64().unwrap() > 0.0 && stable["p50_ms"].as_f64().unwrap() > 0.0);

    let (status, told) = begin(&gateway, json!({"percent": 5}), &changes);
    assert_eq!((status, &told["error_msg"]), (409, &json!("canary 1 runs: one at a time")));

    // Another write is in force for everybody, and the canary stays.
    change(&gateway, &[("routes/3", route("/c", &old))]);
    assert_eq!(answers(&gateway, "/c", 50)["old"], 50);
    let seen = answers(&gateway, "/a", 400);
    assert!((50..150).contains(&seen["new"]), "{seen:?}");

    let (status, told) = post(&gateway, "/ringgate/canary/promote", &Value::Null);
    assert_eq!((status, &told["canary"]["state"]), (200, &json!("promoted")), "{told}");
    assert_eq!(answers(&gateway, "/a", 100)["new"], 100);
    assert_eq!(answers(&gateway, "/b", 10)["new"], 10);
    let newest = get(&gateway, "/ringgate/revisions")["list"][0].clone();
    assert_eq!(newest["note"], json!("canary 1 is promoted"));
    // Nothing is counted any more.
    assert_eq!(canary(&gateway), canary(&gateway));
    assert_eq!(post(&gateway, "/ringgate/canary/withdraw", &Value::Null).0, 404);
    gateway.stop();
}

#[test]
fn on_some_shards_only() {
    let gateway = gateway(2);
    let [old, new] = ["old", "new"].map(named);
    change(&gateway, &[("routes/1", route("/a", &old))]);
    let changes = [("routes/1", route("/a", &new))];
    for shards in [json!([]), json!([2]), json!([0, 1])] {
        assert_eq!(begin(&gateway, json!({"shards": shards}), &changes).0, 400);
    }
    let (status, told) = begin(&gateway, json!({"shards": [1]}), &changes);
    assert_eq!(status, 201, "{told}");
    // A connection stays on its shard.
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    eventually(SOON, "connections on both shards", || {
        let answers = answers(&gateway, "/a", 20);
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.into_iter().for_each(|(answer, count)| *seen.entry(answer).or_default() += count);
        seen.len() == 2
    });
    let told = canary(&gateway);
    assert_eq!(told["canary"]["requests"], json!(seen["new"]));
    assert_eq!(told["stable"]["requests"], json!(seen["old"]));
    let (status, told) = post(&gateway, "/ringgate/canary/withdraw", &Value::Null);
    assert_eq!((status, &told["canary"]["state"]), (200, &json!("withdrawn")));
    assert_eq!(told["canary"]["canary"]["requests"], json!(seen["new"]), "it is told to the end");
    for _ in 0..10 {
        assert_eq!(answers(&gateway, "/a", 5)["old"], 5);
    }
    assert_eq!(get(&gateway, "/ringgate/revisions")["newest"], json!(1), "nothing was written");
    gateway.stop();
}

#[test]
fn it_ends_by_itself() {
    let gateway = gateway(1);
    let (old, bad) = (named("old"), answering("502 Bad", "bad"));
    let other = named("other");
    change(&gateway, &[("routes/1", route("/a", &old))]);
    let changes = [("routes/1", route("/a", &bad))];
    let ended = |what: &str| {
        eventually(SOON, what, || canary(&gateway)["state"] == "withdrawn");
        let reason = canary(&gateway)["reason"].clone();
        assert!(reason.as_str().unwrap().contains(what), "{reason}");
        assert_eq!(answers(&gateway, "/a", 50).len(), 1);
    };
    assert_eq!(begin(&gateway, json!({"percent": 50, "seconds": 0.3}), &changes).0, 201);
    ended("its time is over");

    let terms = json!({"percent": 50, "max_error_share": 0.1, "min_requests": 10});
    assert_eq!(begin(&gateway, terms, &changes).0, 201);
    answers(&gateway, "/a", 100);
    ended("error share 1.0000 above 0.1");

    // What is written counts.
    assert_eq!(begin(&gateway, json!({"percent": 50}), &changes).0, 201);
    change(&gateway, &[("routes/1", route("/a", &other))]);
    ended("routes/1 was written meanwhile");
    assert_eq!(answers(&gateway, "/a", 10)["other"], 10);

    // What a canary refers to goes away.
    change(&gateway, &[("upstreams/u", json!({"nodes": {old.address.to_string(): 1}}))]);
    let by_id = [("routes/1", json!({"uri": "/a", "upstream_id": "u"}))];
    assert_eq!(begin(&gateway, json!({"percent": 50}), &by_id).0, 201);
    change(&gateway, &[("upstreams/u", Value::Null)]);
    ended("it does not go with a change");
    gateway.stop();
}

#[test]
fn of_a_revision_and_what_is_refused() {
    let gateway = gateway(1);
    let [old, new] = ["old", "new"].map(named);
    change(&gateway, &[("routes/1", route("/a", &old))]);
    change(&gateway, &[("routes/1", route("/a", &new))]);
    let (status, told) = post(&gateway, "/ringgate/canary", &json!({"revision": 1, "percent": 50}));
    assert_eq!(
        (status, &told["canary"]["changes"]),
        (201, &json!([{"key": "routes/1", "change": "changed"}]))
    );
    let seen = answers(&gateway, "/a", 300);
    assert!((90..210).contains(&seen["old"]), "{seen:?}");
    assert_eq!(
        post(&gateway, "/ringgate/canary/promote?guard=0.3&max_error_share=0.5", &Value::Null).0,
        200
    );
    assert_eq!(answers(&gateway, "/a", 20)["old"], 20);
    eventually(SOON, "kept", || get(&gateway, "/ringgate/guard")["guards"][0]["state"] == "kept");

    let to = "/ringgate/canary";
    for (body, status, why) in [
        (json!({"revision": 3, "percent": 5}), 400, "change nothing"),
        (json!({"revision": 99, "percent": 5}), 404, "not found"),
        (json!({"revision": 1}), 400, "either percent or shards"),
        (json!({"percent": 5}), 400, "either changes or revision"),
        (json!({"revision": 1, "percent": 0}), 400, "percent"),
        (json!({"revision": 1, "percent": 5, "seconds": 0}), 400, "seconds"),
        (json!({"revision": 1, "percent": 5, "seconds": -1}), 400, "seconds"),
        (json!({"revision": 1, "percent": 5, "more": 1}), 400, "unknown field"),
        (
            json!({"percent": 5, "changes": [{"key": "routes/9", "value": {"uri": 1}}]}),
            400,
            "invalid configuration",
        ),
        (json!({"percent": 5, "changes": [{"key": "routes/9", "value": null}]}), 404, "not found"),
    ] {
        let (got, told) = post(&gateway, to, &body);
        assert_eq!(got, status, "{body}: {told}");
        let text = told["error_msg"].as_str().unwrap().to_lowercase();
        assert!(text.contains(why), "{body}: {text}");
    }
    assert_eq!(canary(&gateway)["number"], json!(1), "none of them began");
    gateway.stop();
}
