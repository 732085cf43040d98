//! Keep-alive, pipelining, versions, forms of targets, answers without a body.

use std::time::Duration;

use crate::support::{Config, Gateway, Origin, millis, routes_to};

/// Answers with the target that it was asked for.
fn targets() -> Origin {
    Origin::answering(|request| {
        let target = request.head.target();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()).into_bytes()
    })
}

fn start(origin: &Origin) -> Gateway {
    Config::new(&routes_to(origin.address)).start()
}

#[test]
fn a_connection_serves_request_after_request() {
    let origin = Origin::hello();
    let gateway = start(&origin);
    let mut client = gateway.client();
    for _ in 0..20 {
        let answer = client.get("/a");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert!(!answer.closes());
    }
    assert_eq!(origin.requests().len(), 20);
    assert_eq!(origin.connections(), 1, "the pooled connection is used again");
    drop(client);
    gateway.stop();
}

#[test]
fn connection_close_is_honoured() {
    let origin = Origin::hello();
    let gateway = start(&origin);
    let mut client = gateway.client();
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert!(answer.closes());
    client.expect_end();
    // What stands behind it is not served.
    let mut client = gateway.client();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.response().status, 200);
    client.expect_gone();
    assert!(origin.requests().iter().all(|request| request.head.target() != "/2"));
}

