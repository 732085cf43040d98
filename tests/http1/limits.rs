//! Every limit that concerns HTTP/1.1, with small values.

use serde_json::json;

use crate::support::{Config, Gateway, Origin, RawClient, SOON, eventually, millis, routes_to};

fn limited(origin: &Origin) -> Config {
    Config::new(&routes_to(origin.address))
}

/// Asserts APISIX's JSON and the end of the connection.
#[track_caller]
fn refused(client: &mut RawClient, status: u16, text: &str) {
    let answer = client.response();
    assert_eq!(answer.status, status);
    assert_eq!(answer.text().trim_end(), format!(r#"{{"error_msg":"{status} {text}"}}"#));
    assert_eq!(answer.get("content-type"), Some("application/json"));
    assert!(answer.closes(), "{:?}", answer.head);
    client.expect_gone();
}

#[test]
fn long_request_lines_get_414() {
    let origin = Origin::hello();
    let gateway = limited(&origin).limit("request_line", 100).start();
    let mut client = gateway.client();
    assert_eq!(client.get(&format!("/{}", "a".repeat(80))).status, 200);
    client.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100)));
    refused(&mut client, 414, "Request-URI Too Large");
    // Before its end has come.
    let mut client = gateway.client();
    client.send(format!("GET /{}", "a".repeat(100)));
    refused(&mut client, 414, "Request-URI Too Large");
    assert_eq!(gateway.faults("uri_too_long"), 2);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn large_heads_get_431() {
    let origin = Origin::hello();
    let gateway = limited(&origin).limit("request_line", 100).limit("header_bytes", 1024).start();
    let request = |bytes: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(bytes - 14))
    };
    let mut client = gateway.client();
    assert_eq!(client.ask(request(1024)).status, 200);
    client.send(request(1025));
    refused(&mut client, 431, "Request Header Fields Too Large");
    let mut client = gateway.client();
    client.send(&request(5000)[..2000]);
    refused(&mut client, 431, "Request Header Fields Too Large");
    // Trailers are bounded too.
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ");
    client.send("a".repeat(3000));
    refused(&mut client, 431, "Request Header Fields Too Large");
    assert_eq!(gateway.faults("headers_too_large"), 3);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn many_fields_get_431() {
    let origin = Origin::hello();
    let gateway = limited(&origin).limit("header_count", 10).start();
    let request =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    let mut client = gateway.client();
    assert_eq!(client.ask(request(10)).status, 200);
    client.send(request(11));
    refused(&mut client, 431, "Request Header Fields Too Large");
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    client.send("X: y\r\n".repeat(11) + "\r\n");
    refused(&mut client, 431, "Request Header Fields Too Large");
}

#[test]
fn large_bodies_get_413() {
    let origin = Origin::echo();
    let gateway = limited(&origin).limit("request_body", 100).start();
    let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", "a".repeat(size));
    const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = gateway.client();
    let fits =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{}", "a".repeat(100));
    assert_eq!(client.ask(fits).body.bytes.len(), 100);
    let fits = format!("{CHUNKED}{}{}0\r\n\r\n", chunk(50), chunk(50));
    assert_eq!(client.ask(fits).body.bytes.len(), 100);
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n".to_owned(),
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n{}", "a".repeat(101)),
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n"
            .to_owned(),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n".to_owned(),
        format!("{CHUNKED}{}{}0\r\n\r\n", chunk(50), chunk(51)),
        format!("{CHUNKED}{}", chunk(101)),
    ] {
        let mut client = gateway.client();
        client.send(&request);
        refused(&mut client, 413, "Request Entity Too Large");
    }
    assert_eq!(gateway.faults("body_too_large"), 6);
    assert_eq!(origin.requests().len(), 2, "no node sees such a request whole");
    drop(client);
}

