//! Which route serves, where the head alone does not tell.

use bytes::Bytes;
use ringgate_core::BodyLength;
use serde_json::{Value, json};

use super::testing::{Gateway, Node, Request, run};
use crate::config::schema::Kind;
use crate::plugins::REGISTRY;
use crate::route::ROUTED_BODY_MAX;

fn upstream() -> Value {
    json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}})
}

#[test]
fn the_body_decides_and_goes_on_whole() {
    let resources = json!({"routes": [
        {"id": "r", "uri": "/*", "vars": [["post_arg.model", "==", "openai"]], "upstream": upstream()},
        {"id": "not", "uri": "/not", "vars": [["post_arg.model", "~=", "openai"]], "upstream": upstream()},
    ]});
    run(async || {
        let gateway = Gateway::new(&REGISTRY, &resources);
        let post = |path: &str, frames: &[&'static str]| {
            Request::new("POST", path).header("Content-Type", "application/json").body(frames)
        };
        for (path, frames, status) in [
            ("/", ["{\"model\": ", "\"openai\"}"], 200),
            ("/", ["{\"model\": ", "\"other\"}"], 404),
            ("/", ["{\"model\": ", "}"], 404),
            ("/not", ["{\"model\": ", "\"other\"}"], 200),
        ] {
            let node = Node::default();
            assert_eq!(
                gateway.send(post(path, &frames), &node).await.status(),
                status,
                "{frames:?}"
            );
            if status == 200 {
                assert_eq!(node.last().body, frames.concat().into_bytes());
            }
        }
        // One whose length is not told may turn out to be too long; one that says so is not read.
        let long = Bytes::from(vec![b' '; ROUTED_BODY_MAX + 1]);
        let request = Request::new("POST", "/").header("Content-Type", "application/json");
        let mut told = request.clone().bytes([long.clone()]);
        told.head.body = BodyLength::Exact(long.len() as u64);
        assert_eq!(gateway.get(told).await.status(), 404);
        assert_eq!(gateway.get(request.bytes([long])).await.status(), 413);
        assert_eq!(gateway.get(Request::get("/")).await.status(), 404);
    });
}

#[test]
fn a_route_whose_service_is_gone_answers_404() {
    let resources = json!({
        "routes": [
            {"id": "r", "uri": "/*", "service_id": "s", "upstream": upstream(), "plugins": {"key-auth": {}}},
        ],
        "services": [{"id": "s", "upstream": upstream()}],
    });
    run(async || {
        let gateway = Gateway::new(&REGISTRY, &resources);
        assert_eq!(gateway.get(Request::get("/")).await.status(), 401);
        gateway.take_away(Kind::Service, "s");
        let node = Node::default();
        let answer = gateway.send(Request::get("/"), &node).await;
        assert_eq!((answer.status(), answer.text()), (404, "{\"error_msg\":\"404 Not Found\"}\n"));
        assert!(node.got.borrow().is_empty());
    });
}
