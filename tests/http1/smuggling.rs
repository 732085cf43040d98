//! Messages that two parsers could read in two ways, and what else attackers send.

use crate::support::{
    Config, Gateway, Origin, RawClient, Resources, SOON, eventually, route, routes_to, show,
};

/// What is behind a bad message, and must never be served.
const SECOND: &str = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends a message with a second one behind it and asserts that it is refused and the connection
/// ended.
#[track_caller]
fn refused(gateway: &Gateway, origin: &Origin, message: &[u8], status: u16, text: &str) {
    let mut client = gateway.client();
    let mut bytes = message.to_vec();
    bytes.extend_from_slice(SECOND.as_bytes());
    // It may be refused before all of it is sent.
    let _ = client.try_send(&bytes);
    let shown = show(message);
    let answer = match client.try_response() {
        Ok(Some(answer)) => answer,
        other => panic!("no answer to {shown}: {other:?}"),
    };
    assert_eq!(answer.status, status, "{shown}");
    assert_eq!(
        answer.text().trim_end(),
        format!(r#"{{"error_msg":"{status} {text}"}}"#),
        "{shown}"
    );
    assert!(answer.closes(), "{shown}");
    let (rest, _) = client.rest(SOON);
    assert!(rest.is_empty(), "served behind {shown}: {}", show(&rest));
    assert!(origin.requests().is_empty(), "a node got {shown}: {:?}", origin.requests());
}

#[track_caller]
fn all_are_bad(messages: &[&[u8]]) {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address)).start();
    for (n, message) in messages.iter().enumerate() {
        refused(&gateway, &origin, message, 400, "Bad Request");
        assert_eq!(gateway.faults("bad_request"), n as u64 + 1, "{}", show(message));
    }
    // And it goes on.
    assert_eq!(gateway.get("/").status, 200);
    origin.disconnect();
}

/// Heads with these fields.
fn with(fields: &[&str]) -> Vec<Vec<u8>> {
    fields
        .iter()
        .map(|fields| format!("POST /first HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").into_bytes())
        .collect()
}

#[track_caller]
fn fields_are_bad(fields: &[&str]) {
    let messages = with(fields);
    all_are_bad(&messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn lengths_that_could_be_read_in_two_ways() {
    fields_are_bad(
        &[
            // CL.TE, TE.CL
            "Content-Length: 6\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 6",
            "Transfer-Encoding: chunked\r\nContent-Length: 0",
            // Two lengths
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5\r\ncontent-length: 5",
            "Content-Length: 5, 5",
            "Content-Length: 5, 6",
            // Lengths that are none
            "Content-Length: ",
            "Content-Length: +5",
            "Content-Length: -5",
            "Content-Length: 0x5",
            "Content-Length: 5 ",
            "Content-Length: 5;",
            "Content-Length: 5.0",
            "Content-Length: 1e1",
            "Content-Length: 18446744073709551616",
            "Content-Length: 99999999999999999999999999",
            "Content-Length: five",
            "Content-Length: \u{ff15}",
        ]
        .iter()
        .filter(|f| !f.ends_with("5 "))
        .copied()
        .collect::<Vec<_>>(),
    );
}

#[test]
fn codings_that_could_be_read_in_two_ways() {
    fields_are_bad(&[
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: identity, chunked, identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: ",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked x",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\u{b}",
        "Transfer-Encoding:\u{c}chunked",
        "Transfer-Encoding: chunked\u{0}",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding\u{b}: chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\n : x",
        "Transfer\u{0}-Encoding: chunked",
    ]);
}

#[test]
fn codings_that_are_not_spoken_get_501() {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address)).start();
    for message in with(&["Transfer-Encoding: gzip, chunked", "Transfer-Encoding: x, y, chunked"]) {
        refused(&gateway, &origin, &message, 501, "Not Implemented");
    }
    refused(
        &gateway,
        &origin,
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        501,
        "Not Implemented",
    );
    assert_eq!(gateway.faults("not_implemented"), 3);
}

#[test]
fn versions_that_are_not_spoken_get_505() {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address)).start();
    for message in ["GET / HTTP/2.0\r\nHost: a\r\n\r\n", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"] {
        let text = "HTTP Version Not Supported";
        refused(&gateway, &origin, message.as_bytes(), 505, text);
    }
}

#[test]
fn lines_that_end_otherwise() {
    all_are_bad(&[
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ]);
}

#[test]
fn fields_that_break_the_grammar() {
    fields_are_bad(&[
        "X : y",
        "X\t: y",
        "X: a\r\n b",
        "X: a\r\n\tb",
        " X: y",
        "\tX: y",
        ": y",
        "X",
        "X y: z",
        "X(: y",
        "X\u{e9}: y",
        "X: a\u{0}b",
        "X: a\u{1}b",
        "X: a\u{7f}b",
        "X\u{0}: a",
        "X\u{0}Y: a",
    ]);
}

#[test]
fn request_lines_that_break_the_grammar() {
    all_are_bad(&[
        b"GET /\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\xffb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1x\r\nHost: a\r\n\r\n",
        b"GET / HTTP/11\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1\r\nHost: a\r\n\r\n",
        b"GET / XTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\x00\x00\x00\x00\r\n\r\n",
    ]);
}

#[test]
fn paths_that_lead_elsewhere() {
    all_are_bad(&[
        b"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a% HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /.. HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a/../../b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%2e%2e/b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /.%2E/b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/../b HTTP/1.1\r\nHost: a\r\n\r\n",
    ]);
}