#[test]
fn a_body_that_says_that_it_is_too_large_never_reaches_a_node() {
    let origin = Origin::hello();
    let gateway = limited(&origin).limit("request_body", 100).start();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n");
    refused(&mut client, 413, "Request Entity Too Large");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_connection_serves_so_many_requests() {
    let origin = Origin::hello();
    let gateway = limited(&origin).limit("requests_per_connection", 3).start();
    let mut client = gateway.client();
    // Pipelined, with one too many.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4));
    for last in [false, false, true] {
        assert_eq!(client.response().closes(), last);
    }
    client.expect_gone();
    assert_eq!(origin.requests().len(), 3);
}

/// A client hears with its answer that it was the last one, and may have sent its next request by
/// then: that does not turn the end into a reset, which would take the answer along.
#[test]
fn a_request_behind_the_last_answer_is_no_reason_for_a_reset() {
    let origin = Origin::hello();
    let gateway = limited(&origin).limit("requests_per_connection", 1).start();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response().closes());
    client.expect_end();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000));
    std::thread::sleep(millis(50));
    client.expect_end();
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn connections_beyond_the_limit_are_refused_and_counted() {
    let origin = Origin::hello();
    let gateway = limited(&origin).limit("connections", 2).start();
    let mut served: Vec<RawClient> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut served {
        assert_eq!(client.get("/").status, 200);
    }
    for n in 1..=3 {
        let mut client = gateway.client();
        let _ = client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.expect_gone();
        let name = r#"ringgate_connections_refused_total{reason="connections"}"#;
        assert_eq!(gateway.metric(name), n);
    }
    for client in &mut served {
        assert_eq!(client.get("/").status, 200, "those that are there are not hurt");
    }
    served.pop();
    eventually(SOON, "there is room again", || gateway.connections() < 2);
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn connections_that_come_at_once_are_bounded_too() {
    let origin = Origin::hello();
    let gateway = limited(&origin).limit("connections", 2).start();
    gateway.signal("STOP");
    let asking = |_| {
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client
    };
    let mut clients: Vec<RawClient> = (0..20).map(asking).collect();
    gateway.signal("CONT");
    let answers = clients.iter_mut().filter_map(|client| client.try_response().ok().flatten());
    assert_eq!(answers.map(|answer| answer.status).collect::<Vec<_>>(), [200, 200]);
    assert_eq!(gateway.metric(r#"ringgate_connections_refused_total{reason="connections"}"#), 18);
}

/// Answers when it is told to: a request for `/go` lets the others go.
fn gate() -> Origin {
    use std::sync::{Arc, Condvar, Mutex};
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    Origin::start(move |conversation| {
        let (open, changed) = &*gate;
        while let Some(request) = conversation.request()? {
            let mut opened = open.lock().unwrap();
            if request.head.target() == "/go" {
                *opened = true;
                changed.notify_all();
            }
            while !*opened && request.head.target() == "/wait" {
                opened = changed.wait_timeout(opened, SOON).unwrap().0;
            }
            drop(opened);
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    })
}

/// Opens the gate without the gateway.
fn open(origin: &Origin) {
    let mut direct = RawClient::connect(origin.address);
    assert_eq!(direct.get("/go").status, 200);
}

fn waiting(gateway: &Gateway) -> RawClient {
    let mut client = gateway.client();
    client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    client
}

#[test]
fn connections_to_a_node_are_bounded_and_so_is_the_line() {
    let origin = gate();
    let gateway =
        limited(&origin).limit("upstream_connections", 1).limit("upstream_waiting", 1).start();
    let mut first = waiting(&gateway);
    origin.wait_for_requests(1);
    // One waits in line; it is not at the node, and which of the two came first is open.
    let (mut second, mut third) = (waiting(&gateway), waiting(&gateway));
    eventually(SOON, "one is refused", || gateway.faults("upstream_busy") == 1);
    open(&origin);
    assert_eq!(first.response().status, 200);
    let mut statuses = [second.response().status, third.response().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    assert_eq!(origin.connections(), 2, "one of the gateway, one of the test");
    drop((first, second, third));
}

#[test]
fn who_waits_too_long_for_a_connection_gets_503() {
    let origin = gate();
    let gateway = limited(&origin)
        .limit("upstream_connections", 1)
        .timeout("upstream_connect", "300ms")
        .start();
    let mut first = waiting(&gateway);
    origin.wait_for_requests(1);
    let mut second = waiting(&gateway);
    let answer = second.response();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.text().trim_end(), r#"{"error_msg":"503 Service Temporarily Unavailable"}"#);
    // Who leaves the line leaves no trace.
    let third = waiting(&gateway);
    std::thread::sleep(millis(50));
    third.abort();
    open(&origin);
    assert_eq!(first.response().status, 200);
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn out_of_descriptors_the_gateway_sheds_load_and_recovers() {
    let origin = Origin::hello();
    // `limits.connections` out of the way: all that shards may have is taken.
    let gateway = limited(&origin).nofile(64).limit("connections", 100_000).start();
    let mut early = gateway.client();
    assert_eq!(early.get("/").status, 200);
    for _ in 0..2 {
        let mut crowd: Vec<RawClient> = (0..100).map(|_| gateway.client()).collect();
        for client in &mut crowd {
            let _ = client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        // A pooled connection is there, so who is connected is served, or told that it is busy.
        eventually(SOON, "the descriptors are gone", || gateway.descriptors() >= 59);
        // Some are kept for those who ask how it is.
        assert_eq!(gateway.admin_get("/ringgate/ready").status, 200);
        let answer = early.get("/");
        assert!([200, 503].contains(&answer.status), "{}", answer.status);
        drop(crowd);
        eventually(SOON, "it recovers", || {
            let mut client = gateway.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client.set_timeout(millis(2000));
            matches!(client.try_response(), Ok(Some(answer)) if answer.status == 200)
        });
    }
    assert!(gateway.metric(r#"ringgate_connections_refused_total{reason="descriptors"}"#) > 0);
    assert_eq!(early.get("/").status, 200);
    drop(early);
    let status = gateway.status();
    assert_eq!(status["shards"][0]["restarts"], json!(0));
}
