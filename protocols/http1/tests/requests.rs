//! Which request heads are accepted, and what the others get.

#![allow(clippy::unwrap_used)] // also in helpers

mod support;

use ringgate_core::{BodyLength, Code, Method, Respond, ResponseHead, Version};
use support::*;

const HOST: &str = "Host: a.example\r\n";

#[test]
fn smuggling_attempts_are_refused() {
    // Each line: what breaks, and how.
    let lines = [
        ("CL and TE", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        ("TE and CL", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
        ("CL differs", "Content-Length: 3\r\nContent-Length: 4\r\n"),
        ("CL twice", "Content-Length: 3\r\nContent-Length: 3\r\n"),
        ("CL list", "Content-Length: 3, 3\r\n"),
        ("CL sign", "Content-Length: +3\r\n"),
        ("CL negative", "Content-Length: -3\r\n"),
        ("CL hex", "Content-Length: 0x3\r\n"),
        ("CL overflow", "Content-Length: 18446744073709551616\r\n"),
        ("CL empty", "Content-Length:\r\n"),
        ("TE twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("TE list of chunked", "Transfer-Encoding: chunked, chunked\r\n"),
        ("TE identity", "Transfer-Encoding: identity\r\n"),
        ("TE odd", "Transfer-Encoding: xchunked\r\n"),
        ("TE vertical tab", "Transfer-Encoding: \x0bchunked\r\n"),
        ("TE not last", "Transfer-Encoding: chunked, gzip\r\n"),
        ("space before colon", "Content-Length : 3\r\n"),
        ("tab before colon", "Transfer-Encoding\t: chunked\r\n"),
        ("obs-fold", "X-A: b\r\n c\r\n"),
        ("obs-fold of TE", "Transfer-Encoding:\r\n chunked\r\n"),
        ("leading space", " X-A: b\r\n"),
        ("bare LF", "X-A: b\nX-C: d\r\n"),
        ("bare CR", "X-A: b\rX-C: d\r\n"),
        ("NUL", "X-A: b\0c\r\n"),
        ("control byte", "X-A: b\x01c\r\n"),
        ("DEL", "X-A: b\x7fc\r\n"),
        ("empty name", ": b\r\n"),
        ("no colon", "X-A\r\n"),
        ("name with space", "X A: b\r\n"),
        ("name with bracket", "X(A): b\r\n"),
        ("second host", "Host: b.example\r\n"),
        ("same host again", "Host: a.example\r\n"),
    ];
    for (what, line) in lines {
        let request = format!("POST / HTTP/1.1\r\n{HOST}{line}\r\nabc");
        assert_eq!(refused(request), Some(Code::BadRequest), "{what}");
    }
}

#[test]
fn odd_request_lines_are_refused() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /",
        "GET",
        "G@T / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/11",
        "GET / HTTP/1.1\0",
        "GET /a b HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET ftp://a.example/ HTTP/1.1",
        "GET http://u@a.example/ HTTP/1.1",
        "GET http://b.example/ HTTP/1.1",
        "GET http://a.example:80/ HTTP/1.1",
        "/ HTTP/1.1",
    ] {
        let request = format!("{line}\r\n{HOST}\r\n");
        assert_eq!(refused(&request), Some(Code::BadRequest), "{line}");
    }
    assert_eq!(refused("GET / HTTP/1.1\nHost: a\n\n"), Some(Code::BadRequest));
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\n\n"), Some(Code::BadRequest));
    assert_eq!(refused("\r\n\r\n\r\nGET / HTTP/1.1\r\n"), Some(Code::BadRequest));
}

#[test]
fn hosts_are_checked() {
    for host in ["", "u@h", "h:x", "a b", "a/b", "a, b", "h:99999", "[::1", "a\\b", "\u{e9}"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(refused(request), Some(Code::BadRequest), "{host}");
    }
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), Some(Code::BadRequest));
    assert_eq!(refused("GET / HTTP/1.0\r\n\r\n"), None);
    assert_eq!(refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), Some(Code::BadRequest));
}

#[test]
fn what_is_not_spoken_here() {
    for (request, code) in [
        (format!("GET / HTTP/2.0\r\n{HOST}\r\n"), Code::VersionUnsupported),
        (format!("GET / HTTP/1.2\r\n{HOST}\r\n"), Code::VersionUnsupported),
        (format!("GET / HTTP/0.9\r\n{HOST}\r\n"), Code::VersionUnsupported),
        (
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n".into(),
            Code::NotImplemented,
        ),
        (
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            Code::NotImplemented,
        ),
        (format!("POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n"), Code::BadRequest),
        (format!("POST / HTTP/1.1\r\n{HOST}Expect: something\r\n\r\n"), Code::ExpectationFailed),
    ] {
        assert_eq!(refused(&request), Some(code), "{request}");
    }
}

#[test]
fn limits_have_their_own_answers() {
    let small = || {
        settings(|limits, _| {
            limits.request_line = 40;
            limits.header_bytes = 60;
            limits.header_count = 3;
        })
    };
    let line = format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(40));
    assert_eq!(refused_with(line, small()), Some(Code::UriTooLong));
    assert_eq!(refused_with("a".repeat(50), small()), Some(Code::UriTooLong));
    let bytes = format!("GET / HTTP/1.1\r\n{HOST}X-A: {}\r\n\r\n", "a".repeat(60));
    assert_eq!(refused_with(bytes, small()), Some(Code::HeadersTooLarge));
    let count = format!("GET / HTTP/1.1\r\n{HOST}a:b\r\na:b\r\na:b\r\n\r\n");
    assert_eq!(refused_with(count, small()), Some(Code::HeadersTooLarge));
    let fits = format!("GET / HTTP/1.1\r\n{HOST}a:b\r\na:b\r\n\r\n");
    assert_eq!(refused_with(fits, small()), None);
    let many = format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "a:b\r\n".repeat(127));
    assert_eq!(refused(&many), None);
    let long = format!("GET / HTTP/1.1\r\n{HOST}X: {}\r\n\r\n", "a".repeat(60_000));
    assert_eq!(refused(&long), None);
}

