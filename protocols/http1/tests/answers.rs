//! What clients get, and what becomes of their connections.

#![allow(clippy::unwrap_used)] // also in helpers

mod support;

use ringgate_core::{
    BodyLength, Chunk, Code, Fault, Frame, Headers, Receive, Respond, ResponseHead,
};
use support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn answer(status: u16, body: BodyLength, fields: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead::new(status);
    head.body = body;
    for (name, value) in fields {
        head.headers.append(name.as_bytes(), value.as_bytes()).unwrap();
    }
    head
}

/// Answers one request with frames and returns what was sent, and whether another may come.
fn exchange(request: &str, head: ResponseHead, frames: Vec<Frame>) -> (Vec<String>, bool) {
    let peer = Peer::new();
    peer.says(request);
    let mut server = server(&peer);
    let mut client = now(server.next()).unwrap().unwrap().client;
    now(client.head(head, false)).unwrap();
    for frame in frames {
        now(client.send(frame)).unwrap();
    }
    (peer.sends(), now(server.finish()))
}

#[test]
fn head_and_body_leave_in_one_send() {
    let head = answer(200, BodyLength::Exact(5), &[("Server", "x"), ("X-a", "1")]);
    let (sends, again) = exchange(GET, head, vec![data("hello"), Frame::End]);
    assert_eq!(sends, ["HTTP/1.1 200 OK\r\nServer: x\r\nX-a: 1\r\nContent-Length: 5\r\n\r\nhello"]);
    assert!(again);
}

#[test]
fn framing_fields_are_written_never_copied() {
    let head = answer(
        200,
        BodyLength::Exact(2),
        &[
            ("content-length", "99"),
            ("Transfer-Encoding", "gzip"),
            ("Connection", "x"),
            ("Keep-Alive", "y"),
            ("Upgrade", "z"),
            ("A", "b"),
        ],
    );
    let (sends, _) = exchange(GET, head, vec![data("ok")]);
    assert_eq!(sends, ["HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok"]);
}

#[test]
fn unknown_lengths_are_chunked_and_leave_together_where_small() {
    let head = || answer(200, BodyLength::Unknown, &[]);
    let (sends, again) = exchange(GET, head(), vec![data("one"), data("three"), Frame::End]);
    assert_eq!(
        sends,
        [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"
        ]
    );
    assert!(again);
    let mut trailers = Headers::new();
    trailers.append(b"X-Sum", b"1").unwrap();
    trailers.append(b"Content-Length", b"1").unwrap();
    let (sends, _) = exchange(GET, head(), vec![data("one"), Frame::Trailers(trailers)]);
    assert!(sends.concat().ends_with("\r\n\r\n3\r\none\r\n0\r\nX-Sum: 1\r\n\r\n"), "{sends:?}");
}

#[test]
fn flush_sends_what_is_held_back() {
    let peer = Peer::new();
    peer.says(GET);
    let mut server = server(&peer);
    let mut client = now(server.next()).unwrap().unwrap().client;
    now(client.head(answer(200, BodyLength::Unknown, &[]), false)).unwrap();
    assert!(peer.sends().is_empty());
    now(client.flush()).unwrap();
    assert!(peer.heard().ends_with("chunked\r\n\r\n"));
    now(client.send(data("event"))).unwrap();
    now(client.flush()).unwrap();
    assert_eq!(peer.sends(), ["5\r\nevent\r\n"]);
    let bulk = Chunk::copy_of(&vec![b'x'; ringgate_core::HUGE]);
    now(client.send(Frame::Data(bulk))).unwrap();
    assert_eq!(peer.sends().len(), 1, "a bulk chunk leaves in one send");
    now(client.send(Frame::End)).unwrap();
    assert!(peer.heard().ends_with("0\r\n\r\n"));
}

