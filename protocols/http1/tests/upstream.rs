//! Exchanges with nodes.

#![allow(clippy::unwrap_used)] // also in helpers

mod support;

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ringgate_core::{
    Answer, BodyLength, Code, Fault, Frame, Limits, Method, Receive, RequestHead, Retry, Scheme,
    Transmit, Upstream, Version,
};
use ringgate_http1::ClientConnection;
use ringgate_http1::client::{Receiver, Sender, Settings};
use support::*;

type Client = ClientConnection<Reader, Writer>;

fn connect(peer: &Peer) -> Client {
    let (reader, writer) = peer.io();
    let minute = Duration::from_secs(60);
    ClientConnection::new(reader, writer, Settings::new(&Limits::default(), minute, minute))
}

fn request(method: Method, body: BodyLength, fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::new(method, Version::Http11, Scheme::Http);
    head.body = body;
    head.set_path(b"/p");
    head.set_query(Some(b"q=1"));
    head.set_authority(b"a.example");
    for (name, value) in fields {
        head.headers.append(name.as_bytes(), value.as_bytes()).unwrap();
    }
    head
}

fn get() -> RequestHead {
    request(Method::Get, BodyLength::Empty, &[("Host", "h")])
}

fn open(peer: &Peer, head: &RequestHead) -> (Sender<Writer>, Receiver<Reader>) {
    now(connect(peer).open(head, true)).unwrap()
}

/// Sends a GET, hears `answer`, and gives status, body, and whether the connection is reusable.
fn fetch(head: &RequestHead, answer: &str, ends: bool) -> Result<(u16, String, bool), Fault> {
    let peer = Peer::new();
    let (send, mut receive) = open(&peer, head);
    peer.says(answer);
    if ends {
        peer.does(Event::End);
    }
    let status = now(receive.head())?.status;
    let (body, _) = collect(&mut receive)?;
    Ok((status, body, Client::rejoin(send, receive).is_some()))
}

#[test]
fn requests_are_written_with_their_own_framing() {
    let exact = BodyLength::Exact(2);
    for (head, end, expected) in [
        (get(), true, "GET /p?q=1 HTTP/1.1\r\nHost: h\r\n\r\n"),
        (
            request(Method::Get, BodyLength::Empty, &[("X-a", "1")]),
            true,
            "GET /p?q=1 HTTP/1.1\r\nHost: a.example\r\nX-a: 1\r\n\r\n",
        ),
        (
            request(Method::Post, BodyLength::Empty, &[("hOst", "h")]),
            true,
            "POST /p?q=1 HTTP/1.1\r\nhOst: h\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            request(
                Method::Put,
                exact,
                &[("Host", "h"), ("Content-length", "9"), ("Connection", "x"), ("TE", "trailers")],
            ),
            false,
            "PUT /p?q=1 HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: te\r\nContent-Length: \
             2\r\n\r\nok",
        ),
        (
            request(Method::Get, BodyLength::Unknown, &[("Host", "h")]),
            false,
            "GET /p?q=1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
    ] {
        let peer = Peer::new();
        let (mut send, _receive) = now(connect(&peer).open(&head, end)).unwrap();
        if !end {
            assert!(peer.sends().is_empty(), "held back");
            now(send.send(data("ok"))).unwrap();
            now(send.send(Frame::End)).unwrap();
        }
        assert_eq!(peer.sends(), [expected]);
    }
}

#[test]
fn a_rewritten_request_line_cannot_be_split() {
    for path in ["/a b", "/a\r\nX: y", "/a\nb", ""] {
        let mut head = get();
        head.set_path(path.as_bytes());
        let fault = now(connect(&Peer::new()).open(&head, true)).err().unwrap();
        assert_eq!(fault.code, Code::Internal, "{path:?}");
    }
}

