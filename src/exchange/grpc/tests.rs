use ringgate_core::Code;
use serde_json::{Value, json};

use crate::exchange::testing::{Answered, Gateway, Node, Request, run};
use crate::plugins::REGISTRY;

fn gateway(plugins: &Value) -> Gateway {
    Gateway::new(
        &REGISTRY,
        &json!({
            "routes": [{
                "id": "r", "uri": "/a.B/*", "plugins": plugins,
                "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
            }, {"id": "n", "uri": "/n", "upstream": {"type": "roundrobin", "nodes": {}}}],
        }),
    )
}

fn call(path: &str) -> Request {
    Request::new("POST", path).http2().header("Content-Type", "application/grpc+proto")
}

/// Status and message of a trailers-only answer, and that it is one.
fn told(answer: &Answered) -> (String, String) {
    assert_eq!((answer.status(), answer.body.len(), answer.ends), (200, 0, 1), "{answer:?}");
    assert_eq!(answer.header("content-type").as_deref(), Some("application/grpc"));
    assert_eq!(answer.header("content-length"), None);
    let field = |name| answer.header(name).expect("a status");
    (field("grpc-status"), field("grpc-message"))
}

#[test]
fn refusals_are_trailers_only() {
    run(async || {
        let limited = json!({"limit-count": {"count": 1, "time_window": 60, "rejected_code": 429}});
        let messaged = json!({"key-auth": {"_meta": {"error_response": "no%\nkey"}}});
        for (plugins, path, code, message) in [
            (json!({}), "/nowhere", "12", "404 Route Not Found"),
            (json!({}), "/n", "14", "no valid upstream node"),
            (json!({"key-auth": {}}), "/a.B/C", "16", "Missing API key in request"),
            (messaged, "/a.B/C", "16", "no%25%0Akey"),
            (
                json!({"ip-restriction": {"blacklist": ["127.0.0.1"]}}),
                "/a.B/C",
                "7",
                "Your IP address is not allowed",
            ),
            (limited, "/a.B/C", "14", "Too Many Requests"),
        ] {
            let gateway = gateway(&plugins);
            if plugins.get("limit-count").is_some() {
                gateway.get(call(path)).await;
            }
            let answer = gateway.get(call(path)).await;
            assert_eq!(told(&answer), (code.into(), message.into()), "{plugins}");
            if plugins.get("limit-count").is_some() {
                assert!(answer.header("X-RateLimit-Limit").is_some(), "other fields stay");
                assert!(answer.header("Retry-After").is_some());
            }
            if plugins.get("key-auth").is_some() {
                assert!(answer.header("WWW-Authenticate").is_some());
            }
        }
    });
}

#[test]
fn who_calls_otherwise_gets_what_it_always_got() {
    run(async || {
        let gateway = gateway(&json!({"key-auth": {}}));
        for content_type in ["application/json", "application/grpc-web+proto"] {
            let request = Request::new("POST", "/a.B/C").header("Content-Type", content_type);
            let answer = gateway.get(request).await;
            assert_eq!((answer.status(), answer.header("grpc-status")), (401, None));
        }
    });
}

#[test]
fn an_answer_that_breaks_off_ends_with_a_status() {
    run(async || {
        let gateway = gateway(&json!({}));
        for (code, status, message) in [
            (Code::UpstreamClosed, "14", "Bad Gateway"),
            (Code::UpstreamReadTimeout, "14", "Gateway Time-out"),
        ] {
            let node = Node::answering(200, &["half"]).failing(code);
            let answer = gateway.send(call("/a.B/C"), &node).await;
            assert_eq!((answer.text(), answer.reset), ("half", None));
            assert_eq!(answer.trailer("grpc-status").as_deref(), Some(status));
            assert_eq!(answer.trailer("grpc-message").as_deref(), Some(message));
            assert_eq!((answer.ends, answer.result), (1, Ok(())));
            // HTTP/1.1 cannot tell, and neither can an answer of another kind.
            let plain = Request::new("POST", "/a.B/C").header("Content-Type", "application/grpc");
            for request in [plain, Request::get("/a.B/C").http2()] {
                let answer = gateway.send(request, &node).await;
                assert_eq!((answer.reset, answer.trailers.is_some()), (Some(code), false));
            }
        }
    });
}

#[test]
fn calls_end_at_their_deadline() {
    run(async || {
        let gateway = gateway(&json!({}));
        let call = || call("/a.B/C").header("grpc-timeout", "30m");
        let mute = Node::default().mute();
        let answer = gateway.send(call(), &mute).await;
        assert_eq!(told(&answer), ("4".into(), "Deadline Exceeded".into()));
        assert_eq!(mute.last().header("grpc-timeout").as_deref(), Some("30m"), "the node knows");
        let node = Node::answering(200, &["one"]).silent();
        let answer = gateway.send(call(), &node).await;
        assert_eq!((answer.text(), answer.reset), ("one", None));
        assert_eq!(answer.trailer("grpc-status").as_deref(), Some("4"));
        // What cannot be read is no deadline.
        let node = Node::answering(200, &["one"]).trailer("grpc-status", "0");
        let request = call().header("grpc-timeout", "soon");
        let answer = gateway.send(request, &node).await;
        assert_eq!(answer.trailer("grpc-status").as_deref(), Some("0"));
    });
}

#[test]
fn a_body_that_is_buffered_keeps_its_trailers() {
    run(async || {
        let filters = json!([{"regex": "one", "replace": "two"}]);
        let gateway = gateway(&json!({"response-rewrite": {"filters": filters}}));
        let node = Node::answering(200, &["one"]).trailer("grpc-status", "0");
        let answer = gateway.send(call("/a.B/C"), &node).await;
        assert_eq!((answer.text(), answer.trailer("grpc-status").as_deref()), ("two", Some("0")));
    });
}
