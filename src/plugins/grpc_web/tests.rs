use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ringgate_core::Code;
use ringgate_grpc::web::parse_trailers;
use ringgate_grpc::{MessageReader, framed};
use serde_json::{Value, json};

use crate::exchange::testing::{Answered, Gateway, Node, Request, run};
use crate::plugins::REGISTRY;

const TEXT: &str = "application/grpc-web-text+proto";
const BINARY: &str = "application/grpc-web+proto";

fn gateway(plugins: &Value) -> Gateway {
    let node = json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}});
    Gateway::new(
        &REGISTRY,
        &json!({"routes": [
            {"id": "r", "uri": "/grpc/web/*", "plugins": plugins, "upstream": node},
            {"id": "s", "uri": "/a.B/C", "plugins": plugins, "upstream": node},
        ]}),
    )
}

fn call(content_type: &str) -> Request {
    Request::new("POST", "/grpc/web/a.B/C").header("Content-Type", content_type)
}

/// The messages of an answer, and its trailers as text.
fn read(answer: &Answered, is_text: bool) -> (Vec<String>, String) {
    let mut body = answer.body.clone();
    if is_text {
        // Each piece is padded by itself.
        let quads = body.chunks(4).map(|quad| STANDARD.decode(quad).expect("Base64"));
        body = quads.flatten().collect();
    }
    let (mut reader, mut rest, mut messages) = (MessageReader::web(1024), &body[..], Vec::new());
    while let Some(message) = reader.next(&mut rest).expect("frames") {
        if message.is_trailers() {
            assert!(rest.is_empty(), "trailers come last");
            let told = parse_trailers(&message.payload).expect("trailers");
            let lines = told.iter().map(|(name, value)| {
                format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            });
            return (messages, lines.collect::<Vec<_>>().join(" "));
        }
        messages.push(String::from_utf8(message.payload.to_vec()).expect("text"));
    }
    panic!("no trailers: {answer:?}");
}

fn node() -> Node {
    let frames = [framed(b"one"), framed(b"twelve"), framed(b"three")];
    Node::sending(frames)
        .header("content-type", "application/grpc")
        .header("grpc-encoding", "identity")
        .trailer("grpc-status", "0")
        .trailer("x-more", "yes")
}

#[test]
fn both_formats_go_up_as_grpc_and_come_back_with_trailers_inside() {
    let message = framed(b"a question");
    let text = STANDARD.encode(&message);
    let (front, behind) = text.split_at(7);
    let texts = [front, behind].map(|part| Bytes::copy_from_slice(part.as_bytes()));
    run(async || {
        let gateway = gateway(&json!({"grpc-web": {}}));
        for (content_type, frames) in [(BINARY, vec![message.clone()]), (TEXT, texts.to_vec())] {
            let node = node();
            let answer = gateway.send(call(content_type).bytes(frames), &node).await;
            let got = node.last();
            assert_eq!((&*got.line, &got.body), ("POST /a.B/C", &message.to_vec()));
            assert_eq!(got.header("content-type").as_deref(), Some("application/grpc"));
            assert_eq!(got.header("te").as_deref(), Some("trailers"));
            assert_eq!((answer.status(), answer.ends), (200, 1));
            assert!(answer.trailers.is_none());
            for (name, value) in [
                ("content-type", content_type),
                ("access-control-allow-origin", "*"),
                ("access-control-expose-headers", "grpc-message,grpc-status"),
                ("grpc-encoding", "identity"),
            ] {
                assert_eq!(answer.header(name).as_deref(), Some(value), "{name}");
            }
            let (messages, told) = read(&answer, content_type == TEXT);
            assert_eq!(messages, ["one", "twelve", "three"]);
            assert_eq!(told, "grpc-status=0 x-more=yes");
        }
    });
}