#[test]
fn some_answers_have_no_body() {
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (request, status, length, told) in [
        (head, 200, BodyLength::Exact(7), "Content-Length: 7\r\n"),
        (head, 200, BodyLength::Unknown, ""),
        (head, 200, BodyLength::Empty, "Content-Length: 0\r\n"),
        (GET, 204, BodyLength::Exact(7), ""),
        (GET, 204, BodyLength::Unknown, ""),
        (GET, 304, BodyLength::Exact(7), "Content-Length: 7\r\n"),
        (GET, 304, BodyLength::Empty, ""),
        (GET, 200, BodyLength::Empty, "Content-Length: 0\r\n"),
        (GET, 205, BodyLength::Empty, "Content-Length: 0\r\n"),
    ] {
        let (sends, again) = exchange(request, answer(status, length, &[]), vec![Frame::End]);
        let sent = sends.concat();
        let (_, rest) = sent.split_once("\r\n").unwrap();
        assert_eq!(rest, format!("{told}\r\n"), "{status} {length:?}");
        assert!(again);
        if length != BodyLength::Empty {
            let frames = vec![data("ignored"), Frame::End];
            let (sends, _) = exchange(request, answer(status, length, &[]), frames);
            assert!(!sends.concat().contains("ignored"), "{status}");
        }
    }
}

