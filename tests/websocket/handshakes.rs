//! Who may switch, and what makes a node's answer one.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::frames::TEXT;
use crate::h2::raw::{PREFACE, RawClient, RawFrame, flag, kind};
use crate::h2::{Edge, Transport};
use crate::support::{Origin, SOON, route, routes_to};
use crate::ways::{WAYS, Way, gateway, handshake, open, resources};

/// The proof that fits a key (RFC 6455 §4.2.2).
fn proof(key: &str) -> String {
    use base64::Engine;
    use sha1::{Digest, Sha1};
    let guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = Sha1::new().chain_update(key).chain_update(guid).finalize();
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// Answers with a 101 that is changed in some way, and raw bytes behind it.
fn switching(change: fn(String) -> String) -> Origin {
    Origin::start(move |conversation| {
        let Some(head) = conversation.head()? else { return Ok(()) };
        conversation.record(head.clone());
        let key = head.get("sec-websocket-key").unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            proof(key)
        );
        conversation.send(change(answer))?;
        conversation.send([0x81, 3, b'r', b'a', b'w'])?;
        conversation.wait_for_end();
        Ok(())
    })
}

#[test]
fn a_proof_that_does_not_fit_is_a_bad_gateway() {
    let changes: [fn(String) -> String; 4] = [
        |answer| answer.replace("-Accept: ", "-Accept: AAAA"),
        |answer| answer.replace("Sec-WebSocket-Accept", "X-Nothing"),
        |answer| answer.replace("Upgrade: websocket\r\n", ""),
        |answer| answer.replace("Upgrade: websocket\r\n", "Upgrade: h2c\r\n"),
    ];
    for change in changes {
        let origin = switching(change);
        let edge = gateway(origin.address, "http");
        for way in WAYS {
            let (answered, mut socket) = handshake(&edge, way, &[]);
            assert_eq!(answered.status, 502, "{way:?}");
            // Nothing of what the node said behind it comes through.
            let length = answered.field("content-length").map_or(0, |text| text.parse().unwrap());
            let body = socket.take_bytes(length);
            assert!(!body.windows(3).any(|bytes| bytes == b"raw"), "{way:?}");
        }
        assert_eq!(edge.gateway.faults("upstream_invalid"), 4);
    }
}

#[test]
fn what_fits_is_told_in_the_clients_protocol() {
    let origin = switching(|answer| answer);
    let edge = gateway(origin.address, "http");
    for way in WAYS {
        let asked = [("sec-websocket-protocol", "chat"), ("origin", "http://a.test")];
        let (answered, mut socket) = handshake(&edge, way, &asked);
        assert_eq!(answered.field("sec-websocket-protocol"), Some("chat"));
        let is_connect = matches!(way, Way::Connect(_));
        assert_eq!(answered.status, if is_connect { 200 } else { 101 });
        assert_eq!(answered.field("upgrade").is_none(), is_connect, "{answered:?}");
        assert_eq!(answered.field("sec-websocket-accept").is_none(), is_connect, "{answered:?}");
        assert_eq!(socket.hear(), crate::frames::Heard::Frame(0x81, b"raw".to_vec(), false));
        let seen = origin.last_request().head;
        assert_eq!(seen.method(), "GET");
        assert_eq!(seen.target(), "/chat");
        for (name, value) in [("sec-websocket-version", "13"), ("origin", "http://a.test")] {
            assert_eq!(seen.get(name), Some(value), "{way:?}");
        }
        assert!(seen.get("upgrade").unwrap().eq_ignore_ascii_case("websocket"));
        assert!(seen.get("connection").unwrap().eq_ignore_ascii_case("upgrade"));
        let key = seen.get("sec-websocket-key").unwrap();
        assert_eq!(key.len(), 24, "{key}");
    }
    // A key that a client of HTTP/2 did not send is another one each time.
    let keys: std::collections::BTreeSet<_> = origin
        .requests()
        .iter()
        .map(|request| request.head.get("sec-websocket-key").unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 3, "one of the clients' own, two of the gateway's");
}

#[test]
fn a_refusal_of_the_node_is_passed_on() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: so\r\n\r\nno".to_vec()
    });
    let edge = gateway(origin.address, "http");
    for way in WAYS {
        let (answered, _socket) = handshake(&edge, way, &[]);
        assert_eq!((answered.status, answered.field("x-why")), (403, Some("so")), "{way:?}");
    }
}