#[test]
fn errors_are_a_frame_of_trailers() {
    run(async || {
        let plain = gateway(&json!({"grpc-web": {}}));
        // A node that answers with trailers only.
        let node = Node::default()
            .header("content-type", "application/grpc")
            .header("grpc-status", "5")
            .header("grpc-message", "no%20such");
        for content_type in [BINARY, TEXT] {
            let answer = plain.send(call(content_type), &node).await;
            let told = read(&answer, content_type == TEXT);
            assert_eq!(told, (vec![], "grpc-status=5 grpc-message=no%20such".to_owned()));
            assert_eq!(answer.header("grpc-status"), None, "it is told once");
        }
        let silent = Node::sending([framed(b"one")]).header("content-type", "application/grpc");
        let failed = Node::answering(503, &["down"]).header("content-type", "text/plain");
        let broken = Node::default().mute();
        for (node, request, expected) in [
            (silent, call(BINARY), "grpc-status=2 grpc-message=upstream grpc status not received"),
            (failed, call(BINARY), "grpc-status=14 grpc-message=Service Unavailable"),
            (
                broken,
                call(BINARY).header("grpc-timeout", "10m"),
                "grpc-status=4 grpc-message=Deadline Exceeded",
            ),
        ] {
            let answer = plain.send(request, &node).await;
            assert_eq!(answer.status(), 200);
            assert_eq!(read(&answer, false).1, expected);
        }
        // What breaks off within its body.
        let halfway = || Node::sending([framed(b"one")]).header("content-type", "application/grpc");
        let answer = plain.send(call(TEXT), &halfway().failing(Code::UpstreamClosed)).await;
        let told = "grpc-status=14 grpc-message=Bad Gateway".to_owned();
        assert_eq!((read(&answer, true), answer.ends), ((vec!["one".to_owned()], told), 1));
        let cut = Node::sending([framed(b"one").slice(..6)])
            .header("content-type", "application/grpc")
            .failing(Code::UpstreamClosed);
        assert_eq!(plain.send(call(TEXT), &cut).await.reset, Some(Code::UpstreamClosed));
        // Refused before this plugin's turn.
        let locked = gateway(&json!({"grpc-web": {}, "key-auth": {}}));
        let answer = locked.get(call(TEXT)).await;
        assert_eq!((answer.status(), answer.header("content-type").as_deref()), (200, Some(TEXT)));
        let expected = "grpc-status=16 grpc-message=Missing API key in request";
        assert_eq!(read(&answer, true).1, expected);
    });
}

#[test]
fn what_is_no_base64_is_an_error() {
    run(async || {
        let gateway = gateway(&json!({"grpc-web": {}}));
        for body in ["AAA", "????"] {
            let answer = gateway.get(call(TEXT).body(&[body])).await;
            let told = read(&answer, true).1;
            assert_eq!(told, "grpc-status=13 grpc-message=Bad Request");
            assert_eq!(answer.result, Err(Code::BadRequest));
        }
    });
}

#[test]
fn other_requests_are_refused_and_preflights_answered() {
    run(async || {
        let gateway = gateway(&json!({"grpc-web": {"cors_allow_headers": "a,b"}}));
        let preflight = gateway.get(Request::new("OPTIONS", "/grpc/web/a.B/C")).await;
        assert_eq!((preflight.status(), preflight.body.len()), (204, 0));
        assert_eq!(preflight.header("access-control-allow-methods").as_deref(), Some("POST"));
        assert_eq!(preflight.header("access-control-allow-headers").as_deref(), Some("a,b"));
        for (request, status) in [
            (Request::get("/grpc/web/a.B/C").header("Content-Type", BINARY), 405),
            (call("application/json"), 400),
            (Request::new("POST", "/grpc/web/x"), 400),
        ] {
            let answer = gateway.get(request).await;
            assert_eq!(answer.status(), status);
            assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("*"));
        }
        // A route without a star has the call's path already.
        let node = node();
        let request = Request::new("POST", "/a.B/C").header("Content-Type", BINARY);
        let answer = gateway.send(request, &node).await;
        assert_eq!((&*node.last().line, read(&answer, false).0.len()), ("POST /a.B/C", 3));
    });
}

#[test]
fn others_may_buffer_both_bodies_and_say_who_may() {
    run(async || {
        let filters = json!([{"regex": "twelve", "replace": "TWELVE"}]);
        let gateway = gateway(&json!({
            "grpc-web": {}, "response-rewrite": {"filters": filters},
            "cors": {"allow_origins": "https://a.example"},
        }));
        let node = node();
        let request = call(TEXT).header("Origin", "https://a.example");
        let answer = gateway.send(request, &node).await;
        let (messages, told) = read(&answer, true);
        assert_eq!(messages, ["one", "TWELVE", "three"]);
        assert_eq!(told, "grpc-status=0 x-more=yes");
        let origin = answer.header("access-control-allow-origin");
        assert_eq!(origin.as_deref(), Some("https://a.example"));
    });
}
