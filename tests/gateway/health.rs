//! Nodes that are taken out when they fail, and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use serde_json::{Value, json};

use crate::harness::{Origin, Resources, SOON, eventually};
use crate::support::{counts, named, named_at, reply, stop, two_shards};

fn one(upstream: &Value) -> Resources {
    Resources::new().route(json!({"id": "all", "uri": "/*", "upstream": upstream}))
}

#[test]
fn an_active_http_check_takes_a_node_out_and_back() {
    let good = named("good");
    let (sick, probes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let flag = (sick.clone(), probes.clone());
    let other = Origin::answering(move |request| {
        if request.head.target() != "/up" {
            return reply(200, "other");
        }
        flag.1.fetch_add(1, SeqCst);
        assert_eq!(request.head.get("host"), Some("probe.test"));
        assert_eq!((request.head.method(), &request.body.bytes[..]), ("POST", &b"how?"[..]));
        if flag.0.load(SeqCst) { reply(503, "") } else { reply(200, "") }
    });
    let active = json!({
        "type": "http", "http_path": "/up", "host": "probe.test", "timeout": 1,
        "http_method": "POST", "http_req_body": "how?",
        "healthy": {"interval": 1, "successes": 1},
        "unhealthy": {"interval": 1, "http_failures": 1, "tcp_failures": 1},
    });
    let nodes = json!({good.address.to_string(): 1, other.address.to_string(): 1});
    let gateway = two_shards(&one(&json!({"nodes": nodes, "checks": {"active": active}})));
    eventually(SOON, "a probe", || probes.load(SeqCst) > 0);
    let split = || counts((0..10).map(|_| gateway.get("/").text()));
    assert_eq!(split().len(), 2);
    sick.store(true, SeqCst);
    eventually(SOON, "the sick node to be left out", || split().len() == 1);
    eventually(SOON, "a line in the log", || gateway.log().contains("health: node changed"));
    for _ in 0..30 {
        assert_eq!(gateway.get("/").text(), "good");
    }
    sick.store(false, SeqCst);
    eventually(SOON, "the node to be back", || split().len() == 2);
}

#[test]
fn an_active_tcp_check_notices_a_closed_port_without_a_request() {
    let (good, other) = (named("good"), named("other"));
    let active = json!({
        "type": "tcp", "healthy": {"interval": 1, "successes": 1},
        "unhealthy": {"interval": 1, "tcp_failures": 1},
    });
    let nodes = json!({good.address.to_string(): 1, other.address.to_string(): 1});
    let upstream = json!({"nodes": nodes, "retries": 0, "checks": {"active": active}});
    let gateway = two_shards(&one(&upstream));
    let address = stop(other);
    eventually(SOON, "the log to tell", || gateway.log().contains("node changed"));
    for _ in 0..30 {
        assert_eq!(gateway.get("/").text(), "good", "no request has to fail for it");
    }
    let _back = named_at(address, "other");
    eventually(SOON, "the node to be back", || gateway.get("/").text() == "other");
}

/// Passive checks count what requests meet; for both shards at once.
#[test]
fn passive_checks_take_a_failing_node_out() {
    let good = named("good");
    let bad = Origin::answering(|_| reply(503, "bad"));
    // Probes that find nothing wrong, and too seldom to heal within the test.
    let active = json!({"type": "tcp", "healthy": {"interval": 60, "successes": 100},
                        "unhealthy": {"interval": 60, "successes": 100}});
    let passive = json!({"type": "http", "healthy": {"successes": 1, "http_statuses": [200]},
                         "unhealthy": {"http_failures": 3, "http_statuses": [503]}});
    let nodes = json!({good.address.to_string(): 1, bad.address.to_string(): 1});
    let checks = json!({"active": active, "passive": passive});
    let gateway = two_shards(&one(&json!({"nodes": nodes, "checks": checks})));
    let split = counts((0..60).map(|_| gateway.get("/").text()));
    // The first probe may find the port open in between, and counting begins anew.
    assert!((3..=5).contains(&split["bad"]), "{split:?}");
    assert!((0..20).all(|_| gateway.get("/").text() == "good"));
}

/// APISIX ignores health when nothing is healthy: better a node that may work than none.
#[test]
fn when_every_node_is_down_all_are_used() {
    let bad = [Origin::answering(|_| reply(500, "a")), Origin::answering(|_| reply(500, "b"))];
    let active = json!({"type": "http", "healthy": {"interval": 1},
                        "unhealthy": {"interval": 1, "http_failures": 1}});
    let nodes = json!({bad[0].address.to_string(): 1, bad[1].address.to_string(): 1});
    let gateway = two_shards(&one(&json!({"nodes": nodes, "checks": {"active": active}})));
    eventually(SOON, "both to be down", || {
        gateway.log().matches("health: node changed").count() == 2
    });
    let split = counts((0..10).map(|_| gateway.get("/").text()));
    assert_eq!(split.len(), 2, "{split:?}");
}