#[test]
fn pipelined_requests_in_one_segment_are_answered_in_order() {
    let origin = targets();
    let gateway = start(&origin);
    let mut client = gateway.client();
    let mut text = String::new();
    for n in 0..100 {
        text += &match n % 3 {
            0 => format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            _ => format!(
                "PUT /{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            ),
        };
    }
    client.send(text);
    for n in 0..100 {
        assert_eq!(client.response().text(), format!("/{n}"));
    }
    assert_eq!(origin.requests().len(), 100);
}

#[test]
fn requests_may_be_cut_at_every_byte() {
    let origin = Origin::answering(|request| {
        let body = format!("{} {}", request.head.target(), request.body.bytes.escape_ascii());
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let gateway = start(&origin);
    let pair = "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: v\r\n\r\n\
                PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ndefg";
    let mut client = gateway.client();
    for cut in 1..pair.len() {
        client.send(&pair[..cut]);
        // No condition shows that the first part was read; the pause makes it likely.
        std::thread::sleep(Duration::from_micros(700));
        client.send(&pair[cut..]);
        assert_eq!(client.response().text(), "/1 abc", "cut at {cut}");
        assert_eq!(client.response().text(), "/2 defg", "cut at {cut}");
    }
    // And byte by byte.
    for byte in pair.as_bytes() {
        client.send([*byte]);
        std::thread::sleep(Duration::from_micros(300));
    }
    assert_eq!(client.response().text(), "/1 abc");
    assert_eq!(client.response().text(), "/2 defg");
}

#[test]
fn answers_may_be_cut_at_every_byte() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n\
                          2\r\nab\r\n1;x\r\nc\r\n0\r\nT: v\r\n\r\n";
    let origin = Origin::start(|conversation| {
        let mut cut = 1;
        while conversation.request()?.is_some() {
            let (front, back) = ANSWER.split_at(cut % ANSWER.len());
            conversation.send(front)?;
            std::thread::sleep(Duration::from_micros(700));
            conversation.send(back)?;
            cut += 1;
        }
        Ok(())
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    for cut in 1..ANSWER.len() {
        let answer = client.get("/");
        assert_eq!(answer.text(), "abc", "cut at {cut}");
        assert_eq!(answer.get("x-a"), Some("b"), "cut at {cut}");
        assert_eq!(answer.body.trailers, [("T".to_owned(), "v".to_owned())], "cut at {cut}");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn http_1_0_ends_its_connection_unless_it_asks_not_to() {
    let origin = Origin::hello();
    let gateway = start(&origin);
    let mut client = gateway.client();
    let answer = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert!(answer.closes());
    client.expect_end();

    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n");
        assert_eq!(answer.text(), "hello");
        assert_eq!(answer.get("connection"), Some("keep-alive"));
    }
    let seen = origin.last_request();
    assert_eq!(seen.head.first_line, "GET / HTTP/1.1");
}

#[test]
fn an_answer_of_unknown_length_ends_with_the_connection_in_http_1_0() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n"
            .to_vec()
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    let answer = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(!answer.head.has("transfer-encoding"));
    assert_eq!(answer.text(), "abc");
    assert!(answer.closes());
    client.expect_end();
}

#[test]
fn an_answer_that_ends_with_its_connection_becomes_chunked() {
    let origin = Origin::start(|conversation| {
        conversation.request()?;
        conversation.send("HTTP/1.1 200 OK\r\n\r\nuntil the end")
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!(answer.get("transfer-encoding"), Some("chunked"));
        assert_eq!(answer.text(), "until the end");
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn absolute_form_is_forwarded_in_origin_form() {
    let origin = targets();
    let gateway = start(&origin);
    let mut client = gateway.client();
    for (target, host, seen) in [
        ("http://b.test/x?y=z", "b.test", "/x?y=z"),
        ("HTTP://b.test:8080/x", "b.test:8080", "/x"),
        ("http://b.test", "b.test", "/"),
        ("http://b.test?q", "b.test", "/?q"),
    ] {
        let answer = client.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.text(), seen, "{target}");
        assert_eq!(origin.last_request().head.get("host"), Some(host), "{target}");
    }
}

#[test]
fn the_asterisk_is_answered_here() {
    let origin = targets();
    let gateway = start(&origin);
    let mut client = gateway.client();
    let answer = client.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert!(answer.head.has("allow"));
    assert_eq!(origin.connections(), 0);
    assert_eq!(client.get("/next").text(), "/next");
    assert_eq!(client.ask("OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n").text(), "/x");
}

#[test]
fn without_a_route_apisix_words_are_said() {
    let gateway = Config::new(&crate::support::Resources::new()).start();
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/nowhere");
        assert_eq!(answer.status, 404);
        assert_eq!(answer.text().trim_end(), r#"{"error_msg":"404 Route Not Found"}"#);
        assert_eq!(answer.get("content-type"), Some("application/json"));
    }
}

#[test]
fn answers_without_a_body() {
    let origin = Origin::answering(|request| {
        match request.head.target() {
            "/204" => "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
            "/204-length" => "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"e\"\r\n\r\n",
            "/empty" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "/head-chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        }
        .into()
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    for (method, target, status, length) in [
        ("GET", "/204", 204, None),
        ("GET", "/204-length", 204, None),
        ("GET", "/304", 304, Some("99")),
        ("HEAD", "/304", 304, Some("99")),
        ("GET", "/empty", 200, Some("0")),
        ("HEAD", "/head", 200, Some("5")),
        ("HEAD", "/head-chunked", 200, None),
        ("HEAD", "/204", 204, None),
    ] {
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = if method == "HEAD" { client.response_to_head() } else { client.response() };
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.get("content-length"), length, "{method} {target}");
        assert!(!answer.closes(), "{method} {target}");
        // The next answer shows that nothing was left behind.
        assert_eq!(client.get("/ok").text(), "ok", "{method} {target}");
    }
    assert_eq!(origin.connections(), 1, "none of them cost the connection");
}

#[test]
fn a_body_behind_the_answer_to_head_never_becomes_the_next_answer() {
    let origin = Origin::answering(|request| match request.head.method() {
        "HEAD" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nHTTP/1.1 200 OK\r\nX: smuggled\r\n\r\n"
                .to_vec()
        }
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue".to_vec(),
    });
    let gateway = start(&origin);
    let mut client = gateway.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
    assert_eq!(client.get("/").text(), "true");
    assert_eq!(origin.connections(), 2, "the odd connection was not used again");
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let origin = targets();
    let gateway = start(&origin);
    let mut client = gateway.client();
    assert_eq!(client.ask("\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n").text(), "/1");
    client.send("\r\n");
    client.expect_silence(millis(50));
    assert_eq!(client.get("/2").text(), "/2");
}

#[test]
fn methods_and_targets_arrive_as_they_were_sent() {
    let origin = targets();
    let gateway = start(&origin);
    let mut client = gateway.client();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "X-Odd"] {
        let answer = client.ask(format!("{method} /m?a=b&c=%20 HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer.text(), "/m?a=b&c=%20", "{method}");
        assert_eq!(origin.last_request().head.method(), method);
    }
}

#[test]
fn two_shards_serve_and_follow_the_file() {
    let (first, second) = (Origin::hello(), targets());
    let gateway = Config::new(&routes_to(first.address)).shards(2).start();
    for _ in 0..8 {
        assert_eq!(gateway.get("/x").text(), "hello");
    }
    gateway.reload(&routes_to(second.address));
    for _ in 0..8 {
        assert_eq!(gateway.get("/x").text(), "/x");
    }
    assert_eq!(first.requests().len(), 8);
}

#[test]
fn what_is_under_way_ends_when_the_gateway_is_told_to_stop() {
    let origin = Origin::answering(|_| {
        std::thread::sleep(millis(500));
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()
    });
    let mut gateway = start(&origin);
    let mut client = gateway.client();
    let mut idle = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_for_requests(1);
    gateway.signal("TERM");
    let answer = client.response();
    assert_eq!(answer.text(), "hello");
    assert!(answer.closes(), "a draining gateway says so");
    client.expect_end();
    idle.expect_gone();
    assert_eq!(gateway.wait(crate::support::SOON).code(), Some(0));
}
