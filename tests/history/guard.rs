//! Changes that do harm are taken back.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{ADMIN_KEY, Gateway, Origin, RawClient, SOON, eventually, millis};
use crate::{answering, ask, body, change, gateway, get, named, post, route};

fn guard(gateway: &Gateway, revision: u64) -> Value {
    let told = get(gateway, "/ringgate/guard");
    let guards = told["guards"].as_array().unwrap();
    let found = guards.iter().find(|guard| guard["revisions"][0] == json!(revision));
    found.cloned().unwrap_or_else(|| panic!("no guard of {revision}: {told}"))
}

/// Asks until the guard of a revision has ended.
#[track_caller]
fn ask_until_ended(gateway: &Gateway, revision: u64, path: &str) -> Value {
    let mut client = gateway.client();
    let begun = Instant::now();
    loop {
        (0..20).for_each(|_| _ = client.get(path));
        let told = guard(gateway, revision);
        if told["state"] != "watching" {
            return told;
        }
        assert!(begun.elapsed() < SOON, "{told}");
    }
}

#[test]
fn what_answers_with_errors_is_rolled_back() {
    let gateway = gateway(2);
    let (good, bad) = (named("good"), answering("503 Service Unavailable", "bad"));
    change(&gateway, &[("routes/1", route("/a", &good)), ("routes/2", route("/b", &good))]);
    let wrong = body(&[("routes/1", route("/a", &bad)), ("routes/3", route("/c", &bad))]);
    let path = "/ringgate/changes?guard=20&max_error_share=0.2&min_requests=10";
    let (status, told) = post(&gateway, path, &wrong);
    let revision = told["revision"].as_u64().unwrap();
    assert_eq!((status, gateway.get("/a").status), (200, 503), "it is in force meanwhile");
    assert_eq!(guard(&gateway, revision)["state"], json!("watching"));
    // Somebody else goes on.
    change(&gateway, &[("routes/3", route("/c", &good))]);

    let told = ask_until_ended(&gateway, revision, "/a");
    assert_eq!(told["state"], json!("rolled_back"), "{told}");
    assert!(told["reason"].as_str().unwrap().contains("error share"), "{told}");
    assert_eq!((&told["rolled_back_by"], &told["left"]), (&json!([4]), &json!(["routes/3"])));
    assert!(told["seen"]["requests"].as_u64().unwrap() >= 10);
    assert_eq!(gateway.get("/a").text(), "good");
    assert_eq!(gateway.get("/c").text(), "good", "what others wrote since stays");
    let by = get(&gateway, "/ringgate/revisions/4");
    assert_eq!(by["author"], json!("guard"));
    let note = by["note"].as_str().unwrap();
    assert!(note.starts_with("revision 2 is taken back: error share"), "{note}");
    assert_eq!(get(&gateway, "/ringgate/revisions/2")["guard"]["state"], json!("rolled_back"));
    assert!(gateway.log().contains("guarded change taken back"));
    gateway.stop();
}

#[test]
fn what_is_slow_is_rolled_back_and_what_is_well_stays() {
    let gateway = gateway(1);
    let good = named("good");
    let slow = Origin::answering(|_| {
        std::thread::sleep(millis(60));
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow".to_vec()
    });
    change(&gateway, &[("routes/1", route("/a", &good))]);
    let put = |fields: &str, changes: &[(&str, Value)]| -> u64 {
        let to = ("POST", "/ringgate/changes", ADMIN_KEY);
        let (status, told) = ask(&gateway, to, fields, &body(changes));
        assert_eq!(status, 200, "{told}");
        told["revision"].as_u64().unwrap()
    };
    let fields = "X-Ringgate-Guard: seconds=20, p99_ms=50, requests=20\r\n";
    let revision = put(fields, &[("routes/1", route("/a", &slow))]);
    let told = ask_until_ended(&gateway, revision, "/a");
    assert_eq!(told["state"], json!("rolled_back"), "{told}");
    assert!(told["reason"].as_str().unwrap().contains("p99"), "{told}");
    assert_eq!(gateway.get("/a").text(), "good");

    let fields = "X-Ringgate-Guard: seconds=1, p99_ms=5000, error_share=0.1\r\n";
    let revision = put(fields, &[("routes/2", route("/b", &good))]);
    let told = ask_until_ended(&gateway, revision, "/b");
    assert_eq!((&told["state"], &told["reason"]), (&json!("kept"), &Value::Null));
    // A rollback can be guarded too.
    let (status, told) = post(
        &gateway,
        &format!("/ringgate/revisions/{revision}/rollback?guard=0.3&max_error_share=0"),
        &Value::Null,
    );
    assert_eq!((status, &told["revision"]), (200, &Value::Null), "there was nothing to do");
    let (_, told) =
        post(&gateway, "/ringgate/revisions/1/rollback?guard=0.3&max_error_share=0", &Value::Null);
    let revision = told["revision"].as_u64().unwrap();
    eventually(SOON, "kept", || guard(&gateway, revision)["state"] == "kept");
    gateway.stop();
}

#[test]
fn guards_that_make_no_sense_change_nothing() {
    let gateway = gateway(1);
    let node = named("one");
    let change = body(&[("routes/1", route("/a", &node))]);
    for query in [
        "guard=10",
        "guard=x&max_error_share=0.1",
        "guard=-1&max_error_share=0.1",
        "guard=10&max_error_share=2",
        "guard=10&max_p99_ms=0",
        "guard=10&max_p99_ms=10&min_requests=0",
    ] {
        let (status, told) = post(&gateway, &format!("/ringgate/changes?{query}"), &change);
        assert_eq!(status, 400, "{query}: {told}");
        assert!(told["error_msg"].as_str().unwrap().starts_with("guard: "), "{told}");
    }
    for field in ["", "seconds=1", "seconds=1, errors=2", "p99_ms=5"] {
        let fields = format!("X-Ringgate-Guard: {field}\r\n");
        let to = ("POST", "/ringgate/changes", ADMIN_KEY);
        assert_eq!(ask(&gateway, to, &fields, &change).0, 400, "{field}");
    }
    assert_eq!(get(&gateway, "/ringgate/guard"), json!({"guards": []}));
    assert_eq!(gateway.get("/a").status, 404);

    // So many at once, and no more; what is refused is not written.
    let path = "/ringgate/changes?guard=60&max_error_share=0.5";
    for number in 0..16 {
        let key = format!("routes/{number}");
        let one = body(&[(&key, route(&format!("/{number}"), &node))]);
        assert_eq!(post(&gateway, path, &one).0, 200);
    }
    let one = body(&[("routes/more", route("/more", &node))]);
    let (status, told) = post(&gateway, path, &one);
    assert_eq!((status, gateway.get("/more").status), (409, 404), "{told}");
    // The answer to the client says what is watched.
    let answer = RawClient::connect(gateway.admin).ask(format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nX-API-KEY: {ADMIN_KEY}\r\nContent-Length: 2\r\n\r\n{{}}"
    ));
    assert_eq!(answer.status, 409);
    gateway.stop();
}
