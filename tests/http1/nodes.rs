//! Nodes that misbehave, and when a request is tried again.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::json;

use crate::support::{Config, Gateway, Origin, Resources, SOON, eventually, routes_to, upstream};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn start(origin: &Origin) -> Gateway {
    Config::new(&routes_to(origin.address)).start()
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn what_is_no_answer_is_a_bad_gateway() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(200));
    let endless = "a".repeat(100_000);
    for bad in [
        "",
        "\r\n",
        "HTTP/1.1 2",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        "garbage\r\n\r\n",
        "\u{0}\u{1}\u{2}\u{3}\r\n\r\n",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 2000 High\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\u{0}b\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        &long,
        &many,
        &endless,
    ] {
        let text = bad.to_owned();
        let origin = Origin::start(move |conversation| {
            conversation.head()?;
            conversation.send(&text)
        });
        let gateway = start(&origin);
        let mut client = gateway.client();
        let answer = client.get("/");
        let shown = &bad[..bad.len().min(80)];
        assert_eq!(answer.status, 502, "{shown:?}");
        assert_eq!(answer.text().trim_end(), r#"{"error_msg":"502 Bad Gateway"}"#, "{shown:?}");
        assert!(!answer.closes(), "the client did nothing wrong: {shown:?}");
        let faults = gateway.faults("upstream_invalid") + gateway.faults("upstream_closed");
        assert_eq!(faults, 1, "{shown:?}");
    }
}

#[test]
fn a_truncated_answer_ends_with_a_reset() {
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n\r\n",
    ] {
        let origin = Origin::start(move |conversation| {
            conversation.request()?;
            conversation.send(cut)
        });
        let gateway = start(&origin);
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let bytes = client.expect_reset();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.ends_with("0\r\n\r\n"), "told as whole: {text}");
        assert!(gateway.faults("upstream_closed") + gateway.faults("upstream_invalid") >= 1);
    }
}

#[test]
fn a_second_answer_is_never_taken_for_the_next_one() {
    // With the first, and behind it.
    for late in [false, true] {
        let origin = Origin::start(move |conversation| {
            while let Some(request) = conversation.request()? {
                let first = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
                    request.head.target().len(),
                    request.head.target()
                );
                let second = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
                if late {
                    conversation.send(first)?;
                    std::thread::sleep(crate::support::millis(30));
                    conversation.send(second)?;
                } else {
                    conversation.send(first + second)?;
                }
            }
            Ok(())
        });
        let gateway = start(&origin);
        for n in 0..5 {
            let mut client = gateway.client();
            assert_eq!(client.get(&format!("/{n}")).text(), format!("/{n}"));
            if late {
                eventually(SOON, "the odd connection goes", || {
                    gateway.metric("ringgate_upstream_connections_idle") == 0
                });
            }
        }
        assert_eq!(origin.connections(), 5, "none of them served twice");
    }
}

/// Answers the first request of its first connection and, on the second, closes without a word.
fn closes_when_used_again() -> Origin {
    Origin::start(|conversation| {
        conversation.request()?;
        conversation.send(HELLO)?;
        if conversation.number == 0 {
            conversation.request()?;
            return Ok(());
        }
        while conversation.request()?.is_some() {
            conversation.send(HELLO)?;
        }
        Ok(())
    })
}

#[test]
fn an_idempotent_request_is_sent_again_where_a_pooled_connection_had_ended() {
    for method in ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        let origin = closes_when_used_again();
        let gateway = start(&origin);
        let mut client = gateway.client();
        assert_eq!(client.get("/1").text(), "hello");
        client.send(format!("{method} /2 HTTP/1.1\r\nHost: a\r\n\r\n"));
        let status = client.head().word(1).to_owned();
        assert_eq!(status, "200", "{method}");
        assert_eq!(origin.connections(), 2, "{method}");
        drop(client);
    }
}