#[test]
fn hosts_that_name_two_sites_or_none() {
    all_are_bad(&[
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ]);
}

#[test]
fn chunks_that_could_be_read_in_two_ways() {
    let chunked = "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(300));
    let messages: Vec<Vec<u8>> = [
        "x\r\n",
        "\r\n0\r\n\r\n",
        "-1\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "1\t\r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\ra\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "2\r\na\r\n0\r\n\r\n",
        "1,1\r\na\r\n0\r\n\r\n",
        "10000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "00000000000000000\r\n\r\n",
        "1;x\ny\r\na\r\n0\r\n\r\n",
        "1;x\u{0}\r\na\r\n0\r\n\r\n",
        &long,
        "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX: a\r\n b\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: a\u{0}b\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\n\n",
        "0\r\nno field\r\n\r\n",
    ]
    .iter()
    .map(|body| format!("{chunked}{body}").into_bytes())
    .collect();
    all_are_bad(&messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn transfer_encoding_in_http_1_0_is_refused() {
    all_are_bad(&[
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]);
}

#[test]
fn a_path_is_matched_and_forwarded_in_one_form() {
    let (open, closed) = (Origin::hello(), Origin::hello());
    let gateway =
        Config::new(&Resources::new().route(route("open", "/*", open.address)).route(route(
            "closed",
            "/admin/*",
            closed.address,
        )))
        .start();
    let mut client = gateway.client();
    for (written, forwarded) in [
        ("/admin/x", "/admin/x"),
        ("/%61dmin/x", "/admin/x"),
        ("/a/../admin/x", "/admin/x"),
        ("/a/%2e%2e/admin/x", "/admin/x"),
        ("/./admin/./x", "/admin/x"),
        ("//admin//x", "/admin/x"),
        ("/admin/x?a=/../b", "/admin/x?a=/../b"),
        ("/admin/a%2Fb", "/admin/a%2Fb"),
        ("/admin/..%2fx", "/admin/..%2Fx"),
    ] {
        assert_eq!(client.get(written).status, 200, "{written}");
        assert_eq!(closed.last_request().head.target(), forwarded, "{written}");
        assert!(open.requests().is_empty(), "{written} went round the route");
    }
    let count = closed.requests().len();
    for (written, forwarded) in [
        // Decoded once, and never again.
        ("/%2561dmin/x", "/%2561dmin/x"),
        ("/a/%252e%252e/admin/x", "/a/%252e%252e/admin/x"),
        ("/a/..%2fadmin/x", "/a/..%2Fadmin/x"),
        ("/a%2f..%2fadmin/x", "/a%2F..%2Fadmin/x"),
        ("/admin%2fx", "/admin%2Fx"),
        ("/a/..%5cadmin/x", "/a/..%5Cadmin/x"),
        ("/a;/../b", "/b"),
        ("/ADMIN/x", "/ADMIN/x"),
    ] {
        assert_eq!(client.get(written).status, 200, "{written}");
        assert_eq!(open.last_request().head.target(), forwarded, "{written}");
    }
    assert_eq!(closed.requests().len(), count);
}

#[test]
fn encoded_line_ends_stay_encoded() {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address)).start();
    let mut client = gateway.client();
    for (written, forwarded) in [
        ("/a%0d%0aX-Injected:%20y", "/a%0D%0AX-Injected:%20y"),
        ("/a?b=%0d%0aX-Injected:%20y", "/a?b=%0d%0aX-Injected:%20y"),
        ("/a%20HTTP/1.1%0d%0aHost:%20b", "/a%20HTTP/1.1%0D%0AHost:%20b"),
    ] {
        assert_eq!(client.get(written).status, 200);
        let seen = origin.last_request().head;
        assert_eq!(seen.target(), forwarded);
        assert!(!seen.has("x-injected"));
        assert_eq!(seen.get("host"), Some("a.test"));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn good_messages_that_look_odd_are_served() {
    let origin = Origin::echo();
    let gateway = Config::new(&routes_to(origin.address)).start();
    let mut client = gateway.client();
    for message in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t 5 \t\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhOST: a\r\ntransfer-ENCODING: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b;c\"\r\nhello\r\n0;x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-Odd!#$%&'*+-.^_`|~: \u{e9}\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\n",
    ] {
        assert_eq!(client.ask(message).text(), "hello", "{message}");
    }
    assert_eq!(gateway.faults("bad_request"), 0);
}

#[test]
fn noise_never_panics() {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address)).start();
    // A generator of its own, so that a failure can be seen again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let seeds: [&[u8]; 3] = [
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\nExpect: 100-continue\r\n\r\n",
        b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello",
    ];
    for _ in 0..300 {
        let mut bytes = seeds[next() as usize % seeds.len()].to_vec();
        for _ in 0..1 + next() % 4 {
            let at = next() as usize % bytes.len();
            match next() % 3 {
                0 => bytes[at] = next() as u8,
                1 => {
                    bytes.remove(at);
                }
                _ => bytes.insert(at, b"\r\n\0 :;,\xff0"[next() as usize % 9]),
            }
        }
        let mut client = RawClient::connect(gateway.address);
        let _ = client.try_send(&bytes);
        if next() % 2 == 0 {
            client.half_close();
        } else {
            client.abort();
        }
    }
    eventually(SOON, "they are gone", || gateway.connections() == 0);
    assert_eq!(gateway.get("/").status, 200);
}
