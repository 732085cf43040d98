use ringgate_core::Code;
use ringgate_io::EngineChoice;
use serde_json::{Value, json};

use super::kinds::{REGISTRY, logged};
use crate::exchange::testing::{Gateway, Node, Request, on_engine, run};

fn gateway(plugins: Value) -> Gateway {
    Gateway::new(
        &REGISTRY,
        &json!({"routes": [{
            "id": "r", "uri": "/*", "plugins": plugins,
            "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
        }]}),
    )
}

#[test]
fn phases_run_in_order_on_every_engine_and_log_once() {
    for choice in [EngineChoice::Epoll, EngineChoice::IoUring] {
        for how in [json!(null), json!("wait")] {
            let phases: Value = ["rewrite", "access", "before_proxy", "response"]
                .into_iter()
                .map(|phase| (phase.to_owned(), how.clone()))
                .collect::<serde_json::Map<_, _>>()
                .into();
            on_engine(choice, async || {
                let gateway = gateway(json!({"second": {}, "first": phases}));
                let answer = gateway.send(Request::get("/p"), &Node::answering(200, &["x"])).await;
                assert_eq!((answer.status(), answer.text(), answer.ends), (200, "x", 1));
                assert_eq!(answer.header("X-Path").as_deref(), Some("/p|/p"));
            });
            let ran = "first.rewrite second.rewrite first.access second.access \
                       first.before_proxy second.before_proxy first.response second.response";
            assert_eq!(logged(), [format!("first:200 {ran}"), format!("second:200 {ran}")]);
        }
    }
}

#[test]
fn a_reply_in_any_phase_ends_it_through_the_response_phase() {
    run(async || {
        for (phase, later) in [
            ("rewrite", &[][..]),
            ("access", &["first.rewrite"]),
            ("before_proxy", &["first.rewrite", "first.access"]),
        ] {
            for how in [json!(418), json!([418])] {
                let node = Node::default();
                let gateway = gateway(json!({"first": {phase: how}, "second": {}}));
                let answer = gateway.send(Request::get("/"), &node).await;
                assert_eq!((answer.status(), answer.ends), (418, 1), "{phase}");
                assert_eq!(answer.text(), "{\"message\":\"probe\"}\n");
                assert!(node.got.borrow().is_empty());
                let lines = logged();
                assert_eq!(lines.len(), 2, "log of both: {lines:?}");
                assert!(lines[0].contains("first:418"));
                assert!(lines[0].ends_with("first.response second.response"));
                assert!(later.iter().all(|ran| lines[0].contains(ran)), "{lines:?}");
                assert!(!lines[0].contains(&format!("second.{phase}")));
            }
        }
        // In `response`, it replaces the node's answer; the next plugin sees the new head.
        let gateway = gateway(json!({"first": {"response": [418]}, "second": {}}));
        let node = Node::answering(200, &["from the node"]).header("X-Node", "1");
        let answer = gateway.send(Request::get("/"), &node).await;
        assert_eq!((answer.status(), answer.text()), (418, "{\"message\":\"probe\"}\n"));
        assert_eq!(answer.header("X-Node"), None);
        assert_eq!(answer.header("X-Probe").as_deref(), Some("1"));
        assert_eq!(logged().len(), 2);
    });
}

#[test]
fn faults_of_plugins_are_answered_once() {
    run(async || {
        for phase in ["rewrite", "access", "before_proxy", "response"] {
            let gateway = gateway(json!({"first": {phase: "fail"}}));
            let answer = gateway.send(Request::get("/"), &Node::answering(200, &["x"])).await;
            assert_eq!(answer.status(), 500, "{phase}");
            assert_eq!(answer.text(), "{\"error_msg\":\"500 Internal Server Error\"}\n");
            assert_eq!((answer.ends, answer.reset), (1, None));
            let lines = logged();
            assert!(lines.len() == 1 && lines[0].starts_with("first:500"), "{phase} {lines:?}");
        }
        // Where none matches, the answer passes the global rules.
        let gateway = Gateway::new(
            &REGISTRY,
            &json!({
                "global_rules": [{"id": 1, "plugins": {"first": {}}}],
            }),
        );
        let answer = gateway.get(Request::get("/none")).await;
        assert_eq!((answer.status(), answer.header("X-Path").as_deref()), (404, Some("/none")));
        assert!(logged()[0].starts_with("first:404 first.rewrite first.access"));
    });
}