#[test]
fn old_clients() {
    let old = "GET / HTTP/1.0\r\n\r\n";
    let kept = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    let exact = || answer(200, BodyLength::Exact(2), &[]);
    let unknown = || answer(200, BodyLength::Unknown, &[]);
    let ok = || vec![data("ok"), Frame::End];
    let (sends, again) = exchange(old, exact(), ok());
    assert_eq!(sends, ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"]);
    assert!(!again);
    let (sends, again) = exchange(kept, exact(), ok());
    assert_eq!(sends, ["HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"]);
    assert!(again);
    let (sends, again) = exchange(kept, unknown(), ok());
    assert_eq!(sends, ["HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"]);
    assert!(!again);
}

#[test]
fn close_is_kept_and_said() {
    let closing = "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n";
    let (sends, again) =
        exchange(closing, answer(200, BodyLength::Exact(0), &[]), vec![Frame::End]);
    assert!(sends.concat().contains("Connection: close\r\n"));
    assert!(!again);

    let peer = Peer::new();
    peer.says(GET.repeat(3));
    let mut server =
        server_with(&peer, settings(|limits, _| limits.requests_per_connection = Some(2)));
    for said in [false, true] {
        let mut client = now(server.next()).unwrap().unwrap().client;
        now(client.head(answer(200, BodyLength::Empty, &[]), true)).unwrap();
        assert_eq!(peer.heard().contains("Connection: close"), said);
    }
    assert!(now(server.next()).unwrap().is_none());

    let peer = Peer::new();
    peer.says(GET.repeat(2));
    let settings = settings(|_, _| {});
    let mut server = server_with(&peer, settings.clone());
    let mut client = now(server.next()).unwrap().unwrap().client;
    settings.draining.set(true);
    now(client.head(answer(200, BodyLength::Empty, &[]), true)).unwrap();
    assert!(peer.heard().contains("Connection: close"));
    assert!(now(server.next()).unwrap().is_none());
}

#[test]
fn pipelined_requests_are_served_in_order() {
    for cut in [0, 1, 5] {
        let peer = Peer::new().cut(cut);
        peer.says("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        peer.says("POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        peer.says("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\nHost: no\r\n\r\n\r\n");
        peer.says("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
        peer.does(Event::End);
        let mut server = server(&peer);
        for (path, body, trailers) in
            [("/1", "abc", &[][..]), ("/2", "abcde", &["X-T: 1"][..]), ("/3", "", &[][..])]
        {
            let mut exchange = now(server.next()).unwrap().unwrap();
            assert_eq!(exchange.head.path(), path.as_bytes());
            let (data, found) = collect(&mut exchange.body).unwrap();
            assert_eq!(
                (&data[..], &found[..]),
                (body, &trailers.iter().map(|t| t.to_string()).collect::<Vec<_>>()[..])
            );
            assert!(matches!(now(exchange.body.frame()), Ok(Frame::End)));
            now(exchange.client.head(answer(200, BodyLength::Empty, &[]), true)).unwrap();
        }
        assert!(now(server.next()).unwrap().is_none());
        assert_eq!(peer.sends().len(), 3);
    }
}

#[test]
fn a_small_unread_body_is_drained_a_large_one_ends_the_connection() {
    let post =
        |length: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let peer = Peer::new();
    peer.says(post(20_000));
    let mut server = server(&peer);
    let mut client = now(server.next()).unwrap().unwrap().client;
    now(client.head(answer(403, BodyLength::Empty, &[]), true)).unwrap();
    peer.says("x".repeat(20_000) + GET);
    assert_eq!(now(server.next()).unwrap().unwrap().head.path(), b"/");

    let peer = Peer::new();
    peer.says(post(1_000_000) + "some");
    let mut server = support::server(&peer);
    let mut client = now(server.next()).unwrap().unwrap().client;
    now(client.head(answer(403, BodyLength::Empty, &[]), true)).unwrap();
    assert!(now(server.next()).unwrap().is_none());
    peer.says("x".repeat(1000));
    peer.does(Event::End);
    now(server.close());
    assert!(peer.is_shut() && !peer.is_aborted(), "the client gets its answer");
}

#[test]
fn continue_is_sent_when_the_body_is_asked_for() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    let peer = Peer::new();
    peer.says(request);
    let mut server = server(&peer);
    let mut exchange = now(server.next()).unwrap().unwrap();
    {
        let mut frame = std::pin::pin!(exchange.body.frame());
        assert!(poll(&mut frame).is_pending());
        assert_eq!(peer.sends(), ["HTTP/1.1 100 Continue\r\n\r\n"]);
        peer.says("ok");
        assert!(poll(&mut frame).is_ready());
    }
    now(exchange.client.head(answer(200, BodyLength::Empty, &[]), true)).unwrap();
    assert!(!peer.heard().contains("close"));
    assert!(now(server.finish()));

    // Answered without it: what the client sends next cannot be told apart.
    let peer = Peer::new();
    peer.says(request);
    let mut server = support::server(&peer);
    let mut exchange = now(server.next()).unwrap().unwrap();
    now(exchange.client.head(answer(417, BodyLength::Empty, &[]), true)).unwrap();
    assert!(peer.heard().contains("Connection: close\r\n"));
    assert!(!now(server.finish()));

    // Not for a client that did not wait, and not for HTTP/1.0.
    for request in [request.to_owned() + "ok", request.replace("1.1", "1.0") + "ok"] {
        let peer = Peer::new();
        peer.says(request);
        let mut server = support::server(&peer);
        let mut exchange = now(server.next()).unwrap().unwrap();
        assert_eq!(collect(&mut exchange.body).unwrap().0, "ok");
        assert!(peer.sends().is_empty());
    }
}

#[test]
fn interim_answers() {
    let hints = || answer(103, BodyLength::Empty, &[("Link", "</a>")]);
    for (request, expected) in
        [(GET, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), ("GET / HTTP/1.0\r\n\r\n", "")]
    {
        let peer = Peer::new();
        peer.says(request);
        let mut server = server(&peer);
        let mut client = now(server.next()).unwrap().unwrap().client;
        now(client.inform(&hints())).unwrap();
        assert_eq!(peer.heard(), expected);
        now(client.head(answer(200, BodyLength::Empty, &[]), true)).unwrap();
    }
}

#[test]
fn an_answer_of_another_length_than_told_is_reset() {
    for (frames, sent) in [(vec![data("toolong")], ""), (vec![data("ab"), Frame::End], "ab")] {
        let peer = Peer::new();
        peer.says(GET);
        let mut server = server(&peer);
        let mut client = now(server.next()).unwrap().unwrap().client;
        now(client.head(answer(200, BodyLength::Exact(4), &[]), false)).unwrap();
        let result = frames.into_iter().try_for_each(|frame| now(client.send(frame)));
        assert_eq!(result.unwrap_err().code, Code::Internal);
        assert!(peer.heard().ends_with(sent));
        assert!(now(server.next()).unwrap().is_none());
        now(server.close());
        assert!(peer.is_aborted());
    }
    let peer = Peer::new();
    peer.says(GET);
    let mut server = server(&peer);
    let mut client = now(server.next()).unwrap().unwrap().client;
    now(client.head(answer(200, BodyLength::Unknown, &[]), false)).unwrap();
    client.reset(&Fault::new(Code::UpstreamClosed, "test"));
    assert!(peer.is_aborted() && peer.heard().is_empty());
}

#[test]
fn bodies_that_break_off_or_break_rules() {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let exact = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let cases = [
        (exact, "abc", Event::End, Code::ClientGone),
        (exact, "abc", Event::Reset, Code::ClientGone),
        (exact, "abc", Event::Timeout, Code::BodyTimeout),
        (chunked, "3\r\nab", Event::End, Code::ClientGone),
        (chunked, "3\r\nabc\r\n0\r\n", Event::End, Code::ClientGone),
        (chunked, "3\r\nabcX", Event::End, Code::BadRequest),
        (chunked, "3\nabc", Event::End, Code::BadRequest),
        (chunked, "10000000000000000\r\n", Event::End, Code::BadRequest),
        (chunked, "0\r\nContent-Length: 3\r\n\r\n", Event::End, Code::BadRequest),
        (chunked, "0\r\nA : b\r\n\r\n", Event::End, Code::BadRequest),
    ];
    for (head, body, event, code) in cases {
        let peer = Peer::new();
        peer.says(head);
        peer.says(body);
        if matches!(event, Event::Timeout) {
            // First the buffer goes back, then the wait is over.
            peer.does(Event::Timeout);
        }
        peer.does(event);
        let mut server = server(&peer);
        let mut exchange = now(server.next()).unwrap().unwrap();
        assert_eq!(collect(&mut exchange.body).unwrap_err().code, code, "{body}");
    }
}

#[test]
fn body_limits() {
    let limited = || settings(|limits, _| limits.request_body = Some(4));
    for (request, fits) in [
        ("Content-Length: 4\r\n\r\nabcd", true),
        ("Content-Length: 5\r\n\r\nabcde", false),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", true),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n", false),
    ] {
        let peer = Peer::new();
        peer.says(format!("POST / HTTP/1.1\r\nHost: a\r\n{request}"));
        let mut server = server_with(&peer, limited());
        let mut exchange = now(server.next()).unwrap().unwrap();
        let result = collect(&mut exchange.body).map_err(|fault| fault.code);
        assert_eq!(result.is_ok(), fits, "{request}");
        assert!(fits || result == Err(Code::BodyTooLarge));
    }
}

#[test]
fn an_early_answer_while_the_body_comes() {
    let peer = Peer::new();
    peer.says("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    let mut server = server(&peer);
    let mut exchange = now(server.next()).unwrap().unwrap();
    {
        let mut frame = std::pin::pin!(exchange.body.frame());
        assert!(poll(&mut frame).is_pending());
        now(exchange.client.head(answer(200, BodyLength::Exact(2), &[]), false)).unwrap();
        now(exchange.client.send(data("ok"))).unwrap();
        assert_eq!(peer.heard(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.says("abcd");
        assert!(poll(&mut frame).is_ready());
    }
    assert!(now(server.finish()));
}

#[test]
fn after_a_101_both_halves_are_raw() {
    let peer = Peer::new();
    peer.says(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nearly",
    );
    let mut server = server(&peer);
    let mut exchange = now(server.next()).unwrap().unwrap();
    assert!(matches!(now(exchange.body.frame()), Ok(Frame::End)), "nothing before the 101");
    let head =
        answer(101, BodyLength::Empty, &[("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "x")]);
    now(exchange.client.head(head, false)).unwrap();
    assert_eq!(
        peer.heard(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\
         Connection: upgrade\r\n\r\n"
    );
    assert_eq!(next_text(&mut exchange.body), "early");
    now(exchange.client.send(data("down"))).unwrap();
    assert_eq!(peer.sends(), ["down"]);
    peer.says("up");
    assert_eq!(next_text(&mut exchange.body), "up");
    now(exchange.client.send(Frame::End)).unwrap();
    assert!(peer.is_shut());
    peer.does(Event::End);
    assert_eq!(next_text(&mut exchange.body), "end");
    assert!(now(server.next()).unwrap().is_none());
}

fn next_text(body: &mut impl Receive) -> String {
    match now(body.frame()).unwrap() {
        Frame::Data(chunk) => String::from_utf8(chunk.bytes().to_vec()).unwrap(),
        _ => "end".to_owned(),
    }
}
