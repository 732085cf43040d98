//! What of a request is taken, what is refused, and how.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use ringgate_core::{Limits, Timeouts};
use support::raw::{RawClient, code, flag, kind, request, setting};
use support::server::{Server, echo, serve};

fn server() -> Server {
    serve(Limits::default(), Timeouts::default(), echo)
}

#[test]
fn settings_are_as_designed() {
    let server = server();
    let mut client = RawClient::connect(server.address);
    let mut settings = client.handshake(&[]);
    settings.sort();
    assert_eq!(
        settings,
        [
            (setting::MAX_CONCURRENT_STREAMS, 128),
            (setting::INITIAL_WINDOW_SIZE, 256 * 1024),
            (setting::MAX_HEADER_LIST_SIZE, 64 * 1024),
            (setting::ENABLE_CONNECT_PROTOCOL, 1),
        ]
    );
}

#[test]
fn a_request_comes_and_is_answered() {
    let server = server();
    let mut client = RawClient::open(server.address);
    client.get(1, "/a/%2e/b?c=%2e");
    let answer = client.answer(1);
    assert_eq!(answer.status, 200);
    let said = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(said, "GET test.example /a/b?c=%2e Empty {}\n");
    assert_eq!(answer.field(":status"), Some("200"));
    assert_eq!(answer.fields[1], ("content-length".into(), said.len().to_string()));
}

/// What the server says to a head: its status, or the code that the stream is reset with.
fn said(client: &mut RawClient<std::net::TcpStream>, fields: &[(&str, &str)]) -> (u16, String) {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let stream = 1 + 2 * NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    client.headers(stream, fields, true);
    let answer = client.answer(stream);
    match answer.reset {
        Some(code) if answer.status == 0 => (0, format!("reset {code}")),
        _ => (answer.status, String::from_utf8(answer.body).unwrap()),
    }
}

#[test]
fn malformed_heads_end_their_stream_and_no_more() {
    let server = server();
    let mut client = RawClient::open(server.address);
    let ours = |name: &'static str, value: &'static str| {
        // A field of that name is replaced, or added in front.
        let mut fields = request("GET", "/", &[]);
        match fields.iter().position(|(this, _)| *this == name) {
            Some(at) => fields[at].1 = value,
            None => fields.push((name, value)),
        }
        fields
    };
    let without = |name: &str| {
        let mut fields = request("GET", "/", &[]);
        fields.retain(|(this, _)| *this != name);
        fields
    };
    // RFC 9113 §8.1.1, §8.2.1: malformed, so the stream is reset, and only that.
    for fields in [
        ours("X-Upper", "1"),
        ours("connection", "close"),
        ours("keep-alive", "1"),
        ours("proxy-connection", "1"),
        ours("transfer-encoding", "chunked"),
        ours("upgrade", "h2c"),
        ours("te", "gzip"),
        ours("te", "trailers, gzip"),
        ours("x", "a\0b"),
        ours("x", "a\rb"),
        ours("x", "a\nb"),
        ours("x", " a"),
        ours("x", "a\t"),
        ours("a b", "x"),
        ours("a:b", "x"),
        ours("", "x"),
        ours(":unknown", "x"),
        ours(":status", "200"),
        ours(":protocol", "websocket"),
        ours(":path", ""),
        ours(":path", "/a b"),
        ours(":path", "a"),
        ours(":method", "G ET"),
        ours(":method", ""),
        ours(":authority", "a b"),
        ours(":scheme", "1ht"),
        ours("content-length", "x"),
        ours("content-length", "1"),
        without(":method"),
        without(":path"),
        without(":scheme"),
        [request("GET", "/", &[]), vec![(":path", "/b")]].concat(),
        [request("GET", "/", &[("x", "y")]), vec![(":other", "/b")]].concat(),
        [request("GET", "/", &[("x", "y")]), vec![(":method", "GET")]].concat(),
    ] {
        let (status, said) = said(&mut client, &fields);
        let reset = (0, format!("reset {}", code::PROTOCOL_ERROR));
        assert!((status, said.clone()) == reset || status == 400, "{fields:?}: {status} {said}");
    }
    let (status, _) = said(&mut client, &request("GET", "/", &[("te", "trailers")]));
    assert_eq!(status, 200);
}

