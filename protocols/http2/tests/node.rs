//! What nodes do, and what becomes of it.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use ringgate_core::{
    Answer, BodyLength, Chunk, Code, Fault, Frame, Receive, Retry, Transmit, Upstream,
};
use support::client::{answer, connect, exchange, get, head, run, waits};
use support::raw::{PREFACE, RawClient, code, flag, kind, setting};

type Node = RawClient<TcpStream>;

/// A node that does what the test says, on a thread, for each connection in turn.
fn node(act: impl Fn(&mut Node, usize) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    node_with(&[], act)
}

fn node_with(
    settings: &'static [(u16, u32)],
    act: impl Fn(&mut Node, usize) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        for nth in 0.. {
            let (mut stream, _) = listener.accept().unwrap();
            let mut preface = [0; PREFACE.len()];
            if stream.read_exact(&mut preface).is_err() {
                return;
            }
            assert_eq!(preface, PREFACE);
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut node = RawClient::over(stream);
            node.settings(settings);
            node.frame(kind::SETTINGS, flag::ACK, 0, []);
            act(&mut node, nth);
        }
    });
    (address, thread)
}

/// Waits for a request's head; its stream.
fn asked(node: &mut Node) -> u32 {
    node.next_of(kind::HEADERS).map_or(0, |frame| frame.stream)
}

fn say(node: &mut Node, stream: u32, end: bool) {
    node.headers(stream, &[(":status", "200")], end);
}

async fn failure(address: SocketAddr) -> Fault {
    let handle = connect(address).await;
    get(&handle, "/").await.unwrap_err()
}

#[test]
fn what_a_node_refused_may_be_tried_again() {
    let (address, _node) = node(|node, nth| {
        let stream = asked(node);
        match nth {
            0 => node.reset(stream, code::REFUSED_STREAM),
            1 => node.frame(kind::GOAWAY, 0, 0, [0; 8]),
            2 => node.reset(stream, code::INTERNAL_ERROR),
            _ => {}
        }
        if nth < 3 {
            node.next_of(kind::GOAWAY);
        }
    });
    run(|| async {
        for (code, retry) in [
            (Code::UpstreamRefused, Retry::Yes),
            (Code::UpstreamRefused, Retry::Yes),
            (Code::UpstreamClosed, Retry::No),
            // It just closes.
            (Code::UpstreamClosed, Retry::No),
        ] {
            let fault = failure(address).await;
            assert_eq!((fault.code, fault.retry), (code, retry), "{fault}");
        }
    });
}

#[test]
fn a_node_that_goes_away_finishes_what_it_began() {
    let (address, _node) = node(|node, nth| {
        if nth > 0 {
            return;
        }
        let (first, second) = (asked(node), asked(node));
        assert_eq!((first, second), (1, 3));
        let mut away = 1u32.to_be_bytes().to_vec();
        away.extend([0; 4]);
        node.frame(kind::GOAWAY, 0, 0, away);
        std::thread::sleep(Duration::from_millis(100));
        say(node, 1, false);
        node.data(1, "whole", true);
        while node.next().is_some() {}
    });
    run(|| async {
        let handle = connect(address).await;
        let first = head("GET", "/1");
        let (_up, mut down) = handle.stream(waits()).open(&first, true).await.unwrap();
        let fault = get(&handle, "/2").await.unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::UpstreamRefused, Retry::Yes), "{fault}");
        assert!(!handle.is_usable());
        assert_eq!(handle.room(), 0);
        assert_eq!(answer(&mut down).await.unwrap().body, b"whole");
        let fault = get(&handle, "/3").await.unwrap_err();
        assert_eq!(fault.retry, Retry::Yes, "{fault}");
    });
}

#[test]
fn a_used_connection_that_ends_says_so() {
    let (address, _node) = node(|node, _| {
        let stream = asked(node);
        say(node, stream, true);
        let stream = asked(node);
        if stream == 3 {
            // Closed within an answer: it was acted on.
            say(node, stream, true);
            let stream = asked(node);
            say(node, stream, false);
            node.data(stream, "half", false);
            asked(node);
        }
    });
    run(|| async {
        let handle = connect(address).await;
        get(&handle, "/1").await.unwrap();
        get(&handle, "/2").await.unwrap();
        let third = head("GET", "/3");
        let (_up, mut down) = handle.stream(waits()).open(&third, true).await.unwrap();
        assert_eq!(down.head().await.unwrap().status, 200);
        assert!(matches!(down.frame().await.unwrap(), Frame::Data(_)));
        // This one has the node close.
        let fault = get(&handle, "/4").await.unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::UpstreamClosed, Retry::ReusedConnection));
        let fault = down.frame().await.unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::UpstreamClosed, Retry::No), "{fault}");
    });
}

