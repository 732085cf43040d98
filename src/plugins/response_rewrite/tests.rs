use serde_json::{Value, json};

use crate::config::{PluginCheck, PluginScope};
use crate::exchange::testing::{Gateway, Node, Request, run};
use crate::plugins::REGISTRY;

fn gateway(conf: &Value) -> Gateway {
    Gateway::new(
        &REGISTRY,
        &json!({"routes": [{
            "id": "r", "uri": "/*",
            "plugins": {
                "response-rewrite": conf,
                "ip-restriction": {"blacklist": ["10.0.0.0/8"]},
            },
            "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
        }]}),
    )
}

#[test]
fn bodies_are_replaced_and_filtered() {
    let filters = json!({"filters": [
        {"regex": "h(e)llo", "scope": "global", "replace": "<$1>", "options": "i"},
        {"regex": "$", "replace": "!"},
    ]});
    run(async || {
        for (conf, frames, expected) in [
            (json!({"body": "new"}), &["old"][..], "new"),
            (json!({"body": "new"}), &[], "new"),
            (json!({"body": ""}), &["old"], ""),
            (json!({"body": "bmV3", "body_base64": true}), &["old"], "new"),
            (filters, &["Hel", "lo hello"], "<e> <e>!"),
            (json!({"filters": [{"regex": "a", "replace": "b"}]}), &["aa"], "ba"),
            (json!({"status_code": 200}), &["old"], "old"),
        ] {
            let node = Node::answering(201, frames)
                .header("Content-Type", "text/plain")
                .header("ETag", "\"1\"");
            let answer = gateway(&conf).send(Request::get("/"), &node).await;
            assert_eq!(answer.text(), expected, "{conf}");
            assert_eq!(answer.ends, 1, "{conf}");
            assert_eq!(answer.header("Content-Type").as_deref(), Some("text/plain"));
            assert_eq!(answer.header("ETag").is_none(), conf.get("status_code").is_none());
            let status = if conf.get("status_code").is_some() { 200 } else { 201 };
            assert_eq!(answer.status(), status);
        }
    });
}

#[test]
fn encoded_bodies_pass_filters_by() {
    let conf = json!({"filters": [{"regex": "a", "replace": "b"}]});
    run(async || {
        let node = Node::answering(200, &["aa"]).header("Content-Encoding", "gzip");
        let answer = gateway(&conf).send(Request::get("/"), &node).await;
        assert_eq!(
            (answer.text(), answer.header("Content-Encoding").as_deref()),
            ("aa", Some("gzip"))
        );
        // A replaced body is not encoded.
        let node = Node::answering(200, &["aa"]).header("Content-Encoding", "gzip");
        let answer = gateway(&json!({"body": "x"})).send(Request::get("/"), &node).await;
        assert_eq!(answer.header("Content-Encoding"), None);
        // Above what may be buffered: a fault, not half a body.
        let large: &'static str = "a".repeat(2000).leak();
        let answer = gateway(&conf).send(Request::get("/"), &Node::answering(200, &[large])).await;
        assert_eq!(answer.status(), 502);
    });
}

#[test]
fn fields_and_status_follow_vars() {
    let conf = json!({
        "vars": [["status", "==", 403]], "status_code": 404,
        "headers": {
            "add": ["Set-Cookie: a=$remote_addr", "X-Add: 1"],
            "set": {"X-Set": "$status", "X-Bad": "$arg_b"},
            "remove": ["X-Gone"],
        },
    });
    run(async || {
        let gateway = gateway(&conf);
        let node = Node::default().header("X-Gone", "1");
        let answer = gateway.send(Request::get("/"), &node).await;
        assert_eq!((answer.status(), answer.header("X-Gone").as_deref()), (200, Some("1")));
        // Local replies are answers like others, and nothing is injected.
        let request = Request::get("/?b=1%0d%0aX-Evil:%201").from("10.1.1.1");
        let answer = gateway.get(request).await;
        assert_eq!(answer.status(), 404);
        for (name, value) in [
            ("Set-Cookie", Some("a=10.1.1.1")),
            ("X-Add", Some("1")),
            ("X-Set", Some("403")),
            ("X-Bad", None),
            ("X-Evil", None),
        ] {
            assert_eq!(answer.header(name).as_deref(), value, "{name}");
        }
        // And of a node's.
        let node = Node::answering(403, &["x"]).header("X-Gone", "1");
        let answer = gateway.send(Request::get("/"), &node).await;
        assert_eq!((answer.status(), answer.header("X-Gone")), (404, None));
    });
}

#[test]
fn wrong_configurations_are_told() {
    for (conf, reason) in [
        (json!({"body": "a", "filters": [{"regex": "a", "replace": "b"}]}), ""),
        (json!({"body": "%%", "body_base64": true}), "invalid base64 content"),
        (json!({"body_base64": true}), "invalid base64 content"),
        (json!({"vars": [["status", "<=>", 1]]}), "failed to validate the 'vars' expression"),
        (json!({"filters": [{"regex": "(", "replace": "b"}]}), "regex \"(\" validation failed"),
        (json!({"headers": {"set": {"Transfer-Encoding": "x"}}}), "the gateway's to say"),
        (json!({"status_code": 199}), ""),
    ] {
        let errors = REGISTRY.check("response-rewrite", &conf, PluginScope::Http).unwrap_err();
        assert!(errors[0].1.contains(reason), "{conf}: {errors:?}");
    }
}