#[test]
fn a_request_that_is_not_idempotent_is_sent_once() {
    for body in ["Content-Length: 0\r\n\r\n", "Content-Length: 3\r\n\r\nabc"] {
        let origin = closes_when_used_again();
        let gateway = start(&origin);
        let mut client = gateway.client();
        assert_eq!(client.get("/1").text(), "hello");
        let answer = client.ask(format!("POST /2 HTTP/1.1\r\nHost: a\r\n{body}"));
        assert_eq!(answer.status, 502);
        let posts = origin.requests().iter().filter(|r| r.head.method() == "POST").count();
        assert_eq!(posts, 1);
    }
}

#[test]
fn a_pooled_connection_that_the_node_closed_is_noticed_before_it_is_used() {
    let origin = Origin::hello();
    let gateway = start(&origin);
    for n in 1..4 {
        assert_eq!(
            gateway.client().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status,
            200
        );
        assert_eq!(origin.connections(), n);
        origin.disconnect();
        origin.wait_for_open(0);
        eventually(SOON, "it leaves the pool", || {
            gateway.metric("ringgate_upstream_connections_idle") == 0
        });
    }
}

#[test]
fn another_node_is_tried_where_one_is_down() {
    let origin = Origin::hello();
    let down = nobody();
    let resources = Resources::new().route(json!({
        "id": "r", "uri": "/*", "upstream": upstream(&[down, origin.address]),
    }));
    let gateway = Config::new(&resources).start();
    let mut client = gateway.client();
    for _ in 0..6 {
        // Nothing of it was sent to the node that is down, so this is safe for any method.
        let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(answer.status, 200);
    }
    assert_eq!(origin.requests().len(), 6);
    assert!(gateway.metric("ringgate_upstream_retries_total") > 0);
    assert!(gateway.metric("ringgate_upstream_connections_failed_total") > 0);
}

#[test]
fn without_a_node_that_is_up_the_gateway_is_bad() {
    for (nodes, retries) in [(1, None), (2, None), (2, Some(5))] {
        let nodes: Vec<SocketAddr> = (0..nodes).map(|_| nobody()).collect();
        let mut target = upstream(&nodes);
        if let Some(retries) = retries {
            target["retries"] = json!(retries);
        }
        let resources = Resources::new().route(json!({"id": "r", "uri": "/*", "upstream": target}));
        let gateway = Config::new(&resources).start();
        let mut client = gateway.client();
        for _ in 0..2 {
            let answer = client.get("/");
            assert_eq!(answer.status, 502, "{nodes:?} {retries:?}");
            assert!(!answer.closes());
        }
    }
}

#[test]
fn an_answer_that_was_begun_is_not_tried_again() {
    let tries = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = tries.clone();
    let handler = move |conversation: &mut crate::support::Conversation| {
        conversation.request()?;
        counter.fetch_add(1, SeqCst);
        conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
    };
    let (first, second) = (Origin::start(handler.clone()), Origin::start(handler));
    let resources = Resources::new().route(json!({
        "id": "r", "uri": "/*", "upstream": upstream(&[first.address, second.address]),
    }));
    let gateway = Config::new(&resources).start();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_reset();
    assert_eq!(tries.load(SeqCst), 1);
}

#[test]
fn a_node_that_says_close_is_not_used_again() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    for n in 1..4 {
        let answer = client.get("/");
        assert_eq!(answer.text(), "ok");
        assert!(!answer.closes(), "that was between the gateway and its node");
        assert_eq!(origin.connections(), n);
    }
}

#[test]
fn http_1_0_nodes_are_spoken_to() {
    let origin = Origin::start(|conversation| {
        while let Some(request) = conversation.request()? {
            match request.head.target() {
                "/keep" => conversation.send(
                    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
                )?,
                _ => return conversation.send("HTTP/1.0 200 OK\r\n\r\nold"),
            }
        }
        Ok(())
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    assert_eq!(client.get("/").text(), "old");
    assert_eq!(client.get("/keep").text(), "ok");
    assert_eq!(client.get("/keep").text(), "ok");
    assert_eq!(origin.connections(), 2);
}