#[test]
fn answers_that_break_the_protocol_are_invalid() {
    type Act = fn(&mut Node, u32);
    const ACTS: &[(&str, Act)] = &[
        ("no status", |node, stream| node.headers(stream, &[("a", "b")], true)),
        ("status", |node, stream| node.headers(stream, &[(":status", "20x")], true)),
        ("101", |node, stream| node.headers(stream, &[(":status", "101")], false)),
        ("connection", |node, stream| {
            node.headers(stream, &[(":status", "200"), ("connection", "close")], true)
        }),
        ("upper case", |node, stream| {
            node.headers(stream, &[(":status", "200"), ("Server", "x")], true)
        }),
        ("length", |node, stream| {
            node.headers(stream, &[(":status", "200"), ("content-length", "5")], false);
            node.data(stream, "1234", true);
        }),
        ("too many fields", |node, stream| {
            let mut fields = vec![(":status", "200")];
            fields.resize(150, ("a", "b"));
            node.headers(stream, &fields, true)
        }),
        ("too large", |node, stream| {
            let large = "x".repeat(30_000);
            let fields = [(":status", "200"), ("a", &large), ("b", &large), ("c", &large)];
            node.headers(stream, &fields, true)
        }),
        ("interim", |node, stream| {
            for _ in 0..40 {
                node.headers(stream, &[(":status", "103")], false);
            }
        }),
        ("data first", |node, stream| node.data(stream, "x", false)),
        ("unknown stream", |node, _| say(node, 77, true)),
    ];
    let (address, _node) = node(|node, nth| {
        let Some((_, act)) = ACTS.get(nth) else {
            return;
        };
        let stream = asked(node);
        act(node, stream);
        while node.next().is_some() {}
    });
    run(|| async {
        for (what, _) in ACTS {
            let fault = failure(address).await;
            assert_eq!(fault.code, Code::UpstreamInvalid, "{what}: {fault}");
            assert_eq!(fault.retry, Retry::No, "{what}");
        }
    });
}

#[test]
fn an_early_answer_is_taken_whole() {
    let (address, _node) = node(|node, _| {
        let stream = asked(node);
        say(node, stream, false);
        node.data(stream, "no more", true);
        node.reset(stream, code::NO_ERROR);
        while node.next().is_some() {}
    });
    run(|| async {
        let handle = connect(address).await;
        let mut request = head("POST", "/");
        request.body = BodyLength::Unknown;
        let (mut up, mut down) = handle.stream(waits()).open(&request, false).await.unwrap();
        let fault = loop {
            if let Err(fault) = up.send(Frame::Data(Chunk::copy_of(&[0; 5000]))).await {
                break fault;
            }
        };
        assert_eq!(fault.code, Code::UpstreamClosed, "{fault}");
        assert_eq!(answer(&mut down).await.unwrap().body, b"no more");
    });
}

#[test]
fn websockets_need_a_node_that_takes_them() {
    let (address, _node) =
        node_with(
            &[(setting::MAX_CONCURRENT_STREAMS, 9)],
            |node, _| {
                while node.next().is_some() {}
            },
        );
    run(|| async {
        let handle = connect(address).await;
        let mut request = head("GET", "/");
        request.upgrade = Some(request.headers.intern(b"websocket"));
        let fault = exchange(&handle, request, None).await.unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::UpstreamInvalid, Retry::No), "{fault}");
        assert_eq!(handle.room(), 9);
        assert!(!handle.supports_extended_connect());
    });
}

#[test]
fn the_head_is_written_as_http2_has_it() {
    let (address, seen) = node_with(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)], |node, nth| {
        let mut heads = Vec::new();
        while heads.len() < 2 {
            let frame = node.next_of(kind::HEADERS).unwrap();
            heads.push((frame.has(flag::END_STREAM), node.decode(&frame.payload)));
            say(node, frame.stream, true);
        }
        let [(true, first), (false, second)] = &heads[..] else {
            panic!("{heads:?}");
        };
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            first[..],
            [
                field(":method", "GET"),
                field(":scheme", "http"),
                field(":authority", "node.example:80"),
                field(":path", "/a?b"),
                field("te", "trailers"),
                field("x-mixed-case", "Value"),
            ]
        );
        assert_eq!(
            second[..],
            [
                field(":method", "CONNECT"),
                field(":scheme", "http"),
                field(":authority", "node.example:80"),
                field(":path", "/ws"),
                field(":protocol", "websocket"),
                field("sec-websocket-version", "13"),
            ]
        );
        assert_eq!(nth, 0);
        std::panic::panic_any("seen");
    });
    run(|| async {
        let handle = connect(address).await;
        let mut request = head("GET", "/a?b");
        for (name, value) in [
            ("Host", "other"),
            ("TE", "trailers"),
            ("X-Mixed-Case", "Value"),
            ("Connection", "x"),
            ("Keep-Alive", "1"),
            ("Transfer-Encoding", "chunked"),
            ("HTTP2-Settings", "AA"),
        ] {
            request.headers.append(name.as_bytes(), value.as_bytes()).unwrap();
        }
        exchange(&handle, request, None).await.unwrap();
        let mut request = head("GET", "/ws");
        request.upgrade = Some(request.headers.intern(b"websocket"));
        request.headers.append(b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        request.headers.append(b"Sec-WebSocket-Version", b"13").unwrap();
        let _ = exchange(&handle, request, None).await;
    });
    let told = seen.join().unwrap_err();
    assert_eq!(told.downcast_ref::<&str>(), Some(&"seen"), "the node saw something else");
}
