//! WebSocket: the handshake is checked, then bytes pass both ways.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::json;

use crate::support::{
    Config, Conversation, Gateway, Head, Origin, RawClient, Resources, SOON, eventually, millis,
    upstream,
};

/// The example of RFC 6455 §1.3.
const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\
                         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn resources(node: SocketAddr, websocket: bool) -> Resources {
    Resources::new().route(json!({
        "id": "ws", "uri": "/*", "enable_websocket": websocket, "upstream": upstream(&[node]),
    }))
}

fn start(origin: &Origin) -> Gateway {
    Config::new(&resources(origin.address, true)).start()
}

/// Sends back what comes, until the end.
fn echo(conversation: &mut Conversation) -> std::io::Result<()> {
    loop {
        if conversation.reader.buffer.is_empty() && conversation.reader.fill()? == 0 {
            return Ok(());
        }
        let bytes = std::mem::take(&mut conversation.reader.buffer);
        conversation.send(bytes)?;
    }
}

fn echo_server() -> Origin {
    Origin::start(|conversation| {
        let head = conversation.head()?.unwrap();
        conversation.record(head);
        conversation.send(SWITCH)?;
        echo(conversation)
    })
}

#[track_caller]
fn switched(client: &mut RawClient) -> Head {
    let head = client.head();
    assert_eq!(head.first_line, "HTTP/1.1 101 Switching Protocols");
    assert!(head.get("upgrade").unwrap().eq_ignore_ascii_case("websocket"));
    assert!(head.get("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(head.get("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    head
}

#[test]
fn bytes_pass_both_ways_behind_the_handshake() {
    let origin = echo_server();
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send(HANDSHAKE);
    switched(&mut client);
    let seen = origin.only_request().head;
    assert!(seen.get("upgrade").unwrap().eq_ignore_ascii_case("websocket"));
    assert!(seen.get("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    for size in [1, 10, 100_000] {
        let data: Vec<u8> = (0..size).map(|n| n as u8).collect();
        client.send(&data);
        assert!(client.take(size) == data, "{size}");
    }
    client.half_close();
    client.expect_end();
    origin.wait_for_open(0);
}

#[test]
fn each_direction_may_end_alone() {
    // The client ends first and still hears.
    let origin = Origin::start(|conversation| {
        conversation.head()?;
        conversation.send(SWITCH)?;
        while conversation.reader.fill()? > 0 {}
        let got = conversation.reader.buffer.len();
        std::thread::sleep(millis(50));
        conversation.send(format!("{got} bytes"))
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send(HANDSHAKE);
    switched(&mut client);
    client.send("12345");
    client.half_close();
    let (bytes, end) = client.rest(SOON);
    assert_eq!(bytes, b"5 bytes");
    end.unwrap();

    // The node ends first and still hears.
    let origin = Origin::start(|conversation| {
        conversation.head()?;
        conversation.send(format!("{SWITCH}bye"))?;
        conversation.half_close();
        conversation.drain()?;
        Ok(())
    });
    gateway.reload(&resources(origin.address, true));
    let mut client = gateway.client();
    client.send(HANDSHAKE);
    switched(&mut client);
    let (bytes, end) = client.rest(SOON);
    assert_eq!(bytes, b"bye");
    end.unwrap();
    client.send("still here");
    client.half_close();
    origin.wait_for_open(0);
    assert_eq!(origin.counted(), 10);
}

#[test]
fn a_route_without_websocket_forwards_an_ordinary_request() {
    let origin = Origin::hello();
    let gateway = Config::new(&resources(origin.address, false)).start();
    let mut client = gateway.client();
    let answer = client.ask(HANDSHAKE);
    assert_eq!(answer.text(), "hello");
    let seen = origin.only_request().head;
    assert!(!seen.has("upgrade") && !seen.has("connection"), "{seen:?}");
    assert_eq!(client.get("/next").text(), "hello");
}

#[test]
fn a_101_that_was_not_asked_for_is_a_bad_gateway() {
    let origin = Origin::start(|conversation| {
        conversation.head()?;
        conversation.send(format!("{SWITCH}smuggled"))?;
        conversation.wait_for_end();
        Ok(())
    });
    for websocket in [false, true] {
        let gateway = Config::new(&resources(origin.address, websocket)).start();
        let mut client = gateway.client();
        let answer = client.get("/");
        assert_eq!(answer.status, 502);
        assert!(!answer.text().contains("smuggled"));
        if !websocket {
            assert_eq!(client.ask(HANDSHAKE).status, 502, "the route does not allow it");
        }
        let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: ";
        assert_eq!(client.ask(format!("{upgrade}h2c\r\n\r\n")).status, 502);
        assert_eq!(client.ask(format!("{upgrade}other\r\n\r\n")).status, 502);
        drop(client);
        origin.wait_for_open(0);
    }
}

#[test]
fn a_handshake_that_does_not_fit_is_a_bad_gateway() {
    for answer in [
        SWITCH.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        SWITCH.replace("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", ""),
        SWITCH.replace("Upgrade: websocket\r\n", "Upgrade: h2c\r\n"),
        SWITCH.replace("Upgrade: websocket\r\n", ""),
    ] {
        let text = answer.clone();
        let origin = Origin::start(move |conversation| {
            conversation.head()?;
            conversation.send(&text)?;
            conversation.send("raw bytes")?;
            conversation.wait_for_end();
            Ok(())
        });
        let gateway = start(&origin);
        let mut client = gateway.client();
        let got = client.ask(HANDSHAKE);
        assert_eq!(got.status, 502, "{answer}");
        assert!(!got.text().contains("raw"));
        drop(client);
        origin.wait_for_open(0);
        assert_eq!(gateway.faults("upstream_invalid"), 1, "{answer}");
    }
}

#[test]
fn early_bytes_wait_for_the_101() {
    let origin = Origin::start(|conversation| {
        conversation.head()?;
        conversation.reader.stream.set_read_timeout(Some(millis(200)))?;
        let early = conversation.reader.fill();
        assert!(early.is_err() && conversation.reader.buffer.is_empty(), "bytes before the 101");
        conversation.reader.stream.set_read_timeout(Some(SOON))?;
        conversation.send(SWITCH)?;
        echo(conversation)
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send(format!("{HANDSHAKE}early"));
    switched(&mut client);
    assert_eq!(client.take(5), b"early");
    client.send("late");
    assert_eq!(client.take(4), b"late");
}

#[test]
fn early_bytes_are_the_next_request_where_the_node_refuses() {
    let origin = Origin::answering(|request| match request.head.target() {
        "/chat" => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec(),
        _ => HELLO.into(),
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send(format!("{HANDSHAKE}GET /next HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(client.response().status, 403);
    assert_eq!(client.response().text(), "hello");
    let mut client = gateway.client();
    client.send(format!("{HANDSHAKE}\u{1}\u{2} garbage\r\n\r\n"));
    assert_eq!(client.response().status, 403);
    assert_eq!(client.response().status, 400);
    client.expect_gone();
    assert_eq!(origin.requests().len(), 3, "nothing of it went on raw");
}

#[test]
fn a_handshake_with_a_body_is_no_handshake() {
    let origin = Origin::hello();
    let gateway = start(&origin);
    let mut client = gateway.client();
    let with_body = HANDSHAKE.replace("Host: a.test\r\n", "Host: a.test\r\nContent-Length: 3\r\n");
    assert_eq!(client.ask(format!("{with_body}abc")).text(), "hello");
    assert!(!origin.only_request().head.has("upgrade"));
}

#[test]
fn a_tunnel_survives_a_change_of_the_configuration() {
    let (origin, other) = (echo_server(), Origin::hello());
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send(HANDSHAKE);
    switched(&mut client);
    for resources in [resources(other.address, false), Resources::new()] {
        client.send("before");
        assert_eq!(client.take(6), b"before");
        gateway.reload(&resources);
        client.send("after");
        assert_eq!(client.take(5), b"after");
    }
    assert_eq!(gateway.get("/").status, 404, "the route is gone for new requests");
}

#[test]
fn a_tunnel_lives_while_either_side_says_something() {
    let origin = Origin::start(|conversation| {
        conversation.head()?;
        conversation.send(SWITCH)?;
        for _ in 0..8 {
            std::thread::sleep(millis(300));
            conversation.send("tick")?;
        }
        conversation.wait_for_end();
        Ok(())
    });
    let gateway =
        Config::new(&resources(origin.address, true)).timeout("stream_idle", "1s").start();
    let mut client = gateway.client();
    client.send(HANDSHAKE);
    switched(&mut client);
    // 2.4 s in which the client says nothing.
    assert_eq!(client.take(32), b"tick".repeat(8));
    let silent = Instant::now();
    client.expect_gone();
    assert!(silent.elapsed() > millis(700), "{:?}", silent.elapsed());
    assert!(silent.elapsed() < millis(5000), "{:?}", silent.elapsed());
    origin.wait_for_open(0);
}

#[test]
fn a_reset_of_either_side_ends_a_tunnel() {
    let origin = echo_server();
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send(HANDSHAKE);
    switched(&mut client);
    client.abort();
    origin.wait_for_open(0);

    let rude = Origin::start(|conversation| {
        conversation.head()?;
        conversation.send(SWITCH)?;
        conversation.reader.fill()?;
        conversation.abort();
        Ok(())
    });
    gateway.reload(&resources(rude.address, true));
    let mut client = gateway.client();
    client.send(HANDSHAKE);
    switched(&mut client);
    client.send("x");
    client.expect_gone();
    eventually(SOON, "no client", || gateway.connections() == 0);
}

/// A text frame as servers send it.
fn frame(text: &str) -> Vec<u8> {
    [&[0x81, text.len() as u8], text.as_bytes()].concat()
}

#[test]
fn a_drain_tells_clients_to_close_where_a_frame_ends() {
    // Half of a frame, then, when the gateway drains, the rest and half of one more.
    let origin = Origin::start(|conversation| {
        conversation.head()?;
        conversation.send(SWITCH)?;
        let hello = frame("hello");
        conversation.send(&hello[..3])?;
        while conversation.reader.buffer.is_empty() {
            conversation.reader.fill()?;
        }
        conversation.send([&hello[3..], &frame("too late")[..4]].concat())?;
        // The client's Close comes through; then this side ends.
        let close = [0x88, 0x82, 0, 0, 0, 0, 3, 0xe9];
        while !conversation.reader.buffer.ends_with(&close) {
            conversation.reader.fill()?;
        }
        Ok(())
    });
    let mut gateway = start(&origin);
    let mut client = gateway.client();
    client.send(HANDSHAKE);
    switched(&mut client);
    assert_eq!(client.take(3), frame("hello")[..3]);
    gateway.signal("TERM");
    eventually(SOON, "new connections to be refused", || {
        std::net::TcpStream::connect(gateway.address).is_err()
    });
    client.send([0x89, 0x80, 0, 0, 0, 0]);
    assert_eq!(client.take(4), frame("hello")[3..]);
    assert_eq!(client.take(4), [0x88, 2, 3, 0xe9], "1001, and nothing of the frame behind");
    client.send([0x88, 0x82, 0, 0, 0, 0, 3, 0xe9]);
    client.expect_end();
    assert!(gateway.wait(SOON).success());
}