#[test]
fn a_route_that_does_not_enable_it_does_not_switch() {
    let origin = Origin::hello();
    let edge = Edge::start(routes_to(origin.address));
    for way in WAYS {
        let (answered, _socket) = handshake(&edge, way, &[]);
        // Over HTTP/1.1 it is an ordinary request; a tunnel would be open with an answer of 2xx.
        let expected = if matches!(way, Way::Connect(_)) { 502 } else { 200 };
        assert_eq!(answered.status, expected, "{way:?}");
    }
    assert!(origin.requests().iter().all(|request| !request.head.has("upgrade")));
}

#[test]
fn early_bytes_over_http2_wait_for_the_switch() {
    let origin = Origin::start(|conversation| {
        let head = conversation.head()?.unwrap();
        conversation.reader.stream.set_read_timeout(Some(std::time::Duration::from_millis(200)))?;
        let early = conversation.reader.fill();
        assert!(early.is_err() && conversation.reader.buffer.is_empty(), "bytes before the 101");
        conversation.reader.stream.set_read_timeout(Some(SOON))?;
        let key = head.get("sec-websocket-key").unwrap();
        conversation.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            proof(key)
        ))?;
        while conversation.reader.buffer.len() < 5 {
            conversation.reader.fill()?;
        }
        let bytes = std::mem::take(&mut conversation.reader.buffer);
        conversation.send(bytes)
    });
    let edge = gateway(origin.address, "http");
    let mut peer = edge.open(Transport::Clear);
    let head = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/chat"),
        (":authority", crate::h2::NAME),
    ];
    peer.headers(1, &head, false);
    peer.data(1, "early", false);
    let answered = peer.next_of(kind::HEADERS).expect("an answer");
    assert_eq!(peer.decode(&answered.payload)[0].1, "200");
    assert_eq!(peer.next_of(kind::DATA).expect("the echo").payload, b"early");
}

/// A node that speaks HTTP/2 and never said that it takes extended CONNECT is not sent one.
#[test]
fn a_node_without_extended_connect_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut preface = [0; PREFACE.len()];
                if stream.read_exact(&mut preface).is_err() {
                    return;
                }
                stream.write_all(&RawFrame::new(kind::SETTINGS, 0, 0, []).bytes()).unwrap();
                let mut node = RawClient::over(stream);
                while let Some(frame) = node.next() {
                    match frame.kind {
                        kind::SETTINGS if !frame.has(flag::ACK) => {
                            node.frame(kind::SETTINGS, flag::ACK, 0, []);
                        }
                        kind::HEADERS => {
                            let fields = node.decode(&frame.payload);
                            assert!(!fields.iter().any(|(name, _)| name == ":protocol"));
                            node.headers(frame.stream, &[(":status", "204")], true);
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    let edge = gateway(address, "h2c");
    for way in WAYS {
        let (answered, _socket) = handshake(&edge, way, &[]);
        assert_eq!(answered.status, 502, "{way:?}");
    }
    assert_eq!(edge.gateway.faults("upstream_invalid"), 4);
    assert!(edge.gateway.log().contains("node takes no WebSockets over HTTP/2"));
    // Other requests it takes.
    let mut peer = edge.open(Transport::Clear);
    peer.get(1, "/");
    assert_eq!(peer.answer(1).status, 204);
}

/// Routes by path, one with WebSockets, on the same connection of HTTP/2.
#[test]
fn a_tunnel_is_one_stream_among_others() {
    let (plain, tunnel) = (Origin::hello(), switching(|answer| answer));
    let edge = Edge::start(resources(tunnel.address, "http").route(route(
        "plain",
        "/plain",
        plain.address,
    )));
    let mut peer = edge.open(Transport::Tls);
    let head = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", crate::h2::NAME),
    ];
    peer.headers(1, &head, false);
    peer.next_of(kind::HEADERS).unwrap();
    assert_eq!(peer.next_of(kind::DATA).unwrap().payload, [0x81, 3, b'r', b'a', b'w']);
    for stream in [3, 5, 7] {
        peer.get(stream, "/plain");
        assert_eq!(peer.answer(stream).body, b"hello");
    }
    let mut other = open(&edge, Way::Connect(Transport::Clear), &[]);
    other.send(&crate::frames::frame(TEXT, "x"));
    assert!(matches!(other.hear(), crate::frames::Heard::Frame(..)));
}