#[test]
fn what_http1_refuses_is_refused_by_the_same_answer() {
    let server = server();
    let mut client = RawClient::open(server.address);
    let mut ask = |fields: &[(&str, &str)]| said(&mut client, fields);
    let long = format!("/{}", "a".repeat(17_000));
    let authority = |named: &'static str, host: Option<&'static str>| {
        let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", "/")];
        if !named.is_empty() {
            fields.push((":authority", named));
        }
        fields.extend(host.map(|host| ("host", host)));
        fields
    };
    for (fields, status, reason) in [
        (authority("user@test.example", None), 400, ":authority"),
        (authority("user:password@test.example", None), 400, ":authority"),
        (authority("a,b", None), 400, ":authority"),
        (authority("a:99999", None), 400, ":authority"),
        (authority("a", Some("b")), 400, ":authority and host differ"),
        (authority("a", Some("a:80")), 400, ":authority and host differ"),
        (authority("", Some("u@a")), 400, "host"),
        (authority("", None), 400, "no host"),
        (request("GET", "/..", &[]), 400, "path"),
        (request("GET", "/%00", &[]), 400, "path"),
        (request("GET", "/%zz", &[]), 400, "path"),
        (request("GET", "/a/%2e%2e/%2e%2e/b", &[]), 400, "path"),
        (request("GET", "*", &[]), 400, "path"),
        (request("GET", "/", &[("expect", "200-maybe")]), 417, "expectation"),
        (request("GET", &long, &[]), 414, ":path above its limit"),
        (vec![(":method", "CONNECT"), (":authority", "a:1")], 501, "CONNECT"),
        (
            [request("CONNECT", "/", &[]), vec![(":protocol", "connect-udp")]].concat(),
            501,
            "CONNECT",
        ),
    ] {
        assert_eq!(ask(&fields), (status, reason.to_owned()), "{fields:?}");
    }
    let several = [authority("", Some("a")), vec![("host", "a")]].concat();
    assert_eq!(ask(&several), (400, "several hosts".into()));

    for (fields, head) in [
        (authority("A.b:1", Some("a.B:1")), "GET A.b:1 / Empty {}\n"),
        (authority("", Some("a:1")), "GET a:1 / Empty {}\n"),
        (request("OPTIONS", "*", &[]), "OPTIONS test.example * Empty {}\n"),
        (request("GET", "//a/./%41?%41", &[]), "GET test.example /a/A?%41 Empty {}\n"),
        (request("MYOWN", "/?", &[]), "MYOWN test.example /? Empty {}\n"),
        (
            request("GET", "/", &[("cookie", "a=b"), ("x", "1"), ("cookie", "c=d"), ("x", "2")]),
            "GET test.example / Empty {\"cookie\": \"a=b; c=d\", \"x\": \"1\", \"x\": \"2\"}\n",
        ),
        (
            request("GET", "/", &[("x", "\u{e9}\tx")]),
            "GET test.example / Empty {\"x\": \"é\\tx\"}\n",
        ),
    ] {
        assert_eq!(ask(&fields), (200, head.to_owned()), "{fields:?}");
    }
}

#[test]
fn too_many_and_too_large_fields_are_answered() {
    let server = server();
    let mut client = RawClient::open(server.address);
    let crumbs = vec![("cookie", "a=b"); 130];
    let (status, reason) = said(&mut client, &request("GET", "/", &crumbs));
    assert_eq!((status, &*reason), (431, "too many fields"));
    // Above 64 KiB, in several frames.
    let large = "x".repeat(15_000);
    let fields = request("GET", "/", &[("a", large.as_str()); 5]);
    let stream = 99_001;
    client.headers(stream, &fields, true);
    assert_eq!(client.answer(stream).status, 431);
    client.get(99_003, "/");
    assert_eq!(client.answer(99_003).status, 200);
}

#[test]
fn bodies_are_as_long_as_they_say() {
    let server = server();
    let mut client = RawClient::open(server.address);
    for (stream, told, sent, ends) in
        [(1, "5", 5, true), (3, "5", 4, true), (5, "5", 6, true), (7, "5", 6, false)]
    {
        client.request(stream, "POST", "/", &[("content-length", told)], false);
        client.data(stream, vec![b'x'; sent], ends);
        let answer = client.answer(stream);
        match sent {
            5 => assert!(answer.body.ends_with(b"xxxxx")),
            _ => assert_eq!(answer.reset, Some(code::PROTOCOL_ERROR), "{told} {sent} {ends}"),
        }
    }
    // Two that agree are one; two that differ are none.
    client.request(9, "POST", "/", &[("content-length", "1"), ("content-length", "1")], false);
    client.data(9, "x", true);
    assert_eq!(client.answer(9).status, 200);
    client.request(11, "POST", "/", &[("content-length", "1"), ("content-length", "2")], false);
    assert_eq!(client.answer(11).reset, Some(code::PROTOCOL_ERROR));
}

#[test]
fn trailers_are_taken_as_far_as_they_may_be() {
    let server = server();
    let mut client = RawClient::open(server.address);
    client.request(1, "POST", "/", &[], false);
    client.data(1, "x", false);
    client.headers(1, &[("x-sum", "1"), ("host", "evil"), ("content-length", "9")], true);
    let body = String::from_utf8(client.answer(1).body).unwrap();
    assert!(body.ends_with("Unknown {}\nx\n{\"x-sum\": \"1\"}"), "{body}");
    // Pseudo-fields are not to be there (RFC 9113 §8.1).
    client.request(3, "POST", "/", &[], false);
    client.headers(3, &[(":path", "/x"), ("x-sum", "2")], true);
    assert_eq!(client.answer(3).reset, Some(code::PROTOCOL_ERROR));
    // Only the end of the stream may stand behind a body.
    client.request(5, "POST", "/", &[], false);
    client.headers(5, &[("a", "b")], false);
    assert_eq!(client.answer(5).reset, Some(code::PROTOCOL_ERROR));
}

#[test]
fn a_client_that_waits_for_100_gets_it() {
    let server = server();
    let mut client = RawClient::open(server.address);
    client.request(1, "POST", "/", &[("expect", "100-continue")], false);
    let head = client.next_of(kind::HEADERS).unwrap();
    assert!(!head.has(flag::END_STREAM));
    assert_eq!(client.decode(&head.payload), [(":status".into(), "100".into())]);
    client.data(1, "x", true);
    let answer = client.answer(1);
    assert_eq!((answer.status, answer.interim), (200, vec![]));
    // Not one that does not wait.
    client.request(3, "POST", "/", &[("expect", "100-continue")], false);
    client.data(3, "x", true);
    assert_eq!(client.answer(3).status, 200);
}

#[test]
fn a_websocket_opens_by_extended_connect() {
    let server = server();
    let mut client = RawClient::open(server.address);
    let mut fields = request("CONNECT", "/chat", &[]);
    fields.insert(1, (":protocol", "websocket"));
    fields.push(("sec-websocket-version", "13"));
    fields.push(("origin", "http://test.example"));
    client.headers(1, &fields, false);
    // The server here does not switch: what it says would open the tunnel, so it is not said.
    let answer = client.answer(1);
    assert_eq!(answer.status, 502);
}
