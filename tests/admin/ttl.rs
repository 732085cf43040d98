//! `?ttl=`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Admin, route, start};
use crate::harness::{Config, SOON, eventually};

#[test]
fn resources_go_by_themselves() {
    let (_gateway, mut admin) = start();
    let wrong = "invalid argument ttl: should be a number";
    for ttl in ["x", "", "1s", "nan", "inf"] {
        assert_eq!(admin.refused("PUT", &format!("/routes/1?ttl={ttl}"), route("/a")), wrong);
    }
    assert_eq!(admin.refused("POST", "/routes?ttl=x", route("/a")), wrong);
    let begun = Instant::now();
    admin.put("/routes/1?ttl=1", route("/a"));
    admin.put("/routes/2?ttl=1", route("/b"));
    admin.put("/routes/3?ttl=1", route("/c"));
    let posted = admin.ask("POST", "/routes?ttl=1.5", route("/d")).body["value"]["id"].clone();
    // Written again without one, it stays; another one counts from then.
    admin.put("/routes/2", route("/b"));
    assert_eq!(
        admin.ask("PATCH", "/routes/3?ttl=100", serde_json::json!({"uri": "/e"})).status,
        200
    );
    assert_eq!(admin.get("/routes").body["total"], 4);
    eventually(SOON, "the first is gone", || admin.get("/routes/1").status == 404);
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    let posted = format!("/routes/{}", posted.as_str().unwrap());
    eventually(SOON, "the posted one is gone", || admin.get(&posted).status == 404);
    assert_eq!(admin.get("/routes/2").status, 200);
    assert_eq!(admin.get("/routes/3").status, 200);
    assert_eq!(admin.ask("DELETE", "/routes/3", Value::Null).status, 200);
}

#[test]
fn they_go_after_a_restart_too() {
    let mut gateway = Config::embedded().start();
    let mut admin = Admin::of(&gateway);
    admin.put("/routes/1?ttl=2", route("/a"));
    admin.put("/routes/2?ttl=100", route("/b"));
    gateway.kill_and_restart();
    let mut admin = Admin::of(&gateway);
    assert_eq!(admin.get("/routes/2").status, 200);
    eventually(SOON, "it is gone", || admin.get("/routes/1").status == 404);
    assert_eq!(admin.get("/routes").body["total"], 1);
    drop(admin);
    gateway.stop();
}