#[test]
fn answers_end_as_they_say() {
    let head = request(Method::Head, BodyLength::Empty, &[]);
    for (request, answer, ends, body, reusable) in [
        (get(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "ok", true),
        (get(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "", true),
        (
            get(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            false,
            "ok",
            true,
        ),
        (get(), "HTTP/1.1 200 OK\r\n\r\nok", true, "ok", false),
        (get(), "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "ok", false),
        (
            get(),
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            false,
            "ok",
            true,
        ),
        (
            get(),
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            false,
            "ok",
            false,
        ),
        (get(), "HTTP/1.1 204 No Content\r\n\r\n", false, "", true),
        (get(), "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false, "", true),
        (get(), "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, "", false),
        (get(), "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, "", true),
        (head.clone(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, "", true),
        (head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, "", true),
        // Answers twice, or more than it said.
        (
            get(),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
            false,
            "ok",
            false,
        ),
        (get(), "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false, "", false),
        (get(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, "ok", false),
        (get(), "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", false, "ok", true),
    ] {
        let (_, found, again) = fetch(&request, answer, ends).unwrap();
        assert_eq!((&found[..], again), (body, reusable), "{answer}");
    }
}

#[test]
fn invalid_answers_are_the_nodes_fault() {
    for answer in [
        "garbage\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nA: b\n\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 204 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 101 Unasked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let fault = fetch(&get(), answer, true).unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::UpstreamInvalid, Retry::No), "{answer}");
    }
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(33);
    let peer = Peer::new();
    let (_send, mut receive) = open(&peer, &get());
    peer.says(flood);
    let fault = (0..33).find_map(|_| now(receive.head()).err()).unwrap();
    assert_eq!(fault.code, Code::UpstreamInvalid);
}

#[test]
fn truncated_answers() {
    for answer in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    ] {
        let fault = fetch(&get(), answer, true).unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::UpstreamClosed, Retry::No), "{answer}");
    }
}

/// A connection that has served once.
fn used(peer: &Peer) -> Client {
    let (send, mut receive) = open(peer, &get());
    peer.says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    now(receive.head()).unwrap();
    assert_eq!(collect(&mut receive).unwrap().0, "ok");
    peer.sends();
    let mut connection = Client::rejoin(send, receive).unwrap();
    assert!(connection.is_reused() && !connection.is_stale());
    connection
}

#[test]
fn a_used_connection_that_dies_at_once_may_be_retried() {
    for event in [Event::End, Event::Reset] {
        let peer = Peer::new();
        let (_send, mut receive) = now(used(&peer).open(&get(), true)).unwrap();
        peer.does(event.clone());
        let fault = now(receive.head()).unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::UpstreamClosed, Retry::ReusedConnection));

        let peer = Peer::new();
        let (_send, mut receive) = now(used(&peer).open(&get(), true)).unwrap();
        peer.says("HTTP");
        peer.does(event);
        let fault = now(receive.head()).unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::UpstreamClosed, Retry::No), "it had spoken");
    }
    let peer = Peer::new();
    let connection = used(&peer);
    peer.breaks();
    let fault = now(connection.open(&get(), true)).err().unwrap();
    assert_eq!((fault.code, fault.retry), (Code::UpstreamClosed, Retry::ReusedConnection));
}

#[test]
fn stale_connections_are_told() {
    for event in [Event::End, Event::Reset, Event::Bytes(b"HTTP/1.1 408 \r\n\r\n".to_vec())] {
        let peer = Peer::new();
        let mut connection = used(&peer);
        peer.does(event.clone());
        assert!(connection.is_stale(), "{event:?}");

        let peer = Peer::new();
        let mut connection = used(&peer);
        let mut closed = pin!(connection.closed());
        assert!(poll(&mut closed).is_pending());
        peer.does(Event::Timeout);
        assert!(poll(&mut closed).is_pending());
        assert_eq!(peer.leases_out(), 0, "the buffer went back");
        peer.does(event);
        assert!(poll(&mut closed).is_ready());
    }
}

#[test]
fn it_serves_again_and_again() {
    let peer = Peer::new();
    let mut connection = used(&peer);
    for round in 0..3 {
        if round == 1 {
            // The receive that was posted meanwhile has given its buffer back.
            peer.does(Event::Timeout);
            assert!(!connection.is_stale());
        }
        let (send, mut receive) = now(connection.open(&get(), true)).unwrap();
        {
            let mut head = pin!(receive.head());
            assert!(poll(&mut head).is_pending());
            peer.says("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n");
            peer.says("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\n");
            let Poll::Ready(Ok(head)) = poll(&mut head) else { panic!("no head") };
            assert_eq!(head.status, 103);
        }
        let head = now(receive.head()).unwrap();
        assert_eq!((head.status, head.reason()), (200, &b"Fine"[..]));
        peer.says("ok");
        assert_eq!(collect(&mut receive).unwrap().0, "ok");
        connection = Client::rejoin(send, receive).unwrap();
        assert_eq!(peer.sends().len(), 1);
    }
}

#[test]
fn the_body_is_handed_over_where_a_head_can_be_put_before_it() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    ] {
        let peer = Peer::new();
        let (_send, mut receive) = open(&peer, &get());
        peer.says(answer);
        now(receive.head()).unwrap();
        let Frame::Data(mut chunk) = now(receive.frame()).unwrap() else { panic!("no data") };
        assert_eq!(chunk.bytes(), b"ok");
        assert!(chunk.prepend(&[b'h'; 500]), "nobody else holds the buffer");
        assert!(receive.is_ready());
    }
}

#[test]
fn an_early_answer_and_waits_while_the_request_is_sent() {
    let peer = Peer::new();
    let head = request(Method::Post, BodyLength::Exact(4), &[("Host", "h")]);
    let (mut send, mut receive) = now(connect(&peer).open(&head, false)).unwrap();
    now(send.send(data("ab"))).unwrap();
    {
        let mut answer = pin!(receive.head());
        assert!(poll(&mut answer).is_pending());
        peer.does(Event::Timeout);
        assert!(poll(&mut answer).is_pending(), "the node may wait for the body");
        peer.says("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
        assert!(poll(&mut answer).is_ready());
    }
    assert_eq!(collect(&mut receive).unwrap().0, "");
    assert!(Client::rejoin(send, receive).is_none(), "the request is not whole");

    let peer = Peer::new();
    let (_send, mut receive) = open(&peer, &get());
    peer.does(Event::Timeout);
    assert_eq!(now(receive.head()).unwrap_err().code, Code::UpstreamReadTimeout);
}

#[test]
fn after_a_101_both_halves_are_raw() {
    let peer = Peer::new();
    let mut head = get();
    head.upgrade = Some(head.headers.intern(b"websocket"));
    let (mut send, mut receive) = open(&peer, &head);
    assert!(peer.heard().ends_with("Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"));
    peer.says("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhi");
    assert_eq!(now(receive.head()).unwrap().status, 101);
    let Frame::Data(chunk) = now(receive.frame()).unwrap() else { panic!("no data") };
    assert_eq!(chunk.bytes(), b"hi");
    now(send.send(data("up"))).unwrap();
    assert_eq!(peer.sends(), ["up"]);
    now(send.send(Frame::End)).unwrap();
    assert!(peer.is_shut());
    peer.does(Event::End);
    assert!(matches!(now(receive.frame()), Ok(Frame::End)));
    assert!(Client::rejoin(send, receive).is_none());
}