#[test]
fn a_head_keeps_what_it_said() {
    for cut in [0, 1, 7] {
        let peer = Peer::new().cut(cut);
        peer.says(
            "\r\nPROPFIND /a/b?x=%2F HTTP/1.1\r\nhOsT: A.example:81\r\nX-One:\t1 \r\nContent-Length: \
             0\r\nX-one: 2\r\nX-Empty:\r\n\r\n",
        );
        let mut server = server(&peer);
        let exchange = now(server.next()).unwrap().unwrap();
        let head = exchange.head;
        assert_eq!((head.method, head.version), (Method::Other, Version::Http11));
        assert_eq!(head.method_name(), b"PROPFIND");
        assert_eq!(head.target(), b"/a/b?x=%2F");
        assert_eq!(head.path(), b"/a/b");
        assert_eq!(head.query(), Some(&b"x=%2F"[..]));
        assert_eq!(head.authority(), b"A.example:81");
        assert_eq!(head.body, BodyLength::Exact(0));
        let fields: Vec<_> = head
            .headers
            .iter()
            .map(|(n, v)| format!("{}={}", String::from_utf8_lossy(n), String::from_utf8_lossy(v)))
            .collect();
        assert_eq!(
            fields,
            ["hOsT=A.example:81", "X-One=1", "Content-Length=0", "X-one=2", "X-Empty="]
        );
    }
}

#[test]
fn target_forms() {
    for (line, path, query, authority) in [
        ("GET http://a.example/p?q", "/p", Some("q"), "a.example"),
        ("GET HTTP://A.EXAMPLE", "/", None, "A.EXAMPLE"),
        ("GET https://a.example?q", "/", Some("q"), "a.example"),
        ("OPTIONS *", "*", None, "a.example"),
        ("OPTIONS http://a.example", "*", None, "a.example"),
        ("GET /", "/", None, "a.example"),
        ("GET /?", "/", Some(""), "a.example"),
    ] {
        let peer = Peer::new();
        peer.says(format!("{line} HTTP/1.1\r\n{HOST}\r\n"));
        let mut server = server(&peer);
        let head = now(server.next()).unwrap().unwrap().head;
        assert_eq!(head.path(), path.as_bytes(), "{line}");
        assert_eq!(head.query(), query.map(str::as_bytes), "{line}");
        assert_eq!(head.authority(), authority.as_bytes(), "{line}");
    }
}

#[test]
fn upgrades_need_all_of_their_conditions() {
    for (request, upgrade) in [
        ("GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n", true),
        ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", false),
        ("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n", false),
        ("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n", false),
        (
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
            false,
        ),
        ("GET / HTTP/1.1\r\nConnection: upgrade\r\n", false),
    ] {
        let peer = Peer::new();
        peer.says(format!("{request}{HOST}\r\n"));
        let mut server = server(&peer);
        let head = now(server.next()).unwrap().unwrap().head;
        assert_eq!(head.upgrade(), upgrade.then_some(&b"websocket"[..]), "{request}");
    }
}

#[test]
fn a_refused_request_gets_an_answer_and_the_end() {
    let peer = Peer::new();
    peer.says("GET / HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = server(&peer);
    let fault = now(server.next()).err().unwrap();
    assert_eq!(fault.code, Code::BadRequest);
    let mut client = server.refuse();
    now(client.head(ResponseHead::new(400), true)).unwrap();
    assert_eq!(
        peer.sends(),
        ["HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"]
    );
    assert!(now(server.next()).unwrap().is_none());
    peer.does(support::Event::End);
    now(server.close());
    assert!(peer.is_shut() && !peer.is_aborted());
}

#[test]
fn a_client_that_begins_with_http2_is_handed_on_with_all_that_it_sent() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes";
    for cut in [preface.len(), 3, 18, 20] {
        let peer = Peer::new();
        let mut server = server(&peer);
        let (first, rest) = preface.split_at(cut);
        peer.says(first);
        {
            let mut next = std::pin::pin!(server.next());
            if cut < 18 {
                assert!(poll(&mut next).is_pending());
                peer.says(rest);
            }
            assert!(now(next).unwrap().is_none());
        }
        assert!(server.is_http2());
        let (_, _, received) = server.into_stream().unwrap();
        let sent = if cut < 18 { preface } else { first };
        assert_eq!(received.bytes(), sent.as_bytes());
    }
    // Behind a request it is one more request, and a bad one.
    let peer = Peer::new();
    peer.says(format!("GET / HTTP/1.1\r\n{HOST}\r\n{preface}"));
    let mut server = server(&peer);
    {
        let mut exchange = now(server.next()).unwrap().unwrap();
        let mut head = ResponseHead::new(204);
        head.body = BodyLength::Empty;
        now(exchange.client.head(head, true)).unwrap();
        now(exchange.client.flush()).unwrap();
    }
    assert_eq!(now(server.next()).err().map(|fault| fault.code), Some(Code::VersionUnsupported));
    assert!(!server.is_http2());
}