#[test]
fn bodies_are_buffered_held_replaced_and_waited_for() {
    run(async || {
        for (how, request, response) in [
            ("buffer", "<abcd>", "<wxyz>"),
            ("hold", "abcd", "wxyz"),
            ("replace", "AB+CD+", "WX+YZ+"),
            ("wait", "abcd", "wxyz"),
            ("endless", "abcd", "wxyz"),
        ] {
            let gateway = gateway(json!({"first": {"request_body": how, "response_body": how}}));
            let node = Node::answering(200, &["wx", "yz"]);
            let answer = gateway.send(Request::new("POST", "/").body(&["ab", "cd"]), &node).await;
            assert_eq!((answer.text(), answer.ends), (response, 1), "{how}");
            assert_eq!(node.reusable.get(), 1, "{how}: the connection serves again");
            let got = node.last();
            assert_eq!((String::from_utf8_lossy(&got.body).as_ref(), got.ends), (request, 1));
        }
        // Trailers pass through plugins that look at frames.
        let gateway = gateway(json!({"first": {"response_body": "hold"}}));
        let node = Node::answering(200, &["a"]).trailer("grpc-status", "0");
        let answer = gateway.send(Request::get("/"), &node).await;
        assert_eq!((answer.text(), answer.ends), ("a", 1));
        assert!(answer.trailers.unwrap().get_named(b"grpc-status").is_some());
    });
    logged();
}

#[test]
fn bodies_beyond_a_bound_and_late_replies_are_faults() {
    run(async || {
        let long: &'static str = "x".repeat(33).leak();
        let gateway = gateway(json!({"first": {"request_body": "buffer"}}));
        let answer = gateway.get(Request::new("POST", "/").body(&[long])).await;
        assert_eq!((answer.status(), answer.result), (413, Err(Code::BodyTooLarge)));
        let gateway = self::gateway(json!({"first": {"response_body": "reply"}}));
        let answer = gateway.send(Request::get("/"), &Node::answering(200, &["x"])).await;
        assert_eq!((answer.status(), answer.ends), (200, 0));
        assert_eq!((answer.reset, answer.result), (Some(Code::Plugin), Err(Code::Plugin)));
        assert_eq!(logged().len(), 2);
    });
}

#[test]
fn meta_filters_orders_disables_and_replaces_refusals() {
    run(async || {
        let filter = json!([["arg_on", "==", "1"]]);
        let gateway = gateway(json!({
            "first": {"_meta": {"filter": filter}, "response_body": "replace"},
            "second": {"_meta": {"priority": 99}},
        }));
        let node = Node::answering(200, &["x"]);
        let answer = gateway.send(Request::get("/?on=1"), &node).await;
        assert_eq!(answer.text(), "X+");
        assert!(logged()[0].contains("second.rewrite first.rewrite"));
        let answer = gateway.send(Request::get("/"), &node).await;
        assert_eq!(answer.text(), "x", "frames are filtered too");
        assert!(!logged()[0].contains("first."));

        let gateway = self::gateway(json!({"first": {"_meta": {"disable": true}, "rewrite": 418}}));
        assert_eq!(gateway.get(Request::get("/")).await.status(), 200);

        for (status, error, body) in [
            (418, json!({"why": "no"}), "{\"why\":\"no\"}\n"),
            (418, json!("no"), "no"),
            (200, json!("no"), "{\"message\":\"probe\"}\n"),
        ] {
            let meta = json!({"error_response": error});
            let gateway = self::gateway(json!({"first": {"_meta": meta, "rewrite": status}}));
            let answer = gateway.get(Request::get("/")).await;
            assert_eq!((answer.status(), answer.text()), (status, body));
            assert_eq!(answer.header("X-Probe").as_deref(), Some("1"), "fields stay");
        }
        logged();
    });
}

#[test]
fn later_layers_win() {
    let resources = json!({
        "routes": [{
            "id": "r", "uri": "/*", "service_id": "s", "plugin_config_id": "p",
            "plugins": {"who": {}, "first": {"tag": "route"}},
        }],
        "services": [{
            "id": "s",
            "plugins": {"first": {"tag": "service"}, "second": {"tag": "service"}},
            "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}},
        }],
        "plugin_configs": [{
            "id": "p", "plugins": {"first": {"tag": "config"}, "second": {"tag": "config"}},
        }],
        "consumer_groups": [{
            "id": "g", "plugins": {"first": {"tag": "group"}, "second": {"tag": "group"}},
        }],
        "consumers": [
            {"username": "a", "plugins": {"who": {"key": "a"}, "second": {"tag": "consumer"}}, "group_id": "g"},
            {"username": "b", "plugins": {"who": {"key": "b"}}, "group_id": "g"},
            {"username": "c", "plugins": {"who": {"key": "c"}, "second": {"tag": "consumer", "rewrite": 418}}},
        ],
    });
    run(async || {
        let gateway = Gateway::new(&REGISTRY, &resources);
        for (key, first, second) in
            [("none", "route", "config"), ("a", "group", "consumer"), ("b", "group", "group")]
        {
            gateway.get(Request::get("/").header("apikey", key)).await;
            let lines = logged();
            let access = format!("{first}.access who.access {second}.access");
            assert!(lines[0].contains(&access), "{key}: {lines:?}");
            assert_eq!(lines.len(), 3);
            assert!(lines[0].starts_with(first) && lines[2].starts_with(second), "{lines:?}");
        }
        // Where the consumer's plugin answers, the rest is its chain's too.
        let answer = gateway.get(Request::get("/").header("apikey", "c")).await;
        assert_eq!(answer.status(), 418);
        assert!(logged()[2].starts_with("consumer:418"));
    });
}
